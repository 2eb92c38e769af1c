//! Session URLs: builds their `Location`, finds the session of a request, and
//! handles DELETE and PATCH.

use std::future::pending;
use std::sync::Arc;

use http::header::{AUTHORIZATION, ETAG, IF_MATCH};
use http::{HeaderMap, Request, StatusCode, Uri};
use hyper::body::Incoming;

use crate::event::Happening;
use crate::reply::{Dropped, Reply, pairs, reply};
use crate::reply_rules::LocationForm;
use crate::request::{bearer, has_type, read_body};
use crate::request_rules::{DeleteRule, MidRule, PatchEtag, PatchRule, TrickleRule};
use crate::rules::Refusal;
use crate::sdp_limits::excess;
use crate::sessions::SessionInfo;
use crate::state::StageState;
use crate::trickle::{FRAGMENT, Fragment, IfMatch};

/// The path before the secret of a session URL, as on IVS.
const SESSION_PATH: &str = "/session/";

/// Key of the session in a query, under [`LocationForm::QueryOnly`].
const SESSION_KEY: &str = "session=";

/// The `Location` of a session that a POST to `uri` made.
pub(crate) fn location(state: &StageState, uri: &Uri, secret: &str) -> Option<String> {
    let (endpoint, query) = (uri.path(), uri.query());
    let base = endpoint.trim_end_matches('/');
    let path = format!("{SESSION_PATH}{secret}");
    Some(match (state.rules.location, query) {
        (LocationForm::Missing, _) => return None,
        (LocationForm::Absolute, _) => session_url(state.regional_host(), secret),
        (LocationForm::PathOnly, _) | (LocationForm::PathAndQuery, None) => path,
        (LocationForm::PathAndQuery, Some(query)) => format!("{path}?{query}"),
        (LocationForm::UnderEndpoint, _) => format!("{base}{path}"),
        (LocationForm::QueryOnly, _) => format!("{base}/?action=delete&{SESSION_KEY}{secret}"),
        (LocationForm::Endpoint, _) => endpoint.to_owned(),
    })
}

/// The URL of a session at this host, or its path alone if the host is empty.
pub(crate) fn session_url(host: &str, secret: &str) -> String {
    match host {
        "" => format!("{SESSION_PATH}{secret}"),
        host => format!("http://{host}{SESSION_PATH}{secret}"),
    }
}

/// The query that requests to the session must have.
pub(crate) fn kept_query(form: LocationForm, uri: &Uri) -> Option<String> {
    let query = uri.query().filter(|_| form == LocationForm::PathAndQuery);
    query.map(str::to_owned)
}

/// The secret part of a session URL, if the request's URL is one. The session
/// need not exist.
pub(crate) fn session_secret(state: &StageState, request: &Request<Incoming>) -> Option<String> {
    let uri = request.uri();
    if let Some((_, secret)) = uri.path().rsplit_once(SESSION_PATH) {
        return Some(secret.to_owned());
    }
    let mut pairs = uri.query().unwrap_or("").split('&');
    match state.rules.location {
        LocationForm::QueryOnly => pairs
            .find_map(|pair| pair.strip_prefix(SESSION_KEY))
            .map(str::to_owned),
        LocationForm::Endpoint if request.method() != http::Method::POST => {
            Some(state.sessions.latest().unwrap_or_default())
        }
        _ => None,
    }
}

/// The status for a request to a session whose token or URL is not valid.
fn refusal_status(
    state: &StageState,
    headers: &HeaderMap,
    found: Option<&SessionInfo>,
) -> Option<u16> {
    let unknown = found
        .is_none()
        .then_some(state.rules.unknown_session_status);
    token_refusal(state, headers).or(unknown)
}

/// The status for a request to a session whose token is not valid.
pub(crate) fn token_refusal(state: &StageState, headers: &HeaderMap) -> Option<u16> {
    match bearer(headers).map(|token| state.key.read(token)) {
        None => Some(state.rules.missing_token.status),
        Some(None) => Some(StatusCode::FORBIDDEN.as_u16()),
        // The token may have expired since the POST.
        Some(Some(_)) => None,
    }
}

fn find_session(state: &StageState, hop: usize, secret: &str, uri: &Uri) -> Option<SessionInfo> {
    let found = state.sessions.find(secret, uri.query());
    found.filter(|_| state.is_regional(hop))
}

/// What becomes of a DELETE or PATCH.
enum RequestOutcome {
    Reply(u16),
    NoAnswer,
    Dropped,
}

impl RequestOutcome {
    fn status(&self) -> u16 {
        match self {
            Self::Reply(status) => *status,
            Self::NoAnswer | Self::Dropped => 0,
        }
    }

    async fn into_reply(
        self,
        state: &StageState,
        headers: &[(&str, &str)],
    ) -> Result<Reply, Dropped> {
        match self {
            Self::Reply(status) => Ok(session_reply(state, status, headers)),
            Self::NoAnswer => pending().await,
            Self::Dropped => Err(Dropped),
        }
    }
}

pub(crate) async fn delete(
    state: &Arc<StageState>,
    hop: usize,
    secret: &str,
    request: &Request<Incoming>,
) -> Result<Reply, Dropped> {
    let headers = request.headers();
    let found = find_session(state, hop, secret, request.uri());
    let rules = &state.rules;
    let mut ends = false;
    let outcome = match (refusal_status(state, headers, found.as_ref()), rules.delete) {
        (_, DeleteRule::NoAnswer) => RequestOutcome::NoAnswer,
        (_, DeleteRule::Dropped) => RequestOutcome::Dropped,
        (_, DeleteRule::NoRoute) => RequestOutcome::Reply(rules.unknown_session_status),
        (Some(status), _) => RequestOutcome::Reply(status),
        (None, DeleteRule::IfMatch(_)) if if_match(state, headers) == IfMatch::Other => {
            RequestOutcome::Reply(StatusCode::PRECONDITION_FAILED.as_u16())
        }
        (None, DeleteRule::Status(status) | DeleteRule::IfMatch(status)) => {
            ends = true;
            RequestOutcome::Reply(status)
        }
    };
    state.record.add(Happening::Delete {
        session: found.map(|found| found.id),
        host: state.host(hop).to_owned(),
        status: outcome.status(),
        authorization: headers.contains_key(AUTHORIZATION),
    });
    if ends {
        state.sessions.delete(secret, &state.record);
    }
    outcome.into_reply(state, &[]).await
}

pub(crate) async fn patch(
    state: &Arc<StageState>,
    hop: usize,
    secret: &str,
    request: Request<Incoming>,
) -> Result<Reply, Dropped> {
    let (head, body) = request.into_parts();
    let found = find_session(state, hop, secret, &head.uri);
    let fragment = read_fragment(state, body).await;
    let if_match = if_match(state, &head.headers);

    let mut etag = None;
    let outcome = match (
        refusal_status(state, &head.headers, found.as_ref()),
        state.rules.patch,
    ) {
        (_, PatchRule::NoAnswer) => RequestOutcome::NoAnswer,
        (_, PatchRule::Dropped) => RequestOutcome::Dropped,
        (Some(status), _) => RequestOutcome::Reply(status),
        (None, PatchRule::Status) => RequestOutcome::Reply(state.rules.patch_status),
        (None, PatchRule::Trickle(rule)) => {
            etag = state.rules.etag.as_deref();
            etag = etag.filter(|_| rule.etag == PatchEtag::Present);
            let is_fragment = has_type(&head.headers, FRAGMENT);
            let checked = check_fragment(&rule, found.as_ref(), if_match, fragment.as_ref());
            RequestOutcome::Reply(match checked {
                _ if !is_fragment => state.rules.wrong_type_status,
                Ok(candidates) if state.sessions.trickle(secret, candidates) => {
                    StatusCode::NO_CONTENT.as_u16()
                }
                Ok(_) => StatusCode::BAD_REQUEST.as_u16(),
                Err(status) => status,
            })
        }
    };
    let fragment = fragment.unwrap_or_default();
    state.record.add(Happening::Patch {
        session: found.map(|found| found.id),
        host: state.host(hop).to_owned(),
        status: outcome.status(),
        authorization: head.headers.contains_key(AUTHORIZATION),
        candidates: fragment.candidates.len(),
        end_of_candidates: fragment.end,
        if_match,
    });
    let headers: Vec<_> = etag.map(|etag| (ETAG.as_str(), etag)).into_iter().collect();
    outcome.into_reply(state, &headers).await
}

/// The body of a PATCH, or the status for one that can't be read.
async fn read_fragment(state: &StageState, body: Incoming) -> Result<Fragment, u16> {
    let body = read_body(body, state.rules.limits.request_time).await;
    let body = body.map_err(|error| error.status())?;
    let text = std::str::from_utf8(&body).ok();
    let text = text.filter(|text| excess(text).is_none());
    let fragment = text.and_then(Fragment::read);
    fragment.ok_or(StatusCode::BAD_REQUEST.as_u16())
}

/// The candidates of a PATCH, or the status that refuses it.
fn check_fragment<'a>(
    rule: &TrickleRule,
    found: Option<&SessionInfo>,
    if_match: IfMatch,
    fragment: Result<&'a Fragment, &u16>,
) -> Result<&'a [String], u16> {
    let refusal = match if_match {
        IfMatch::None => rule.without_if_match,
        IfMatch::Equal | IfMatch::Star => None,
        IfMatch::Other => rule.other_if_match,
    };
    if let Some(status) = refusal {
        return Err(status);
    }
    let fragment = fragment.map_err(|status| *status)?;
    let own = |ufrag: &String| found.is_none_or(|found| found.ufrag.as_ref() == Some(ufrag));
    if !fragment.ufrags.iter().all(own) {
        return Err(StatusCode::UNPROCESSABLE_ENTITY.as_u16());
    }
    let first = |mid: &String| found.is_none_or(|found| found.first_mid.as_ref() == Some(mid));
    if rule.mid == MidRule::FirstOnly && !fragment.mids.iter().all(first) {
        return Err(StatusCode::BAD_REQUEST.as_u16());
    }
    Ok(&fragment.candidates)
}

fn if_match(state: &StageState, headers: &HeaderMap) -> IfMatch {
    let value = headers.get(IF_MATCH).map(http::HeaderValue::as_bytes);
    IfMatch::of(value, state.rules.etag.as_deref())
}

pub(crate) fn session_reply(state: &StageState, status: u16, headers: &[(&str, &str)]) -> Reply {
    let code = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let message = if status == state.rules.missing_token.status || status == 403 {
        "missing or invalid token"
    } else if status == state.rules.unknown_session_status {
        "no such session"
    } else {
        return reply(code, headers, "");
    };
    let refusal = Refusal::message(status, message);
    let headers: Vec<_> = pairs(&refusal.headers)
        .chain(headers.iter().copied())
        .collect();
    reply(code, &headers, &refusal.body)
}
