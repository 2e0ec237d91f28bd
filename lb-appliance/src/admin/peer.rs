//! Who asks: by which way a connection came, and as which user.

use crate::http_limits::{BoundedListener, BoundedStream, Progress};
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use std::fmt;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// The other end of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) way: Way,
    pub(super) progress: Progress,
}

/// How it came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Way {
    /// Through the socket, as the user that the kernel vouches for (`SO_PEERCRED`).
    Unix { uid: u32, gid: u32, pid: Option<i32> },
    /// Through the socket, and the kernel does not tell who.
    Nobody,
    /// Over TCP.
    Tcp(SocketAddr),
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix { uid, gid, pid } => {
                write!(f, "uid={uid} gid={gid}")?;
                pid.map_or(Ok(()), |pid| write!(f, " pid={pid}"))
            }
            Self::Nobody => f.write_str("unknown"),
            Self::Tcp(address) => write!(f, "{address}"),
        }
    }
}

impl Connected<IncomingStream<'_, BoundedListener<UnixListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener<UnixListener>>) -> Self {
        let stream: &BoundedStream<UnixStream> = stream.io();
        let way = stream.get_ref().peer_cred().map_or(Way::Nobody, |credentials| Way::Unix {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid(),
        });
        Self { way, progress: stream.progress() }
    }
}

impl Connected<IncomingStream<'_, BoundedListener<TcpListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, BoundedListener<TcpListener>>) -> Self {
        let address = *stream.remote_addr();
        let stream: &BoundedStream<TcpStream> = stream.io();
        Self { way: Way::Tcp(address), progress: stream.progress() }
    }
}
