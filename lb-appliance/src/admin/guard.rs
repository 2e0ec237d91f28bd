//! What stands before every handler: who may, how much, how long; and a line in the log for whoever changes something.

use super::answer::Failure;
use super::bind::HttpAccess;
use super::peer::{Peer, Way};
use super::server::Admin;
use super::{BODY_BYTES_MAX, HANDLER_SECONDS_MAX};
use crate::control::problem::ProblemCode;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, HOST, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Characters of a path that go to the log.
const LOGGED_CHARS_MAX: usize = 200;

/// Lets a request pass to its handler, or answers it.
pub(super) async fn guard(
    State(admin): State<Arc<Admin>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let method = request.method().clone();
    let target: String = request
        .uri()
        .path_and_query()
        .map_or("", |path| path.as_str())
        .chars()
        .take(LOGGED_CHARS_MAX)
        .collect();
    let mut response = match pass(&admin, &peer, request, next).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    };
    let status = response.status();
    if !is_reading(&method) {
        tracing::info!(
            event = "admin_request",
            %method,
            target = %target,
            status = status.as_u16(),
            peer = %peer.way,
            "admin request"
        );
    }
    let headers = response.headers_mut();
    // One request per connection: none can sit idle in a slot.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

async fn pass(admin: &Admin, peer: &Peer, request: Request, next: Next) -> Result<Response, Failure> {
    if let Way::Tcp(_) = peer.way {
        check_access(&admin.access, request.method(), request.headers())?;
    }
    let (parts, body) = request.into_parts();
    let body = read(&parts.headers, body).await?;
    peer.progress.received();
    let answer = next.run(Request::from_parts(parts, Body::from(body)));
    tokio::time::timeout(Duration::from_secs(HANDLER_SECONDS_MAX), answer).await.map_err(|_| {
        let detail = format!(
            "the control plane has not answered within {HANDLER_SECONDS_MAX} s; a change may still take effect: ask \
             for the status"
        );
        Failure::new(ProblemCode::TimedOut, detail)
    })
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    let too_large = || {
        let detail = format!("the body has more than {BODY_BYTES_MAX} bytes");
        Failure::new(ProblemCode::TooLarge, detail)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Failure::new(ProblemCode::BadRequest, format!("the body cannot be read: {error}"))),
    }
}

/// What TCP lets pass.
fn check_access(access: &HttpAccess, method: &Method, headers: &HeaderMap) -> Result<(), Failure> {
    if access.is_loopback && !headers.get(HOST).is_none_or(is_this_host) {
        let detail = "ask for an address or `localhost`: no other name is this listener";
        return Err(Failure::new(ProblemCode::Forbidden, detail));
    }
    if let Some(token) = &access.token {
        let given = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let given = given.strip_prefix(b"Bearer ").unwrap_or_default();
        // The time tells the length of the token and nothing else.
        if !bool::from(given.ct_eq(token.as_bytes())) {
            let detail = "send `Authorization: Bearer SECRET` with the secret of `admin.http.token_file`";
            return Err(Failure::new(ProblemCode::Unauthorized, detail));
        }
    }
    if !is_reading(method) && !access.write {
        let detail =
            "this listener is for reading: use the admin socket, or set `admin.http.write` and a token";
        return Err(Failure::new(ProblemCode::Forbidden, detail));
    }
    Ok(())
}

/// Whether a `Host` header is an address or `localhost`, with or without a port.
fn is_this_host(host: &HeaderValue) -> bool {
    let Ok(host) = host.to_str() else { return false };
    let (name, port) = match host.rsplit_once(':') {
        // The colons of an IPv6 address stand in brackets.
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (host, "0"),
    };
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let is_name = name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok();
    is_name && port.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    fn status(access: &HttpAccess, method: &Method, pairs: &[(HeaderName, &'static str)]) -> u16 {
        check_access(access, method, &headers(pairs)).map_or_else(|failure| failure.0.status, |()| 200)
    }

    #[test]
    fn without_a_token_tcp_is_for_reading() {
        let access = HttpAccess { write: false, token: None, is_loopback: true };
        assert_eq!(status(&access, &Method::GET, &[]), 200);
        assert_eq!(status(&access, &Method::HEAD, &[]), 200);
        for method in [Method::POST, Method::PATCH, Method::PUT, Method::DELETE, Method::OPTIONS] {
            assert_eq!(status(&access, &method, &[]), 403, "{method}");
        }
    }

    #[test]
    fn with_a_token_nothing_passes_without_it() {
        let token = Some("0123456789abcdef".to_owned());
        let access = HttpAccess { write: true, token, is_loopback: false };
        assert_eq!(status(&access, &Method::GET, &[]), 401);
        assert_eq!(status(&access, &Method::GET, &[(AUTHORIZATION, "0123456789abcdef")]), 401);
        assert_eq!(status(&access, &Method::GET, &[(AUTHORIZATION, "Bearer 0123456789abcdeF")]), 401);
        assert_eq!(status(&access, &Method::GET, &[(AUTHORIZATION, "Bearer 0123456789abcde")]), 401);
        assert_eq!(status(&access, &Method::GET, &[(AUTHORIZATION, "Bearer 0123456789abcdef")]), 200);
        assert_eq!(status(&access, &Method::PATCH, &[(AUTHORIZATION, "Bearer 0123456789abcdef")]), 200);
        let reading = HttpAccess { write: false, ..access };
        assert_eq!(status(&reading, &Method::PATCH, &[(AUTHORIZATION, "Bearer 0123456789abcdef")]), 403);
    }

    #[test]
    fn a_page_cannot_name_itself_this_host() {
        let access = HttpAccess { write: false, token: None, is_loopback: true };
        for host in ["localhost", "localhost:9844", "127.0.0.1:9844", "[::1]:9844", "[::1]", "127.0.0.1"] {
            assert_eq!(status(&access, &Method::GET, &[(HOST, host)]), 200, "{host}");
        }
        for host in ["evil.example", "evil.example:9844", "localhost.evil.example", "127.0.0.1.evil:1", ""] {
            assert_eq!(status(&access, &Method::GET, &[(HOST, host)]), 403, "{host}");
        }
    }
}
