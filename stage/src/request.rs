//! Reads a request's token, content type and body.

use std::error::Error;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

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

/// Reads the whole body. Fails if it is longer than [`BODY_LIMIT`].
pub(crate) async fn read_body(body: Incoming) -> Result<Bytes, Box<dyn Error + Send + Sync>> {
    let body = Limited::new(body, BODY_LIMIT).collect().await?;
    Ok(body.to_bytes())
}
