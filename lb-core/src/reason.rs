//! Why a packet was dropped or handed to the kernel.
//!
//! A reason is declared once, here, and thereby has a name (the metric label and the JSON value), a help
//! text and a counter. There is no anonymous drop.

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident, $label:literal, $help:literal;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $(#[doc = $help] $variant,)+ }

        impl $name {
            /// Every reason, in the order of the counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// Number of reasons.
            pub const COUNT: usize = Self::ALL.len();

            /// The label of metrics and of `replay --json`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label,)+ }
            }

            /// What it means and what to look at.
            pub const fn help(self) -> &'static str {
                match self { $(Self::$variant => $help,)+ }
            }
        }
    };
}

reasons! {
    /// Why a packet was dropped.
    DropReason {
        Malformed, "malformed", "A header is cut short or contradicts itself: lengths, version, IHL.";
        Checksum, "checksum", "The IPv4 header checksum is wrong (RFC 1812 section 5.2.2).";
        WrongMac, "wrong_mac", "The unicast destination MAC is not this port's: flooding by a switch, or a wrong neighbour entry.";
        NotIp, "not_ip", "Neither IPv4 nor IPv6 (ARP, LLDP, ...) and the port has no punt interface.";
        NoVip, "no_vip", "No VIP serves this address, port and protocol, and the port has no punt interface.";
        Fragment, "fragment", "A fragment for a VIP with `fragments: drop`.";
        NoBackend, "no_backend", "The VIP's pool has no backend that takes new flows: all are down, draining or of weight 0.";
        TtlExceeded, "ttl_exceeded", "The TTL or hop limit would reach 0 here (RFC 1812 section 5.3.1, RFC 8200 section 3).";
        MtuExceeded, "mtu_exceeded", "With its new headers the packet would exceed the MTU of the port it leaves by.";
        NoHeadroom, "no_headroom", "The packet buffer has no room in front for the outer headers.";
        TxFull, "tx_full", "The transmit ring did not take the packet: the port is slower than the traffic.";
        PuntFull, "punt_full", "The punt interface did not take the packet: the kernel is slower than what comes for it.";
        Unsupported, "unsupported", "A frame in several buffers, or one that the build cannot treat.";
        NatTableFull, "nat_table_full", "A new flow of a VIP in a NAT mode, and the worker has no room for one more session.";
        NatPortsExhausted, "nat_ports_exhausted", "No local address and port is free toward the backend (full NAT), or another flow has the same answers (NAT).";
        NatNoSession, "nat_no_session", "A TCP segment of a VIP in a NAT mode that belongs to no session and opens none.";
        FragmentInvalid, "fragment_invalid", "A fragment that no sender needs: it overlaps another one, hides a header, has a length that cannot be, or is one of neighbour discovery (RFC 1858, 3128, 5722, 6980, 7112, 8200 section 4.5).";
        FragmentTimeout, "fragment_timeout", "A fragment whose first fragment did not come in time.";
        FragmentTableFull, "fragment_table_full", "A fragment for which the fragment table has no room: too many datagrams under way, or too many fragments that came before their first.";
        IcmpUnmatched, "icmp_unmatched", "An ICMP error to a VIP that quotes no packet of a service there, or too little of one to tell.";
        IcmpIgnored, "icmp_ignored", "An ICMP message to a VIP that nobody should heed: a source quench, a redirect, or an echo request with `icmp_echo: ignore` or from a group of stations.";
        IcmpRateLimited, "icmp_rate_limited", "An echo request that is not answered because the budget of replies is used up.";
        IcmpTunnel, "icmp_tunnel", "An ICMP error about our own encapsulated packet that is not passed on to the client: a kind other than too big, a forged one, a quote too short to tell the client, or the budget is used up.";
        NoBuffer, "no_buffer", "A packet that was to leave in pieces (`oversize: fragment`), and no packet buffer was free or large enough for them.";
        MartianSource, "martian_source", "A packet to a VIP that no host can have sent: its source is in 0.0.0.0/8, 127.0.0.0/8 or 224.0.0.0 and above, `::`, `::1` or multicast, or is the VIP itself (RFC 1812 section 5.3.7, RFC 2827, RFC 6890).";
    }
}

reasons! {
    /// What a reply of our own is.
    AnswerReason {
        EchoReply, "echo_reply", "The reply to an echo request to a VIP.";
        FragmentationNeeded, "fragmentation_needed", "ICMP Fragmentation Needed (RFC 1191): with its new headers the packet would exceed the MTU.";
        PacketTooBig, "packet_too_big", "ICMPv6 Packet Too Big (RFC 4443 section 3.2), likewise.";
        TimeExceeded, "time_exceeded", "The TTL or hop limit would reach 0 here.";
    }
}

reasons! {
    /// Why a packet is for the kernel and not for us.
    PuntReason {
        NotIp, "not_ip", "Neither IPv4 nor IPv6: ARP, LLDP, LACP and the like.";
        NotUnicast, "not_unicast", "Broadcast or multicast destination MAC: neighbour discovery, routing protocols.";
        NoVip, "no_vip", "No VIP serves this address, port and protocol.";
    }
}

impl PuntReason {
    /// What the packet is counted as when the port has no punt interface to hand it to.
    pub const fn drop_reason(self) -> DropReason {
        match self {
            Self::NotIp => DropReason::NotIp,
            Self::NotUnicast | Self::NoVip => DropReason::NoVip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique_labels_in_counter_order() {
        let names: HashSet<_> = DropReason::ALL.iter().map(|reason| reason.name()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, index);
            assert!(reason.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(reason.help().ends_with('.'));
        }
    }
}
