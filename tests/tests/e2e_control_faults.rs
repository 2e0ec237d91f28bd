//! What can go wrong while a balancer runs or starts again: what runs goes on, and it says what is the matter.

use std::os::unix::fs::symlink;
use std::time::Duration;

use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4};
use lb_tests::operator::Operator;
use lb_tests::process::{run, wait_until};
use lb_tests::program::guideway;
use lb_tests::service::Service;
use lb_tests::skip::{Skip, unless};

const REQUESTS: usize = 20;
const WAIT_LIMIT: Duration = Duration::from_secs(20);

fn service() -> Service {
    Service::of(&[1, 2, 3])
}

fn site() -> Result<(Operator, Lab), Skip> {
    lb_tests::program::guideway_path()?;
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    Ok((Operator::start(&lab, &service())?, lab))
}

fn serves(lab: &Lab) {
    let answers = get(lab, VIP4, REQUESTS);
    assert_eq!(answers.good(), REQUESTS, "{:?}", answers.failures);
}

fn has_event(operator: &Operator, kind: &str, words: &str) -> bool {
    operator.events().iter().any(|(found, message)| found == kind && message.contains(words))
}

fn broken_file((operator, lab): (Operator, Lab)) -> Result<(), Skip> {
    let hash = operator.ask(&["status"])["config_hash"].clone();
    let broken = operator.text(&service()).replace("weight: 100", "weight: heavy");
    operator.write(&broken);
    assert!(!operator.hang_up(), "a broken file is refused");
    let scrape = operator.metrics();
    assert_eq!(scrape.sum("guideway_config_last_reload_successful"), 0.0);
    assert_eq!(scrape.sum("guideway_config_reload_failures_total"), 1.0);
    let line = broken.lines().position(|line| line.contains("heavy")).expect("the broken line") + 1;
    let log = operator.balancer.process().stderr_so_far();
    assert!(log.contains("reload_refused") && log.contains(&format!("operator.yaml:{line}")), "{log}");
    assert!(has_event(&operator, "reload_refused", "config"), "{:?}", operator.events());

    let finished = operator.command(&["reload"]);
    assert_eq!(finished.status.code(), Some(3), "{}", finished.stderr);
    assert!(
        finished.stderr.contains(&format!(":{line}:")),
        "all findings with their places: {}",
        finished.stderr
    );
    let status = operator.command(&["status"]);
    assert_eq!(status.status.code(), Some(5), "degraded: {}", status.stdout);
    assert_eq!(operator.ask(&["status"])["config_hash"], hash, "what ran goes on");
    serves(&lab);

    // Emptying the pool is not a mistake of the file, but one of the hand.
    operator.write(&operator.text(&service().state(1, "drain").state(2, "drain").state(3, "drain")));
    let finished = operator.command(&["reload"]);
    assert!(!finished.status.success() && finished.stderr.contains("--force"), "{}", finished.stderr);
    serves(&lab);

    operator.change(&service().weight(1, 50));
    assert_eq!(operator.metrics().sum("guideway_config_last_reload_successful"), 1.0);
    serves(&lab);
    Ok(())
}

#[test]
fn a_broken_file_changes_nothing_and_says_where() {
    unless(site().and_then(broken_file));
}

fn last_good((operator, lab): (Operator, Lab)) -> Result<(), Skip> {
    operator.change(&service().weight(2, 33));
    operator.write("version: 1\npools: [");
    let operator = operator.restart(&lab)?;
    serves(&lab);
    let log = operator.balancer.process().stderr_so_far();
    assert!(log.contains("last good configuration"), "a loud warning: {log}");
    assert!(has_event(&operator, "last_good_used", "is broken"), "{:?}", operator.events());
    let backend = operator.ask(&["backend", "show", "echo/web-2"]);
    assert_eq!(backend["configured_weight"], 33, "the last that was in force: {backend}");
    operator.change(&service());
    let backend = operator.ask(&["backend", "show", "echo/web-2"]);
    assert_eq!(backend["configured_weight"], 100, "mended while it runs: {backend}");
    Ok(())
}

#[test]
fn a_file_that_is_broken_at_boot_gives_way_to_the_last_good_one() {
    unless(site().and_then(last_good));
}

fn two_at_once((operator, lab): (Operator, Lab)) -> Result<(), Skip> {
    let before = operator.ask(&["status"])["generation"].as_u64().expect("a number");
    let files = [1, 2, 3, 4].map(|number: u8| {
        let file = lab.folder().join(format!("next-{number}.yaml"));
        std::fs::write(&file, operator.text(&service().weight(1, 10 * u16::from(number)))).expect("write");
        file.display().to_string()
    });
    let mut generations: Vec<u64> = std::thread::scope(|scope| {
        let reloads = files.each_ref().map(|file| {
            let operator = &operator;
            scope.spawn(move || operator.ask(&["reload", file])["generation"].as_u64().expect("a number"))
        });
        reloads.into_iter().map(|reload| reload.join().expect("a reload")).collect()
    });
    generations.sort_unstable();
    assert_eq!(generations, [1, 2, 3, 4].map(|step| before + step), "one after the other, none lost");
    let weight = operator.ask(&["backend", "show", "echo/web-1"])["weight"].as_f64().expect("a number");
    assert!([10.0, 20.0, 30.0, 40.0].contains(&weight), "one of the four as a whole: {weight}");

    // While one is on trial, no other.
    operator.ask(&["reload", &files[0], "--confirm-within", "60s"]);
    let finished = operator.command(&["reload", &files[1]]);
    assert!(
        !finished.status.success() && finished.stderr.contains("guideway confirm"),
        "{}",
        finished.stderr
    );
    operator.ask(&["confirm"]);
    operator.ask(&["reload", &files[1]]);
    serves(&lab);
    Ok(())
}

#[test]
fn reloads_at_once_are_made_one_after_the_other() {
    unless(site().and_then(two_at_once));
}

fn full_disk((operator, lab): (Operator, Lab)) -> Result<(), Skip> {
    // /dev/full is a disk that is always full; links to it stand where the new files are written.
    let state = format!("{}.state", operator.file().display());
    assert!(wait_until(WAIT_LIMIT, || std::path::Path::new(&state).join("last-good.json").exists()));
    for name in ["last-good.new", "overrides.new"] {
        symlink("/dev/full", std::path::Path::new(&state).join(name)).expect("a link");
    }
    operator.change(&service().weight(1, 50));
    assert!(
        wait_until(WAIT_LIMIT, || has_event(&operator, "not_kept", "last-good.json")),
        "{:?}",
        operator.events()
    );
    let finished = operator.command(&["backend", "drain", "echo/web-1", "--persist"]);
    assert!(
        !finished.status.success() && finished.stderr.contains("nothing was changed"),
        "{}",
        finished.stderr
    );
    assert_eq!(operator.ask(&["backend", "show", "echo/web-1"])["state"], "up", "nothing was changed");
    serves(&lab);
    Ok(())
}

#[test]
fn a_full_disk_holds_up_no_reload() {
    unless(site().and_then(full_disk));
}

fn taken_socket((operator, lab): (Operator, Lab)) -> Result<(), Skip> {
    // Another guideway with other ports, but the same socket.
    let socket = operator.socket().display().to_string();
    let text = operator.text(&service());
    let other = lab.folder().join("other.yaml");
    let text = text.replace("net_af_packet0,iface=nic0,framecnt=2048", "net_null0").replace(":9843", ":9853");
    std::fs::write(&other, text).expect("write the configuration");
    let state = lab.folder().join("other.state");
    let mut second = guideway()?;
    second.args(["run", "-c"]).arg(&other).arg("--state-dir").arg(&state).env("NO_COLOR", "1");
    second.args(["--admin-socket", &socket]);
    let finished = run(&mut second, WAIT_LIMIT);
    assert!(
        !finished.timed_out && finished.status.code() == Some(1),
        "{}\n{}",
        finished.status,
        finished.stderr
    );
    assert!(finished.stderr.contains(&socket) && finished.stderr.contains("in use"), "{}", finished.stderr);
    assert_eq!(operator.ask(&["status"])["node"], "lab", "the first still answers there");
    serves(&lab);

    // A socket that a killed process has left behind is nobody's.
    operator.balancer.process().signal("KILL");
    std::thread::sleep(Duration::from_millis(200));
    assert!(operator.socket().exists(), "it is left behind");
    let finished = operator.command(&["status"]);
    assert_eq!(finished.status.code(), Some(4), "unreachable: {}", finished.stderr);
    drop(operator);
    let operator = Operator::start(&lab, &service())?;
    assert_eq!(operator.ask(&["status"])["node"], "lab");
    Ok(())
}

#[test]
fn a_socket_is_taken_from_nobody_who_lives() {
    unless(site().and_then(taken_socket));
}
