//! The CPUs of the workers: there, allowed, alone, awake and near the NIC; and the clock they read.

use super::host::listed;
use super::{Device, Findings, Host};
use crate::config::model::{Config, Idle};
use lb_core::hw::Level;

const CPU: &str = "sys/devices/system/cpu";

pub(super) fn check(config: Option<&Config>, devices: &[Device], host: &Host, findings: &mut Findings) {
    instruction_set(findings);
    clock(host, findings);
    let Some(dataplane) = config.map(|config| &config.dataplane).filter(|it| !it.workers.is_empty()) else {
        return;
    };
    let workers = &dataplane.workers;
    if !present(workers, &dataplane.control_cpus, host, findings) {
        return;
    }
    siblings(workers, host, findings);
    numa(workers, devices, host, findings);
    if dataplane.idle == Idle::BusyPoll {
        isolation(workers, host, findings);
        governor(workers, host, findings);
    }
}

fn instruction_set(findings: &mut Findings) {
    let level = Level::detect().name();
    if level == "portable" && cfg!(target_arch = "x86_64") {
        findings.warning(
            "cpu.instruction_set",
            "this CPU shows no AES-NI with AVX2 (x86-64-v3)",
            "the flow hash and the table lookup run in software: several times the time per packet",
            "in a VM, pass the host's CPU through: `-cpu host` (QEMU), <cpu mode='host-passthrough'/> (libvirt)",
        );
    } else {
        findings.ok("cpu.instruction_set", format!("packet path: {level}"));
    }
}

fn clock(host: &Host, findings: &mut Findings) {
    let Some(source) = host.text("sys/devices/system/clocksource/clocksource0/current_clocksource") else {
        return;
    };
    let flags = host.text("proc/cpuinfo").unwrap_or_default();
    let is_x86 = flags.contains("\nflags");
    let is_unstable = is_x86 && !flags.contains("constant_tsc")
        || ["hpet", "acpi_pm", "jiffies"].contains(&source.as_str());
    if is_unstable {
        findings.warning(
            "cpu.clock",
            format!("clock source {source}; the cycle counter is not known to be constant"),
            "time stamps of the packet path come from the cycle counter; latencies in metrics may be wrong",
            "dmesg | grep -i -e tsc -e clocksource   # why the kernel left it; in a VM, expose `invtsc`",
        );
    } else {
        findings.ok("cpu.clock", format!("clock source {source}"));
    }
}

fn present(workers: &[u32], control: &[u32], host: &Host, findings: &mut Findings) -> bool {
    let Some(online) = host.cpus(&format!("{CPU}/online")) else { return true };
    let allowed = host.field("proc/self/status", "Cpus_allowed_list:");
    let allowed = allowed.map_or_else(|| online.clone(), |text| super::host::cpu_list(&text));
    let missing = |wanted: &[u32], there: &[u32]| {
        wanted.iter().filter(|cpu| !there.contains(cpu)).copied().collect::<Vec<_>>()
    };
    let wanted: Vec<u32> = workers.iter().chain(control).copied().collect();
    let (absent, forbidden) = (missing(&wanted, &online), missing(&wanted, &allowed));
    if !absent.is_empty() {
        findings.error(
            "cpu.present",
            format!("CPU {} is not online; there are {}", listed(&absent), listed(&online)),
            "a worker cannot be pinned to a CPU that is not there",
            "lscpu -e   # then list CPUs that are online under `dataplane.workers` and `control_cpus`",
        );
    } else if !forbidden.is_empty() {
        findings.error(
            "cpu.present",
            format!("this process may not use CPU {}", listed(&forbidden)),
            "the cpuset of its container or service leaves it out",
            "taskset -pc $$   # then widen AllowedCPUs= (systemd), --cpuset-cpus (Docker), or change the configuration",
        );
    } else {
        findings.ok("cpu.present", format!("workers on CPU {}", listed(workers)));
    }
    absent.is_empty()
}

fn siblings(workers: &[u32], host: &Host, findings: &mut Findings) {
    for (index, worker) in workers.iter().enumerate() {
        let list = host.cpus(&format!("{CPU}/cpu{worker}/topology/thread_siblings_list")).unwrap_or_default();
        let shared = workers[index + 1..].iter().find(|other| list.contains(other));
        if let Some(other) = shared {
            findings.warning(
                "cpu.siblings",
                format!("workers {worker} and {other} are two threads of one core"),
                "they share its execution units and caches: together they do little more than one",
                "lscpu -e=CPU,CORE,SOCKET   # then give every worker a core of its own",
            );
        }
    }
}

fn numa(workers: &[u32], devices: &[Device], host: &Host, findings: &mut Findings) {
    for device in devices {
        let folder = match (device.pci(), device.interface()) {
            (Some(address), _) => format!("sys/bus/pci/devices/{address}"),
            (None, Some(interface)) => format!("sys/class/net/{interface}/device"),
            (None, None) => continue,
        };
        let Some(node) = host.text(&format!("{folder}/numa_node")).and_then(|text| text.parse::<u32>().ok())
        else {
            continue;
        };
        let Some(near) = host.cpus(&format!("sys/devices/system/node/node{node}/cpulist")) else { continue };
        let far: Vec<u32> = workers.iter().filter(|cpu| !near.contains(cpu)).copied().collect();
        if far.is_empty() {
            findings.ok("cpu.numa", format!("port {} and its workers are on NUMA node {node}", device.port));
        } else {
            findings.warning(
                "cpu.numa",
                format!("port {} is on NUMA node {node}, CPU {} is not", device.port, listed(&far)),
                "every packet then crosses the interconnect between the sockets",
                format!("cat /sys/devices/system/node/node{node}/cpulist   # choose `dataplane.workers` from these"),
            );
        }
    }
}

fn isolation(workers: &[u32], host: &Host, findings: &mut Findings) {
    let kernel = |name: &str| host.cpus(&format!("{CPU}/{name}")).unwrap_or_default();
    let (isolated, tickless) = (kernel("isolated"), kernel("nohz_full"));
    let without =
        |list: &[u32]| workers.iter().filter(|cpu| !list.contains(cpu)).copied().collect::<Vec<_>>();
    let (shared, ticking) = (without(&isolated), without(&tickless));
    if shared.is_empty() && ticking.is_empty() {
        return findings.ok("cpu.isolation", "the workers' CPUs are isolated and without timer tick");
    }
    let all: Vec<String> = workers.iter().map(u32::to_string).collect();
    let list = all.join(",");
    let (seen, why) = if shared.is_empty() {
        (
            format!("the timer ticks on CPU {}", listed(&ticking)),
            "each tick delays a burst by some microseconds",
        )
    } else {
        (
            format!("CPU {} is shared with the rest of the system", listed(&shared)),
            "whatever the scheduler puts there stops a worker for milliseconds, and the NIC drops meanwhile",
        )
    };
    let fix = format!(
        "add `isolcpus={list} nohz_full={list} rcu_nocbs={list}` to GRUB_CMDLINE_LINUX in /etc/default/grub, then \
         update-grub && reboot"
    );
    findings.warning("cpu.isolation", seen, why, fix);
}

fn governor(workers: &[u32], host: &Host, findings: &mut Findings) {
    let of = |cpu: &u32| Some((*cpu, host.text(&format!("{CPU}/cpu{cpu}/cpufreq/scaling_governor"))?));
    let slow: Vec<u32> = workers
        .iter()
        .filter_map(of)
        .filter(|(_, governor)| governor != "performance")
        .map(|(cpu, _)| cpu)
        .collect();
    if !slow.is_empty() {
        findings.warning(
            "cpu.governor",
            format!("CPU {} changes its frequency with the load", listed(&slow)),
            "a polling worker looks busy or idle to the governor at the wrong times",
            "cpupower frequency-set -g performance",
        );
    }
}
