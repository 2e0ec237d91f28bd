//! VIPs and pools.

#![expect(unused_qualifications, reason = "utoipa's macro names parameter types in full")]

use crate::admin::answer::{Answer, Document, Failure};
use crate::admin::documents::MaglevAnswer;
use crate::admin::extract::{Names, Params};
use crate::admin::openapi::Refusals;
use crate::admin::server::Admin;
use crate::control::problem::ProblemCode;
use crate::control::view::{PoolStatus, VipStatus};
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// All VIPs
#[utoipa::path(get, path = "/api/v1/vips", tag = "objects", responses((status = 200, body = Vec<VipStatus>), Refusals))]
pub(super) async fn vips(State(admin): State<Arc<Admin>>) -> Document<Vec<VipStatus>> {
    Document(admin.handle.vips())
}

/// One VIP
#[utoipa::path(
    get, path = "/api/v1/vips/{name}", tag = "objects",
    params(("name" = String, Path, description = "Name of the VIP")),
    responses((status = 200, body = VipStatus), Refusals)
)]
pub(super) async fn vip(State(admin): State<Arc<Admin>>, Names(name): Names<String>) -> Answer<VipStatus> {
    let vips = admin.handle.vips();
    let names: Vec<String> = vips.iter().map(|vip| vip.name.clone()).collect();
    vips.into_iter()
        .find(|vip| vip.name == name)
        .map(Document)
        .ok_or_else(|| missing(&format!("VIP `{name}`"), &name, &names))
}

/// All pools with their backends
#[utoipa::path(get, path = "/api/v1/pools", tag = "objects", responses((status = 200, body = Vec<PoolStatus>), Refusals))]
pub(super) async fn pools(State(admin): State<Arc<Admin>>) -> Document<Vec<PoolStatus>> {
    Document(admin.handle.pools())
}

/// One pool with its backends
#[utoipa::path(
    get, path = "/api/v1/pools/{name}", tag = "objects",
    params(("name" = String, Path, description = "Name of the pool")),
    responses((status = 200, body = PoolStatus), Refusals)
)]
pub(super) async fn pool(State(admin): State<Arc<Admin>>, Names(name): Names<String>) -> Answer<PoolStatus> {
    find_pool(&admin, &name).map(Document)
}

/// A pool by name.
pub(super) fn find_pool(admin: &Admin, name: &str) -> Result<PoolStatus, Failure> {
    let pools = admin.handle.pools();
    let names: Vec<String> = pools.iter().map(|pool| pool.name.clone()).collect();
    let found = pools.into_iter().find(|pool| pool.name == name);
    found.ok_or_else(|| missing(&format!("pool `{name}`"), name, &names))
}

/// The refusal for an object that is not there, with the nearest that is.
pub(super) fn missing(what: &str, name: &str, known: &[String]) -> Failure {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(name, candidate), candidate))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match (nearest, known) {
        (Some((_, candidate)), _) => format!("did you mean `{candidate}`?"),
        (None, []) => "there are none at all".to_owned(),
        (None, known) => {
            let some: Vec<&str> = known.iter().take(10).map(String::as_str).collect();
            let more = if known.len() > some.len() { ", ..." } else { "" };
            format!("there are: {}{more}", some.join(", "))
        }
    };
    Failure::new(ProblemCode::NotFound, format!("there is no {what}; {hint}"))
}

/// Parameters of `maglev`.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct MaglevParams {
    /// Names of backends with commas between them: forecast what would move if they went.
    #[param(example = "web-1,web-2")]
    remove: Option<String>,
}

/// The Maglev table of a VIP, or what would become of it without some backends
#[utoipa::path(
    get, path = "/api/v1/maglev/{vip}", tag = "objects",
    params(("vip" = String, Path, description = "Name of the VIP"), MaglevParams),
    responses((status = 200, body = MaglevAnswer), Refusals)
)]
pub(super) async fn maglev(
    State(admin): State<Arc<Admin>>,
    Names(vip): Names<String>,
    Params(params): Params<MaglevParams>,
) -> Answer<MaglevAnswer> {
    let Some(list) = params.remove else {
        return Ok(Document(MaglevAnswer::Status(admin.handle.maglev(&vip)?)));
    };
    let removed: Vec<String> =
        list.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if removed.is_empty() {
        let detail = "query: `remove` names no backend; write `remove=web-1` or `remove=web-1,web-2`";
        return Err(Failure::new(ProblemCode::BadRequest, detail));
    }
    Ok(Document(MaglevAnswer::Forecast(admin.handle.maglev_without(&vip, &removed)?)))
}
