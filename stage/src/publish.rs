//! The POST that publishes: checks in the order of the doors it goes through,
//! then a session.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, LINK, LOCATION};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;

use crate::far_end::{AnswerError, FarEnd};
use crate::http::{Reply, SESSION_PATH, bearer, reply, watch};
use crate::media::SectionReport;
use crate::offer::{OfferSection, has_video, read_sections};
use crate::record::{Happening, SessionReport};
use crate::rules::{LastRedirect, LocationForm, Refusal};
use crate::site::Site;
use crate::token::{Participant, random_id};

/// Where the regional host sends POSTs that it redirects within itself.
const REGIONAL_PATH: &str = "/regional";

/// Biggest offer taken.
const OFFER_LIMIT: usize = 256 * 1024;

/// Path of the regional host's own redirect, if the rules want one.
pub(crate) fn last_redirect(site: &Site, path: &str) -> Option<String> {
    match site.rules.last_redirect {
        LastRedirect::PathOnly if path != REGIONAL_PATH => Some(REGIONAL_PATH.to_owned()),
        LastRedirect::PathOnly | LastRedirect::None => None,
    }
}

/// Answers a POST on the regional host.
pub(crate) async fn post(site: &Arc<Site>, request: Request<Incoming>) -> Reply {
    let session = site.sessions.next_id();
    let authorization = request.headers().contains_key(AUTHORIZATION);
    let made = match site.next_refusal() {
        Some(refusal) => Err(Refused::scripted(refusal)),
        None => create(site, session, request).await,
    };
    tokio::time::sleep(site.rules.answer_delay).await;
    made.unwrap_or_else(|refused| {
        let reply = refused.reply();
        site.record.add(Happening::Refused {
            session,
            host: site.regional_host().to_owned(),
            status: reply.status().as_u16(),
            code: refused.code,
            authorization,
            reason: refused.reason,
        });
        reply
    })
}

/// A refusal on its way: what to send and what to record.
struct Refused {
    refusal: Refusal,
    code: Option<u32>,
    reason: String,
}

impl Refused {
    /// A refusal without an IVS code.
    fn plain(status: StatusCode, message: &str) -> Self {
        let refusal = Refusal {
            body: json!({ "message": message }).to_string(),
            ..Refusal::status(status.as_u16())
        };
        Self {
            refusal: refusal.header(CONTENT_TYPE.as_str(), "application/json"),
            code: None,
            reason: message.to_owned(),
        }
    }

    /// A refusal with a code of IVS's error table.
    fn ivs(status: StatusCode, code: u32, message: &str, reason: &str) -> Self {
        Self {
            refusal: Refusal::ivs(status.as_u16(), code, message),
            code: Some(code),
            reason: reason.to_owned(),
        }
    }

    /// Code 2001, whose text is the one that IVS sends.
    fn no_session(reason: &str) -> Self {
        let message = "failed to create publisher session";
        Self::ivs(StatusCode::BAD_REQUEST, 2001, message, reason)
    }

    fn unanswered(error: &AnswerError) -> Self {
        let reason = error.to_string();
        match error {
            AnswerError::Codec => {
                Self::ivs(StatusCode::BAD_REQUEST, 2014, "no matching codec", &reason)
            }
            AnswerError::Socket(_) | AnswerError::Offer(_) => Self::no_session(&reason),
        }
    }

    fn scripted(refusal: Refusal) -> Self {
        let body: Option<serde_json::Value> = serde_json::from_str(&refusal.body).ok();
        let code = body.and_then(|body| body.get("code")?.as_u64());
        Self {
            refusal,
            code: code.and_then(|code| u32::try_from(code).ok()),
            reason: "as the stage's rules say".to_owned(),
        }
    }

    fn reply(&self) -> Reply {
        let status = StatusCode::from_u16(self.refusal.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers: Vec<_> = pairs(&self.refusal.headers).collect();
        reply(status, &headers, &self.refusal.body)
    }
}

async fn create(
    site: &Arc<Site>,
    session: u32,
    request: Request<Incoming>,
) -> Result<Reply, Refused> {
    check_content_type(request.headers())?;
    let participant = check_token(site, request.headers())?;
    let offer = read_offer(request.into_body()).await?;
    let Some(sections) = read_sections(&offer) else {
        return Err(Refused::no_session("the body isn't SDP"));
    };
    site.record.add(Happening::Offer {
        session,
        host: site.regional_host().to_owned(),
        sections: sections.clone(),
    });
    if !has_video(&sections, site.rules.video) {
        return Err(Refused::no_session(
            "no H.264 video section of the kind asked for",
        ));
    }
    let (secret, answer) = open(site, session, &offer, &sections, participant).await?;
    Ok(created(site, &secret, &answer))
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Refused> {
    let value = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], |value| value.as_bytes());
    if value.eq_ignore_ascii_case(b"application/sdp") {
        return Ok(());
    }
    let message = "Content-Type must be application/sdp";
    Err(Refused::plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message))
}

fn check_token(site: &Site, headers: &HeaderMap) -> Result<Participant, Refused> {
    let forbidden = StatusCode::FORBIDDEN;
    let Some(token) = bearer(headers) else {
        return Err(Refused::plain(forbidden, "missing bearer token"));
    };
    let Some(participant) = site.key.read(token) else {
        let reason = "the token isn't one of this stage";
        return Err(Refused::ivs(forbidden, 2003, "invalid token", reason));
    };
    if participant.expired {
        let status = StatusCode::BAD_REQUEST;
        return Err(Refused::ivs(
            status,
            2002,
            "token expired",
            "the token has expired",
        ));
    }
    if !participant.may_publish {
        let reason = "the token lacks allow_publish";
        return Err(Refused::ivs(
            forbidden,
            2003,
            "insufficient capabilities",
            reason,
        ));
    }
    Ok(participant)
}

async fn read_offer(body: Incoming) -> Result<String, Refused> {
    let body = Limited::new(body, OFFER_LIMIT).collect().await;
    let body = body.map_err(|error| {
        let message = format!("the offer can't be read: {error}");
        Refused::plain(StatusCode::BAD_REQUEST, &message)
    })?;
    String::from_utf8(body.to_bytes().into())
        .map_err(|_| Refused::no_session("the offer isn't UTF-8"))
}

/// Makes the session and sets its far end going: the secret of its URL, and
/// the answer.
async fn open(
    site: &Arc<Site>,
    session: u32,
    offer: &str,
    sections: &[OfferSection],
    participant: Participant,
) -> Result<(String, String), Refused> {
    let secret = random_id().map_err(|_| Refused::no_session("no random numbers"))?;
    let record = Arc::clone(&site.record);
    let address = site.media_address;
    let answered = FarEnd::answer(session, offer, sections, address, &site.rules, record).await;
    let (far_end, answer) = answered.map_err(|error| Refused::unanswered(&error))?;

    site.record.open(SessionReport {
        id: session,
        host: site.regional_host().to_owned(),
        participant: participant.id.clone(),
        connected_ms: None,
        peer_lost: false,
        sections: sections.iter().map(SectionReport::new).collect(),
        ended: None,
    });
    site.record.add(Happening::Created {
        session,
        host: site.regional_host().to_owned(),
        participant: participant.id,
    });
    let order = site.sessions.keep(session, secret.clone());
    let (kept, key) = (Arc::clone(site), secret.clone());
    watch(&site.record, async move {
        far_end.run(order).await;
        kept.sessions.forget(&key);
    });
    Ok((secret, answer))
}

fn created(site: &Site, secret: &str, answer: &str) -> Reply {
    let rules = &site.rules;
    let path = format!("{SESSION_PATH}{secret}");
    let location = match rules.location {
        LocationForm::Absolute => Some(format!("http://{}{path}", site.regional_host())),
        LocationForm::PathOnly => Some(path),
        LocationForm::Missing => None,
    };
    let mut headers = vec![(CONTENT_TYPE.as_str(), "application/sdp")];
    headers.extend(location.as_deref().map(|url| (LOCATION.as_str(), url)));
    headers.extend(rules.etag.as_deref().map(|etag| (ETAG.as_str(), etag)));
    headers.extend(
        rules
            .links
            .iter()
            .map(|link| (LINK.as_str(), link.as_str())),
    );
    headers.extend(pairs(&rules.headers));
    reply(StatusCode::CREATED, &headers, answer)
}

fn pairs(headers: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
}
