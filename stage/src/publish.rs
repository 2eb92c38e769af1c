//! Handles a POST on the regional host: it checks content type, token and
//! offer in this order, then makes a session and replies with the answer.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG, LINK, LOCATION, USER_AGENT};
use http::{Request, StatusCode, Uri};
use hyper::body::Incoming;

use crate::admission::{check_content_type, check_token, read_offer};
use crate::counter::SectionReport;
use crate::event::Happening;
use crate::far_end::FarEnd;
use crate::offer::{OfferSection, ufrag};
use crate::participant_token::random_id;
use crate::record::SessionReport;
use crate::refused_post::RefusedPost;
use crate::reply::{Reply, ReplyBody, pairs, reply};
use crate::request_rules::TokenReuse;
use crate::resource;
use crate::rules::LastRedirect;
use crate::sessions::SessionInfo;
use crate::state::StageState;
use crate::task::spawn;
use crate::watch::Card;

/// Path to which the regional host redirects POSTs under
/// [`LastRedirect::PathOnly`].
const REGIONAL_PATH: &str = "/regional";

/// The `Location` of the regional host's own redirect, if the rules have one.
pub(crate) fn last_redirect(state: &StageState, path: &str) -> Option<String> {
    match state.rules.last_redirect {
        LastRedirect::PathOnly if path != REGIONAL_PATH => Some(REGIONAL_PATH.to_owned()),
        LastRedirect::PathOnly | LastRedirect::None => None,
    }
}

/// Answers a POST on the regional host.
pub(crate) async fn post(state: &Arc<StageState>, request: Request<Incoming>) -> Reply {
    let session = state.sessions.next_id();
    let authorization = request.headers().contains_key(AUTHORIZATION);
    let made = match state.next_refusal() {
        Some(refusal) => Err(RefusedPost::by_rule(refusal)),
        None => match state.admit_post() {
            Err(wait) => Err(RefusedPost::throttled(wait)),
            Ok(()) => create(state, session, request).await,
        },
    };
    tokio::time::sleep(state.rules.answer_delay).await;
    made.unwrap_or_else(|refused| {
        let reply = refused.reply();
        state.record.add(Happening::Refused {
            session,
            host: state.regional_host().to_owned(),
            status: reply.status().as_u16(),
            code: refused.code,
            authorization,
            reason: refused.reason,
        });
        reply
    })
}

async fn create(
    state: &Arc<StageState>,
    session: u32,
    request: Request<Incoming>,
) -> Result<Reply, RefusedPost> {
    check_content_type(state, request.headers())?;
    let participant = check_token(state, request.headers())?;
    if !participant.may_publish {
        return Err(RefusedPost::without_capability("allow_publish"));
    }
    let uri = request.uri().clone();
    let agent = request.headers().get(USER_AGENT);
    let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()).into_owned());
    let (offer, sections) = read_offer(state, request.into_body()).await?;
    state.record.add(Happening::Offer {
        session,
        host: state.regional_host().to_owned(),
        sections: sections.clone(),
    });
    if !state.rules.video.accepts(&sections) || state.refuses_as_silent(&sections) {
        return Err(RefusedPost::code_2001(
            "no H.264 video section that the stage's video rule accepts",
        ));
    }
    let ends_older = state.rules.token_reuse == TokenReuse::EndsOlder;
    let replaced = ends_older && state.sessions.has_participant(&participant.id);
    if !replaced && state.sessions.count() >= state.rules.limits.sessions {
        return Err(RefusedPost::at_capacity());
    }
    let card = Card {
        participant: participant.id,
        user_id: participant.user_id,
        agent,
        offer,
        answer: String::new(),
    };
    let (secret, answer) = start_session(state, session, &uri, &sections, card).await?;
    Ok(created_reply(state, &uri, &secret, &answer))
}

/// Makes the session and starts its far end. Returns the secret part of the
/// session's URL, and the answer.
async fn start_session(
    state: &Arc<StageState>,
    session: u32,
    uri: &Uri,
    sections: &[OfferSection],
    card: Card,
) -> Result<(String, String), RefusedPost> {
    let secret =
        random_id().map_err(|_| RefusedPost::code_2001("OpenSSL gives no random numbers"))?;
    let (participant, offer) = (card.participant.clone(), &card.offer);
    let answered = FarEnd::answer(session, &participant, offer, sections, state).await;
    let (far_end, answer) = answered.map_err(|error| RefusedPost::no_answer(&error))?;

    let info = SessionInfo {
        id: session,
        participant: participant.clone(),
        ufrag: ufrag(offer),
        first_mid: sections.first().map(|section| section.mid.clone()),
        query: resource::kept_query(state.rules.location, uri),
    };
    record_session(state, session, sections, &participant);
    let card = Card {
        answer: answer.clone(),
        ..card
    };
    state.board.open(session, card);
    if state.rules.token_reuse == TokenReuse::EndsOlder {
        state
            .sessions
            .end_of_participant(&participant, &state.record);
    }
    let (command, commands) = state.sessions.keep(secret.clone(), info);
    state.audience.open(&participant, session, command);
    spawn(&state.record, {
        let (state, secret) = (Arc::clone(state), secret.clone());
        async move {
            far_end.run(commands).await;
            state.audience.close(&participant, session);
            state.board.close(session);
            state.sessions.forget(&secret);
        }
    });
    Ok((secret, answer))
}

fn record_session(state: &StageState, session: u32, sections: &[OfferSection], participant: &str) {
    state.record.open(SessionReport {
        id: session,
        host: state.regional_host().to_owned(),
        participant: participant.to_owned(),
        connected_ms: None,
        peer_lost: false,
        sections: sections.iter().map(SectionReport::new).collect(),
        ended: None,
    });
    state.record.add(Happening::Created {
        session,
        host: state.regional_host().to_owned(),
        participant: participant.to_owned(),
    });
}

fn created_reply(state: &StageState, uri: &Uri, secret: &str, answer: &str) -> Reply {
    let rules = &state.rules;
    let location = resource::location(state, uri, secret);
    let mut headers = Vec::new();
    let kind = rules.content_type.as_deref();
    headers.extend(kind.map(|kind| (CONTENT_TYPE.as_str(), kind)));
    headers.extend(location.as_deref().map(|url| (LOCATION.as_str(), url)));
    headers.extend(rules.etag.as_deref().map(|etag| (ETAG.as_str(), etag)));
    let links = rules.links.iter();
    headers.extend(links.map(|link| (LINK.as_str(), link.as_str())));
    headers.extend(pairs(&rules.headers));
    let status = StatusCode::from_u16(rules.created_status);
    let reply = reply(status.unwrap_or(StatusCode::CREATED), &headers, answer);
    if state.cuts_next_answer() {
        reply.map(ReplyBody::cut)
    } else {
        reply
    }
}
