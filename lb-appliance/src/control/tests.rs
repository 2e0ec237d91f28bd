//! The controller without a dataplane: what changes, what does not, and what it says about it.

use super::*;
use crate::control::view::Problem;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

const BASE: &str = "\
version: 1
forwarding: {encapsulation: {source: {ipv4: 198.51.100.11}}}
pools:
  - name: web
    encap: {ipip: {}}
    backends:
      - {name: web-1, address: 10.0.1.11}
      - {name: web-2, address: 10.0.1.12}
      - {name: web-3, address: 10.0.1.13}
vips:
  - {name: web, addresses: [203.0.113.10], ports: [80], protocol: tcp, pool: web}
";

/// A control plane over a file in a folder of its own.
struct Bench {
    folder: TempDir,
    handle: Handle,
}

impl Bench {
    fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    fn start_in(folder: TempDir) -> Self {
        let path = folder.path().join("guideway.yaml");
        if !path.exists() {
            std::fs::write(&path, BASE).unwrap();
        }
        let state = folder.path().join("state");
        let boot = Boot::load(&path, &Store::new(state.clone())).unwrap();
        let start =
            Start { path, loaded: boot.loaded, ports: Vec::new(), workers: 0, state_directory: Some(state) };
        let prepared = Prepared::new(start).unwrap();
        let handle = prepared.start(Vec::new(), Errands::default(), |_| None);
        Self { folder, handle }
    }

    fn write(&self, text: &str) {
        std::fs::write(self.path(), text).unwrap();
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("guideway.yaml")
    }

    async fn reload(&self, force: bool) -> Result<view::Applied, Problem> {
        self.apply(None, force).await
    }

    async fn apply(&self, confirm_within: Option<Duration>, force: bool) -> Result<view::Applied, Problem> {
        self.handle.submit(Action::Apply { source: ConfigSource::Running, confirm_within, force }).await
    }

    async fn change(&self, backend: &str, change: BackendChange) -> Result<view::Applied, Problem> {
        let (pool, backend) = ("web".to_owned(), backend.to_owned());
        self.handle.submit(Action::ChangeBackend { pool, backend, change }).await
    }

    fn states(&self) -> Vec<String> {
        self.handle.pools()[0].backends.iter().map(|one| format!("{} {}", one.name, one.state)).collect()
    }

    fn kinds(&self) -> Vec<String> {
        self.handle.events(0).into_iter().map(|event| event.kind).collect()
    }
}

fn drain() -> BackendChange {
    BackendChange { state: Some(AdminState::Drain), ..BackendChange::default() }
}

#[tokio::test]
async fn a_reload_takes_as_a_whole_and_says_what_changed() {
    let bench = Bench::start();
    assert_eq!(bench.handle.status().generation, 1);
    bench.write(&BASE.replace("10.0.1.13", "10.0.1.14").replace("web-3", "web-4"));
    let applied = bench.reload(false).await.unwrap();
    assert_eq!((applied.generation, applied.undo.as_deref()), (2, Some("guideway rollback")));
    let changed: Vec<_> = applied.changes.iter().map(|one| format!("{} {}", one.kind, one.object)).collect();
    assert_eq!(changed, ["added backend web/web-4", "removed backend web/web-3"]);
    assert_eq!(bench.states(), ["web-1 up", "web-2 up", "web-4 up"]);
    assert!(bench.handle.status().last_reload.unwrap().successful);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_every_finding_is_in_the_answer() {
    let bench = Bench::start();
    bench.write(&BASE.replace("10.0.1.13", "10.0.1.12").replace("pool: web", "pool: wbe"));
    let problem = bench.reload(false).await.unwrap_err();
    assert_eq!((problem.code.as_str(), problem.status), ("GW9004", 422));
    let errors = problem.findings.iter().filter(|one| one.severity == "error");
    let codes: Vec<_> = errors.map(|one| (one.code.as_str(), one.line)).collect();
    assert_eq!(codes, [("GW0204", Some(9)), ("GW0202", Some(11))]);
    let status = bench.handle.status();
    assert_eq!((status.generation, status.last_reload.unwrap().successful), (1, false));
    assert!(status.problems.iter().any(|one| one.contains("the last reload was refused")));
    assert_eq!(bench.kinds(), ["reload_refused"]);
}

#[tokio::test]
async fn taking_a_service_away_wants_force() {
    let bench = Bench::start();
    let (head, _) = BASE.split_once("vips:").unwrap();
    bench.write(&format!("{head}vips: []\n"));
    let problem = bench.reload(false).await.unwrap_err();
    assert!(problem.code == "GW9005" && problem.detail.contains("removes every VIP"), "{problem:?}");
    let drained = BASE.replace("address: 10.0.1.1", "state: drain, address: 10.0.1.1");
    bench.write(&drained);
    let problem = bench.reload(false).await.unwrap_err();
    assert!(problem.detail.contains("in pool web") && problem.detail.contains("--force"), "{problem:?}");
    let report = bench.handle.diff(ConfigSource::Running).await.unwrap();
    assert!(report.needs_force.is_some() && report.impact[0].slots_moved == 1.0, "{report:?}");
    bench.reload(true).await.unwrap();
    assert_eq!(bench.states(), ["web-1 drain", "web-2 drain", "web-3 drain"]);
    assert!(!bench.handle.vips()[0].serving);
    assert!(bench.kinds().contains(&"vip_down".to_owned()));
}

#[tokio::test]
async fn without_a_confirmation_it_rolls_back_by_itself() {
    let bench = Bench::start();
    bench.write(&BASE.replace("ports: [80]", "ports: [80, 443]"));
    let applied = bench.apply(Some(Duration::from_millis(300)), false).await.unwrap();
    assert_eq!(applied.confirm_within_seconds, Some(0.3));
    assert!(bench.handle.status().pending_confirmation.is_some());
    let problem = bench.reload(false).await.unwrap_err();
    assert_eq!(problem.code, "GW9016", "one trial at a time");
    tokio::time::timeout(Duration::from_secs(10), async {
        while bench.handle.status().pending_confirmation.is_some() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(bench.handle.vips()[0].ports, "80");
    assert!(bench.kinds().contains(&"rolled_back".to_owned()));
    assert_eq!(bench.handle.submit(Action::Confirm).await.unwrap_err().code, "GW9006");
}

#[tokio::test]
async fn a_confirmed_configuration_stays_and_can_still_be_rolled_back() {
    let bench = Bench::start();
    assert_eq!(bench.handle.submit(Action::Rollback).await.unwrap_err().code, "GW9007");
    bench.write(&BASE.replace("ports: [80]", "ports: [80, 443]"));
    bench.apply(Some(Duration::from_secs(60)), false).await.unwrap();
    bench.handle.submit(Action::Confirm).await.unwrap();
    assert_eq!(bench.handle.vips()[0].ports, "80,443");
    bench.handle.submit(Action::Rollback).await.unwrap();
    assert_eq!(bench.handle.vips()[0].ports, "80");
}

#[tokio::test]
async fn the_operators_word_stands_over_reloads_until_it_is_cleared() {
    let bench = Bench::start();
    let applied = bench.change("web-2", drain()).await.unwrap();
    assert_eq!(applied.undo.as_deref(), Some("guideway backend clear web/web-2"));
    bench.write(&BASE.replace("ports: [80]", "ports: [81]"));
    bench.reload(false).await.unwrap();
    assert_eq!(bench.states(), ["web-1 up", "web-2 drain", "web-3 up"]);
    let report = bench.handle.diff(ConfigSource::Running).await.unwrap();
    assert_eq!((report.overrides.len(), report.overrides[0].backend.as_str()), (1, "web-2"));
    let clear = BackendChange { clear: true, ..BackendChange::default() };
    bench.change("web-2", clear).await.unwrap();
    assert_eq!(bench.states(), ["web-1 up", "web-2 up", "web-3 up"]);
}

#[tokio::test]
async fn a_word_for_a_time_ends_by_itself() {
    let bench = Bench::start();
    let lasting = Lasting::For(Duration::from_millis(200));
    let weight = BackendChange { weight: Some(0), lasting, ..BackendChange::default() };
    bench.change("web-1", weight).await.unwrap();
    assert_eq!(bench.handle.pools()[0].backends[0].share, 0.0);
    tokio::time::timeout(Duration::from_secs(10), async {
        while bench.handle.status().overrides > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert!(bench.handle.pools()[0].backends[0].share > 0.3);
    assert!(bench.kinds().contains(&"override_ended".to_owned()));
}

#[tokio::test]
async fn a_persistent_word_outlives_the_process_and_others_do_not() {
    let bench = Bench::start();
    let lasting = Lasting::Persistent;
    bench.change("web-1", BackendChange { lasting, ..drain() }).await.unwrap();
    bench.change("web-2", drain()).await.unwrap();
    let Bench { folder, handle } = bench;
    drop(handle);
    let again = Bench::start_in(folder);
    assert_eq!(again.states(), ["web-1 drain", "web-2 up", "web-3 up"]);
}

#[tokio::test]
async fn unknown_names_are_refused_with_those_that_there_are() {
    let bench = Bench::start();
    let problem = bench.change("web-9", drain()).await.unwrap_err();
    assert!(problem.status == 404 && problem.detail.contains("web-1, web-2, web-3"), "{problem:?}");
    assert!(bench.handle.maglev("wbe").unwrap_err().detail.contains("there are: web"));
}

#[tokio::test]
async fn a_full_state_directory_refuses_what_must_be_kept_and_nothing_else() {
    let bench = Bench::start();
    let state = bench.folder.path().join("state");
    tokio::time::timeout(Duration::from_secs(10), async {
        while !state.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
    std::os::unix::fs::symlink("/dev/full", state.join("overrides.new")).unwrap();
    let lasting = Lasting::Persistent;
    let problem = bench.change("web-1", BackendChange { lasting, ..drain() }).await.unwrap_err();
    assert!(problem.code == "GW9013" && problem.detail.contains("nothing was changed"), "{problem:?}");
    assert_eq!(bench.states()[0], "web-1 up");
    bench.change("web-1", drain()).await.unwrap();
    assert_eq!(bench.states()[0], "web-1 drain");
}

#[tokio::test]
async fn a_file_that_is_broken_at_boot_gives_way_to_the_last_good_one() {
    let bench = Bench::start();
    bench.write(&BASE.replace("web-3", "web-7"));
    bench.reload(false).await.unwrap();
    let store = Store::new(bench.folder.path().join("state"));
    bench.write("version: 1\npools: 7\n");
    let boot = Boot::load(&bench.path(), &store).unwrap();
    assert!(boot.complaint.unwrap().contains("the last good configuration is used instead"));
    assert_eq!(boot.loaded.config.pools[0].backends[2].name, "web-7");
    let other = Boot::load(Path::new("/nonexistent.yaml"), &store);
    assert_eq!(other.unwrap_err().broken.code, "GW9004", "another file's last good one is no use");

    let kept = bench.folder.path().join("state/last-good.json");
    assert!(kept.exists());
    std::fs::write(&kept, "{").unwrap();
    let why = Boot::load(&bench.path(), &store).unwrap_err().last_good.unwrap();
    assert!(why.starts_with("the last good configuration cannot be read: "), "{why}");
    assert!(why.contains("last-good.json"), "{why}");
}

#[tokio::test]
async fn forecasts_agree_with_what_the_tables_then_do() {
    let bench = Bench::start();
    let forecast = bench.handle.maglev_without("web", &["web-2".into()]).unwrap();
    let before = bench.handle.running();
    bench.write(&BASE.replace("      - {name: web-2, address: 10.0.1.12}\n", ""));
    let report = bench.handle.diff(ConfigSource::Running).await.unwrap();
    assert!((report.impact[0].slots_moved - forecast.slots_moved).abs() < 1e-9, "{report:?} {forecast:?}");
    bench.reload(false).await.unwrap();
    let after = bench.handle.running();
    let (mut moved, flows) = (0, 50_000);
    for number in 0..flows {
        let flow = |port: u32| view::Flow {
            source: std::net::SocketAddr::from(([10, 9, (port >> 8) as u8, port as u8], port as u16)),
            destination: std::net::SocketAddr::from(([203, 0, 113, 10], 80)),
            protocol: 6,
            opens: false,
        };
        let to = |running: &Running| {
            let flow = flow(number);
            let key = flow.key();
            let record = running.tables.select(0, running.tables.hash(lb_core::hw::Level::detect(), &key));
            running
                .tables
                .owner(record.unwrap())
                .map(|owner| running.plan.names.backend(owner).unwrap().to_owned())
        };
        moved += usize::from(to(&before) != to(&after));
    }
    let share = moved as f64 / f64::from(flows);
    assert!((share - forecast.slots_moved).abs() < 0.01, "{share} moved, forecast {}", forecast.slots_moved);
}

#[tokio::test]
async fn restart_only_keys_are_named_and_wait() {
    let bench = Bench::start();
    let text = BASE.replace("forwarding: {", "forwarding: {maglev: {seed: \"0x77\"}, ");
    bench.write(&text);
    let applied = bench.reload(false).await.unwrap();
    assert!(
        applied.message.contains("next restart") && applied.changes.iter().all(|one| one.restart),
        "{applied:?}"
    );
    assert!(bench.handle.status().problems[0].contains("next restart"));
    let running = bench.handle.running();
    assert_ne!(
        running.config.forwarding.maglev.seed, 0x77,
        "the hash of live flows is not changed under them"
    );
}

#[test]
fn every_refusal_and_every_event_is_documented() {
    let page = include_str!("../../../docs/control-plane.md");
    for code in problem::ProblemCode::ALL {
        let row = format!("| `{}` | {} |", code.id(), code.status());
        assert!(page.contains(&row), "docs/control-plane.md has no row `{row}`");
    }
    for kind in events::Kind::ALL {
        let row = format!("| `{}` | {} |", kind.name(), kind.severity().name());
        assert!(page.contains(&row), "docs/control-plane.md has no row `{row}`");
    }
}

#[tokio::test]
async fn a_backend_that_is_enabled_rises_from_its_first_packet_on() {
    let bench = Bench::start();
    bench
        .write(&BASE.replace("    backends:", "    slow_start: {duration: 60s, start: 0.25}\n    backends:"));
    bench.reload(false).await.unwrap();
    let shares = |bench: &Bench| -> Vec<f64> {
        bench.handle.pools()[0].backends.iter().map(|one| (one.share * 100.0).round()).collect()
    };
    assert_eq!(shares(&bench), [33.0, 33.0, 33.0], "nobody rises at the start, or because of a reload");
    bench.change("web-2", drain()).await.unwrap();
    assert_eq!(shares(&bench), [50.0, 0.0, 50.0]);
    let generation = bench.handle.status().generation;
    bench.change("web-2", BackendChange { clear: true, ..BackendChange::default() }).await.unwrap();
    // 1 : 0.25 : 1, and by no generation in between.
    assert_eq!(shares(&bench), [44.0, 11.0, 44.0]);
    assert_eq!(bench.handle.status().generation, generation + 1);
    let backend = &bench.handle.pools()[0].backends[1];
    assert_eq!((backend.weight, backend.weight_reasons.len()), (25.0, 1), "{:?}", backend.weight_reasons);
}
