//! `guideway backend-setup` against real backends: hosts that know nothing of the VIP are set up by the printed script,
//! serve, and are as they were once it has been taken back.
//!
//! Promises kept here, for every mode: without the script nobody answers, with it every backend does; a second run
//! changes nothing; undo leaves addresses, routes, kernel settings and tc as they were before, to the byte; what two
//! pools share stays until the last of them has gone; `--apply` does the same as the pipe.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::netns::Namespace;
use lb_tests::process::{Finished, run};
use lb_tests::program::{guideway_path, repository};
use lb_tests::skip::{Skip, unless};

const LIMIT: Duration = Duration::from_secs(20);
const HOSTS: [&str; 3] = ["web1", "web2", "web3"];
const REQUESTS: usize = 60;
/// Everything that the script may touch; lifetimes of addresses pass by themselves.
const LOOK: &str = "ip -o addr | sed 's/valid_lft.*//'; ip route show table all; ip -6 route show table all; \
                    tc qdisc show; tc filter show dev eth0 ingress | sed 's/ id [0-9]* / /'; \
                    sysctl -a 2>/dev/null | grep -E 'rp_filter|arp_ignore|arp_announce|forwarding'";

/// A lab whose backends are hosts like any other: no VIP, no tunnel, ARP and the reverse path as a distribution has it.
struct Bare {
    lab: Lab,
    object: PathBuf,
}

impl Bare {
    fn up(encap: Encap, outer: Outer) -> Result<Self, Skip> {
        guideway_path()?;
        let lab = Lab::up(encap, outer, Pmd::AfPacket)?;
        let object = lab.folder().join("for-backends.o");
        let include = format!("-I/usr/include/{}-linux-gnu", std::env::consts::ARCH);
        let mut clang = Command::new("clang");
        clang.args(["-O2", "-g", "-target", "bpf", &include, "-c"]);
        clang.arg(repository().join("agent/decap/decap.bpf.c")).arg("-o").arg(&object);
        run(&mut clang, LIMIT).expect_success("clang");
        let bare = Self { lab, object };
        for host in HOSTS {
            let strip = format!(
                "ip addr del {VIP4}/32 dev lo; ip addr del {VIP6}/128 dev lo; \
                 tc qdisc del dev eth0 clsact 2>/dev/null; cd /sys/class/net; for one in *; do \
                 case $one in lo | eth0) ;; *) ip link del $one 2>/dev/null ;; esac; done; \
                 for family in 4 6; do ip -$family fou del port 6080 2>/dev/null; done; \
                 sysctl -q -w net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0 \
                 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1"
            );
            bare.host(host).run("sh", &["-c", &strip], LIMIT).expect_success("strip");
        }
        Ok(bare)
    }

    fn host(&self, name: &str) -> Namespace {
        self.lab.namespace(name)
    }

    fn look(&self, host: &str) -> String {
        self.host(host).run("sh", &["-c", LOOK], LIMIT).expect_success("look")
    }

    /// What `guideway backend-setup` prints, on a machine that is no backend.
    fn script(&self, pool: &str, more: &[&str]) -> String {
        let mut command = Command::new(guideway_path().expect("built"));
        command.args(["backend-setup", "--pool", pool, "-c"]).arg(self.lab.config()).args(more);
        run(&mut command, LIMIT).expect_success("backend-setup")
    }

    fn setup(&self, pool: &str, decap: &str) -> String {
        let object = self.object.to_string_lossy();
        self.script(pool, &["--decap", decap, "--decap-object", &object])
    }

    /// `| ssh HOST sh`: the script is the shell's standard input. Each host has a state of its own, as hosts have.
    fn pipe(&self, host: &str, script: &str) -> Finished {
        let file = self.lab.folder().join(format!("{host}.sh"));
        std::fs::write(&file, script).expect("written");
        let mut shell = self.host(host).command("sh");
        shell.env("GUIDEWAY_BACKEND_STATE", self.state(host));
        run(shell.args(["-c", "exec sh <\"$0\""]).arg(&file), LIMIT)
    }

    fn state(&self, host: &str) -> PathBuf {
        self.lab.folder().join(format!("state-{host}"))
    }

    fn piped(&self, host: &str, script: &str) -> String {
        let finished = self.pipe(host, script);
        assert!(finished.status.success(), "{host}: {}\n{}", finished.status, finished.stderr);
        finished.stderr
    }

    fn all_serve(&self, vips: &[&str]) {
        for vip in vips {
            let answers = get(&self.lab, vip, REQUESTS);
            assert_eq!(answers.good(), REQUESTS, "{vip}: {:?}", answers.failures);
            assert_eq!(answers.by_backend.len(), 3, "{vip}: {:?}", answers.by_backend);
        }
    }
}

fn works(encap: Encap, outer: Outer, decap: &str) -> Result<(), Skip> {
    let bare = Bare::up(encap, outer)?;
    let _balancer = Balancer::start(&bare.lab)?;
    let before = HOSTS.map(|host| bare.look(host));
    assert_eq!(get(&bare.lab, VIP4, 2).good(), 0, "nobody has the VIP");

    let script = bare.setup("web", decap);
    for host in HOSTS {
        bare.piped(host, &script);
    }
    bare.all_serve(&[VIP4, VIP6]);
    let during = HOSTS.map(|host| bare.look(host));
    let kept = HOSTS.map(|host| bare.state(host).join("web/journal"));
    let journals = kept.each_ref().map(|path| std::fs::read_to_string(path).expect("a journal"));
    assert!(journals[0].contains(&format!("address {VIP4}/32 -\n")), "{}", journals[0]);
    for host in HOSTS {
        let said = bare.piped(host, &script);
        let changes = said.lines().filter(|line| !line.contains("advice:") && !line.contains("this host is"));
        assert_eq!(changes.count(), 0, "a second run changes nothing:\n{said}");
    }
    assert_eq!(HOSTS.map(|host| bare.look(host)), during);
    assert_eq!(kept.map(|path| std::fs::read_to_string(path).expect("a journal")), journals);
    bare.all_serve(&[VIP4]);

    let undo = bare.script("web", &["--undo"]);
    for (host, before) in HOSTS.iter().zip(before) {
        bare.piped(host, &undo);
        assert_eq!(bare.look(host), before, "{host} is as it was");
        assert!(!bare.state(host).exists(), "and nothing is left of the notes");
        let again = bare.piped(host, &undo);
        assert!(again.contains("nothing to undo"), "{again}");
    }
    assert_eq!(get(&bare.lab, VIP4, 2).good(), 0, "nobody has the VIP again");
    Ok(())
}

#[test]
fn backends_of_l2dsr() {
    unless(works(Encap::L2dsr, Outer::V4, "auto"));
}

#[test]
fn backends_of_ipip_by_the_decapsulator() {
    unless(works(Encap::Ipip, Outer::V4, "bpf"));
}

#[test]
fn backends_of_ipip_over_ipv6_by_whatever_the_kernel_has() {
    unless(works(Encap::Ipip, Outer::V6, "auto"));
}

#[test]
fn backends_of_gue_by_whatever_the_kernel_has() {
    unless(works(Encap::Gue, Outer::V4, "auto"));
}

#[test]
fn backends_of_gue_variant_1_by_the_decapsulator() {
    unless(works(Encap::Gue1, Outer::V6, "bpf"));
}

#[test]
fn backends_of_gre_with_a_key_by_whatever_the_kernel_has() {
    unless(works(Encap::GreKey, Outer::V4, "auto"));
}

#[test]
fn backends_of_geneve_by_the_decapsulator() {
    unless(works(Encap::GeneveIp, Outer::V6, "bpf"));
}

#[test]
fn backends_of_vxlan_by_the_kernel() {
    unless(works(Encap::Vxlan, Outer::V4, "kernel"));
}

#[test]
fn backends_of_vxlan_over_ipv6_by_the_kernel() {
    unless(works(Encap::Vxlan, Outer::V6, "kernel"));
}

/// A second pool with the same VIP on another port, as a second configuration of the same lab.
fn shared() -> Result<(), Skip> {
    let bare = Bare::up(Encap::Ipip, Outer::V4)?;
    let text = std::fs::read_to_string(bare.lab.config()).expect("the lab's configuration");
    let (head, rest) = text.split_once("pools:\n").expect("pools");
    let (pools, tail) = rest.split_once("vips:\n").expect("VIPs");
    let dns = pools.replacen("name: web\n", "name: dns\n", 1);
    let vip = format!("  - {{name: dns, addresses: [{VIP4}], ports: [53], protocol: udp, pool: dns}}\n");
    std::fs::write(bare.lab.config(), format!("{head}pools:\n{pools}{dns}vips:\n{vip}{tail}"))
        .expect("written");

    let before = bare.look("web1");
    let (web, dns) = (bare.setup("web", "bpf"), bare.setup("dns", "bpf"));
    bare.piped("web1", &web);
    let both = bare.look("web1");
    bare.piped("web1", &dns);
    assert_eq!(bare.look("web1"), both, "the second pool finds all of it");
    let said = bare.piped("web1", &bare.script("web", &["--undo"]));
    assert!(said.contains("kept for pool dns"), "{said}");
    let now = bare.look("web1");
    assert!(now.contains(VIP4) && now.contains("arp_ignore = 1") && now.contains("clsact"), "{now}");
    assert!(!now.contains(VIP6), "only pool web had it: {now}");
    bare.piped("web1", &bare.script("dns", &["--undo"]));
    assert_eq!(bare.look("web1"), before);
    Ok(())
}

#[test]
fn what_two_pools_share_stays_until_the_last_has_gone() {
    unless(shared());
}

/// A VIP that leaves the configuration leaves the backend, and one that was there before the first run stays.
fn changed() -> Result<(), Skip> {
    let bare = Bare::up(Encap::L2dsr, Outer::V4)?;
    let own = format!("{VIP4}/32");
    bare.host("web1").run("ip", &["addr", "add", &own, "dev", "lo"], LIMIT).expect_success("ip");
    let before = bare.look("web1");
    bare.piped("web1", &bare.setup("web", "auto"));
    assert!(bare.look("web1").contains(VIP6));
    let text = std::fs::read_to_string(bare.lab.config()).expect("the lab's configuration");
    let fewer = text.replace(&format!(", \"{VIP6}\"]"), "]");
    assert_ne!(fewer, text);
    std::fs::write(bare.lab.config(), fewer).expect("written");
    let said = bare.piped("web1", &bare.setup("web", "auto"));
    assert!(said.contains(&format!("undone: address {VIP6}/128")), "{said}");
    assert!(!bare.look("web1").contains(VIP6));
    bare.piped("web1", &bare.script("web", &["--undo"]));
    assert_eq!(bare.look("web1"), before, "with the address that was there");
    Ok(())
}

#[test]
fn vips_that_have_gone_are_taken_off() {
    unless(changed());
}

fn applied() -> Result<(), Skip> {
    let bare = Bare::up(Encap::L2dsr, Outer::V4)?;
    let config = bare.lab.config();
    let apply = |arguments: &[&str]| {
        let program = guideway_path().expect("built");
        let mut command = bare.host("web2").command(&program.to_string_lossy());
        command.env("GUIDEWAY_BACKEND_STATE", bare.state("web2"));
        command.args(["backend-setup", "--pool", "web", "--apply"]).args(arguments);
        run(&mut command, LIMIT)
    };
    let before = bare.look("web2");
    let config = config.to_string_lossy();
    let done = apply(&["-c", &config]);
    assert!(done.status.success() && done.stdout.is_empty(), "{}{}", done.stdout, done.stderr);
    assert!(done.stderr.contains("backend web-2 of pool web, on eth0"), "{}", done.stderr);
    let undone = apply(&["--undo"]);
    assert!(undone.status.success(), "{}", undone.stderr);
    assert_eq!(bare.look("web2"), before);

    let wrong = apply(&["-c", &config, "--backend", "web-1"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stderr.contains("no address of a backend of pool web"), "{}", wrong.stderr);
    let nowhere = apply(&["-c", &config, "--interface", "eth7"]);
    assert!(!nowhere.status.success() && nowhere.stderr.contains("no interface eth7"), "{}", nowhere.stderr);
    assert_eq!(bare.look("web2"), before, "a refusal changes nothing");
    Ok(())
}

#[test]
fn apply_is_the_pipe_on_this_host() {
    unless(applied());
}

/// Anybody may print; only root may run, and is told so in one line.
fn unprivileged() -> Result<(), Skip> {
    let program = guideway_path()?;
    let config = repository().join("config/lab-af-packet.yaml");
    let mut print = Command::new(&program);
    let pool = "web";
    print.args(["backend-setup", "--pool", pool, "-c"]).arg(config);
    let script = run(&mut print, LIMIT).expect_success("backend-setup");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), script).expect("written");
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o644)).expect("readable");
    let mut shell = Command::new("setpriv");
    shell.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "sh", "-c", "exec sh <\"$0\""]);
    shell.arg(file.path());
    let refused = run(&mut shell, LIMIT);
    if refused.stderr.contains("setpriv:") {
        return Err(Skip(format!("cannot become another user: {}", refused.stderr.trim())));
    }
    assert_eq!(refused.status.code(), Some(1));
    assert_eq!(
        refused.stderr, "guideway: backend-setup changes addresses and kernel settings: run it as root\n",
        "and nothing else"
    );
    Ok(())
}

#[test]
fn without_root_it_says_so_once() {
    unless(unprivileged());
}
