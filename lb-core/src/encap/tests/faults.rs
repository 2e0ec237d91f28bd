//! Faults that were found in the encapsulation of other balancers, each tried on every edit that there is.
//!
//! The list is that of the field survey (A13). `open` looks at lengths and checksums besides.

use super::composed::every_backend;
use super::*;
use crate::composition::Policy;

/// Backends with an edit in the loops, and all that are composed.
fn all() -> Vec<BackendSpec> {
    backends().into_iter().chain(every_backend(Policy::default()).map(|(_, backend)| backend)).collect()
}

fn outer_v4_of(frame: &[u8]) -> Option<&[u8]> {
    let ip = frame.get(14..34)?;
    (ip[9] != 6).then_some(ip)
}

/// Katran, VPP and loxilb send DF 0 with a constant id of 0: not atomic by RFC 6864, and against RFC 2003 section 3.1,
/// which demands DF where the inner datagram has it.
#[test]
fn fault_outer_df_is_not_copied_and_id_is_constant() {
    for backend in all().into_iter().filter(|backend| backend.address.is_ipv4()) {
        for fragment in [0x4000, 0] {
            let sent = edited(&tcp4().with(|one| one.fragment = fragment), &backend);
            let Some(ip) = outer_v4_of(&sent) else { continue };
            assert_eq!(ip[4..8], [0, 0, 0x40, 0], "{:?}: id 0 is right with DF alone", backend.mode);
        }
    }
}

/// GLB, VPP and loxilb send a TOS of 0: congestion marks and classes of service are lost (RFC 6040, RFC 2983).
#[test]
fn fault_outer_dscp_and_ecn_are_zeroed() {
    for backend in all() {
        for sample in [tcp4(), tcp6()] {
            for tos in [0xb8, 0x03, 0xbb] {
                let (_, opened) = delivered(&sample.clone().with(|one| one.tos = tos), &backend);
                assert!(opened.outer.is_none_or(|outer| outer.tos == tos), "{:?}", backend.mode);
            }
        }
    }
}

/// VPP writes a DSCP over the whole TOS byte: ECN is lost.
#[test]
fn fault_a_dscp_of_our_own_overwrites_ecn() {
    for (form, backend) in every_backend(Policy { dscp: Some(10), ..Policy::default() }) {
        let (_, opened) = delivered(&tcp4().with(|one| one.tos = 0xff), &backend);
        assert!(opened.outer.is_none_or(|outer| outer.tos == 10 << 2 | 3), "{form:?}");
    }
}

/// VPP and katran send a flow label of 0: no entropy for routers (RFC 6438).
#[test]
fn fault_outer_flow_label_is_zero() {
    for backend in all().into_iter().filter(|backend| backend.address.is_ipv6()) {
        let mut labels = HashSet::new();
        for client in 2000..2100 {
            let sample = Sample::tcp(&format!("198.51.100.7:{client}"), "203.0.113.10:443", ACK);
            let (_, opened) = delivered(&sample, &backend);
            let Some(outer) = opened.outer else { continue };
            labels.insert(outer.label.filter(|label| *label != 0).expect("a label"));
        }
        assert!(labels.is_empty() || labels.len() > 95, "{:?}: {} labels", backend.mode, labels.len());
    }
}

/// Xvs took the length of the frame for that of the datagram: padding went into the tunnel (RFC 1812 section 3.3.1).
#[test]
fn fault_ethernet_padding_is_encapsulated() {
    for backend in all() {
        let sample = tcp4().with(|one| (one.payload.clear(), one.padding = 6).1);
        let sent = edited(&sample, &backend);
        let (_, opened) = delivered(&sample, &backend);
        let has_tunnel = opened.outer.is_some();
        assert!(!has_tunnel || opened.inner == one_hop_later(&sample), "{:?}", backend.mode);
        assert!(has_tunnel || sent.len() == 60, "{:?}", backend.mode);
    }
}

/// Loxilb copies the inner TTL without taking one off: forwarding loops do not end.
#[test]
fn fault_inner_ttl_is_not_decremented() {
    for backend in all() {
        for sample in [tcp4(), tcp6()] {
            let (_, opened) = delivered(&sample, &backend);
            let datagram = one_hop_later(&sample);
            assert_eq!(opened.inner[..datagram.len()], datagram, "{:?}", backend.mode);
        }
    }
}

/// VPP reads ports at fixed offsets: behind options or extension headers the entropy of a flow is another.
#[test]
fn fault_options_and_extension_headers_change_the_entropy() {
    for backend in all() {
        let entropy = |sample: &Sample| {
            let (_, opened) = delivered(sample, &backend);
            (opened.ports, opened.outer.and_then(|outer| outer.label))
        };
        let options = tcp4().with(|one| one.options = vec![1; 20]);
        assert_eq!(entropy(&tcp4()), entropy(&options), "{:?}", backend.mode);
        let extended = tcp6().with(|one| one.extensions = vec![Extension::HopByHop(0)]);
        assert_eq!(entropy(&tcp6()), entropy(&extended), "{:?}", backend.mode);
    }
}
