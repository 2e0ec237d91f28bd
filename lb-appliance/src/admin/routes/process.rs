//! The program itself: its log, and the description of this API.

use crate::admin::answer::{Answer, Document, Failure};
use crate::admin::documents::{LogLevel, LogLevelChange};
use crate::admin::extract::Json;
use crate::admin::openapi::{self, ChangeRefusals, Refusals};
use crate::admin::server::Admin;
use crate::control::problem::ProblemCode;
use crate::logging;
use axum::extract::State;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const FILTER_BYTES_MAX: usize = 1_024;

/// A filter for a time: what comes back, and when.
#[derive(Debug, Default)]
pub(in crate::admin) struct LogState(Mutex<Return>);

#[derive(Debug, Default)]
struct Return {
    /// Number of the last change: an earlier one must not undo it.
    change: u64,
    to: Option<(String, Instant)>,
}

impl LogState {
    fn lock(&self) -> MutexGuard<'_, Return> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn document(&self) -> LogLevel {
        let state = self.lock();
        LogLevel {
            filter: logging::filter(),
            then: state.to.as_ref().map(|(filter, _)| filter.clone()),
            remaining_seconds: state
                .to
                .as_ref()
                .map(|(_, at)| at.saturating_duration_since(Instant::now()).as_secs_f64()),
        }
    }
}

/// What is logged
#[utoipa::path(get, path = "/api/v1/log-level", tag = "process", responses((status = 200, body = LogLevel), Refusals))]
pub(super) async fn log_level(State(admin): State<Arc<Admin>>) -> Document<LogLevel> {
    Document(admin.log.document())
}

/// Changes what is logged, for a time or until the end of the process
#[utoipa::path(
    put, path = "/api/v1/log-level", tag = "process", request_body = LogLevelChange,
    responses((status = 200, body = LogLevel), ChangeRefusals)
)]
pub(super) async fn set_log_level(
    State(admin): State<Arc<Admin>>,
    Json(wanted): Json<LogLevelChange>,
) -> Answer<LogLevel> {
    let refuse = |detail: String| Failure::new(ProblemCode::BadBody, detail);
    if wanted.filter.len() > FILTER_BYTES_MAX {
        return Err(refuse(format!("`filter` has more than {FILTER_BYTES_MAX} bytes")));
    }
    let time = wanted.for_.as_deref().map(crate::config::duration).transpose();
    let time = time.map_err(|error| refuse(format!("`for`: {error}")))?;
    {
        let mut state = admin.log.lock();
        let before = logging::filter();
        logging::set_filter(&logging::on_top(&before, &wanted.filter))
            .map_err(|error| refuse(error.to_string()))?;
        state.change += 1;
        // A change for a time on top of another one goes back to what was there before both.
        let back = state.to.take().map_or(before, |(filter, _)| filter);
        if let Some(time) = time {
            state.to = Some((back, Instant::now() + time));
            tokio::spawn(go_back(Arc::clone(&admin), state.change, time));
        }
    }
    Ok(Document(admin.log.document()))
}

async fn go_back(admin: Arc<Admin>, change: u64, after: Duration) {
    tokio::time::sleep(after).await;
    let mut state = admin.log.lock();
    if state.change != change {
        return;
    }
    if let Some((filter, _)) = state.to.take() {
        // It was in force before.
        let _ = logging::set_filter(&filter);
        tracing::info!(event = "log_level_restored", %filter, "the log is as before");
    }
}

/// This description
#[utoipa::path(
    get, path = "/openapi.json", tag = "process",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value), Refusals)
)]
pub(super) async fn openapi() -> Document<utoipa::openapi::OpenApi> {
    Document(openapi::document())
}
