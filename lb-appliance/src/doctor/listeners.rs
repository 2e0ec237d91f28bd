//! The addresses and sockets that the control plane is going to open.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;

use super::{Findings, Host};
use crate::config::model::Config;

/// Folder of the admin socket.
const RUN_FOLDER: &str = "run/guideway";

pub(super) fn check(config: &Config, host: &Host, findings: &mut Findings) {
    metrics(config.metrics.listen, findings);
    run_folder(host, findings);
}

/// Bound for a moment and let go: nothing connects, nothing is written.
fn metrics(listen: SocketAddr, findings: &mut Findings) {
    let id = "listen.metrics";
    let error = match TcpListener::bind(listen) {
        Ok(_) => return findings.ok(id, format!("{listen} is free")),
        Err(error) => error,
    };
    let port = listen.port();
    match error.kind() {
        ErrorKind::AddrInUse => findings.warning(
            id,
            format!("{listen} is taken"),
            "fine if guideway is running here already; otherwise it will not start",
            format!("ss -ltnp 'sport = :{port}'   # then stop that program, or change `metrics.listen`"),
        ),
        ErrorKind::AddrNotAvailable => findings.error(
            id,
            format!("no interface has the address of {listen}"),
            "the metrics listener cannot be opened, and guideway does not start without it",
            "ip -br addr   # then correct `metrics.listen`; \"[::]:PORT\" is every address",
        ),
        ErrorKind::PermissionDenied => findings.error(
            id,
            format!("this process may not listen on {listen}"),
            "ports below 1024 need a privilege",
            "choose a port from 1024 on under `metrics.listen`, or: setcap cap_net_bind_service+ep \"$(command -v guideway)\"",
        ),
        _ => findings.error(id, format!("{listen}: {error}"), "the metrics listener cannot be opened", "ip -br addr"),
    }
}

fn run_folder(host: &Host, findings: &mut Findings) {
    let id = "listen.admin_socket";
    // `Uid:` real, effective, saved, file system.
    let uid = host.field("proc/self/status", "Uid:");
    let uid = uid.and_then(|text| text.split_whitespace().nth(1)?.parse::<u32>().ok()).unwrap_or(0);
    let make =
        format!("install -d -o {uid} -m 0750 /run/guideway   # as root; systemd: RuntimeDirectory=guideway");
    let (path, shown) = if host.has(RUN_FOLDER) { (RUN_FOLDER, "/run/guideway") } else { ("run", "/run") };
    let Ok(metadata) = host.path(path).metadata() else {
        return findings.warning(id, "there is no /run", "the admin socket has no place", make);
    };
    if metadata.is_dir() && may_write(metadata.uid(), metadata.mode(), uid) {
        return findings.ok(id, format!("{shown} can be written"));
    }
    let seen = format!("this process cannot write {shown}");
    findings.warning(
        id,
        seen,
        "the admin socket is made there: the command line cannot reach the daemon",
        make,
    );
}

/// By owner and mode alone: a doctor makes no files to see whether it could.
fn may_write(owner: u32, mode: u32, uid: u32) -> bool {
    uid == 0 || mode & if uid == owner { 0o200 } else { 0o022 } != 0
}
