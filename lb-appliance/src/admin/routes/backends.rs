//! Backends: what is known of them, the operator's word on one, a probe at once.

use super::objects::{find_pool, missing};
use crate::admin::answer::{Answer, Document, Failure};
use crate::admin::documents::{BackendPatch, ProbeRequest};
use crate::admin::extract::{Json, Names};
use crate::admin::openapi::{ChangeRefusals, Refusals};
use crate::admin::server::Admin;
use crate::control::problem::ProblemCode;
use crate::control::view::{Applied, BackendStatus, ProbeReport};
use crate::control::{Action, BackendChange, Lasting};
use axum::extract::State;
use std::sync::Arc;

/// All backends of a pool
#[utoipa::path(
    get, path = "/api/v1/pools/{pool}/backends", tag = "objects",
    params(("pool" = String, Path, description = "Name of the pool")),
    responses((status = 200, body = Vec<BackendStatus>), Refusals)
)]
pub(super) async fn backends(
    State(admin): State<Arc<Admin>>,
    Names(pool): Names<String>,
) -> Answer<Vec<BackendStatus>> {
    Ok(Document(find_pool(&admin, &pool)?.backends))
}

/// One backend
#[utoipa::path(
    get, path = "/api/v1/pools/{pool}/backends/{backend}", tag = "objects",
    params(
        ("pool" = String, Path, description = "Name of the pool"),
        ("backend" = String, Path, description = "Name of the backend in it"),
    ),
    responses((status = 200, body = BackendStatus), Refusals)
)]
pub(super) async fn backend(
    State(admin): State<Arc<Admin>>,
    Names((pool, name)): Names<(String, String)>,
) -> Answer<BackendStatus> {
    find(&admin, &pool, &name).map(Document)
}

fn find(admin: &Admin, pool: &str, name: &str) -> Result<BackendStatus, Failure> {
    let pool = find_pool(admin, pool)?;
    let names: Vec<String> = pool.backends.iter().map(|backend| backend.name.clone()).collect();
    let found = pool.backends.into_iter().find(|backend| backend.name == name);
    found.ok_or_else(|| missing(&format!("backend `{name}` in pool `{}`", pool.name), name, &names))
}

/// The operator's word on one backend: state, weight, how long
#[utoipa::path(
    patch, path = "/api/v1/pools/{pool}/backends/{backend}", tag = "objects",
    params(
        ("pool" = String, Path, description = "Name of the pool"),
        ("backend" = String, Path, description = "Name of the backend in it"),
    ),
    request_body = BackendPatch,
    responses((status = 200, body = Applied), ChangeRefusals)
)]
pub(super) async fn change(
    State(admin): State<Arc<Admin>>,
    Names((pool, backend)): Names<(String, String)>,
    Json(patch): Json<BackendPatch>,
) -> Answer<Applied> {
    let change = change_of(&patch).map_err(|detail| Failure::new(ProblemCode::BadBody, detail))?;
    find(&admin, &pool, &backend)?;
    Ok(Document(admin.handle.submit(Action::ChangeBackend { pool, backend, change }).await?))
}

fn change_of(patch: &BackendPatch) -> Result<BackendChange, String> {
    let lasting = match (patch.for_.as_deref(), patch.persist) {
        (Some(_), true) => return Err("`for` and `persist` exclude each other: give one of them".into()),
        (Some(text), false) => {
            let time = crate::config::duration(text).map_err(|error| format!("`for`: {error}"))?;
            Lasting::For(time)
        }
        (None, true) => Lasting::Persistent,
        (None, false) => Lasting::Runtime,
    };
    let change = BackendChange { state: patch.state, weight: patch.weight, clear: patch.clear, lasting };
    let says_something = change.state.is_some() || change.weight.is_some();
    if !says_something && !change.clear {
        return Err("nothing is to change: give `state`, `weight` or `clear`".into());
    }
    if !says_something && lasting != Lasting::Runtime {
        return Err("`for` and `persist` are about a `state` or a `weight`, and there is none".into());
    }
    Ok(change)
}

/// Probes a backend now, without consequences
#[utoipa::path(
    post, path = "/api/v1/health/probe", tag = "objects",
    request_body = ProbeRequest,
    responses((status = 200, body = ProbeReport), ChangeRefusals)
)]
pub(super) async fn probe(
    State(admin): State<Arc<Admin>>,
    Json(request): Json<ProbeRequest>,
) -> Answer<ProbeReport> {
    find(&admin, &request.pool, &request.backend)?;
    Ok(Document(admin.handle.probe(request.pool, request.backend).await?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parsed(text: &str) -> Result<BackendChange, String> {
        serde_json::from_str(text).map_err(|error| error.to_string()).and_then(|patch| change_of(&patch))
    }

    #[test]
    fn a_patch_says_something_and_one_duration() {
        let drain = parsed(r#"{"state":"drain","weight":50,"for":"30m"}"#).expect("valid");
        assert_eq!(drain.lasting, Lasting::For(Duration::from_secs(1800)));
        assert_eq!(drain.weight, Some(50));
        assert!(parsed(r#"{"clear":true}"#).expect("valid").clear);
        for (text, word) in [
            ("{}", "nothing is to change"),
            (r#"{"persist":true}"#, "nothing is to change"),
            (r#"{"clear":true,"persist":true}"#, "there is none"),
            (r#"{"state":"drain","for":"30m","persist":true}"#, "exclude"),
            (r#"{"state":"drain","for":"30"}"#, "not a duration"),
            (r#"{"state":"drain","for":"0s"}"#, "no time"),
            (r#"{"state":"drained"}"#, "unknown variant"),
            (r#"{"weight":65536}"#, "65536"),
            (r#"{"weight":-1}"#, "-1"),
            (r#"{"states":"drain"}"#, "unknown field"),
        ] {
            let message = parsed(text).expect_err(text);
            assert!(message.contains(word), "{text}: {message}");
        }
    }
}
