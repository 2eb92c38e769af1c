//! What a run awaits of the pipeline: pads that other elements add, and the caps of linked
//! pads.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

use super::awaited_caps::AwaitedCaps;
use super::conductor_message::{Message, PadNews};
use super::sometimes_pads::SometimesPads;
use crate::element::input::UpstreamEnds;

#[derive(Default)]
pub(super) struct AwaitedMedia {
    has_played: bool,
    pads: SometimesPads,
    caps: AwaitedCaps,
}

/// A linked pad that has no caps yet, by its id.
pub(super) struct PadWithoutCaps {
    pub(super) id: u32,
    pub(super) upstream: UpstreamEnds,
}

/// What is awaited now.
pub(super) struct Awaited {
    /// Whether another element may still add a pad for this one.
    pub(super) pads: bool,
    /// The elements that have added none, if their time is over.
    pub(super) without_pads: Vec<String>,
    /// The pads without caps that are awaited no longer.
    pub(super) given_up: Vec<u32>,
}

impl AwaitedMedia {
    pub(super) fn new(element: &gst::Bin, messages: &Arc<Sender<Message>>) -> Self {
        Self {
            pads: SometimesPads::watch(element, messages),
            ..Self::default()
        }
    }

    /// Notes that PLAYING is reached. Live sources give nothing before.
    pub(super) fn playing(&mut self) {
        self.has_played = true;
        self.pads.playing();
    }

    /// Notes what another element has done.
    pub(super) fn note(&mut self, index: usize, news: PadNews) {
        self.pads.note(index, news);
    }

    /// Notes that a session opens: pads that other elements add are awaited no longer.
    pub(super) fn opened(&mut self) {
        self.pads.end();
    }

    /// What is awaited now, with these pads linked and without caps.
    pub(super) fn look(&mut self, element: &gst::Bin, without_caps: &[PadWithoutCaps]) -> Awaited {
        let ids: Vec<u32> = without_caps.iter().map(|pad| pad.id).collect();
        if self.has_played {
            self.caps.update(&ids, Instant::now());
        }
        let ours = without_caps.iter().flat_map(|pad| &pad.upstream.unlinked);
        let ours: Vec<gst::Pad> = ours.cloned().collect();
        let pads = self.pads.may_come(element, &ours);
        // Such a pad stays unlinked upstream: the stream that it is for does not exist.
        let has_none = |pad: &PadWithoutCaps| !pad.upstream.has_source && self.pads.are_all_there();
        let given_up = without_caps.iter();
        let given_up = given_up.filter(|pad| has_none(pad) || self.caps.is_over(pad.id));
        Awaited {
            pads,
            without_pads: match pads {
                true => Vec::new(),
                false => self.pads.without_pads(element, &ours),
            },
            given_up: given_up.map(|pad| pad.id).collect(),
        }
    }

    /// The pads whose caps have not come in time, each once.
    pub(super) fn tell_overdue(&mut self) -> Vec<u32> {
        self.caps.tell_over()
    }

    /// The time until less is awaited, if something is.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let times = [self.pads.time_left(), self.caps.time_left(Instant::now())];
        times.into_iter().flatten().min()
    }

    /// Whether [`Self::look`] has something new to tell of caps.
    pub(super) fn is_look_due(&self) -> bool {
        self.caps.time_left(Instant::now()) == Some(Duration::ZERO)
    }
}
