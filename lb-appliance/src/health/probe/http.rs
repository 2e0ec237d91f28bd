//! http and https: one request; status, body and the load header are looked at, then the connection is dropped.
//!
//! Redirects are not followed: a redirect is an answer, and by default a good one.

use std::net::IpAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::outcome::{Cause, Good, Trouble};
use super::super::steps::Steps;
use super::super::tls::TlsClient;
use super::super::wire::{self, ANSWER_MAX, Peer};
use crate::config::model::HttpProbe;

/// Bytes of a response's head.
const HEAD_MAX: usize = 64 << 10;

pub(super) async fn run(
    peer: Peer<'_>,
    http: &HttpProbe,
    tls: Option<&TlsClient>,
    steps: &mut Steps,
) -> Result<Good, Trouble> {
    let address = peer.address;
    let stream = wire::connect(peer, http.port, steps).await?;
    match tls {
        None => exchange(stream, address, http, steps).await,
        Some(tls) => {
            let name = http.host.as_deref().map(without_port).map(str::to_owned);
            let name = name.unwrap_or_else(|| address.to_string());
            let stream = tls.handshake(stream, &name, steps).await?;
            exchange(stream, address, http, steps).await
        }
    }
}

/// `web.internal:8443` is `web.internal` to a certificate.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') && port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// `Host` for a backend that has no name (RFC 9110, 7.2): the address, with the port unless it is the scheme's own.
fn host(address: IpAddr, http: &HttpProbe) -> String {
    let address = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    let usual = if http.tls.is_some() { 443 } else { 80 };
    match &http.host {
        Some(host) => host.clone(),
        None if http.port == usual => address,
        None => format!("{address}:{}", http.port),
    }
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin,
    address: IpAddr,
    http: &HttpProbe,
    steps: &mut Steps,
) -> Result<Good, Trouble> {
    steps.begin("request");
    let request = Request::builder()
        .method(http.method.word())
        .uri(&http.path)
        .header("host", host(address, http))
        .header("user-agent", concat!("guideway/", env!("CARGO_PKG_VERSION"), " (health check)"))
        .header("accept", "*/*")
        .header("connection", "close")
        .body(Empty::<Bytes>::new())
        .map_err(|error| Trouble::new(Cause::Local, format!("the request cannot be made: {error}")))?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(HEAD_MAX).handshake(TokioIo::new(io)).await.map_err(named)?;
    let answered = async {
        let response = sender.send_request(request).await.map_err(named)?;
        judge(response, http, steps).await
    };
    wire::drive(connection, answered).await
}

async fn judge(response: Response<Incoming>, http: &HttpProbe, steps: &mut Steps) -> Result<Good, Trouble> {
    let status = response.status();
    let load = response.headers().get(&http.load_header).and_then(|value| load(value.as_bytes()));
    steps.end(|| match load {
        Some(load) => format!("{} {} answered {status}, load {load}", http.method.word(), http.path),
        None => format!("{} {} answered {status}", http.method.word(), http.path),
    });
    let code = status.as_u16();
    if !http.expect_status.iter().any(|(low, high)| (*low..=*high).contains(&code)) {
        return Err(Trouble::new(Cause::Status, format!("{} answered {status}", http.path)));
    }
    if let Some(text) = &http.expect_body {
        steps.begin("body");
        let body = body(response.into_body()).await?;
        let found = body.windows(text.len()).any(|window| window == text.as_bytes());
        if !found {
            let detail = format!("the first {} bytes of the body do not hold {text:?}", body.len());
            return Err(Trouble::new(Cause::Body, detail));
        }
        steps.end(|| format!("{text:?} found in {} bytes", body.len()));
    }
    Ok(Good { load, ..Good::new(status.to_string()) })
}

async fn body(mut body: Incoming) -> Result<Vec<u8>, Trouble> {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_MAX {
        let Some(frame) = body.frame().await else { break };
        if let Some(data) = frame.map_err(named)?.data_ref() {
            bytes.extend_from_slice(data);
        }
    }
    bytes.truncate(ANSWER_MAX);
    Ok(bytes)
}

/// A number from 0; anything else is as if the header were absent.
fn load(value: &[u8]) -> Option<f64> {
    let load: f64 = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
    (load.is_finite() && load >= 0.0).then_some(load)
}

fn named(error: hyper::Error) -> Trouble {
    if let Some(io) = wire::root_io(&error) {
        return wire::named(io);
    }
    let cause = if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
        Cause::Reset
    } else {
        Cause::Protocol
    };
    Trouble::new(cause, format!("http: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_numbers_from_zero() {
        assert_eq!(load(b"0.75"), Some(0.75));
        assert_eq!(load(b" 3 "), Some(3.0));
        for bad in [&b"-1"[..], b"nan", b"inf", b"", b"high", b"\xff"] {
            assert_eq!(load(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_certificate_is_for_a_name_without_port() {
        assert_eq!(without_port("web.internal:8443"), "web.internal");
        assert_eq!(without_port("web.internal"), "web.internal");
        assert_eq!(without_port("2001:db8::1"), "2001:db8::1");
    }
}
