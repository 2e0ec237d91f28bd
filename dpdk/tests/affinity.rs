//! Starting DPDK leaves the calling thread's CPUs and the process's signal handlers as they were.

mod support;

use std::mem::MaybeUninit;

use dpdk::{Eal, affinity};
use support::config;

/// Handler, flags and mask of every catchable signal.
fn dispositions() -> Vec<(i32, usize, i32)> {
    let signals = [
        libc::SIGINT,
        libc::SIGTERM,
        libc::SIGHUP,
        libc::SIGPIPE,
        libc::SIGUSR1,
        libc::SIGCHLD,
        libc::SIGBUS,
    ];
    signals
        .into_iter()
        .map(|signal| {
            let mut action = MaybeUninit::<libc::sigaction>::zeroed();
            // SAFETY: sigaction(2) with a null new action only reads the old one.
            assert_eq!(unsafe { libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) }, 0);
            // SAFETY: filled by the call above.
            let action = unsafe { action.assume_init() };
            (signal, action.sa_sigaction, action.sa_flags)
        })
        .collect()
}

#[test]
fn the_control_thread_keeps_its_cpus_and_signals() {
    let cpus = affinity::current().unwrap();
    let before = dispositions();
    // One CPU for EAL: without the restoration this thread, and all it spawns, would be left on it.
    let eal =
        Eal::init(&dpdk::EalConfig { main_cpus: Some(vec![cpus[0]]), ..config(&["net_null0"]) }).unwrap();
    assert_eq!(affinity::current().unwrap(), cpus);
    assert_eq!(std::thread::spawn(|| affinity::current().unwrap()).join().unwrap(), cpus);
    assert_eq!(dispositions(), before);
    if cpus.len() < 2 {
        support::namespace::skipped(
            "with a single CPU the restoration of the affinity cannot be told from none",
        );
    }

    let handle = eal.handle();
    let last = cpus[cpus.len() - 1];
    std::thread::spawn(move || {
        affinity::pin_current(&[last]).unwrap();
        let _guard = handle.register_thread().unwrap();
        assert_eq!(affinity::current().unwrap(), [last], "registration keeps the worker's pinning");
    })
    .join()
    .unwrap();
}
