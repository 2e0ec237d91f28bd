//! Device strings: a PCI address or a virtual device of DPDK, judged as the `dpdk` crate will judge them.
//!
//! Not that crate's own parser: `check` also works in a build without DPDK.

use super::read::Complaint;

/// Longest device name that DPDK takes.
const NAME_BYTES_MAX: usize = 63;

/// `3b:00.0` and `0000:3b:00.0` in full, lower-case form; none for anything else.
pub fn pci_address(text: &str) -> Option<String> {
    let (slot, function) = text.rsplit_once('.')?;
    let fields: Vec<&str> = slot.split(':').collect();
    let (domain, bus, device) = match fields[..] {
        [bus, device] => ("0000", bus, device),
        [domain, bus, device] => (domain, bus, device),
        _ => return None,
    };
    let hexadecimal = |field: &str, len: usize, max: u32| {
        let digits = field.len() == len && field.bytes().all(|byte| byte.is_ascii_hexdigit());
        digits && u32::from_str_radix(field, 16).is_ok_and(|value| value <= max)
    };
    let valid = hexadecimal(domain, 4, 0xffff)
        && hexadecimal(bus, 2, 0xff)
        && hexadecimal(device, 2, 0x1f)
        && hexadecimal(function, 1, 7);
    valid.then(|| format!("{domain}:{bus}:{device}.{function}").to_lowercase())
}

/// What is wrong with a device string.
pub(super) fn complaint(text: &str) -> Option<Complaint> {
    let forms = "write a PCI address (\"0000:3b:00.0\") or a vdev (\"net_af_packet0,iface=eth1\")";
    let name = text.split(',').next().unwrap_or_default();
    if text.is_empty() {
        Some(Complaint::new("the device is empty", forms))
    } else if text.len() > 255 || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Some(Complaint::new("the device has blanks, or more than 255 characters", forms))
    } else if name.len() > NAME_BYTES_MAX {
        Some(Complaint::new(format!("the name has more than {NAME_BYTES_MAX} characters"), forms))
    } else if pci_address(name).is_some() {
        None
    } else if !name.starts_with("net_") {
        let is_interface =
            name == text && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        let hint = if is_interface {
            format!(
                "for a kernel interface write \"net_af_packet0,iface={name}\"; `lspci -D` shows PCI addresses"
            )
        } else {
            forms.to_owned()
        };
        Some(Complaint::new(format!("`{name}` is neither a PCI address nor a vdev"), hint))
    } else if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        Some(Complaint::new(format!("`{name}` is not the name of a vdev"), forms))
    } else if !name.ends_with(|c: char| c.is_ascii_digit()) {
        let hint = format!("count the vdevs of a kind from 0: {name}0");
        Some(Complaint::new(format!("`{name}` has no number"), hint))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_have_a_short_and_a_full_form() {
        assert_eq!(pci_address("3B:00.1").as_deref(), Some("0000:3b:00.1"));
        assert_eq!(pci_address("0001:3b:1f.7").as_deref(), Some("0001:3b:1f.7"));
        for text in ["net_tap0", "3b:00", "3b:00.8", "3b:20.0", "3b:0.0", ""] {
            assert_eq!(pci_address(text), None, "{text}");
        }
    }

    /// Both judges must agree, or `run` refuses what `check` accepts.
    #[cfg(feature = "dpdk")]
    #[test]
    fn this_judge_agrees_with_that_of_dpdk() {
        let long = format!("net_{}0", "a".repeat(70));
        for text in [
            "",
            "eth0",
            "net_tap0",
            "net_tap",
            "net_tap0,iface=a",
            "net_ta-p0",
            "virtio_user0",
            "3b:00.0",
            "0000:3b:00.0,x=1",
            "0000:3B:00.0",
            "3b:20.0",
            "net_a b0",
            "net_af_packet0,iface=e h",
            "é",
            ",",
            "net_0",
            &long,
        ] {
            let theirs = text.parse::<dpdk::DeviceSpec>();
            assert_eq!(complaint(text).is_none(), theirs.is_ok(), "{text}: {theirs:?}");
        }
    }
}
