//! Change control: what runs, what a change would do, and the change.

#![expect(unused_qualifications, reason = "utoipa's macro names parameter types in full")]

use crate::admin::answer::{Answer, Document, Failure};
use crate::admin::documents::{CheckReport, ConfigDocument, ConfigFile};
use crate::admin::extract::{Params, Yaml, duration, switch};
use crate::admin::openapi::{ChangeRefusals, Refusals};
use crate::admin::server::Admin;
use crate::control::problem::{self, ProblemCode};
use crate::control::view::{Applied, DiffReport};
use crate::control::{Action, ConfigSource};
use axum::extract::State;
use serde::Deserialize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use utoipa::IntoParams;

/// What a text is called in messages unless it is given a name.
const NAME_DEFAULT: &str = "<request>";
const NAME_CHARS_MAX: usize = 255;

/// The configuration in force
#[utoipa::path(
    get, path = "/api/v1/config", tag = "configuration", responses((status = 200, body = ConfigDocument), Refusals)
)]
pub(super) async fn config(State(admin): State<Arc<Admin>>) -> Document<ConfigDocument> {
    let running = admin.handle.running();
    let files = running.texts().into_iter().map(|(name, text)| ConfigFile { name, text });
    Document(ConfigDocument { generation: running.generation, files: files.collect() })
}

/// Where a configuration comes from.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SourceParams {
    /// What messages call the text of the body.
    #[param(max_length = 200)]
    name: Option<String>,
    /// Absolute path of a file on the balancer's host, instead of a text.
    #[param(max_length = 1000, example = "/etc/guideway/next.yaml")]
    file: Option<String>,
}

impl SourceParams {
    /// The source of a body and this query; without either it is the running file.
    fn source(self, text: Option<String>) -> Result<ConfigSource, Failure> {
        let refuse = |detail: &str| Err(Failure::new(ProblemCode::BadRequest, detail));
        match (text, self.file) {
            (Some(_), Some(_)) => refuse("both a text and `file` are given: give one of them"),
            (Some(text), None) => Ok(ConfigSource::Text { name: name(self.name), text }),
            (None, Some(file)) if !file.starts_with('/') || file.contains('\0') => {
                refuse("query: `file` is not an absolute path")
            }
            // A pipe would hold up whoever reads it for ever.
            (None, Some(file)) if std::fs::metadata(&file).is_ok_and(|file| !file.is_file()) => {
                refuse("query: `file` is there and is not a regular file")
            }
            (None, Some(file)) => Ok(ConfigSource::File(PathBuf::from(file))),
            (None, None) => Ok(ConfigSource::Running),
        }
    }
}

/// A name as messages show it: of one line and not too long.
fn name(given: Option<String>) -> String {
    let name: String = given
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_control() { '?' } else { c })
        .take(NAME_CHARS_MAX)
        .collect();
    if name.is_empty() { NAME_DEFAULT.to_owned() } else { name }
}

/// Where a configuration comes from, without a body.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct FileParams {
    /// Absolute path of a file on the balancer's host; the running file unless given.
    #[param(max_length = 1000, example = "/etc/guideway/next.yaml")]
    file: Option<String>,
}

/// What the running file, or another one, would change
#[utoipa::path(
    get, path = "/api/v1/config/diff", tag = "configuration", params(FileParams),
    responses((status = 200, body = DiffReport), ChangeRefusals)
)]
pub(super) async fn diff(
    State(admin): State<Arc<Admin>>,
    Params(params): Params<FileParams>,
) -> Answer<DiffReport> {
    let source = SourceParams { name: None, file: params.file }.source(None)?;
    Ok(Document(admin.handle.diff(source).await?))
}

/// What a text would change
#[utoipa::path(
    post, path = "/api/v1/config/diff", tag = "configuration", params(SourceParams),
    request_body(content = String, content_type = "application/yaml", description = "YAML; empty: the running file"),
    responses((status = 200, body = DiffReport), ChangeRefusals)
)]
pub(super) async fn diff_text(
    State(admin): State<Arc<Admin>>,
    Params(params): Params<SourceParams>,
    Yaml(text): Yaml,
) -> Answer<DiffReport> {
    Ok(Document(admin.handle.diff(params.source(text)?).await?))
}

/// Parameters of `check`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct CheckParams {
    /// What messages call the text of the body.
    #[param(max_length = 200)]
    name: Option<String>,
}

/// Whether a text is a valid configuration
#[utoipa::path(
    post, path = "/api/v1/config/check", tag = "configuration", params(CheckParams),
    request_body(content = String, content_type = "application/yaml", description = "YAML"),
    responses((status = 200, body = CheckReport), ChangeRefusals)
)]
pub(super) async fn check(
    State(admin): State<Arc<Admin>>,
    Params(params): Params<CheckParams>,
    Yaml(text): Yaml,
) -> Answer<CheckReport> {
    let Ok(_permit) = admin.checks.acquire().await else {
        return Err(Failure::new(ProblemCode::Stopping, "the control plane is stopping"));
    };
    let name = name(params.name);
    let examine = move || crate::config::examine(&name, &text.unwrap_or_default());
    let examination = tokio::task::spawn_blocking(examine)
        .await
        .map_err(|error| Failure::new(ProblemCode::Internal, format!("the examination ended: {error}")))?;
    Ok(Document(CheckReport {
        valid: examination.config.is_some(),
        findings: problem::findings(&examination.diagnostics),
    }))
}

/// Parameters of `apply`.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ApplyParams {
    /// Roll back by itself unless confirmed within this time, such as `60s`.
    #[serde(default, deserialize_with = "duration")]
    #[param(value_type = Option<String>, pattern = "^[1-9][0-9]{0,3}(ms|s|m|h)$", example = "60s")]
    confirm_within: Option<Duration>,
    /// Also if it empties a pool or removes every VIP.
    #[serde(default, deserialize_with = "switch")]
    force: bool,
    /// What messages call the text of the body.
    #[param(max_length = 200)]
    name: Option<String>,
    /// Absolute path of a file on the balancer's host, instead of a text.
    #[param(max_length = 1000)]
    file: Option<String>,
}

/// Applies a text, a file, or with neither the running file again; all or nothing
#[utoipa::path(
    post, path = "/api/v1/config/apply", tag = "configuration", params(ApplyParams),
    request_body(content = String, content_type = "application/yaml", description = "YAML; empty: the running file"),
    responses((status = 200, body = Applied), ChangeRefusals)
)]
pub(super) async fn apply(
    State(admin): State<Arc<Admin>>,
    Params(params): Params<ApplyParams>,
    Yaml(text): Yaml,
) -> Answer<Applied> {
    let (confirm_within, force) = (params.confirm_within, params.force);
    let source = SourceParams { name: params.name, file: params.file }.source(text)?;
    Ok(Document(admin.handle.submit(Action::Apply { source, confirm_within, force }).await?))
}

/// Keeps what was applied with `confirm_within`
#[utoipa::path(
    post, path = "/api/v1/config/confirm", tag = "configuration",
    responses((status = 200, body = Applied), ChangeRefusals)
)]
pub(super) async fn confirm(State(admin): State<Arc<Admin>>) -> Answer<Applied> {
    Ok(Document(admin.handle.submit(Action::Confirm).await?))
}

/// Goes back to the configuration before the last one applied
#[utoipa::path(
    post, path = "/api/v1/config/rollback", tag = "configuration",
    responses((status = 200, body = Applied), ChangeRefusals)
)]
pub(super) async fn rollback(State(admin): State<Arc<Admin>>) -> Answer<Applied> {
    Ok(Document(admin.handle.submit(Action::Rollback).await?))
}
