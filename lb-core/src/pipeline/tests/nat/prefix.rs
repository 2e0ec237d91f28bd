//! A PROXY header in front of a stream, over a network that loses, repeats and reorders what it likes.

use super::*;
use crate::nat::{Tuple, proxy};
use proptest::prelude::*;

const CLIENT_ISN: u32 = u32::MAX - 60;
const BACKEND_ISN: u32 = 0x7000_0000;

/// A segment of either side: relative sequence and acknowledgement numbers count from the SYNs.
fn segment(ends: (&str, &str), flags: u8, numbers: (u32, u32), options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert!(options.len().is_multiple_of(4));
    let mut frame =
        Sample::tcp(ends.0, ends.1, flags).with(|one| one.payload = [options, payload].concat()).frame();
    let l4 = if frame[12] == 8 { 34 } else { 54 };
    frame[l4 + 4..l4 + 8].copy_from_slice(&numbers.0.to_be_bytes());
    frame[l4 + 8..l4 + 12].copy_from_slice(&numbers.1.to_be_bytes());
    frame[l4 + 12] = ((5 + options.len() / 4) as u8) << 4;
    finish_tcp(&mut frame);
    frame
}

fn u32_at(segment: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(segment[at..at + 4].try_into().unwrap())
}

/// Client and backend with what each has sent and got.
struct Ends {
    lab: Lab,
    client: (String, String),
    /// The backend's addresses, once it was reached: itself, its peer.
    backend: (String, String),
    header: Vec<u8>,
    data: Vec<u8>,
    /// What the backend has of the stream, by offset.
    got: Vec<Option<u8>>,
    /// How far the client has been acknowledged.
    acknowledged: u32,
}

impl Ends {
    fn open(vip: &str, client: &str, backends: &str, data: Vec<u8>) -> Self {
        let mut lab = nat_lab(&[vip], backends, full(ClientAddress::ProxyV2), PORTS, 16);
        let client = (text(client, 40_000), text(vip, 80));
        let syn = segment((&client.0, &client.1), SYN, (CLIENT_ISN, 0), &[2, 4, 5, 0xb4], &[]);
        let tuple = Tuple::of(&parse(&syn, OURS).unwrap().1);
        let (verdict, there) = lab.burst(&[syn]).remove(0);
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
        let seen = read(&there, 14);
        assert_eq!(u32_at(&seen.segment, 4), CLIENT_ISN, "the SYN stays as it is");
        let end = |ip: IpAddr, port: u16| SocketAddr::new(ip, port).to_string();
        let backend = (
            end(seen.tuple.destination_ip(), seen.tuple.destination_port),
            end(seen.tuple.source_ip(), seen.tuple.source_port),
        );
        let mut header = vec![0; proxy::PROXY_LEN_MAX];
        let len = proxy::write(&tuple, &mut header).unwrap();
        header.truncate(len);
        let got = vec![None; len + data.len()];
        let mut ends = Self { lab, client, backend, header, data, got, acknowledged: 0 };
        let syn_ack = ends.backend_sends(SYN | ACK, CLIENT_ISN.wrapping_add(1), &[2, 4, 5, 0xb4]);
        assert_eq!(u32_at(&syn_ack.segment, 8), CLIENT_ISN.wrapping_add(1));
        assert_eq!(
            syn_ack.segment[20..24],
            [2, 4, 5, 0xb4 - len as u8],
            "room for the header in full segments"
        );
        ends
    }

    fn backend_sends(&mut self, flags: u8, acknowledged: u32, options: &[u8]) -> Read {
        let sequence = if flags & SYN != 0 { BACKEND_ISN } else { BACKEND_ISN + 1 };
        let ends = (self.backend.0.as_str(), self.backend.1.as_str());
        let frame = segment(ends, flags, (sequence, acknowledged), options, &[]);
        let (verdict, frame) = self.lab.burst(&[frame]).remove(0);
        assert_eq!(verdict, Verdict::Return(CLIENT_PORT));
        read(&frame, 14)
    }

    /// The client sends a part of its data; `arrives` says whether the backend gets it.
    fn client_sends(&mut self, from: usize, to: usize, arrives: bool) {
        let sequence = CLIENT_ISN.wrapping_add(1).wrapping_add(from as u32);
        let ends = (self.client.0.as_str(), self.client.1.as_str());
        let frame = segment(ends, ACK, (sequence, BACKEND_ISN + 1), &[], &self.data[from..to]);
        let (verdict, frame) = self.lab.burst(&[frame]).remove(0);
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
        if !arrives {
            return;
        }
        let seen = read(&frame, 14);
        let offset = u32_at(&seen.segment, 4).wrapping_sub(CLIENT_ISN.wrapping_add(1)) as usize;
        for (place, byte) in self.got[offset..].iter_mut().zip(&seen.segment[20..]) {
            assert!(place.is_none_or(|known| known == *byte), "a byte of the stream never changes");
            *place = Some(*byte);
        }
    }

    /// The backend acknowledges what it has, with SACK blocks; `arrives` says whether the client hears it.
    fn acknowledge(&mut self, arrives: bool) {
        let has = self.got.iter().take_while(|byte| byte.is_some()).count();
        let start = CLIENT_ISN.wrapping_add(1);
        let mut options = Vec::new();
        let missing = self.got[has..].iter().position(Option::is_some).map(|more| has + more);
        if let Some(left) = missing {
            let right = left + self.got[left..].iter().take_while(|byte| byte.is_some()).count();
            options.extend([1, 1, 5, 10]);
            options.extend([left, right].map(|edge| start.wrapping_add(edge as u32).to_be_bytes()).concat());
        }
        let heard = self.backend_sends(ACK, start.wrapping_add(has as u32), &options);
        let acknowledged = u32_at(&heard.segment, 8).wrapping_sub(start);
        assert!(acknowledged as usize <= self.data.len(), "nothing that was not sent is acknowledged");
        assert_eq!(acknowledged as usize, has.saturating_sub(self.header.len()));
        if let Some(left) = missing {
            let edge = |at: usize| u32_at(&heard.segment, at).wrapping_sub(start) as usize;
            if heard.segment[22] == 5 {
                assert_eq!(edge(24), left.saturating_sub(self.header.len()));
                assert!(edge(28) > edge(24) && edge(28) <= self.data.len());
            } else {
                assert_eq!(heard.segment[20..32], [1; 12]);
            }
        }
        if arrives {
            self.acknowledged = self.acknowledged.max(acknowledged);
        }
    }
}

fn any_ends() -> impl Strategy<Value = (&'static str, &'static str, &'static str)> {
    prop_oneof![
        Just(("203.0.113.10", "198.51.100.7", "10.0.0.1")),
        Just(("2001:db8:cafe::10", "2001:db8:100::7", "2001:db8:bb::1")),
        Just(("2001:db8:cafe::10", "2001:db8:100::7", "10.0.0.1")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_backend_gets_the_header_and_then_every_byte(
        (vip, client, backends) in any_ends(),
        data in prop::collection::vec(any::<u8>(), 0..300),
        steps in prop::collection::vec((any::<u16>(), 1usize..60, any::<bool>(), any::<bool>()), 0..60),
    ) {
        let mut ends = Ends::open(vip, client, backends, data);
        // The bare acknowledgement of the handshake carries the header already.
        let (first, ..) = *steps.first().unwrap_or(&(1, 1, true, true));
        ends.client_sends(0, 0, first.is_multiple_of(2));
        for (at, len, arrives, acknowledges) in steps {
            // Anything from what is not yet acknowledged on.
            let left = ends.data.len() - ends.acknowledged as usize;
            let from = ends.acknowledged as usize + usize::from(at) % (left + 1);
            let to = (from + len).min(ends.data.len());
            ends.client_sends(from, to, arrives);
            if acknowledges {
                ends.acknowledge(arrives);
            }
        }
        // A client sends again what it has not heard of, until it has; and a bare acknowledgement for what is answered.
        ends.client_sends(0, 0, true);
        while (ends.acknowledged as usize) < ends.data.len() {
            let from = ends.acknowledged as usize;
            ends.client_sends(from, (from + 50).min(ends.data.len()), true);
            ends.acknowledge(true);
        }
        let got: Vec<u8> = ends.got.iter().map(|byte| byte.unwrap_or(0)).collect();
        prop_assert_eq!(got, [ends.header, ends.data].concat());
    }
}

#[test]
fn data_in_a_syn_waits_for_the_header() {
    let mut lab = nat_lab(&["203.0.113.10"], "10.0.0.1", full(ClientAddress::ProxyV2), PORTS, 16);
    let ends = ("198.51.100.7:40000", "203.0.113.10:80");
    let fast = segment(ends, SYN, (CLIENT_ISN, 0), &[], b"early");
    assert_eq!(lab.burst(&[fast]).remove(0).0, Verdict::Drop(DropReason::NatNoSession));
    let plain = segment(ends, SYN, (CLIENT_ISN, 0), &[], &[]);
    assert!(matches!(lab.burst(&[plain]).remove(0).0, Verdict::Forward(_)));
}
