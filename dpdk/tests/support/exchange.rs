//! What every port on a kernel interface must do: receive, send, and let an idle worker sleep.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

use std::time::Duration;

use dpdk::{Burst, Mempool, RxQueue, TxQueue};

use super::namespace::Wire;
use super::{frame, mbuf, receive};

/// Frames both ways, compared byte by byte; then silence, in which a wait must last, and one frame that ends it.
///
/// The driver must be given to the kernel's interface before: `wire` is the other end.
pub fn exchange(rx: &mut RxQueue, tx: &mut TxQueue, wire: &mut Wire, pool: &Mempool) {
    let towards: Vec<Vec<u8>> = (0..100).map(|number| frame(number, 60 + number as usize * 14)).collect();
    for frame in &towards {
        wire.send(frame);
    }
    assert_eq!(receive(rx, towards.len(), Duration::from_secs(5)), towards);

    // `wire` may see its own frames leaving: only what comes later counts.
    let away: Vec<Vec<u8>> = (1000..1048).map(|number| frame(number, 200)).collect();
    let mut burst = Burst::new();
    for frame in &away {
        burst.push(mbuf(pool, frame)).unwrap();
    }
    for _ in 0..1000 {
        if burst.is_empty() {
            break;
        }
        tx.tx(&mut burst);
    }
    assert!(burst.is_empty(), "the driver takes all within 1000 tries");
    assert_eq!(wire.receive(away.len()), away);

    sleeps_until_a_frame(rx, wire);
}

fn sleeps_until_a_frame(rx: &mut RxQueue, wire: &mut Wire) {
    assert!(!rx.wait_fds().is_empty(), "the driver's descriptor was found");
    let fds = rx.wait_fds().to_vec();
    while !receive(rx, 1, Duration::from_millis(50)).is_empty() {}
    assert!(!dpdk::wait_readable(&fds, Duration::from_millis(100)).unwrap(), "silence lets a worker sleep");
    wire.send(&frame(7, 60));
    let woken = (0..10).any(|_| dpdk::wait_readable(&fds, Duration::from_millis(200)).unwrap());
    assert!(woken, "a frame wakes it");
    assert_eq!(receive(rx, 1, Duration::from_secs(1)), [frame(7, 60)]);
}
