//! A client of the admin socket, for the subcommands that ask a running balancer.
//!
//! One request per connection, as the server wants it. Whatever goes wrong is one message that names the socket and
//! the mend.

mod error;
mod follow;
mod target;

pub use error::ClientError;
pub use follow::{Follower, Next};
pub use target::Target;

use crate::control::view::Problem;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::UnixStream;

/// Longest wait for an answer: more than the server takes at worst.
const ANSWER_MAX: Duration = Duration::from_secs(40);
/// Largest answer that is taken: the status of the largest configuration is a fraction of it.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// A client of one socket.
#[derive(Debug)]
pub struct Client {
    socket: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// A client of `socket`; nothing is opened yet.
    ///
    /// # Errors
    /// The process cannot have another event loop.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| ClientError::Broken(format!("cannot start: {error}")))?;
        Ok(Self { socket: socket.into(), runtime })
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Asks for a document.
    ///
    /// # Errors
    /// Nobody answers, or the answer is a refusal, or not what is expected.
    pub fn get<T: DeserializeOwned>(&self, target: &Target) -> Result<T, ClientError> {
        self.send(Method::GET, target, None, Bytes::new())
    }

    /// Sends a JSON document.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn send_json<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &Target,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| ClientError::Broken(error.to_string()))?;
        self.send(method, target, Some("application/json"), body.into())
    }

    /// Sends a configuration; an empty one stands for the file that runs.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn post_yaml<T: DeserializeOwned>(&self, target: &Target, text: String) -> Result<T, ClientError> {
        let media = (!text.is_empty()).then_some("application/yaml");
        self.send(Method::POST, target, media, text.into())
    }

    /// Removes something.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn delete<T: DeserializeOwned>(&self, target: &Target) -> Result<T, ClientError> {
        self.send(Method::DELETE, target, None, Bytes::new())
    }

    /// Follows events from sequence number `since` on, or from now on.
    ///
    /// # Errors
    /// As for [`Self::get`].
    pub fn follow(&self, since: Option<u64>) -> Result<Follower<'_>, ClientError> {
        let mut target = Target::new(&["events"]).with("follow", "true");
        if let Some(since) = since {
            target = target.with("since", &since.to_string());
        }
        let opened = async {
            let response = self.request(Method::GET, &target, None, Bytes::new()).await?;
            accepted(response).await
        };
        let response = self.in_time(opened)?;
        Ok(Follower::new(&self.runtime, response.into_body()))
    }

    fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        target: &Target,
        media: Option<&str>,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let bytes = self.in_time(async {
            let response = accepted(self.request(method, target, media, body).await?).await?;
            whole(response).await
        })?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ClientError::Broken(format!(
                "the answer is not what this version expects ({error}): is it as old as the \
                balancer?"
            ))
        })
    }

    fn in_time<T>(&self, task: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        self.runtime.block_on(async {
            tokio::time::timeout(ANSWER_MAX, task).await.unwrap_or_else(|_| {
                Err(ClientError::Broken(format!("no answer within {} s", ANSWER_MAX.as_secs())))
            })
        })
    }

    async fn request(
        &self,
        method: Method,
        target: &Target,
        media: Option<&str>,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|cause| ClientError::Unreachable { socket: self.socket.clone(), cause })?;
        let broken = |error: hyper::Error| ClientError::Broken(format!("the connection broke: {error}"));
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // What breaks there breaks the answer too, which tells.
        drop(tokio::spawn(connection));
        let mut request = Request::builder()
            .method(method)
            .uri(target.to_string())
            .header(HOST, "localhost")
            .header(ACCEPT, "application/json, application/x-ndjson");
        if let Some(media) = media {
            request = request.header(CONTENT_TYPE, media);
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| ClientError::Broken(format!("the request cannot be written: {error}")))?;
        sender.send_request(request).await.map_err(broken)
    }
}

/// The answer, unless it is a refusal.
async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = whole(response).await?;
    Err(match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) => ClientError::Refused(Box::new(problem)),
        Err(_) => {
            ClientError::Broken(format!("the answer is {status}; is it a guideway that listens there?"))
        }
    })
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, ClientError> {
    Limited::new(response.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| ClientError::Broken(format!("the answer broke off: {error}")))
}
