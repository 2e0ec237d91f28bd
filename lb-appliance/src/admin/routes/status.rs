//! What is going on.

use crate::admin::answer::{Answer, Document};
use crate::admin::documents::{DropsReport, RuntimeReport, VersionInfo};
use crate::admin::openapi::Refusals;
use crate::admin::server::Admin;
use crate::control::view::{self, Status};
use axum::extract::State;
use std::sync::Arc;

/// The program's version
#[utoipa::path(get, path = "/api/v1/version", tag = "status", responses((status = 200, body = VersionInfo), Refusals))]
pub(super) async fn version() -> Document<VersionInfo> {
    Document(VersionInfo {
        version: env!("CARGO_PKG_VERSION").into(),
        api: view::VERSION.into(),
        revision: option_env!("GUIDEWAY_REVISION").map(Into::into),
        rustc: env!("GUIDEWAY_RUSTC_VERSION").into(),
        dpdk: dpdk_version(),
    })
}

#[cfg(feature = "dpdk")]
fn dpdk_version() -> Option<String> {
    Some(dpdk::version())
}

#[cfg(not(feature = "dpdk"))]
fn dpdk_version() -> Option<String> {
    None
}

/// Everything at a glance
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses((status = 200, body = Status), Refusals))]
pub(super) async fn status(State(admin): State<Arc<Admin>>) -> Document<Status> {
    Document(admin.handle.status())
}

/// What the workers do
#[utoipa::path(get, path = "/api/v1/runtime", tag = "status", responses((status = 200, body = RuntimeReport), Refusals))]
pub(super) async fn runtime(State(admin): State<Arc<Admin>>) -> Document<RuntimeReport> {
    let status = admin.handle.status();
    Document(RuntimeReport {
        uptime_seconds: status.uptime_seconds,
        workers: status.workers.into_iter().map(Into::into).collect(),
    })
}

/// Dropped packets by reason, with what to do about each
#[utoipa::path(get, path = "/api/v1/drops", tag = "status", responses((status = 200, body = DropsReport), Refusals))]
pub(super) async fn drops(State(admin): State<Arc<Admin>>) -> Answer<DropsReport> {
    Ok(Document(DropsReport { dropped: admin.handle.status().dropped }))
}
