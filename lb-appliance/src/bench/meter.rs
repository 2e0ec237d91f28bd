//! What is read before and after the timed part: the clock, or the CPU's count of instructions.

use perf_event::events::Hardware;
use perf_event::{Builder, Counter};
use std::time::{Duration, Instant};

/// Measures what happens between `start` and `stop`, any number of times.
pub(super) trait Meter {
    fn start(&mut self);
    fn stop(&mut self);
}

/// Time.
#[derive(Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    total: Duration,
}

impl Stopwatch {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), total: Duration::ZERO }
    }

    pub(super) fn nanos(&self) -> f64 {
        self.total.as_nanos() as f64
    }
}

impl Meter for Stopwatch {
    #[inline(always)]
    fn start(&mut self) {
        self.began = Instant::now();
    }

    #[inline(always)]
    fn stop(&mut self) {
        self.total += self.began.elapsed();
    }
}

/// Instructions of this thread in user mode.
pub(super) struct InstructionMeter {
    counter: Counter,
    failure: Option<std::io::Error>,
}

impl InstructionMeter {
    /// # Errors
    /// Why this machine does not let instructions be counted.
    pub(super) fn new() -> Result<Self, String> {
        let counter = Builder::new(Hardware::INSTRUCTIONS).build().map_err(|error| why(&error))?;
        Ok(Self { counter, failure: None })
    }

    /// The count since the last call.
    ///
    /// # Errors
    /// What the kernel says when it did not count after all.
    pub(super) fn take(&mut self) -> Result<u64, String> {
        if let Some(error) = self.failure.take() {
            return Err(why(&error));
        }
        let count = self.counter.read().map_err(|error| why(&error))?;
        self.counter.reset().map_err(|error| why(&error))?;
        Ok(count)
    }
}

impl Meter for InstructionMeter {
    fn start(&mut self) {
        self.failure = self.counter.enable().err().or(self.failure.take());
    }

    fn stop(&mut self) {
        self.failure = self.counter.disable().err().or(self.failure.take());
    }
}

/// perf_event_open(2): what its errors mean for whoever asked.
fn why(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::EOPNOTSUPP | libc::ENODEV) => {
            "the CPU's counters are not passed through to this machine".to_owned()
        }
        Some(libc::EACCES | libc::EPERM) => {
            "the kernel refuses: sysctl kernel.perf_event_paranoid must be 2 or less".to_owned()
        }
        Some(libc::ENOSYS) => "the kernel is built without performance counters".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopwatch_adds_up_what_lies_between_start_and_stop() {
        let mut watch = Stopwatch::new();
        assert_eq!(watch.nanos(), 0.0);
        for _ in 0..2 {
            watch.start();
            std::thread::sleep(Duration::from_millis(2));
            watch.stop();
            let stopped = watch.nanos();
            std::thread::sleep(Duration::from_millis(2));
            assert_eq!(watch.nanos(), stopped);
        }
        assert!(watch.nanos() >= 4e6);
    }

    #[test]
    fn instructions_are_counted_or_the_reason_is_told() {
        match InstructionMeter::new() {
            Ok(mut meter) => {
                meter.start();
                let sum: u64 =
                    (0..std::hint::black_box(10_000u64)).fold(0, |sum, one| sum ^ std::hint::black_box(one));
                meter.stop();
                std::hint::black_box(sum);
                let count = meter.take().expect("a count");
                assert!(count > 10_000, "{count}");
                assert_eq!(meter.take(), Ok(0), "nothing is counted while stopped");
            }
            Err(why) => assert!(!why.is_empty()),
        }
        let refused = why(&std::io::Error::from_raw_os_error(libc::EACCES));
        assert!(refused.contains("perf_event_paranoid"), "{refused}");
    }
}
