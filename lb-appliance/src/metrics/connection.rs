//! Connections with an end: one that is slow, silent or greedy is closed before it costs anybody anything.
//!
//! At most [`CONNECTIONS_MAX`] are open. A request must be there within [`REQUEST_SECONDS_MAX`] and
//! [`REQUEST_BYTES_MAX`]; the answer must be taken within [`RESPONSE_SECONDS_MAX`] of the beginning. Deadlines
//! count from accept and are not moved by traffic, so a byte now and then gains nothing.

use axum::serve::Listener;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// Open connections; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 64;
/// Time for the request, seconds from accept.
pub const REQUEST_SECONDS_MAX: u64 = 3;
/// Time for everything, seconds from accept: the scrape timeout that Prometheus has by default.
pub const RESPONSE_SECONDS_MAX: u64 = 10;
/// Bytes that a client may send.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// Pause after a failed accept: the cause (descriptors used up) does not go away at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const _: () = assert!(REQUEST_SECONDS_MAX < RESPONSE_SECONDS_MAX);

/// Accepts bounded connections, a bounded number of them.
pub(super) struct BoundedListener {
    listener: TcpListener,
    slots: Arc<Semaphore>,
}

impl BoundedListener {
    pub(super) fn new(listener: TcpListener) -> Self {
        Self { listener, slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }
}

impl Listener for BoundedListener {
    type Io = BoundedStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (BoundedStream, SocketAddr) {
        loop {
            // The semaphore is never closed; if it were, nothing could be accepted, which the pause bounds.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            match self.listener.accept().await {
                Ok((stream, address)) => return (BoundedStream::new(stream, slot), address),
                Err(error) => {
                    tracing::debug!(%error, "metrics: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that ends by itself.
pub(super) struct BoundedStream {
    stream: TcpStream,
    accepted: Instant,
    deadline: Pin<Box<Sleep>>,
    /// The request has been read: the answer is being written.
    is_answering: bool,
    bytes_left: usize,
    _slot: OwnedSemaphorePermit,
}

impl BoundedStream {
    fn new(stream: TcpStream, slot: OwnedSemaphorePermit) -> Self {
        let accepted = Instant::now();
        let deadline = Box::pin(sleep_until(accepted + Duration::from_secs(REQUEST_SECONDS_MAX)));
        Self { stream, accepted, deadline, is_answering: false, bytes_left: REQUEST_BYTES_MAX, _slot: slot }
    }

    /// Fails once the time is over, and wakes the task when that happens.
    fn check_deadline(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    fn begin_answer(&mut self) {
        if !self.is_answering {
            self.is_answering = true;
            self.deadline.as_mut().reset(self.accepted + Duration::from_secs(RESPONSE_SECONDS_MAX));
        }
    }
}

impl AsyncRead for BoundedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let read = buffer.filled().len() - before;
        self.bytes_left = match self.bytes_left.checked_sub(read) {
            Some(left) => left,
            None => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
        };
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for BoundedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.begin_answer();
        self.check_deadline(context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.begin_answer();
        self.check_deadline(context)?;
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
