//! The lab as a value: client, balancer's namespace and three nginx exist while a [`Lab`] lives.
//!
//! The topology is described once, in `scripts/lib/lab.sh`; here are only its names and addresses. What must hold: one lab
//! at a time on a machine (a lock file; these tests share two cores), and nothing of it is left after `Drop`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::netns::Namespace;
use crate::nginx::Nginx;
use crate::process::run;
use crate::program::repository;
use crate::skip::{Skip, require_program};

/// The service's IPv4 address.
pub const VIP4: &str = "203.0.113.10";
/// The service's IPv6 address.
pub const VIP6: &str = "2001:db8:cafe::10";
/// The client's own IPv4 address.
pub const CLIENT4: &str = "198.51.100.7";
/// The client's own IPv6 address.
pub const CLIENT6: &str = "2001:db8:100::7";
/// The MAC address of the balancer's NIC.
pub const BALANCER_MAC: &str = "02:67:77:00:00:11";
/// The sources of outer headers, IPv4 and IPv6.
pub const BALANCER_SOURCES: [&str; 2] = ["198.51.100.11", "2001:db8:100::11"];
/// The router that [`Lab::route`] makes: its addresses, and its MAC address towards the balancer.
pub const ROUTER: [&str; 3] = ["198.51.100.30", "2001:db8:100::30", "02:67:77:00:00:30"];
/// Where the balancer listens for scrapes, inside its namespace.
pub const METRICS: &str = "127.0.0.1:9843";

/// How a packet reaches its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encap {
    /// IP in IP.
    Ipip,
    /// GUE variant 0.
    Gue,
    /// GUE variant 1.
    Gue1,
    /// GRE without a key.
    Gre,
    /// GRE with a key.
    GreKey,
    /// VXLAN.
    Vxlan,
    /// Geneve with an inner Ethernet header.
    Geneve,
    /// Geneve with the IP datagram at once.
    GeneveIp,
    /// Only the destination MAC is rewritten.
    L2dsr,
}

impl Encap {
    /// The name in the scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ipip => "ipip",
            Self::Gue => "gue",
            Self::Gue1 => "gue1",
            Self::Gre => "gre",
            Self::GreKey => "grekey",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::GeneveIp => "geneveip",
            Self::L2dsr => "l2dsr",
        }
    }
}

/// The address family of the backends, and so of the outer header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outer {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// The DPDK driver of the balancer's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pmd {
    /// `net_af_packet`.
    AfPacket,
    /// `net_af_xdp`.
    AfXdp,
    /// `net_tap`.
    Tap,
}

impl Pmd {
    /// The name in the scripts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AfPacket => "af_packet",
            Self::AfXdp => "af_xdp",
            Self::Tap => "tap",
        }
    }
}

/// A lab that is up.
#[derive(Debug)]
pub struct Lab {
    id: String,
    folder: PathBuf,
    /// Held for as long as the lab is up; the kernel releases it if the test dies.
    _lock: File,
}

impl Lab {
    /// Makes the namespaces, the cables and the backends, and writes the matching configuration.
    ///
    /// # Errors
    /// `Skip` without root, or when the kernel or the machine lacks something the lab needs.
    pub fn up(encap: Encap, outer: Outer, pmd: Pmd) -> Result<Self, Skip> {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        for (program, package) in [
            ("ip", "iproute2"),
            ("nginx", "nginx-light"),
            ("nft", "nftables"),
            ("ethtool", "ethtool"),
            ("clang", "clang"),
        ] {
            require_program(program, package)?;
        }
        let lock = turn();
        // Under the lock: tests of one process side by side try the same name.
        require_namespaces()?;
        let id = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let outer = if outer == Outer::V6 { "v6" } else { "v4" };
        let finished = run(
            lab_script().args([
                "up",
                "--id",
                &id,
                "--encap",
                encap.name(),
                "--outer",
                outer,
                "--pmd",
                pmd.name(),
            ]),
            Duration::from_secs(60),
        );
        let folder = PathBuf::from(finished.expect_success("scripts/lab up").trim());
        Ok(Self { id, folder, _lock: lock })
    }

    /// The namespace of a role: `client`, `lb`, `web1`...
    #[must_use]
    pub fn namespace(&self, role: &str) -> Namespace {
        Namespace::named(format!("gwlab-{}-{role}", self.id))
    }

    /// The three web servers.
    #[must_use]
    pub fn backends(&self) -> [Nginx; 3] {
        [1, 2, 3].map(|number| Nginx::new(&self.folder, number))
    }

    /// One more backend, by its number from 4 to 9: a namespace like the others, without nginx.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn extend(&self, number: u8, encap: Encap) {
        let number = number.to_string();
        let arguments = ["extend", "--id", &self.id, "--number", &number, "--encap", encap.name()];
        run(lab_script().args(arguments), Duration::from_secs(60)).expect_success("scripts/lab extend");
    }

    /// A [`ROUTER`] with a link of `mtu` bytes to `client`, through which the backends reply, or to `web1`, for a
    /// balancer that has it as its gateway.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn route(&self, to: &str, mtu: u32) {
        let mtu = mtu.to_string();
        let arguments = ["router", "--id", &self.id, "--to", to, "--mtu", &mtu];
        run(lab_script().args(arguments), Duration::from_secs(60)).expect_success("scripts/lab router");
    }

    /// The backends find the balancer, which answers no ARP; with `clients` they send what is for the client to it as well.
    /// For address translation, where replies come back through it.
    ///
    /// # Panics
    /// When a neighbour or a route is refused.
    pub fn reply_by_balancer(&self, clients: bool) {
        for role in ["web1", "web2", "web3"] {
            let ip = |arguments: &[&str]| {
                let finished = self.namespace(role).run("ip", arguments, Duration::from_secs(5));
                finished.expect_success("the way back");
            };
            for (own, client) in BALANCER_SOURCES.into_iter().zip([CLIENT4, CLIENT6]) {
                ip(&["neigh", "replace", own, "lladdr", BALANCER_MAC, "nud", "permanent", "dev", "eth0"]);
                if clients {
                    ip(&["route", "add", client, "via", own, "dev", "eth0"]);
                }
            }
        }
    }

    /// Makes the backends' replies, which go past the balancer, fit the client's 1500 bytes when they come in fragments.
    ///
    /// # Panics
    /// When a route is refused.
    pub fn narrow_replies(&self) {
        for role in ["web1", "web2", "web3"] {
            for to in [CLIENT4, CLIENT6] {
                let route = ["route", "add", to, "dev", "eth0", "mtu", "1500"];
                let finished = self.namespace(role).run("ip", &route, Duration::from_secs(5));
                finished.expect_success("a narrow route to the client");
            }
        }
    }

    /// A copy of the lab's configuration in which texts are replaced by others.
    ///
    /// # Panics
    /// When one of them is not there.
    #[must_use]
    pub fn edited_config(&self, edits: &[(&str, &str)]) -> PathBuf {
        let mut text = std::fs::read_to_string(self.config()).expect("the lab's configuration");
        for (from, to) in edits {
            assert!(text.contains(from), "{from:?} is not in\n{text}");
            text = text.replace(from, to);
        }
        let path = self.folder.join("edited.yaml");
        std::fs::write(&path, text).expect("written");
        path
    }

    /// Gives the balancer's kernel a way of its own to the backends, for health checks: its NIC belongs to DPDK.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn manage(&self) {
        let (balancer, bridge) = (self.namespace("lb"), self.namespace("br"));
        let cable =
            ["link", "add", "mgmt0", "type", "veth", "peer", "name", "p-mgmt", "netns", bridge.name()];
        let ip = |namespace: &Namespace, arguments: &[&str]| {
            namespace.run("ip", arguments, Duration::from_secs(5)).expect_success("management cable");
        };
        ip(&balancer, &cable);
        ip(&bridge, &["link", "set", "p-mgmt", "master", "br0", "up"]);
        ip(&balancer, &["addr", "add", "198.51.100.12/24", "dev", "mgmt0"]);
        ip(&balancer, &["link", "set", "mgmt0", "up"]);
    }

    /// The configuration that `scripts/lab` wrote for this lab.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("guideway.yaml")
    }

    /// What takes the outer headers off on a backend: `kernel` (a tunnel device) or `decap` (agent/decap); `None` if
    /// there are none.
    #[must_use]
    pub fn receiver(&self, role: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.join(format!("{role}.receiver"))).ok()?;
        Some(text.trim().to_owned())
    }

    /// Where files of this lab live; removed with it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let finished = run(lab_script().args(["down", "--id", &self.id]), Duration::from_secs(60));
        if !finished.status.success() {
            eprintln!("scripts/lab down --id {}: {}{}", self.id, finished.stdout, finished.stderr);
        }
    }
}

/// The configuration of a lab, without making it.
#[must_use]
pub fn config_text(encap: Encap, pmd: Pmd) -> String {
    run(lab_script().args(["config", "--encap", encap.name(), "--pmd", pmd.name()]), Duration::from_secs(10))
        .expect_success("scripts/lab config")
}

fn lab_script() -> Command {
    Command::new(repository().join("scripts/lab"))
}

/// Waits until no other lab is up; nobody else makes one while the answer is held.
///
/// # Panics
/// When the lock file cannot be made.
#[must_use]
pub fn turn() -> File {
    let lock = File::create(std::env::temp_dir().join("gwlab.lock")).expect("lock file");
    lock.lock().expect("lock");
    lock
}

/// Namespaces need CAP_SYS_ADMIN, which root has on a machine and often not in a container.
fn require_namespaces() -> Result<(), Skip> {
    let name = format!("gwlab-{}-probe", std::process::id());
    let made = run(Command::new("ip").args(["netns", "add", &name]), Duration::from_secs(5));
    if !made.status.success() {
        return Err(Skip(format!("cannot make network namespaces, run as root: {}", made.stderr.trim())));
    }
    run(Command::new("ip").args(["netns", "del", &name]), Duration::from_secs(5));
    Ok(())
}
