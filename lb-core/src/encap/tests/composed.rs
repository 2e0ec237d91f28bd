//! Encapsulations put together from parts: every form, every policy, against pnet_packet and against the edits of the
//! loops.

use super::*;
use crate::composition::{Composition, Form, Policy, Vlan};
use crate::sample::any_sample;
use proptest::prelude::*;

const PAIRS: [(&str, &str); 2] = [("192.0.2.1", "192.0.2.9"), ("2001:db8:aa::1", "2001:db8:bb::9")];
const KEY: u32 = 0xa1b2_c3d4;

const FORMS: [Form; 9] = [
    Form::Ipip,
    Form::Gue { port: 6080, variant: GueVariant::Header },
    Form::Gue { port: 6080, variant: GueVariant::Direct },
    Form::Gre { key: None },
    Form::Gre { key: Some(KEY) },
    Form::Vxlan { port: 4789, vni: VNI, inner_mac: INNER_MAC },
    Form::Geneve { port: 6081, vni: VNI, inner_mac: None },
    Form::Geneve { port: 6081, vni: VNI, inner_mac: Some(INNER_MAC) },
    Form::L2Dsr,
];

fn backend(form: Form, outer_is_v6: bool, policy: Policy) -> BackendSpec {
    let (source, to) = PAIRS[usize::from(outer_is_v6)];
    let mode = Mode::Composed(Composition { form, source: address(source), policy });
    let egress = Egress { port: 0, mtu: 1500, source_mac: PORT_MAC, next_hop_mac: BACKEND_MAC };
    BackendSpec { address: address(to), weight: 1, state: BackendState::Active, egress, mode }
}

pub(super) fn every_backend(policy: Policy) -> impl Iterator<Item = (Form, BackendSpec)> {
    FORMS.into_iter().flat_map(move |form| [false, true].map(|is_v6| (form, backend(form, is_v6, policy))))
}

fn received(sample: &Sample, backend: &BackendSpec) -> Opened {
    delivered(sample, backend).1
}

#[test]
fn every_form_carries_either_family() {
    for (form, backend) in every_backend(Policy::default()) {
        for (sample, protocol, ethertype) in [(tcp4(), 4, [0x08, 0x00]), (tcp6(), 41, [0x86, 0xdd])] {
            let sentence = format!("{form:?} to {}, {} inside", backend.address, sample.to);
            let opened = received(&sample, &backend);
            assert_eq!(opened.inner, one_hop_later(&sample), "{sentence}");
            assert_eq!((opened.destination_mac, opened.source_mac), (BACKEND_MAC, PORT_MAC), "{sentence}");
            let network = [0x12, 0x34, 0x56, 0];
            let ethernet = [&INNER_MAC[..], &PORT_MAC, &ethertype].concat();
            let (shim, outer_protocol, port) = match form {
                Form::Ipip => (vec![], Some(protocol), None),
                Form::Gue { variant: GueVariant::Header, .. } => {
                    (vec![0, protocol, 0, 0], Some(17), Some(6080))
                }
                Form::Gue { variant: GueVariant::Direct, .. } => (vec![], Some(17), Some(6080)),
                // RFC 2784 section 2.1: flags and version 0, protocol type; RFC 2890 section 2: K is the third bit.
                Form::Gre { key: None } => ([[0, 0], ethertype].concat(), Some(47), None),
                Form::Gre { key: Some(_) } => {
                    ([&[0x20, 0][..], &ethertype, &KEY.to_be_bytes()].concat(), Some(47), None)
                }
                Form::Vxlan { .. } => {
                    ([&[8, 0, 0, 0][..], &network, &ethernet].concat(), Some(17), Some(4789))
                }
                // RFC 8926 section 3.4: version and option length 0, no flags, protocol type, VNI, reserved.
                Form::Geneve { inner_mac: None, .. } => {
                    ([&[0, 0][..], &ethertype, &network].concat(), Some(17), Some(6081))
                }
                Form::Geneve { inner_mac: Some(_), .. } => {
                    ([&[0, 0, 0x65, 0x58][..], &network, &ethernet].concat(), Some(17), Some(6081))
                }
                Form::L2Dsr => (vec![], None, None),
            };
            assert_eq!(opened.shim, shim, "{sentence}");
            assert_eq!(opened.outer.map(|outer| outer.protocol), outer_protocol, "{sentence}");
            assert_eq!(opened.ports.map(|(_, destination)| destination), port, "{sentence}");
            if let Some(outer) = opened.outer {
                assert_eq!((Some(outer.source), outer.destination), (backend.mode.source(), backend.address));
                assert_eq!(outer.ttl, 64, "{sentence}");
            } else {
                assert_eq!(opened.ethertype.to_be_bytes(), ethertype, "{sentence}");
            }
        }
    }
}

/// A form that the loops know, as they know it.
fn plain(backend: &BackendSpec) -> Option<BackendSpec> {
    let Mode::Composed(Composition { form, source, .. }) = backend.mode else { return None };
    let mode = match form {
        Form::Ipip => Mode::Ipip { source },
        Form::Gue { port, variant } => Mode::Gue { source, port, variant },
        Form::Vxlan { port, vni, inner_mac } => Mode::Vxlan { source, port, vni, inner_mac },
        Form::L2Dsr => Mode::L2Dsr,
        Form::Gre { .. } | Form::Geneve { .. } => return None,
    };
    Some(BackendSpec { mode, ..backend.clone() })
}

#[test]
fn a_policy_of_its_own_dscp_keeps_the_ecn_field() {
    for dscp in [0, 1, 46, 63] {
        for (form, backend) in every_backend(Policy { dscp: Some(dscp), ..Policy::default() }) {
            for tos in [0x00, 0x01, 0x02, 0x03, 0xb8, 0xff] {
                for sample in [tcp4(), tcp6()] {
                    let sample = sample.with(|one| one.tos = tos);
                    let opened = received(&sample, &backend);
                    let found = opened.outer.map_or(dscp << 2 | tos & 3, |outer| outer.tos);
                    assert_eq!(found, dscp << 2 | tos & 3, "{form:?}");
                    assert_eq!(opened.inner, one_hop_later(&sample), "{form:?}: the inner one stays");
                }
            }
        }
    }
}

#[test]
fn an_outer_ttl_is_set_or_that_of_the_client_as_it_leaves() {
    for (ttl, expected) in [(Some(1), 1), (Some(255), 255), (None, 17)] {
        for (form, backend) in every_backend(Policy { ttl, ..Policy::default() }) {
            for sample in [tcp4(), tcp6()] {
                let opened = received(&sample.with(|one| one.ttl = 18), &backend);
                assert!(opened.outer.is_none_or(|outer| outer.ttl == expected), "{form:?}: {opened:?}");
            }
        }
    }
}

#[test]
fn a_ttl_that_is_not_ours_to_lower_stays() {
    for (form, backend) in every_backend(Policy { decrement_ttl: false, ttl: None, ..Policy::default() }) {
        for sample in [tcp4(), tcp6()] {
            let sample = sample.with(|one| one.ttl = 1);
            let opened = received(&sample, &backend);
            let datagram = sample.datagram();
            assert_eq!(opened.inner[..datagram.len()], datagram, "{form:?}");
            assert!(opened.outer.is_none_or(|outer| outer.ttl == 1), "{form:?}");
        }
        assert_eq!(RecordTail::new(&backend).ttl_step(), 0, "{form:?}");
    }
}

#[test]
fn a_frame_in_another_vlan_keeps_its_priority() {
    let tagged = tcp4().with(|one| one.tags = vec![(0x88a8, 0xe065), (0x8100, 0x2064)]);
    for (form, backend) in every_backend(Policy { vlan: Vlan::Set(0x123), ..Policy::default() }) {
        assert_eq!(received(&tcp4(), &backend).tags, [(0x8100, 0x0123)], "{form:?}");
        assert_eq!(received(&tagged, &backend).tags, [(0x8100, 0xe123)], "{form:?}");
    }
    for (form, backend) in every_backend(Policy { vlan: Vlan::Strip, ..Policy::default() }) {
        let opened = received(&tagged, &backend);
        assert!(opened.tags.is_empty(), "{form:?}");
        assert_eq!(opened.inner, one_hop_later(&tagged), "{form:?}");
    }
}

/// Etherleak (FIELD F38): a frame that we make shorter than 60 bytes is filled with zeros, not with what the buffer
/// held before. Only L2 DSR can: every tunnel of a TCP or UDP packet is longer.
#[test]
fn a_short_frame_is_padded_with_zeros_and_never_with_what_was_in_memory() {
    let backend = backend(Form::L2Dsr, false, Policy { vlan: Vlan::Strip, ..Policy::default() });
    for tags in [vec![], vec![(0x8100, 7)], vec![(0x88a8, 7), (0x8100, 8)]] {
        for payload_len in [0, 1, 5, 6, 7, 18] {
            let sample = tcp4().with(|one| (one.tags = tags.clone(), one.payload = vec![9; payload_len]).1);
            let sample = sample.with(|one| one.padding = 46_usize.saturating_sub(40 + payload_len));
            let frame = sample.frame();
            let (headers, hash) = parsed(&frame);
            let mut buffer = frame.clone();
            // What the buffer held before lies behind the frame, and padding of the sender is not zero.
            buffer.extend([0xdd; 64]);
            let mut packet = Spoiler::new(&buffer, 128);
            packet.len = frame.len();
            let (record, tail) = (Record::new(&backend), RecordTail::new(&backend));
            apply(&mut packet, &headers, hash, &record, &tail).unwrap();
            let datagram = one_hop_later(&sample);
            let padding = 60_usize.saturating_sub(14 + datagram.len());
            assert_eq!(packet.frame()[14..], [datagram, vec![0; padding]].concat(), "{tags:x?}");
        }
    }
}

/// The shortest frames that can come out of a tunnel need no padding at all.
#[test]
fn no_tunnel_makes_a_frame_below_the_minimum_of_ethernet() {
    for (form, backend) in every_backend(Policy { vlan: Vlan::Strip, ..Policy::default() }) {
        if form != Form::L2Dsr {
            let shortest = Sample::udp("198.51.100.7:53", "203.0.113.10:53").with(|one| one.payload.clear());
            let sent = edited(&shortest, &backend);
            assert!(sent.len() >= crate::wire::FRAME_LEN_MIN, "{form:?}: {} bytes", sent.len());
        }
    }
}

#[test]
fn a_computed_udp_checksum_of_zero_is_all_ones_here_too() {
    let policy = Policy { checksum: Some(true), ..Policy::default() };
    let backend = backend(Form::Geneve { port: 6081, vni: VNI, inner_mac: None }, false, policy);
    let frame = tcp4().frame();
    let (headers, hash) = parsed(&frame);
    let (record, mut tail) = (Record::new(&backend), RecordTail::new(&backend));
    let send = |tail: &RecordTail| {
        let mut packet = Spoiler::new(&frame, 128);
        apply(&mut packet, &headers, hash, &record, tail).unwrap();
        packet.frame().to_vec()
    };
    let sent = send(&tail);
    let checksum = u16::from_be_bytes([sent[40], sent[41]]);
    assert_ne!(checksum, 0);
    // A port that is larger by the checksum takes the sum to all ones, whose complement is zero.
    let port = checksum::fold(6081 + u64::from(checksum));
    tail.shim[2..4].copy_from_slice(&port.to_be_bytes());
    let sent = send(&tail);
    assert_eq!(sent[40..42], [0xff, 0xff]);
    open_from(&backend, &sent);
}

#[test]
fn without_headroom_a_composed_edit_is_refused_untouched() {
    for (form, backend) in every_backend(Policy::default()) {
        let (record, tail) = (Record::new(&backend), RecordTail::new(&backend));
        let needed = tail.composed_len();
        let frame = tcp4().frame();
        let (headers, hash) = parsed(&frame);
        for headroom in 0..=needed {
            let mut packet = Spoiler::new(&frame, headroom);
            let done = apply(&mut packet, &headers, hash, &record, &tail);
            if headroom < needed {
                assert_eq!(done, Err(DropReason::NoHeadroom), "{form:?} in {headroom} bytes");
                assert_eq!(packet.frame(), frame, "{form:?}: a refusal changes nothing");
            } else {
                assert_eq!(done, Ok(()), "{form:?} in {headroom} bytes");
            }
        }
    }
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let vlan = prop_oneof![Just(Vlan::Keep), Just(Vlan::Strip), (1..=4094u16).prop_map(Vlan::Set)];
    let dscp = prop::option::of(0..64u8);
    (dscp, prop::option::of(1..=255u8), any::<Option<bool>>(), vlan, any::<bool>()).prop_map(
        |(dscp, ttl, checksum, vlan, decrement_ttl)| Policy { dscp, ttl, checksum, vlan, decrement_ttl },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16_000))]

    /// decap(encap(p)) is p one hop later, whatever the form and the policy; and the outer headers are as the policy
    /// says. Opening checks lengths, DF, id, label and checksums.
    #[test]
    fn what_is_taken_out_of_any_tunnel_is_what_was_put_in(
        sample in any_sample(),
        form in prop::sample::select(&FORMS[..]),
        outer_is_v6 in any::<bool>(),
        policy in any_policy(),
    ) {
        let backend = backend(form, outer_is_v6, policy);
        let opened = received(&sample, &backend);
        let datagram = if policy.decrement_ttl { one_hop_later(&sample) } else { sample.datagram() };
        let (inner, padding) = opened.inner.split_at(datagram.len());
        prop_assert_eq!(inner, &datagram[..]);
        prop_assert!(form == Form::L2Dsr || padding.is_empty(), "padding went along");
        prop_assert!(padding.iter().all(|byte| *byte == 0), "padding is not zero");
        match policy.vlan {
            Vlan::Keep => prop_assert_eq!(opened.tags, sample.tags.clone()),
            Vlan::Strip => prop_assert!(opened.tags.is_empty()),
            Vlan::Set(identifier) => {
                let priority = sample.tags.first().map_or(0, |(_, tag)| tag & 0xf000);
                prop_assert_eq!(opened.tags, vec![(0x8100, priority | identifier)]);
            }
        }
        if let Some(outer) = opened.outer {
            let tos = policy.dscp.map_or(sample.tos, |dscp| dscp << 2 | sample.tos & 3);
            prop_assert_eq!(outer.tos, tos);
            let inner_ttl = if policy.decrement_ttl { sample.ttl - 1 } else { sample.ttl };
            prop_assert_eq!(outer.ttl, policy.ttl.unwrap_or(inner_ttl));
        }
    }

    /// The general edit is the slow twin of those in the loops.
    #[test]
    fn with_the_usual_policy_the_bytes_are_those_of_the_loops(
        sample in any_sample(),
        form in prop::sample::select(&FORMS[..]),
        outer_is_v6 in any::<bool>(),
    ) {
        let slow = backend(form, outer_is_v6, Policy::default());
        let Some(fast) = plain(&slow) else { return Ok(()) };
        let (mut fast, slow) = (edited(&sample, &fast), edited(&sample, &slow));
        if form == Form::L2Dsr {
            // Here a frame stays as long as it was; the general edit cuts the padding off, and fills up with zeros.
            let end = fast.len() - sample.padding;
            fast.truncate(end);
            prop_assert_eq!(&slow[..end], &fast[..]);
        } else {
            prop_assert_eq!(slow, fast);
        }
    }
}
