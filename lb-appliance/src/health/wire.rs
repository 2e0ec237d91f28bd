//! What all probes over sockets share: connecting, reading with a bound, and naming errors.
//!
//! Sockets are closed with a reset (SO_LINGER 0): a probe that has its answer needs no goodbye, and at thousands of
//! probes per second connections in TIME_WAIT would use up the local ports.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpSocket, TcpStream};

use super::outcome::{Cause, Trouble};
use super::steps::Steps;
use super::tunnel::Passage;

/// Bytes of an answer that are looked at.
pub(super) const ANSWER_MAX: usize = 64 << 10;

/// Whom a probe's sockets talk to, and how they get there.
#[derive(Clone, Copy)]
pub(super) struct Peer<'p> {
    /// The backend, or the VIP.
    pub(super) address: IpAddr,
    /// Through the tunnel.
    pub(super) passage: Option<&'p Passage>,
}

/// Connects a TCP socket.
pub(super) async fn connect(peer: Peer<'_>, port: u16, steps: &mut Steps) -> Result<TcpStream, Trouble> {
    let to = SocketAddr::new(peer.address, port);
    let failed = |error: io::Error| {
        let trouble = named(&error);
        Trouble { detail: format!("connect to {to}: {}", trouble.detail), ..trouble }
    };
    let socket = socket(to).map_err(failed)?;
    if let Some(passage) = peer.passage {
        passage.tcp(&socket, steps)?;
    }
    steps.begin("connect");
    let (peer, stream) = (to, socket.connect(to).await.map_err(failed)?);
    steps.end(|| match stream.local_addr() {
        Ok(local) => format!("{peer} from {local}"),
        Err(_) => peer.to_string(),
    });
    Ok(stream)
}

fn socket(peer: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if peer.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_zero_linger()?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

/// Reads to the end, to `until` (kept), or to the bound, whichever comes first.
pub(super) async fn read_answer(
    stream: &mut (impl AsyncRead + Unpin),
    until: Option<u8>,
) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut chunk = [0u8; 1024];
    while answer.len() < ANSWER_MAX {
        let count = stream.read(&mut chunk).await?;
        let read = chunk.get(..count).unwrap_or_default();
        answer.extend_from_slice(read);
        if count == 0 || until.is_some_and(|end| read.contains(&end)) {
            break;
        }
    }
    answer.truncate(ANSWER_MAX);
    Ok(answer)
}

/// Reads to the end and keeps the first part: a writer is never blocked by our bound.
pub(super) async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let answer = read_answer(stream, None).await?;
    let mut chunk = [0u8; 1024];
    while stream.read(&mut chunk).await? > 0 {}
    Ok(answer)
}

/// Runs an exchange and the connection beneath it in one task, so that dropping it drops all there is.
pub(super) async fn drive<E: Future>(connection: impl Future, exchange: E) -> E::Output {
    let (mut connection, mut exchange) = (pin!(connection), pin!(exchange));
    let mut ended = false;
    std::future::poll_fn(|context| {
        // The end of the connection is news for the exchange, which learns it from its own channel.
        if !ended && connection.as_mut().poll(context).is_ready() {
            ended = true;
        }
        match exchange.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            ready => ready,
        }
    })
    .await
}

/// The cause of an I/O error.
pub(super) fn named(error: &io::Error) -> Trouble {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return super::tls::named(tls);
    }
    let of_this_host = [
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::EADDRNOTAVAIL,
        libc::EACCES,
        libc::EPERM,
        libc::EINVAL,
        libc::EAFNOSUPPORT,
        // No route on this host, as before its interfaces are up: no word about the backend.
        libc::ENETUNREACH,
        libc::ENETDOWN,
    ];
    let cause = match error.kind() {
        _ if error.raw_os_error().is_some_and(|code| of_this_host.contains(&code)) => Cause::Local,
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::NotConnected
        | io::ErrorKind::UnexpectedEof => Cause::Reset,
        io::ErrorKind::HostUnreachable => Cause::Unreachable,
        io::ErrorKind::TimedOut => Cause::Timeout,
        _ => Cause::Protocol,
    };
    Trouble::new(cause, error.to_string())
}

/// The I/O error at the root of another one, if there is one.
pub(super) fn root_io<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e io::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            return Some(io);
        }
        next = error.source();
    }
    None
}
