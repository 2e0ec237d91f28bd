//! `Doorbell`: waking a worker that sleeps, without a system call while it is awake.
//!
//! What must hold: whoever hands something over after the worker has looked for the last time wakes it, and every
//! ring is heard exactly once. The flag decides: the sleeper sets it and looks again, the ringer hands over and
//! then takes it, both with sequentially consistent order, so that at least one of them sees the other. A taken
//! flag is answered by exactly one byte in the pipe, and a sleeper whose flag was taken reads exactly one.

use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// The sleeper's end.
#[derive(Debug)]
pub struct Doorbell {
    is_asleep: Arc<AtomicBool>,
    pipe: PipeReader,
}

/// A visitor's end; clones ring the same bell.
#[derive(Clone, Debug)]
pub struct Ringer {
    is_asleep: Arc<AtomicBool>,
    pipe: Arc<PipeWriter>,
}

/// A bell and the handle that rings it.
///
/// # Errors
/// When the process has no descriptors left.
pub fn doorbell() -> io::Result<(Doorbell, Ringer)> {
    let (reader, writer) = io::pipe()?;
    let is_asleep = Arc::new(AtomicBool::new(false));
    let ringer = Ringer { is_asleep: Arc::clone(&is_asleep), pipe: Arc::new(writer) };
    Ok((Doorbell { is_asleep, pipe: reader }, ringer))
}

impl Doorbell {
    /// Announces a sleep. What was handed over before is visible to a look after this call; what comes later rings.
    /// [`Self::wake`] must follow, whether the look found something or not.
    pub fn lie_down(&self) {
        self.is_asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    /// Ends a sleep that [`Self::lie_down`] announced, and hears the ring if there was one.
    pub fn wake(&mut self) {
        if !self.is_asleep.swap(false, Ordering::SeqCst) {
            // Somebody took the flag, and the byte is here or about to be. Signals interrupt (the tap driver's);
            // an end of file says that all ringers are gone.
            while self.pipe.read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {}
        }
    }
}

impl AsRawFd for Doorbell {
    /// Readable after a ring.
    fn as_raw_fd(&self) -> RawFd {
        self.pipe.as_raw_fd()
    }
}

impl Ringer {
    /// Wakes the worker if it sleeps. Everything handed over before this call is seen by it.
    #[inline]
    pub fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.is_asleep.load(Ordering::SeqCst) && self.is_asleep.swap(false, Ordering::SeqCst) {
            // A sleeper that is gone needs no waking.
            let _ = (&*self.pipe).write(&[0]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;
    use std::thread;

    #[test]
    fn only_a_sleeper_is_rung_and_hears_each_ring_once() {
        let (mut bell, ringer) = doorbell().unwrap();
        ringer.ring();
        for rings in [0, 1, 3] {
            bell.lie_down();
            for _ in 0..rings {
                ringer.clone().ring();
            }
            bell.wake();
        }
        drop(ringer);
        // Nothing is left in the pipe: the next thing in it is its end.
        assert_eq!(bell.pipe.read(&mut [0; 8]).unwrap(), 0);
    }

    #[test]
    fn nothing_handed_over_is_slept_through() {
        const PACKETS: u64 = 20_000;
        let (mut bell, ringer) = doorbell().unwrap();
        let handed = Arc::new(AtomicU64::new(0));
        let theirs = Arc::clone(&handed);
        let visitors: Vec<_> = (0..2)
            .map(|_| (Arc::clone(&theirs), ringer.clone()))
            .map(|(handed, ringer)| {
                thread::spawn(move || {
                    for _ in 0..PACKETS / 2 {
                        handed.fetch_add(1, Ordering::Release);
                        ringer.ring();
                    }
                })
            })
            .collect();
        drop(ringer);
        let mut taken = 0;
        while taken < PACKETS {
            bell.lie_down();
            if handed.load(Ordering::Acquire) == taken {
                // Sleeps in the pipe itself, without a time limit: a lost ring would hang the test.
                let mut byte = [0];
                if bell.pipe.read(&mut byte).unwrap() == 1 {
                    assert!(!bell.is_asleep.load(Ordering::SeqCst), "a byte without a taken flag");
                }
                taken = handed.load(Ordering::Acquire);
                continue;
            }
            bell.wake();
            taken = handed.load(Ordering::Acquire);
        }
        for visitor in visitors {
            visitor.join().unwrap();
        }
        assert_eq!(handed.load(Ordering::Acquire), PACKETS);
    }
}
