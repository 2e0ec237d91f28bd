//! The fragment table of a worker: what has been seen of datagrams that come in pieces.
//!
//! What must hold: all pieces of a datagram get what its first one got; pieces that overlap spoil the whole datagram
//! (RFC 5722, and the same over IPv4, where nobody sends them either), exact duplicates do not; nothing here grows. A
//! datagram is known by a keyed hash of 128 bits, so no address is kept. A slot with held packets is not given to another
//! datagram until all of them have been fetched or given up.

pub mod split;

use crate::clock::Tick;
use crate::hash::FlowHash;
use crate::reason::DropReason;
use crate::verdict::Verdict;

/// Datagrams under way at a time, unless configured.
pub const DATAGRAMS: usize = 1024;
/// Fragments that wait for their first ones, unless configured.
pub const HELD: usize = 256;
/// Pieces of one datagram: the longest one over a path MTU of 576 has 119.
pub const PIECES_MAX: usize = 128;
/// Slots that a datagram may be in.
const WAYS: usize = 8;

/// What one fragment covers of the data of its datagram, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Its first byte.
    pub start: u16,
    /// The byte behind its last.
    pub end: u16,
    /// True if the datagram ends with it.
    pub is_last: bool,
}

/// What a fragment means to the worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The first of its datagram: decide, and say what ([`FragmentTable::decide`]).
    First(u16),
    /// It follows what has been decided for the slot.
    Decided(u16),
    /// The first has not been here.
    Early(u16),
    /// There is no room for another datagram.
    Full,
}

/// Whether what is held for a slot still waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldState {
    /// It does.
    Waiting,
    /// The first fragment has been here.
    Ready,
    /// The time is over.
    Gone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    /// The first fragment has not been here.
    Waiting,
    /// It has.
    Decided,
    /// Expired, but packets are held.
    Gone,
}

/// What is known of one datagram.
#[derive(Clone, Copy, Debug)]
struct Slot {
    key: FlowHash,
    /// Hash of the flow, for the edit.
    hash: FlowHash,
    fate: Verdict,
    state: State,
    born: Tick,
    held: u16,
    pieces: u16,
    /// Bytes that have been here, and those of the whole once its last piece has.
    seen: u32,
    total: Option<u16>,
}

impl Slot {
    const FREE: Self = Self {
        key: FlowHash { tag: 0, spread: 0 },
        hash: FlowHash { tag: 0, spread: 0 },
        fate: Verdict::Drop(DropReason::FragmentTimeout),
        state: State::Free,
        born: Tick(0),
        held: 0,
        pieces: 0,
        seen: 0,
        total: None,
    };

    fn is_of(&self, key: FlowHash) -> bool {
        matches!(self.state, State::Waiting | State::Decided) && self.key == key
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct FragmentTable {
    slots: Box<[Slot]>,
    /// [`PIECES_MAX`] of each slot: start and end.
    pieces: Box<[(u16, u16)]>,
    used: usize,
    held: usize,
    held_max: usize,
    takes_back: bool,
    swept: Tick,
}

impl FragmentTable {
    /// Room for at least `datagrams` datagrams at a time, at most 65,536, of which `held` fragments may wait.
    pub fn new(datagrams: usize, held: usize) -> Self {
        let slots = datagrams.next_power_of_two().clamp(WAYS, 1 << 16);
        Self {
            slots: vec![Slot::FREE; slots].into(),
            pieces: vec![(0, 0); slots * PIECES_MAX].into(),
            used: 0,
            held: 0,
            held_max: held,
            takes_back: false,
            swept: Tick(0),
        }
    }

    /// Datagrams under way.
    pub fn len(&self) -> usize {
        self.used
    }

    /// True if no datagram is under way.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Notes a piece of the datagram `key`.
    pub(crate) fn note(&mut self, key: FlowHash, piece: Piece, now: Tick, ticks: u16) -> Noted {
        let Some(at) = self.slot(key, now, ticks) else { return Noted::Full };
        if !self.cover(at, piece) {
            self.spoil(at, DropReason::FragmentInvalid);
        }
        match self.slots[at].state {
            State::Decided => Noted::Decided(at as u16),
            _ if piece.start == 0 => Noted::First(at as u16),
            _ => Noted::Early(at as u16),
        }
    }

    /// Notes that something is wrong with the datagram `key`: it is not to be forwarded any more.
    pub(crate) fn refuse(&mut self, key: FlowHash, reason: DropReason, now: Tick, ticks: u16) -> Noted {
        let Some(at) = self.slot(key, now, ticks) else { return Noted::Full };
        self.spoil(at, reason);
        Noted::Decided(at as u16)
    }

    /// What the pieces of a datagram get from now on.
    pub(crate) fn decide(&mut self, slot: u16, fate: Verdict, hash: FlowHash) {
        if let Some(slot) = self.slots.get_mut(usize::from(slot)) {
            (slot.fate, slot.hash, slot.state) = (fate, hash, State::Decided);
            self.takes_back |= slot.held > 0;
        }
    }

    /// What has been decided for a slot, and the hash of its flow.
    pub(crate) fn fate(&self, slot: u16) -> (Verdict, FlowHash) {
        let slot = self.slots.get(usize::from(slot)).unwrap_or(&Slot::FREE);
        (slot.fate, slot.hash)
    }

    /// Makes room for other datagrams once the last piece of one has been here and nothing is held.
    pub(crate) fn release_if_whole(&mut self, slot: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(slot)) else { return };
        let is_whole = slot.total.is_some_and(|total| u32::from(total) == slot.seen);
        // What is spoilt stays, so that the rest of it is not taken for a new datagram.
        let is_sound = !matches!(slot.fate, Verdict::Drop(_));
        if slot.state == State::Decided && slot.held == 0 && is_whole && is_sound {
            *slot = Slot::FREE;
            self.used -= 1;
        }
    }

    /// Counts a packet as held for a slot; false if no more may be.
    pub(crate) fn hold(&mut self, slot: u16) -> bool {
        let Some(slot) = self.slots.get_mut(usize::from(slot)) else { return false };
        if self.held >= self.held_max {
            return false;
        }
        self.held += 1;
        slot.held += 1;
        true
    }

    /// The slot of a datagram of which a held packet comes back, if it has been decided on.
    pub(crate) fn recall(&mut self, key: FlowHash) -> Option<u16> {
        let at = self.find(key).filter(|at| self.slots[*at].state == State::Decided)?;
        self.let_go(at);
        Some(at as u16)
    }

    /// A held packet is given up.
    pub(crate) fn give_up(&mut self, slot: u16) {
        let at = usize::from(slot);
        self.let_go(at);
        if let Some(slot) = self.slots.get_mut(at)
            && slot.state == State::Gone
            && slot.held == 0
        {
            *slot = Slot::FREE;
            self.used -= 1;
        }
    }

    fn let_go(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at)
            && slot.held > 0
        {
            slot.held -= 1;
            self.held -= 1;
        }
    }

    /// Whether what is held for a slot still waits.
    pub(crate) fn held_state(&self, slot: u16) -> HeldState {
        match self.slots.get(usize::from(slot)).map(|slot| slot.state) {
            Some(State::Waiting) => HeldState::Waiting,
            Some(State::Decided) => HeldState::Ready,
            _ => HeldState::Gone,
        }
    }

    /// True if packets are held for a slot.
    #[cfg(test)]
    pub(crate) fn is_held(&self, slot: u16) -> bool {
        self.slots[usize::from(slot)].held > 0
    }

    /// True, once, if something held is no longer waiting.
    #[inline]
    pub(crate) fn takes_back(&mut self) -> bool {
        std::mem::take(&mut self.takes_back)
    }

    /// Forgets the datagrams that are older than `ticks`; looks at nothing more than once in a tick.
    pub(crate) fn expire(&mut self, now: Tick, ticks: u16) {
        if self.used == 0 || now == self.swept {
            return;
        }
        self.swept = now;
        for at in 0..self.slots.len() {
            self.expire_one(at, now, ticks);
        }
    }

    fn expire_one(&mut self, at: usize, now: Tick, ticks: u16) {
        let slot = &mut self.slots[at];
        let is_live = matches!(slot.state, State::Waiting | State::Decided);
        if !is_live || now.since(slot.born) < ticks {
            return;
        }
        if slot.held > 0 {
            slot.state = State::Gone;
            self.takes_back = true;
        } else {
            *slot = Slot::FREE;
            self.used -= 1;
        }
    }

    /// The slots that a datagram may be in.
    fn set(&self, key: FlowHash) -> std::ops::Range<usize> {
        let sets = self.slots.len() / WAYS;
        let first = key.tag as usize % sets * WAYS;
        first..first + WAYS
    }

    fn find(&self, key: FlowHash) -> Option<usize> {
        self.set(key).find(|at| self.slots[*at].is_of(key))
    }

    /// The slot of a datagram, a new one if it has none.
    fn slot(&mut self, key: FlowHash, now: Tick, ticks: u16) -> Option<usize> {
        for at in self.set(key) {
            self.expire_one(at, now, ticks);
        }
        if let Some(at) = self.find(key) {
            return Some(at);
        }
        let at = self.set(key).find(|at| self.slots[*at].state == State::Free)?;
        self.slots[at] = Slot { key, born: now, state: State::Waiting, ..Slot::FREE };
        self.used += 1;
        Some(at)
    }

    /// From now on the pieces of a datagram are dropped.
    fn spoil(&mut self, at: usize, reason: DropReason) {
        let slot = &mut self.slots[at];
        (slot.fate, slot.state) = (Verdict::Drop(reason), State::Decided);
        self.takes_back |= slot.held > 0;
    }

    /// Adds a piece to what has been here. False if it overlaps, contradicts the end, or is one too many.
    fn cover(&mut self, at: usize, piece: Piece) -> bool {
        let slot = &mut self.slots[at];
        let pieces = &mut self.pieces[at * PIECES_MAX..(at + 1) * PIECES_MAX];
        let known = &pieces[..usize::from(slot.pieces)];
        let (start, end) = (piece.start, piece.end);
        let is_beyond = slot.total.is_some_and(|total| end > total || piece.is_last && end != total);
        let is_end_behind = piece.is_last && known.iter().any(|(_, other)| *other > end);
        if is_beyond || is_end_behind {
            return false;
        }
        // RFC 8200 section 4.5: exact duplicates may come about in the network.
        if known.contains(&(start, end)) {
            return true;
        }
        let overlaps = known.iter().any(|(other, other_end)| start < *other_end && *other < end);
        if overlaps || known.len() == PIECES_MAX {
            return false;
        }
        pieces[usize::from(slot.pieces)] = (start, end);
        slot.pieces += 1;
        slot.seen += u32::from(end - start);
        if piece.is_last {
            slot.total = Some(end);
        }
        true
    }
}

impl Default for FragmentTable {
    fn default() -> Self {
        Self::new(DATAGRAMS, HELD)
    }
}

#[cfg(test)]
mod tests;
