//! Open files: every probe under way holds one, and the usual soft limit is 1,024.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How many files this process may hold open.
pub fn open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Raises the soft limit of open files to `wanted`, as far as the hard limit lets it; returns what holds then.
///
/// For the start of the program: with 10,000 backends that do not answer, thousands of probes wait at one time.
pub fn raise_open_files(wanted: u64) -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let possible = limit.maximum.map_or(wanted, |hard| wanted.min(hard));
    if limit.current.is_some_and(|soft| soft < possible) {
        // Refused only if the limits changed meanwhile; then the old one holds, and that is what is returned.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(possible), maximum: limit.maximum });
    }
    open_files()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_never_lowered() {
        let before = open_files();
        assert!(raise_open_files(before.min(64)) >= before);
    }
}
