//! Handles the session's events: calls on the peer connection, signals, bus messages.

use std::time::Duration;

use gst::prelude::*;

use super::pad_changes::{apply, line_up};
use super::run_state::Run;
use super::run_statistics::RunStatistics;
use super::token_request::request_token;
use crate::element::bus_messages;
use crate::element::input::{MediaPad, OpenGate};
use crate::element::log::CAT;
use crate::element::peer::Peer;
use crate::element::session_state::SessionState;
use crate::ivs::Claims;
use crate::session::{Event, State};
use crate::whip::Track;

/// Handles an event. Once the run is stopped, only warnings (of a session that may be
/// left on the server), redirects and trickling are still reported.
pub(super) fn on_event(run: &mut Run, bin: &gst::Bin, event: Event) {
    let element = bin.upcast_ref::<gst::Element>();
    match event {
        Event::Warning(warning) => bus_messages::post_session_warning(element, &warning),
        Event::Redirected { from, to } => {
            gst::info!(CAT, obj = element, "{from} redirects to {to}");
        }
        Event::CandidateName { name, found } => {
            gst::info!(
                CAT,
                obj = element,
                "candidate {name} of the answer: {found:?}"
            );
        }
        Event::CandidatesSent(Ok(count)) => {
            gst::debug!(CAT, obj = element, "{count} candidates sent");
        }
        Event::CandidatesSent(Err(reason)) => {
            gst::info!(CAT, obj = element, "no candidates were sent: {reason}");
        }
        _ if run.view.is_stopped() => {}
        Event::State(state) => on_state(run, element, state),
        Event::MakeOffer { .. } | Event::Answer { .. } | Event::NewTokenWanted => {
            on_request(run, bin, event);
        }
        Event::Claims(claims) => on_claims(run, element, claims),
        Event::Times(times) => {
            run.change_statistics(|statistics| statistics.times = Some(times));
        }
        Event::NoOffer { after } => explain_waiting(run, element, after),
        Event::FillerFallback { failure, to } => {
            bus_messages::post_filler_fallback(element, &failure, to);
        }
        Event::Retry {
            failure,
            attempt,
            wait,
        } => {
            leave_session(run, element, SessionState::Retrying, || {
                bus_messages::post_retry(element, &failure, attempt, wait);
            });
        }
        Event::Failed(failure) => {
            leave_session(run, element, SessionState::Failed, || {
                bus_messages::post_failure(element, &failure);
            });
        }
        Event::Ended(ended) => {
            gst::info!(CAT, obj = element, "session ended: {ended:?}");
            run.close_peer(element);
            if run.view.is_stopped() {
                return;
            }
            run.enter(element, SessionState::Ended);
            if let Some(change) = run.lineup.session_over() {
                apply(run, bin, change);
            }
        }
    }
}

/// Enters the next state, tells why, and closes the peer connection. That comes last: it
/// waits for webrtcbin's thread, which a handler of the application may hold for long.
fn leave_session(run: &mut Run, element: &gst::Element, next: SessionState, tell: impl FnOnce()) {
    run.leave_air(element);
    run.enter(element, next);
    // A handler of the change may have stopped the pipeline.
    if !run.view.is_stopped() {
        tell();
    }
    run.close_peer(element);
}

fn on_state(run: &mut Run, element: &gst::Element, state: State) {
    match state {
        State::Connecting => run.enter(element, SessionState::Connecting),
        State::Publishing => {
            run.change_statistics(RunStatistics::publishes);
            open_gates(run, element);
            tell_filler(run, element);
            run.enter(element, SessionState::Publishing);
        }
        State::Stopping => run.enter(element, SessionState::Stopping),
    }
}

/// Handles an event with which the driver requests something of webrtcbin or the
/// application.
fn on_request(run: &mut Run, bin: &gst::Bin, event: Event) {
    let element = bin.upcast_ref::<gst::Element>();
    match event {
        Event::MakeOffer {
            peer,
            without_video,
        } => {
            run.close_peer(element);
            run.without_video = without_video;
            run.lineup.request_offer(peer);
            run.enter(element, SessionState::Waiting);
            line_up(run, bin);
        }
        Event::Answer {
            peer,
            answer,
            ice_servers,
        } => {
            for repair in answer.repairs() {
                gst::info!(CAT, obj = element, "the answer was repaired: {repair}");
            }
            let current = run.view.peer();
            if let Some(current) = current.filter(|current| current.number() == peer) {
                current.apply(&answer, &ice_servers);
            }
        }
        Event::NewTokenWanted => request_token(run, element),
        _ => {}
    }
}

fn on_claims(run: &mut Run, element: &gst::Element, claims: Option<Claims>) {
    if claims.is_none() {
        gst::info!(
            CAT,
            obj = element,
            "the token is not a JWT, so its claims are unknown"
        );
    }
    run.limits.update_claims(claims.as_ref());
    run.show_whether_limits_apply();
    run.warn_of_limits(element);
    if run.view.set_claims(claims) {
        for property in ["participant-id", "stage-arn", "token-expiry"] {
            element.notify(property);
        }
    }
}

fn open_gates(run: &mut Run, element: &gst::Element) {
    let Some(peer) = run.view.peer() else {
        return;
    };
    peer.start_filler();
    let mut pads = run.state.pads.get();
    pads.retain(|pad| run.lineup.published_pads().any(|id| id == pad.id));
    run.restart_silence(&pads);
    for pad in pads {
        let track = pad.format().map(|format| format.track);
        let is_video = track == Some(Track::Video);
        let is_paced = is_video && run.control_bitrate(element, &pad);
        pad.open_gate(OpenGate {
            peer: peer.number(),
            is_video,
            is_paced,
            transport_wide: track.and_then(|track| peer.transport_wide(track)),
        });
    }
}

/// Posts the session's filler mode if it has changed.
fn tell_filler(run: &mut Run, element: &gst::Element) {
    let mode = run.view.peer().as_ref().and_then(Peer::filler);
    let told = std::mem::replace(&mut run.posted_filler, mode);
    if let Some(mode) = mode.filter(|mode| told != Some(*mode)) {
        bus_messages::post_filler(element, mode);
    }
}

/// Warns once in a run of the pads that have no media yet. Not before PLAYING: in
/// PAUSED it is the pipeline that waits.
fn explain_waiting(run: &mut Run, element: &gst::Element, after: Duration) {
    if !run.lineup.has_played() || run.has_warned_of_missing_media {
        return;
    }
    let mut pads = run.state.pads.get();
    pads.retain(|pad| pad.state().is_linked);
    let names = |pads: &[&MediaPad]| {
        let names: Vec<_> = pads.iter().map(|pad| pad.ghost.name()).collect();
        names.join(" and ")
    };
    let without_caps = pads.iter().filter(|pad| pad.state().format.is_none());
    let (silent, untyped): (Vec<_>, Vec<_>) = without_caps.partition(|pad| pad.silence().is_none());
    let unread = silent.iter().find_map(|pad| Some((pad, pad.unread()?)));
    let text = if pads.is_empty() {
        "no pad is linked. Link a source to a pad sink_%u".to_owned()
    } else if !untyped.is_empty() {
        format!(
            "the media at {} have no caps. Set them upstream: udpsrc, for example, takes \
             caps=application/x-rtp,media=audio,encoding-name=OPUS,…",
            names(&untyped)
        )
    } else if let Some((pad, codec)) = unread {
        format!(
            "what comes in at {} can't be read as {codec}, as its caps say. Check the caps and \
             the data upstream",
            pad.ghost.name()
        )
    } else if !silent.is_empty() {
        format!(
            "no media has arrived at {} for {} s. Check the elements upstream",
            names(&silent),
            after.as_secs()
        )
    } else {
        return;
    };
    run.has_warned_of_missing_media = true;
    bus_messages::post_warning(element, &format!("Nothing is published yet: {text}."));
}
