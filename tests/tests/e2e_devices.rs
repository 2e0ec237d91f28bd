//! `device:` alone decides what the balancer runs on: several queues, capture files.
//!
//! Promises kept here: two workers share the traffic of one port and each accounts for its own; a capture file is a port
//! like any other, without privileges, and what comes out is what `replay` says.

use std::fs;
use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4, VIP6};
use lb_tests::process::{Process, run, wait_until};
use lb_tests::program::guideway;
use lb_tests::skip::{Skip, unless};

const REQUESTS: usize = 200;

fn two_workers() -> Result<(), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let text = fs::read_to_string(lab.config()).expect("the lab's configuration");
    let text = text.replace("framecnt=2048", "framecnt=2048,qpairs=2");
    let text = text.replace("idle: adaptive", "idle: adaptive\n  workers: [0, 1]");
    let config = lab.folder().join("two-workers.yaml");
    fs::write(&config, text).expect("written");
    let balancer = Balancer::start_with(&lab, &config)?;
    for address in [VIP4, VIP6] {
        let answers = get(&lab, address, REQUESTS);
        assert_eq!(answers.good(), REQUESTS, "{address}: {:?}", answers.failures);
    }
    let scrape = balancer.metrics_at_rest();
    assert!(scrape.balance().holds(), "{:?}", scrape.balance());
    let by_worker: Vec<f64> =
        scrape.named("guideway_worker_packets_total").map(|sample| sample.value).collect();
    assert_eq!(by_worker.len(), 2);
    // The kernel spreads flows by hash; 400 connections of several packets do not all land on one queue.
    assert!(by_worker.iter().all(|packets| *packets > 100.0), "{by_worker:?}");
    let finished = balancer.stop("TERM");
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    Ok(())
}

#[test]
fn two_workers_share_one_port() {
    unless(two_workers());
}

/// A classic little-endian microsecond capture of TCP SYNs to the VIP, from ports 1000 on.
fn capture(frames: u16) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for index in 0..frames {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 7, 8, 0];
        // IPv4 198.51.100.7 -> 203.0.113.10, 40 bytes, TTL 64, TCP; its checksum by hand.
        frame.extend([0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0x14, 0x8b, 198, 51, 100, 7, 203, 0, 113, 10]);
        frame.extend((1000 + index).to_be_bytes());
        frame.extend([0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        let len = frame.len() as u32;
        for word in [0, u32::from(index), len, len] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    file
}

fn config(folder: &std::path::Path, with_ports: bool) -> String {
    let folder = folder.display();
    let dataplane = format!(
        "dataplane:\n  memory: {{hugepages: false, per_numa_node: 256MiB, mbufs_per_numa_node: 8191}}\n  ports:\n    \
         - {{name: file0, device: \"net_pcap0,rx_pcap={folder}/in.pcap,tx_pcap={folder}/out.pcap\", promiscuous: true}}\n"
    );
    format!(
        "version: 1\n{}pools:\n  - name: web\n    encap: {{l2dsr: {{}}}}\n    backends:\n      \
         - {{name: a, address: 10.0.0.1, mac: \"02:00:00:00:00:0a\"}}\n      \
         - {{name: b, address: 10.0.0.2, mac: \"02:00:00:00:00:0b\"}}\n\
         vips:\n  - {{name: web, addresses: [203.0.113.10], ports: [80], protocol: tcp, pool: web}}\n\
         metrics: {{listen: \"127.0.0.1:0\"}}\n",
        if with_ports { dataplane.as_str() } else { "" }
    )
}

/// Destination MACs of the frames of a capture, in order.
fn destinations(file: &[u8]) -> Vec<[u8; 6]> {
    let (mut at, mut found) = (24, Vec::new());
    while let Some(header) = file.get(at..at + 16) {
        let len = u32::from_le_bytes([header[8], header[9], header[10], header[11]]) as usize;
        let Some(frame) = file.get(at + 16..at + 16 + len) else { break };
        found.push(frame[..6].try_into().expect("six bytes"));
        at += 16 + len;
    }
    found
}

fn pcap_port() -> Result<(), Skip> {
    const FRAMES: u16 = 150;
    let folder = tempfile::tempdir().expect("folder");
    let file = |name: &str| folder.path().join(name);
    fs::write(file("in.pcap"), capture(FRAMES)).expect("written");
    fs::write(file("run.yaml"), config(folder.path(), true)).expect("written");
    fs::write(file("replay.yaml"), config(folder.path(), false)).expect("written");

    let mut command = guideway()?;
    // In its own folder, not in the host's: a balancer may run there.
    command.arg("run").arg("-c").arg(file("run.yaml"));
    command.arg("--state-dir").arg(file("state")).arg("--admin-socket").arg(file("admin.sock"));
    let process = Process::start(&mut command);
    // The driver writes through a buffer; the file is whole once the port is closed.
    assert!(wait_until(Duration::from_secs(20), || process.stderr_so_far().contains("forwarding")));
    std::thread::sleep(Duration::from_millis(500));
    process.signal("TERM");
    let finished = process.finish(Duration::from_secs(10));
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);

    let mut command = guideway()?;
    let replay = command.arg("replay").arg("--config").arg(file("replay.yaml"));
    let replay = replay.arg("--in").arg(file("in.pcap")).arg("--out").arg(file("replayed.pcap"));
    run(replay, Duration::from_secs(20)).expect_success("replay");

    let sent = destinations(&fs::read(file("out.pcap")).expect("out.pcap"));
    assert_eq!(sent.len(), usize::from(FRAMES));
    assert_eq!(sent, destinations(&fs::read(file("replayed.pcap")).expect("replayed.pcap")));
    assert!(sent.iter().any(|mac| mac[5] == 0x0a) && sent.iter().any(|mac| mac[5] == 0x0b));
    Ok(())
}

#[test]
fn a_capture_file_is_a_port() {
    unless(pcap_port());
}
