//! WHIP (RFC 9725) as values.
//!
//! In: an endpoint, an offer, a token, HTTP replies. Out: the HTTP requests to send,
//! and what the replies mean.
//!
//! This module has no I/O, clock, logging, host name or GStreamer type. Requests and
//! replies are types of the `http` crate; the caller sends and receives them.
//!
//! ```text
//!  Endpoint ──► Post ──request()──► server
//!                ▲ │
//!   Redirect ────┘ └─read()─► Created ──► Answer      to the peer connection
//!   (307 …)           │          └──────► Resource ──trickling()─► PATCH
//!                     └─► PostError            └─────delete()───► DELETE, the end
//! ```
//!
//! Reading the reply consumes the `Post`, so a reply can't be matched with another URL
//! than the one it came from. The DELETE consumes the `Resource`, so a session can't be
//! ended twice.
//!
//! A whole exchange with a redirect:
//!
//! ```
//! use gstivs::whip::{Body, Endpoint, Offer, Post, Reply, Token, read_delete, Deleted};
//! use http::{Response, StatusCode};
//!
//! let endpoint = Endpoint::parse("https://global.example.net/").unwrap();
//! let token = Token::parse("eyJhbGciOi").unwrap();
//! let offer = Offer::new(
//!     "v=0\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\n",
//!     "stream",
//!     None,
//! )
//! .unwrap();
//!
//! // The global host redirects to a regional one.
//! let post = Post::new(&endpoint, offer);
//! let request = post.request(Some(&token));
//! assert_eq!(request.uri(), "https://global.example.net/");
//! let reply = Response::builder()
//!     .status(307)
//!     .header("location", "https://region.example.net/publish")
//!     .body(Body::Whole("".into()))
//!     .unwrap();
//! let Ok(Reply::Redirect(redirect)) = post.read(&reply) else { panic!("a redirect") };
//!
//! // The regional host creates the session. Its Location is relative to its own URL.
//! let post = redirect.to;
//! let reply = Response::builder()
//!     .status(201)
//!     .header("location", "/session/1")
//!     .body(Body::Whole(
//!         "v=0\r\ns=-\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:passive\r\n\
//!          a=fingerprint:sha-256 BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:\
//!          B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD\r\n\
//!          m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=recvonly\r\n"
//!             .into(),
//!     ))
//!     .unwrap();
//! let Ok(Reply::Created(created)) = post.read(&reply) else { panic!("a session") };
//! assert!(created.answer.is_ok());
//!
//! // Delete the session.
//! let request = created.resource.unwrap().delete(Some(&token));
//! assert_eq!(request.uri(), "https://region.example.net/session/1");
//! assert_eq!(read_delete(StatusCode::OK), Ok(Deleted::Done));
//! ```

mod answer;
#[cfg(test)]
mod answer_properties;
mod answer_repair;
mod bearer_token;
mod body;
mod endpoint;
mod fingerprint;
mod fragment;
mod link_header;
mod offer;
mod post;
mod refusal;
mod resource;
mod sdp;
mod tracks;
mod transport_wide;

pub use answer::{Answer, AnswerError};
pub use answer_repair::Repair;
pub use bearer_token::{Token, TokenError};
pub use body::Body;
pub use endpoint::{Endpoint, EndpointError, is_loopback, origin};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use fragment::Fragment;
pub use link_header::IceServer;
pub use offer::{Offer, OfferError};
pub use post::{Created, Deviation, MAX_HOPS, Post, PostError, Redirect, Reply};
pub use refusal::{Refusal, RetryAfter};
pub use resource::{
    DeleteError, Deleted, Resource, TrickleError, Trickling, read_delete, read_trickle,
};
pub use sdp::Direction;
pub use tracks::{MAX_TRACKS, Track, TracksError, check_tracks};

use http::header::{AUTHORIZATION, HeaderValue};
use http::{Method, Request, Uri};
use url::Url;

/// No parameters: some servers compare the whole header value.
const SDP: HeaderValue = HeaderValue::from_static("application/sdp");
const TRICKLE: HeaderValue = HeaderValue::from_static("application/trickle-ice-sdpfrag");

fn request(method: Method, url: &Url, token: Option<&Token>, body: String) -> Request<String> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    // Every http or https `Url` parses as a `Uri`: it is ASCII, with all else escaped.
    // The fallback has no host, so it can't be sent.
    *request.uri_mut() = url.as_str().parse().unwrap_or_else(|_| Uri::default());
    if let Some(token) = token {
        request
            .headers_mut()
            .insert(AUTHORIZATION, token.authorization());
    }
    request
}
