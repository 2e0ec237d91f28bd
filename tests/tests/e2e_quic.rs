//! Connection migration with a real QUIC client and servers (aioquic): by server IDs a connection keeps its server
//! when its client moves to another port and address; by the tuple alone it does not.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lb_tests::balancer::Balancer;
use lb_tests::lab::{CLIENT4, Encap, Lab, Outer, Pmd, VIP4};
use lb_tests::process::{Process, run, wait_until};
use lb_tests::program::repository;
use lb_tests::skip::{Skip, require_program, unless};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
/// Where clients move to.
const ELSEWHERE: [&str; 3] = ["198.51.100.101", "198.51.100.102", CLIENT4];
const PORT: &str = "4433";
const TRIES: usize = 30;
const KEY: &str = "8f95f09245765f80256934e50c66207f";

/// A Python with aioquic, made once in target/quic-venv.
fn python() -> Result<PathBuf, Skip> {
    let venv = repository().join("target/quic-venv");
    // Tests are processes: the first makes it, the others wait until it is whole.
    let lock = std::fs::File::create(venv.with_extension("lock")).expect("a lock");
    lock.lock().expect("the only one");
    let python = venv.join("bin/python");
    let has_it = |python: &Path| {
        python.is_file() && run(Command::new(python).args(["-c", "import aioquic"]), LIMIT).status.success()
    };
    if has_it(&python) {
        return Ok(python);
    }
    require_program("python3", "python3-venv")?;
    let made = run(Command::new("python3").args(["-m", "venv"]).arg(&venv), LIMIT);
    if !made.status.success() {
        return Err(Skip(format!(
            "no virtual environment (apt-get install python3-venv): {}",
            made.stderr.trim()
        )));
    }
    let pip = run(Command::new(&python).args(["-m", "pip", "-q", "install", "aioquic>=1.2,<2"]), LIMIT);
    if has_it(&python) {
        Ok(python)
    } else {
        Err(Skip(format!("aioquic cannot be had from PyPI: {}", pip.stderr.trim())))
    }
}

/// What the balancer knows of server IDs, and what servers write: configuration, octets of nonce, key.
#[derive(Clone, Copy)]
struct Ids {
    server_id: Option<&'static str>,
    written: (&'static str, &'static str, &'static str),
}

fn configuration(lab: &Lab, ids: Ids) -> PathBuf {
    let text = std::fs::read_to_string(lab.config()).expect("the lab's configuration");
    let (head, rest) = text.split_once("vips:\n").expect("vips in it");
    let (_, tail) = rest.split_once("metrics:\n").expect("metrics in it");
    let mut head = head.to_owned();
    for number in 1..=3 {
        let mac = format!("mac: \"02:67:77:00:00:2{number}\"");
        assert!(head.contains(&mac), "{head}");
        head = head.replace(&mac, &format!("{mac}, server_id: \"0a0b0{number}\""));
    }
    let server_id = ids.server_id.map_or(String::new(), |quic| format!(", server_id: {{quic: [{quic}]}}"));
    let vip = format!(
        "  - {{name: quic, addresses: [{VIP4}], ports: [{PORT}], protocol: udp, pool: web{server_id}}}\n"
    );
    let path = lab.folder().join("quic.yaml");
    std::fs::write(&path, format!("{head}vips:\n{vip}metrics:\n{tail}")).expect("configuration");
    path
}

fn servers(lab: &Lab, python: &str, script: &str, ids: Ids) -> Vec<Process> {
    let folder = lab.folder().display().to_string();
    run(Command::new(python).args([script, "cert", &folder]), LIMIT).expect_success("certificate");
    let start = |number: u8| {
        let ready = lab.folder().join(format!("quic-{number}.ready"));
        let (name, id) = (format!("web-{number}"), format!("0a0b0{number}"));
        let (config_id, nonce, key) = ids.written;
        let ready_text = ready.display().to_string();
        let arguments =
            [script, "serve", &name, VIP4, PORT, &folder, &id, config_id, nonce, key, &ready_text];
        let mut server = lab.namespace(&format!("web{number}")).start(python, &arguments);
        let is_up = wait_until(LIMIT, || ready.exists() || server.ended().is_some());
        assert!(is_up && server.ended().is_none(), "server {number}: {}", server.stderr_so_far());
        server
    };
    (1..=3).map(start).collect()
}

/// Connections that kept their server, of those that moved; and the counts of packets by what their ID was good for.
fn moves(ids: Ids) -> Result<(usize, [f64; 3]), Skip> {
    lb_tests::program::guideway_path()?;
    let python = python()?.display().to_string();
    let script = repository().join("tests/fixtures/quic_peer.py").display().to_string();
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let client = lab.namespace("client");
    for source in &ELSEWHERE[..2] {
        let arguments = ["addr", "add", &format!("{source}/24"), "dev", "eth0"];
        client.run("ip", &arguments, LIMIT).expect_success("another address of the client");
    }
    let _servers = servers(&lab, &python, &script, ids);
    let balancer = Balancer::start_with(&lab, &configuration(&lab, ids))?;
    let tries = TRIES.to_string();
    let mut arguments = vec![&*script, "move", VIP4, PORT, &tries, CLIENT4];
    arguments.extend(ELSEWHERE);
    let told = client.run(&python, &arguments, LIMIT).expect_success("client");
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(told.len(), TRIES);
    assert!(told.iter().all(|one| one["before"].is_string()), "every connection is made: {told:?}");
    let used: std::collections::BTreeSet<_> = told.iter().map(|one| one["before"].to_string()).collect();
    assert_eq!(used.len(), 3, "and the servers share them: {told:?}");
    let kept = told.iter().filter(|one| one["after"] == one["before"]).count();
    let foreign = told.iter().find(|one| one["after"].is_string() && one["after"] != one["before"]);
    assert_eq!(foreign, None, "another server cannot answer for a connection");
    let scrape = balancer.metrics_at_rest();
    let count = |outcome: &str| {
        let is_of =
            |one: &&lb_tests::prom::Sample| one.labels.get("outcome").is_some_and(|label| label == outcome);
        scrape.named("guideway_server_id_packets_total").filter(is_of).map(|one| one.value).sum::<f64>()
    };
    let counts = ["routed", "unroutable", "unknown"].map(count);
    eprintln!("{kept} of {TRIES} kept their server; routed, unroutable, unknown: {counts:?}");
    let balance = scrape.balance();
    assert!(balance.holds(), "{balance:?}");
    balancer.stop("TERM");
    Ok((kept, counts))
}

#[test]
fn encrypted_ids_keep_connections_at_their_server() {
    let ids = Ids {
        server_id: Some(
            "{config_id: 0, nonce_length: 4}, \
             {config_id: 1, nonce_length: 8, key: \"8f95f09245765f80256934e50c66207f\", length_encoded: true}",
        ),
        written: ("1", "8", KEY),
    };
    let Some((kept, [routed, unroutable, _])) = unless(moves(ids)) else { return };
    assert_eq!(kept, TRIES);
    assert!(routed > 4.0 * TRIES as f64, "{routed}");
    assert!(unroutable > 0.0, "clients choose the first IDs themselves");
}

#[test]
fn ids_in_the_clear_keep_connections_at_their_server() {
    let ids = Ids { server_id: Some("{config_id: 2, nonce_length: 6}"), written: ("2", "6", "-") };
    let Some((kept, [routed, ..])) = unless(moves(ids)) else { return };
    assert_eq!(kept, TRIES);
    assert!(routed > 4.0 * TRIES as f64, "{routed}");
}

#[test]
fn by_the_tuple_alone_connections_lose_their_server() {
    let ids = Ids { server_id: None, written: ("1", "8", KEY) };
    let Some((kept, counts)) = unless(moves(ids)) else { return };
    assert_eq!(counts, [0.0; 3]);
    // A new tuple meets the old server once in three times: all thirty by chance once in 10^14.
    assert!(kept < TRIES, "{kept} of {TRIES} kept their server without server IDs");
}
