//! The servers on both listeners, and what their handlers share.

use super::answer::Failure;
use super::bind::{AdminError, HttpAccess, Listeners};
use super::peer::Peer;
use super::routes;
use super::{
    BODY_BYTES_MAX, CONNECTIONS_MAX, FOLLOWERS_MAX, HEAD_BYTES_MAX, REQUEST_SECONDS_MAX, RESPONSE_SECONDS_MAX,
};
use crate::control::Handle;
use crate::control::problem::ProblemCode;
use crate::http_limits::{BoundedListener, Limits};
use axum::Router;
use axum::http::{Method, Uri};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// How long open connections may hold up a stop.
const STOP_GRACE: Duration = Duration::from_millis(500);
/// Texts that are examined at the same time: an examination is work for a processor, not for the control thread.
const CHECKS_MAX: usize = 2;

const LIMITS: Limits = Limits {
    connections: CONNECTIONS_MAX,
    request: Duration::from_secs(REQUEST_SECONDS_MAX),
    response: Duration::from_secs(RESPONSE_SECONDS_MAX),
    head_bytes: HEAD_BYTES_MAX,
    // Room for the framing of chunks: what is too large is refused in words rather than cut off.
    body_bytes: BODY_BYTES_MAX + (1 << 20),
};

/// What handlers share.
#[derive(Debug)]
pub(super) struct Admin {
    pub(super) handle: Handle,
    pub(super) access: HttpAccess,
    pub(super) followers: Arc<Semaphore>,
    pub(super) checks: Semaphore,
    pub(super) log: routes::LogState,
    /// True once a stop has begun: streams end then.
    pub(super) stopping: watch::Receiver<bool>,
}

/// Answers on `listeners` until `shutdown` completes, and a moment longer for answers under way. The socket's file
/// is gone afterwards.
///
/// Must run in a tokio runtime with I/O and time; a current-thread one is enough.
///
/// # Errors
/// A listener cannot be given to the runtime.
pub async fn serve(
    handle: Handle,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), AdminError> {
    let Listeners { unix, file, tcp } = listeners;
    let (stop, stopping) = watch::channel(false);
    let admin = Arc::new(Admin {
        handle,
        access: tcp.as_ref().map(|tcp| tcp.access.clone()).unwrap_or_default(),
        followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
        checks: Semaphore::new(CHECKS_MAX),
        log: routes::LogState::default(),
        stopping,
    });
    let router = router(&admin);
    let unix = BoundedListener::new(tokio::net::UnixListener::from_std(unix)?, LIMITS);
    let on_unix = axum::serve(unix, router.clone().into_make_service_with_connect_info::<Peer>())
        .with_graceful_shutdown(until(admin.stopping.clone()))
        .into_future();
    let on_tcp = async {
        let Some(tcp) = tcp else { return Ok(()) };
        let tcp = BoundedListener::new(tokio::net::TcpListener::from_std(tcp.listener)?, LIMITS);
        axum::serve(tcp, router.into_make_service_with_connect_info::<Peer>())
            .with_graceful_shutdown(until(admin.stopping.clone()))
            .await
    };
    let stop_at_last = async {
        shutdown.await;
        stop.send_replace(true);
        tokio::time::sleep(STOP_GRACE).await;
    };
    let result = tokio::select! {
        result = async { tokio::try_join!(on_unix, on_tcp) } => result.map(|_| ()),
        () = stop_at_last => Ok(()),
    };
    drop(file);
    result.map_err(AdminError::from)
}

/// Completes when a stop has begun.
pub(super) async fn until(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone is a stop as well.
    let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
}

fn router(admin: &Arc<Admin>) -> Router {
    let (router, _) = routes::all().split_for_parts();
    router
        .fallback(no_such_page)
        .method_not_allowed_fallback(bad_method)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(admin), super::guard::guard))
        .with_state(Arc::clone(admin))
}

/// What the design has and this version has not.
const LATER: [&str; 5] = ["traces", "captures", "bgp", "doctor", "dashboard"];

async fn no_such_page(uri: Uri) -> Failure {
    let path = uri.path();
    let later = LATER.iter().find(|name| path.trim_start_matches("/api/v1").starts_with(&format!("/{name}")));
    let detail = match later {
        Some(name) => format!("this version has no {name} in its API; GET /openapi.json lists what there is"),
        None => "there is nothing at this address; GET /openapi.json lists what there is".to_owned(),
    };
    Failure::new(ProblemCode::NotFound, detail)
}

async fn bad_method(method: Method) -> Failure {
    let detail = format!("{method} does not work here; the header `Allow` lists what does");
    Failure::new(ProblemCode::BadMethod, detail)
}
