//! The description of the API for programs: OpenAPI 3.1, made from the declarations of the routes.

use super::answer::PROBLEM_JSON;
use super::routes;
use crate::control::problem::ProblemCode;
use crate::control::view::{Event, Problem};
use std::collections::BTreeMap;
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::{ContentBuilder, Ref, RefOr};
use utoipa::{IntoResponses, OpenApi};

/// The parts that no route declares.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Guideway admin API",
        description = "What the control plane of a Guideway load balancer knows and does. The whole of it is served on \
            the admin socket; on TCP (`admin.http`) it is for reading unless changes are allowed. Refusals are \
            application/problem+json with a stable code.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    servers((url = "http://localhost", description = "The admin socket; the name does not matter.")),
    components(schemas(Problem, Event)),
    tags(
        (name = "status", description = "What is going on"),
        (name = "objects", description = "VIPs, pools and backends"),
        (name = "configuration", description = "Change control"),
        (name = "connections", description = "Flows and decisions"),
        (name = "process", description = "The program itself"),
    ),
)]
pub(super) struct Base;

/// The whole description, as `GET /openapi.json` serves it.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = routes::all().split_for_parts().1;
    for item in document.paths.paths.values_mut() {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        methods.into_iter().flatten().for_each(describe_success);
    }
    document
}

/// OpenAPI wants a description of every response; a success is what the operation is for.
fn describe_success(operation: &mut Operation) {
    let summary = operation.summary.clone().unwrap_or_default();
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            response.description.clone_from(&summary);
        }
    }
}

/// Refusals of a request that only reads.
pub(super) struct Refusals;

impl IntoResponses for Refusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        by_status(&[400, 401, 403, 404, 500, 503])
    }
}

/// Refusals of a request with a body, or that changes something.
pub(super) struct ChangeRefusals;

impl IntoResponses for ChangeRefusals {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        by_status(&[400, 401, 403, 404, 409, 413, 415, 422, 500, 503])
    }
}

fn by_status(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    statuses.iter().map(|status| (status.to_string(), RefOr::T(refusal(*status)))).collect()
}

/// All codes with this status, from the catalogue.
fn refusal(status: u16) -> Response {
    let codes = ProblemCode::ALL.iter().filter(|code| code.status() == status);
    let list: Vec<String> = codes.map(|code| format!("{}: {}", code.id(), code.title())).collect();
    let schema = RefOr::Ref(Ref::from_schema_name("Problem"));
    ResponseBuilder::new()
        .description(list.join("; "))
        .content(PROBLEM_JSON, ContentBuilder::new().schema(Some(schema)).build())
        .build()
}
