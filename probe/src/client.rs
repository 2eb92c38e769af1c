//! The HTTP client: single requests, and a POST with its redirects.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use gstivs::ivs::{RedirectHosts, may_have_token};
use gstivs::whip::{Body, Created, Endpoint, Offer, Post, PostError, Refusal, Reply, Token};
use http::{HeaderMap, Request, Response, StatusCode};
use url::Url;

use crate::no_reply::NoReply;

/// The time limit for each request of a POST's redirects. Public clients of IVS
/// have needed more than ten seconds for all of them.
const POST_TIMEOUT: Duration = Duration::from_secs(15);

/// The time limit for other requests, during which a session stays open.
const SHORT_TIMEOUT: Duration = Duration::from_secs(5);

/// Far larger than any SDP answer.
const BODY_CAP: usize = 512 * 1024;

pub(crate) struct Client {
    proxied: reqwest::Client,
    /// For servers on this machine, whose token no proxy may see.
    direct: reqwest::Client,
    /// Whether the system has CA certificates to check a server's against.
    has_certificates: bool,
}

/// A POST with its redirects.
pub(crate) struct PostExchange {
    pub(crate) hops: Vec<Hop>,
    pub(crate) took: Duration,
    pub(crate) end: PostEnd,
}

/// One reply on the way.
pub(crate) struct Hop {
    pub(crate) url: Url,
    pub(crate) status: StatusCode,
    pub(crate) took: Duration,
}

pub(crate) enum PostEnd {
    /// The server made a session.
    Created(Box<CreatedSession>),
    /// The server refused the offer.
    Refused(Refusal),
    /// Any other end, described for a person.
    Other(String),
    /// No reply came. There may be a session all the same.
    NoReply(NoReply),
}

/// A session that a server has made.
pub(crate) struct CreatedSession {
    pub(crate) created: Created,
    pub(crate) status: StatusCode,
    /// The URL that answered, after all redirects.
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// The answer as received, before the plugin repairs it.
    pub(crate) answer: String,
    /// The token for requests to the session, if its host may have it.
    pub(crate) token: Option<Token>,
}

impl Client {
    pub(crate) fn new() -> Result<Self, Box<dyn Error>> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Ok(Self {
            has_certificates: !roots.is_empty(),
            proxied: builder(roots.clone())?.build()?,
            direct: builder(roots)?.no_proxy().build()?,
        })
    }

    /// Sends a single request, without following redirects.
    pub(crate) async fn send(&self, request: Request<String>) -> Result<Response<Body>, NoReply> {
        self.send_within(request, SHORT_TIMEOUT).await
    }

    /// POSTs an offer and follows redirects by the element's rules. Sends `body`,
    /// which may differ from the text of the offer.
    pub(crate) async fn post(
        &self,
        endpoint: &Endpoint,
        token: &Token,
        offer: Offer,
        body: &str,
    ) -> PostExchange {
        let start = Instant::now();
        let mut hops = Vec::new();
        let mut post = Post::new(endpoint, offer);
        let end = loop {
            let asked = Instant::now();
            let mut request = post.request(Some(token));
            body.clone_into(request.body_mut());
            let reply = match self.send_within(request, POST_TIMEOUT).await {
                Ok(reply) => reply,
                Err(no_reply) => break PostEnd::NoReply(no_reply),
            };
            hops.push(Hop {
                url: post.url().clone(),
                status: reply.status(),
                took: asked.elapsed(),
            });
            match read(post, reply, token) {
                Ok(next) => post = next,
                Err(end) => break end,
            }
        };
        PostExchange {
            hops,
            took: start.elapsed(),
            end,
        }
    }

    async fn send_within(
        &self,
        request: Request<String>,
        bound: Duration,
    ) -> Result<Response<Body>, NoReply> {
        let explain = |error| NoReply::of(error, self.has_certificates);
        let request = reqwest::Request::try_from(request).map_err(explain)?;
        let client = if gstivs::whip::is_loopback(request.url()) {
            &self.direct
        } else {
            &self.proxied
        };
        let deadline = tokio::time::Instant::now() + bound;
        let reply = tokio::time::timeout_at(deadline, client.execute(request)).await;
        let reply = reply.map_err(|_| NoReply::timeout())?.map_err(explain)?;
        let (status, headers) = (reply.status(), reply.headers().clone());
        // The headers may name a session even if the body breaks off.
        let body = tokio::time::timeout_at(deadline, read_body(reply)).await;
        let mut response = Response::new(body.unwrap_or(Body::Broken(bytes::Bytes::new())));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// Returns the next POST after a redirect, or how the exchange ends.
fn read(post: Post, reply: Response<Body>, token: &Token) -> Result<Post, PostEnd> {
    let url = post.url().clone();
    let listed = RedirectHosts::default();
    match post.read(&reply) {
        Ok(Reply::Redirect(redirect)) => {
            match may_have_token(&redirect.from, redirect.to.url(), &listed) {
                Ok(()) => Ok(redirect.to),
                Err(denied) => Err(PostEnd::Other(denied.to_string())),
            }
        }
        Ok(Reply::Created(created)) => {
            let resource = created.resource.as_ref();
            let may = |to: &Url| may_have_token(&url, to, &listed).is_ok();
            let allowed = resource.is_some_and(|resource| may(resource.url()));
            Err(PostEnd::Created(Box::new(CreatedSession {
                token: allowed.then(|| token.clone()),
                created,
                status: reply.status(),
                url,
                answer: String::from_utf8_lossy(reply.body().bytes()).into_owned(),
                headers: reply.headers().clone(),
            })))
        }
        Err(PostError::Refused(refusal)) => Err(PostEnd::Refused(refusal)),
        Err(error) => Err(PostEnd::Other(error.to_string())),
    }
}

async fn read_body(mut reply: reqwest::Response) -> Body {
    let mut read = BytesMut::new();
    loop {
        match reply.chunk().await {
            Ok(Some(chunk)) if read.len() + chunk.len() > BODY_CAP => {
                return Body::TooLong(read.freeze());
            }
            Ok(Some(chunk)) => read.extend_from_slice(&chunk),
            Ok(None) => return Body::Whole(read.freeze()),
            Err(_) => return Body::Broken(read.freeze()),
        }
    }
}

fn builder(roots: rustls::RootCertStore) -> Result<reqwest::ClientBuilder, Box<dyn Error>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(10))
        .user_agent(concat!("ivs-stage-probe/", env!("CARGO_PKG_VERSION"))))
}
