//! EAL starts once per process: the second call is a typed error, and the first runtime goes on working.

mod support;

use std::path::PathBuf;

use dpdk::{Eal, EalError};
use support::{config, eal, pool};

/// The folder of this process's file prefix, wherever EAL puts it (eal_create_runtime_dir).
fn runtime_folders() -> Vec<PathBuf> {
    let places = [
        std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from),
        std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from),
        Some(PathBuf::from("/var/run")),
        Some(PathBuf::from("/tmp")),
    ];
    let prefix = config(&[]).file_prefix;
    places
        .into_iter()
        .flatten()
        .map(|place| place.join("dpdk").join(&prefix))
        .filter(|path| path.exists())
        .collect()
}

#[test]
fn a_second_start_is_refused_even_after_the_first_has_ended() {
    let first = eal(&["net_null0"]);
    let error = Eal::init(&config(&[])).err().unwrap();
    assert!(matches!(error, EalError::AlreadyInitialised));
    assert!(error.to_string().contains("once per process"), "{error}");
    assert!(pool(&first).alloc().is_some());
    assert!(dpdk::tsc::hz().is_some_and(|hz| hz.get() > 1_000_000));
    assert!(dpdk::version().starts_with("DPDK 2"), "{}", dpdk::version());
    let folders = runtime_folders();
    assert_eq!(folders.len(), 1, "EAL makes one folder for the prefix");
    drop(first);
    assert!(runtime_folders().is_empty(), "nothing is left behind: {folders:?}");
    assert!(matches!(Eal::init(&config(&[])), Err(EalError::AlreadyInitialised)));
}
