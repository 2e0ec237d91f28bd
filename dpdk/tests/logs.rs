//! EAL's and the drivers' lines reach the sink whole, with their level; nothing of DPDK's reaches stderr.

mod support;

use dpdk::log::{self, Level};
use support::{LINES, config};

#[test]
fn the_lines_of_the_start_arrive_whole() {
    log::set_sink(support::collect);
    let verbose = dpdk::EalConfig {
        extra_args: vec!["--log-level=lib.eal:debug".to_owned()],
        ..config(&["net_af_packet0,iface=gwabsent0"])
    };
    let eal = dpdk::Eal::init(&verbose).unwrap();
    assert_eq!(eal.port_count(), 0);
    let lines = LINES.lock().unwrap();
    assert!(lines.iter().all(|(_, line)| !line.is_empty() && !line.contains('\n')), "{lines:?}");
    assert!(
        lines.iter().any(|(level, line)| *level == Level::Info && line.starts_with("EAL: ")),
        "{lines:?}"
    );
    assert!(lines.iter().any(|(level, _)| *level == Level::Debug), "{lines:?}");
    let failure = lines.iter().find(|(_, line)| line.contains("net_af_packet0"));
    assert!(failure.is_some_and(|(level, _)| *level <= Level::Error), "{lines:?}");
}
