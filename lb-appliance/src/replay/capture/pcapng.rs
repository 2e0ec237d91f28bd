//! pcapng: blocks, of which sections, interfaces and packets matter (draft-ietf-opsawg-pcapng).
//!
//! Read here and not by the crate `pcap-file`, which takes stamps for nanoseconds whatever the interface
//! says, leaves the padding of simple packets on, and gives up the file over options that the draft
//! allows: `if_tzone`, a list without its end mark, a comment that is not UTF-8. Its writer is the
//! independent opponent in the tests. Blocks of unknown kinds are passed over, as the draft demands.

use super::error::CaptureFlaw;
use super::input::Input;
use super::stamp::TickUnit;
use super::{FRAME_BYTES_MAX, LINK_TYPE_ETHERNET, Mark, SECTION_HEADER};
use std::io::Read;

/// Longest block accepted, bytes: as in Wireshark.
const BLOCK_BYTES_MAX: u32 = 16 << 20;
/// Most interfaces of one section.
const INTERFACES_MAX: usize = 65_536;
/// Type and total length in front of a body, bytes.
const BLOCK_HEAD_LEN: usize = 8;
/// Head and the total length behind the body, bytes.
const BLOCK_LEN_MIN: usize = 12;
/// Byte order, version and section length in the body of a section header, bytes.
const SECTION_LEN: usize = 16;
/// Interface, stamp and both lengths in the body of an enhanced packet, bytes.
const PACKET_HEAD_LEN: usize = 20;

const INTERFACE: u32 = 1;
/// Obsolete, and like an enhanced packet but for 16 bits of interface and 16 bits of drops.
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

const OPTION_END: u16 = 0;
const OPTION_RESOLUTION: u16 = 9;
const OPTION_OFFSET: u16 = 14;

/// One interface of the section.
#[derive(Clone, Copy, Debug)]
struct Interface {
    link_type: u16,
    /// Bytes kept of each frame; 0 = all.
    snap_len: u32,
    unit: TickUnit,
}

/// Byte order of a section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    Big,
    #[default]
    Little,
}

impl Order {
    /// From the magic number in a section header.
    fn of(magic: [u8; 4]) -> Result<Self, CaptureFlaw> {
        match magic {
            [0x1a, 0x2b, 0x3c, 0x4d] => Ok(Self::Big),
            [0x4d, 0x3c, 0x2b, 0x1a] => Ok(Self::Little),
            _ => Err(CaptureFlaw::Damaged("a section header without byte order")),
        }
    }

    fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let field = bytes.get(at..)?.first_chunk().copied()?;
        Some(if self == Self::Big { u16::from_be_bytes(field) } else { u16::from_le_bytes(field) })
    }

    fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = bytes.get(at..)?.first_chunk().copied()?;
        Some(if self == Self::Big { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) })
    }

    fn i64(self, bytes: &[u8]) -> Option<i64> {
        let field = bytes.try_into().ok()?;
        Some(if self == Self::Big { i64::from_be_bytes(field) } else { i64::from_le_bytes(field) })
    }
}

/// A pcapng at its first or next block.
#[derive(Debug, Default)]
pub(super) struct PcapNg {
    order: Order,
    interfaces: Vec<Interface>,
    /// Stamp of the last packet, nanoseconds since 1970: simple packets have none of their own.
    last_nanos: u64,
    /// Where the block begins that is being read, bytes.
    block_offset: u64,
}

impl PcapNg {
    /// Where the block began that was read last, or could not be; bytes from the start of the file.
    pub(super) fn block_offset(&self) -> u64 {
        self.block_offset
    }

    /// The next packet; `None` at the end of the file.
    pub(super) fn next<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<Mark>, CaptureFlaw> {
        while let Some(kind) = self.take_block(input)? {
            let block = input.taken();
            let body = &block[BLOCK_HEAD_LEN..block.len() - (BLOCK_LEN_MIN - BLOCK_HEAD_LEN)];
            let mark = match kind.to_be_bytes() {
                SECTION_HEADER => self.section(body)?,
                _ => match kind {
                    INTERFACE => self.interface(body)?,
                    SIMPLE_PACKET => Some(self.simple_packet(body)?),
                    PACKET | ENHANCED_PACKET => Some(self.packet(body, kind)?),
                    _ => None,
                },
            };
            if let Some(mut mark) = mark {
                mark.at = mark.at.start + BLOCK_HEAD_LEN..mark.at.end + BLOCK_HEAD_LEN;
                self.last_nanos = mark.nanos;
                return Ok(Some(mark));
            }
        }
        Ok(None)
    }

    /// Takes one whole block and returns its type. A section header settles the byte order first.
    fn take_block<R: Read>(&mut self, input: &mut Input<R>) -> Result<Option<u32>, CaptureFlaw> {
        self.block_offset = input.offset();
        let head = input.peek(BLOCK_LEN_MIN)?;
        if head.is_empty() {
            return Ok(None);
        }
        let Some(head) = head.first_chunk::<BLOCK_LEN_MIN>() else {
            let (wanted, found) = (BLOCK_LEN_MIN as u64, head.len() as u64);
            return Err(CaptureFlaw::Truncated { what: "a block header", wanted, found });
        };
        let [a, b, c, d, .., e, f, g, h] = *head;
        if [a, b, c, d] == SECTION_HEADER {
            self.order = Order::of([e, f, g, h])?;
        }
        let short = CaptureFlaw::Damaged("a block header cannot be read");
        let (Some(kind), Some(len)) = (self.order.u32(head, 0), self.order.u32(head, 4)) else {
            return Err(short);
        };
        if len % 4 != 0 || !(BLOCK_LEN_MIN as u32..=BLOCK_BYTES_MAX).contains(&len) {
            return Err(CaptureFlaw::Length { what: "a block", len: len.into() });
        }
        let found = input.peek(len as usize)?.len();
        if found < len as usize {
            return Err(CaptureFlaw::Truncated { what: "a block", wanted: len.into(), found: found as u64 });
        }
        let block = input.peek(len as usize)?;
        if self.order.u32(block, len as usize - 4) != Some(len) {
            return Err(CaptureFlaw::Damaged("the two lengths of a block differ"));
        }
        input.take(len as usize)?;
        Ok(Some(kind))
    }

    fn section(&mut self, body: &[u8]) -> Result<Option<Mark>, CaptureFlaw> {
        if body.len() < SECTION_LEN {
            return Err(CaptureFlaw::Length { what: "the body of a section header", len: body.len() as u64 });
        }
        let (major, minor) = (self.order.u16(body, 4).unwrap_or(0), self.order.u16(body, 6).unwrap_or(0));
        if major != 1 {
            return Err(CaptureFlaw::Version { format: "pcapng", major, minor });
        }
        self.interfaces.clear();
        Ok(None)
    }

    fn interface(&mut self, body: &[u8]) -> Result<Option<Mark>, CaptureFlaw> {
        let (Some(link_type), Some(snap_len)) = (self.order.u16(body, 0), self.order.u32(body, 4)) else {
            return Err(CaptureFlaw::Length { what: "the body of an interface", len: body.len() as u64 });
        };
        if self.interfaces.len() >= INTERFACES_MAX {
            return Err(CaptureFlaw::Damaged("a section with more than 65,536 interfaces"));
        }
        let unit = self.unit(body.get(8..).unwrap_or_default())?;
        self.interfaces.push(Interface { link_type, snap_len, unit });
        Ok(None)
    }

    /// The unit of stamps that the options of an interface give.
    fn unit(&self, mut options: &[u8]) -> Result<TickUnit, CaptureFlaw> {
        let mut unit = TickUnit::default();
        while let (Some(code), Some(len)) = (self.order.u16(options, 0), self.order.u16(options, 2)) {
            if code == OPTION_END {
                break;
            }
            let len = usize::from(len);
            let value =
                options.get(4..4 + len).ok_or(CaptureFlaw::Damaged("an option runs out of its block"))?;
            match (code, value) {
                (OPTION_RESOLUTION, [resolution]) => unit.resolution = *resolution,
                (OPTION_OFFSET, offset) => {
                    let wrong = CaptureFlaw::Damaged("if_tsoffset is not 8 bytes long");
                    unit.offset_seconds = self.order.i64(offset).ok_or(wrong)?;
                }
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(unit)
    }

    /// The interface of a packet, which must be Ethernet.
    fn ethernet(&self, index: u32) -> Result<Interface, CaptureFlaw> {
        let unknown = CaptureFlaw::Damaged("a packet of an interface that is not described");
        let interface = self.interfaces.get(index as usize).copied().ok_or(unknown)?;
        if interface.link_type != LINK_TYPE_ETHERNET {
            return Err(CaptureFlaw::LinkType(interface.link_type));
        }
        Ok(interface)
    }

    fn packet(&self, body: &[u8], kind: u32) -> Result<Mark, CaptureFlaw> {
        let field = |at| self.order.u32(body, at);
        let (Some(index), Some(high), Some(low), Some(captured_len), Some(wire_len)) =
            (field(0), field(4), field(8), field(12), field(16))
        else {
            return Err(CaptureFlaw::Length { what: "the body of a packet", len: body.len() as u64 });
        };
        let index = match kind {
            PACKET => u32::from(self.order.u16(body, 0).unwrap_or(u16::MAX)),
            _ => index,
        };
        let interface = self.ethernet(index)?;
        if captured_len > FRAME_BYTES_MAX || captured_len as usize > body.len() - PACKET_HEAD_LEN {
            return Err(CaptureFlaw::Length { what: "a frame", len: captured_len.into() });
        }
        let (nanos, is_clamped) = interface.unit.nanos(u64::from(high) << 32 | u64::from(low));
        let at = PACKET_HEAD_LEN..PACKET_HEAD_LEN + captured_len as usize;
        Ok(Mark { nanos, is_clamped, at, wire_len })
    }

    fn simple_packet(&self, body: &[u8]) -> Result<Mark, CaptureFlaw> {
        let Some(wire_len) = self.order.u32(body, 0) else {
            return Err(CaptureFlaw::Length { what: "the body of a packet", len: body.len() as u64 });
        };
        let interface = self.ethernet(0)?;
        let snap_len = if interface.snap_len == 0 { u32::MAX } else { interface.snap_len };
        let captured_len = wire_len.min(snap_len) as usize;
        if captured_len > FRAME_BYTES_MAX as usize || captured_len > body.len() - 4 {
            return Err(CaptureFlaw::Length { what: "a frame", len: captured_len as u64 });
        }
        Ok(Mark { nanos: self.last_nanos, is_clamped: false, at: 4..4 + captured_len, wire_len })
    }
}
