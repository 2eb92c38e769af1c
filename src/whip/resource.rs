//! The session's resource: PATCH sends candidates, DELETE ends the session.

use std::fmt;

use http::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderName, IF_MATCH};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use url::Url;

use super::bearer_token::Token;
use super::endpoint::origin;
use super::fragment::Fragment;
use super::{TRICKLE, request};

const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// A WHIP session on its server. Whoever knows its URL can end the session
/// (RFC 9725 5), so `Debug` hides it.
#[derive(PartialEq, Eq)]
pub struct Resource {
    url: Url,
    etag: Option<HeaderValue>,
    accepts_patch: bool,
}

impl Resource {
    pub(super) fn new(url: Url, headers: &HeaderMap) -> Self {
        Self {
            url,
            // Sent back byte for byte: servers send it quoted, bare and weak.
            etag: headers.get(ETAG).cloned(),
            accepts_patch: headers.contains_key(ACCEPT_PATCH),
        }
    }

    /// The URL, to decide whether the token may go there. A secret.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Scheme, host and port, the part that a message may show.
    pub fn host(&self) -> String {
        origin(&self.url)
    }

    /// Whether the server shows that it accepts PATCH, by an `ETag` (RFC 9725 4.3.1) or
    /// `Accept-Patch` header. IVS sends neither.
    pub fn can_trickle(&self) -> bool {
        self.etag.is_some() || self.accepts_patch
    }

    /// A copy of what a PATCH with gathered candidates needs. The resource itself stays
    /// available for the DELETE.
    pub fn trickling(&self) -> Trickling {
        Trickling {
            url: self.url.clone(),
            etag: self.etag.clone(),
        }
    }

    /// The DELETE that ends the session. It has no `If-Match` (RFC 9725 4.3.1): Galene
    /// would evaluate it. A refused one can be repeated with another token.
    pub fn delete(&self, token: Option<&Token>) -> Request<String> {
        request(Method::DELETE, &self.url, token, String::new())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resource({})", self.host())
    }
}

/// The data for the PATCH requests of a [`Resource`].
#[derive(Clone, PartialEq, Eq)]
pub struct Trickling {
    url: Url,
    etag: Option<HeaderValue>,
}

impl Trickling {
    /// The PATCH that carries gathered candidates (RFC 9725 4.3.2).
    pub fn patch(&self, token: Option<&Token>, fragment: &Fragment) -> Request<String> {
        let mut request = request(Method::PATCH, &self.url, token, fragment.text());
        request.headers_mut().insert(CONTENT_TYPE, TRICKLE);
        request.headers_mut().insert(ACCEPT, TRICKLE);
        if let Some(etag) = &self.etag {
            request.headers_mut().insert(IF_MATCH, etag.clone());
        }
        request
    }
}

impl fmt::Debug for Trickling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trickling({})", origin(&self.url))
    }
}

/// Reads the reply to the DELETE. Any 2xx has ended the session. 404 and 410 mean that
/// it had ended before, which is a success too.
///
/// # Errors
/// [`DeleteError`] for any other status: the session may still exist on the server.
pub fn read_delete(status: StatusCode) -> Result<Deleted, DeleteError> {
    match status.as_u16() {
        200..300 => Ok(Deleted::Done),
        404 | 410 => Ok(Deleted::AlreadyGone),
        _ => Err(DeleteError { status }),
    }
}

/// What a successful DELETE found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The DELETE ended the session.
    Done,
    /// The session had ended before.
    AlreadyGone,
}

/// A DELETE that the server refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeleteError {
    /// The HTTP status.
    pub status: StatusCode,
}

impl fmt::Display for DeleteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server answered {} to DELETE", self.status.as_u16())
    }
}

impl std::error::Error for DeleteError {}

/// Reads the reply to a trickle PATCH.
///
/// # Errors
/// [`TrickleError`] for any status but 2xx. No such error is a reason to end the
/// session.
pub fn read_trickle(status: StatusCode) -> Result<(), TrickleError> {
    match status.as_u16() {
        200..300 => Ok(()),
        404 | 410 => Err(TrickleError::Gone { status }),
        412 | 428 => Err(TrickleError::Precondition { status }),
        400 | 405 | 406 | 415 | 422 | 501 => Err(TrickleError::Unsupported { status }),
        _ => Err(TrickleError::Failed { status }),
    }
}

/// Why a trickle PATCH failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrickleError {
    /// The server does not know the session.
    Gone {
        /// The HTTP status.
        status: StatusCode,
    },
    /// The server expects another ETag (RFC 9725 4.3.1).
    Precondition {
        /// The HTTP status.
        status: StatusCode,
    },
    /// The server does not accept trickled candidates.
    Unsupported {
        /// The HTTP status.
        status: StatusCode,
    },
    /// Any other status.
    Failed {
        /// The HTTP status.
        status: StatusCode,
    },
}

impl fmt::Display for TrickleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (words, status) = match self {
            Self::Gone { status } => ("the server does not know the session", status),
            Self::Precondition { status } => ("the server expects another ETag", status),
            Self::Unsupported { status } => ("the server takes no trickled candidates", status),
            Self::Failed { status } => {
                ("the server did not accept the trickled candidates", status)
            }
        };
        write!(f, "{words} (HTTP {})", status.as_u16())
    }
}

impl std::error::Error for TrickleError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(headers: &[(&'static str, &'static str)]) -> Resource {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        Resource::new(
            Url::parse("https://host.example/session/secret?k=1").unwrap(),
            &headers,
        )
    }

    fn fragment() -> Fragment {
        Fragment::new(
            "u",
            "p",
            "audio0",
            &["candidate:1 1 UDP 1 192.0.2.1 9 typ host".to_owned()],
            true,
        )
    }

    #[test]
    fn etag_is_echoed_untouched() {
        for etag in ["\"abc\"", "W/\"abc\"", "abc", "*"] {
            let resource = resource(&[("etag", etag)]);
            assert!(resource.can_trickle());
            let request = resource.trickling().patch(None, &fragment());
            assert_eq!(request.headers()[IF_MATCH], etag);
            assert_eq!(
                request.headers()[CONTENT_TYPE],
                "application/trickle-ice-sdpfrag"
            );
            assert!(!resource.delete(None).headers().contains_key(IF_MATCH));
        }
    }

    #[test]
    fn trickles_only_where_the_server_shows_that_it_can() {
        assert!(!resource(&[]).can_trickle());
        assert!(resource(&[("accept-patch", "application/trickle-ice-sdpfrag")]).can_trickle());
    }

    #[test]
    fn token_goes_along_and_nothing_is_shown() {
        let token = Token::parse("secret").unwrap();
        let resource = resource(&[]);
        assert_eq!(format!("{resource:?}"), "Resource(https://host.example)");
        let request = resource.delete(Some(&token));
        assert_eq!(request.headers()["authorization"], "Bearer secret");
        assert_eq!(request.uri(), "https://host.example/session/secret?k=1");
        assert!(!format!("{:?}", request.headers()).contains("secret"));
    }

    #[test]
    fn delete_replies() {
        assert_eq!(read_delete(StatusCode::OK), Ok(Deleted::Done));
        assert_eq!(read_delete(StatusCode::NO_CONTENT), Ok(Deleted::Done));
        assert_eq!(read_delete(StatusCode::NOT_FOUND), Ok(Deleted::AlreadyGone));
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        assert_eq!(read_delete(status), Err(DeleteError { status }));
    }

    #[test]
    fn trickle_replies() {
        let read = |code| read_trickle(StatusCode::from_u16(code).unwrap());
        let status = |code| StatusCode::from_u16(code).unwrap();
        assert_eq!(read(204), Ok(()));
        assert_eq!(
            read(404),
            Err(TrickleError::Gone {
                status: status(404)
            })
        );
        assert_eq!(
            read(412),
            Err(TrickleError::Precondition {
                status: status(412)
            })
        );
        assert_eq!(
            read(405),
            Err(TrickleError::Unsupported {
                status: status(405)
            })
        );
        assert_eq!(
            read(500),
            Err(TrickleError::Failed {
                status: status(500)
            })
        );
    }
}
