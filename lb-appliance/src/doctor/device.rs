//! What a port's `device:` asks of the host, told from its text alone.
//!
//! Not `dpdk::DeviceSpec`: the doctor also works in a build without DPDK.

use crate::config::model::{Dataplane, Port};
use crate::config::pci_address;

/// A device and the port that uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Name of the port.
    pub port: String,
    /// MTU of the port.
    pub mtu: u16,
    /// What it is.
    pub kind: Kind,
}

/// A PCI function, or a driver of DPDK that needs none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Address in full form.
    Pci(String),
    /// A virtual device.
    Virtual {
        /// `net_af_packet`.
        driver: String,
        /// Kernel interface that it takes over.
        interface: Option<String>,
    },
}

impl Device {
    /// The devices of all ports.
    pub fn all(dataplane: &Dataplane) -> Vec<Self> {
        dataplane.ports.iter().map(Self::of).collect()
    }

    /// The taps that punt interfaces are.
    pub fn punts(dataplane: &Dataplane) -> Vec<Self> {
        let ports = dataplane.ports.iter().filter(|port| port.punt.is_some());
        let tap = |port: &Port| Self {
            port: format!("{} (punt)", port.name),
            mtu: port.mtu,
            kind: Kind::Virtual { driver: "net_tap".to_owned(), interface: None },
        };
        ports.map(tap).collect()
    }

    fn of(port: &Port) -> Self {
        let mut parts = port.device.split(',');
        let name = parts.next().unwrap_or_default();
        let kind = match pci_address(name) {
            Some(address) => Kind::Pci(address),
            None => {
                let driver = name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
                let argument = |key: &str| {
                    let mut arguments = port.device.split(',').skip(1);
                    arguments.find_map(|part| part.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
                };
                // A tap makes its interface; only these take over one that exists.
                let takes_over = ["net_af_packet", "net_af_xdp", "net_pcap"].contains(&driver.as_str());
                Kind::Virtual { interface: argument("iface").filter(|_| takes_over), driver }
            }
        };
        Self { port: port.name.clone(), mtu: port.mtu, kind }
    }

    /// The kernel interface that it takes over.
    pub fn interface(&self) -> Option<&str> {
        match &self.kind {
            Kind::Virtual { interface, .. } => interface.as_deref(),
            Kind::Pci(_) => None,
        }
    }

    /// Whether it is a virtual device of this driver.
    pub fn is(&self, name: &str) -> bool {
        matches!(&self.kind, Kind::Virtual { driver, .. } if driver == name)
    }

    /// The PCI address.
    pub fn pci(&self) -> Option<&str> {
        match &self.kind {
            Kind::Pci(address) => Some(address),
            Kind::Virtual { .. } => None,
        }
    }
}
