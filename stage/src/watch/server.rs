//! Answers the page's requests: its files, the state of the stage as JSON,
//! tokens, and the POST and DELETE of its players.

use std::sync::Arc;

use http::header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::counter::SectionReport;
use crate::ivs_limits::MediaLimits;
use crate::record::SessionReport;
use crate::reply::{Reply, reply};
use crate::resource;
use crate::state::StageState;
use crate::subscribe;
use crate::watch::files::file;
use crate::watch::invitation::invitation;
use crate::watch::log::lines;
use crate::watch::origin::refusal;

/// Everything comes from the stage itself, nothing frames the page, and nothing
/// it holds is kept or shown elsewhere.
const HEADERS: [(&str, &str); 7] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
         connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    ("cache-control", "no-store"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
];

/// Answers a request to the page's listener.
pub(crate) async fn answer(state: &Arc<StageState>, request: Request<Incoming>) -> Reply {
    let mut reply = match refusal(request.method(), request.headers()) {
        Some(reason) => text(StatusCode::FORBIDDEN, &format!("ivs-stage: {reason}\n")),
        None => route(state, request).await,
    };
    for (name, value) in HEADERS {
        let name = HeaderName::from_static(name);
        reply
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    reply
}

async fn route(state: &Arc<StageState>, request: Request<Incoming>) -> Reply {
    let uri = request.uri().clone();
    match *request.method() {
        Method::GET | Method::HEAD => get(state, &uri),
        Method::POST if uri.path() == "/tokens.json" => match invitation(state) {
            Ok(invitation) => json_reply(&invitation),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        },
        Method::POST => match subscribe::subscribed_participant(&uri) {
            // A path alone: the page's address may be that of a tunnel.
            Some(participant) => subscribe::post(state, "", participant, request).await,
            None => not_found(),
        },
        Method::DELETE => {
            let secret = resource::session_secret(state, &request).unwrap_or_default();
            let deleted = subscribe::delete(state, &secret, request.headers());
            deleted.unwrap_or_else(not_found)
        }
        _ => reply(
            StatusCode::METHOD_NOT_ALLOWED,
            &[(ALLOW.as_str(), "GET, HEAD, POST, DELETE")],
            "",
        ),
    }
}

fn get(state: &StageState, uri: &Uri) -> Reply {
    match uri.path() {
        "/state.json" => json_reply(&stage_json(state, number(uri, "since=").unwrap_or(0))),
        "/sdp.json" => {
            let session = number(uri, "session=").and_then(|number| u32::try_from(number).ok());
            let sdp = session.and_then(|session| state.board.sdp(session));
            sdp.map_or_else(not_found, |sdp| json_reply(&sdp))
        }
        path => match file(path) {
            Some((kind, content)) => {
                reply(StatusCode::OK, &[(CONTENT_TYPE.as_str(), kind)], content)
            }
            None => not_found(),
        },
    }
}

fn number(uri: &Uri, key: &str) -> Option<u64> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix(key))?.parse().ok()
}

/// The stage with its publishers, and their samples after `since_ms`.
fn stage_json(state: &StageState, since_ms: u64) -> Value {
    let sessions = state.record.sessions();
    let publishers = state.board.publishers(since_ms).into_iter();
    let publishers = publishers.map(|(session, participant, mut json)| {
        let report = sessions.iter().find(|report| report.id == session);
        if let (Some(report), Some(card)) = (report, json.as_object_mut()) {
            card.extend(report_json(report));
        }
        json["current"] = json!(state.audience.is_newest(&participant, session));
        json["viewers"] = json!(state.audience.count(&participant, session));
        json
    });
    json!({
        "endpoint": state.endpoint(),
        "regional": state.regional_host(),
        "media": state.media_address,
        "enforced": state.rules.media_limits == MediaLimits::Enforced,
        "at_ms": state.record.elapsed_ms(),
        "publishers": publishers.collect::<Vec<_>>(),
        "log": lines(&state.record),
    })
}

fn report_json(report: &SessionReport) -> serde_json::Map<String, Value> {
    let mut json = serde_json::Map::new();
    json.insert("connected_ms".into(), json!(report.connected_ms));
    json.insert("peer_lost".into(), json!(report.peer_lost));
    let sections = report.sections.iter().map(section_json);
    json.insert("sections".into(), sections.collect());
    json
}

fn section_json(section: &SectionReport) -> Value {
    json!({
        "kind": section.kind,
        "packets": section.packets,
        "lost": section.lost,
        "repaired": section.repaired,
        "key_frames": section.key_frames,
        "frozen_ms": section.frames.map(|frames| frames.frozen_ms),
    })
}

fn json_reply(value: &Value) -> Reply {
    let kind = [(CONTENT_TYPE.as_str(), "application/json")];
    reply(StatusCode::OK, &kind, &value.to_string())
}

fn text(status: StatusCode, text: &str) -> Reply {
    let kind = [(CONTENT_TYPE.as_str(), "text/plain; charset=utf-8")];
    reply(status, &kind, text)
}

fn not_found() -> Reply {
    text(StatusCode::NOT_FOUND, "not found\n")
}
