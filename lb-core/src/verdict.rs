//! What becomes of a packet.
//!
//! Only `decide` produces verdicts; everything after it obeys. Every packet gets exactly one.

use crate::reason::{AnswerReason, DropReason, PuntReason};

/// Index of a backend record in [`crate::tables::Tables`], one per (service, backend).
pub type RecordIndex = u16;

/// The outcome for one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send to the backend of this record.
    Forward(RecordIndex),
    /// Send to the client by the port of this number: an answer that was translated back.
    Return(u8),
    /// The frame now holds our own reply: send it back where it came from.
    Answer(AnswerReason),
    /// A fragment that came before the first of its datagram: keep it until the slot of the fragment table with this
    /// number is no longer waiting ([`crate::pipeline::Pipeline::held_state`]).
    Hold(u16),
    /// Send to the backend of this record in pieces, which the packet is too long for: `Pipeline::split` makes them. The
    /// frame is as it came, with its IP header at this offset.
    Split(RecordIndex, u8),
    /// Not ours: give it to the kernel.
    Punt(PuntReason),
    /// Free it and count the reason.
    Drop(DropReason),
}

const _: () = assert!(size_of::<Verdict>() == 4);

impl Verdict {
    /// The word of `replay --json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Forward(_) | Self::Split(..) => "forward",
            Self::Return(_) => "return",
            Self::Answer(_) => "answer",
            Self::Hold(_) => "hold",
            Self::Punt(_) => "punt",
            Self::Drop(_) => "drop",
        }
    }

    /// The reason of an answer, a punt or a drop.
    pub const fn reason(self) -> Option<&'static str> {
        match self {
            Self::Forward(_) | Self::Split(..) | Self::Return(_) | Self::Hold(_) => None,
            Self::Answer(reason) => Some(reason.name()),
            Self::Punt(reason) => Some(reason.name()),
            Self::Drop(reason) => Some(reason.name()),
        }
    }
}
