//! Sends one request and reads one reply, with limits on time and size.

use std::error::Error;
use std::fmt;
use std::io;

use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::early_connection::with_early;
use super::process::Process;
use super::proxy::{self, Proxy, ProxyProblem};
use crate::whip::Body;

/// The longest body that is read, in bytes. A WHIP answer has a few KB; the limit
/// keeps a broken or hostile server from filling the memory.
const BODY_CAP: usize = 512 * 1024;

/// Sends a request and reads the reply, its body up to [`BODY_CAP`].
///
/// After the head has arrived, neither the deadline nor a stop is an error: the
/// head may name a session that has to be deleted. [`Body::Broken`] then tells
/// that the body is incomplete.
pub(super) async fn send(
    process: &Process,
    request: Request<String>,
    deadline: Option<Instant>,
    stop: &mut watch::Receiver<bool>,
) -> Result<Response<Body>, SendError> {
    let request = reqwest::Request::try_from(request);
    let request = request.map_err(|error| process.explain(error, None))?;
    let client = process.client_for(request.url());
    let proxy = process.proxy_for(request.url());
    let url = request.url().clone();
    let answered = with_early(&url, client.execute(request));
    let answered = bounded(deadline, answered).await;
    let reply = match (answered, proxy) {
        (Some(Ok(reply)), Some(proxy))
            if reply.status() == StatusCode::PROXY_AUTHENTICATION_REQUIRED =>
        {
            let problem = ProxyProblem::NotAuthorized;
            return Err(SendError::Proxy { proxy, problem });
        }
        (Some(Ok(reply)), _) => reply,
        (Some(Err(error)), proxy) => return Err(process.explain(error, proxy)),
        (None, proxy) => return Err(SendError::timeout(proxy)),
    };

    let mut response = Response::builder().status(reply.status());
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(reply.headers());
    }
    let body = tokio::select! {
        body = read_body(reply, deadline) => body,
        _ = stop.wait_for(|stop| *stop) => Body::Broken(Bytes::new()),
    };
    response
        .body(body)
        .map_err(|error| SendError::Other(error.to_string()))
}

async fn read_body(mut reply: reqwest::Response, deadline: Option<Instant>) -> Body {
    let mut read = BytesMut::new();
    loop {
        match bounded(deadline, reply.chunk()).await {
            Some(Ok(Some(chunk))) => {
                let room = BODY_CAP - read.len();
                read.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if chunk.len() > room {
                    return Body::TooLong(read.freeze());
                }
            }
            Some(Ok(None)) => return Body::Whole(read.freeze()),
            Some(Err(_)) | None => return Body::Broken(read.freeze()),
        }
    }
}

async fn bounded<T>(deadline: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, work).await.ok(),
        None => Some(work.await),
    }
}

/// Why a request got no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No reply came within the time limit.
    Timeout,
    /// The host's name does not resolve.
    UnknownHost,
    /// Nothing listens at the address.
    ConnectionRefused,
    /// The system has no CA certificates, so no server can be trusted.
    NoCertificates,
    /// The TLS handshake failed.
    Tls(String),
    /// The server's certificate is not valid at the current time. On a machine
    /// that has just started, the clock is more often wrong than the certificate.
    CertificateNotValidNow(String),
    /// The connection ended before a reply came.
    Closed,
    /// The request went to a proxy, and came no further.
    Proxy {
        /// The proxy.
        proxy: Proxy,
        /// What went wrong.
        problem: ProxyProblem,
    },
    /// Any other error, as the HTTP client's text.
    Other(String),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no reply came in time"),
            Self::UnknownHost => f.write_str("the host's name does not resolve"),
            Self::ConnectionRefused => f.write_str("nothing listens there (connection refused)"),
            Self::NoCertificates => f.write_str(
                "this system has no CA certificates, so no https server can be trusted; \
                 install them (Debian: apt install ca-certificates) or set SSL_CERT_FILE",
            ),
            Self::CertificateNotValidNow(reason) => write!(
                f,
                "the server's certificate is not valid by this computer's clock: {reason}"
            ),
            Self::Tls(reason) => write!(f, "the TLS handshake failed: {reason}"),
            Self::Closed => f.write_str("the server closed the connection without a reply"),
            Self::Proxy { proxy, problem } => write!(f, "{proxy} {problem}"),
            Self::Other(reason) => f.write_str(reason),
        }
    }
}

impl Error for SendError {}

impl SendError {
    fn timeout(proxy: Option<Proxy>) -> Self {
        let problem = ProxyProblem::Timeout;
        proxy.map_or(Self::Timeout, |proxy| Self::Proxy { proxy, problem })
    }
}

impl Process {
    /// Finds the cause in the client's error chain that a user can act on.
    /// The URL is removed, since its path can be a secret. `proxy` is the one
    /// that the request went to.
    fn explain(&self, error: reqwest::Error, proxy: Option<Proxy>) -> SendError {
        let error = error.without_url();
        if error.is_timeout() {
            return SendError::timeout(proxy);
        }
        let causes = causes(&error);
        if let (Some(proxy), Some(problem)) = (proxy, proxy::problem(&causes)) {
            return SendError::Proxy { proxy, problem };
        }
        for cause in &causes {
            if cause.to_string().starts_with("dns error") {
                return SendError::UnknownHost;
            }
            if let Some(explained) = cause.downcast_ref().and_then(|io| self.explain_io(io)) {
                return explained;
            }
            if cause
                .downcast_ref::<hyper::Error>()
                .is_some_and(hyper::Error::is_incomplete_message)
            {
                return SendError::Closed;
            }
        }
        let words: Vec<String> = causes.iter().map(ToString::to_string).collect();
        SendError::Other(words.join(": "))
    }

    fn explain_io(&self, error: &io::Error) -> Option<SendError> {
        let inner = error.get_ref();
        // The HTTPS connector wraps the handshake's error in another I/O error.
        if let Some(nested) = inner.and_then(|inner| inner.downcast_ref()) {
            return self.explain_io(nested);
        }
        let inner = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
        match (inner, error.kind()) {
            (Some(rustls::Error::InvalidCertificate(_)), _) if !self.has_certificates => {
                Some(SendError::NoCertificates)
            }
            (Some(rustls::Error::InvalidCertificate(error)), _) if is_about_dates(error) => {
                Some(SendError::CertificateNotValidNow(error.to_string()))
            }
            (Some(tls), _) => Some(SendError::Tls(tls.to_string())),
            (None, io::ErrorKind::ConnectionRefused) => Some(SendError::ConnectionRefused),
            (None, io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
                Some(SendError::Closed)
            }
            _ => None,
        }
    }
}

fn is_about_dates(error: &rustls::CertificateError) -> bool {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    matches!(
        error,
        Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. }
    )
}

/// An error and its sources, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut causes = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        causes.push(error);
        next = error.source();
    }
    causes
}
