//! TLS for probes: rustls with ring, verification as configured, every handshake a full one.
//!
//! Sessions are never resumed, because a resumed session does not show the certificate that a new client would see.
//! The authorities are read again every minute, so that a replaced `ca_file` needs no reload.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::{ClientConfig, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{Error, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::outcome::{Cause, Trouble};
use super::steps::Steps;
use super::wire;
use crate::config::model::Tls;

mod unverified;

/// How long what was read from files is believed.
const AUTHORITIES_FOR: Duration = Duration::from_secs(60);
/// The same where it could not be read: thousands of targets must not open a missing file thousands of times.
const FAILURE_FOR: Duration = Duration::from_secs(5);

type Built = Result<Arc<ClientConfig>, Trouble>;

/// The TLS side of one check.
pub(super) struct TlsClient {
    tls: Tls,
    protocol: &'static [u8],
    ready: Mutex<Option<(Instant, Built)>>,
}

impl TlsClient {
    /// `protocol` is what ALPN offers, e.g. `h2`.
    pub(super) fn new(tls: &Tls, protocol: &'static [u8]) -> Self {
        Self { tls: tls.clone(), protocol, ready: Mutex::new(None) }
    }

    /// Shakes hands on a connected socket. `name` is what the certificate is for unless `sni` says otherwise.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        name: &str,
        steps: &mut Steps,
    ) -> Result<TlsStream<TcpStream>, Trouble> {
        steps.begin("tls");
        let config = self.config().await?;
        let name = self.tls.sni.as_deref().unwrap_or(name).trim_end_matches('.');
        let server = ServerName::try_from(name.to_owned()).map_err(|_| {
            Trouble::new(Cause::Local, format!("`{name}` is no name for a certificate; set `sni`"))
        })?;
        let stream =
            TlsConnector::from(config).connect(server, stream).await.map_err(|error| wire::named(&error))?;
        let connection = stream.get_ref().1;
        steps.end(|| {
            let version = connection.protocol_version().and_then(|version| version.as_str()).unwrap_or("TLS");
            let verified = if self.tls.skip_verify { "not verified" } else { "verified" };
            format!("{version}, certificate for {name} {verified}")
        });
        Ok(stream)
    }

    async fn config(&self) -> Built {
        let mut ready = self.ready.lock().await;
        let lasts = |built: &Built| if built.is_ok() { AUTHORITIES_FOR } else { FAILURE_FOR };
        if let Some((_, built)) = ready.as_ref().filter(|(read, built)| read.elapsed() < lasts(built)) {
            return built.clone();
        }
        let (tls, protocol) = (self.tls.clone(), self.protocol);
        // Files: not on the control thread.
        let built = tokio::task::spawn_blocking(move || build(&tls, protocol)).await;
        let built = built.unwrap_or_else(|error| Err(Trouble::new(Cause::Local, error.to_string())));
        *ready = Some((Instant::now(), built.clone()));
        built
    }
}

fn build(tls: &Tls, protocol: &[u8]) -> Built {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Trouble::new(Cause::Local, error.to_string()))?;
    let mut config = if tls.skip_verify {
        let verifier = unverified::Unverified::new(provider);
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
    } else {
        builder.with_root_certificates(authorities(tls.ca_file.as_deref())?).with_no_client_auth()
    };
    config.resumption = Resumption::disabled();
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, Trouble> {
    let mut store = RootCertStore::empty();
    let Some(file) = file else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if store.is_empty() {
            let detail = "this host has no certificate authorities: install ca-certificates or set `ca_file`";
            return Err(Trouble::new(Cause::Local, detail));
        }
        return Ok(store);
    };
    let refuse = |what: String| Trouble::new(Cause::Local, format!("ca_file {}: {what}", file.display()));
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| refuse(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| refuse(error.to_string()))?;
        store.add(certificate).map_err(|error| refuse(error.to_string()))?;
    }
    if store.is_empty() { Err(refuse("holds no certificate".to_owned())) } else { Ok(store) }
}

/// The cause of a TLS error.
pub(super) fn named(error: &Error) -> Trouble {
    let cause = match error {
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => Cause::Certificate,
        _ => Cause::Tls,
    };
    Trouble::new(cause, error.to_string())
}

/// The algorithms of a provider, which verification without trust still needs.
type Provider = Arc<CryptoProvider>;
