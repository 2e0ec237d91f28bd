//! What is shipped beside the program: the unit as systemd reads it, and `scripts/setup-host` on a scratch root.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lb_tests::process::{Finished, run};
use lb_tests::program::{guideway_path, repository};
use lb_tests::skip::{Skip, require_program, unless};

const LIMIT: Duration = Duration::from_secs(30);
/// `systemd-analyze security`: 0 is nothing to lose, 10 is everything.
const EXPOSURE_MAX: f64 = 2.5;
const NIC: &str = "0000:3b:00.0";

/// The unit in a folder of its own, with the program of this build.
fn unit(folder: &Path) -> Result<PathBuf, Skip> {
    require_program("systemd-analyze", "systemd")?;
    let text = fs::read_to_string(repository().join("deploy/systemd/guideway.service")).expect("the unit");
    let program = guideway_path()?;
    let unit = folder.join("guideway.service");
    let text = text.replace("/usr/bin/guideway", &program.to_string_lossy());
    fs::write(&unit, text.replace("Documentation=man:guideway(1)\n", "")).expect("written");
    Ok(unit)
}

fn verified() -> Result<(), Skip> {
    let folder = tempfile::tempdir().expect("folder");
    let unit = unit(folder.path())?;
    let finished = run(Command::new("systemd-analyze").arg("verify").arg(&unit), LIMIT);
    let complaints: Vec<&str> =
        finished.stderr.lines().filter(|line| line.contains("guideway.service")).collect();
    assert!(finished.status.success() && complaints.is_empty(), "{}\n{}", finished.status, finished.stderr);
    Ok(())
}

#[test]
fn systemd_understands_the_unit() {
    unless(verified());
}

fn exposure(unit: &Path) -> f64 {
    let mut command = Command::new("systemd-analyze");
    command.args(["security", "--offline=true", "--no-pager"]).arg(unit).env("LC_ALL", "C");
    let text = run(&mut command, LIMIT).expect_success("systemd-analyze security");
    let level = text.lines().find_map(|line| line.split_once("guideway.service: ")).expect("a level").1;
    level.split_whitespace().next().and_then(|level| level.parse().ok()).expect("a number")
}

fn hardened() -> Result<(), Skip> {
    let folder = tempfile::tempdir().expect("folder");
    let unit = unit(folder.path())?;
    let level = exposure(&unit);
    assert!(level <= EXPOSURE_MAX, "exposure level {level}, the promise is {EXPOSURE_MAX}");
    // The drop-in for af_xdp costs something, which is why it is not in the unit.
    let drop_ins = folder.path().join("guideway.service.d");
    fs::create_dir(&drop_ins).expect("folder");
    fs::copy(repository().join("deploy/systemd/drop-ins/af-xdp.conf"), drop_ins.join("af-xdp.conf"))
        .expect("copied");
    let with_xdp = exposure(&unit);
    assert!(with_xdp > level, "the drop-in does not count: {with_xdp}");
    Ok(())
}

#[test]
fn the_unit_is_exposed_little() {
    unless(hardened());
}

/// A host in a folder: one NUMA node, a NIC with the default route, one without, one that is bifurcated.
fn host() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("folder");
    let put = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        fs::write(path, text).expect("written");
    };
    put("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages", "8\n");
    put("sys/kernel/iommu_groups/7/type", "DMA\n");
    put("sys/bus/pci/drivers_probe", "");
    put("proc/sys/kernel/numa_balancing", "1\n");
    put("proc/sys/vm/stat_interval", "1\n");
    put("proc/net/route", "Iface\tDestination\tGateway\neth0\t00000000\t0101A8C0\n");
    put("etc/sysctl.d/60-guideway.conf", "# by hand\nvm.stat_interval = 3\n");
    for (pci, driver, name) in [
        (NIC, "ixgbe", "eth1"),
        ("0000:3b:00.1", "ixgbe", "eth0"),
        ("0000:5e:00.0", "mlx5_core", "eth2"),
        ("0000:af:00.0", "ice", "eth3"),
    ] {
        let device = format!("sys/bus/pci/devices/{pci}");
        put(&format!("{device}/class"), "0x020000\n");
        put(&format!("{device}/driver_override"), "(null)\n");
        put(&format!("{device}/net/{name}/ifindex"), "2\n");
        put(&format!("sys/bus/pci/drivers/{driver}/unbind"), "");
        let link = root.path().join(device).join("driver");
        symlink(format!("../../drivers/{driver}"), link).expect("a link");
    }
    root
}

/// Every file under a root with what it holds.
fn contents(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                found.insert(entry.path(), fs::read_to_string(entry.path()).expect("text"));
            }
        }
    }
    found
}

fn setup_host(root: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(repository().join("scripts/setup-host"));
    run(command.arg("--root").arg(root).args(arguments), LIMIT)
}

const ALL: [&str; 7] = ["--hugepages", "512", "--bind", NIC, "--sysctls", "--isolate", "2-3"];

#[test]
fn a_dry_run_says_everything_and_changes_nothing() {
    let host = host();
    let before = contents(host.path());
    let said = setup_host(host.path(), &ALL).expect_success("dry run");
    assert_eq!(contents(host.path()), before);
    for part in [
        "would write 512 to /sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages (now 8)",
        "would give 0000:3b:00.0 to vfio-pci (now ixgbe)",
        "would write the file /etc/udev/rules.d/61-guideway-bind.rules",
        "would write 10 to /proc/sys/vm/stat_interval (now 1)",
        "isolcpus=managed_irq,domain,2-3 nohz_full=2-3",
    ] {
        assert!(said.contains(part), "`{part}` is missing in:\n{said}");
    }
}

#[test]
fn apply_does_it_twice_the_same_and_undo_restores_what_was_there() {
    let host = host();
    let before = contents(host.path());
    let arguments: Vec<&str> = ALL.into_iter().chain(["--apply"]).collect();
    setup_host(host.path(), &arguments).expect_success("apply");
    let applied = contents(host.path());
    let read = |path: &str| applied.get(&host.path().join(path)).cloned().unwrap_or_default();
    assert_eq!(read("sys/devices/system/node/node0/hugepages/hugepages-2048kB/nr_hugepages"), "512\n");
    assert_eq!(read("sys/bus/pci/devices/0000:3b:00.0/driver_override"), "vfio-pci\n");
    assert_eq!(read("sys/bus/pci/drivers/ixgbe/unbind"), "0000:3b:00.0\n");
    assert_eq!(read("sys/bus/pci/drivers_probe"), "0000:3b:00.0\n");
    assert_eq!(read("proc/sys/kernel/numa_balancing"), "0\n");
    assert!(read("etc/sysctl.d/60-guideway.conf").contains("vm.stat_interval = 10\n"));
    assert!(read("etc/tmpfiles.d/guideway-hugepages.conf").ends_with("nr_hugepages - - - - 512\n"));
    assert!(
        read("etc/udev/rules.d/61-guideway-bind.rules").contains("ATTR{driver_override}=\"vfio-pci\", RUN+=")
    );

    setup_host(host.path(), &arguments).expect_success("apply again");
    assert_eq!(contents(host.path()), applied, "the second time changes nothing");

    setup_host(host.path(), &["--undo", "--dry-run"]).expect_success("undo, dry");
    assert_eq!(contents(host.path()), applied);
    setup_host(host.path(), &["--undo"]).expect_success("undo");
    let mut after = contents(host.path());
    // What a kernel would act on and not keep: an empty override is none, the others are commands.
    for path in ["devices/0000:3b:00.0/driver_override", "drivers/ixgbe/unbind", "drivers_probe"] {
        let path = host.path().join("sys/bus/pci").join(path);
        after.insert(path.clone(), before[&path].clone());
    }
    assert_eq!(after, before);
    let said = setup_host(host.path(), &["--undo"]);
    assert!(said.status.success() && said.stderr.contains("nothing to undo"), "{}", said.stderr);
}

#[test]
fn a_second_nic_does_not_unbind_the_first_at_boot() {
    let host = host();
    let before = contents(host.path());
    for nic in [NIC, "0000:af:00.0"] {
        setup_host(host.path(), &["--apply", "--bind", nic]).expect_success("apply");
    }
    let rules = host.path().join("etc/udev/rules.d/61-guideway-bind.rules");
    let bound = fs::read_to_string(&rules).expect("the rules");
    assert!(bound.contains(NIC) && bound.contains("0000:af:00.0"), "{bound}");
    setup_host(host.path(), &["--undo"]).expect_success("undo");
    assert!(!rules.exists());
    let files = |all: &BTreeMap<PathBuf, String>| all.keys().cloned().collect::<Vec<_>>();
    assert_eq!(files(&contents(host.path())), files(&before));
}

#[test]
fn what_would_hurt_is_refused_before_anything_is_changed() {
    let host = host();
    let before = contents(host.path());
    for (arguments, words) in [
        (vec!["--bind", "0000:3b:00.1"], "carries the default route"),
        (vec!["--bind", "0000:5e:00.0"], "which DPDK needs"),
        (vec!["--bind", "0000:99:00.0"], "there is no PCI device"),
        (vec!["--bind", "eth1"], "a whole PCI address is wanted"),
        (vec!["--hugepages", "many"], "a number of pages"),
        (vec!["--hugepages"], "--hugepages wants a number of pages"),
        (vec!["--isolate", "two"], "a list of CPUs"),
        (vec!["--everything"], "unknown option"),
        (vec![], "say what to set up"),
    ] {
        let arguments: Vec<&str> = ["--apply"].into_iter().chain(arguments).collect();
        let refused = setup_host(host.path(), &arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(refused.stderr.contains(words), "{arguments:?}: {}", refused.stderr);
        assert_eq!(contents(host.path()), before, "{arguments:?}");
    }
    fs::remove_dir_all(host.path().join("sys/kernel/iommu_groups")).expect("removed");
    let refused = setup_host(host.path(), &["--apply", "--bind", NIC]);
    assert!(!refused.status.success() && refused.stderr.contains("no IOMMU"), "{}", refused.stderr);
}

#[test]
fn the_scripts_are_clean() {
    let checked = || -> Result<(), Skip> {
        require_program("shellcheck", "shellcheck")?;
        let mut command = Command::new("shellcheck");
        command
            .arg("-x")
            .args([
                "scripts/setup-host",
                "scripts/test-systemd",
                "scripts/package",
                "scripts/package-test",
                "scripts/test-kubernetes",
            ])
            .current_dir(repository());
        run(&mut command, LIMIT).expect_success("shellcheck");
        Ok(())
    };
    unless(checked());
}
