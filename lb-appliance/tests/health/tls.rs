//! https: what is verified, and what a failure is called.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lb_appliance::config::model::{Probe, Tls};
use lb_appliance::health::{Cause, Part};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::{LOCALHOST, canned, check, closed_port, failed, http, on_runtime, passed, probe, report};

/// An authority, its file, and what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("made by this test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("made by this test");
        let certificate = params.self_signed(&key).expect("made by this test");
        let file = folder.join("ca.pem");
        std::fs::write(&file, certificate.pem()).expect("made by this test");
        Self { issuer: Issuer::new(params, key), file }
    }

    /// An HTTPS server with a certificate for `name` that ends in `year`; it answers 200 to anything.
    async fn server(&self, name: &str, year: i32) -> u16 {
        let key = KeyPair::generate().expect("made by this test");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("made by this test");
        (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(year, 1, 1));
        let certificate = params.signed_by(&key, &self.issuer).expect("made by this test");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("made by this test")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("made by this test");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind((LOCALHOST, 0)).await.expect("made by this test");
        let port = listener.local_addr().expect("made by this test").port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut buffer = [0u8; 2048];
                let _ = stream.read(&mut buffer).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                let _ = stream.shutdown().await;
            }
        });
        port
    }
}

fn https(port: u16, tls: Tls) -> Probe {
    Probe::Http(http(port, Some(tls)))
}

#[test]
fn certificates_are_verified_by_name_authority_and_date() {
    let folder = tempfile::tempdir().expect("made by this test");
    on_runtime(async {
        let authority = Authority::new(folder.path());
        let trusting = || Tls { ca_file: Some(authority.file.clone()), ..Tls::default() };
        let good = authority.server("web.internal", 2999).await;
        let found = report(check(https(good, trusting())), Part::Probe).await;
        passed(&found.outcome);
        let names: Vec<_> = found.steps.iter().map(|step| step.name).collect();
        assert_eq!((found.kind, names.as_slice()), ("https", &["connect", "tls", "request"][..]));
        assert!(found.steps[1].detail.contains("certificate for web.internal verified"), "{found:?}");

        let expired = authority.server("web.internal", 2020).await;
        failed(&probe(check(https(expired, trusting()))).await, Cause::Certificate, "expired");
        let other_name = Tls { sni: Some("www.internal".to_owned()), ..trusting() };
        failed(&probe(check(https(good, other_name))).await, Cause::Certificate, "www.internal");
        // Authorities of the system, if it has any, do not know ours.
        let outcome = probe(check(https(good, Tls::default()))).await;
        assert!(matches!(outcome.cause, Some(Cause::Certificate | Cause::Local)), "{outcome:?}");
        let anything = Tls { skip_verify: true, ..Tls::default() };
        passed(&probe(check(https(expired, anything))).await);
    });
}

#[test]
fn what_is_no_tls_and_what_is_no_authority_have_their_causes() {
    on_runtime(async {
        let anything = || Tls { skip_verify: true, ..Tls::default() };
        let plain = canned(b"HTTP/1.1 400 Bad Request\r\n\r\n", true).await;
        failed(&probe(check(https(plain, anything()))).await, Cause::Tls, "");
        failed(&probe(check(https(canned(b"", true).await, anything()))).await, Cause::Reset, "");
        failed(&probe(check(https(closed_port().await, anything()))).await, Cause::Refused, "");
        let missing = Tls { ca_file: Some("/nonexistent/ca.pem".into()), ..Tls::default() };
        let outcome = probe(check(https(plain, missing))).await;
        failed(&outcome, Cause::Local, "/nonexistent/ca.pem");
    });
}
