//! Memory of the connection tables, and what the log says of it.

use crate::arena::{self, Arena};
use anyhow::{Context, Result};
use lb_core::conn::{ConnTable, Line};
use lb_core::hw::{LINE_ENTRIES, Level};

/// What became of one worker's request for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableMemory {
    bytes: usize,
    huge_bytes: usize,
    /// Why there are no huge pages, if the kernel said so.
    refusal: Option<String>,
}

impl TableMemory {
    /// The account of an arena. When it cannot be read, nothing is claimed to be on huge pages.
    pub(super) fn of(arena: &Arena) -> Self {
        Self {
            bytes: arena.bytes(),
            huge_bytes: arena.huge_bytes().unwrap_or(0),
            refusal: arena.refusal().map(ToString::to_string),
        }
    }

    /// True if less is on huge pages than was asked for.
    fn is_short(&self) -> bool {
        self.refusal.is_some() || self.huge_bytes < self.bytes
    }
}

/// Memory for a table of at least `entries` entries, local to this thread.
pub(super) fn allocate(entries: usize) -> Result<Arena> {
    let lines = ConnTable::<Box<[Line]>>::lines_for(entries);
    Arena::new(lines).with_context(|| {
        format!(
            "{} MiB for a worker's connection table of {entries} entries are not to be had: lower \
             forwarding.connections.per_worker, or give the machine or the container more memory",
            mib(lines * size_of::<Line>())
        )
    })
}

/// One line about all tables, and a warning if huge pages are missing.
pub(super) fn log(tables: &[TableMemory]) {
    let bytes: usize = tables.iter().map(|table| table.bytes).sum();
    let huge_bytes: usize = tables.iter().map(|table| table.huge_bytes).sum();
    let per_worker = tables.first().map_or(0, |table| table.bytes);
    tracing::info!(
        event = "connection_table",
        entries_per_worker = per_worker / size_of::<Line>() * LINE_ENTRIES,
        mib_per_worker = mib(per_worker),
        huge_page_percent = huge_bytes * 100 / bytes.max(1),
        workers = tables.len(),
        instructions = Level::detect().name(),
        "connection tables"
    );
    let Some(short) = tables.iter().find(|table| table.is_short()) else { return };
    tracing::warn!(
        event = "no_huge_pages",
        setting = %format_args!("{}: {}", arena::SETTING, arena::setting()),
        reason = short.refusal.as_deref().unwrap_or("the kernel had no free 2 MB pages or does not give them"),
        "connection tables go on with 4 KiB pages for {} of {} MiB, which is slower with millions of flows \
         (docs/io.md): `echo madvise > {}`, and restart when memory is not fragmented",
        mib(bytes - huge_bytes),
        mib(bytes),
        arena::SETTING,
    );
}

fn mib(bytes: usize) -> usize {
    bytes >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_warned_about() {
        let whole = TableMemory { bytes: 4 << 20, huge_bytes: 4 << 20, refusal: None };
        assert!(!whole.is_short());
        assert!(TableMemory { huge_bytes: 2 << 20, ..whole.clone() }.is_short());
        assert!(TableMemory { refusal: Some("no".into()), ..whole }.is_short());
    }

    #[test]
    fn a_table_has_room_for_its_entries() {
        assert!(allocate(10_000).unwrap().len() * LINE_ENTRIES >= 10_000);
        let table = TableMemory::of(&allocate(1 << 16).unwrap());
        assert_eq!(table.bytes, 1 << 20);
        assert!(table.huge_bytes <= table.bytes);
    }
}
