//! A pad's stream on its way from upstream to webrtcbin.
//!
//! In: buffers and events, on the pad's streaming thread. Out: the packets that leave,
//! the events that go on, and news for the conductor.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gst::prelude::*;

use super::arrivals::Arrivals;
use super::caps::{read_caps, sent_caps};
use super::departure::Departure;
use super::gate::Gate;
use super::outgoing::{Outgoing, Passage};
use super::pacing::{Leaving, Paced};
use super::pad_event::PadEvent;
use super::stream_format::{CapsError, PadState, StreamFormat};
use super::traffic_meter::TrafficMeter;
use crate::element::log::CAT;
use crate::media::TimingNews;
use crate::media::bandwidth::{DroppedFrames, ExtensionId};
use crate::whip::Track;

/// How a gate opens.
#[derive(Clone, Copy)]
pub(crate) struct OpenGate {
    /// The number of the peer connection.
    pub(crate) peer: u64,
    /// Video begins with a key frame.
    pub(crate) is_video: bool,
    /// Whether packets leave at a pace.
    pub(crate) is_paced: bool,
    /// The header extension by which packets carry transport-wide numbers.
    pub(crate) transport_wide: Option<ExtensionId>,
}

pub(super) struct PadStream {
    id: u32,
    /// What the pad takes; `None` for either.
    takes: Option<Track>,
    tell: Box<dyn Fn(PadEvent) + Send + Sync>,
    gate: Gate,
    /// The number of the peer connection that the gate was opened for.
    peer: AtomicU64,
    /// Counts the openings and closings of the gate. What was let out before another one
    /// belongs to a session that is over.
    opening: AtomicU64,
    pub(super) arrivals: Arrivals,
    pub(super) traffic: TrafficMeter,
    pub(super) departure: Departure,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// What the stream's events say. `is_linked` is not used here.
    state: PadState,
    outgoing: Option<Outgoing>,
    /// Running time of the media. `None` if their segment has no times.
    segment: Option<gst::FormattedSegment<gst::ClockTime>>,
    /// The format of the session that the pad is linked to.
    session: Option<StreamFormat>,
    /// By which packets of this session carry their transport-wide numbers.
    transport_wide: Option<ExtensionId>,
    /// Chosen for the run; `None` before the first caps.
    ssrc: Option<u32>,
}

impl Shared {
    /// The stream's format, once caps have come that can be published.
    fn format(&self) -> Option<&StreamFormat> {
        self.state.format.as_ref()?.as_ref().ok()
    }

    /// SSRCs have to differ within a session (RFC 3550 8), so it is random.
    fn ssrc(&mut self) -> u32 {
        *self.ssrc.get_or_insert_with(glib::random_int)
    }

    /// Whether the session can carry the stream.
    fn fits(&self) -> bool {
        let session = self.session.as_ref();
        self.format()
            .is_some_and(|format| session.is_none_or(|session| session.fits_session_of(format)))
    }
}

impl PadStream {
    pub(super) fn new(
        id: u32,
        takes: Option<Track>,
        tell: impl Fn(PadEvent) + Send + Sync + 'static,
    ) -> Self {
        Self {
            id,
            takes,
            tell: Box::new(tell),
            gate: Gate::default(),
            peer: AtomicU64::new(0),
            opening: AtomicU64::new(0),
            arrivals: Arrivals::default(),
            traffic: TrafficMeter::default(),
            departure: Departure::default(),
            shared: Mutex::default(),
        }
    }

    pub(super) fn tell_timing(&self, news: Option<TimingNews>) {
        if let Some(news) = news {
            (self.tell)(PadEvent::Timing(self.id, news));
        }
    }

    /// Tells the user something of what happens behind the pad.
    pub(super) fn warn(&self, text: String) {
        (self.tell)(PadEvent::Warning(text));
    }

    /// Tells the user of an encoder that can't be used.
    pub(super) fn warn_of_encoder(&self, factory: String, text: String) {
        (self.tell)(PadEvent::EncoderFailed(factory, text));
    }

    /// Notes the format in which the stream will leave, before its first packet.
    pub(super) fn announce(&self, format: StreamFormat) {
        self.set_format(Ok(format));
    }

    /// Notes that another stream begins, which has not ended. A video encoder keeps the
    /// event until its first picture, and gets none before a session publishes.
    pub(super) fn begin(&self) {
        let had_ended = std::mem::take(&mut self.lock().state.has_ended);
        if had_ended {
            (self.tell)(PadEvent::Changed);
        }
    }

    /// Notes that what comes in can't be published.
    pub(super) fn refuse(&self, error: CapsError) {
        self.set_format(Err(error));
    }

    /// Checks that the pad takes media of this track.
    ///
    /// # Errors
    /// [`CapsError::Track`] if it takes the other one.
    pub(super) fn check(&self, track: Track) -> Result<(), CapsError> {
        match self.takes.is_none_or(|takes| takes == track) {
            true => Ok(()),
            false => Err(CapsError::Track(track)),
        }
    }

    fn set_format(&self, format: Result<StreamFormat, CapsError>) {
        let is_new = {
            let known = &mut self.lock().state.format;
            let is_new = known.as_ref() != Some(&format);
            *known = Some(format);
            is_new
        };
        if is_new {
            (self.tell)(PadEvent::Changed);
        }
    }

    /// Whether packets may leave.
    pub(super) fn is_open(&self) -> bool {
        !self.gate.is_closed()
    }

    /// Whether a frame may leave now, which may be a key frame.
    pub(super) fn lets_pass(&self, is_key_frame: bool) -> bool {
        self.gate.lets_pass(is_key_frame)
    }

    pub(super) fn state(&self) -> PadState {
        self.lock().state.clone()
    }

    /// Begins to fill a session, and returns the caps of the stream that leaves.
    pub(super) fn enter_session(&self) -> Option<gst::Caps> {
        let mut shared = self.lock();
        shared.session = shared.format().cloned();
        let ssrc = shared.ssrc();
        shared.format().map(|format| sent_caps(format, ssrc))
    }

    pub(super) fn leave_session(&self) {
        self.lock().session = None;
    }

    /// The SSRC of the run.
    pub(super) fn ssrc(&self) -> u32 {
        self.lock().ssrc()
    }

    /// Opens the gate to the peer connection that `source` is linked to.
    pub(super) fn open_gate(self: &Arc<Self>, source: &gst::Pad, open: OpenGate) {
        // First, so that no packet of this session gets an older number.
        self.opening.fetch_add(1, Ordering::AcqRel);
        self.peer.store(open.peer, Ordering::Release);
        self.traffic.resume();
        if open.is_paced {
            self.begin_pacing(source);
        }
        self.change(|shared| {
            shared.transport_wide = open.transport_wide;
            if let Some(outgoing) = &mut shared.outgoing {
                outgoing.begin_session(open.transport_wide);
            }
        });
        if open.is_video {
            self.gate.open_with_key_frame(Instant::now());
        } else {
            self.gate.open();
        }
    }

    pub(super) fn close_gate(&self) {
        self.gate.close();
        self.opening.fetch_add(1, Ordering::AcqRel);
        self.departure.clear();
    }

    pub(super) fn set_thinning(&self, target: Option<u64>) {
        if let Some(outgoing) = &mut self.lock().outgoing {
            outgoing.set_thinning(target);
        }
    }

    /// The payload that comes in, in bit/s.
    pub(super) fn incoming_rate(&self) -> Option<u64> {
        self.lock().outgoing.as_ref()?.incoming_rate()
    }

    /// What thinning left out.
    pub(super) fn dropped(&self) -> DroppedFrames {
        let outgoing = &self.lock().outgoing;
        outgoing.as_ref().map(Outgoing::dropped).unwrap_or_default()
    }

    fn begin_pacing(self: &Arc<Self>, source: &gst::Pad) {
        let (stream, source) = (Arc::downgrade(self), source.downgrade());
        self.departure.begin_pacing(move |leaving| {
            if let (Some(stream), Some(source)) = (stream.upgrade(), source.upgrade()) {
                stream.leave(&source, leaving);
            }
        });
    }

    /// Closes the gate and forgets the stream; the next one sends its caps again.
    pub(super) fn reset(&self) {
        self.close_gate();
        self.traffic.clear();
        self.arrivals.clear();
        drop(std::mem::take(&mut *self.lock()));
        self.departure.end();
    }

    /// Takes what has arrived, and returns what is to leave.
    pub(super) fn take(&self, buffers: &mut dyn Iterator<Item = &gst::BufferRef>) -> Passage {
        let now = Instant::now();
        let mut shared = self.lock();
        let mut all = Passage {
            opening: self.opening.load(Ordering::Acquire),
            ..Passage::default()
        };
        if !shared.fits() {
            self.arrivals.note_at(now);
            return all;
        }
        let Shared {
            outgoing, segment, ..
        } = &mut *shared;
        if let Some(outgoing) = outgoing {
            for buffer in buffers {
                let segment = segment.as_ref();
                let running_time =
                    segment.and_then(|segment| segment.to_running_time(buffer.pts()?));
                outgoing.pass(buffer, running_time, now, &self.gate, &mut all);
            }
        }
        if all.has_media {
            self.arrivals.note_at(now);
        }
        all
    }

    /// Asks upstream for a key frame with headers, from which the far end can begin to
    /// decode.
    pub(super) fn request_key_frame(&self, sink: &gst::Pad) {
        let event = gst_video::UpstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        // Fails if no encoder is linked, which does no harm.
        let _ = sink.push_event(event);
    }

    /// Lets packets leave: at once, or at their time.
    pub(super) fn push(&self, source: &gst::Pad, passage: Passage) {
        match self.departure.queue() {
            Some(paced) => {
                if let Some(leaving) = paced.push(passage.packets, passage.opening) {
                    self.leave(source, leaving);
                }
            }
            None => self.push_now(source, passage.packets, passage.opening),
        }
    }

    /// Lets an event leave behind the packets that wait.
    pub(super) fn push_event(&self, source: &gst::Pad, event: gst::Event) {
        match self.departure.queue().filter(|_| event.is_serialized()) {
            Some(paced) => {
                if let Some(leaving) = paced.push_event(event) {
                    self.leave(source, leaving);
                }
            }
            // Fails without a session, which is no concern of upstream.
            None => drop(source.push_event(event)),
        }
    }

    /// Pushes what is due: packets together, as far as no event is among them.
    fn leave(&self, source: &gst::Pad, mut leaving: Leaving) {
        let current = self.opening.load(Ordering::Acquire);
        let mut packets = Vec::new();
        for paced in leaving.take() {
            match paced {
                Paced::Packet(packet, opening) if opening == current => packets.push(packet),
                Paced::Packet(..) => {}
                Paced::Event(event) => {
                    self.push_now(source, std::mem::take(&mut packets), current);
                    source.push_event(event);
                }
            }
        }
        self.push_now(source, packets, current);
    }

    /// Pushes packets to webrtcbin. Its errors are hidden from upstream, since a source
    /// would stop for good: the session is replaced instead. A webrtcbin that is being
    /// replaced is flushing; its successor may be linked before a thread that pushed into it
    /// is back, and gets nothing of what was let out for the one before.
    fn push_now(&self, source: &gst::Pad, mut packets: Vec<gst::Buffer>, opening: u64) {
        if packets.is_empty() || opening != self.opening.load(Ordering::Acquire) {
            return;
        }
        if self.traffic.take(packets.iter().map(AsRef::as_ref)) {
            (self.tell)(PadEvent::LimitViolated);
        }
        let peer = self.peer.load(Ordering::Acquire);
        let flow = match (packets.pop(), packets.is_empty()) {
            (Some(packet), true) => source.push(packet),
            (last, _) => source.push_list(packets.into_iter().chain(last).collect()),
        };
        if flow.is_err() {
            self.traffic.take_back();
        }
        if let Err(error) = flow
            && error != gst::FlowError::Flushing
            && self.close_opening(opening)
        {
            gst::warning!(
                CAT,
                obj = source,
                "webrtcbin did not take a packet: {error}"
            );
            (self.tell)(PadEvent::PushFailed(peer, error));
        }
    }

    /// Closes the gate, unless that was done since this opening. Returns whether it did.
    fn close_opening(&self, opening: u64) -> bool {
        // [`Self::open_gate`] counts before it takes this lock, and opens the gate after: so
        // the gate of the next session is not closed.
        let _shared = self.lock();
        opening == self.opening.load(Ordering::Acquire) && self.gate.close()
    }

    /// Handles an event from upstream, and returns the one that goes on.
    pub(super) fn event(&self, source: &gst::Pad, event: gst::Event) -> Option<gst::Event> {
        match event.view() {
            gst::EventView::Caps(caps) => return self.caps(source, caps.caps()),
            gst::EventView::StreamStart(_) => {
                // Of another source, if there was one: its stream has not ended.
                self.change(|shared| shared.state.has_ended = false);
                (self.tell)(PadEvent::Changed);
            }
            gst::EventView::Segment(segment) => {
                let segment = segment.segment().downcast_ref().cloned();
                self.change(|shared| shared.segment = segment);
            }
            gst::EventView::Eos(_) => {
                self.change(|shared| shared.state.has_ended = true);
                (self.tell)(PadEvent::Changed);
                // Another source may follow in the same session.
                return None;
            }
            // A muted microphone, for example.
            gst::EventView::Gap(_) => self.arrivals.note(),
            // webrtcbin has nothing to flush, and would lose its segment.
            gst::EventView::FlushStart(_) => return None,
            gst::EventView::FlushStop(_) => {
                self.change(|shared| {
                    shared.state.has_ended = false;
                    shared.outgoing.iter_mut().for_each(Outgoing::change_source);
                });
                (self.tell)(PadEvent::Flushed(self.id));
                return None;
            }
            _ => {}
        }
        Some(event)
    }

    /// Reads caps from upstream. webrtcbin gets those of the stream that leaves, once for
    /// each session.
    fn caps(&self, source: &gst::Pad, caps: &gst::CapsRef) -> Option<gst::Event> {
        gst::debug!(CAT, obj = source, "stream with {caps}");
        // Those that are not of RTP were refused when they came in, with the reason.
        let is_rtp = |caps: &gst::StructureRef| caps.name() == "application/x-rtp";
        if !caps.structure(0).is_some_and(is_rtp) {
            return None;
        }
        let format = read_caps(caps);
        let format = format.and_then(|format| self.check(format.track).map(|()| format));
        let known = format.as_ref().ok();
        let is_of_wrong_codec = known.is_some_and(|format| self.traffic.begin(format));
        let sent = {
            let mut shared = self.lock();
            let ssrc = shared.ssrc();
            let transport_wide = shared.transport_wide;
            if let Some(format) = known {
                match &mut shared.outgoing {
                    Some(outgoing) if outgoing.carries(format) => {
                        outgoing.set_format(format.clone())
                    }
                    // A session may have begun: a pad's format can be known before its
                    // first packet.
                    outgoing => {
                        let outgoing = outgoing.insert(Outgoing::new(format.clone(), ssrc));
                        outgoing.begin_session(transport_wide);
                    }
                }
            }
            let is_free = shared.session.is_none();
            let sent = known
                .filter(|_| is_free)
                .map(|format| sent_caps(format, ssrc));
            shared.state.format = Some(format);
            sent
        };
        (self.tell)(PadEvent::Changed);
        if is_of_wrong_codec {
            (self.tell)(PadEvent::LimitViolated);
        }
        sent.map(|caps| gst::event::Caps::new(&caps))
    }

    fn change(&self, change: impl FnOnce(&mut Shared)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[path = "pad_stream_tests.rs"]
mod tests;
