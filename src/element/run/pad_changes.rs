//! Applies changes of the pads and their streams to the session.

use gst::prelude::*;

use super::lineup::{Change, Refused};
use super::peer_opening::open;
use super::run_state::Run;
use super::sometimes_pads::SometimesPads;
use crate::element::bus_messages;
use crate::element::input::PadState;
use crate::element::log::CAT;
use crate::element::session_state::SessionState;
use crate::session::{ErrorKind, Input};

/// Reads the pads, and applies the changes that the line-up derives from them.
pub(super) fn line_up(run: &mut Run, element: &gst::Bin) {
    let pads = run.state.pads.get();
    let states: Vec<PadState> = pads.iter().map(|pad| pad.state()).collect();
    let changes = run.lineup.update(&states);
    run.view.set_left_out(run.lineup.left_out());
    for change in changes {
        apply(run, element, change);
    }
}

/// Lines up what there is, once no other element of the pipeline may add a pad.
pub(super) fn line_up_without_awaited(run: &mut Run, element: &gst::Bin) {
    if run.lineup.awaits_pads() && !run.sometimes_pads.may_come() {
        run.lineup.no_more_pads();
        for name in run.sometimes_pads.without_pads() {
            let text = format!(
                "{name} has added no pad yet, and is not waited for any longer. If its media are \
                 to be published, check the elements upstream of it."
            );
            bus_messages::post_warning(element.upcast_ref(), &text);
        }
        line_up(run, element);
    }
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
        Change::Open(number) => {
            run.sometimes_pads = SometimesPads::default();
            open(run, bin, number);
        }
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
            let text = refused.to_string();
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

fn warn_of_left_out(run: &Run, element: &gst::Element, id: u32, refused: &Refused) {
    if let Some(pad) = run.state.pads.get().iter().find(|pad| pad.id == id) {
        let text = format!("Pad {} is not published. {refused}", pad.ghost.name());
        bus_messages::post_warning(element, &text);
    }
}
