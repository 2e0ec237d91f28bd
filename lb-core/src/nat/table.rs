//! The session table of one worker: a fixed number of places, found by either tuple.
//!
//! Hash chains through the places themselves: each session hangs in two of them, one by each tuple. The hash is keyed
//! at random, so that chains are short whoever sends. Memory is reserved at the start and touched as sessions come.

use super::session::{NatTimeouts, Session};
use super::tuple::Tuple;
use crate::clock::Tick;
use crate::verdict::RecordIndex;
use zerocopy::FromZeros;

/// From which side a session is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// By what the client sends.
    Forward,
    /// By what the backend sends.
    Backward,
}

/// Number of a session.
pub type SessionIndex = u32;

/// There is no room for one more session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableFull;

/// Node `2 * place + side`, plus one; zero is the end of a chain.
type Link = u32;

#[derive(Clone, Copy, Debug, FromZeros)]
struct Place {
    session: Session,
    /// The next nodes of the chains of both tuples; in an empty place the first is the next empty one.
    next: [Link; 2],
}

/// The table.
pub struct SessionTable {
    places: Box<[Place]>,
    heads: Box<[Link]>,
    secret: [u64; 2],
    len: usize,
    /// Places from here on were never used.
    fresh: usize,
    /// The first of the empty places below that, plus one.
    empty: u32,
    /// Where the sweep goes on.
    cursor: usize,
}

impl std::fmt::Debug for SessionTable {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SessionTable({} of {})", self.len, self.places.len())
    }
}

// What docs/nat.md says of its size.
const _: () = assert!(size_of::<Place>() == 116);

/// Most sessions of one table: links hold the place and the side in 32 bits.
pub const SESSIONS_MAX: usize = 1 << 26;

impl SessionTable {
    /// A table of `capacity` places, [`SESSIONS_MAX`] at most.
    ///
    /// # Panics
    /// If there is no address space for them.
    pub fn new(capacity: usize, secret: [u64; 2]) -> Self {
        let capacity = capacity.min(SESSIONS_MAX);
        let heads = (2 * capacity).max(1).next_power_of_two();
        Self {
            places: <[Place]>::new_box_zeroed_with_elems(capacity).expect("address space for the sessions"),
            heads: <[Link]>::new_box_zeroed_with_elems(heads).expect("address space for the sessions"),
            secret,
            len: 0,
            fresh: 0,
            empty: 0,
            cursor: 0,
        }
    }

    /// Places.
    pub fn capacity(&self) -> usize {
        self.places.len()
    }

    /// Sessions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn head(&self, tuple: &Tuple) -> usize {
        (tuple.hash(self.secret) >> 32) as usize & (self.heads.len() - 1)
    }

    /// The session of a packet.
    pub fn find(&self, tuple: &Tuple, direction: Direction) -> Option<SessionIndex> {
        let side = direction as usize;
        let mut link = self.heads[self.head(tuple)];
        while link != 0 {
            let (place, found_side) = (((link - 1) / 2) as usize, ((link - 1) % 2) as usize);
            let found = &self.places[place];
            if found_side == side && found.session.tuple(direction) == tuple {
                return Some(place as SessionIndex);
            }
            link = found.next[found_side];
        }
        None
    }

    /// A session.
    ///
    /// # Panics
    /// If `index` is none that this table gave out.
    pub fn get(&self, index: SessionIndex) -> &Session {
        &self.places[index as usize].session
    }

    /// A session, to be changed; its tuples must stay as they are.
    ///
    /// # Panics
    /// If `index` is none that this table gave out.
    pub fn get_mut(&mut self, index: SessionIndex) -> &mut Session {
        &mut self.places[index as usize].session
    }

    /// Enters a session whose tuples no session has.
    ///
    /// # Errors
    /// [`TableFull`], with nothing changed.
    pub fn insert(&mut self, session: Session) -> Result<SessionIndex, TableFull> {
        let place = if self.empty != 0 {
            let place = (self.empty - 1) as usize;
            self.empty = self.places[place].next[0];
            place
        } else if self.fresh < self.places.len() {
            self.fresh += 1;
            self.fresh - 1
        } else {
            return Err(TableFull);
        };
        self.places[place].session = Session { is_used: true, ..session };
        for (side, tuple) in [session.forward, session.backward].iter().enumerate() {
            let head = self.head(tuple);
            self.places[place].next[side] = self.heads[head];
            self.heads[head] = (2 * place + side) as Link + 1;
        }
        self.len += 1;
        Ok(place as SessionIndex)
    }

    /// Removes a session; `None` if the place has none.
    pub fn remove(&mut self, index: SessionIndex) -> Option<Session> {
        let place = index as usize;
        let session = self.places.get(place).filter(|place| place.session.is_used)?.session;
        for (side, tuple) in [session.forward, session.backward].iter().enumerate() {
            self.unlink(self.head(tuple), (2 * place + side) as Link + 1);
        }
        self.places[place].session.is_used = false;
        self.places[place].next[0] = self.empty;
        self.empty = place as u32 + 1;
        self.len -= 1;
        Some(session)
    }

    fn unlink(&mut self, head: usize, wanted: Link) {
        let after = self.places[((wanted - 1) / 2) as usize].next[((wanted - 1) % 2) as usize];
        if self.heads[head] == wanted {
            self.heads[head] = after;
            return;
        }
        let mut link = self.heads[head];
        while link != 0 {
            let next = &mut self.places[((link - 1) / 2) as usize].next[((link - 1) % 2) as usize];
            if *next == wanted {
                *next = after;
                return;
            }
            link = *next;
        }
    }

    /// Looks at the next `places` places and removes sessions that are over their time or whose record `is_gone`; each
    /// is reported to `removed`.
    pub fn sweep(
        &mut self,
        places: usize,
        now: Tick,
        timeouts: &NatTimeouts,
        is_gone: impl Fn(RecordIndex) -> bool,
        mut removed: impl FnMut(&Session),
    ) {
        for _ in 0..places.min(self.fresh) {
            let place = self.cursor;
            self.cursor = (self.cursor + 1) % self.fresh;
            let session = &self.places[place].session;
            if session.is_used && (session.is_expired(now, timeouts) || is_gone(session.record)) {
                removed(session);
                self.remove(place as SessionIndex);
            }
        }
    }

    /// All sessions.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.places[..self.fresh].iter().map(|place| &place.session).filter(|session| session.is_used)
    }
}

impl Session {
    fn tuple(&self, direction: Direction) -> &Tuple {
        match direction {
            Direction::Forward => &self.forward,
            Direction::Backward => &self.backward,
        }
    }
}

#[cfg(test)]
mod tests;
