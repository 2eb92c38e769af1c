//! https: trusted certificates, untrusted ones, and no CA certificates at all.
//!
//! The CA certificates are read once per process, from the files that the
//! environment names, so tests that set them run in their own process.

use std::io::Write;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use base64::Engine as _;
use gstivs::ivs::TokenDenied;
use gstivs::session::{Cause, Ended, Event, Failure, SendError, Warning};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::common::{Action, Reply, Request, Server, created, redirect};
use crate::publisher::{
    BEARER, BOUND, Publisher, config, config_without_token, names, offer, warnings, whip_server,
};

/// Tells the test in its own process where to write its CA file.
const INNER: &str = "GSTIVS_TEST_INNER";

/// Runs the test of this name in its own process. The process takes its CA
/// certificates from a file that the test still has to write.
fn in_its_own_process(name: &str, test: impl FnOnce(&Path)) {
    if let Some(file) = std::env::var_os(INNER) {
        return test(Path::new(&file));
    }
    let directory = Directory::new(name);
    let file = directory.0.join("ca.pem");
    let empty = directory.0.join("empty");
    std::fs::create_dir(&empty).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("tls::{name}"), "--nocapture"])
        .env(INNER, &file)
        .env("SSL_CERT_FILE", &file)
        .env("SSL_CERT_DIR", &empty)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n{complaint}"
    );
}

/// A directory that is removed when dropped.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let name = format!("ivs-session-test-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A self-signed certificate for this machine.
fn certificate() -> CertifiedKey<KeyPair> {
    let names = ["127.0.0.1", "127.0.0.2", "0.0.0.0"].map(str::to_owned);
    generate_simple_self_signed(names).unwrap()
}

/// Makes a certificate the only one that this process trusts.
fn trust(file: &Path, identity: &CertifiedKey<KeyPair>) {
    let text = base64::engine::general_purpose::STANDARD.encode(identity.cert.der());
    let pem = format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    std::fs::write(file, pem).unwrap();
}

/// A scripted server behind TLS.
fn tls_server(
    address: &str,
    identity: &CertifiedKey<KeyPair>,
    script: impl Fn(&Request) -> Action + Send + Sync + 'static,
) -> Server {
    let key = PrivateKeyDer::Pkcs8(identity.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |stream: TcpStream| {
        let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
        let wire = StreamOwned::new(connection, stream);
        Some(Box::new(wire) as Box<_>)
    };
    Server::start_wrapped("https", address, wrap, script)
}

fn session(request: &Request) -> Action {
    match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    }
}

fn failure_at(server: &Server) -> Failure {
    let (failure, ended) = Publisher::offering(config(&server.url("/"))).failed();
    assert_eq!(ended, Ended::NothingToDelete);
    failure
}

#[test]
fn handshake_is_done_before_the_offer_and_once() {
    in_its_own_process("handshake_is_done_before_the_offer_and_once", |file| {
        let identity = certificate();
        trust(file, &identity);
        let server = tls_server("127.0.0.1", &identity, session);
        // Not by a loopback address: those get no early connection.
        let endpoint = format!("https://0.0.0.0:{}/", server.port());
        let publisher = Publisher::start(config(&endpoint));
        server.wait_for_connection(BOUND).expect("a connection");
        publisher.tell(offer());
        publisher.answer();
        publisher.stop_and_delete();
        assert_eq!(server.connections(), 1);
    });
}

#[test]
fn trusted_certificates_carry_a_whole_session() {
    in_its_own_process("trusted_certificates_carry_a_whole_session", |file| {
        let identity = certificate();
        trust(file, &identity);
        let server = tls_server("127.0.0.1", &identity, session);
        let next = server.url("/");
        let first = tls_server("127.0.0.2", &identity, move |_| redirect(&next));
        let port = format!("127.0.0.1:{}", server.port());
        let mut config = config(&first.url("/"));
        config.redirect_hosts = gstivs::ivs::RedirectHosts::parse(&port).unwrap();
        Publisher::publishing(config).stop_and_delete();
        assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
        for request in server.requests() {
            assert_eq!(request.authorization(), Some(BEARER));
        }
    });
}

#[test]
fn untrusted_certificate_is_refused() {
    in_its_own_process("untrusted_certificate_is_refused", |file| {
        trust(file, &certificate());
        let server = tls_server("127.0.0.1", &certificate(), session);
        let failure = failure_at(&server);
        assert!(
            matches!(&failure.cause, Cause::Send(SendError::Tls(_))),
            "{failure:?}"
        );
        assert!(!failure.is_retryable());
        let text = failure.to_string();
        for part in [&server.origin(), "TLS handshake", "certificate"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(server.requests().len(), 0);
    });
}

#[test]
fn certificate_of_another_name_is_refused() {
    in_its_own_process("certificate_of_another_name_is_refused", |file| {
        let other = generate_simple_self_signed(["other.example".to_owned()]).unwrap();
        trust(file, &other);
        let server = tls_server("127.0.0.1", &other, session);
        let failure = failure_at(&server);
        assert!(
            matches!(&failure.cause, Cause::Send(SendError::Tls(_))),
            "{failure:?}"
        );
        assert_eq!(server.requests().len(), 0);
    });
}

#[test]
fn no_ca_certificates_stop_https_and_not_http() {
    in_its_own_process("no_ca_certificates_stop_https_and_not_http", |file| {
        std::fs::write(file, "").unwrap();
        let plain = whip_server("127.0.0.1");
        Publisher::publishing(config(&plain.url("/"))).stop_and_delete();

        let server = tls_server("127.0.0.1", &certificate(), session);
        let failure = failure_at(&server);
        assert_eq!(failure.cause, Cause::Send(SendError::NoCertificates));
        assert!(!failure.is_retryable());
        let text = failure.to_string();
        assert!(
            text.contains("ca-certificates") && text.contains("SSL_CERT_FILE"),
            "{text}"
        );
    });
}

#[test]
fn https_to_http_is_refused_with_and_without_a_token() {
    in_its_own_process(
        "https_to_http_is_refused_with_and_without_a_token",
        |file| {
            let identity = certificate();
            trust(file, &identity);
            let plain = whip_server("127.0.0.1");
            let next = plain.url("/");
            let server = tls_server("127.0.0.1", &identity, move |_| redirect(&next));
            for config in [config, config_without_token] {
                let (failure, ended) = Publisher::offering(config(&server.url("/"))).failed();
                let host = plain.origin();
                assert!(failure.to_string().contains(&host), "{failure}");
                assert_eq!(
                    failure.cause,
                    Cause::TokenDenied(TokenDenied::Downgrade { host })
                );
                assert_eq!(ended, Ended::NothingToDelete);
            }
            assert_eq!(plain.connections(), 0);
        },
    );
}

#[test]
fn http_resource_of_a_https_session_does_not_see_the_token() {
    in_its_own_process(
        "http_resource_of_a_https_session_does_not_see_the_token",
        |file| {
            let identity = certificate();
            trust(file, &identity);
            let plain = whip_server("127.0.0.1");
            let location = plain.url("/session/1");
            let server = tls_server("127.0.0.1", &identity, move |request| {
                created(&location, request)
            });
            let publisher = Publisher::offering(config(&server.url("/")));
            let events: Vec<Event> = (0..3).map(|_| publisher.next()).collect();
            assert_eq!(names(&events), ["connecting", "warning", "answer"]);
            let host = plain.origin();
            let denied = TokenDenied::Downgrade { host };
            assert_eq!(warnings(&events), [Warning::ResourceElsewhere(denied)]);
            publisher.stop_and_delete();
            assert_eq!(plain.requests()[0].authorization(), None);
        },
    );
}

#[test]
fn https_to_a_server_without_tls_is_a_tls_failure() {
    let server = Server::start_wrapped(
        "https",
        "127.0.0.1",
        |mut stream| {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            // Keeps the connection until the client closes it: a reset could arrive
            // before the reply.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
            None
        },
        |_| Action::Close,
    );
    let failure = failure_at(&server);
    assert!(
        matches!(&failure.cause, Cause::Send(SendError::Tls(_))),
        "{failure:?}"
    );
}
