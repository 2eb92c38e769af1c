//! Checks what every POST of an offer needs: its content type, its token and a
//! readable offer.

use http::{HeaderMap, StatusCode};
use hyper::body::Incoming;

use crate::offer::{OfferSection, read_sections};
use crate::participant_token::Participant;
use crate::refused_post::RefusedPost;
use crate::request::{bearer, has_type, read_body};
use crate::sdp_limits::excess;
use crate::state::StageState;

pub(crate) fn check_content_type(
    state: &StageState,
    headers: &HeaderMap,
) -> Result<(), RefusedPost> {
    if has_type(headers, "application/sdp") {
        return Ok(());
    }
    let message = "Content-Type must be application/sdp";
    Err(RefusedPost::plain(state.rules.wrong_type_status, message))
}

/// The participant of the token, which this stage signed and which is not expired.
pub(crate) fn check_token(
    state: &StageState,
    headers: &HeaderMap,
) -> Result<Participant, RefusedPost> {
    let forbidden = StatusCode::FORBIDDEN;
    let Some(token) = bearer(headers) else {
        return Err(RefusedPost::without_token(
            state.rules.missing_token.clone(),
        ));
    };
    let Some(participant) = state.key.read(token) else {
        let reason = "the token is not signed with this stage's key, is for another stage, or has \
                      a participant id that IVS does not allow";
        return Err(RefusedPost::ivs(forbidden, 2003, "invalid token", reason));
    };
    if participant.expired {
        let status = StatusCode::BAD_REQUEST;
        return Err(RefusedPost::ivs(
            status,
            2002,
            "token expired",
            "the token has expired",
        ));
    }
    Ok(participant)
}

/// The offer, and its sections.
pub(crate) async fn read_offer(
    state: &StageState,
    body: Incoming,
) -> Result<(String, Vec<OfferSection>), RefusedPost> {
    let body = read_body(body, state.rules.limits.request_time);
    let body = body.await.map_err(|error| {
        let message = format!("can't read the offer: {error}");
        RefusedPost::plain(error.status(), &message)
    })?;
    let offer = String::from_utf8(body.into())
        .map_err(|_| RefusedPost::code_2001("the offer isn't UTF-8"))?;
    if let Some(excess) = excess(&offer) {
        return Err(RefusedPost::code_2001(&excess));
    }
    match read_sections(&offer) {
        Some(sections) => Ok((offer, sections)),
        None => Err(RefusedPost::code_2001("the body isn't SDP")),
    }
}
