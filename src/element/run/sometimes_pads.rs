//! Watches the elements of the pipeline that add source pads while it starts, as decodebin
//! and rtspsrc do: a session that begins before would have to be replaced.
//!
//! In: the pipeline's elements, their `pad-added` and `no-more-pads`, PLAYING, the time.
//! Out: whether a pad may still come.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::conductor_message::{Message, PadNews};
use crate::element::log::CAT;

/// Limit for the first pad of each element, from PLAYING on. USB cameras give a first
/// picture within 2 s; behind rtspsrc decodebin waits for a key frame.
const FIRST_PAD: Duration = Duration::from_secs(5);

/// Limit for each further pad. decodebin3 and parsebin do not emit `no-more-pads`, and add
/// their pads at once.
const NEXT_PAD: Duration = Duration::from_millis(100);

/// The elements that may still add pads.
#[derive(Default)]
pub(super) struct SometimesPads {
    watched: Vec<Watched>,
    limits: Limits,
}

impl SometimesPads {
    /// Watches the elements beside `bin`, and those beside each bin around it. What they do
    /// goes to the conductor.
    pub(super) fn watch(bin: &gst::Bin, messages: &Arc<Sender<Message>>) -> Self {
        let mut elements = elements_beside(bin);
        elements.retain(will_add_pads);
        let limits = Limits(vec![Limit::AtPlaying; elements.len()]);
        let watch = |(index, element): (usize, &gst::Element)| {
            gst::info!(CAT, obj = bin, "awaits the pads of {}", element.name());
            Watched::new(element, index, messages)
        };
        let watched = elements.iter().enumerate().map(watch).collect();
        Self { watched, limits }
    }

    /// Notes that PLAYING is reached. Live sources give nothing before.
    pub(super) fn playing(&mut self) {
        self.limits.begin(Instant::now());
    }

    /// Notes what the element with this index has done.
    pub(super) fn note(&mut self, index: usize, news: PadNews) {
        self.limits.note(index, news, Instant::now());
    }

    /// Whether a pad may still come.
    pub(super) fn may_come(&self) -> bool {
        self.limits.may_come(Instant::now())
    }

    /// The time to the next limit, if there is one.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.limits.time_left(Instant::now())
    }

    /// The names of the elements that have added no pad so far, and may add some.
    pub(super) fn without_pads(&self) -> Vec<String> {
        let watched = self.watched.iter().zip(&self.limits.0);
        let without = watched.filter(|(_, limit)| !matches!(limit, Limit::Next(_) | Limit::Over));
        let without = without.filter_map(|(watched, _)| watched.element.upgrade());
        without.map(|element| element.name().to_string()).collect()
    }
}

/// The elements of each bin around this one.
fn elements_beside(bin: &gst::Bin) -> Vec<gst::Element> {
    let mut elements = Vec::new();
    let mut inside = bin.clone().upcast::<gst::Object>();
    while let Some(around) = inside.parent() {
        if let Some(around) = around.downcast_ref::<gst::Bin>() {
            let beside = around.children().into_iter();
            elements.extend(beside.filter(|element| *element != inside));
        }
        inside = around;
    }
    elements
}

/// Whether an element that starts has pads to add that come of its input. Those of rtpbin
/// and webrtcbin, whose input pads are requested, may be for what they send.
fn will_add_pads(element: &gst::Element) -> bool {
    let templates = element.pad_template_list();
    let has = |direction, presence| {
        let mut templates = templates.iter();
        templates.any(|pad| pad.direction() == direction && pad.presence() == presence)
    };
    let is_fed_by_request = has(gst::PadDirection::Sink, gst::PadPresence::Request)
        && !has(gst::PadDirection::Sink, gst::PadPresence::Always);
    has(gst::PadDirection::Src, gst::PadPresence::Sometimes)
        && !is_fed_by_request
        && element.src_pads().is_empty()
        && element.current_state() != gst::State::Playing
}

/// The handlers on an element, which end with this.
struct Watched {
    element: glib::WeakRef<gst::Element>,
    handlers: Vec<glib::SignalHandlerId>,
}

impl Watched {
    fn new(element: &gst::Element, index: usize, messages: &Arc<Sender<Message>>) -> Self {
        // Weak, because the conductor ends when the last sender is dropped.
        let messages = Arc::downgrade(messages);
        let tell = move |news| tell(&messages, Message::PadsOfOther(index, news));
        let added = tell.clone();
        let handlers = vec![
            element.connect_pad_added(move |_, pad| {
                if pad.direction() == gst::PadDirection::Src {
                    added(PadNews::Added);
                }
            }),
            element.connect_no_more_pads(move |_| tell(PadNews::NoMore)),
        ];
        let element = element.downgrade();
        Self { element, handlers }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(element) = self.element.upgrade() {
            let handlers = self.handlers.drain(..);
            handlers.for_each(|handler| element.disconnect(handler));
        }
    }
}

fn tell(messages: &Weak<Sender<Message>>, message: Message) {
    if let Some(messages) = messages.upgrade() {
        // Fails only if the conductor has ended.
        let _ = messages.send(message);
    }
}

/// Until when each element may add a pad.
#[derive(Default)]
struct Limits(Vec<Limit>);

#[derive(Clone, Copy)]
enum Limit {
    /// That for the first pad, before PLAYING.
    AtPlaying,
    First(Instant),
    Next(Instant),
    Over,
}

impl Limits {
    fn begin(&mut self, now: Instant) {
        for limit in &mut self.0 {
            if matches!(limit, Limit::AtPlaying) {
                *limit = Limit::First(now + FIRST_PAD);
            }
        }
    }

    fn note(&mut self, index: usize, news: PadNews, now: Instant) {
        if let Some(limit) = self.0.get_mut(index) {
            *limit = match (news, *limit) {
                (PadNews::NoMore, _) | (_, Limit::Over) => Limit::Over,
                (PadNews::Added, _) => Limit::Next(now + NEXT_PAD),
            };
        }
    }

    fn may_come(&self, now: Instant) -> bool {
        self.0.iter().any(|limit| match limit {
            Limit::AtPlaying => true,
            Limit::First(until) | Limit::Next(until) => *until > now,
            Limit::Over => false,
        })
    }

    fn time_left(&self, now: Instant) -> Option<Duration> {
        let left = self.0.iter().filter_map(|limit| match limit {
            Limit::First(until) | Limit::Next(until) => until.checked_duration_since(now),
            Limit::AtPlaying | Limit::Over => None,
        });
        left.filter(|left| !left.is_zero()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn limits(count: usize) -> (Limits, Instant) {
        (Limits(vec![Limit::AtPlaying; count]), Instant::now())
    }

    #[test]
    fn nothing_is_awaited_of_no_element() {
        let (limits, now) = limits(0);
        assert!(!limits.may_come(now));
        assert_eq!(limits.time_left(now), None);
    }

    #[test]
    fn a_first_pad_is_awaited_for_a_limited_time_from_playing_on() {
        let (mut limits, start) = limits(1);
        let now = start + 10 * FIRST_PAD;
        assert!(limits.may_come(now));
        assert_eq!(limits.time_left(now), None);
        limits.begin(now);
        assert_eq!(limits.time_left(now), Some(FIRST_PAD));
        assert!(limits.may_come(now + FIRST_PAD - MOMENT));
        assert!(!limits.may_come(now + FIRST_PAD));
        assert_eq!(limits.time_left(now + FIRST_PAD), None);
    }

    #[test]
    fn a_further_pad_is_awaited_for_a_short_time() {
        let (mut limits, now) = limits(1);
        limits.begin(now);
        limits.note(0, PadNews::Added, now);
        assert_eq!(limits.time_left(now), Some(NEXT_PAD));
        limits.note(0, PadNews::Added, now + NEXT_PAD - MOMENT);
        assert!(limits.may_come(now + NEXT_PAD));
        limits.note(0, PadNews::NoMore, now + NEXT_PAD);
        assert!(!limits.may_come(now + NEXT_PAD));
        limits.note(0, PadNews::Added, now + NEXT_PAD);
        assert!(!limits.may_come(now + NEXT_PAD), "after the last");
    }

    #[test]
    fn what_came_before_playing_has_no_limit_of_its_own() {
        let (mut limits, now) = limits(2);
        limits.note(0, PadNews::NoMore, now);
        limits.begin(now);
        assert_eq!(limits.time_left(now), Some(FIRST_PAD));
        limits.note(1, PadNews::NoMore, now);
        assert!(!limits.may_come(now));
    }
}
