//! `guideway bench`, end to end: what it prints, that it measures what it says, and what it refuses.
//!
//! No time is asserted; the tables are tiny, so that a run takes a fraction of a second.

use std::time::Duration;

use lb_tests::process::{Finished, Process, run};
use lb_tests::program::guideway;
use lb_tests::skip;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);

/// Runs `guideway bench` with some words; `None` when the program is not built.
fn bench(line: &str) -> Option<Finished> {
    let mut command = skip::unless(guideway())?;
    let finished = run(command.arg("bench").args(line.split_whitespace()), LIMIT);
    assert!(!finished.timed_out, "{line}: not over after {LIMIT:?}");
    Some(finished)
}

fn measured(line: &str) -> Option<Value> {
    let text = bench(&format!("{line} --seconds 0.01 --json"))?.expect_success(line);
    Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {error}\n{text}")))
}

#[track_caller]
fn number(report: &Value, key: &str) -> f64 {
    report[key].as_f64().unwrap_or_else(|| panic!("{key} is no number in {report}"))
}

/// What every report must have and satisfy.
#[track_caller]
fn check(line: &str, report: &Value) {
    for key in ["ns_min", "ns_median", "mpps", "macswap_ns_min", "ratio", "bytes_per_flow", "source_ns_min"] {
        assert!(number(report, key) > 0.0, "{line}: {key} in {report}");
    }
    assert!(number(report, "ns_min") <= number(report, "ns_median"), "{line}: {report}");
    let ratio = number(report, "ns_min") / number(report, "macswap_ns_min");
    assert!((number(report, "ratio") - ratio).abs() < 1e-9 * ratio, "{line}: {report}");
    let bytes = number(report, "table_bytes") / number(report, "entries");
    assert!((number(report, "bytes_per_flow") - bytes).abs() < 1e-9 * bytes, "{line}: {report}");
    let packets = number(report, "samples") * number(report, "sample_packets") * number(report, "workers");
    assert_eq!(number(report, "packets"), packets, "{line}: {report}");
    assert!(number(report, "samples") >= 5.0, "{line}: {report}");
    let instructions = &report["instructions_per_packet"];
    let reason = report["instructions_reason"].as_str();
    assert!(instructions.is_number() != reason.is_some_and(|reason| !reason.is_empty()), "{line}: {report}");
    assert!(report["level"].as_str().is_some_and(|level| !level.is_empty()), "{line}: {report}");
    match report["mix"].as_str() {
        Some("uniform" | "zipf") => {
            // At loads beyond 0.7, a flow in some thousands finds its line full of established ones.
            let (hits, refused) = (number(report, "hits"), number(report, "refused"));
            assert_eq!(hits + refused + number(report, "insertions"), packets, "{line}: {report}");
            assert!(hits > 0.998 * packets, "{line}: {report}");
            let flows = number(report, "flows") * number(report, "workers");
            assert!((0.998 * flows..=flows).contains(&number(report, "entries")), "{line}: {report}");
        }
        Some("new") => assert_eq!(report["insertions"], report["packets"], "{line}: {report}"),
        Some("flood") => {
            assert_eq!(report["evicted"], report["packets"], "{line}: {report}");
            assert_eq!(report["entries"], report["capacity"], "{line}: {report}");
        }
        other => panic!("{line}: a mix of {other:?}"),
    }
}

#[test]
fn every_mix_family_and_encapsulation_is_measured() {
    for mix in ["uniform", "zipf", "new", "flood"] {
        for family in ["v4", "v6", "mixed"] {
            for encap in ["ipip", "gue", "gue-direct", "vxlan", "l2dsr"] {
                let line = format!("--flows 9000 --mix {mix} --family {family} --encap {encap}");
                let Some(report) = measured(&line) else { return };
                check(&line, &report);
                for (key, value) in [("mix", mix), ("family", family), ("encap", encap), ("source", "memory")]
                {
                    assert_eq!(report[key], value, "{line}");
                }
            }
        }
    }
}

#[test]
fn sizes_bursts_and_counts_are_what_was_asked_for() {
    for line in [
        "--flows 1 --backends 1 --outer v6 --size 1514",
        "--flows 5K --family mixed --v6-percent 99 --encap vxlan --outer v6 --burst 1",
        "--flows 5K --burst 63 --vips 50 --backends 20 --seed 1",
        "--flows 100K --load 0.4",
    ] {
        let Some(report) = measured(line) else { return };
        check(line, &report);
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.chunks(2) {
            let key = pair[0].trim_start_matches("--").replace('-', "_");
            let value = pair[1].replace('K', "000");
            let found = &report[&key];
            let same = found == value.as_str() || found.as_f64() == value.parse().ok();
            assert!(same || key == "load", "{line}: {key} is {found}");
        }
    }
    let Some(report) = measured("--flows 100K --load 0.4") else { return };
    assert!(number(&report, "load") <= 0.4 && number(&report, "load") > 0.2, "{report}");
}

#[test]
fn dpdk_buffers_are_measured_too() {
    for line in [
        "--mix uniform --family mixed",
        "--mix zipf --encap gue --family v6",
        "--mix new --encap vxlan --size 1514",
        "--mix flood --encap l2dsr --burst 7",
    ] {
        let line = format!("{line} --flows 9000 --source dpdk");
        let Some(report) = measured(&line) else { return };
        check(&line, &report);
        assert_eq!(report["source"], "dpdk");
        // The source is in all three, and never free: buffers are taken and given back.
        assert!(number(&report, "source_ns_min") > 0.0, "{report}");
    }
}

#[test]
fn two_workers_are_measured_together_where_there_are_two_cpus() {
    let line = "--flows 5000 --workers 2 --mix zipf";
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    if cpus < 2 {
        let Some(refused) = bench(line) else { return };
        assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
        assert!(refused.stderr.contains("--workers 2: this process may use 1 CPU"), "{}", refused.stderr);
        return;
    }
    let Some(report) = measured(line) else { return };
    assert_eq!((number(&report, "workers"), number(&report, "entries")), (2.0, 10_000.0));
    let mpps = 2_000.0 / number(&report, "ns_min");
    assert!((number(&report, "mpps") - mpps).abs() < 1e-9 * mpps, "{report}");
    let packets = 2.0 * number(&report, "samples") * number(&report, "sample_packets");
    assert_eq!((number(&report, "packets"), number(&report, "hits")), (packets, packets));
    assert_eq!(report["cpus"].as_array().map(Vec::len), Some(2), "{report}");
}

#[test]
fn people_get_lines() {
    let Some(finished) = bench("--flows 5000 --seconds 0.01") else { return };
    let text = finished.expect_success("bench");
    for word in
        ["pipeline", "MAC swap", "source alone", "instructions", "bytes per flow", "ratio", "5000 flows"]
    {
        assert!(text.contains(word), "`{word}` is not in\n{text}");
    }
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (line, said) in [
        ("--flows 0", "1 to 1000000000"),
        ("--mix some", "uniform, zipf, new, flood"),
        ("--family v5", "v4, v6, mixed"),
        ("--encap gre", "ipip, gue, gue-direct, vxlan, l2dsr"),
        ("--size 59", "59 is not in 60..=1514"),
        ("--seconds 0", "0.01 to 3600"),
        ("--burst 65", "65 is not in 1..=64"),
        ("--vips 66", "--vips 66 times --backends 1000 is 66000"),
        ("--mix flood --load 0.5", "--load does not go with --mix flood"),
        ("--mix new --flows 8191", "8192 to 1000000000"),
        ("--v6-percent 20", "--v6-percent goes with --family mixed"),
        ("--workers 2 --source dpdk", "--workers 2: --source dpdk takes 1 only"),
        ("--workers 65", "65 is not in 1..=64"),
    ] {
        let Some(refused) = bench(line) else { return };
        assert_eq!(refused.status.code(), Some(2), "{line}: {}", refused.stderr);
        assert!(refused.stderr.contains(said), "{line}: `{said}` is not in\n{}", refused.stderr);
        assert!(refused.stdout.is_empty(), "{line}: {}", refused.stdout);
    }
}

#[test]
fn an_interrupt_ends_it_with_what_there_is() {
    let Some(mut command) = skip::unless(guideway()) else { return };
    let process = Process::start(command.args(["bench", "--flows", "1000", "--seconds", "600", "--json"]));
    std::thread::sleep(Duration::from_secs(2));
    process.signal("INT");
    let finished = process.finish(LIMIT);
    assert!(!finished.timed_out, "{}", finished.stderr);
    assert_eq!(finished.status.code(), Some(1), "{}", finished.stderr);
    assert!(finished.stderr.contains("interrupted"), "{}", finished.stderr);
    let report: Value = serde_json::from_str(&finished.stdout).expect("a report");
    assert_eq!(report["is_interrupted"], true);
}
