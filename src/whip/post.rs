//! The POST and its redirects: from an offer to a session on the server.

use std::fmt;

use http::header::{CONTENT_TYPE, LOCATION};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use url::Url;

use super::answer::{Answer, AnswerError};
use super::bearer_token::Token;
use super::body::Body;
use super::endpoint::{Endpoint, MAX_URL, origin};
use super::link_header::{IceServer, ice_servers};
use super::offer::Offer;
use super::refusal::Refusal;
use super::resource::Resource;
use super::{SDP, request};

/// The most redirects that a POST follows. RFC 9110 15.4 leaves the limit to the
/// client. IVS redirects more than once; other clients stop after 5 to 10.
pub const MAX_HOPS: usize = 10;

/// A POST to send: the offer and the current URL.
///
/// Reading the reply consumes it, so a reply is always matched with the URL that it
/// came from.
#[derive(Debug)]
pub struct Post {
    offer: Offer,
    url: Url,
    asked: Vec<Url>,
}

impl Post {
    /// The first POST of an offer, to the endpoint.
    pub fn new(endpoint: &Endpoint, offer: Offer) -> Self {
        Self {
            offer,
            url: endpoint.url().clone(),
            asked: Vec::new(),
        }
    }

    /// The URL that this POST goes to.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The request to send (RFC 9725 4.2). Without a token it has no `Authorization`
    /// header (RFC 9725 4.7).
    pub fn request(&self, token: Option<&Token>) -> Request<String> {
        let mut request = request(http::Method::POST, &self.url, token, self.offer.text());
        request.headers_mut().insert(CONTENT_TYPE, SDP);
        request
    }

    /// The session that a reply's status and headers announce, so that it can be
    /// deleted even if the body never arrives. `None` if the status is no success, or
    /// `Location` is missing, not an http or https URL, or longer than 8 KB.
    pub fn resource(&self, status: StatusCode, headers: &HeaderMap) -> Option<Resource> {
        if !status.is_success() {
            return None;
        }
        let url = self.session_url(headers)?;
        (url.as_str().len() <= MAX_URL).then(|| Resource::new(url, headers))
    }

    fn session_url(&self, headers: &HeaderMap) -> Option<Url> {
        let location = location(headers)?.to_str().ok()?;
        // Relative to the URL that answered (RFC 9110 10.2.2), which after a redirect
        // is not the endpoint.
        let url = self.url.join(location).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(url)
    }

    /// Reads the reply.
    ///
    /// # Errors
    /// [`PostError`] if the server refuses the offer, or redirects in a way that can't
    /// be followed.
    pub fn read(self, response: &Response<Body>) -> Result<Reply, PostError> {
        match response.status().as_u16() {
            200..300 => Ok(Reply::Created(self.created(response))),
            301 | 302 | 307 | 308 => self.redirected(response).map(Reply::Redirect),
            300..400 => Err(PostError::OtherRedirect {
                status: response.status(),
            }),
            _ => Err(PostError::Refused(Refusal::read(response))),
        }
    }

    fn created(&self, response: &Response<Body>) -> Created {
        let (status, headers) = (response.status(), response.headers());
        let resource = self.resource(status, headers);
        let answer = Answer::read(response.body(), &self.offer).map_err(|error| match error {
            AnswerError::NotSdp | AnswerError::TooLong => web_page(response).unwrap_or(error),
            error => error,
        });
        if answer == Err(AnswerError::WebPage) {
            // Not of a WHIP server, so that it deviates from WHIP is no news.
            return Created {
                answer,
                ice_servers: Vec::new(),
                resource,
                deviations: Vec::new(),
            };
        }
        let mut deviations = Vec::new();
        if status != StatusCode::CREATED {
            deviations.push(Deviation::Status(status));
        }
        if resource.is_none() {
            deviations.push(match self.session_url(headers) {
                Some(_) => Deviation::LocationTooLong,
                None => Deviation::NoLocation,
            });
        }
        Created {
            answer,
            ice_servers: ice_servers(headers),
            resource,
            deviations,
        }
    }

    fn redirected(mut self, response: &Response<Body>) -> Result<Redirect, PostError> {
        let status = response.status();
        let location = location(response.headers()).ok_or(PostError::NoLocation { status })?;
        let bad_location = || PostError::BadLocation { status };
        let text = location.to_str().map_err(|_| bad_location())?;
        let mut next = self.url.join(text).map_err(|_| bad_location())?;
        if !matches!(next.scheme(), "http" | "https") || next.host().is_none() {
            return Err(bad_location());
        }
        next.set_fragment(None);
        if next.as_str().len() > MAX_URL {
            return Err(PostError::LocationTooLong { status });
        }
        let from = std::mem::replace(&mut self.url, next);
        self.asked.push(from.clone());
        if self.asked.contains(&self.url) {
            return Err(PostError::Loop {
                host: origin(&self.url),
            });
        }
        if self.asked.len() > MAX_HOPS {
            return Err(PostError::TooManyHops);
        }
        Ok(Redirect { from, to: self })
    }
}

fn web_page(response: &Response<Body>) -> Option<AnswerError> {
    let content_type = response.headers().get(CONTENT_TYPE);
    let is_html = content_type.is_some_and(|value| {
        let value = value.as_bytes().to_ascii_lowercase();
        value.starts_with(b"text/html")
    });
    let body = response.body().bytes().trim_ascii();
    let is_page = body.starts_with(b"<") || (is_html && !body.is_empty());
    is_page.then_some(AnswerError::WebPage)
}

/// The `Location` header. An empty one and a mere fragment count as none: they resolve
/// to the URL that answered, and the DELETE would go to the endpoint.
fn location(headers: &HeaderMap) -> Option<&HeaderValue> {
    let location = headers.get(LOCATION)?;
    let bytes = location.as_bytes().trim_ascii();
    (!bytes.is_empty() && !bytes.starts_with(b"#")).then_some(location)
}

/// A reply to the POST that is not an error.
#[derive(Debug)]
pub enum Reply {
    /// Send the POST to another URL.
    Redirect(Redirect),
    /// The server created a session.
    Created(Created),
}

/// A redirect. RFC 9725 does not say whether the token may follow it, so the caller
/// decides, from both URLs.
#[derive(Debug)]
pub struct Redirect {
    /// The URL that redirected.
    pub from: Url,
    /// The POST to send next.
    pub to: Post,
}

/// A session that the server created. It exists until its resource is deleted, even if
/// the answer is unusable.
#[derive(Debug)]
pub struct Created {
    /// The SDP answer.
    pub answer: Result<Answer, AnswerError>,
    /// The session's resource. Without one the session can't be deleted.
    pub resource: Option<Resource>,
    /// STUN and TURN servers from the `Link` headers.
    pub ice_servers: Vec<IceServer>,
    /// Deviations from the RFC that do not prevent publishing.
    pub deviations: Vec<Deviation>,
}

/// A tolerable deviation of a reply from the RFC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deviation {
    /// A success status other than 201 (Monibuca and early Broadcast Box send 200).
    Status(StatusCode),
    /// No usable `Location` (Twitch, go2rtc): the session can't be deleted.
    NoLocation,
    /// A `Location` of more than 8 KB: the session can't be deleted.
    LocationTooLong,
}

impl fmt::Display for Deviation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => {
                write!(
                    f,
                    "the server answered {} where WHIP has 201",
                    status.as_u16()
                )
            }
            Self::NoLocation => f.write_str(
                "the server named no session URL (Location), so the session can't be deleted \
                 at stop and ends when the server notices",
            ),
            Self::LocationTooLong => write!(
                f,
                "the server's session URL (Location) has more than {} KB, so the session can't \
                 be deleted at stop and ends when the server notices",
                MAX_URL / 1024
            ),
        }
    }
}

/// Why a POST created no session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostError {
    /// The server refused the offer.
    Refused(Refusal),
    /// A redirect without `Location`.
    NoLocation {
        /// The redirect's status.
        status: StatusCode,
    },
    /// A redirect whose `Location` is not an http or https URL.
    BadLocation {
        /// The redirect's status.
        status: StatusCode,
    },
    /// A redirect to a URL of more than 8 KB.
    LocationTooLong {
        /// The redirect's status.
        status: StatusCode,
    },
    /// A redirect to a URL that this POST was already sent to.
    Loop {
        /// Scheme, host and port of that URL.
        host: String,
    },
    /// More than [`MAX_HOPS`] redirects.
    TooManyHops,
    /// A 3xx that does not repeat the POST: 303 turns it into a GET, the others name no
    /// single next URL.
    OtherRedirect {
        /// The status.
        status: StatusCode,
    },
}

impl PostError {
    /// The HTTP status of the reply that caused the error. `None` for a loop and for
    /// too many redirects.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused(refusal) => Some(refusal.status),
            Self::NoLocation { status }
            | Self::BadLocation { status }
            | Self::LocationTooLong { status }
            | Self::OtherRedirect { status } => Some(*status),
            Self::Loop { .. } | Self::TooManyHops => None,
        }
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "the offer was refused: {refusal}"),
            Self::NoLocation { status } => {
                write!(
                    f,
                    "the server redirects (HTTP {}) without saying where to",
                    status.as_u16()
                )
            }
            Self::BadLocation { status } => write!(
                f,
                "the server redirects (HTTP {}) to something that is not an http or https URL",
                status.as_u16()
            ),
            Self::LocationTooLong { status } => write!(
                f,
                "the server redirects (HTTP {}) to a URL of more than {} KB",
                status.as_u16(),
                MAX_URL / 1024
            ),
            Self::Loop { host } => write!(f, "the redirects form a loop through {host}"),
            Self::TooManyHops => write!(f, "there are more than {MAX_HOPS} redirects"),
            Self::OtherRedirect { status } => write!(
                f,
                "the server redirects with HTTP {}, which does not repeat a POST \
                 (WHIP servers use 307)",
                status.as_u16()
            ),
        }
    }
}

impl std::error::Error for PostError {}

#[cfg(test)]
#[path = "post_tests.rs"]
mod tests;
