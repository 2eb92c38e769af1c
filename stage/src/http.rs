//! The HTTP server: connections come in, and it routes each request to a
//! redirect or to the handler of its method, by RFC 9725 and by what is known
//! of IVS.

use std::net::TcpListener;
use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_REQUEST_HEADERS, ALLOW, AUTHORIZATION, LOCATION, ORIGIN,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_io_timeout::TimeoutStream;

use crate::accept::Acceptor;
use crate::event::Happening;
use crate::header_case::CasedStream;
use crate::publish;
use crate::reply::{Dropped, Reply, reply};
use crate::reply_rules::{Connections, HeaderCase};
use crate::resource;
use crate::state::StageState;
use crate::subscribe;
use crate::task::spawn;
use crate::watch;

/// Maximum length of a request's head, in bytes. hyper answers a longer one with
/// 431, and one with more than 100 headers too.
const HEAD_LIMIT: usize = 16 * 1024;

/// Maximum length of a URL's path and query, in bytes. Events repeat it.
const URL_LIMIT: usize = 2048;

/// What a listener serves.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    /// The endpoint of a hop, counted from the global one.
    Hop(usize),
    /// The page that shows the stage.
    Page,
}

/// Starts to serve a listener. Call it on the stage's runtime.
pub(crate) fn serve(state: &Arc<StageState>, door: Door, listener: TcpListener) {
    let record = Arc::clone(&state.record);
    spawn(&record, accept(Arc::clone(state), door, listener));
}

async fn accept(state: Arc<StageState>, door: Door, listener: TcpListener) {
    let host = match door {
        Door::Hop(hop) => state.host(hop),
        Door::Page => state.page_host.as_deref().unwrap_or(""),
    };
    let mut acceptor = match Acceptor::new(listener, host) {
        Ok(acceptor) => acceptor,
        Err(error) => {
            return state.record.fail(format!("can't use a listener: {error}"));
        }
    };
    loop {
        let stream = acceptor.accept(&state).await;
        // After the accept, or a listener would keep others from their permits
        // while nobody connects. The semaphore is never closed.
        let permit = Arc::clone(&state.connections).acquire_owned().await;
        // A reply is one small packet, which Nagle's algorithm would delay.
        let _ = stream.set_nodelay(true);
        let state = Arc::clone(&state);
        spawn(&Arc::clone(&state.record), async move {
            connection(state, door, stream).await;
            drop(permit);
        });
    }
}

async fn connection(state: Arc<StageState>, door: Door, stream: TcpStream) {
    let case = state.rules.header_case;
    let bound = state.rules.limits.request_time;
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(bound));
    let mut server = http1::Builder::new();
    // It also bounds the time between two requests.
    server.timer(TokioTimer::new()).header_read_timeout(bound);
    server.max_buf_size(HEAD_LIMIT);
    server.title_case_headers(case == HeaderCase::Title);
    server.keep_alive(state.rules.connections == Connections::KeepAlive);
    let routes = service_fn(|request| {
        let state = Arc::clone(&state);
        async move {
            match door {
                Door::Hop(hop) => route(&state, hop, request).await,
                Door::Page => Ok(watch::answer(&state, request).await),
            }
        }
    });
    let io = TokioIo::new(CasedStream::new(stream, case));
    // Fails when the client or a rule ends the connection early.
    let _ = server.serve_connection(io, routes).await;
}

async fn route(
    state: &Arc<StageState>,
    hop: usize,
    request: Request<Incoming>,
) -> Result<Reply, Dropped> {
    let page = request.headers().get(ORIGIN).cloned();
    let wished = request
        .headers()
        .get(ACCESS_CONTROL_REQUEST_HEADERS)
        .cloned();
    let mut reply = answer(state, hop, request).await?;
    if page.is_some() {
        share(reply.headers_mut(), wished);
    }
    Ok(reply)
}

/// Lets a page of any origin use the reply, as AWS's SDK for browsers needs it.
/// A request can do nothing without a token, which pages have to know
/// themselves, and there are no cookies.
fn share(headers: &mut HeaderMap, wished: Option<HeaderValue>) {
    let any = HeaderValue::from_static("*");
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any.clone());
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, any);
    if let Some(wished) = wished {
        // A star would not stand for Authorization (Fetch 4.9).
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wished);
    }
}

async fn answer(
    state: &Arc<StageState>,
    hop: usize,
    request: Request<Incoming>,
) -> Result<Reply, Dropped> {
    let url = request.uri().path_and_query();
    if url.is_some_and(|url| url.as_str().len() > URL_LIMIT) {
        return Ok(reply(StatusCode::URI_TOO_LONG, &[], ""));
    }
    let session = resource::session_secret(state, &request);
    Ok(match (request.method(), session) {
        (&Method::DELETE, Some(secret)) => {
            match subscribe::delete(state, &secret, request.headers()) {
                Some(reply) => reply,
                None => resource::delete(state, hop, &secret, &request).await?,
            }
        }
        (&Method::PATCH, Some(secret)) => resource::patch(state, hop, &secret, request).await?,
        (&Method::POST, None) => match redirect(state, hop, &request) {
            Some(reply) => reply,
            None => post(state, request).await,
        },
        (method, _) => other_method(method),
    })
}

/// A POST on the regional host.
async fn post(state: &Arc<StageState>, request: Request<Incoming>) -> Reply {
    let participant = subscribe::subscribed_participant(request.uri()).map(str::to_owned);
    match participant {
        Some(participant) => {
            subscribe::post(state, state.regional_host(), &participant, request).await
        }
        None => publish::post(state, request).await,
    }
}

fn other_method(method: &Method) -> Reply {
    match *method {
        // RFC 9725 4.1: success without content.
        Method::GET | Method::HEAD => reply(StatusCode::NO_CONTENT, &[], ""),
        // RFC 9725 4.2.
        Method::OPTIONS => {
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

/// The redirect by a listener before the regional one, or by the regional one
/// to itself if the rules have that.
fn redirect(state: &StageState, hop: usize, request: &Request<Incoming>) -> Option<Reply> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let location = if !state.is_regional(hop) {
        format!("http://{}{path}", state.host(hop + 1))
    } else {
        publish::last_redirect(state, request.uri().path())?
    };
    let status = StatusCode::from_u16(state.rules.redirect_status);
    let status = status.unwrap_or(StatusCode::TEMPORARY_REDIRECT);
    state.record.add(Happening::Redirect {
        from: state.host(hop).to_owned(),
        to: location.clone(),
        status: status.as_u16(),
        authorization: request.headers().contains_key(AUTHORIZATION),
    });
    Some(reply(status, &[(LOCATION.as_str(), &location)], ""))
}
