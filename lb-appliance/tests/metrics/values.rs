//! What the series say: sums worked out by hand against a scrape of hand-filled counters.

use super::fixture::{CONFIG, sample, sources, sources_with, text};
use super::scrape::Scrape;
use lb_appliance::instruments::PortSample;
use lb_appliance::metrics::{Selection, Sources};
use lb_core::reason::DropReason;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn scrape(sources: &Arc<Sources>) -> Scrape {
    Scrape::parse(&text(sources, Selection::ALL))
}

#[test]
fn every_drop_reason_is_there_at_zero_before_the_first_packet() {
    let scrape = scrape(&sources());
    for reason in DropReason::ALL {
        for what in ["packets", "bytes"] {
            let series = format!("guideway_dropped_{what}_total{{reason=\"{}\"}}", reason.name());
            assert_eq!(scrape.value(&series), 0.0, "{series}");
        }
    }
    for vip in ["web", "api", "dns"] {
        for reason in ["fragment", "no_backend", "ttl_exceeded", "mtu_exceeded", "no_headroom"] {
            let series = format!("guideway_vip_dropped_packets_total{{reason=\"{reason}\",vip=\"{vip}\"}}");
            assert_eq!(scrape.value(&series), 0.0, "{series}");
        }
    }
    assert_eq!(scrape.count("guideway_vip_dropped_packets_total"), 15);
}

#[test]
fn drops_are_summed_over_workers() {
    let sources = sources();
    for (worker, bytes) in sources.workers.iter().zip([60, 1_500]) {
        worker.packets.drops.count(DropReason::NoVip, bytes);
        worker.packets.drops.count(DropReason::Fragment, 100);
        worker.packets.service_drops[0].count(DropReason::Fragment, 100);
    }
    let scrape = scrape(&sources);
    assert_eq!(scrape.value("guideway_dropped_packets_total{reason=\"no_vip\"}"), 2.0);
    assert_eq!(scrape.value("guideway_dropped_bytes_total{reason=\"no_vip\"}"), 1_560.0);
    assert_eq!(scrape.value("guideway_vip_dropped_packets_total{reason=\"fragment\",vip=\"web\"}"), 2.0);
    assert_eq!(scrape.value("guideway_vip_dropped_packets_total{reason=\"fragment\",vip=\"api\"}"), 0.0);
}

/// Gives record `record` of worker `worker` packets of 100 bytes each, one new connection in five.
fn forward(sources: &Sources, worker: usize, record: usize, packets: u64) {
    let counters = &sources.workers[worker].packets.records[record];
    counters.packets.add(packets);
    counters.ip_bytes.add(packets * 100);
    counters.connections.add(packets / 5);
    counters.active.add(packets / 10);
}

#[test]
fn vips_and_backends_add_up_over_workers_and_over_each_other() {
    let sources = sources();
    forward(&sources, 0, 0, 10); // web to web-1
    forward(&sources, 1, 0, 20); // web to web-1, the other worker
    forward(&sources, 1, 1, 30); // web to web-2
    forward(&sources, 0, 2, 40); // api to web-1
    forward(&sources, 1, 4, 50); // dns to dns-1
    let scrape = scrape(&sources);
    let vip = |what: &str, name: &str| scrape.value(&format!("guideway_vip_{what}{{vip=\"{name}\"}}"));
    let backend = |what: &str, pool: &str, name: &str| {
        scrape.value(&format!("guideway_backend_{what}{{backend=\"{name}\",pool=\"{pool}\"}}"))
    };
    assert_eq!(vip("receive_packets_total", "web"), 60.0);
    assert_eq!(vip("transmit_packets_total", "web"), 60.0);
    // A datagram of 100 bytes is a frame of 114; GUE over IPv4 makes it 100 + 4 + 8 + 20 + 14.
    assert_eq!(vip("receive_bytes_total", "web"), 60.0 * 114.0);
    assert_eq!(vip("transmit_bytes_total", "web"), 60.0 * 146.0);
    // IP in IPv4: 100 + 20 + 14.
    assert_eq!(vip("transmit_bytes_total", "dns"), 50.0 * 134.0);
    assert_eq!(vip("connections_total", "web"), 12.0);
    assert_eq!(vip("active_connections", "web"), 6.0);
    assert_eq!(vip("receive_packets_total", "api"), 40.0);
    // Two VIPs share the pool: its backend has the packets of both.
    assert_eq!(backend("transmit_packets_total", "web", "web-1"), 70.0);
    assert_eq!(backend("transmit_bytes_total", "web", "web-1"), 70.0 * 146.0);
    assert_eq!(backend("connections_total", "web", "web-1"), 14.0);
    assert_eq!(backend("active_connections", "web", "web-1"), 7.0);
    assert_eq!(backend("transmit_packets_total", "web", "web-2"), 30.0);
    assert_eq!(backend("transmit_packets_total", "dns", "dns-2"), 0.0);
}

#[test]
fn vips_and_backends_say_what_they_are() {
    let scrape = scrape(&sources());
    for address in ["203.0.113.10", "2001:db8:cafe::10"] {
        let labels =
            format!("address=\"{address}\",pool=\"web\",ports=\"80,443\",protocol=\"tcp\",vip=\"web\"");
        assert_eq!(scrape.value(&format!("guideway_vip_info{{{labels}}}")), 1.0);
    }
    let dns = "address=\"203.0.113.53\",pool=\"dns\",ports=\"any\",protocol=\"udp\",vip=\"dns\"";
    assert_eq!(scrape.value(&format!("guideway_vip_info{{{dns}}}")), 1.0);
    assert_eq!(scrape.value("guideway_vip_backends{vip=\"web\"}"), 2.0);
    assert_eq!(scrape.value("guideway_vip_healthy_backends{vip=\"web\"}"), 1.0);
    // One backend of weight 0, one in maintenance.
    assert_eq!(scrape.value("guideway_vip_backends{vip=\"dns\"}"), 2.0);
    assert_eq!(scrape.value("guideway_vip_healthy_backends{vip=\"dns\"}"), 0.0);
    let expected = [
        ("web", "web-1", 1.0, 100.0, "up"),
        ("web", "web-2", 0.0, 0.0, "drain"),
        ("dns", "dns-1", 0.0, 0.0, "up"),
        ("dns", "dns-2", 0.0, 0.0, "maintenance"),
    ];
    for (pool, backend, up, weight, state) in expected {
        let labels = format!("backend=\"{backend}\",pool=\"{pool}\"");
        assert_eq!(scrape.value(&format!("guideway_backend_up{{{labels}}}")), up, "{backend}");
        assert_eq!(scrape.value(&format!("guideway_backend_weight{{{labels}}}")), weight, "{backend}");
        for one in ["up", "down", "drain", "maintenance", "unknown"] {
            let series = format!("guideway_backend_state{{{labels},state=\"{one}\"}}");
            assert_eq!(scrape.value(&series), f64::from(u8::from(one == state)), "{series}");
        }
    }
}

#[test]
fn ports_and_their_queues() {
    let sources = sources();
    for (worker, packets) in sources.workers.iter().zip([7, 9]) {
        worker.queues[0].received_packets.add(packets);
        worker.queues[0].received_bytes.add(packets * 60);
        worker.queues[0].sent_packets.add(packets + 1);
        worker.queues[0].sent_bytes.add(packets * 80);
        worker.queues[0].full.add(packets + 2);
        worker.queues[0].punted.add(packets);
    }
    let scrape = scrape(&sources);
    let port = |what: &str| scrape.value(&format!("guideway_port_{what}{{port=\"uplink0\"}}"));
    let counters = ["receive_packets_total", "receive_bytes_total", "transmit_packets_total"];
    assert_eq!(counters.map(port), [101.0, 102.0, 103.0]);
    let counters = ["transmit_bytes_total", "receive_missed_packets_total", "receive_errors_total"];
    assert_eq!(counters.map(port), [104.0, 105.0, 106.0]);
    let counters = ["transmit_errors_total", "receive_nombuf_total", "punted_packets_total"];
    assert_eq!(counters.map(port), [107.0, 108.0, 16.0]);
    assert_eq!(["up", "speed_bytes"].map(port), [1.0, 1.25e9]);
    let info = "device=\"net_null0\",driver=\"net_null\",numa_node=\"none\",port=\"uplink0\"";
    assert_eq!(scrape.value(&format!("guideway_port_info{{{info}}}")), 1.0);
    let queue = |what: &str, queue: u32| {
        scrape.value(&format!("guideway_queue_{what}_total{{port=\"uplink0\",queue=\"{queue}\"}}"))
    };
    assert_eq!([queue("receive_packets", 0), queue("receive_packets", 1)], [7.0, 9.0]);
    assert_eq!([queue("receive_bytes", 0), queue("transmit_packets", 0)], [420.0, 8.0]);
    assert_eq!([queue("transmit_bytes", 1), queue("transmit_full", 1)], [720.0, 11.0]);
    // Two pools on node 0 are one series.
    assert_eq!(scrape.value("guideway_mbuf_pool_size{numa_node=\"0\"}"), 1_024.0);
    assert_eq!(scrape.value("guideway_mbuf_pool_in_use{numa_node=\"0\"}"), 12.0);
    assert_eq!(scrape.value("guideway_mbuf_pool_size{numa_node=\"1\"}"), 8.0);
}

#[test]
fn a_closed_port_is_down_and_a_speed_may_be_unknown() {
    let closed = scrape(&sources_with(CONFIG, None));
    assert_eq!(closed.value("guideway_port_up{port=\"uplink0\"}"), 0.0);
    assert_eq!(closed.count("guideway_port_info"), 1);
    assert_eq!(closed.count("guideway_port_receive_packets_total"), 0);
    let slow = scrape(&sources_with(CONFIG, Some(PortSample { speed_bytes: None, ..sample() })));
    assert_eq!(slow.count("guideway_port_speed_bytes"), 0);
    assert_eq!(slow.count("guideway_port_receive_packets_total"), 1);
}

#[test]
fn workers_and_their_tables() {
    let sources = sources();
    let packets = &sources.workers[1].packets;
    let counters = [&packets.entries, &packets.capacity, &packets.insertions, &packets.evictions];
    counters.iter().zip(11..).for_each(|(counter, value)| counter.set(value));
    let counters = [&packets.expirations, &packets.refusals, &packets.lookups, &packets.hits];
    counters.iter().zip(15..).for_each(|(counter, value)| counter.set(value));
    packets.received.set(19);
    packets.answered.set(5);
    packets.sent.set(8);
    sources.workers[0].packets.answered.set(6);
    sources.workers[0].packets.sent.set(9);
    let turns = &sources.workers[1].turns;
    turns.busy_nanos.set(1_500_000_000);
    turns.idle_nanos.set(250_000_000);
    turns.polls.set(20);
    turns.empty_polls.set(21);
    turns.heartbeat.beat_at(Instant::now() - Duration::from_secs(100));
    let scrape = scrape(&sources);
    let value = |name: &str| scrape.value(&format!("guideway_{name}{{worker=\"3\"}}"));
    let table = ["entries", "capacity", "insertions_total", "evictions_total", "expirations_total"];
    assert_eq!(table.map(|name| value(&format!("connection_table_{name}"))), [11.0, 12.0, 13.0, 14.0, 15.0]);
    let lookups = ["connection_table_refusals_total", "connection_lookups_total", "connection_hits_total"];
    assert_eq!(lookups.map(value), [16.0, 17.0, 18.0]);
    assert_eq!(["worker_packets_total", "worker_polls_total"].map(value), [19.0, 20.0]);
    assert_eq!(["worker_empty_polls_total", "worker_busy_seconds_total"].map(value), [21.0, 1.5]);
    assert_eq!(value("worker_idle_seconds_total"), 0.25);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
    let age = now - value("worker_heartbeat_timestamp_seconds");
    assert!((99.0..160.0).contains(&age), "{age} s ago");
    assert_eq!(scrape.value("guideway_worker_packets_total{worker=\"2\"}"), 0.0);
    assert_eq!(scrape.value("guideway_answered_packets_total"), 11.0);
    assert_eq!(scrape.value("guideway_forwarded_packets_total"), 17.0);
}

#[test]
fn histograms_are_cumulative() {
    let sources = sources();
    sources.workers[0].turns.bursts[0].set(5); // of 1
    sources.workers[1].turns.bursts[2].set(3); // of 3 or 4
    sources.workers[1].turns.bursts[6].set(1); // of 33 to 64
    sources.workers[0].packets.received.set(5);
    sources.workers[1].packets.received.set(75);
    for nanos in [500, 5_000, 5_000, 2_000_000] {
        sources.workers[0].latency.record(nanos);
    }
    let scrape = scrape(&sources);
    let bursts =
        |bound: &str| scrape.value(&format!("guideway_worker_burst_packets_bucket{{le=\"{bound}\"}}"));
    let bounds = ["1", "2", "4", "8", "16", "32", "64", "+Inf"];
    assert_eq!(bounds.map(bursts), [5.0, 5.0, 8.0, 8.0, 8.0, 8.0, 9.0, 9.0]);
    assert_eq!(scrape.value("guideway_worker_burst_packets_count"), 9.0);
    assert_eq!(scrape.value("guideway_worker_burst_packets_sum"), 80.0);
    let latency =
        |bound: &str| scrape.value(&format!("guideway_forward_latency_seconds_bucket{{le=\"{bound}\"}}"));
    assert_eq!(["0.000001", "0.00001", "0.001", "+Inf"].map(latency), [1.0, 3.0, 3.0, 4.0]);
    assert_eq!(scrape.value("guideway_forward_latency_seconds_sum"), 0.0020105);
}

#[test]
fn the_node_says_what_it_is() {
    let scrape = scrape(&sources());
    assert_eq!(scrape.value("guideway_node_info{node=\"lb1\"}"), 1.0);
    assert_eq!(scrape.value("guideway_config_info{config_hash=\"c0ffee\"}"), 1.0);
    assert_eq!(scrape.value("guideway_tsc_hertz"), 2.4e9);
    let build =
        scrape.series.keys().find(|series| series.starts_with("guideway_build_info")).expect("build info");
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(build.contains(&version) && build.contains("dpdk_version=\"DPDK 22.11.11\""), "{build}");
    assert!(!build.contains("rustc_version=\"unknown\"") && !build.contains("=\"\""), "{build}");
    assert!(scrape.value("guideway_scrape_duration_seconds") < 1.0);
    assert!(scrape.value("process_resident_memory_bytes") > 0.0);
}
