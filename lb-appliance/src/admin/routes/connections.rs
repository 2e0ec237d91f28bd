//! Connection entries, their numbers, and the decision about a flow.

#![expect(unused_qualifications, reason = "utoipa's macro names parameter types in full")]

use crate::admin::answer::{Answer, Document, Failure};
use crate::admin::extract::{Params, switch};
use crate::admin::openapi::{ChangeRefusals, Refusals};
use crate::admin::server::Admin;
use crate::control::ConnectionQuery;
use crate::control::problem::ProblemCode;
use crate::control::protocol::{self, End, IpProtocol};
use crate::control::view::{ConnectionCount, ConnectionStatus, Explanation, Flow};
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;

/// Entries of a list unless asked for.
const LIST_DEFAULT: usize = 100;
/// Entries of a list at most.
const LIST_MAX: usize = 10_000;

fn flow(source: End, destination: End, protocol: Option<IpProtocol>, opens: bool) -> Result<Flow, Failure> {
    protocol::flow((source, destination), protocol.unwrap_or_default(), opens, ["`src`", "`dst`"])
        .map_err(|error| Failure::new(ProblemCode::BadRequest, format!("query: {error}")))
}

/// Which entries: those of one flow (`src`, `dst`), or some of a VIP or backend.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListParams {
    /// Client address and port of one flow; together with `dst`.
    #[param(value_type = Option<String>, example = "198.51.100.7:40000")]
    src: Option<End>,
    /// VIP address and port of one flow; together with `src`.
    #[param(value_type = Option<String>, example = "203.0.113.10:443")]
    dst: Option<End>,
    /// Protocol of one flow: `tcp` unless given, `udp`, `sctp`, another name or a number.
    #[param(value_type = Option<String>, example = "tcp")]
    proto: Option<IpProtocol>,
    /// Only entries of this VIP.
    vip: Option<String>,
    /// Only entries of a backend of this pool; together with `backend`.
    pool: Option<String>,
    /// Only entries of this backend; together with `pool`.
    backend: Option<String>,
    /// At most so many in all; 100 unless given.
    #[param(minimum = 1, maximum = 10000)]
    max: Option<usize>,
}

/// Entries of the connection tables
#[utoipa::path(
    get, path = "/api/v1/connections", tag = "connections", params(ListParams),
    responses((status = 200, body = Vec<ConnectionStatus>), Refusals)
)]
pub(super) async fn list(
    State(admin): State<Arc<Admin>>,
    Params(params): Params<ListParams>,
) -> Answer<Vec<ConnectionStatus>> {
    let refuse = |detail: &str| Err(Failure::new(ProblemCode::BadRequest, format!("query: {detail}")));
    let selects = params.vip.is_some() || params.pool.is_some() || params.backend.is_some();
    match (params.src, params.dst) {
        (Some(_), Some(_)) if selects || params.max.is_some() => {
            return refuse(
                "`src` and `dst` are one flow; `vip`, `pool`, `backend` and `max` do not go with them",
            );
        }
        (Some(source), Some(destination)) => {
            let flow = flow(source, destination, params.proto, false)?;
            return Ok(Document(admin.handle.find_connection(flow).await?));
        }
        (None, None) if params.proto.is_some() => return refuse("`proto` goes with `src` and `dst`"),
        (None, None) => {}
        _ => return refuse("one flow has both `src` and `dst`"),
    }
    let backend = match (params.pool, params.backend) {
        (Some(pool), Some(backend)) => Some((pool, backend)),
        (None, None) => None,
        _ => return refuse("a backend has both `pool` and `backend`"),
    };
    let max = params.max.unwrap_or(LIST_DEFAULT);
    if !(1..=LIST_MAX).contains(&max) {
        return refuse(&format!("`max` is {max}, not 1 to {LIST_MAX}"));
    }
    let query = ConnectionQuery { vip: params.vip, backend, max };
    let mut entries = admin.handle.list_connections(&query).await?;
    entries.truncate(max);
    Ok(Document(entries))
}

/// One flow.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FlowParams {
    /// Client address and port.
    #[param(value_type = String, example = "198.51.100.7:40000")]
    src: End,
    /// VIP address and port.
    #[param(value_type = String, example = "203.0.113.10:443")]
    dst: End,
    /// Protocol: `tcp` unless given, `udp`, `sctp`, another name or a number.
    #[param(value_type = Option<String>, example = "tcp")]
    proto: Option<IpProtocol>,
}

/// Removes the entries of one flow; its next packet is a new flow
#[utoipa::path(
    delete, path = "/api/v1/connections", tag = "connections", params(FlowParams),
    responses((status = 200, body = Vec<ConnectionStatus>, description = "What was removed"), ChangeRefusals)
)]
pub(super) async fn delete(
    State(admin): State<Arc<Admin>>,
    Params(params): Params<FlowParams>,
) -> Answer<Vec<ConnectionStatus>> {
    let flow = flow(params.src, params.dst, params.proto, false)?;
    Ok(Document(admin.handle.delete_connection(flow).await?))
}

/// Numbers of connections by VIP and backend
#[utoipa::path(
    get, path = "/api/v1/connections/count", tag = "connections",
    responses((status = 200, body = Vec<ConnectionCount>), Refusals)
)]
pub(super) async fn count(State(admin): State<Arc<Admin>>) -> Document<Vec<ConnectionCount>> {
    Document(admin.handle.connection_counts())
}

/// One packet.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainParams {
    /// Client address, and port if the protocol has ports.
    #[param(value_type = String, example = "198.51.100.7:40000")]
    src: End,
    /// VIP address, and port if the protocol has ports.
    #[param(value_type = String, example = "203.0.113.10:443")]
    dst: End,
    /// Protocol: `tcp` unless given, `udp`, `sctp`; `icmp` or `icmpv6` for an echo request; `esp` or any number.
    #[param(value_type = Option<String>, example = "tcp")]
    proto: Option<IpProtocol>,
    /// The packet opens a connection (SYN).
    #[serde(default, deserialize_with = "switch")]
    syn: bool,
}

/// What would become of a packet, step by step
#[utoipa::path(
    get, path = "/api/v1/explain", tag = "connections", params(ExplainParams),
    responses((status = 200, body = Explanation), Refusals)
)]
pub(super) async fn explain(
    State(admin): State<Arc<Admin>>,
    Params(params): Params<ExplainParams>,
) -> Answer<Explanation> {
    let flow = flow(params.src, params.dst, params.proto, params.syn)?;
    Ok(Document(admin.handle.explain(flow).await?))
}
