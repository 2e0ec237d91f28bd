//! The routes, each with its declaration for the OpenAPI document; what is not declared is not served.

mod backends;
mod configuration;
mod connections;
mod events;
mod objects;
mod process;
mod status;

pub(super) use process::LogState;

use super::openapi::Base;
use super::server::Admin;
use std::sync::Arc;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// All of them.
pub(super) fn all() -> OpenApiRouter<Arc<Admin>> {
    OpenApiRouter::with_openapi(Base::openapi())
        .routes(routes!(status::version))
        .routes(routes!(status::status))
        .routes(routes!(status::runtime))
        .routes(routes!(status::drops))
        .routes(routes!(events::events))
        .routes(routes!(configuration::config))
        .routes(routes!(configuration::diff, configuration::diff_text))
        .routes(routes!(configuration::check))
        .routes(routes!(configuration::apply))
        .routes(routes!(configuration::confirm))
        .routes(routes!(configuration::rollback))
        .routes(routes!(objects::vips))
        .routes(routes!(objects::vip))
        .routes(routes!(objects::pools))
        .routes(routes!(objects::pool))
        .routes(routes!(objects::maglev))
        .routes(routes!(backends::backends))
        .routes(routes!(backends::backend, backends::change))
        .routes(routes!(backends::probe))
        .routes(routes!(connections::list, connections::delete))
        .routes(routes!(connections::count))
        .routes(routes!(connections::explain))
        .routes(routes!(process::log_level, process::set_log_level))
        .routes(routes!(process::openapi))
}
