//! `DeviceSpec`: the `device:` of a port, a PCI address or a DPDK virtual device, parsed without DPDK.
//!
//! Parsing is pure, so a configuration can be checked where no EAL runs. Whether the device exists is a
//! different question, answered by `Eal::port_by_device`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Longest device name DPDK accepts (`RTE_DEV_NAME_MAX_LEN` less its NUL).
const NAME_BYTES_MAX: usize = 63;

/// A device that EAL is to probe, with the driver arguments that follow its name.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum DeviceSpec {
    /// A PCI function in full form: `0000:3b:00.0`.
    Pci {
        /// Domain, bus, device and function, lower case.
        address: String,
        /// Driver arguments after the first comma.
        arguments: Option<String>,
    },
    /// A virtual device: driver name and a number, `net_af_packet0`.
    Vdev {
        /// The device's name.
        name: String,
        /// Driver arguments after the first comma.
        arguments: Option<String>,
    },
}

/// Why a `device:` is neither a PCI address nor a virtual device.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DeviceError {
    /// Neither form.
    #[error(
        "`{0}` is neither a PCI address (\"0000:3b:00.0\") nor a DPDK virtual device (\"net_af_packet0,iface=eth1\")"
    )]
    Form(String),
    /// A character DPDK's argument syntax cannot carry.
    #[error("`{0}` contains white space or a control character")]
    Character(String),
    /// The name is too long for DPDK.
    #[error("the name in `{0}` is longer than {NAME_BYTES_MAX} bytes")]
    Length(String),
    /// A virtual device without its number: two of one kind would collide.
    #[error("`{0}` needs a number after the driver's name, as in `{0}0`")]
    Number(String),
}

impl DeviceSpec {
    /// The name under which EAL registers the device.
    pub fn name(&self) -> &str {
        match self {
            Self::Pci { address, .. } => address,
            Self::Vdev { name, .. } => name,
        }
    }

    /// The driver arguments after the name.
    pub fn arguments(&self) -> Option<&str> {
        match self {
            Self::Pci { arguments, .. } | Self::Vdev { arguments, .. } => arguments.as_deref(),
        }
    }

    /// The driver of a virtual device (`net_af_packet` of `net_af_packet0`); none for PCI.
    pub fn driver(&self) -> Option<&str> {
        match self {
            Self::Pci { .. } => None,
            Self::Vdev { name, .. } => Some(name.trim_end_matches(|c: char| c.is_ascii_digit())),
        }
    }

    /// The kernel interface a virtual device works on (`iface=`).
    pub fn interface(&self) -> Option<&str> {
        self.argument("iface")
    }

    /// The value of one `key=value` argument.
    pub fn argument(&self, key: &str) -> Option<&str> {
        self.arguments()?.split(',').find_map(|argument| argument.strip_prefix(key)?.strip_prefix('='))
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(DeviceError::Character(text.escape_debug().to_string()));
        }
        let (name, arguments) = match text.split_once(',') {
            Some((name, arguments)) => (name, Some(arguments.to_owned())),
            None => (text, None),
        };
        if name.len() > NAME_BYTES_MAX {
            return Err(DeviceError::Length(text.to_owned()));
        }
        if let Some(address) = pci_address(name) {
            return Ok(Self::Pci { address, arguments });
        }
        if !name.starts_with("net_") || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(DeviceError::Form(text.to_owned()));
        }
        if !name.ends_with(|c: char| c.is_ascii_digit()) {
            return Err(DeviceError::Number(name.to_owned()));
        }
        Ok(Self::Vdev { name: name.to_owned(), arguments })
    }
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.arguments() {
            Some(arguments) => write!(f, "{},{arguments}", self.name()),
            None => f.write_str(self.name()),
        }
    }
}

/// `0000:3b:00.0` or the short `3b:00.0`, as the full lower-case form that EAL registers.
fn pci_address(text: &str) -> Option<String> {
    let (slot, function) = text.rsplit_once('.')?;
    let parts: Vec<&str> = slot.split(':').collect();
    let (domain, bus, device) = match parts[..] {
        [domain, bus, device] => (domain, bus, device),
        [bus, device] => ("0000", bus, device),
        _ => return None,
    };
    let hex = |part: &str, digits: usize, max: u32| {
        (part.len() == digits && part.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| u32::from_str_radix(part, 16).ok())
            .flatten()
            .is_some_and(|value| value <= max)
    };
    (hex(domain, 4, 0xffff) && hex(bus, 2, 0xff) && hex(device, 2, 0x1f) && hex(function, 1, 7))
        .then(|| format!("{domain}:{bus}:{device}.{function}").to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DeviceSpec, DeviceError> {
        text.parse()
    }

    #[test]
    fn a_pci_address_gets_its_full_lower_case_form() {
        let full = parse("0000:3B:00.0").unwrap();
        assert_eq!(full.name(), "0000:3b:00.0");
        assert_eq!(parse("3b:00.0").unwrap(), full);
        assert_eq!((full.driver(), full.interface()), (None, None));
    }

    #[test]
    fn a_virtual_device_knows_its_driver_and_interface() {
        let device = parse("net_af_packet0,iface=eth1,framecnt=2048").unwrap();
        assert_eq!(device.name(), "net_af_packet0");
        assert_eq!(device.driver(), Some("net_af_packet"));
        assert_eq!(device.interface(), Some("eth1"));
        assert_eq!((device.argument("framecnt"), device.argument("frame")), (Some("2048"), None));
        assert_eq!(device.to_string(), "net_af_packet0,iface=eth1,framecnt=2048");
    }

    #[test]
    fn what_is_neither_is_refused_with_an_example() {
        for text in ["", "eth1", "0000:3b:20.0", "3b:00.8", "0000:3b:00", "net_", "net_x-1", "x3b:00.0"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("eth1").unwrap_err().to_string().contains("net_af_packet0,iface=eth1"));
        assert!(matches!(parse("net_tap"), Err(DeviceError::Number(_))));
        assert!(matches!(parse("net_tap0, iface=x"), Err(DeviceError::Character(_))));
        assert!(matches!(parse(&format!("net_{}0", "a".repeat(80))), Err(DeviceError::Length(_))));
    }
}
