//! What a replay can be told besides configuration and capture.

use crate::plan::Names;
use lb_core::pipeline::BURST_MAX;
use std::fmt;
use std::str::FromStr;

/// Backends named in the message about an unknown one.
const NAMED_MAX: usize = 20;

/// How to replay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayOptions {
    /// Most packets per burst, 1..=64; values outside are taken to the nearest bound. The results do not
    /// depend on it.
    pub burst: usize,
    /// Backends that are down from the first packet on.
    pub down: Vec<BackendName>,
}

impl Default for ReplayOptions {
    fn default() -> Self {
        Self { burst: BURST_MAX, down: Vec::new() }
    }
}

/// `POOL/BACKEND`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendName {
    /// Name of the pool.
    pub pool: String,
    /// Name of the backend in that pool.
    pub backend: String,
}

/// The text is not `POOL/BACKEND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected POOL/BACKEND, for example web/web-1")]
pub struct BackendNameError;

impl FromStr for BackendName {
    type Err = BackendNameError;

    fn from_str(text: &str) -> Result<Self, BackendNameError> {
        match text.split_once('/') {
            Some((pool, backend)) if !pool.is_empty() && !backend.is_empty() && !backend.contains('/') => {
                Ok(Self { pool: pool.to_owned(), backend: backend.to_owned() })
            }
            _ => Err(BackendNameError),
        }
    }
}

impl fmt::Display for BackendName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.backend)
    }
}

/// A name that the configuration does not have, with those that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackend {
    /// The name asked for.
    pub name: BackendName,
    /// The names there are, in the order of the file.
    pub known: Vec<BackendName>,
}

impl UnknownBackend {
    pub(super) fn new(name: &BackendName, names: &Names) -> Self {
        let of_pool = |pool: &crate::plan::PoolNames| -> Vec<BackendName> {
            let named = |backend: &String| BackendName { pool: pool.name.clone(), backend: backend.clone() };
            pool.backends.iter().map(named).collect()
        };
        Self { name: name.clone(), known: names.pools.iter().flat_map(of_pool).collect() }
    }
}

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no backend `{}`; known are: ", self.name)?;
        let shown: Vec<String> = self.known.iter().take(NAMED_MAX).map(ToString::to_string).collect();
        f.write_str(if shown.is_empty() { "none at all" } else { "" })?;
        f.write_str(&shown.join(", "))?;
        match self.known.len().saturating_sub(NAMED_MAX) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for UnknownBackend {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_named_by_pool_and_name() {
        let name: BackendName = "web/web-1".parse().unwrap();
        assert_eq!((name.pool.as_str(), name.backend.as_str()), ("web", "web-1"));
        for text in ["", "web", "/web-1", "web/", "a/b/c"] {
            assert!(text.parse::<BackendName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        let known = |count: usize| {
            (0..count).map(|index| format!("web/b{index}").parse().unwrap()).collect::<Vec<BackendName>>()
        };
        let text = |count| UnknownBackend { name: "web/x".parse().unwrap(), known: known(count) }.to_string();
        assert_eq!(text(2), "there is no backend `web/x`; known are: web/b0, web/b1");
        assert_eq!(text(0), "there is no backend `web/x`; known are: none at all");
        assert!(text(NAMED_MAX + 3).ends_with("web/b19 and 3 more"));
    }
}
