//! The Maglev tables of a generation: shared with the one before where nothing has changed, built where it has.
//!
//! On several threads if they are many, because a reload of a thousand pools waits for nothing else; no packet does.

use super::{Tables, TablesError};
use crate::maglev::{MaglevSeed, MaglevTable};
use crate::spec::{PoolSpec, Spec};
use std::collections::HashMap;
use std::net::IpAddr;

/// What the Maglev tables were made from, to tell which of them the next generation can share.
#[derive(Clone, Debug, Default)]
pub(super) struct Origin {
    seed: u128,
    size: u32,
    memberships: Box<[Membership]>,
}

impl Origin {
    pub(super) fn of(spec: &Spec) -> Self {
        let memberships = spec.pools.iter().map(membership).collect();
        Self { seed: spec.seed, size: spec.maglev_size, memberships }
    }

    /// True if tables of the same members are the same.
    fn is_of(&self, spec: &Spec) -> bool {
        (self.seed, self.size) == (spec.seed, spec.maglev_size)
    }
}

/// What a Maglev table depends on besides seed and size: who takes part, in the order of the ordinals.
type Membership = Vec<(IpAddr, u32)>;

fn membership(pool: &PoolSpec) -> Membership {
    pool.backends.iter().map(|backend| (backend.address, backend.table_weight())).collect()
}

/// A Maglev table and the fingerprint of who owns its slots.
#[derive(Clone, Debug)]
pub(super) struct Built {
    pub(super) table: MaglevTable,
    pub(super) digest: u64,
}

/// Tables on one thread, below which a second one does not pay.
const TABLES_PER_THREAD: usize = 8;
/// Threads that build tables at most: the control plane has few CPUs.
const THREADS_MAX: usize = 4;

/// The table of every pool: those that `previous` has already, and new ones, built on several threads if many.
pub(super) fn build(spec: &Spec, previous: Option<&Tables>) -> Result<Box<[Built]>, TablesError> {
    let known: HashMap<&Membership, &Built> = previous
        .filter(|previous| previous.origin.is_of(spec))
        .map(|previous| previous.origin.memberships.iter().zip(&previous.maglev).collect())
        .unwrap_or_default();
    let mut tables: Vec<Option<Built>> =
        spec.pools.iter().map(|pool| known.get(&membership(pool)).map(|built| Built::clone(built))).collect();
    let missing: Vec<usize> = (0..tables.len()).filter(|pool| tables[*pool].is_none()).collect();
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let threads = (missing.len() / TABLES_PER_THREAD).clamp(1, cpus.min(THREADS_MAX));
    let share = missing.len().div_ceil(threads).max(1);
    let built: Vec<Result<Vec<(usize, Built)>, TablesError>> = std::thread::scope(|scope| {
        let build = |pools: &[usize]| pools.iter().map(|pool| Ok((*pool, build_one(spec, *pool)?))).collect();
        let mut shares = missing.chunks(share);
        let own = shares.next().unwrap_or_default();
        let others: Vec<_> = shares.map(|pools| scope.spawn(move || build(pools))).collect();
        let mut built = vec![build(own)];
        built.extend(
            others
                .into_iter()
                .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
        );
        built
    });
    for share in built {
        for (pool, table) in share? {
            tables[pool] = Some(table);
        }
    }
    Ok(tables.into_iter().flatten().collect())
}

fn build_one(spec: &Spec, pool: usize) -> Result<Built, TablesError> {
    let seed = MaglevSeed::from_bytes(spec.seed.to_le_bytes());
    let found = &spec.pools[pool];
    let identities = found.identities();
    let members = found.members(&identities);
    let table = MaglevTable::build(seed, spec.maglev_size, &members)
        .map_err(|error| TablesError::Maglev { pool, error })?;
    let digest = table.digest(&members);
    Ok(Built { table, digest })
}
