//! `Taps`: which port of the I/O is the kernel's end of which port of the configuration.
//!
//! A punt interface is one more port with one queue each way, numbered after all configured ports, so that it is
//! polled, waited for and shared between workers as they are. Its owner alone receives from it.

use super::handover::QueueOwners;
use std::ops::Range;

/// The punt interfaces of all configured ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taps {
    /// By configured port: the port of the I/O that leads to the kernel.
    of_port: Vec<Option<usize>>,
    /// The other way round, from the first tap on.
    ports: Vec<usize>,
}

impl Taps {
    /// `has_punt` says of each configured port whether it has a punt interface.
    pub fn new(has_punt: impl IntoIterator<Item = bool>) -> Self {
        let has_punt: Vec<bool> = has_punt.into_iter().collect();
        let ports: Vec<usize> = (0..has_punt.len()).filter(|port| has_punt[*port]).collect();
        let mut of_port = vec![None; has_punt.len()];
        for (number, port) in ports.iter().enumerate() {
            of_port[*port] = Some(has_punt.len() + number);
        }
        Self { of_port, ports }
    }

    /// `ports` ports without any.
    pub fn none(ports: usize) -> Self {
        Self::new(vec![false; ports])
    }

    /// True if no port has one.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Number of configured ports.
    #[inline]
    pub fn port_count(&self) -> usize {
        self.of_port.len()
    }

    /// The numbers of the taps.
    #[inline]
    pub fn numbers(&self) -> Range<usize> {
        self.port_count()..self.port_count() + self.ports.len()
    }

    /// The tap of a configured port.
    #[inline]
    pub fn of_port(&self, port: usize) -> Option<usize> {
        self.of_port.get(port).copied().flatten()
    }

    /// The configured port of a tap.
    #[inline]
    pub fn port_of(&self, tap: usize) -> Option<usize> {
        self.ports.get(tap.checked_sub(self.port_count())?).copied()
    }

    /// Who owns the queues of the taps, in their order: for each a worker that sends by its port itself.
    pub fn owners(&self, ports: &[QueueOwners]) -> Vec<QueueOwners> {
        let owner = |port: &usize| ports.get(*port).and_then(|port| port.transmit.first()).copied();
        self.ports.iter().map(|port| QueueOwners::private(owner(port).unwrap_or(0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taps_come_after_the_ports_and_lead_back_to_them() {
        let taps = Taps::new([false, true, true]);
        assert_eq!((taps.port_count(), taps.numbers()), (3, 3..5));
        assert_eq!([0, 1, 2, 3].map(|port| taps.of_port(port)), [None, Some(3), Some(4), None]);
        assert_eq!([2, 3, 4, 5].map(|tap| taps.port_of(tap)), [None, Some(1), Some(2), None]);
        let ports =
            [QueueOwners::new(0, 1, 1, 2), QueueOwners::new(1, 1, 1, 2), QueueOwners::new(2, 2, 2, 2)];
        assert_eq!(taps.owners(&ports), [QueueOwners::private(1), QueueOwners::private(0)]);
        assert!(Taps::none(2).is_empty() && !taps.is_empty());
    }
}
