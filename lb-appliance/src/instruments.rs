//! What the packet path shows to the outside: counters of workers and ports, readable at any time.
//!
//! Every block has one writer, the worker that it belongs to; readers take whole values and never wait.
//! Ports are read through [`PortProbe`], so that metrics know nothing of DPDK.

mod heartbeat;

pub use heartbeat::Heartbeat;
use lb_core::counters::{Counter, WorkerCounters};
use std::sync::Arc;

/// Upper bounds of the burst-size histogram, packets.
pub const BURST_BOUNDS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];

/// One worker, seen from outside.
#[derive(Debug)]
pub struct WorkerInstruments {
    /// The metric label: the CPU that the worker is pinned to, or `w` and its index if it is not pinned.
    pub label: String,
    /// Packets, verdicts, connection table.
    pub packets: Arc<WorkerCounters>,
    /// The loop itself.
    pub turns: TurnCounters,
    /// Per port: what this worker's queue moved.
    pub queues: Vec<QueueCounters>,
    /// Time from poll to transmit, sampled.
    pub latency: LatencyCounters,
}

impl WorkerInstruments {
    /// Zeroed instruments for a worker with one queue on each of `ports` ports.
    pub fn new(label: String, packets: Arc<WorkerCounters>, ports: usize) -> Self {
        Self {
            label,
            packets,
            turns: TurnCounters::default(),
            queues: (0..ports).map(|_| QueueCounters::default()).collect(),
            latency: LatencyCounters::default(),
        }
    }
}

/// What a worker's loop counts.
#[derive(Debug, Default)]
pub struct TurnCounters {
    /// Polls of a receive queue.
    pub polls: Counter,
    /// Polls that brought nothing.
    pub empty_polls: Counter,
    /// Time in turns that brought packets, nanoseconds.
    pub busy_nanos: Counter,
    /// Time in turns that brought none, sleep included, nanoseconds.
    pub idle_nanos: Counter,
    /// When the loop last looked at its clock.
    pub heartbeat: Heartbeat,
    /// Bursts by size, by the index of [`BURST_BOUNDS`]; not cumulative.
    pub bursts: [Counter; BURST_BOUNDS.len()],
}

/// What one queue pair moved.
#[derive(Debug, Default)]
pub struct QueueCounters {
    /// Packets received.
    pub received_packets: Counter,
    /// Bytes received, frames without FCS.
    pub received_bytes: Counter,
    /// Packets sent.
    pub sent_packets: Counter,
    /// Bytes sent, frames without FCS.
    pub sent_bytes: Counter,
    /// Bursts that the transmit ring did not take whole.
    pub full: Counter,
    /// Packets given to the kernel.
    pub punted: Counter,
    /// Packets sent for the kernel; they are among those sent.
    pub injected: Counter,
    /// Packets of the kernel that the transmit ring did not take.
    pub inject_refused: Counter,
}

/// Sub-buckets per octave: values are known to 1/16.
const SUB_BITS: u32 = 4;
const SUBS: usize = 1 << SUB_BITS;
/// Octaves above the linear range, up to 2^40 ns (18 minutes).
const OCTAVES: usize = 36;
/// Buckets of [`LatencyCounters`].
pub const LATENCY_BUCKETS: usize = SUBS + OCTAVES * SUBS;

/// Log-linear histogram of nanoseconds with one writer: cheap to record, folded by whoever reads.
#[derive(Debug)]
pub struct LatencyCounters {
    buckets: Box<[Counter]>,
    /// Sum of all recorded values, nanoseconds.
    pub sum_nanos: Counter,
}

impl Default for LatencyCounters {
    fn default() -> Self {
        Self {
            buckets: (0..LATENCY_BUCKETS).map(|_| Counter::default()).collect(),
            sum_nanos: Counter::default(),
        }
    }
}

impl LatencyCounters {
    /// Records one value. Only the owning worker may call this.
    #[inline]
    pub fn record(&self, nanos: u64) {
        self.buckets[Self::bucket(nanos)].add(1);
        self.sum_nanos.add(nanos);
    }

    fn bucket(nanos: u64) -> usize {
        if nanos < SUBS as u64 {
            return nanos as usize;
        }
        let octave = nanos.ilog2() - SUB_BITS;
        let sub = (nanos >> octave) as usize - SUBS;
        (SUBS + octave as usize * SUBS + sub).min(LATENCY_BUCKETS - 1)
    }

    /// Largest value that falls into a bucket, nanoseconds.
    fn upper_nanos(bucket: usize) -> u64 {
        if bucket < SUBS {
            return bucket as u64;
        }
        let (octave, sub) = ((bucket - SUBS) / SUBS, (bucket - SUBS) % SUBS);
        (((SUBS + sub + 1) as u64) << octave) - 1
    }

    /// The buckets that hold anything: (largest value in nanoseconds, count).
    pub fn counts(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.buckets
            .iter()
            .enumerate()
            .map(|(bucket, count)| (Self::upper_nanos(bucket), count.get()))
            .filter(|(_, count)| *count != 0)
    }
}

/// What does not change about an open port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortIdentity {
    /// Configured name.
    pub name: String,
    /// Device as configured.
    pub device: String,
    /// Driver that took it.
    pub driver: String,
    /// NUMA node, if the device has one.
    pub numa_node: Option<u32>,
}

/// The port's own counters and link, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortSample {
    /// Packets received.
    pub receive_packets: u64,
    /// Bytes received.
    pub receive_bytes: u64,
    /// Packets sent.
    pub transmit_packets: u64,
    /// Bytes sent.
    pub transmit_bytes: u64,
    /// Packets lost because the receive ring was full.
    pub receive_missed: u64,
    /// Packets received with errors.
    pub receive_errors: u64,
    /// Packets that could not be sent.
    pub transmit_errors: u64,
    /// Packets lost for want of a buffer.
    pub receive_no_buffer: u64,
    /// True if the link is up.
    pub is_up: bool,
    /// Link speed, if known, in bytes per second.
    pub speed_bytes: Option<u64>,
}

/// Access to one port from the control side.
pub trait PortProbe: Send + Sync {
    /// Who the port is.
    fn identity(&self) -> &PortIdentity;
    /// What it counts now; `None` once it is closed.
    fn sample(&self) -> Option<PortSample>;
}

/// Packet buffers of a memory pool.
pub trait PoolProbe: Send + Sync {
    /// NUMA node label.
    fn numa_node(&self) -> u32;
    /// Buffers in the pool.
    fn size(&self) -> u64;
    /// Buffers taken.
    fn in_use(&self) -> u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_is_known_to_a_sixteenth() {
        for nanos in (0..100_000).chain((20..40).map(|shift| (1 << shift) + 12_345)) {
            let bucket = LatencyCounters::bucket(nanos);
            let upper = LatencyCounters::upper_nanos(bucket);
            assert!(nanos <= upper, "{nanos} in bucket {bucket} up to {upper}");
            assert!(upper - nanos <= nanos / 16, "{nanos} is reported as {upper}");
            if bucket > 0 {
                assert!(LatencyCounters::upper_nanos(bucket - 1) < nanos);
            }
        }
        assert_eq!(LatencyCounters::bucket(u64::MAX), LATENCY_BUCKETS - 1);
    }

    #[test]
    fn counts_come_back() {
        let latency = LatencyCounters::default();
        for nanos in [3, 3, 1_000] {
            latency.record(nanos);
        }
        let counts: Vec<_> = latency.counts().collect();
        assert_eq!(counts[0], (3, 2));
        assert_eq!(counts[1].1, 1);
        assert_eq!(latency.sum_nanos.get(), 1_006);
    }
}
