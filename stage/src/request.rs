//! Reads a request's token, content type and body.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

/// Maximum length of a body, in bytes.
const BODY_LIMIT: usize = 256 * 1024;

/// The token of `Authorization: Bearer …` (RFC 6750 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether `Content-Type` is this one, without parameters.
pub(crate) fn has_type(headers: &HeaderMap, kind: &str) -> bool {
    let value = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    value.is_some_and(|value| value.eq_ignore_ascii_case(kind.as_bytes()))
}

/// Why there is no body.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It did not arrive in time.
    Late,
    /// The connection failed, or it is longer than [`BODY_LIMIT`].
    Failed(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Late => f.write_str("it did not arrive in time"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl BodyError {
    pub(crate) fn status(&self) -> u16 {
        let status = match self {
            Self::Late => StatusCode::REQUEST_TIMEOUT,
            Self::Failed(_) => StatusCode::BAD_REQUEST,
        };
        status.as_u16()
    }
}

/// Reads the whole body. It must arrive within `bound`.
pub(crate) async fn read_body(body: Incoming, bound: Duration) -> Result<Bytes, BodyError> {
    match timeout(bound, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(read) => Ok(read.map_err(BodyError::Failed)?.to_bytes()),
        Err(_) => Err(BodyError::Late),
    }
}
