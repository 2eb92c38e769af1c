//! A sink pad of the bin and the elements behind it:
//!
//! ```text
//! ghost pad ──► clocksync ──► gate (a probe) ──► webrtcbin, during a session
//! ```
//!
//! clocksync paces media that comes faster than real time (a file), also
//! while the gate drops it; live media passes it as it comes. The gate drops
//! buffers until the session publishes, so a session never blocks upstream.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::arrivals::Arrivals;
use super::caps::{advised_caps, read_caps};
use super::gate::Gate;
use super::latency::Latency;
use super::stream_format::{PadState, StreamFormat};
use super::traffic_meter::{Traffic, TrafficMeter};
use crate::element::log::CAT;
use crate::ivs::LimitViolation;

/// News of a pad's stream, told on its streaming thread.
pub(crate) enum PadEvent {
    /// [`MediaPad::state`] has changed.
    Changed,
    /// The pad with this id was flushed.
    Flushed(u32),
    /// The peer connection with this number did not take a packet. The gate is closed.
    PushFailed(u64, gst::FlowError),
    /// There is a new limit violation, see [`MediaPad::violations`].
    LimitViolated,
}

/// One sink pad of the bin.
#[derive(Clone)]
pub(crate) struct MediaPad {
    /// Tells it apart from the other pads of the element, also from former ones.
    pub(crate) id: u32,
    pub(crate) ghost: gst::GhostPad,
    sync: gst::Element,
    /// What clocksync is linked to without a session. GStreamer ghosts pads that are
    /// unlinked in a bin (`gst_parse_bin_from_description`, playbin), ours included.
    idle: gst::Pad,
    inner: Arc<Inner>,
}

struct Inner {
    id: u32,
    tell: Box<dyn Fn(PadEvent) + Send + Sync>,
    gate: Gate,
    /// The number of the peer connection that the gate was opened for.
    peer: AtomicU64,
    arrivals: Arrivals,
    traffic: TrafficMeter,
    /// What the stream's events say. `is_linked` is not used here;
    /// [`MediaPad::state`] fills it in.
    state: Mutex<PadState>,
}

impl MediaPad {
    /// Makes the pad and its elements; [`Self::enter`] adds them to the bin.
    pub(crate) fn new(
        id: u32,
        name: &str,
        template: &gst::PadTemplate,
        tell: impl Fn(PadEvent) + Send + Sync + 'static,
    ) -> Result<Self, glib::BoolError> {
        // Named after the pad, so that a graph dump shows which belong together.
        let sync = gst::ElementFactory::make("clocksync")
            .name(format!("{name}-sync"))
            .build()?;
        let inner = Arc::new(Inner {
            id,
            tell: Box::new(tell),
            gate: Gate::default(),
            peer: AtomicU64::new(0),
            arrivals: Arrivals::default(),
            traffic: TrafficMeter::default(),
            state: Mutex::default(),
        });
        let (of_buffers, of_lists) = (inner.clone(), inner.clone());
        let ghost = gst::GhostPad::builder_from_template(template)
            .chain_function(move |pad, parent, buffer| {
                let peer = of_buffers.peer.load(Ordering::Acquire);
                let flow = gst::ProxyPad::chain_default(pad, parent, buffer);
                of_buffers.flow_for_upstream(pad, peer, flow)
            })
            .chain_list_function(move |pad, parent, list| {
                let peer = of_lists.peer.load(Ordering::Acquire);
                let flow = gst::ProxyPad::chain_list_default(pad, parent, list);
                of_lists.flow_for_upstream(pad, peer, flow)
            })
            .name(name)
            .build();
        let pad = Self {
            id,
            ghost,
            sync,
            idle: idle_pad()?,
            inner,
        };
        pad.watch()?;
        pad.advise_caps();
        Ok(pad)
    }

    /// Adds the pad and its elements to the bin, and brings them to its state.
    pub(crate) fn enter(&self, bin: &gst::Bin) -> Result<(), glib::BoolError> {
        bin.add(&self.sync)?;
        self.idle.set_active(true)?;
        link(&self.source()?, &self.idle)?;
        // Only now, because a bin unlinks each element that it adds.
        self.ghost
            .set_target(Some(&static_pad(&self.sync, "sink")?))?;
        self.sync.sync_state_with_parent()?;
        // In a running pipeline the application may push at once.
        self.ghost
            .set_active(bin.current_state() >= gst::State::Paused)?;
        bin.add_pad(&self.ghost)
    }

    /// Removes the pad and its elements from the bin.
    pub(crate) fn leave(&self, bin: &gst::Bin) {
        self.close_gate();
        // clocksync first: in PAUSED it holds the streaming thread until PLAYING,
        // and deactivating a pad waits for that thread.
        self.sync.set_locked_state(true);
        let _ = self.sync.set_state(gst::State::Null);
        let _ = self.ghost.set_active(false);
        if self.ghost.parent().is_some() {
            let _ = bin.remove_pad(&self.ghost);
        }
        // A bin that is disposed of has removed it before it releases its pads.
        if self.sync.parent().as_ref() == Some(bin.upcast_ref()) {
            let _ = bin.remove(&self.sync);
        }
    }

    /// What upstream says of its latency; `None` if nobody answers.
    pub(crate) fn upstream_latency(&self) -> Option<Latency> {
        let mut query = gst::query::Latency::new();
        let answered = self.ghost.peer_query(&mut query);
        let (is_live, min, max) = query.result();
        answered.then_some(Latency { is_live, min, max })
    }

    /// Links it to webrtcbin's sink pad.
    ///
    /// # Errors
    /// When webrtcbin's pad does not link.
    pub(crate) fn link_to(&self, sink: &gst::Pad) -> Result<(), glib::BoolError> {
        let source = self.source()?;
        let _ = source.unlink(&self.idle);
        // webrtcbin writes its section from the caps, SSRC included. Without this they
        // would arrive only with the next buffer that passes the gate.
        source.sticky_events_foreach(|event| {
            sink.send_event(event.clone());
            ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        link(&source, sink).inspect_err(|_| {
            let _ = source.link(&self.idle);
        })
    }

    /// Unlinks it from a pad of webrtcbin, unless it is linked elsewhere by now.
    pub(crate) fn unlink_from(&self, sink: &gst::Pad) {
        if let Ok(source) = self.source()
            && source.peer().as_ref() == Some(sink)
        {
            let _ = source.unlink(sink);
            let _ = source.link(&self.idle);
        }
    }

    fn source(&self) -> Result<gst::Pad, glib::BoolError> {
        static_pad(&self.sync, "src")
    }

    /// Lets media flow to the peer connection with this number. Video begins with a key
    /// frame, which is requested.
    pub(crate) fn open_gate(&self, peer: u64, is_video: bool) {
        self.inner.peer.store(peer, Ordering::Release);
        self.inner.traffic.resume();
        if is_video {
            self.inner.gate.open_with_key_frame(Instant::now());
            self.request_key_frame();
        } else {
            self.inner.gate.open();
        }
    }

    /// The time since media, or a gap in place of them, last arrived; `None` before the
    /// first.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.inner.arrivals.silence()
    }

    /// Counts the silence from now on.
    pub(crate) fn restart_silence(&self) {
        self.inner.arrivals.note();
    }

    pub(crate) fn close_gate(&self) {
        self.inner.gate.close();
    }

    pub(crate) fn state(&self) -> PadState {
        PadState {
            id: self.id,
            is_linked: self.ghost.is_linked(),
            ..self.inner.state()
        }
    }

    /// The stream's format, once caps have come that can be published.
    pub(crate) fn format(&self) -> Option<StreamFormat> {
        self.inner.state().format.and_then(Result::ok)
    }

    /// What passed the gate since the run began; `None` before the first caps.
    pub(crate) fn traffic(&self) -> Option<Traffic> {
        self.inner.traffic.traffic()
    }

    /// The IVS limits that the stream violates now.
    pub(crate) fn violations(&self) -> Vec<LimitViolation> {
        self.inner.traffic.violations()
    }

    /// Closes the gate and forgets the stream; the next one sends its caps again.
    pub(crate) fn reset(&self) {
        self.close_gate();
        self.inner.traffic.clear();
        self.inner.arrivals.clear();
        self.inner.change(|state| *state = PadState::default());
    }

    /// Asks upstream for a key frame with headers, from which the far end can
    /// begin to decode.
    fn request_key_frame(&self) {
        let event = gst_video::UpstreamForceKeyUnitEvent::builder()
            .all_headers(true)
            .build();
        // Fails if no encoder is linked, which does no harm.
        let _ = self.ghost.push_event(event);
    }

    fn watch(&self) -> Result<(), glib::BoolError> {
        let inner = self.inner.clone();
        let mask = gst::PadProbeType::BUFFER
            | gst::PadProbeType::BUFFER_LIST
            | gst::PadProbeType::EVENT_DOWNSTREAM
            | gst::PadProbeType::EVENT_FLUSH;
        let source = self.source()?;
        let sync = self.sync.downgrade();
        source.add_probe(mask, move |source, info| {
            let passes = match &info.data {
                Some(gst::PadProbeData::Event(event)) => {
                    restart_pacing_after_flush(event, &sync);
                    return inner.event(source, event);
                }
                Some(gst::PadProbeData::Buffer(buffer)) => {
                    inner.pass(Some(buffer), std::iter::once(buffer.as_ref()))
                }
                Some(gst::PadProbeData::BufferList(list)) => inner.pass(list.get(0), list.iter()),
                _ => true,
            };
            if passes {
                gst::PadProbeReturn::Ok
            } else {
                gst::PadProbeReturn::Drop
            }
        });
        Ok(())
    }

    /// Answers upstream's caps queries with a different payload type for each
    /// codec that IVS accepts: both payloaders default to 96, which a bundle can't
    /// have twice. Other RTP caps are accepted too.
    fn advise_caps(&self) {
        let advice = advised_caps();
        self.ghost
            .add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
                let Some(gst::PadProbeData::Query(query)) = &mut info.data else {
                    return gst::PadProbeReturn::Ok;
                };
                let gst::QueryViewMut::Caps(query) = query.view_mut() else {
                    return gst::PadProbeReturn::Ok;
                };
                let caps = match query.filter() {
                    Some(filter) => {
                        advice.intersect_with_mode(filter, gst::CapsIntersectMode::First)
                    }
                    None => advice.clone(),
                };
                query.set_result(&caps);
                gst::PadProbeReturn::Handled
            });
    }
}

impl Inner {
    /// Whether packets pass the gate. Those that pass are measured.
    fn pass<'a>(
        &self,
        first: Option<&gst::BufferRef>,
        packets: impl Iterator<Item = &'a gst::BufferRef>,
    ) -> bool {
        self.arrivals.note();
        let begins = || first.is_some_and(begins_a_key_frame);
        let passes = self.gate.passes(begins);
        if passes && self.traffic.take(packets) {
            (self.tell)(PadEvent::LimitViolated);
        }
        passes
    }

    fn event(&self, source: &gst::Pad, event: &gst::Event) -> gst::PadProbeReturn {
        let tell = &self.tell;
        match event.view() {
            gst::EventView::Caps(caps) => {
                gst::debug!(CAT, obj = source, "stream with {}", caps.caps());
                let format = read_caps(caps.caps());
                let is_of_wrong_codec = format
                    .as_ref()
                    .is_ok_and(|format| self.traffic.begin(format));
                self.change(|state| state.format = Some(format));
                tell(PadEvent::Changed);
                if is_of_wrong_codec {
                    tell(PadEvent::LimitViolated);
                }
                gst::PadProbeReturn::Ok
            }
            gst::EventView::Eos(_) => {
                self.change(|state| state.has_ended = true);
                tell(PadEvent::Changed);
                // webrtcbin ignores it. Not Drop: with that, GStreamer 1.22 unrefs
                // the event once too often.
                gst::PadProbeReturn::Handled
            }
            // A muted microphone, for example.
            gst::EventView::Gap(_) => {
                self.arrivals.note();
                gst::PadProbeReturn::Ok
            }
            // webrtcbin has nothing to flush, and would lose its segment.
            gst::EventView::FlushStart(_) => gst::PadProbeReturn::Handled,
            gst::EventView::FlushStop(_) => {
                self.change(|state| state.has_ended = false);
                tell(PadEvent::Flushed(self.id));
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    }

    /// The flow return for upstream. Errors of webrtcbin are hidden, since a source
    /// would stop for good: the session is replaced instead. One that is being
    /// replaced is flushing. Only the pad's own flushing counts upstream.
    fn flow_for_upstream(
        &self,
        pad: &gst::GhostPad,
        peer: u64,
        flow: Result<gst::FlowSuccess, gst::FlowError>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
            return flow;
        }
        // The gate may have been opened for another peer connection meanwhile.
        let is_current = peer == self.peer.load(Ordering::Acquire);
        if let Err(error) = flow
            && error != gst::FlowError::Flushing
            && is_current
            && self.gate.close()
        {
            gst::warning!(CAT, obj = pad, "webrtcbin did not take a packet: {error}");
            (self.tell)(PadEvent::PushFailed(peer, error));
        }
        Ok(flow.unwrap_or(gst::FlowSuccess::Ok))
    }

    fn state(&self) -> PadState {
        let state = self.state.lock();
        state.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn change(&self, change: impl FnOnce(&mut PadState)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// After a flush, upstream's running time restarts, but the pipeline's goes on: it
/// restarts only if a sink prerolls. So clocksync starts again from the next buffer;
/// otherwise all buffers would be late and go out at once.
fn restart_pacing_after_flush(event: &gst::Event, sync: &glib::WeakRef<gst::Element>) {
    if let (gst::EventType::FlushStop, Some(sync)) = (event.type_(), sync.upgrade()) {
        sync.set_property("sync-to-first", true);
    }
}

/// Reads the flag that encoders and parsers set and payloaders copy.
fn begins_a_key_frame(buffer: &gst::BufferRef) -> bool {
    !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT)
}

/// Takes everything and keeps nothing. The template is for caps queries: without one
/// a pad answers with the caps that it had last.
fn idle_pad() -> Result<gst::Pad, glib::BoolError> {
    let (direction, presence) = (gst::PadDirection::Sink, gst::PadPresence::Always);
    let template = gst::PadTemplate::new("idle", direction, presence, &gst::Caps::new_any())?;
    let pad = gst::Pad::builder_from_template(&template)
        .chain_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
        .chain_list_function(|_, _, _| Ok(gst::FlowSuccess::Ok))
        .event_function(|_, _, _| true)
        .build();
    Ok(pad)
}

fn link(source: &gst::Pad, sink: &gst::Pad) -> Result<(), glib::BoolError> {
    let linked = source.link(sink);
    linked
        .map(drop)
        .map_err(|error| glib::bool_error!("{} does not link: {error}", sink.name()))
}

fn static_pad(element: &gst::Element, name: &str) -> Result<gst::Pad, glib::BoolError> {
    element
        .static_pad(name)
        .ok_or_else(|| glib::bool_error!("{} has no pad {name}", element.name()))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    const PACKETS: u32 = 200_000;

    /// A packet from the middle of a frame, as rtph264pay makes it: header and
    /// payload are two memories.
    fn packet() -> gst::Buffer {
        let header = [0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x5c, 0x01];
        let mut packet = gst::Buffer::from_slice(header);
        let payload = gst::Memory::from_slice([0xff; 1200]);
        packet.get_mut().unwrap().append_memory(payload);
        packet
    }

    /// Nanoseconds per call of `act`.
    fn cost(act: impl Fn()) -> u128 {
        let began = Instant::now();
        (0..PACKETS).for_each(|_| act());
        began.elapsed().as_nanos() / u128::from(PACKETS)
    }

    fn median(mut runs: Vec<u128>) -> u128 {
        runs.sort_unstable();
        runs[runs.len() / 2]
    }

    #[test]
    #[ignore = "a measurement: cargo test --release --lib -- --ignored --nocapture"]
    #[allow(clippy::print_stdout)]
    fn cost_of_a_packet_in_place() {
        gst::init().unwrap();
        let any = gst::Caps::new_empty_simple("application/x-rtp");
        let (to, always) = (gst::PadDirection::Sink, gst::PadPresence::Always);
        let template = gst::PadTemplate::new("sink", to, always, &any).unwrap();
        let pad = MediaPad::new(0, "sink", &template, |_| {}).unwrap();
        let bin = gst::Pipeline::new();
        let end = gst::ElementFactory::make("fakesink").build().unwrap();
        bin.add(&end).unwrap();
        bin.set_state(gst::State::Playing).unwrap();
        pad.enter(bin.upcast_ref()).unwrap();
        let end = end.static_pad("sink").unwrap();
        pad.link_to(&end).unwrap();
        let feed = gst::Pad::builder(gst::PadDirection::Src).build();
        feed.set_active(true).unwrap();
        feed.link(&pad.ghost).unwrap();
        let caps = "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000";
        let caps = caps.parse::<gst::Caps>().unwrap();
        feed.push_event(gst::event::StreamStart::new("cost"));
        feed.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        feed.push_event(gst::event::Segment::new(&segment));
        pad.open_gate(1, false);
        let packet = packet();
        let push = || {
            let _ = feed.push(black_box(packet.clone()));
        };
        let watch = &pad.inner.traffic;
        let take = || {
            let packets = std::iter::once(black_box(&packet).as_ref());
            black_box(watch.take(packets));
        };
        let format = pad.format().unwrap();
        // Interleaved, since the machine's speed changes over time.
        let (mut alone, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..15 {
            watch.begin(&format);
            alone.push(cost(take));
            with.push(cost(push));
            assert_eq!(pad.traffic().unwrap().packets, 2 * u64::from(PACKETS));
            watch.clear();
            without.push(cost(push));
        }
        let [alone, with, without] = [alone, with, without].map(median);
        println!("watch alone: {alone} ns; push with it: {with} ns, without: {without} ns");
        bin.set_state(gst::State::Null).unwrap();
    }
}
