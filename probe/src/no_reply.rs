//! Why a request got no reply.

use std::error::Error;
use std::fmt;
use std::io;

use gstivs::session::SendError;

/// The reason, displayed for a person.
pub(crate) struct NoReply(SendError);

impl NoReply {
    pub(crate) fn timeout() -> Self {
        Self(SendError::Timeout)
    }

    /// Finds the cause that a person can act on in the client's chain of errors.
    /// Leaves the URL out, since its path can be a secret.
    pub(crate) fn of(error: reqwest::Error, has_certificates: bool) -> Self {
        let error = error.without_url();
        if error.is_timeout() {
            return Self::timeout();
        }
        let mut innermost: &(dyn Error + 'static) = &error;
        let mut cause = Some(innermost);
        while let Some(error) = cause {
            if let Some(known) = explain(error, has_certificates) {
                return Self(known);
            }
            innermost = error;
            cause = error.source();
        }
        Self(SendError::Other(innermost.to_string()))
    }

    /// Whether the server may have received the request and acted on it.
    pub(crate) fn may_have_arrived(&self) -> bool {
        matches!(
            self.0,
            SendError::Timeout | SendError::Closed | SendError::Other(_)
        )
    }
}

impl fmt::Display for NoReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            SendError::Timeout => f.write_str("timed out"),
            SendError::UnknownHost => f.write_str("the host name does not resolve"),
            SendError::ConnectionRefused => f.write_str("connection refused"),
            SendError::Closed => f.write_str("the server closed the connection"),
            other => other.fmt(f),
        }
    }
}

fn explain(error: &(dyn Error + 'static), has_certificates: bool) -> Option<SendError> {
    if error.to_string().starts_with("dns error") {
        return Some(SendError::UnknownHost);
    }
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return error.is_incomplete_message().then_some(SendError::Closed);
    }
    explain_io(error.downcast_ref()?, has_certificates)
}

fn explain_io(error: &io::Error, has_certificates: bool) -> Option<SendError> {
    let inner = error.get_ref();
    // The HTTPS connector wraps the error of the TLS handshake in an `io::Error`.
    if let Some(nested) = inner.and_then(|inner| inner.downcast_ref()) {
        return explain_io(nested, has_certificates);
    }
    let tls = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match (tls, error.kind()) {
        (Some(rustls::Error::InvalidCertificate(_)), _) if !has_certificates => {
            Some(SendError::NoCertificates)
        }
        (Some(tls), _) => Some(SendError::Tls(tls.to_string())),
        (None, io::ErrorKind::ConnectionRefused) => Some(SendError::ConnectionRefused),
        (None, io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof) => {
            Some(SendError::Closed)
        }
        // The kind has a text without an error number, such as "network unreachable".
        (None, kind) => error
            .raw_os_error()
            .map(|_| SendError::Other(kind.to_string())),
    }
}
