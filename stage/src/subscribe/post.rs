//! Handles a viewer's POST and DELETE on the regional host. The checks and their
//! errors are those of a publisher's POST, in the same order.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, Request, StatusCode, Uri};
use hyper::body::Incoming;

use crate::admission::{check_content_type, check_token, read_offer};
use crate::event::Happening;
use crate::offer::{Direction, Kind, OfferSection};
use crate::participant_token::{is_participant_id, random_id};
use crate::refused_post::RefusedPost;
use crate::reply::{Reply, reply};
use crate::resource;
use crate::state::StageState;
use crate::subscribe::viewer::Viewer;
use crate::task::spawn;

/// The path before the publisher's participant id, as on IVS.
const PATH: &str = "/subscribe/";

/// The participant whose media a POST to this URL is for.
pub(crate) fn subscribed_participant(uri: &Uri) -> Option<&str> {
    let (_, participant) = uri.path().rsplit_once(PATH)?;
    Some(participant)
}

/// Answers a POST to a participant. `host` is the authority of the session's
/// URL, or empty for a path alone.
pub(crate) async fn post(
    state: &Arc<StageState>,
    host: &str,
    participant: &str,
    request: Request<Incoming>,
) -> Reply {
    let viewer = state.viewers.next_id();
    let participant = participant.to_owned();
    let authorization = request.headers().contains_key(AUTHORIZATION);
    match subscribe(state, viewer, &participant, request).await {
        Ok((secret, answer)) => {
            let location = resource::session_url(host, &secret);
            let headers = [
                (CONTENT_TYPE.as_str(), "application/sdp"),
                (LOCATION.as_str(), location.as_str()),
            ];
            reply(StatusCode::CREATED, &headers, &answer)
        }
        Err(refused) => {
            let refused = refused.of_subscriber();
            let reply = refused.reply();
            state.record.add(Happening::SubscribeRefused {
                viewer,
                status: reply.status().as_u16(),
                code: refused.code,
                authorization,
                reason: refused.reason,
            });
            reply
        }
    }
}

/// Returns the secret part of the viewer's URL, and the answer.
async fn subscribe(
    state: &Arc<StageState>,
    viewer: u32,
    participant: &str,
    request: Request<Incoming>,
) -> Result<(String, String), RefusedPost> {
    check_content_type(state, request.headers())?;
    let token = check_token(state, request.headers())?;
    if !token.may_subscribe {
        return Err(RefusedPost::without_capability("allow_subscribe"));
    }
    let (offer, sections) = read_offer(state, request.into_body()).await?;
    if !sections.iter().any(receives) {
        let reason = "no audio or video section that receives";
        return Err(RefusedPost::code_2001(reason));
    }
    let joined = is_participant_id(participant).then(|| state.audience.join(participant, viewer));
    let subscription = joined.flatten().ok_or_else(RefusedPost::nobody_publishes)?;
    let secret =
        random_id().map_err(|_| RefusedPost::code_2001("OpenSSL gives no random numbers"))?;
    let limit = state.rules.limits.viewers;
    let ended = state.viewers.keep(&secret, limit);
    let ended = ended.ok_or_else(|| RefusedPost::too_many_viewers(limit))?;
    let answered = Viewer::answer(viewer, &offer, &sections, subscription, state).await;
    let (run, answer) = answered.map_err(|error| {
        state.viewers.forget(&secret);
        RefusedPost::no_answer(&error)
    })?;
    state.record.add(Happening::Subscribed {
        viewer,
        participant: participant.to_owned(),
    });
    spawn(&state.record, {
        let (state, secret) = (Arc::clone(state), secret.clone());
        async move {
            run.run(ended).await;
            state.viewers.forget(&secret);
        }
    });
    Ok((secret, answer))
}

fn receives(section: &OfferSection) -> bool {
    let receives = matches!(section.direction, Direction::RecvOnly | Direction::SendRecv);
    receives && section.kind != Kind::Other && (section.port != 0 || section.bundle_only)
}

/// Ends a viewer's session; `None` if the secret is of no viewer.
pub(crate) fn delete(state: &StageState, secret: &str, headers: &HeaderMap) -> Option<Reply> {
    if !state.viewers.has(secret) {
        return None;
    }
    let refusal = resource::token_refusal(state, headers);
    if refusal.is_none() {
        state.viewers.forget(secret);
    }
    let status = refusal.unwrap_or(StatusCode::OK.as_u16());
    Some(resource::session_reply(state, status, &[]))
}
