//! The listeners of the admin API, opened before anything that is hard to undo.

use super::socket::{self, SocketFile};
use crate::config::model::{Admin, AdminHttp};
use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// Characters of a token at least.
const TOKEN_BYTES_MIN: usize = 16;
/// Characters of a token at most.
const TOKEN_BYTES_MAX: usize = 1_024;

/// Why the admin API cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody answers there.
    #[error(
        "the admin socket {} is in use: another guideway runs (`ss -xlp src {}` names it); stop it, or set \
         `admin.socket.path` to another file", path.display(), path.display()
    )]
    Taken {
        /// `admin.socket.path`.
        path: PathBuf,
    },
    /// A file of another kind is there.
    #[error(
        "{} exists and is not a socket; remove it if nobody needs it, or set `admin.socket.path` to another file",
        path.display()
    )]
    NotASocket {
        /// `admin.socket.path`.
        path: PathBuf,
    },
    /// The kernel refuses.
    #[error("cannot make the admin socket {}: {cause}; {}", path.display(), mend(cause))]
    Socket {
        /// `admin.socket.path`.
        path: PathBuf,
        /// What it says.
        cause: io::Error,
    },
    /// There is no such group.
    #[error("admin.socket.group: there is no group `{name}`; make it with `groupadd --system {name}`")]
    NoGroup {
        /// `admin.socket.group`.
        name: String,
    },
    /// Groups cannot be looked up.
    #[error("admin.socket.group: cannot look up `{name}`: {cause}")]
    Group {
        /// `admin.socket.group`.
        name: String,
        /// What the system says.
        cause: io::Error,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot serve the admin API on {address}: {cause}; set `admin.http.listen` to a free port of this host"
    )]
    Listen {
        /// `admin.http.listen`.
        address: SocketAddr,
        /// What the kernel says.
        cause: io::Error,
    },
    /// The token cannot be used.
    #[error("admin.http.token_file {}: {reason}", path.display())]
    Token {
        /// `admin.http.token_file`.
        path: PathBuf,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// A listener does not work with the runtime.
    #[error("cannot serve the admin API: {0}")]
    Server(#[from] io::Error),
}

fn mend(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::NotFound => {
            "make its directory, or set `admin.socket.path` to a file in one that exists"
        }
        io::ErrorKind::PermissionDenied => {
            "run as a user who may write to its directory (and belongs to `admin.socket.group`), or set \
             `admin.socket.path`"
        }
        _ => "check `admin.socket`",
    }
}

/// Open listeners; the socket's file is removed when they go.
#[derive(Debug)]
pub struct Listeners {
    pub(super) unix: UnixListener,
    pub(super) file: SocketFile,
    pub(super) tcp: Option<HttpListener>,
}

impl Listeners {
    /// Address of the TCP listener, if there is one.
    ///
    /// # Errors
    /// The kernel does not tell.
    pub fn http_address(&self) -> io::Result<Option<SocketAddr>> {
        self.tcp.as_ref().map(|tcp| tcp.listener.local_addr()).transpose()
    }
}

/// The TCP listener and what it lets pass.
#[derive(Debug)]
pub(super) struct HttpListener {
    pub(super) listener: TcpListener,
    pub(super) access: HttpAccess,
}

/// What TCP lets pass.
#[derive(Clone, Default)]
pub(super) struct HttpAccess {
    pub(super) write: bool,
    pub(super) token: Option<String>,
    /// Only names of this host may be asked for: a page in a browser here cannot make itself one.
    pub(super) is_loopback: bool,
}

impl std::fmt::Debug for HttpAccess {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token stays out of logs.
        f.debug_struct("HttpAccess")
            .field("write", &self.write)
            .field("has_token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

/// Opens what `admin` describes; [`super::serve`] answers on it.
///
/// # Errors
/// Names the socket, address, group or file, the cause and what to do.
pub fn open(settings: &Admin) -> Result<Listeners, AdminError> {
    let tcp = settings.http.as_ref().map(open_http).transpose()?;
    let (unix, file) = socket::listen(&settings.socket)?;
    Ok(Listeners { unix, file, tcp })
}

fn open_http(settings: &AdminHttp) -> Result<HttpListener, AdminError> {
    let token = settings.token_file.as_deref().map(token).transpose()?;
    let address = settings.listen;
    let fail = |cause| AdminError::Listen { address, cause };
    let listener = TcpListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let access = HttpAccess { write: settings.write, token, is_loopback: address.ip().is_loopback() };
    Ok(HttpListener { listener, access })
}

fn token(path: &Path) -> Result<String, AdminError> {
    let fail = |reason: String| AdminError::Token { path: path.into(), reason };
    let file = File::open(path).map_err(|error| fail(format!("cannot be read: {error}")))?;
    let is_open = file.metadata().is_ok_and(|file| file.mode() & 0o007 != 0);
    if is_open {
        return Err(fail(format!("every user can reach the secret; run `chmod o= {}`", path.display())));
    }
    let mut text = String::new();
    file.take(TOKEN_BYTES_MAX as u64 + 2)
        .read_to_string(&mut text)
        .map_err(|error| fail(format!("cannot be read as text: {error}")))?;
    let token = text.trim();
    let length = token.len();
    if !(TOKEN_BYTES_MIN..=TOKEN_BYTES_MAX).contains(&length)
        || !token.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Err(fail(format!(
            "holds {length} bytes, not {TOKEN_BYTES_MIN} to {TOKEN_BYTES_MAX} printable ones; make one with \
             `openssl rand -hex 32`"
        )));
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tokens_are_secret_and_long_enough() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join("token");
        let write = |text: &str, mode: u32| {
            std::fs::write(&path, text).expect("write");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        };
        assert!(token(&path).expect_err("missing").to_string().contains("cannot be read"));
        write("0123456789abcdef\n", 0o604);
        assert!(token(&path).expect_err("open").to_string().contains("chmod o="));
        write("0123456789abcde\n", 0o600);
        assert!(token(&path).expect_err("short").to_string().contains("15 bytes"));
        write("0123456789 abcdef\n", 0o600);
        assert!(token(&path).is_err());
        write("0123456789abcdef\n", 0o640);
        assert_eq!(token(&path).expect("good"), "0123456789abcdef");
    }
}
