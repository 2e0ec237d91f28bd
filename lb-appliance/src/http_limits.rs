//! Connections with an end: one that is slow, silent or greedy is closed before it costs anybody anything.
//!
//! A bounded number of them is open. The request must be there in time and within its bytes; the answer must be
//! taken in time. Deadlines count from accept and are not moved by traffic, so a byte now and then gains nothing.
//! Only who follows a stream may stay longer: as long as it takes what it is sent.

use axum::serve::Listener;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until};

/// Pause if there are no slots any more, which never happens.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What ends the head of a request.
const HEAD_END: &[u8; 4] = b"\r\n\r\n";

/// What a client may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Open connections; further ones wait in the kernel's queue.
    pub(crate) connections: usize,
    /// Time for the request, from accept.
    pub(crate) request: Duration,
    /// Time for everything, from accept; and how long a follower may leave what it is sent.
    pub(crate) response: Duration,
    /// Bytes of the head of the request.
    pub(crate) head_bytes: usize,
    /// Bytes after the head.
    pub(crate) body_bytes: usize,
}

/// Accepts bounded connections, a bounded number of them.
pub(crate) struct BoundedListener<L> {
    listener: L,
    limits: Limits,
    slots: Arc<Semaphore>,
}

impl<L> BoundedListener<L> {
    pub(crate) fn new(listener: L, limits: Limits) -> Self {
        Self { listener, limits, slots: Arc::new(Semaphore::new(limits.connections)) }
    }
}

impl<L: Listener> Listener for BoundedListener<L> {
    type Io = BoundedStream<L::Io>;
    type Addr = L::Addr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // The semaphore is never closed; if it were, nothing could be accepted, which the pause bounds.
            let Ok(slot) = Arc::clone(&self.slots).acquire_owned().await else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let (stream, address) = self.listener.accept().await;
            return (BoundedStream::new(stream, self.limits, slot), address);
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

const RECEIVING: u8 = 0;
const ANSWERING: u8 = 1;
const FOLLOWING: u8 = 2;

/// How far a connection is: told by whoever answers, read by the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress(Arc<AtomicU8>);

impl Progress {
    /// The whole request has been read: from here on it is our time that passes.
    pub(crate) fn received(&self) {
        self.0.fetch_max(ANSWERING, Ordering::Relaxed);
    }

    /// The answer has no end: only a client that does not take it is cut off.
    pub(crate) fn follow(&self) {
        self.0.fetch_max(FOLLOWING, Ordering::Relaxed);
    }

    fn get(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection that ends by itself.
pub(crate) struct BoundedStream<S> {
    stream: S,
    limits: Limits,
    accepted: Instant,
    progress: Progress,
    /// What `deadline` was last set for.
    deadline_for: u8,
    deadline: Pin<Box<Sleep>>,
    /// A follower does not take what it is sent; `deadline` counts from the first refusal.
    is_blocked: bool,
    bytes: usize,
    /// Bytes of [`HEAD_END`] at the end of what was read; all of them once the head is there.
    head_end: usize,
    _slot: OwnedSemaphorePermit,
}

impl<S> BoundedStream<S> {
    fn new(stream: S, limits: Limits, slot: OwnedSemaphorePermit) -> Self {
        let accepted = Instant::now();
        Self {
            stream,
            limits,
            accepted,
            progress: Progress::default(),
            deadline_for: RECEIVING,
            deadline: Box::pin(sleep_until(accepted + limits.request)),
            is_blocked: false,
            bytes: 0,
            head_end: 0,
            _slot: slot,
        }
    }

    /// The stream inside.
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// For whoever answers.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Fails once the time is over, and wakes the task when that happens.
    fn check_deadline(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.progress.get() {
            FOLLOWING => return Ok(()),
            ANSWERING if self.deadline_for == RECEIVING => {
                self.deadline_for = ANSWERING;
                self.deadline.as_mut().reset(self.accepted + self.limits.response);
            }
            _ => {}
        }
        match self.deadline.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Bounds how long a follower may leave a write pending.
    fn bound_write(
        &mut self,
        context: &mut Context<'_>,
        outcome: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if outcome.is_ready() || self.progress.get() != FOLLOWING {
            self.is_blocked = false;
            return outcome;
        }
        if !self.is_blocked {
            self.is_blocked = true;
            self.deadline.as_mut().reset(Instant::now() + self.limits.response);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Counts what was read against the limits.
    fn count(&mut self, read: &[u8]) -> io::Result<()> {
        for byte in read {
            if self.head_end == HEAD_END.len() {
                break;
            }
            let expected = HEAD_END[self.head_end];
            // After anything else only a carriage return can begin the end.
            self.head_end = if *byte == expected { self.head_end + 1 } else { usize::from(*byte == b'\r') };
        }
        self.bytes += read.len();
        let body = if self.head_end == HEAD_END.len() { self.limits.body_bytes } else { 0 };
        if self.bytes > self.limits.head_bytes + body {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for BoundedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_deadline(context)?;
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        Poll::Ready(self.count(&buffer.filled()[before..]))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for BoundedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.progress.received();
        self.check_deadline(context)?;
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound_write(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.progress.received();
        self.check_deadline(context)?;
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bound_write(context, outcome)
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
