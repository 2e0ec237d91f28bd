//! Documents made by hand, and texts that are compared with files.
//!
//! The unit tests of `top` use them too.

use lb_appliance::control::AdminState;
use lb_appliance::control::view::{
    BackendStatus, Confinement, DropCount, Event, HealthStatus, OverrideStatus, PoolStatus, ReloadStatus,
    Status, VipStatus, WorkerStatus,
};
use std::path::PathBuf;

/// Compares a text with `tests/cli/golden/NAME`; with `GUIDEWAY_BLESS=1` it writes the file instead.
pub(crate) fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/cli/golden").join(name);
    if std::env::var_os("GUIDEWAY_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("directory");
        std::fs::write(&path, text).expect("write");
    }
    let expected =
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(expected == text, "{} differs; it is now:\n{text}", path.display());
}

pub(crate) fn status() -> Status {
    Status {
        node: "lb1".into(),
        version: "0.1.0".into(),
        started_at_seconds: 1_795_395_723.0,
        uptime_seconds: 7_380.0,
        generation: 7,
        seen: 2,
        config_hash: "c0ffee".into(),
        forwarding_hash: "0badcafe".into(),
        last_reload: Some(ReloadStatus {
            at_seconds: 1_795_396_723.0,
            successful: true,
            message: "1 added, 1 changed".into(),
        }),
        pending_confirmation: None,
        overrides: 1,
        problems: vec!["pool dns has no healthy backend".into()],
        security: Confinement::default(),
        workers: vec![worker("2", 41_000_000), worker("3", 39_500_000)],
        vips: vec![vip("web", "tcp", 2), vip("dns", "udp", 0)],
        dropped: vec![DropCount {
            reason: "no_backend".into(),
            help: "The pool has no backend that takes new flows: look at its health checks".into(),
            packets: 12_345,
            bytes: 987_654,
        }],
    }
}

fn worker(name: &str, packets: u64) -> WorkerStatus {
    WorkerStatus {
        worker: name.into(),
        generation: 7,
        heartbeat_age_seconds: Some(0.004),
        packets,
        busy_seconds: 4.1,
        idle_seconds: 7_375.9,
        entries: 1_200,
        capacity: 1_048_576,
    }
}

fn vip(name: &str, protocol: &str, healthy_backends: usize) -> VipStatus {
    VipStatus {
        name: name.into(),
        addresses: vec![
            "203.0.113.10".parse().expect("address"),
            "2001:db8:cafe::10".parse().expect("address"),
        ],
        protocol: protocol.into(),
        ports: "80,443".into(),
        pool: name.into(),
        backends: 2,
        healthy_backends,
        panic: false,
        serving: healthy_backends > 0,
        packets: 80_500_000,
        bytes: 64_400_000_000,
        connections: 912_345,
        active_connections: 2_400,
        dropped: 12_345,
    }
}

pub(crate) fn pools() -> Vec<PoolStatus> {
    vec![
        PoolStatus {
            name: "web".into(),
            encapsulation: "gue".into(),
            vips: vec!["web".into()],
            panic: false,
            backends: vec![backend("web", "web-1", "up"), overridden()],
        },
        PoolStatus {
            name: "dns".into(),
            encapsulation: "ipip".into(),
            vips: vec!["dns".into()],
            panic: false,
            backends: vec![backend("dns", "dns-1", "down")],
        },
    ]
}

fn backend(pool: &str, name: &str, state: &str) -> BackendStatus {
    let is_up = state == "up";
    BackendStatus {
        pool: pool.into(),
        name: name.into(),
        address: "10.0.1.11".parse().expect("address"),
        state: state.into(),
        reason: if is_up { "configured" } else { "health check" }.into(),
        admin_state: AdminState::Active,
        configured_state: AdminState::Active,
        override_: None,
        configured_weight: 100,
        weight: if is_up { 100.0 } else { 0.0 },
        weight_reasons: vec![],
        share: if is_up { 0.667 } else { 0.0 },
        health: Some(HealthStatus {
            probe: "http".into(),
            state: state.into(),
            since_seconds: Some(1_795_395_800.0),
            cause: (!is_up).then(|| "timeout".into()),
            detail: (!is_up).then(|| "no answer within 1s".into()),
            latency_seconds: Some(0.0012),
            checks: 3_690,
            failures: if is_up { 0 } else { 12 },
        }),
        active_connections: 1_600,
        connections: 608_230,
        packets: 53_000_000,
        bytes: 44_000_000_000,
        drained: false,
    }
}

fn overridden() -> BackendStatus {
    BackendStatus {
        reason: "operator".into(),
        admin_state: AdminState::Drain,
        override_: Some(OverrideStatus {
            state: Some(AdminState::Drain),
            weight: Some(50),
            remaining_seconds: Some(1_799.0),
            persistent: false,
        }),
        weight: 50.0,
        weight_reasons: vec!["50: the operator's word".into()],
        share: 0.0,
        active_connections: 17,
        ..backend("web", "web-2", "drain")
    }
}

pub(crate) fn events() -> Vec<Event> {
    let event = |sequence, kind: &str, severity: &str, object: &str, message: &str| Event {
        sequence,
        at_seconds: 1_795_395_723.0 + sequence as f64,
        kind: kind.into(),
        severity: severity.into(),
        object: object.into(),
        message: message.into(),
    };
    vec![
        event(0, "started", "info", "process", "forwarding 2 VIPs on 2 workers"),
        event(1, "backend_down", "warning", "backend dns/dns-1", "timeout: no answer within 1s"),
        event(2, "vip_down", "error", "vip dns", "no backend for new connections"),
    ]
}
