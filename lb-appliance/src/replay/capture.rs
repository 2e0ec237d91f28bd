//! A capture being read: classic pcap or pcapng, frame by frame, whatever its byte order.
//!
//! Streams: at most one record or block is in memory. No length is believed before it has been compared
//! with a bound and with what is there, so that garbage ends in a [`CaptureError`] with its place.

mod classic;
mod error;
mod input;
mod pcapng;
mod stamp;

pub use error::{CaptureError, CaptureFlaw};
pub use stamp::Resolution;

use classic::Classic;
use input::Input;
use pcapng::PcapNg;
use std::io::Read;
use std::ops::Range;

/// Longest frame accepted, bytes: the largest snap length of libpcap.
pub(super) const FRAME_BYTES_MAX: u32 = 262_144;
/// Ethernet in both formats (LINKTYPE_ETHERNET of tcpdump.org/linktypes.html).
const LINK_TYPE_ETHERNET: u16 = 1;
/// Block type of a pcapng section header; the same in both byte orders.
const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// One frame of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Captured<'a> {
    /// When, nanoseconds since 1970.
    pub nanos: u64,
    /// True if the stamp lay outside of what a classic pcap can say and is the nearest moment instead.
    pub is_clamped: bool,
    /// What was captured of it.
    pub bytes: &'a [u8],
    /// How long it was on the wire, bytes.
    pub wire_len: u32,
}

impl Captured<'_> {
    /// True if the end of the frame is missing.
    pub fn is_snapped(&self) -> bool {
        self.bytes.len() < self.wire_len as usize
    }
}

/// A frame as a format describes it: `at` is its place within the record that was taken last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    nanos: u64,
    is_clamped: bool,
    at: Range<usize>,
    wire_len: u32,
}

#[derive(Debug)]
enum Format {
    Classic(Classic),
    PcapNg(PcapNg),
}

/// A capture, at its first or next frame.
#[derive(Debug)]
pub struct Capture<R> {
    input: Input<R>,
    format: Format,
    frames: u64,
    is_over: bool,
}

impl<R: Read> Capture<R> {
    /// Reads the file header behind `reader`, which needs no buffer of its own.
    ///
    /// # Errors
    /// If that is no capture, or one of something else than Ethernet.
    pub fn open(reader: R) -> Result<Self, CaptureError> {
        let mut input = Input::new(reader);
        let opened = match input.peek(SECTION_HEADER.len()) {
            Err(error) => Err(error.into()),
            Ok([]) => Err(CaptureFlaw::Empty),
            Ok(magic) if magic == SECTION_HEADER => Ok(Format::PcapNg(PcapNg::default())),
            Ok(_) => Classic::open(&mut input).map(Format::Classic),
        };
        match opened {
            Ok(format) => Ok(Self { input, format, frames: 0, is_over: false }),
            Err(flaw) => Err(CaptureError { flaw, frame: 0, offset: input.offset() }),
        }
    }

    /// The resolution that holds every stamp of this capture.
    pub fn resolution(&self) -> Resolution {
        match &self.format {
            Format::Classic(classic) => classic.resolution(),
            Format::PcapNg(_) => Resolution::Nanos,
        }
    }

    /// The next frame, or `None` at the end.
    ///
    /// # Errors
    /// If the capture is damaged here. There is nothing behind damage: after an error comes `None`.
    pub fn next_frame(&mut self) -> Result<Option<Captured<'_>>, CaptureError> {
        if self.is_over {
            return Ok(None);
        }
        let offset = self.input.offset();
        let found = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.input),
            Format::PcapNg(pcapng) => pcapng.next(&mut self.input),
        };
        self.is_over = !matches!(found, Ok(Some(_)));
        match found {
            Ok(None) => Ok(None),
            Ok(Some(Mark { nanos, is_clamped, at, wire_len })) => {
                self.frames += 1;
                let bytes = self.input.taken().get(at).unwrap_or_default();
                Ok(Some(Captured { nanos, is_clamped, bytes, wire_len }))
            }
            Err(flaw) => {
                let offset = match &self.format {
                    Format::Classic(_) => offset,
                    Format::PcapNg(pcapng) => pcapng.block_offset(),
                };
                Err(CaptureError { flaw, frame: self.frames, offset })
            }
        }
    }
}

#[cfg(test)]
mod tests;
