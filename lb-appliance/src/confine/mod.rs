//! Least privilege: what the process gives up once ports and listeners are open.
//!
//! Here is what is decided, from the configuration alone; `runtime` does it.

pub mod policy;

use crate::config::model::{CapabilityPolicy, Config, Probe, Seccomp};
use policy::Needs;

/// Bit number (linux/capability.h) and name of a capability.
pub type Capability = (u32, &'static str);

/// Routes, rules, interfaces, promiscuous mode.
pub const NET_ADMIN: Capability = (12, "cap_net_admin");
/// Packet sockets.
pub const NET_RAW: Capability = (13, "cap_net_raw");
/// Locked memory beyond the limit.
pub const IPC_LOCK: Capability = (14, "cap_ipc_lock");
/// Programs of the kernel's (XDP), among much else.
pub const SYS_ADMIN: Capability = (21, "cap_sys_admin");
/// Memory policies, where a container's filter asks for it.
pub const SYS_NICE: Capability = (23, "cap_sys_nice");

/// What a start may need; taken up if it is permitted and not effective, as by file capabilities of the program.
pub const WANTED: [Capability; 5] = [NET_ADMIN, NET_RAW, IPC_LOCK, SYS_ADMIN, SYS_NICE];

/// What happens to a system call that the filter does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It fails with EPERM.
    Enforce,
    /// It is made.
    Log,
}

/// What the filter of a configuration does; none if there is to be no filter.
pub fn action(config: &Config) -> Option<Action> {
    match config.security.seccomp {
        Seccomp::Enforce => Some(Action::Enforce),
        Seccomp::Log => Some(Action::Log),
        Seccomp::Off => None,
    }
}

/// How wide the filter of a configuration must be.
pub fn needs(config: &Config) -> Needs {
    let is_xdp = |port: &crate::config::model::Port| port.device.starts_with("net_af_xdp");
    Needs { commands: config.security.may_execute, xdp: config.dataplane.ports.iter().any(is_xdp) }
}

/// Whether a health check executes a program.
pub fn has_commands(config: &Config) -> bool {
    first_command(config).is_some()
}

/// The first pool whose health check executes a program.
pub fn first_command(config: &Config) -> Option<&str> {
    let is_command = |pool: &&crate::config::model::Pool| {
        pool.health.check.as_ref().is_some_and(|check| matches!(check.probe, Probe::Command { .. }))
    };
    config.pools.iter().find(is_command).map(|pool| pool.name.as_str())
}

/// Capabilities that are needed after the start, with what for. `None`: nothing is given up.
pub fn kept(config: &Config) -> Option<Vec<(Capability, &'static str)>> {
    if config.security.capabilities == CapabilityPolicy::Keep {
        return None;
    }
    let mut kept: Vec<(Capability, &'static str)> = Vec::new();
    let mut keep = |capability: Capability, why: &'static str| {
        if !kept.iter().any(|(known, _)| *known == capability) {
            kept.push((capability, why));
        }
    };
    for port in &config.dataplane.ports {
        let is_pci = !port.device.starts_with("net_");
        if port.device.starts_with("net_af_xdp") {
            keep(NET_ADMIN, "takes the XDP program off the interface at the end");
            keep(SYS_ADMIN, "takes the XDP program off the interface at the end");
        }
        if port.punt.is_some() {
            keep(NET_ADMIN, "routes and rules of probes through the tunnel; the NIC is left as it was found");
        }
        if port.promiscuous && !is_pci {
            keep(NET_ADMIN, "the NIC is left as it was found");
        }
        if is_pci {
            keep(IPC_LOCK, "memory that the NIC reads and writes");
        }
    }
    Some(kept)
}

/// The names of a set of capabilities.
pub fn names(set: u64) -> Vec<String> {
    let name = |number: u32| {
        NAMES.get(number as usize).map_or_else(|| format!("cap_{number}"), |name| format!("cap_{name}"))
    };
    (0..u64::BITS).filter(|number| set >> number & 1 == 1).map(name).collect()
}

/// By number (linux/capability.h).
const NAMES: [&str; 41] = [
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn config(ports: &str, rest: &str) -> Config {
        let text = format!(
            "version: 1\ndataplane: {{ports: [{ports}]}}\nforwarding: {{encapsulation: {{source: {{ipv4: 10.0.0.2}}}}}}\n{rest}\
             pools: [{{name: web, encap: {{ipip: {{}}}}, backends: [{{name: a, address: 10.0.1.1, mac: \"02:00:00:00:00:02\"}}]}}]\n\
             vips: [{{name: web, addresses: [203.0.113.10], protocol: tcp, ports: [80], pool: web}}]\n"
        );
        crate::config::parse("t.yaml", &text).unwrap()
    }

    fn kept_names(ports: &str) -> Vec<&'static str> {
        kept(&config(ports, "")).unwrap().into_iter().map(|((_, name), _)| name).collect()
    }

    #[test]
    fn what_is_kept_depends_on_the_ports_alone() {
        assert_eq!(kept_names("{name: p, device: \"net_af_packet0,iface=eth0\"}"), [""; 0]);
        assert_eq!(kept_names("{name: p, device: \"net_tap0,iface=gw\"}"), [""; 0]);
        assert_eq!(kept_names("{name: p, device: \"0000:3b:00.0\"}"), ["cap_ipc_lock"]);
        assert_eq!(
            kept_names("{name: p, device: \"net_af_packet0,iface=eth0\", promiscuous: true}"),
            ["cap_net_admin"]
        );
        assert_eq!(
            kept_names(
                "{name: p, device: \"net_af_xdp0,iface=eth0\"}, {name: q, device: \"0000:3b:00.0\", addresses: [10.0.1.254/24], punt: gw0}"
            ),
            ["cap_net_admin", "cap_sys_admin", "cap_ipc_lock"]
        );
        let punt = "{name: p, device: \"0000:3b:00.0\", punt: gw-p, addresses: [10.0.0.2/24]}";
        assert_eq!(kept_names(punt), ["cap_net_admin", "cap_ipc_lock"]);
    }

    #[test]
    fn defaults_are_the_safe_ones_and_every_word_counts() {
        let port = "{name: p, device: net_null0}";
        let default = config(port, "");
        assert_eq!((action(&default), needs(&default)), (Some(Action::Enforce), Needs::default()));
        let open = config(port, "security: {seccomp: off, capabilities: keep, commands: true}\n");
        assert_eq!((action(&open), needs(&open)), (None, Needs { commands: true, xdp: false }));
        assert_eq!(kept(&open), None);
        assert_eq!(action(&config(port, "security: {seccomp: log}\n")), Some(Action::Log));
    }

    #[test]
    fn a_health_check_by_command_widens_the_filter_by_itself() {
        let text = "version: 1\npools: [{name: web, encap: {l2dsr: {}}, health_check: {command: [/bin/true]}, \
                    backends: [{name: a, address: 10.0.1.1, mac: \"02:00:00:00:00:02\"}]}]\nvips: []\n";
        let config = crate::config::parse("t.yaml", text).unwrap();
        assert!(config.security.may_execute && !config.security.commands);
        assert_eq!(first_command(&config), Some("web"));
    }

    #[test]
    fn names_are_those_of_the_kernel() {
        let named = |(number, name): Capability| names(1 << number) == [name];
        assert!(WANTED.into_iter().all(named));
        assert_eq!(names(1 << 40 | 1 << 41 | 1), ["cap_chown", "cap_checkpoint_restore", "cap_41"]);
    }
}
