//! The output: a classic pcap, written so that what is there always ends with a whole packet.
//!
//! Packets are gathered and go out in one write per 64 KiB and at the end; when a write fails, the error
//! says up to where the output is whole.

use super::capture::Resolution;
use super::error::ReplayError;
use pcap_file::pcap::PcapHeader;
use pcap_file::{DataLink, Endianness, PcapError, TsResolution};
use std::io::{self, Write};

/// Bytes gathered before they are written.
const BATCH_BYTES: usize = 1 << 16;
/// Snap length in the header: what libpcap takes for "everything".
const SNAP_LEN: u32 = 262_144;

/// A pcap being written.
#[derive(Debug)]
pub(super) struct PcapSink<W> {
    writer: W,
    batch: Vec<u8>,
    whole_bytes: u64,
    resolution: Resolution,
}

impl<W: Write> PcapSink<W> {
    /// An output with its header, little-endian on every machine.
    pub(super) fn new(writer: W, resolution: Resolution) -> Result<Self, ReplayError> {
        let header = PcapHeader {
            snaplen: SNAP_LEN,
            datalink: DataLink::ETHERNET,
            ts_resolution: match resolution {
                Resolution::Micros => TsResolution::MicroSecond,
                Resolution::Nanos => TsResolution::NanoSecond,
            },
            endianness: Endianness::Little,
            ..PcapHeader::default()
        };
        let mut batch = Vec::with_capacity(BATCH_BYTES);
        header.write_to(&mut batch).map_err(|error| ReplayError::Output {
            source: match error {
                PcapError::IoError(source) => source,
                other => io::Error::other(other),
            },
            whole_bytes: 0,
        })?;
        let mut sink = Self { writer, batch, whole_bytes: 0, resolution };
        sink.write_batch()?;
        Ok(sink)
    }

    /// Adds a frame that leaves at `nanos` since 1970; what 32 bits of seconds cannot say is the last
    /// moment that they can.
    pub(super) fn push(&mut self, nanos: u64, frame: &[u8]) -> Result<(), ReplayError> {
        let (seconds, fraction) = self.resolution.split(nanos);
        let len = u32::try_from(frame.len()).unwrap_or(u32::MAX);
        for field in [seconds, fraction, len, len] {
            self.batch.extend_from_slice(&field.to_le_bytes());
        }
        self.batch.extend_from_slice(frame);
        if self.batch.len() >= BATCH_BYTES { self.write_batch() } else { Ok(()) }
    }

    /// Writes what is left and flushes.
    pub(super) fn finish(mut self) -> Result<(), ReplayError> {
        self.write_batch()?;
        let whole_bytes = self.whole_bytes;
        self.writer.flush().map_err(|source| ReplayError::Output { source, whole_bytes })
    }

    fn write_batch(&mut self) -> Result<(), ReplayError> {
        let whole_bytes = self.whole_bytes;
        self.writer.write_all(&self.batch).map_err(|source| ReplayError::Output { source, whole_bytes })?;
        self.whole_bytes += self.batch.len() as u64;
        self.batch.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pcap_file::pcap::PcapReader;

    /// Takes `room` bytes and no more, like a full disk.
    struct Small {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for &mut Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let len = bytes.len().min(self.room - self.taken.len());
            self.taken.extend_from_slice(&bytes[..len]);
            if len == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(len) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_is_reported_with_the_length_of_what_is_whole() {
        let mut disk = Small { taken: Vec::new(), room: 150_000 };
        let mut sink = PcapSink::new(&mut disk, Resolution::Nanos).unwrap();
        let failed = (0..1000).find_map(|n| sink.push(n, &[n as u8; 300]).err());
        let Some(ReplayError::Output { whole_bytes, .. }) = failed else { panic!("{failed:?}") };
        assert_eq!(disk.taken.len(), disk.room);
        let whole = &disk.taken[..whole_bytes as usize];
        let mut reader = PcapReader::new(whole).unwrap();
        let mut count = 0;
        while let Some(packet) = reader.next_packet() {
            assert_eq!(packet.unwrap().data.len(), 300);
            count += 1;
        }
        assert!(count > 300, "only {count} whole packets");
    }

    #[test]
    fn stamps_beyond_the_format_are_its_last_moment() {
        let mut out = Vec::new();
        let mut sink = PcapSink::new(&mut out, Resolution::Micros).unwrap();
        sink.push(1_700_000_000_123_456_789, &[1]).unwrap();
        sink.push(u64::MAX, &[2]).unwrap();
        sink.finish().unwrap();
        let mut reader = PcapReader::new(out.as_slice()).unwrap();
        let first = reader.next_packet().unwrap().unwrap().timestamp;
        assert_eq!(first.as_nanos(), 1_700_000_000_123_456_000);
        assert_eq!(reader.next_packet().unwrap().unwrap().timestamp.as_secs(), u64::from(u32::MAX));
    }
}
