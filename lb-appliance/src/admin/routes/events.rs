//! Events: what is remembered, and a stream of what happens, as NDJSON or server-sent events.
//!
//! A follower that is slow is sent what it missed from the history. What has left the history by then is lost to
//! it; it sees that from a gap in `sequence`. Nobody waits for a follower.

#![expect(unused_qualifications, reason = "utoipa's macro names parameter types in full")]

use crate::admin::FOLLOWERS_MAX;
use crate::admin::answer::{Document, Failure};
use crate::admin::extract::{Params, switch};
use crate::admin::openapi::Refusals;
use crate::admin::peer::Peer;
use crate::admin::server::{Admin, until};
use crate::control::problem::ProblemCode;
use crate::control::view::Event;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Deserialize;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};
use utoipa::IntoParams;

/// A sign of life after so much silence, so that a client that is gone is noticed.
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Parameters of `events`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventParams {
    /// Sequence number of the first event; without it all that are remembered, or from now on with `follow`.
    since: Option<u64>,
    /// Stay and be sent what happens: as server-sent events if they are accepted, else as NDJSON.
    #[serde(default, deserialize_with = "switch")]
    follow: bool,
}

/// What happened, oldest first; or with `follow` a stream of what happens
#[utoipa::path(
    get, path = "/api/v1/events", tag = "status", params(EventParams),
    responses(
        (status = 200, description = "Events; a stream with `follow`", content(
            (Vec<Event> = "application/json"), (String = "application/x-ndjson"), (String = "text/event-stream"),
        )),
        Refusals,
    )
)]
pub(super) async fn events(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Params(params): Params<EventParams>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    // A browser that comes back says what it has seen.
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let since = last.map(|last| last.saturating_add(1)).or(params.since);
    if !params.follow {
        return Ok(Document(admin.handle.events(since.unwrap_or(0))).into_response());
    }
    let Ok(permit) = Arc::clone(&admin.followers).try_acquire_owned() else {
        let detail = format!("{FOLLOWERS_MAX} clients follow events already; end one of them");
        return Err(Failure::new(ProblemCode::TooManyFollowers, detail));
    };
    peer.progress.follow();
    // First the subscription, then the history: what happens in between is seen twice rather than never.
    let receiver = admin.handle.follow_events();
    let backlog: VecDeque<Event> = since.map(|since| admin.handle.events(since)).unwrap_or_default().into();
    let is_sse = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|accepted| accepted.contains("text/event-stream"));
    let follower = Follower {
        next: since.unwrap_or(0),
        is_first: true,
        is_sse,
        backlog,
        receiver,
        stopping: admin.stopping.clone(),
        admin,
        _permit: permit,
    };
    let body = Body::from_stream(stream::unfold(follower, |mut follower| async move {
        let bytes = follower.next_bytes().await?;
        Some((Ok::<Bytes, Infallible>(bytes), follower))
    }));
    let media = if is_sse { "text/event-stream" } else { "application/x-ndjson" };
    Ok(([(CONTENT_TYPE, HeaderValue::from_static(media))], body).into_response())
}

struct Follower {
    /// Sequence number that comes next; smaller ones have been sent.
    next: u64,
    is_first: bool,
    is_sse: bool,
    backlog: VecDeque<Event>,
    receiver: Receiver<Event>,
    stopping: watch::Receiver<bool>,
    admin: Arc<Admin>,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// What to send next; `None` at the end.
    async fn next_bytes(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_first) {
            // The head goes out at once, so that the client knows that it is connected.
            return Some(self.heartbeat());
        }
        loop {
            while let Some(event) = self.backlog.pop_front() {
                if event.sequence >= self.next {
                    self.next = event.sequence + 1;
                    return Some(self.line(&event));
                }
            }
            tokio::select! {
                () = until(self.stopping.clone()) => return None,
                () = tokio::time::sleep(HEARTBEAT) => return Some(self.heartbeat()),
                received = self.receiver.recv() => match received {
                    Ok(event) => self.backlog.push_back(event),
                    Err(RecvError::Lagged(_)) => self.backlog = self.admin.handle.events(self.next).into(),
                    Err(RecvError::Closed) => return None,
                },
            }
        }
    }

    fn heartbeat(&self) -> Bytes {
        Bytes::from_static(if self.is_sse { b":\n\n" } else { b"\n" })
    }

    fn line(&self, event: &Event) -> Bytes {
        // An event is text and numbers; it can always be written.
        let json = serde_json::to_string(event).unwrap_or_default();
        if self.is_sse {
            format!("id: {}\nevent: {}\ndata: {json}\n\n", event.sequence, event.kind).into()
        } else {
            format!("{json}\n").into()
        }
    }
}
