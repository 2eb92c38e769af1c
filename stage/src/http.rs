//! The HTTP half: listeners, routes and replies, by RFC 9725 and by what is
//! known of IVS.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;

use crate::publish;
use crate::record::{Happening, Record};
use crate::site::Site;

/// What every route answers with.
pub(crate) type Reply = Response<Full<Bytes>>;

/// Path under which a session's URL lies, as on IVS.
pub(crate) const SESSION_PATH: &str = "/session/";

/// Starts to serve one listener. Called on the stage's runtime.
pub(crate) fn serve(site: &Arc<Site>, place: usize, listener: TcpListener) {
    let record = Arc::clone(&site.record);
    watch(&record, accept(Arc::clone(site), place, listener));
}

/// Runs a task whose panic is told to whoever looks at the stage, and not
/// swallowed with the task.
pub(crate) fn watch(record: &Arc<Record>, task: impl Future<Output = ()> + Send + 'static) {
    let record = Arc::clone(record);
    let task = tokio::spawn(task);
    tokio::spawn(async move {
        if let Err(error) = task.await
            && error.is_panic()
        {
            record.fail(format!(
                "a task panicked: {}",
                panic_text(&*error.into_panic())
            ));
        }
    });
}

fn panic_text(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("no text")
}

async fn accept(site: Arc<Site>, place: usize, listener: TcpListener) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return site.record.fail(format!("a listener is unusable: {error}")),
    };
    loop {
        // Errors are of single connections: reset before they were taken.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        // A reply is one small packet; waiting for more only costs time.
        let _ = stream.set_nodelay(true);
        let record = Arc::clone(&site.record);
        let site = Arc::clone(&site);
        watch(&record, async move {
            let routes = service_fn(|request| {
                let site = Arc::clone(&site);
                async move { Ok::<_, Infallible>(route(&site, place, request).await) }
            });
            let io = TokioIo::new(stream);
            // A connection ends in an error when the client cuts it.
            let _ = http1::Builder::new().serve_connection(io, routes).await;
        });
    }
}

async fn route(site: &Arc<Site>, place: usize, request: Request<Incoming>) -> Reply {
    let secret = request
        .uri()
        .path()
        .strip_prefix(SESSION_PATH)
        .map(str::to_owned);
    match (request.method(), secret) {
        (&Method::DELETE, Some(secret)) => delete(site, place, &secret, request.headers()),
        (&Method::PATCH, Some(secret)) => patch(site, place, &secret, request.headers()),
        (&Method::POST, None) => match redirect(site, place, &request) {
            Some(reply) => reply,
            None => publish::post(site, request).await,
        },
        // RFC 9725 4.1: success without content.
        (&Method::GET | &Method::HEAD, _) => reply(StatusCode::NO_CONTENT, &[], ""),
        // RFC 9725 4.2.
        (&Method::OPTIONS, _) => {
            let headers = [
                ("Accept-Post", "application/sdp"),
                (
                    "Access-Control-Allow-Methods",
                    "OPTIONS, POST, DELETE, PATCH",
                ),
            ];
            reply(StatusCode::OK, &headers, "")
        }
        _ => {
            let allow = [(ALLOW.as_str(), "GET, OPTIONS, POST, DELETE")];
            reply(StatusCode::METHOD_NOT_ALLOWED, &allow, "")
        }
    }
}

/// The redirect of every listener before the regional one, and of the regional
/// one within itself where the rules say so.
fn redirect(site: &Site, place: usize, request: &Request<Incoming>) -> Option<Reply> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let location = if !site.is_regional(place) {
        format!("http://{}{path}", site.host(place + 1))
    } else {
        publish::last_redirect(site, request.uri().path())?
    };
    let status = StatusCode::from_u16(site.rules.redirect_status);
    let status = status.unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    site.record.add(Happening::Redirect {
        from: site.host(place).to_owned(),
        to: location.clone(),
        status: status.as_u16(),
        authorization: request.headers().contains_key(AUTHORIZATION),
    });
    Some(reply(status, &[(LOCATION.as_str(), &location)], ""))
}

fn delete(site: &Site, place: usize, secret: &str, headers: &HeaderMap) -> Reply {
    let known = site
        .sessions
        .find(secret)
        .filter(|_| site.is_regional(place));
    let status = match (may_touch(site, headers), known) {
        (false, _) => StatusCode::FORBIDDEN,
        (true, None) => StatusCode::NOT_FOUND,
        (true, Some(_)) => StatusCode::OK,
    };
    site.record.add(Happening::Delete {
        session: known,
        host: site.host(place).to_owned(),
        status: status.as_u16(),
        authorization: headers.contains_key(AUTHORIZATION),
    });
    if status == StatusCode::OK {
        site.sessions.delete(secret, &site.record);
    }
    session_reply(status)
}

fn patch(site: &Site, place: usize, secret: &str, headers: &HeaderMap) -> Reply {
    let known = site
        .sessions
        .find(secret)
        .filter(|_| site.is_regional(place));
    let status = match (may_touch(site, headers), known) {
        (false, _) => StatusCode::FORBIDDEN,
        (true, None) => StatusCode::NOT_FOUND,
        (true, Some(_)) => {
            StatusCode::from_u16(site.rules.patch_status).unwrap_or(StatusCode::METHOD_NOT_ALLOWED)
        }
    };
    site.record.add(Happening::Patch {
        session: known,
        host: site.host(place).to_owned(),
        status: status.as_u16(),
        authorization: headers.contains_key(AUTHORIZATION),
    });
    session_reply(status)
}

/// Whether a request about a session has a token of this stage. One that has
/// expired since still ends what it began.
fn may_touch(site: &Site, headers: &HeaderMap) -> bool {
    bearer(headers).is_some_and(|token| site.key.read(token).is_some())
}

fn session_reply(status: StatusCode) -> Reply {
    let message = match status {
        StatusCode::FORBIDDEN => "missing or invalid token",
        StatusCode::NOT_FOUND => "no such session",
        _ => return reply(status, &[], ""),
    };
    json_reply(status, &json!({ "message": message }))
}

/// The token of `Authorization: Bearer …` (RFC 6750 2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn json_reply(status: StatusCode, body: &serde_json::Value) -> Reply {
    let headers = [(CONTENT_TYPE.as_str(), "application/json")];
    reply(status, &headers, &body.to_string())
}

/// A reply; 500 with a sentence if a rule holds a header that can't be sent.
pub(crate) fn reply(status: StatusCode, headers: &[(&str, &str)], body: &str) -> Reply {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
    builder.body(body).unwrap_or_else(|error| {
        let text = format!("a rule of this stage can't be followed: {error}");
        let mut reply = Response::new(Full::new(text.into()));
        *reply.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        reply
    })
}
