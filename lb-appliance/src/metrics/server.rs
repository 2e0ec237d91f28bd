//! The HTTP side: `/metrics`, `/livez`, `/readyz` and a page that names them.
//!
//! GET and HEAD only, one request per connection. Answers are made without waiting for anybody: a handler
//! reads counters and returns.

use super::bind::MetricsError;
use super::exporter::Exporter;
use super::health::{Check, liveness, readiness};
use super::selection::Selection;
use super::sources::Sources;
use crate::http_limits::{BoundedListener, Limits};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Open connections; further ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 64;
/// Time for the request, seconds from accept.
pub const REQUEST_SECONDS_MAX: u64 = 3;
/// Time for everything, seconds from accept: the scrape timeout that Prometheus has by default.
pub const RESPONSE_SECONDS_MAX: u64 = 10;
/// Bytes that a client may send.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

const LIMITS: Limits = Limits {
    connections: CONNECTIONS_MAX,
    request: Duration::from_secs(REQUEST_SECONDS_MAX),
    response: Duration::from_secs(RESPONSE_SECONDS_MAX),
    head_bytes: REQUEST_BYTES_MAX,
    body_bytes: 0,
};

const TEXT: &str = "text/plain; charset=utf-8";
const METRICS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// How long open connections may hold up a stop.
const STOP_GRACE: Duration = Duration::from_millis(500);

const INDEX: &str = "guideway\n\n\
    /metrics            Prometheus metrics; ?collect[]=ports|workers|vips|backends|health picks groups\n\
    /livez              200 while every worker's loop turns\n\
    /readyz             200 while traffic is served; ?verbose lists the checks\n";

/// Answers on `listener` until `shutdown` completes, and a moment longer for answers under way.
///
/// Must run in a tokio runtime with I/O and time; a current-thread one is enough.
///
/// # Errors
/// The listener cannot be given to the runtime.
pub async fn serve(
    listener: std::net::TcpListener,
    sources: Arc<Sources>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), MetricsError> {
    listener.set_nonblocking(true)?;
    let listener = BoundedListener::new(tokio::net::TcpListener::from_std(listener)?, LIMITS);
    let (stop, stopped) = oneshot::channel::<()>();
    // A sender that is gone is a stop as well.
    let stopping = async move { stopped.await.unwrap_or_default() };
    let router = router(Arc::new(Exporter::new(sources)?));
    let server = axum::serve(listener, router).with_graceful_shutdown(stopping).into_future();
    let stop_at_last = async {
        shutdown.await;
        drop(stop);
        tokio::time::sleep(STOP_GRACE).await;
    };
    tokio::select! {
        result = server => result.map_err(MetricsError::from),
        () = stop_at_last => Ok(()),
    }
}

fn router(exporter: Arc<Exporter>) -> Router {
    Router::new()
        .route("/", get(async || text(StatusCode::OK, INDEX.to_owned())))
        .route("/metrics", get(metrics))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .fallback(async || text(StatusCode::NOT_FOUND, format!("there is no such page\n\n{INDEX}")))
        .layer(axum::middleware::map_response(close))
        .with_state(exporter)
}

/// One request per connection: none can sit idle in a slot.
async fn close(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn text(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, TEXT)], body).into_response()
}

async fn metrics(
    State(exporter): State<Arc<Exporter>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let selection =
        match Selection::from_query(query.iter().map(|(key, value)| (key.as_str(), value.as_str()))) {
            Ok(selection) => selection,
            Err(unknown) => return text(StatusCode::BAD_REQUEST, format!("{unknown}\n")),
        };
    match exporter.text(selection) {
        Ok(body) => (StatusCode::OK, [(CONTENT_TYPE, METRICS_TEXT)], body).into_response(),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("cannot encode metrics: {error}\n")),
    }
}

async fn livez(State(exporter): State<Arc<Exporter>>) -> Response {
    answer(&[liveness(exporter.sources(), Instant::now())], false)
}

async fn readyz(
    State(exporter): State<Arc<Exporter>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let is_verbose = query.iter().any(|(key, _)| key == "verbose");
    answer(&readiness(exporter.sources(), Instant::now()), is_verbose)
}

/// 200 and `ok`, or 503 and what failed; one line per check if asked for.
fn answer(checks: &[Check], is_verbose: bool) -> Response {
    let has_failed = checks.iter().any(|check| check.complaint.is_some());
    let mut body = String::new();
    for check in checks {
        match &check.complaint {
            Some(complaint) => body += &format!("[-] {}: {complaint}\n", check.name),
            None if is_verbose => body += &format!("[+] {}: ok\n", check.name),
            None => {}
        }
    }
    if has_failed {
        return text(StatusCode::SERVICE_UNAVAILABLE, body);
    }
    text(StatusCode::OK, body + "ok\n")
}
