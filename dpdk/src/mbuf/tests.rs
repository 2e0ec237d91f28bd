//! `Mbuf::reframe` against the steps that it puts together, over buffers in ordinary memory.

use super::*;
use proptest::prelude::*;
use std::mem::ManuallyDrop;

/// A buffer whose bytes are numbered, so that a moved packet can be told from a copied one.
struct Memory {
    raw: Box<ffi::rte_mbuf>,
    bytes: Vec<u8>,
}

impl Memory {
    fn new(buf_len: u16, data_off: u16, data_len: u16) -> Self {
        let mut bytes: Vec<u8> = (0..buf_len).map(|at| at as u8).collect();
        // SAFETY: integers, and pointers that no method used here follows but `buf_addr`.
        let mut raw: Box<ffi::rte_mbuf> = Box::new(unsafe { std::mem::zeroed() });
        raw.buf_addr = bytes.as_mut_ptr().cast();
        raw.buf_len = buf_len;
        raw.nb_segs = 1;
        raw.data_off = data_off;
        raw.data_len = data_len;
        raw.pkt_len = u32::from(data_len);
        Self { raw, bytes }
    }

    /// The packet; never dropped, since no pool would take it back.
    fn mbuf(&mut self) -> ManuallyDrop<Mbuf> {
        // SAFETY: the structure and its bytes live in `self`, which is borrowed for as long as nothing else is.
        ManuallyDrop::new(unsafe { Mbuf::from_raw(NonNull::from(&mut *self.raw)) })
    }

    fn shape(&self) -> (u16, u16, u32) {
        (self.raw.data_off, self.raw.data_len, self.raw.pkt_len)
    }
}

/// The same by the other methods, one step after another. `None` also where those refuse on their way.
fn step_by_step(mbuf: &mut Mbuf, grow: isize, len: usize) -> Option<Vec<u8>> {
    let is_moved = match usize::try_from(grow) {
        Ok(grow) => mbuf.grow_front(grow),
        Err(_) => mbuf.shrink_front(grow.unsigned_abs()),
    };
    if !is_moved {
        return None;
    }
    if len <= mbuf.len() {
        mbuf.truncate(len).then_some(())?;
    } else {
        mbuf.append(len - mbuf.len()).map(drop)?;
    }
    Some(mbuf.data().to_vec())
}

fn any_grow() -> impl Strategy<Value = isize> {
    prop_oneof![8 => -300isize..300, 1 => Just(isize::MIN), 1 => Just(isize::MAX), 1 => -70_000isize..70_000]
}

fn any_len() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0usize..600, 1 => Just(usize::MAX), 1 => 65_000usize..70_000]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]
    #[test]
    fn reframe_does_what_its_steps_do(
        (buf_len, data_off, data_len) in (1u16..520).prop_flat_map(|buf_len| {
            (Just(buf_len), 0..=buf_len).prop_flat_map(|(buf_len, data_off)| {
                (Just(buf_len), Just(data_off), 0..=buf_len - data_off)
            })
        }),
        grow in any_grow(),
        len in any_len(),
    ) {
        let mut memory = Memory::new(buf_len, data_off, data_len);
        let before = memory.shape();
        let ours = memory.mbuf().reframe(grow, len).map(|frame| frame.to_vec());
        let start = i128::from(data_off) - grow as i128;
        let fits = start >= 0 && start + len as i128 <= i128::from(buf_len);
        prop_assert_eq!(ours.is_some(), fits);
        if let Some(frame) = &ours {
            let start = start as usize;
            prop_assert_eq!(memory.shape(), (start as u16, len as u16, len as u32));
            prop_assert_eq!(frame, &memory.bytes[start..start + len]);
            let mbuf = memory.mbuf();
            prop_assert_eq!(mbuf.data(), frame);
        } else {
            prop_assert_eq!(memory.shape(), before);
        }
        let mut twin = Memory::new(buf_len, data_off, data_len);
        let expected = step_by_step(&mut twin.mbuf(), grow, len);
        // The steps also refuse to move the start beyond the old end, which reframe may.
        let is_beyond_end = i128::from(data_off) - (grow as i128) > i128::from(data_off + data_len);
        if !is_beyond_end {
            prop_assert_eq!(&ours, &expected);
        }
        if expected.is_some() {
            prop_assert_eq!(memory.shape(), twin.shape());
        }
    }
}

#[test]
fn a_packet_in_pieces_is_not_reframed() {
    let mut memory = Memory::new(256, 128, 60);
    memory.raw.nb_segs = 2;
    assert!(memory.mbuf().reframe(20, 80).is_none());
    assert_eq!(memory.shape(), (128, 60, 60));
}

#[test]
fn the_drivers_word_on_checksums_is_read_from_the_flags() {
    let mut memory = Memory::new(256, 128, 60);
    for (bits, good, bad) in [
        (0, false, false),
        (ffi::GW_MBUF_RX_IP_CKSUM_GOOD, true, false),
        (ffi::GW_MBUF_RX_IP_CKSUM_BAD, false, true),
        (ffi::GW_MBUF_RX_IP_CKSUM_MASK, false, false),
    ] {
        memory.raw.ol_flags = bits | ffi::GW_MBUF_RX_RSS_HASH;
        let flags = memory.mbuf().rx_flags();
        assert_eq!((flags.ip_checksum_good(), flags.ip_checksum_bad()), (good, bad), "{bits:#x}");
    }
}
