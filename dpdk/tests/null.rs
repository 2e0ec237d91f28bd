//! net_null: an endless source and sink. Bursts, buffers and counters, with no privilege at all.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod support;

use dpdk::{BURST_MAX, Burst, Eal, Mempool, MempoolConfig, PoolError, Port, PortConfig, PortError};
use support::{device, eal, pool};

#[test]
fn bursts_move_by_ownership_and_no_buffer_is_lost() {
    let eal = eal(&["net_null0"]);
    assert_eq!(eal.port_count(), 1);
    let pool = pool(&eal);
    buffers_grow_and_shrink_within_their_room(&pool);
    pools_beyond_the_memory_or_dpdk_limits_are_refused(&eal);

    let port = Port::configure(&eal, &device("net_null0"), &PortConfig::default(), &pool).unwrap();
    let twice = Port::configure(&eal, &device("net_null0"), &PortConfig::default(), &pool);
    assert!(matches!(twice, Err(PortError::Busy { .. })));
    let monitor = port.monitor();
    let (port, mut rx, mut tx) = port.start().unwrap();
    assert_eq!((rx.len(), tx.len()), (1, 1));
    assert_eq!(port.info().driver, "net_null");
    assert!(port.wait_fds().is_empty(), "net_null has nothing to sleep on");
    assert!(monitor.link().unwrap().up);
    if port.info().fast_free {
        let late = Mempool::new(&eal, &MempoolConfig { name: "late".to_owned(), ..MempoolConfig::default() });
        assert!(matches!(late, Err(PoolError::FastFreePool { .. })));
    }

    let in_use_before = pool.in_use();
    let (rx, tx) = (&mut rx[0], &mut tx[0]);
    let mut burst = Burst::new();
    for _ in 0..100 {
        assert_eq!(rx.rx(&mut burst), BURST_MAX);
        assert!(burst.is_full());
        assert_eq!(rx.rx(&mut burst), 0, "a full burst takes no more");
        assert!(burst.as_slice().iter().all(|mbuf| mbuf.len() == 64));
        assert_eq!(tx.tx(&mut burst), BURST_MAX);
        assert!(burst.is_empty());
    }
    assert_eq!(rx.rx(&mut burst), BURST_MAX);
    burst_handles_are_never_doubled(&mut burst);
    let stats = monitor.stats().unwrap();
    assert_eq!((stats.rx_packets, stats.tx_packets), (101 * 64, 100 * 64));
    drop(burst);
    assert_eq!(pool.in_use(), in_use_before, "every buffer is back");
}

/// What leaves a burst is owned elsewhere, what stays is freed by it: the pool's count is the judge, in the caller.
fn burst_handles_are_never_doubled(burst: &mut Burst) {
    let addresses: Vec<_> = burst.as_slice().iter().map(|mbuf| mbuf.header_address()).collect();
    let mut other = Burst::new();
    let first: Vec<_> = burst.drain().take(3).collect();
    assert_eq!(first.iter().map(|mbuf| mbuf.header_address()).collect::<Vec<_>>(), addresses[..3]);
    assert!(burst.is_empty(), "a drain takes all, reached or not");
    for mbuf in first {
        other.push(mbuf).unwrap();
    }
    assert_eq!((other.len(), burst.append(&mut other), other.len()), (3, 3, 0));
    let last = burst.pop().unwrap();
    assert_eq!(last.header_address(), addresses[2]);
    burst.push(last).unwrap();
    let taken = burst.take_all();
    assert_eq!((taken.len(), burst.len()), (3, 0));
}

fn pools_beyond_the_memory_or_dpdk_limits_are_refused(eal: &Eal) {
    let refusal = |config: MempoolConfig| {
        let error = Mempool::new(eal, &MempoolConfig { name: "second".to_owned(), ..config }).err().unwrap();
        error.to_string()
    };
    let huge = refusal(MempoolConfig { mbufs: 999_999, ..MempoolConfig::default() });
    assert!(
        huge.contains("999999 buffers (2259 MiB)") && huge.contains("raise it, or use fewer buffers"),
        "{huge}"
    );
    let cache = refusal(MempoolConfig { cache: 513, ..MempoolConfig::default() });
    assert!(cache.contains("at most 512"), "{cache}");
    let few = refusal(MempoolConfig { mbufs: 100, ..MempoolConfig::default() });
    assert!(few.contains("too few for a cache of 256"), "{few}");
}

fn buffers_grow_and_shrink_within_their_room(pool: &Mempool) {
    let mut mbuf = pool.alloc().unwrap();
    assert_eq!((mbuf.len(), mbuf.headroom(), mbuf.tailroom()), (0, 128, 2048));
    mbuf.append(100).unwrap().fill(7);
    assert_eq!((mbuf.len(), mbuf.packet_len(), mbuf.tailroom()), (100, 100, 1948));

    assert!(mbuf.grow_front(28));
    mbuf.data_mut()[..28].fill(1);
    assert_eq!((mbuf.headroom(), mbuf.len(), mbuf.packet_len()), (100, 128, 128));
    assert!(!mbuf.grow_front(101), "the headroom ends");
    assert!(!mbuf.grow_front(70_000) && !mbuf.shrink_front(70_000), "no length wraps");
    assert!(mbuf.shrink_front(30));
    assert_eq!(mbuf.data(), [7; 98]);

    assert!(!mbuf.truncate(99) && !mbuf.shrink_front(99));
    assert!(mbuf.truncate(10));
    assert_eq!((mbuf.len(), mbuf.packet_len()), (10, 10));
    assert!(mbuf.append(2037).is_none(), "the tailroom ends");
    assert_eq!(mbuf.append(2036).map(|tail| tail.len()), Some(2036));
    assert_eq!((mbuf.rss_hash(), mbuf.rx_flags().ip_checksum_bad()), (None, false));
    drop(mbuf);

    let mut burst = Burst::new();
    assert!(pool.alloc_bulk(&mut burst, 40));
    assert!(!pool.alloc_bulk(&mut burst, 25), "all or nothing");
    assert_eq!((burst.len(), pool.in_use()), (40, 40));
    burst.free_all();
    assert_eq!((pool.in_use(), pool.available()), (0, pool.capacity()));
}
