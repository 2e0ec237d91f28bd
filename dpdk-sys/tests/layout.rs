//! bindgen's idea of DPDK's structs against the C compiler's.
//!
//! `mbuf.rs` of the `dpdk` crate reads these fields without a call; a wrong offset would corrupt packets
//! silently. bindgen's own assertions compare with libclang; these compare with the compiler of the shim.

use dpdk_sys as ffi;
use std::mem::{align_of, offset_of, size_of};

#[test]
fn the_fields_of_rte_mbuf_lie_where_c_puts_them() {
    // SAFETY: an immutable constant of the shim, initialised at link time.
    let c = unsafe { ffi::gw_mbuf_layout };
    let rows = [
        ("size", size_of::<ffi::rte_mbuf>(), c.size),
        ("align", align_of::<ffi::rte_mbuf>(), c.align),
        ("buf_addr", offset_of!(ffi::rte_mbuf, buf_addr), c.buf_addr),
        ("data_off", offset_of!(ffi::rte_mbuf, data_off), c.data_off),
        ("refcnt", offset_of!(ffi::rte_mbuf, refcnt), c.refcnt),
        ("nb_segs", offset_of!(ffi::rte_mbuf, nb_segs), c.nb_segs),
        ("port", offset_of!(ffi::rte_mbuf, port), c.port),
        ("ol_flags", offset_of!(ffi::rte_mbuf, ol_flags), c.ol_flags),
        ("pkt_len", offset_of!(ffi::rte_mbuf, pkt_len), c.pkt_len),
        ("data_len", offset_of!(ffi::rte_mbuf, data_len), c.data_len),
        ("vlan_tci", offset_of!(ffi::rte_mbuf, vlan_tci), c.vlan_tci),
        ("hash.rss", offset_of!(ffi::rte_mbuf, __bindgen_anon_2), c.hash_rss),
        ("buf_len", offset_of!(ffi::rte_mbuf, buf_len), c.buf_len),
        ("pool", offset_of!(ffi::rte_mbuf, pool), c.pool),
        ("next", offset_of!(ffi::rte_mbuf, next), c.next),
        ("tx_offload", offset_of!(ffi::rte_mbuf, __bindgen_anon_3), c.tx_offload),
    ];
    for (field, rust, c) in rows {
        assert_eq!(rust, c, "rte_mbuf.{field}: Rust says {rust}, C says {c}");
    }
}

#[test]
fn an_mbuf_is_two_cache_lines_with_the_receive_fields_in_the_first() {
    // SAFETY: an immutable constant of the shim, initialised at link time.
    let c = unsafe { ffi::gw_mbuf_layout };
    assert_eq!((c.size, c.align), (128, 64));
    assert!(c.pool < 64, "the fast path reads line 0 only");
}

#[test]
fn structs_passed_across_the_border_have_one_size() {
    // SAFETY: an immutable constant of the shim, initialised at link time.
    let c = unsafe { ffi::gw_sizes };
    assert_eq!(size_of::<ffi::rte_eth_conf>(), c.eth_conf, "rte_eth_conf");
    assert_eq!(size_of::<ffi::rte_eth_dev_info>(), c.eth_dev_info, "rte_eth_dev_info");
    assert_eq!(size_of::<ffi::rte_eth_stats>(), c.eth_stats, "rte_eth_stats");
    assert_eq!(size_of::<ffi::rte_eth_link>(), c.eth_link, "rte_eth_link");
    assert_eq!(size_of::<ffi::rte_eth_rxconf>(), c.eth_rxconf, "rte_eth_rxconf");
    assert_eq!(size_of::<ffi::rte_eth_txconf>(), c.eth_txconf, "rte_eth_txconf");
}

#[test]
fn constants_that_libclang_cannot_evaluate_have_values() {
    // The numbers are DPDK's ABI (rte_ethdev.h, rte_mbuf_core.h).
    assert_eq!(ffi::GW_RX_OFFLOAD_IPV4_CKSUM, 1 << 1);
    assert_eq!(ffi::GW_RX_OFFLOAD_RSS_HASH, 1 << 19);
    assert_eq!(ffi::GW_TX_OFFLOAD_MBUF_FAST_FREE, 1 << 16);
    assert_eq!(ffi::GW_MBUF_RX_RSS_HASH, 1 << 1);
    assert_eq!(ffi::GW_MBUF_RX_IP_CKSUM_MASK, 1 << 4 | 1 << 7);
    assert_eq!(ffi::GW_PKTMBUF_HEADROOM_BYTES, 128);
}
