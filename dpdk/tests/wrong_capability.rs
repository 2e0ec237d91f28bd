//! A driver that lacks a capability: the message names it and the three ways to grant it.
//! Drops the capabilities itself, so it says the same as root and as nobody.

mod support;

use dpdk::PortError;
use support::{device, eal};

/// Clears the calling thread's capabilities (capset(2), version 3: a header and two blocks of three words).
fn drop_capabilities() {
    let header = [0x2008_0522u32, 0];
    let none = [0u32; 6];
    // SAFETY: capset reads the header and two 12-byte blocks; pid 0 is the calling thread.
    let code = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    assert_eq!(code, 0);
}

#[test]
fn a_missing_capability_is_named_with_its_mend() {
    drop_capabilities();
    let spec = "net_af_packet0,iface=lo";
    let eal = eal(&[spec]);
    let error = eal.port_by_device(&device(spec)).unwrap_err();
    assert!(matches!(error, PortError::NotFound { .. }), "{error}");
    let hint = error.hint().unwrap_or_default();
    for mend in ["CAP_NET_RAW", "setcap cap_net_raw,cap_net_admin+ep", "--cap-add NET_RAW"] {
        assert!(hint.contains(mend), "{error}");
    }
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}
