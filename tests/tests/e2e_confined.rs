//! A balancer that forwards has given up what only its start needed: by what the kernel says of each of its threads.
//!
//! Promises kept here: no capability is left on any thread but those that the ports need, new privileges and system calls
//! that it does not need are refused, and forwarding, reloads, commands of health checks and the whole command line work
//! all the same. The other end-to-end tests run under the same filter, since it is the default.

use std::fs;
use std::time::Duration;

use lb_tests::client::get;
use lb_tests::lab::{Encap, Lab, Outer, Pmd, VIP4};
use lb_tests::operator::Operator;
use lb_tests::process::wait_until;
use lb_tests::skip::{Skip, unless};

const NET_ADMIN: u64 = 1 << 12;
const SYS_ADMIN: u64 = 1 << 21;
const LIMIT: Duration = Duration::from_secs(20);

/// The lab's configuration with other words in it; each must be there to be replaced.
fn text(lab: &Lab, changes: &[(&str, &str)]) -> String {
    let text = fs::read_to_string(lab.config()).expect("the lab's configuration");
    changes.iter().fold(text, |text, (old, new)| {
        assert!(text.contains(old), "`{old}` is not in\n{text}");
        text.replace(old, new)
    })
}

/// One field of the status of every thread of a process.
fn threads(pid: u32, key: &str) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads").flatten();
    let field = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
    };
    tasks.filter_map(field).collect()
}

/// Every thread has exactly these capabilities and hands none on.
fn has(pid: u32, capabilities: u64) {
    for (key, expected) in
        [("CapEff:", capabilities), ("CapPrm:", capabilities), ("CapInh:", 0), ("CapAmb:", 0)]
    {
        let found = threads(pid, key);
        let expected = format!("{expected:016x}");
        assert!(
            found.len() > 3 && found.iter().all(|one| *one == expected),
            "{key} {found:?}, not {expected}"
        );
    }
}

fn is_on(pid: u32, key: &str, value: &str) {
    let found = threads(pid, key);
    assert!(found.len() > 3 && found.iter().all(|one| one == value), "{key} {found:?}, not {value}");
}

fn nothing_is_left() -> Result<(), Skip> {
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let operator = Operator::start_text(&lab, &text(&lab, &[]))?;
    let pid = operator.balancer.process().pid();
    has(pid, 0);
    is_on(pid, "NoNewPrivs:", "1");
    is_on(pid, "Seccomp:", "2");
    let security = operator.ask(&["status"])["security"].clone();
    assert_eq!(security["capabilities"], serde_json::json!([]), "{security}");
    assert_eq!((&security["seccomp"], &security["commands"]), (&"enforce".into(), &false.into()));
    let given_up = security["given_up"].as_array().expect("a list");
    assert!(given_up.iter().any(|name| name == "cap_net_admin"), "root had it: {security}");
    let shown = operator.command(&["status", "-o", "wide"]).stdout;
    assert!(
        shown.contains("capabilities: none") && shown.contains("seccomp: enforce, no commands"),
        "{shown}"
    );
    let said = operator.balancer.process().stderr_so_far();
    assert!(said.contains("\"confined\"") || said.contains("event=\"confined\""), "{said}");

    assert_eq!(get(&lab, VIP4, 200).good(), 200);
    // Threads that came with the work, for reloads and files, have no more.
    operator.write(&text(&lab, &[("name: web-1, ", "name: web-1, weight: 50, ")]));
    assert!(operator.hang_up(), "{}", operator.balancer.process().stderr_so_far());
    for arguments in
        [&["drops"][..], &["runtime"], &["events"], &["conn", "count"], &["maglev", "show", "web"]]
    {
        operator.ask(arguments);
    }
    let bundle = lab.folder().join("bundle.tar.gz");
    operator.command(&["support-bundle", "-o", &bundle.to_string_lossy()]).expect_success("support-bundle");
    has(pid, 0);
    assert_eq!(get(&lab, VIP4, 200).good(), 200);

    // A health check by command, which the filter was not made for.
    let with_command =
        text(&lab, &[("    backends:\n", "    health_check: {command: [/bin/true]}\n    backends:\n")]);
    operator.write(&with_command);
    assert!(!operator.hang_up(), "execve is not in the filter");
    let last = operator.ask(&["status"])["last_reload"]["message"].to_string();
    assert!(last.contains("security.commands"), "{last}");

    let finished = operator.balancer.stop("TERM");
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    assert!(finished.stderr.contains("all packets accounted for"), "{}", finished.stderr);
    Ok(())
}

#[test]
fn no_thread_keeps_a_capability_and_everything_works_under_the_filter() {
    unless(nothing_is_left());
}

fn commands_come_by_reload() -> Result<(), Skip> {
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let allowed = ("metrics:\n", "security: {commands: true}\nmetrics:\n");
    let operator = Operator::start_text(&lab, &text(&lab, &[allowed]))?;
    let seen = lab.folder().join("seen");
    let script =
        format!("grep -h '^Cap\\|^NoNew\\|^Seccomp:' /proc/self/status >{}; exit 0", seen.to_string_lossy());
    let check = format!(
        "    health_check: {{command: [/bin/sh, -c, \"{}\"], interval: 1s}}\n    backends:\n",
        script.replace('\\', "\\\\")
    );
    operator.write(&text(&lab, &[allowed, ("    backends:\n", &check)]));
    assert!(operator.hang_up(), "{}", operator.balancer.process().stderr_so_far());
    let is_up = || operator.events().iter().any(|(kind, _)| kind == "backend_up");
    assert!(wait_until(LIMIT, is_up), "{:?}", operator.events());
    // What it ran as: our root without anything that root can do.
    let seen = fs::read_to_string(&seen).expect("the command's own words");
    for part in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(seen.contains(part), "{part} is not in\n{seen}");
    }
    assert_eq!(get(&lab, VIP4, 100).good(), 100);
    Ok(())
}

#[test]
fn commands_that_may_come_by_reload_run_without_any_capability() {
    unless(commands_come_by_reload());
}

fn ports_keep_what_they_need() -> Result<(), Skip> {
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfPacket)?;
    let punt = ("      addresses: [", "      punt: gw-uplink0\n      addresses: [");
    let operator = Operator::start_text(&lab, &text(&lab, &[punt]))?;
    has(operator.balancer.process().pid(), NET_ADMIN);
    assert_eq!(operator.ask(&["status"])["security"]["capabilities"], serde_json::json!(["cap_net_admin"]));
    assert!(operator.balancer.stop("TERM").status.success());

    let keep = ("metrics:\n", "security: {seccomp: off, capabilities: keep}\nmetrics:\n");
    let operator = Operator::start_text(&lab, &text(&lab, &[keep]))?;
    let pid = operator.balancer.process().pid();
    is_on(pid, "Seccomp:", "0");
    let all = threads(std::process::id(), "CapEff:").first().cloned().expect("our own");
    is_on(pid, "CapEff:", &all);
    // What is read at start only stays as it is, and is said.
    operator.write(&text(&lab, &[]));
    assert!(operator.hang_up());
    let problems = operator.ask(&["status"])["problems"].to_string();
    assert!(problems.contains("security"), "{problems}");
    Ok(())
}

#[test]
fn a_port_keeps_what_it_needs_and_the_configuration_may_keep_everything() {
    unless(ports_keep_what_they_need());
}

fn xdp_is_taken_off() -> Result<(), Skip> {
    let lab = Lab::up(Encap::Ipip, Outer::V4, Pmd::AfXdp)?;
    let operator = Operator::start_text(&lab, &text(&lab, &[]))?;
    has(operator.balancer.process().pid(), NET_ADMIN | SYS_ADMIN);
    assert_eq!(get(&lab, VIP4, 100).good(), 100);
    let shown = || lab.namespace("lb").run("ip", &["link", "show", "nic0"], LIMIT).expect_success("nic0");
    assert!(shown().contains("xdp"), "{}", shown());
    let finished = operator.balancer.stop("TERM");
    assert!(finished.status.success(), "{}\n{}", finished.status, finished.stderr);
    assert!(!shown().contains("prog/xdp"), "the NIC is left as it was found: {}", shown());
    Ok(())
}

#[test]
fn the_program_of_af_xdp_is_taken_off_at_the_end() {
    unless(xdp_is_taken_off());
}
