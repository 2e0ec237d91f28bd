//! Numbers of services and records.

use super::TablesError;
use crate::service::ServiceIndex;
use crate::spec::{RECORDS_MAX, Spec};
use crate::verdict::RecordIndex;

/// Which number each service and each (service, backend) pair of a [`Spec`] has in the tables.
///
/// Connection entries and counters know numbers only, so a number must keep its meaning from one generation to
/// the next, and must not be given away while entries refer to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// By service of the spec.
    pub services: Vec<ServiceIndex>,
    /// By service of the spec, then by backend of its pool.
    pub records: Vec<Vec<RecordIndex>>,
}

impl Layout {
    /// Numbers in the order of the spec, for tables that nothing came before.
    ///
    /// # Errors
    /// As [`Tables::build`], for an unknown pool and for too many of anything.
    pub fn dense(spec: &Spec) -> Result<Self, TablesError> {
        let mut layout = Self::default();
        let mut next = 0;
        for (service, wanted) in spec.services.iter().enumerate() {
            let pool = spec.pools.get(wanted.pool).ok_or(TablesError::UnknownPool { service })?;
            let end = next + pool.backends.len();
            let number = ServiceIndex::try_from(service).ok().filter(|_| end <= RECORDS_MAX);
            layout.services.push(number.ok_or(TablesError::TooMany { records: end })?);
            layout.records.push((next..end).map(|record| record as RecordIndex).collect());
            next = end;
        }
        Ok(layout)
    }
}
