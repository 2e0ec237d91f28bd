//! Answers: JSON documents, and refusals as `application/problem+json` (RFC 9457).

use crate::control::problem::{ProblemCode, problem};
use crate::control::view::Problem;
use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Media type of documents.
pub(super) const JSON: &str = "application/json";
/// Media type of refusals.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// What a handler gives: a document, or why not.
pub(super) type Answer<T> = Result<Document<T>, Failure>;

/// A document, status 200.
pub(super) struct Document<T>(pub(super) T);

impl<T: Serialize> IntoResponse for Document<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, JSON, &self.0)
    }
}

/// A refusal.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Problem);

impl Failure {
    pub(super) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(problem(code, detail))
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        json(status, PROBLEM_JSON, &self.0)
    }
}

fn json(status: StatusCode, media: &'static str, document: &impl Serialize) -> Response {
    let mut response = match serde_json::to_vec(document) {
        Ok(bytes) => Response::new(Body::from(bytes)),
        // Only a map with keys that are no text cannot be written, and there is none.
        Err(error) => return Failure::new(ProblemCode::Internal, error.to_string()).into_response(),
    };
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
