//! Watches the elements of the pipeline that add source pads while it starts, as decodebin
//! and rtspsrc do: a session that begins before would have to be replaced.
//!
//! In: the pipeline's elements, their `pad-added` and `no-more-pads`, PLAYING, the time.
//! Out: whether one may still come for this element.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::conductor_message::{Message, PadNews};
use crate::element::log::CAT;

/// Limit for the first pad of each element, from PLAYING on, and for the caps of a linked
/// pad. USB cameras give a first picture within 2 s; behind rtspsrc decodebin waits for a key
/// frame.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Limit for each further pad, if `no-more-pads` does not come before. rtspsrc adds a pad
/// with the first packet of a stream.
const NEXT_PAD: Duration = Duration::from_secs(1);

/// That for the elements that never emit `no-more-pads`. They add their pads at once.
const NEXT_PAD_AT_ONCE: Duration = Duration::from_millis(200);
const WITHOUT_NO_MORE_PADS: [&str; 3] = ["decodebin3", "uridecodebin3", "parsebin"];

/// The elements that may still add pads.
#[derive(Default)]
pub(super) struct SometimesPads {
    watched: Vec<Watched>,
    limits: Limits,
    /// Whether there was such an element.
    had_any: bool,
}

impl SometimesPads {
    /// Watches the elements beside `bin`, and those beside each bin around it. What they do
    /// goes to the conductor.
    pub(super) fn watch(bin: &gst::Bin, messages: &Arc<Sender<Message>>) -> Self {
        let elements = elements_beside(bin).into_iter();
        let elements: Vec<_> = elements.filter(will_add_pads).collect();
        let elements = elements.iter().enumerate();
        let watched = elements.map(|(index, element)| {
            gst::info!(CAT, obj = bin, "awaits the pads of {}", element.name());
            (Watched::new(element, index, messages), limit(element))
        });
        let (watched, limits): (Vec<_>, Vec<_>) = watched.unzip();
        Self {
            had_any: !watched.is_empty(),
            watched,
            limits: Limits(limits),
        }
    }

    /// Notes that PLAYING is reached. Live sources give nothing before.
    pub(super) fn playing(&mut self) {
        self.limits.begin(Instant::now());
    }

    /// Notes what the element with this index has done.
    pub(super) fn note(&mut self, index: usize, news: PadNews) {
        self.limits.note(index, news, Instant::now());
    }

    /// Awaits nothing any more.
    pub(super) fn end(&mut self) {
        self.watched.clear();
        self.limits = Limits::default();
    }

    /// Whether a pad may still come for a request pad of `bin`: more elements may add one
    /// than other sink pads that are not linked. `ours` are those that lead to `bin`.
    pub(super) fn may_come(&self, bin: &gst::Bin, ours: &[gst::Pad]) -> bool {
        let awaited = self.limits.awaited(Instant::now());
        awaited > 0 && awaited > unlinked_beside(bin, ours)
    }

    /// Whether there were elements that add pads, and none may add another.
    pub(super) fn are_all_there(&self) -> bool {
        self.had_any && self.limits.awaited(Instant::now()) == 0
    }

    /// The time to the next limit, if there is one.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.limits.time_left(Instant::now())
    }

    /// The names of the elements that have added no pad so far, if one of them may be for a
    /// request pad of `bin`.
    pub(super) fn without_pads(&self, bin: &gst::Bin, ours: &[gst::Pad]) -> Vec<String> {
        let watched = self.watched.iter().zip(&self.limits.0);
        let without = watched.filter(|(_, limit)| limit.awaits_first());
        let without = without.filter_map(|(watched, _)| watched.element.upgrade());
        let names: Vec<_> = without.map(|element| element.name().to_string()).collect();
        match names.len() > unlinked_beside(bin, ours) {
            true => names,
            false => Vec::new(),
        }
    }
}

/// The elements of each bin around this one, and those inside an application's bins.
fn elements_beside(bin: &gst::Bin) -> Vec<gst::Element> {
    let mut elements = Vec::new();
    let mut inside = bin.clone().upcast::<gst::Object>();
    while let Some(around) = inside.parent() {
        if let Some(around) = around.downcast_ref::<gst::Bin>() {
            let children = around.children().into_iter();
            let mut beside: Vec<_> = children.filter(|element| *element != inside).collect();
            while let Some(element) = beside.pop() {
                if let Some(bin) = element.downcast_ref::<gst::Bin>()
                    && is_of_application(bin)
                {
                    beside.extend(bin.children());
                }
                elements.push(element);
            }
        }
        inside = around;
    }
    elements
}

/// Whether a bin that starts is no element of a plugin, such as decodebin.
fn is_of_application(bin: &gst::Bin) -> bool {
    let factory = bin.factory();
    !bin.is_locked_state()
        && factory.is_none_or(|factory| ["bin", "pipeline"].contains(&&*factory.name()))
}

/// How many sink pads beside `bin` are not linked, without `ours`.
fn unlinked_beside(bin: &gst::Bin, ours: &[gst::Pad]) -> usize {
    let elements = elements_beside(bin).into_iter();
    let sinks = elements.flat_map(|element| element.sink_pads());
    let unlinked = sinks.filter(|sink| !sink.is_linked() && !ours.contains(sink));
    unlinked.count()
}

/// Whether an element that starts has pads to add.
fn will_add_pads(element: &gst::Element) -> bool {
    adds_pads(element)
        && element.src_pads().is_empty()
        && element.current_state() != gst::State::Playing
        && !element.is_locked_state()
}

/// Whether an element adds source pads that come of its input. Those of rtpbin and
/// webrtcbin, whose sink pads are requested, may be for what they send.
fn adds_pads(element: &gst::Element) -> bool {
    let templates = element.pad_template_list();
    let has = |direction, presence| {
        let mut templates = templates.iter();
        templates.any(|pad| pad.direction() == direction && pad.presence() == presence)
    };
    let is_fed_by_request = has(gst::PadDirection::Sink, gst::PadPresence::Request)
        && !has(gst::PadDirection::Sink, gst::PadPresence::Always);
    has(gst::PadDirection::Src, gst::PadPresence::Sometimes) && !is_fed_by_request
}

fn limit(element: &gst::Element) -> Limit {
    let factory = element.factory();
    let adds_at_once =
        factory.is_some_and(|factory| WITHOUT_NO_MORE_PADS.contains(&&*factory.name()));
    Limit {
        next_pad: match adds_at_once {
            true => NEXT_PAD_AT_ONCE,
            false => NEXT_PAD,
        },
        phase: match element.src_pads().is_empty() {
            true => Phase::BeforePlaying,
            // Added before the handlers were there.
            false => Phase::Over,
        },
    }
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

struct Limit {
    next_pad: Duration,
    phase: Phase,
}

#[derive(Clone, Copy)]
enum Phase {
    BeforePlaying,
    FirstPad(Instant),
    NextPad(Instant),
    Over,
}

impl Limits {
    fn begin(&mut self, now: Instant) {
        for limit in &mut self.0 {
            if matches!(limit.phase, Phase::BeforePlaying) {
                limit.phase = Phase::FirstPad(now + LONGEST_WAIT);
            }
        }
    }

    fn note(&mut self, index: usize, news: PadNews, now: Instant) {
        if let Some(limit) = self.0.get_mut(index) {
            limit.phase = match (news, limit.phase) {
                (PadNews::NoMore, _) | (_, Phase::Over) => Phase::Over,
                (PadNews::Added, _) => Phase::NextPad(now + limit.next_pad),
            };
        }
    }

    /// How many elements may add a pad.
    fn awaited(&self, now: Instant) -> usize {
        let awaited = self.0.iter().filter(|limit| match limit.phase {
            Phase::BeforePlaying => true,
            Phase::FirstPad(until) | Phase::NextPad(until) => until > now,
            Phase::Over => false,
        });
        awaited.count()
    }

    fn time_left(&self, now: Instant) -> Option<Duration> {
        let left = self.0.iter().filter_map(|limit| match limit.phase {
            Phase::FirstPad(until) | Phase::NextPad(until) => until.checked_duration_since(now),
            Phase::BeforePlaying | Phase::Over => None,
        });
        left.filter(|left| !left.is_zero()).min()
    }
}

impl Limit {
    /// Whether the element has added no pad so far.
    fn awaits_first(&self) -> bool {
        matches!(self.phase, Phase::BeforePlaying | Phase::FirstPad(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    fn limits(count: usize) -> (Limits, Instant) {
        let limit = || Limit {
            next_pad: NEXT_PAD,
            phase: Phase::BeforePlaying,
        };
        let limits = std::iter::repeat_with(limit).take(count);
        (Limits(limits.collect()), Instant::now())
    }

    #[test]
    fn nothing_is_awaited_of_no_element() {
        let (limits, now) = limits(0);
        assert_eq!(limits.awaited(now), 0);
        assert_eq!(limits.time_left(now), None);
    }

    #[test]
    fn a_first_pad_is_awaited_for_a_limited_time_from_playing_on() {
        let (mut limits, start) = limits(1);
        let now = start + 10 * LONGEST_WAIT;
        assert_eq!(limits.awaited(now), 1);
        assert_eq!(limits.time_left(now), None);
        limits.begin(now);
        assert_eq!(limits.time_left(now), Some(LONGEST_WAIT));
        assert_eq!(limits.awaited(now + LONGEST_WAIT - MOMENT), 1);
        assert_eq!(limits.awaited(now + LONGEST_WAIT), 0);
        assert_eq!(limits.time_left(now + LONGEST_WAIT), None);
        assert!(limits.0[0].awaits_first());
    }

    #[test]
    fn a_further_pad_is_awaited_for_a_short_time() {
        let (mut limits, now) = limits(1);
        limits.begin(now);
        limits.note(0, PadNews::Added, now);
        assert!(!limits.0[0].awaits_first());
        assert_eq!(limits.time_left(now), Some(NEXT_PAD));
        limits.note(0, PadNews::Added, now + NEXT_PAD - MOMENT);
        assert_eq!(limits.awaited(now + NEXT_PAD), 1);
        limits.note(0, PadNews::NoMore, now + NEXT_PAD);
        assert_eq!(limits.awaited(now + NEXT_PAD), 0);
        limits.note(0, PadNews::Added, now + NEXT_PAD);
        assert_eq!(limits.awaited(now + NEXT_PAD), 0, "after the last");
    }

    #[test]
    fn each_element_has_a_limit_of_its_own() {
        let (mut limits, now) = limits(2);
        limits.note(0, PadNews::NoMore, now);
        limits.begin(now);
        assert_eq!(limits.time_left(now), Some(LONGEST_WAIT));
        limits.note(1, PadNews::NoMore, now);
        assert_eq!(limits.awaited(now), 0);
    }

    /// How many elements are watched, and whether one may add a pad for a sink that is not
    /// linked yet.
    fn awaited_for(launch: &str) -> (usize, bool) {
        gst::init().unwrap();
        let pipeline = gst::parse::launch(launch).unwrap();
        let pipeline = pipeline.downcast::<gst::Bin>().unwrap();
        let whip = gst::Bin::with_name("whip");
        pipeline.add(&whip).unwrap();
        let (messages, _queue) = std::sync::mpsc::channel();
        let watched = SometimesPads::watch(&whip, &Arc::new(messages));
        (watched.watched.len(), watched.may_come(&whip, &[]))
    }

    #[test]
    fn elements_that_add_pads_are_found_and_pads_that_await_them() {
        for (launch, expected) in [
            ("fakesrc ! decodebin", (1, true)),
            ("fakesrc ! identity ! fakesink", (0, false)),
            // Another branch awaits the pad.
            ("uridecodebin ! audioconvert ! fakesink", (1, false)),
            (
                "uridecodebin ! fakesink uridecodebin ! fakesink",
                (2, false),
            ),
            ("uridecodebin ! fakesink uridecodebin", (2, true)),
            ("( fakesrc ! decodebin )", (1, true)),
            ("fakesrc ! parsebin ! decodebin", (2, true)),
            ("rtpbin webrtcbin", (0, false)),
        ] {
            assert_eq!(awaited_for(launch), expected, "{launch}");
        }
    }
}
