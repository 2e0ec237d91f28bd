//! Packet I/O in plain memory: the worker loop without a NIC.
//!
//! Used by tests of the loop. A port is a queue of frames in and a list of frames out, with a transmit
//! ring of bounded size so that a full ring can be seen.

use super::{Flushed, PacketIo};
use lb_core::packet::{Frame, Packet};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// One port in memory.
#[derive(Debug)]
pub struct MemoryPort {
    input: Receiver<Frame>,
    output: Sender<Frame>,
    staged: VecDeque<Frame>,
    ring_len: usize,
}

impl MemoryPort {
    /// A port that takes at most `ring_len` frames per flush.
    pub fn new(input: Receiver<Frame>, output: Sender<Frame>, ring_len: usize) -> Self {
        Self { input, output, staged: VecDeque::new(), ring_len }
    }
}

/// The ports of one worker.
#[derive(Debug)]
pub struct MemoryIo {
    ports: Vec<MemoryPort>,
    start: Instant,
}

impl MemoryIo {
    /// I/O over `ports`.
    pub fn new(ports: Vec<MemoryPort>) -> Self {
        Self { ports, start: Instant::now() }
    }
}

impl PacketIo for MemoryIo {
    type Packet = Frame;

    fn port_count(&self) -> usize {
        self.ports.len()
    }

    fn receive(&mut self, port: usize, max: usize, into: &mut Vec<Frame>) {
        into.extend(self.ports[port].input.try_iter().take(max));
    }

    fn stage(&mut self, port: usize, packet: Frame) {
        self.ports[port].staged.push_back(packet);
    }

    fn flush(&mut self, port: usize) -> Flushed {
        let port = &mut self.ports[port];
        let mut flushed = Flushed::default();
        for (index, frame) in port.staged.drain(..).enumerate() {
            let bytes = frame.frame().len() as u64;
            // A receiver that is gone is a link that is down: the ring takes nothing.
            if index < port.ring_len && port.output.send(frame).is_ok() {
                flushed.sent_packets += 1;
                flushed.sent_bytes += bytes;
            } else {
                flushed.refused_packets += 1;
                flushed.refused_bytes += bytes;
            }
        }
        flushed
    }

    fn discard(&mut self, _packet: Frame) {}

    fn now_nanos(&self) -> u64 {
        self.start.elapsed().as_nanos() as u64
    }

    fn wait(&mut self, timeout: Duration) {
        std::thread::sleep(timeout.min(Duration::from_millis(1)));
    }

    fn wakes_for_packets(&self) -> bool {
        false
    }
}
