//! Applies changes of the pads and their streams to the session.

use gst::prelude::*;

use super::awaited_media::PadWithoutCaps;
use super::lineup::{Change, Refused};
use super::peer_opening::open;
use super::run_state::Run;
use super::sometimes_pads::LONGEST_WAIT;
use crate::element::bus_messages;
use crate::element::input::{MediaPad, PadState, upstream_ends};
use crate::element::log::CAT;
use crate::element::session_state::SessionState;
use crate::session::{ErrorKind, Input};

/// Reads the pads, and applies the changes that the line-up derives from them.
pub(super) fn line_up(run: &mut Run, element: &gst::Bin) {
    let pads = run.state.pads.get();
    let states: Vec<PadState> = pads.iter().map(|pad| pad.state()).collect();
    let awaited = run
        .awaited_media
        .look(element, &without_caps(&pads, &states));
    run.lineup.await_pads(awaited.pads);
    run.lineup.give_up(awaited.given_up);
    let changes = run.lineup.update(&states);
    run.view.set_left_out(run.lineup.left_out());
    if changes
        .iter()
        .any(|change| matches!(change, Change::Open(_)))
    {
        warn_without_pads(element, &awaited.without_pads);
        run.awaited_media.opened();
    }
    if run.lineup.has_opened() {
        let overdue = run.awaited_media.tell_overdue();
        warn_without_caps(run, element, &overdue);
    }
    for change in changes {
        apply(run, element, change);
    }
}

/// As [`line_up`], where time or another element of the pipeline can have changed what is
/// awaited.
pub(super) fn line_up_if_due(run: &mut Run, element: &gst::Bin) {
    if !run.lineup.has_opened() || run.awaited_media.is_look_due() {
        line_up(run, element);
    }
}

fn without_caps(pads: &[MediaPad], states: &[PadState]) -> Vec<PadWithoutCaps> {
    let pads = pads.iter().zip(states);
    let without = pads
        .filter(|(_, state)| state.is_linked && state.format.is_none() && !state.has_ended)
        .map(|(pad, _)| PadWithoutCaps {
            id: pad.id,
            upstream: upstream_ends(pad.ghost.upcast_ref()),
        });
    without.collect()
}

/// Handles a flush of the pad with this id.
pub(super) fn flushed(run: &mut Run, element: &gst::Bin, pad: u32) {
    if let Some(change) = run.lineup.flushed(pad) {
        apply(run, element, change);
    }
    line_up(run, element);
}

pub(super) fn apply(run: &mut Run, bin: &gst::Bin, change: Change) {
    let element = bin.upcast_ref::<gst::Element>();
    match change {
        Change::Open(number) => open(run, bin, number),
        Change::Replace => {
            gst::info!(
                CAT,
                obj = element,
                "the media have changed: replacing the session"
            );
            run.session.tell(Input::Replace);
        }
        Change::Refuse(refused) => {
            run.session.tell(Input::Stop);
            run.enter(element, SessionState::Failed);
            let text = refused_text(run, &refused);
            bus_messages::post_error(element, ErrorKind::Settings, "offer", &text);
        }
        Change::LeaveOut(id, refused) => warn_of_left_out(run, element, id, &refused),
        Change::End => {
            gst::info!(CAT, obj = element, "end of stream on every pad");
            run.session.tell(Input::Stop);
        }
        Change::PostEndOfStream => bus_messages::post_end_of_stream(element),
        Change::StartAgain => run.start_again(),
    }
}

/// Names the pad, where one alone is refused.
fn refused_text(run: &Run, refused: &Refused) -> String {
    let pads = run.state.pads.get();
    let refuses = |error| {
        let mut pads = pads.iter();
        pads.find(|pad| pad.state().caps_error() == Some(error))
    };
    match refused {
        Refused::Caps(error) => match refuses(error) {
            Some(pad) => format!("Pad {} can't be published: {error}.", pad.ghost.name()),
            None => refused.to_string(),
        },
        Refused::Tracks(_) => refused.to_string(),
    }
}

fn warn_of_left_out(run: &Run, element: &gst::Element, id: u32, refused: &Refused) {
    if let Some(pad) = run.state.pads.get().iter().find(|pad| pad.id == id) {
        let text = format!("Pad {} is not published. {refused}", pad.ghost.name());
        bus_messages::post_warning(element, &text);
    }
}

fn warn_without_pads(element: &gst::Bin, names: &[String]) {
    if !names.is_empty() {
        let text = format!(
            "{} of this pipeline added no pad within {} s, so the session begins with what is \
             linked. If its media are to be published, check the elements upstream of it: \
             another session replaces this one when they come.",
            names.join(" and "),
            LONGEST_WAIT.as_secs()
        );
        bus_messages::post_warning(element.upcast_ref(), &text);
    }
}

fn warn_without_caps(run: &Run, element: &gst::Bin, ids: &[u32]) {
    let pads = run.state.pads.get();
    for pad in pads.iter().filter(|pad| ids.contains(&pad.id)) {
        let text = format!(
            "No media came to {} within {} s, so the session goes on without. Check the elements \
             upstream of it: another session replaces this one when they come.",
            pad.ghost.name(),
            LONGEST_WAIT.as_secs()
        );
        bus_messages::post_warning(element.upcast_ref(), &text);
    }
}
