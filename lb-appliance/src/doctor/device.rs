//! What a port's `device:` asks of the host, told from its text alone.
//!
//! Not `dpdk::DeviceSpec`: the doctor also works in a build without DPDK.

use crate::config::model::{Dataplane, Port};

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

/// `3b:00.0` and `0000:3b:00.0` in full form; none for anything else.
pub(super) fn pci_address(text: &str) -> Option<String> {
    let (front, function) = text.rsplit_once('.')?;
    let fields: Vec<&str> = front.split(':').collect();
    let full = match fields.as_slice() {
        [bus, slot] => ["0000", bus, slot],
        [domain, bus, slot] => [*domain, bus, slot],
        _ => return None,
    };
    let hexadecimal =
        |field: &str, len: usize| field.len() == len && field.bytes().all(|byte| byte.is_ascii_hexdigit());
    let valid = hexadecimal(full[0], 4)
        && hexadecimal(full[1], 2)
        && hexadecimal(full[2], 2)
        && matches!(function.as_bytes(), [b'0'..=b'7']);
    valid.then(|| format!("{}.{function}", full.join(":")).to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_have_a_short_and_a_full_form() {
        assert_eq!(pci_address("3B:00.1").as_deref(), Some("0000:3b:00.1"));
        assert_eq!(pci_address("0001:3b:00.0").as_deref(), Some("0001:3b:00.0"));
        for text in ["net_tap0", "3b:00", "3b:00.8", "3b:0.0", ""] {
            assert_eq!(pci_address(text), None, "{text}");
        }
    }
}
