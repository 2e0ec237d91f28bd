//! What is wrong with a capture, and where.

use std::fmt;
use std::io;

/// Damage, or a capture of the wrong kind.
#[derive(Debug)]
pub struct CaptureError {
    /// What.
    pub flaw: CaptureFlaw,
    /// The frame that could not be read, counted from 0 as in the JSON lines.
    pub frame: u64,
    /// Offset of the record that could not be read, bytes from the start of the file.
    pub offset: u64,
}

/// Kinds of damage.
#[derive(Debug, thiserror::Error)]
pub enum CaptureFlaw {
    /// The system would not read it.
    #[error("cannot read: {0}")]
    Read(#[from] io::Error),
    /// No bytes at all.
    #[error("the file is empty; a capture has a header even if it has no frames")]
    Empty,
    /// Neither format.
    #[error("neither pcap nor pcapng: the file begins with {0:02x?}")]
    NotACapture([u8; 4]),
    /// A version that is not ours.
    #[error("{format} version {major}.{minor} is not supported")]
    Version {
        /// Name of the format.
        format: &'static str,
        /// Major number.
        major: u16,
        /// Minor number.
        minor: u16,
    },
    /// Frames of another kind.
    #[error("the link type is {0}, not Ethernet (1); capture on one Ethernet interface, not on `any`")]
    LinkType(u16),
    /// The file ends within something.
    #[error("the file ends within {what}: {found} of {wanted} bytes are there")]
    Truncated {
        /// The thing.
        what: &'static str,
        /// Its length, bytes.
        wanted: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// A length that cannot be.
    #[error("{what} of {len} bytes: damaged, or not a capture")]
    Length {
        /// Whose length.
        what: &'static str,
        /// The length, bytes.
        len: u64,
    },
    /// A block that contradicts itself or another one.
    #[error("damaged: {0}")]
    Damaged(&'static str),
}

impl CaptureFlaw {
    /// True if it is about the whole file.
    fn is_about_file(&self) -> bool {
        matches!(self, Self::Empty | Self::NotACapture(_))
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.flaw.is_about_file() {
            return self.flaw.fmt(f);
        }
        write!(f, "frame {} (counted from 0), at byte {}: {}", self.frame, self.offset, self.flaw)
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.flaw {
            CaptureFlaw::Read(error) => Some(error),
            _ => None,
        }
    }
}
