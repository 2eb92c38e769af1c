//! Describes replies without their secrets.

use gstivs::ivs::{OfferedMedia, OfferedVideo, RefusalKind, Retry, explain_refusal, ivs_code};
use gstivs::whip::{Body, Refusal, origin};
use http::header::{CONTENT_TYPE, ETAG, LINK, LOCATION};
use http::{HeaderMap, Response};
use url::Url;

use crate::client::CreatedSession;
use crate::findings::{OfferOutcome, SessionReply};
use crate::no_reply::NoReply;
use crate::redaction::Redactor;
use crate::stop::Stop;

/// Headers that say what a server accepts. They hold no secret.
const SHOWN_HEADERS: [&str; 4] = [
    "allow",
    "accept-post",
    "accept-patch",
    "access-control-allow-methods",
];

/// Describes a reply to OPTIONS, PATCH or DELETE.
pub(crate) fn describe(reply: &Result<Response<Body>, NoReply>, redactor: &Redactor) -> String {
    let reply = match reply {
        Ok(reply) => reply,
        Err(no_reply) => return missing(no_reply, redactor),
    };
    let mut parts = vec![format!("HTTP {}", reply.status().as_u16())];
    if reply.status().is_redirection() {
        parts.push("a redirect, not followed".to_owned());
    }
    for name in SHOWN_HEADERS {
        let values: Vec<&str> = header_values(reply.headers(), name).collect();
        if !values.is_empty() {
            parts.push(format!(
                "{name}: {}",
                redactor.redact_server_text(&values.join(", "))
            ));
        }
    }
    parts.extend(etag(reply.headers()).map(|form| format!("ETag {form}")));
    let kind = header_values(reply.headers(), CONTENT_TYPE.as_str()).next();
    parts.extend(kind.map(|kind| format!("content-type: {}", redactor.redact_server_text(kind))));
    let links = relations(reply.headers(), redactor);
    if !links.is_empty() {
        parts.push(format!("Link relations: {}", links.join(", ")));
    }
    parts.join("; ")
}

/// Describes why there is no reply.
pub(crate) fn missing(no_reply: &NoReply, redactor: &Redactor) -> String {
    let reason = redactor.redact_server_text(&no_reply.to_string());
    format!("no reply: {reason}")
}

/// Describes the reply that made a session.
pub(crate) fn session_reply(
    made: &CreatedSession,
    resource: Option<&Url>,
    redactor: &Redactor,
) -> SessionReply {
    let patch = header_values(&made.headers, "accept-patch").next();
    let answer = crate::answer::describe(&made.answer);
    SessionReply {
        status: made.status.as_u16(),
        location: location(&made.headers, &made.url, resource, redactor),
        etag: etag(&made.headers),
        accept_patch: patch.map(|value| redactor.redact_server_text(value)),
        links: relations(&made.headers, redactor),
        answer: answer
            .iter()
            .map(|line| redactor.redact_server_text(line))
            .collect(),
        outline: crate::answer::outline(&made.answer)
            .iter()
            .map(|line| redactor.redact_server_text(line))
            .collect(),
        summary: crate::answer::summary(&made.answer),
        unusable: made.created.answer.as_ref().err().map(ToString::to_string),
    }
}

/// Describes a refusal, and says whether it stops the run.
pub(crate) fn refusal(refusal: &Refusal, redactor: &Redactor) -> (OfferOutcome, Option<Stop>) {
    let code = ivs_code(refusal).map(|code| format!(", IVS code {code}"));
    let words = refusal
        .message()
        .map(|words| format!(": \"{}\"", redactor.redact_server_text(&words)));
    let reply = format!(
        "HTTP {}{}{}",
        refusal.status.as_u16(),
        code.unwrap_or_default(),
        words.unwrap_or_default()
    );
    let throttled = refusal.retry_after.is_some()
        || matches!(refusal.status.as_u16(), 429 | 503)
        || ivs_code(refusal) == Some(THROTTLED);
    let meant = explain_refusal(refusal, &OfferedMedia::accepted(OfferedVideo::Media));
    let stop = if throttled {
        Some(Stop::Throttled(reply.clone()))
    } else if meant.retry == Retry::Never && meant.kind != RefusalKind::OpenWrite {
        // The token, the stage or the URL is wrong, whatever is offered.
        Some(Stop::Hopeless(format!(
            "an offer was refused: {reply}; {}",
            meant.advice
        )))
    } else {
        None
    };
    let outcome = match ivs_code(refusal) {
        Some(code) if CONFLICTS.contains(&code) => OfferOutcome::Conflict(reply),
        _ if meant.retry == Retry::Later => OfferOutcome::Inconclusive(reply),
        _ => OfferOutcome::Refused(reply),
    };
    (outcome, stop)
}

/// IVS's code for too many requests (seen in AWS's browser SDK).
const THROTTLED: u32 = 2013;

/// Its codes for a participant that has a session already (seen in the same).
const CONFLICTS: [u32; 2] = [2010, 2012];

/// The scheme and host of a URL. Addresses and ids in it are redacted.
pub(crate) fn host(url: &Url, redactor: &Redactor) -> String {
    redactor.redact_report(&origin(url))
}

/// Describes `Location`, of which only the host may be shown.
fn location(
    headers: &HeaderMap,
    asked: &Url,
    resource: Option<&Url>,
    redactor: &Redactor,
) -> String {
    let Some(text) = header_values(headers, LOCATION.as_str()).next() else {
        return "none".to_owned();
    };
    let form = match () {
        () if text.contains("://") => "absolute",
        () if text.starts_with("//") => "without a scheme",
        () if text.starts_with('/') => "a path",
        () => "a relative path",
    };
    let Some(resource) = resource else {
        return format!("{form}, not usable");
    };
    let place = if origin(resource) == origin(asked) {
        "on the host that answered".to_owned()
    } else {
        format!("on another host, {}", host(resource, redactor))
    };
    let segments = resource.path_segments().map_or(0, Iterator::count);
    let session = match resource.path().contains("/session/") {
        true => "with `session` among them",
        false => "without `session`",
    };
    let query = match resource.query() {
        Some(_) => ", and a query",
        None => "",
    };
    format!("{form}, {place}, {segments} path segments, {session}{query}")
}

/// Describes the form of an ETag, not its value.
fn etag(headers: &HeaderMap) -> Option<String> {
    let value = header_values(headers, ETAG.as_str()).next()?;
    let form = match value {
        "*" => "is a bare star",
        _ if value.starts_with("W/") => "is weak",
        _ if value.starts_with('"') => "is quoted",
        _ => "is bare, without quotes",
    };
    Some(form.to_owned())
}

/// The relation types of `Link` headers (RFC 8288 3.3), without the targets.
fn relations(headers: &HeaderMap, redactor: &Redactor) -> Vec<String> {
    let mut found = Vec::new();
    for value in header_values(headers, LINK.as_str()) {
        for part in value.split("rel=").skip(1) {
            let part = part.trim_start_matches('"');
            let end = part.find(['"', ';', ',']).unwrap_or(part.len());
            let relation = redactor.redact_server_text(&part[..end]);
            if !found.contains(&relation) {
                found.push(relation);
            }
        }
    }
    found
}

fn header_values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(name).into_iter();
    values.filter_map(|value| value.to_str().ok())
}
