//! `Arena`: the lines of a connection table in memory of their own, on 2 MB pages where the kernel gives them.
//!
//! What must hold: the lines start at a multiple of [`HUGE_PAGE_LEN`] and begin empty, and every page has been
//! touched by the thread that made the arena, so that it is local to that thread's NUMA node. Without huge pages
//! the arena is the same memory on 4 KiB pages: slower at millions of flows (docs/io.md), never wrong.

use lb_core::conn::Line;
use memmap2::{Advice, MmapMut, MmapOptions};
use std::fs;
use std::io;
use std::ops::{Deref, DerefMut, Range};
use zerocopy::FromBytes;

/// Size and alignment of the pages asked for, bytes.
pub const HUGE_PAGE_LEN: usize = 2 << 20;
/// The smallest page of every kernel that this runs on, bytes.
const PAGE_LEN: usize = 4 << 10;

/// Where the kernel says who may have huge pages.
pub const SETTING: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Lines of a connection table, all empty at first.
///
/// It derefs to the lines, which checks size and alignment each time; a worker borrows them once
/// (`ConnTable::new(&mut *arena)`), and then a look-up costs what it costs in a slice.
#[derive(Debug)]
pub struct Arena {
    map: MmapMut,
    lines: Range<usize>,
    advice: io::Result<()>,
}

impl Arena {
    /// Memory for `lines` lines, touched by this thread.
    ///
    /// # Errors
    /// What `mmap(2)` returns: `ENOMEM` when the machine, a limit or the container does not have that much;
    /// `InvalidInput` for a number of lines that no address space holds.
    pub fn new(lines: usize) -> io::Result<Self> {
        Self::advised(lines, |map, range| map.advise_range(Advice::HugePage, range.start, range.len()))
    }

    /// As [`Self::new`], with the request for huge pages given: tests let it fail.
    fn advised(lines: usize, ask: impl FnOnce(&MmapMut, Range<usize>) -> io::Result<()>) -> io::Result<Self> {
        let too_many = || io::Error::new(io::ErrorKind::InvalidInput, format!("{lines} lines of 64 bytes"));
        let len = lines.checked_mul(size_of::<Line>()).ok_or_else(too_many)?;
        // Whole pages, and one more: a mapping starts at any 4 KiB page.
        let whole = len.max(1).checked_next_multiple_of(HUGE_PAGE_LEN).ok_or_else(too_many)?;
        let reserved = whole.checked_add(HUGE_PAGE_LEN).ok_or_else(too_many)?;
        let mut map = MmapOptions::new().len(reserved).map_anon()?;
        let start = map.as_ptr().align_offset(HUGE_PAGE_LEN);
        let advice = ask(&map, start..start + whole);
        for page in map[start..start + whole].chunks_mut(PAGE_LEN) {
            page[0] = 0;
        }
        Ok(Self { map, lines: start..start + len, advice })
    }

    /// Bytes of the lines.
    pub fn bytes(&self) -> usize {
        self.lines.len()
    }

    /// Why the kernel refused huge pages outright, if it did. It may also grant the request and give none.
    pub fn refusal(&self) -> Option<&io::Error> {
        self.advice.as_ref().err()
    }

    /// How many of [`Self::bytes`] lie on huge pages now, by the kernel's own account in `/proc/self/smaps`.
    ///
    /// # Errors
    /// When that file cannot be read.
    pub fn huge_bytes(&self) -> io::Result<usize> {
        let start = self.map.as_ptr().addr() + self.lines.start;
        Ok(huge_bytes(&fs::read_to_string("/proc/self/smaps")?, start..start + self.bytes()))
    }
}

impl Deref for Arena {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        <[Line]>::ref_from_bytes(&self.map[self.lines.clone()]).expect("aligned and whole by construction")
    }
}

impl DerefMut for Arena {
    fn deref_mut(&mut self) -> &mut [Line] {
        <[Line]>::mut_from_bytes(&mut self.map[self.lines.clone()])
            .expect("aligned and whole by construction")
    }
}

/// Bytes on huge pages in the mappings of `smaps` that overlap `wanted`; no more than `wanted` has, since the
/// kernel joins neighbouring mappings.
fn huge_bytes(smaps: &str, wanted: Range<usize>) -> usize {
    let (mut is_ours, mut kib) = (false, 0);
    for line in smaps.lines() {
        if let Some(mapping) = address_range(line) {
            is_ours = mapping.start < wanted.end && wanted.start < mapping.end;
        } else if let (true, Some(value)) = (is_ours, line.strip_prefix("AnonHugePages:")) {
            kib += value.trim().trim_end_matches(" kB").parse::<usize>().unwrap_or(0);
        }
    }
    (kib << 10).min(wanted.len())
}

/// The addresses in the first line of a mapping, `7f00-7f80 rw-p ...`.
fn address_range(line: &str) -> Option<Range<usize>> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

/// The kernel's setting, as it stands in [`SETTING`]: `always [madvise] never`.
pub fn setting() -> String {
    fs::read_to_string(SETTING).map_or_else(|error| error.to_string(), |text| text.trim().to_owned())
}

#[cfg(test)]
mod tests;
