//! Packet I/O in plain memory: the worker loop without a NIC.
//!
//! Used by tests of the loop. A port is a queue of frames in and a list of frames out, with a transmit
//! ring of bounded size so that a full ring can be seen; a worker may have either, both or none.

use super::{PacketBurst, PacketIo};
use lb_core::packet::{Frame, Packet};
use lb_core::pipeline::BURST_MAX;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// Longest frame of a packet that is made here, bytes.
const BUFFER_LEN: usize = 9_600 + 22;

/// One worker's part of a port in memory.
#[derive(Debug, Default)]
pub struct MemoryPort {
    input: Option<Receiver<Frame>>,
    output: Option<Sender<Frame>>,
    ring_len: usize,
    ring_free: usize,
}

impl MemoryPort {
    /// A port whose ring takes at most `ring_len` frames between two calls of [`PacketIo::receive`].
    pub fn new(input: Receiver<Frame>, output: Sender<Frame>, ring_len: usize) -> Self {
        Self::without_queues().receiving(input).transmitting(output, ring_len)
    }

    /// A port on which the worker has no queues.
    pub fn without_queues() -> Self {
        Self::default()
    }

    /// The same port with a receive queue.
    #[must_use]
    pub fn receiving(self, input: Receiver<Frame>) -> Self {
        Self { input: Some(input), ..self }
    }

    /// The same port with a transmit ring, see [`Self::new`]. Without a receive queue nothing ever empties it.
    #[must_use]
    pub fn transmitting(self, output: Sender<Frame>, ring_len: usize) -> Self {
        Self { output: Some(output), ring_len, ring_free: ring_len, ..self }
    }
}

/// The ports of one worker.
#[derive(Debug)]
pub struct MemoryIo {
    ports: Vec<MemoryPort>,
    /// How many packets can still be made here.
    buffers: usize,
    start: Instant,
}

impl MemoryIo {
    /// I/O over `ports`.
    pub fn new(ports: Vec<MemoryPort>) -> Self {
        Self { ports, buffers: usize::MAX, start: Instant::now() }
    }

    /// The same I/O, which runs out of buffers.
    #[must_use]
    pub fn with_buffers(self, buffers: usize) -> Self {
        Self { buffers, ..self }
    }
}

impl PacketBurst for Vec<Frame> {
    type Packet = Frame;

    fn len(&self) -> usize {
        self.len()
    }

    fn packets(&mut self) -> &mut [Frame] {
        self
    }

    fn bytes(&self) -> u64 {
        self.iter().map(|frame| frame.frame().len() as u64).sum()
    }

    fn push(&mut self, packet: Frame) -> Result<(), Frame> {
        if self.len() >= BURST_MAX {
            return Err(packet);
        }
        self.push(packet);
        Ok(())
    }

    fn drain(&mut self) -> impl Iterator<Item = Frame> {
        self.drain(..)
    }

    fn clear(&mut self) {
        self.clear();
    }
}

impl PacketIo for MemoryIo {
    type Packet = Frame;
    type Burst = Vec<Frame>;

    fn port_count(&self) -> usize {
        self.ports.len()
    }

    fn can_receive(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.input.is_some())
    }

    fn can_transmit(&self, port: usize) -> bool {
        self.ports.get(port).is_some_and(|port| port.output.is_some())
    }

    fn receive(&mut self, port: usize, max: usize, into: &mut Vec<Frame>) {
        let port = &mut self.ports[port];
        port.ring_free = port.ring_len;
        into.extend(port.input.iter().flat_map(Receiver::try_iter).take(max));
    }

    fn transmit(&mut self, port: usize, burst: &mut Vec<Frame>) {
        let port = &mut self.ports[port];
        let count = burst.len().min(port.ring_free);
        let Some(output) = &port.output else { return };
        port.ring_free -= count;
        for frame in burst.drain(..count) {
            // Nobody looks at the frames: they are sent all the same.
            let _ = output.send(frame);
        }
    }

    fn buffer(&mut self) -> Option<Frame> {
        self.buffers = self.buffers.checked_sub(1)?;
        Some(Frame::new(&[0; BUFFER_LEN]))
    }

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
