//! Parts of a request as values; whatever does not fit is refused as a problem that names it.

use super::answer::{Failure, JSON};
use crate::control::problem::ProblemCode;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer};
use std::time::Duration;

/// The query of the address.
pub(super) struct Params<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Query::try_from_uri(&parts.uri)
            .map(|Query(value)| Self(value))
            .map_err(|error| Failure::new(ProblemCode::BadRequest, format!("query: {}", innermost(&error))))
    }
}

/// The parts of the path that have names.
pub(super) struct Names<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Names<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        axum::extract::Path::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|error| Failure::new(ProblemCode::BadRequest, format!("path: {}", error.body_text())))
    }
}

/// A JSON document.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        require_media(&parts.headers, &[JSON])?;
        let bytes = whole(body).await?;
        serde_json::from_slice(&bytes).map(Self).map_err(|error| {
            Failure::new(ProblemCode::BadBody, format!("the body is not what is expected here: {error}"))
        })
    }
}

/// The text of a configuration; `None` if the body is empty.
pub(super) struct Yaml(pub(super) Option<String>);

impl<S: Send + Sync> FromRequest<S> for Yaml {
    type Rejection = Failure;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let bytes = whole(body).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        require_media(
            &parts.headers,
            &["application/yaml", "application/x-yaml", "text/yaml", "text/plain"],
        )?;
        match String::from_utf8(bytes.into()) {
            Ok(text) => Ok(Self(Some(text))),
            Err(error) => {
                let place = error.utf8_error().valid_up_to();
                let detail = format!("the body is not UTF-8 text from byte {place} on");
                Err(Failure::new(ProblemCode::BadBody, detail))
            }
        }
    }
}

/// The body, which the guard has read and bounded already.
async fn whole(body: axum::body::Body) -> Result<Bytes, Failure> {
    axum::body::to_bytes(body, super::BODY_BYTES_MAX)
        .await
        .map_err(|error| Failure::new(ProblemCode::BadRequest, format!("the body cannot be read: {error}")))
}

fn require_media(headers: &HeaderMap, allowed: &[&str]) -> Result<(), Failure> {
    let named = headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let media = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    // Without a type we take it for what is expected.
    if media.is_empty() || allowed.contains(&media.as_str()) {
        return Ok(());
    }
    let detail = format!("the body is `{named}`; send it with `Content-Type: {}`", allowed[0]);
    Err(Failure::new(ProblemCode::UnsupportedMedia, detail))
}

/// The cause at the bottom, which is the one that names the key.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(below) = at.source() {
        at = below;
    }
    at.to_string()
}

/// A switch in a query: `?follow` is the same as `?follow=true`.
pub(super) fn switch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    match String::deserialize(deserializer)?.as_str() {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(D::Error::custom(format!("`{other}` is neither true nor false"))),
    }
}

/// A duration such as `30m`.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    crate::config::duration(&text).map(Some).map_err(D::Error::custom)
}
