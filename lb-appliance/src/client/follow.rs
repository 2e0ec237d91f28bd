//! A stream of events.

use super::ClientError;
use crate::control::view::Event;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Longest line that is taken: events are a few hundred bytes.
const LINE_BYTES_MAX: usize = 1 << 20;

/// A follower of events.
#[derive(Debug)]
pub struct Follower<'c> {
    runtime: &'c Runtime,
    body: Incoming,
    buffer: Vec<u8>,
}

/// What a follower gets.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// Something happened.
    Event(Event),
    /// Nothing happened for the time that was asked for.
    Quiet,
    /// The control plane has ended.
    End,
}

impl<'c> Follower<'c> {
    pub(super) fn new(runtime: &'c Runtime, body: Incoming) -> Self {
        Self { runtime, body, buffer: Vec::new() }
    }

    /// The next event; waits for it, at most `wait`.
    ///
    /// # Errors
    /// The stream broke, or holds something else.
    pub fn next(&mut self, wait: Duration) -> Result<Next, ClientError> {
        let Self { runtime, body, buffer } = self;
        let next = async { tokio::time::timeout(wait, next(body, buffer)).await.unwrap_or(Ok(Next::Quiet)) };
        runtime.block_on(next)
    }
}

/// What has been read stays in `buffer` if this is cancelled.
async fn next(body: &mut Incoming, buffer: &mut Vec<u8>) -> Result<Next, ClientError> {
    loop {
        while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = buffer.drain(..=end).collect();
            // An empty line is a sign of life.
            if line.len() > 1 {
                let event = serde_json::from_slice(&line)
                    .map_err(|error| ClientError::Broken(format!("not an event: {error}")))?;
                return Ok(Next::Event(event));
            }
        }
        if buffer.len() > LINE_BYTES_MAX {
            return Err(ClientError::Broken("an event without end".into()));
        }
        match body.frame().await {
            None => return Ok(Next::End),
            // The control plane may be gone in the middle of it.
            Some(Err(error)) if error.is_incomplete_message() => return Ok(Next::End),
            Some(Err(error)) => return Err(ClientError::Broken(format!("the stream broke: {error}"))),
            Some(Ok(frame)) => buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref())),
        }
    }
}
