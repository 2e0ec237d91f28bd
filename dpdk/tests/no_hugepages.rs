//! Hugepages asked for where too few are reserved: the message names them and both mends.

mod support;

use dpdk::{Eal, EalConfig, EalError, Memory};
use support::config;

#[test]
fn missing_hugepages_are_named_with_their_mend() {
    // More than any test machine has reserved: 1 TiB.
    let huge = EalConfig { memory: Memory::Hugepages { mib: 1 << 20 }, ..config(&["net_null0"]) };
    let error = Eal::init(&huge).err().unwrap();
    let EalError::Init { lines, .. } = &error else { panic!("{error}") };
    assert!(!lines.is_empty(), "EAL's own lines are kept");
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("vm.nr_hugepages=") && hint.contains("hugepages: false"), "{error}");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    eprintln!("{error}");
}
