//! Captures written and read by the crate pcap-file, independently of the code under test.

use pcap_file::pcap::{PcapHeader, PcapPacket, PcapReader, PcapWriter};
use pcap_file::{DataLink, Endianness, TsResolution};
use std::time::Duration;

/// A classic pcap of frames with their stamps.
pub(crate) fn classic<'f>(
    resolution: TsResolution,
    endianness: Endianness,
    frames: impl IntoIterator<Item = (Duration, &'f [u8])>,
) -> Vec<u8> {
    let datalink = DataLink::ETHERNET;
    let header = PcapHeader { ts_resolution: resolution, endianness, datalink, ..PcapHeader::default() };
    let mut writer = PcapWriter::with_header(Vec::new(), header).expect("memory");
    for (stamp, frame) in frames {
        writer.write_packet(&PcapPacket::new(stamp, frame.len() as u32, frame)).expect("memory");
    }
    writer.into_writer()
}

/// Frames a millisecond apart, in the form that most captures have.
pub(crate) fn plain(frames: &[Vec<u8>]) -> Vec<u8> {
    let stamped = frames.iter().enumerate();
    let stamped =
        stamped.map(|(n, frame)| (Duration::from_millis(1_700_000_000_000 + n as u64), frame.as_slice()));
    classic(TsResolution::MicroSecond, Endianness::Little, stamped)
}

/// Stamp and bytes of every frame of a capture without any damage.
pub(crate) fn read(bytes: &[u8]) -> Vec<(Duration, Vec<u8>)> {
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut reader = PcapReader::new(bytes).expect("a pcap header");
    assert_eq!(reader.header().datalink, DataLink::ETHERNET);
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.expect("no half packet");
        assert_eq!(packet.orig_len as usize, packet.data.len());
        frames.push((packet.timestamp, packet.data.into_owned()));
    }
    frames
}
