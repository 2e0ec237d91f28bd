//! Classic pcap: one header, then records.
//!
//! The crate `pcap-file` knows header and records; what it lacks is done here: a bound on the length of a
//! record before it is read, and records longer on the wire than the snap length, which is the very
//! purpose of a snap length.

use super::error::CaptureFlaw;
use super::input::Input;
use super::stamp::Resolution;
use super::{FRAME_BYTES_MAX, LINK_TYPE_ETHERNET, Mark};
use pcap_file::pcap::PcapParser;
use pcap_file::{Endianness, PcapError};
use std::io::Read;

/// Length of the file header, bytes.
const HEADER_LEN: usize = 24;
/// Length of a record header, bytes.
const RECORD_HEADER_LEN: usize = 16;

/// A classic pcap behind its header.
#[derive(Debug)]
pub(super) struct Classic {
    parser: PcapParser,
}

impl Classic {
    /// Reads the file header.
    pub(super) fn open<R: Read>(input: &mut Input<R>) -> Result<Self, CaptureFlaw> {
        let head = input.peek(HEADER_LEN)?;
        let magic = *head.first_chunk::<4>().ok_or(CaptureFlaw::Truncated {
            what: "the file header",
            wanted: HEADER_LEN as u64,
            found: head.len() as u64,
        })?;
        let (_, parser) = PcapParser::new(head).map_err(|error| match error {
            PcapError::IncompleteBuffer => CaptureFlaw::Truncated {
                what: "the file header",
                wanted: HEADER_LEN as u64,
                found: head.len() as u64,
            },
            _ => CaptureFlaw::NotACapture(magic),
        })?;
        let header = parser.header();
        if header.version_major != 2 {
            let (major, minor) = (header.version_major, header.version_minor);
            return Err(CaptureFlaw::Version { format: "pcap", major, minor });
        }
        // The upper half says whether frames carry their FCS; if so it is padding behind the datagram.
        let link_type = u32::from(header.datalink) as u16;
        if link_type != LINK_TYPE_ETHERNET {
            return Err(CaptureFlaw::LinkType(link_type));
        }
        input.take(HEADER_LEN)?;
        Ok(Self { parser })
    }

    pub(super) fn resolution(&self) -> Resolution {
        self.parser.header().ts_resolution.into()
    }

    /// The next record; `None` at the end of the file.
    pub(super) fn next<R: Read>(&self, input: &mut Input<R>) -> Result<Option<Mark>, CaptureFlaw> {
        let head = input.peek(RECORD_HEADER_LEN)?;
        if head.is_empty() {
            return Ok(None);
        }
        let truncated = |what, wanted: usize, found: usize| CaptureFlaw::Truncated {
            what,
            wanted: wanted as u64,
            found: found as u64,
        };
        let captured_len = head
            .get(8..12)
            .and_then(|field| field.try_into().ok())
            .filter(|_| head.len() == RECORD_HEADER_LEN)
            .map(|field| match self.parser.header().endianness {
                Endianness::Big => u32::from_be_bytes(field),
                Endianness::Little => u32::from_le_bytes(field),
            })
            .ok_or_else(|| truncated("a record header", RECORD_HEADER_LEN, head.len()))?;
        if captured_len > FRAME_BYTES_MAX {
            return Err(CaptureFlaw::Length { what: "a frame", len: captured_len.into() });
        }
        let record_len = RECORD_HEADER_LEN + captured_len as usize;
        let found = input.take(record_len)?;
        if found < record_len {
            return Err(truncated("a record", record_len, found));
        }
        let record = self.parser.next_raw_packet(input.taken());
        let (_, packet) = record.map_err(|_| CaptureFlaw::Damaged("a record cannot be read"))?;
        let (nanos, is_clamped) = self.resolution().join(packet.ts_sec, packet.ts_frac);
        Ok(Some(Mark { nanos, is_clamped, at: RECORD_HEADER_LEN..record_len, wire_len: packet.orig_len }))
    }
}
