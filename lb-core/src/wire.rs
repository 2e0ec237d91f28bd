//! Numbers of the wire that more than one module needs: ethertypes, protocols, offsets, flags.
//!
//! Offsets are in bytes from the start of the header they belong to; multi-byte values are in host
//! order unless the name says otherwise.

/// Length of an untagged Ethernet II header, bytes.
pub const ETHERNET_LEN: usize = 14;
/// Length of one 802.1Q tag, bytes.
pub const VLAN_TAG_LEN: usize = 4;
/// Length of an IPv4 header without options, bytes (RFC 791).
pub const IPV4_LEN: usize = 20;
/// Length of the fixed IPv6 header, bytes (RFC 8200).
pub const IPV6_LEN: usize = 40;
/// Length of a UDP header, bytes (RFC 768).
pub const UDP_LEN: usize = 8;
/// Length of a TCP header without options, bytes (RFC 9293).
pub const TCP_LEN: usize = 20;
/// Length of a GUE variant 0 header without optional fields, bytes (draft-ietf-intarea-gue-09).
pub const GUE_LEN: usize = 4;
/// Length of a VXLAN header, bytes (RFC 7348).
pub const VXLAN_LEN: usize = 8;
/// Length of a GRE header without optional fields, bytes (RFC 2784).
pub const GRE_LEN: usize = 4;
/// Length of the key field of a GRE header, bytes (RFC 2890).
pub const GRE_KEY_LEN: usize = 4;
/// Length of a Geneve header without options, bytes (RFC 8926).
pub const GENEVE_LEN: usize = 8;
/// Length of the shortest frame of an Ethernet, bytes, without FCS (IEEE 802.3).
pub const FRAME_LEN_MIN: usize = 60;

/// Don't Fragment, in the word of flags and offset of IPv4 (RFC 791 section 3.1).
pub const DONT_FRAGMENT: u16 = 0x4000;
/// More Fragments, there.
pub const MORE_FRAGMENTS: u16 = 0x2000;
/// The fragment offset, there, in units of eight bytes.
pub const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Ethertype of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// Ethertype of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Ethertype of a customer VLAN tag (802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// Ethertype of a service VLAN tag (802.1ad).
pub const ETHERTYPE_QINQ: u16 = 0x88a8;
/// Ethertype of a bridged Ethernet frame, in GRE and Geneve headers (RFC 1701).
pub const ETHERTYPE_BRIDGED: u16 = 0x6558;

/// IP protocol: IPv4 in IP (RFC 2003).
pub const PROTOCOL_IPIP: u8 = 4;
/// IP protocol: TCP.
pub const PROTOCOL_TCP: u8 = 6;
/// IP protocol: UDP.
pub const PROTOCOL_UDP: u8 = 17;
/// IP protocol: IPv6 in IP (RFC 2473, RFC 4213).
pub const PROTOCOL_IPV6: u8 = 41;
/// IP protocol: GRE (RFC 2784).
pub const PROTOCOL_GRE: u8 = 47;

/// Length of an SCTP common header, bytes (RFC 9260 section 3.1): its ports lie where those of TCP and UDP do.
pub const SCTP_LEN: usize = 12;
/// IP protocol: SCTP.
pub const PROTOCOL_SCTP: u8 = 132;
/// IP protocol: ICMP.
pub const PROTOCOL_ICMP: u8 = 1;
/// IPv6 next header: ICMPv6.
pub const PROTOCOL_ICMPV6: u8 = 58;

/// IPv6 next header: hop-by-hop options.
pub const NEXT_HOP_BY_HOP: u8 = 0;
/// IPv6 next header: routing.
pub const NEXT_ROUTING: u8 = 43;
/// IPv6 next header: fragment.
pub const NEXT_FRAGMENT: u8 = 44;
/// IPv6 next header: authentication header (RFC 4302).
pub const NEXT_AUTHENTICATION: u8 = 51;
/// IPv6 next header: destination options.
pub const NEXT_DESTINATION: u8 = 60;

/// TCP flag FIN.
pub const TCP_FIN: u8 = 0x01;
/// TCP flag SYN.
pub const TCP_SYN: u8 = 0x02;
/// TCP flag RST.
pub const TCP_RST: u8 = 0x04;
/// TCP flag ACK.
pub const TCP_ACK: u8 = 0x10;

/// Two bytes in network order at `offset`, or `None` past the end.
#[inline]
pub fn be16(bytes: &[u8], offset: usize) -> Option<u16> {
    let field = bytes.get(offset..offset.checked_add(2)?)?;
    Some(u16::from_be_bytes(field.try_into().ok()?))
}
