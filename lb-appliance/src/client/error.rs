//! What can go wrong between a client and the control plane.

use crate::control::view::Problem;
use std::io;
use std::path::{Path, PathBuf};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answers on the socket.
    #[error("cannot reach guideway on {}: {}", socket.display(), mend(socket, cause))]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the kernel says.
        cause: io::Error,
    },
    /// The control plane refuses.
    #[error("{}: {}", .0.code, .0.detail)]
    Refused(Box<Problem>),
    /// An answer that is none.
    #[error("{0}")]
    Broken(String),
}

/// What is the matter with the socket, and what to do.
fn mend(socket: &Path, cause: &io::Error) -> String {
    match cause.kind() {
        io::ErrorKind::NotFound => "there is no such socket; start the balancer with `guideway run`, or name its \
            `admin.socket.path` with --socket or GUIDEWAY_SOCKET"
            .into(),
        io::ErrorKind::ConnectionRefused => {
            "the socket is there and nobody listens; the balancer has ended: start it with `guideway run`, or look \
             into its log"
                .into()
        }
        io::ErrorKind::PermissionDenied => {
            let owner = owner(socket).map_or(String::new(), |owner| format!(" ({owner})"));
            format!("permission denied{owner}; use sudo, or join the group of the socket (`admin.socket.group`)")
        }
        _ if cause.raw_os_error() == Some(libc::ENOTSOCK) => "the file is not a socket; check --socket".into(),
        _ => format!("{cause}; check --socket and GUIDEWAY_SOCKET"),
    }
}

/// Who may use it, as far as it can be seen.
fn owner(socket: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::metadata(socket).ok()?;
    Some(format!("mode {:04o}, uid {}, gid {}", file.mode() & 0o777, file.uid(), file.gid()))
}

#[cfg(test)]
mod tests {
    use super::super::{Client, Target};
    use super::*;

    fn failure(socket: &Path) -> String {
        let client = Client::new(socket).expect("client");
        client.get::<serde_json::Value>(&Target::new(&["status"])).expect_err("nobody there").to_string()
    }

    #[test]
    fn every_way_of_being_unreachable_has_its_mend() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("admin.sock");
        let missing = failure(&path);
        assert!(missing.contains("no such socket") && missing.contains("--socket"), "{missing}");
        assert!(missing.contains(&path.display().to_string()), "{missing}");
        drop(std::os::unix::net::UnixListener::bind(&path).expect("socket"));
        let dead = failure(&path);
        assert!(dead.contains("nobody listens"), "{dead}");
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("write");
        // The kernel says ECONNREFUSED for a file that is no socket, on Linux.
        assert!(failure(&file).contains("cannot reach guideway"), "{}", failure(&file));
    }
}
