//! grpc: `grpc.health.v1.Health/Check`, one unary call on a fresh HTTP/2 connection.
//!
//! The call is small enough to be spoken directly over `h2`: five bytes of frame and a message of one field.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::outcome::{Cause, Good, Trouble};
use super::super::steps::Steps;
use super::super::tls::TlsClient;
use super::super::wire::{self, ANSWER_MAX, Peer};
use crate::config::model::GrpcProbe;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`; the status is its enum as a number.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// Names of `HealthCheckResponse.ServingStatus`.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: i32 = 1;
/// Status code of an unknown service (gRPC core, statuscodes.md).
const NOT_FOUND: &str = "5";
/// Compressed flag and length.
const FRAME_HEAD: usize = 5;

pub(super) async fn run(
    peer: Peer<'_>,
    grpc: &GrpcProbe,
    tls: Option<&TlsClient>,
    steps: &mut Steps,
) -> Result<Good, Trouble> {
    let address = peer.address;
    let stream = wire::connect(peer, grpc.port, steps).await?;
    let host = if address.is_ipv6() { format!("[{address}]") } else { address.to_string() };
    match tls {
        None => exchange(stream, &format!("http://{host}:{}", grpc.port), grpc, steps).await,
        Some(tls) => {
            let stream = tls.handshake(stream, &address.to_string(), steps).await?;
            let name = grpc.tls.as_ref().and_then(|tls| tls.sni.clone()).unwrap_or(host);
            exchange(stream, &format!("https://{name}:{}", grpc.port), grpc, steps).await
        }
    }
}

async fn exchange(
    io: impl AsyncRead + AsyncWrite + Unpin,
    origin: &str,
    grpc: &GrpcProbe,
    steps: &mut Steps,
) -> Result<Good, Trouble> {
    steps.begin("request");
    let (sender, connection) = h2::client::handshake(io).await.map_err(named)?;
    wire::drive(connection, call(sender, origin, grpc, steps)).await
}

async fn call(
    sender: SendRequest<Bytes>,
    origin: &str,
    grpc: &GrpcProbe,
    steps: &mut Steps,
) -> Result<Good, Trouble> {
    let request = Request::builder()
        .method("POST")
        .uri(format!("{origin}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", concat!("guideway/", env!("CARGO_PKG_VERSION"), " (health check)"))
        .body(())
        .map_err(|error| Trouble::new(Cause::Local, format!("the request cannot be made: {error}")))?;
    let mut sender = sender.ready().await.map_err(named)?;
    let (response, mut body) = sender.send_request(request, false).map_err(named)?;
    body.send_data(frame(&grpc.service), true).map_err(named)?;
    let response = response.await.map_err(named)?;
    if response.status() != http::StatusCode::OK {
        return Err(Trouble::new(Cause::Status, format!("HTTP status {}", response.status())));
    }
    // An error may come without a body, with its status among the headers.
    verdict_of_call(response.headers())?;
    let mut stream = response.into_body();
    let mut answer = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data.map_err(named)?;
        let _ = stream.flow_control().release_capacity(data.len());
        answer.extend_from_slice(&data);
        if answer.len() > ANSWER_MAX {
            return Err(Trouble::new(Cause::Protocol, "the answer is longer than 64 KiB"));
        }
    }
    if let Some(trailers) = stream.trailers().await.map_err(named)? {
        verdict_of_call(&trailers)?;
    }
    let status = status(answer.freeze())?;
    let word =
        usize::try_from(status).ok().and_then(|index| STATUSES.get(index)).unwrap_or(&"unknown status");
    if status != SERVING {
        return Err(Trouble::new(Cause::NotServing, format!("service {:?} is {word}", grpc.service)));
    }
    steps.end(|| format!("service {:?} is {word}", grpc.service));
    Ok(Good::new(*word))
}

fn frame(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + message.len());
    frame.put_u8(0);
    // The configuration bounds the service's name to 1 KiB.
    frame.put_u32(message.len() as u32);
    frame.extend_from_slice(&message);
    frame.freeze()
}

fn verdict_of_call(headers: &HeaderMap) -> Result<(), Trouble> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let Some(code) = text("grpc-status").filter(|code| code != "0") else { return Ok(()) };
    let message = text("grpc-message").unwrap_or_default();
    let cause = if code == NOT_FOUND { Cause::NotServing } else { Cause::Protocol };
    Err(Trouble::new(cause, format!("gRPC status {code} {message}")))
}

fn status(mut answer: Bytes) -> Result<i32, Trouble> {
    let bad = |what: &str| Trouble::new(Cause::Protocol, format!("the answer {what}"));
    if answer.len() < FRAME_HEAD {
        return Err(bad("holds no message"));
    }
    let (compressed, len) = (answer.get_u8(), answer.get_u32() as usize);
    if compressed != 0 || answer.len() < len {
        return Err(bad("is compressed or cut off"));
    }
    let message = HealthCheckResponse::decode(answer.slice(..len));
    message.map(|message| message.status).map_err(|error| bad(&format!("is no message: {error}")))
}

fn named(error: h2::Error) -> Trouble {
    match error.get_io() {
        Some(io) => wire::named(io),
        None => Trouble::new(Cause::Protocol, format!("http/2: {error}")),
    }
}
