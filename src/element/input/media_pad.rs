//! A sink pad of the bin and the elements behind it:
//!
//! ```text
//! ghost pad ──► clocksync ──► chain ──► RTP sender ──► webrtcbin, during a session
//! ```
//!
//! clocksync paces media that comes faster than real time (a file), also while nothing
//! leaves; live media passes it as it comes, whatever latency it has. Before it, the
//! timestamps are compared with running time. The chain makes RTP of media that come raw or
//! encoded. The RTP sender drops packets until the session publishes, so a session never
//! blocks upstream.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use gst::prelude::*;

use super::chain::{Metadata, PadChain, advised_caps};
use super::encoder::Encoder;
use super::latency::{Latency, upstream_latency};
use super::pacing::Pacing;
use super::pad_event::PadEvent;
use super::pad_stream::{OpenGate, PadStream};
use super::pad_timing::{PadTiming, SharedAlignment};
use super::rtp_sender::RtpSender;
use super::stream_format::{PadState, StreamFormat};
use super::traffic_meter::Traffic;
use super::upstream_encoder::{straight_encoder, upstream_encoder};
use crate::ivs::LimitViolation;
use crate::media::Step;
use crate::media::bandwidth::{DroppedFrames, PacerDelay};
use crate::whip::Track;

/// One sink pad of the bin.
#[derive(Clone)]
pub(crate) struct MediaPad {
    /// Tells it apart from the other pads of the element, also from former ones.
    pub(crate) id: u32,
    pub(crate) ghost: gst::GhostPad,
    sync: gst::Element,
    sender: RtpSender,
    /// What the sender is linked to without a session. GStreamer ghosts pads that are
    /// unlinked in a bin (`gst_parse_bin_from_description`, playbin), ours included.
    idle: gst::Pad,
    stream: Arc<PadStream>,
    timing: Arc<PadTiming>,
    chain: Arc<PadChain>,
}

/// What happens to buffers on their way in.
#[derive(Clone)]
struct Entry {
    stream: Arc<PadStream>,
    timing: Arc<PadTiming>,
    chain: Arc<PadChain>,
}

impl Entry {
    /// Mends the timestamp of audio. Returns whether anything is left of the buffer.
    fn mend(&self, parent: Option<&gst::Object>, buffer: &mut gst::Buffer) -> bool {
        let is_audio = self.chain.times_audio();
        if is_audio
            && let Some(ahead) = self.timing.before_segment(buffer)
            && self.chain.leaves_out(buffer, ahead)
        {
            return false;
        }
        self.timing.clear_early_times(buffer);
        if !is_audio || self.timing.runs_backwards() {
            return true;
        }
        let bin = parent.and_then(|parent| parent.downcast_ref());
        self.chain.time_audio(buffer, || self.timing.now(bin))
    }

    /// As [`Self::mend`], of each buffer in a list.
    fn mend_list(
        &self,
        parent: Option<&gst::Object>,
        list: gst::BufferList,
    ) -> Option<gst::BufferList> {
        if !self.chain.times_audio() {
            return Some(self.timing.clear_early_times_of_list(list));
        }
        let mut left = Vec::with_capacity(list.len());
        for mut buffer in list.iter_owned() {
            if self.mend(parent, &mut buffer) {
                left.push(buffer);
            }
        }
        (!left.is_empty()).then(|| left.into_iter().collect())
    }

    /// Times the buffer, and replaces an encoder that does not work.
    fn before(
        &self,
        pad: &gst::GhostPad,
        parent: Option<&gst::Object>,
        buffer: Option<&gst::BufferRef>,
    ) {
        self.chain.replace_failed_encoder(|| bin_of(pad));
        let bin = parent.and_then(|parent| parent.downcast_ref());
        self.stream
            .tell_timing(self.timing.buffer(pad, bin, buffer));
    }

    /// The flow return for upstream: only the pad's own flushing counts there. A source
    /// that gets any other error stops for good.
    fn after(
        &self,
        pad: &gst::GhostPad,
        flow: Result<gst::FlowSuccess, gst::FlowError>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        if pad.pad_flags().contains(gst::PadFlags::FLUSHING) {
            return flow;
        }
        match flow {
            Ok(_) => self.chain.flow_passed(),
            Err(error) => self.chain.flow_failed(error),
        }
        Ok(flow.unwrap_or(gst::FlowSuccess::Ok))
    }
}

fn bin_of(pad: &gst::GhostPad) -> Option<gst::Bin> {
    pad.parent_element()?.downcast().ok()
}

impl MediaPad {
    /// Makes the pad and its elements; [`Self::enter`] adds them to the bin.
    pub(super) fn new(
        id: u32,
        name: &str,
        template: &gst::PadTemplate,
        alignment: &SharedAlignment,
        tell: impl Fn(PadEvent) + Send + Sync + 'static,
    ) -> Result<Self, glib::BoolError> {
        // Named after the pad, so that a graph dump shows which belong together.
        let sync = gst::ElementFactory::make("clocksync")
            .name(format!("{name}-sync"))
            .build()?;
        // The templates are `audio_%u`, `video_%u` and `sink_%u`.
        let takes = template.name_template().split('_').next();
        let takes = takes.and_then(Track::named);
        let stream = Arc::new(PadStream::new(id, takes, tell));
        let timing = Arc::new(PadTiming::new(id, alignment.clone(), &sync));
        let sender = RtpSender::new(&format!("{name}-rtp"), stream.clone());
        let chain = Arc::new(PadChain::new(name, &sync, &sender, &stream));
        let of_buffers = Entry {
            stream: stream.clone(),
            timing: timing.clone(),
            chain: chain.clone(),
        };
        let of_lists = of_buffers.clone();
        let ghost = gst::GhostPad::builder_from_template(template)
            .chain_function(move |pad, parent, mut buffer| {
                if !of_buffers.mend(parent, &mut buffer) {
                    return Ok(gst::FlowSuccess::Ok);
                }
                of_buffers.before(pad, parent, Some(&buffer));
                of_buffers.after(pad, gst::ProxyPad::chain_default(pad, parent, buffer))
            })
            .chain_list_function(move |pad, parent, list| {
                let Some(list) = of_lists.mend_list(parent, list) else {
                    return Ok(gst::FlowSuccess::Ok);
                };
                of_lists.before(pad, parent, list.get(0));
                of_lists.after(pad, gst::ProxyPad::chain_list_default(pad, parent, list))
            })
            .name(name)
            .build();
        let pad = Self {
            id,
            ghost,
            sync,
            sender,
            idle: idle_pad()?,
            stream,
            timing,
            chain,
        };
        pad.watch_events();
        pad.advise_caps();
        Ok(pad)
    }

    /// Adds the pad and its elements to the bin, and brings them to its state.
    pub(crate) fn enter(&self, bin: &gst::Bin) -> Result<(), glib::BoolError> {
        bin.add(&self.sync)?;
        bin.add(&self.sender)?;
        self.idle.set_active(true)?;
        // Only now, because a bin unlinks each element that it adds.
        link(self.sender.source(), &self.idle)?;
        link(&static_pad(&self.sync, "src")?, self.sender.sink())?;
        self.ghost
            .set_target(Some(&static_pad(&self.sync, "sink")?))?;
        self.sender.sync_state_with_parent()?;
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
        for element in self.elements() {
            element.set_locked_state(true);
            let _ = element.set_state(gst::State::Null);
        }
        let _ = self.ghost.set_active(false);
        self.chain.leave(bin);
        self.timing.forget();
        if self.ghost.parent().is_some() {
            let _ = bin.remove_pad(&self.ghost);
        }
        for element in self.elements() {
            // A bin that is disposed of has removed it before it releases its pads.
            if element.parent().as_ref() == Some(bin.upcast_ref()) {
                let _ = bin.remove(element);
            }
        }
    }

    fn elements(&self) -> [&gst::Element; 2] {
        [&self.sync, self.sender.upcast_ref()]
    }

    /// What upstream says of its latency; `None` if nobody answers.
    pub(crate) fn upstream_latency(&self) -> Option<Latency> {
        upstream_latency(&self.ghost)
    }

    /// Applies a step of its timing that was due to a change of the element's state.
    pub(super) fn apply_timing(&self, step: Step) {
        self.stream.tell_timing(self.timing.apply(step));
    }

    /// Notes that the latency of the pipeline has changed, and its sources may have.
    pub(crate) fn latency_changed(&self) {
        self.timing.ask_upstream();
    }

    /// Links it to webrtcbin's sink pad.
    ///
    /// # Errors
    /// When webrtcbin's pad does not link.
    pub(crate) fn link_to(&self, sink: &gst::Pad) -> Result<(), glib::BoolError> {
        let source = self.sender.source();
        if let Some(caps) = self.stream.enter_session() {
            // An encoder keeps it until its first picture.
            if source.sticky_event::<gst::event::StreamStart>(0).is_none() {
                let name = self.ghost.name();
                source.push_event(gst::event::StreamStart::new(&name));
            }
            source.push_event(gst::event::Caps::new(&caps));
        }
        let _ = source.unlink(&self.idle);
        // webrtcbin writes its section from the caps, SSRC included. Without this they
        // would arrive only with the first packet.
        source.sticky_events_foreach(|event| {
            sink.send_event(event.clone());
            ControlFlow::Continue(gst::EventForeachAction::Keep)
        });
        let linked = link(source, sink).inspect_err(|_| {
            self.stream.leave_session();
            let _ = source.link(&self.idle);
        });
        // A pad that was released meanwhile makes another session necessary: that is not a
        // failure of this one.
        linked.or_else(|error| match self.ghost.parent() {
            Some(_) => Err(error),
            None => Ok(()),
        })
    }

    /// Unlinks it from a pad of webrtcbin, unless it is linked elsewhere by now.
    pub(crate) fn unlink_from(&self, sink: &gst::Pad) {
        let source = self.sender.source();
        if source.peer().as_ref() == Some(sink) {
            let _ = source.unlink(sink);
            self.stream.leave_session();
            let _ = source.link(&self.idle);
        }
    }

    /// The SSRC of the stream that leaves.
    pub(crate) fn ssrc(&self) -> u32 {
        self.stream.ssrc()
    }

    /// Sets how video leaves, if it leaves at a pace.
    pub(crate) fn set_pacing(&self, pacing: Pacing) {
        self.stream.departure.set_pacing(pacing);
    }

    /// The payload that comes in, in bit/s over the last seconds. `None` until that is
    /// measured.
    pub(crate) fn incoming_rate(&self) -> Option<u64> {
        self.stream.incoming_rate()
    }

    /// Bytes leave by another way, at the expense of this pad's.
    pub(crate) fn leaves_past(&self, size: usize) {
        self.stream.departure.leaves_past(size);
    }

    /// Leaves out frames of H.264 that do not fit a bit rate.
    pub(crate) fn set_thinning(&self, target: Option<u64>) {
        self.stream.set_thinning(target);
    }

    /// What thinning left out.
    pub(crate) fn dropped(&self) -> DroppedFrames {
        self.stream.dropped()
    }

    /// How long packets wait for their time, if they leave at a pace.
    pub(crate) fn pacing_delay(&self) -> Option<PacerDelay> {
        self.stream.departure.delay()
    }

    /// Lets media flow to a peer connection. Video begins with a key frame, which is
    /// requested.
    pub(crate) fn open_gate(&self, open: OpenGate) {
        self.stream.open_gate(self.sender.source(), open);
        if open.is_video {
            self.stream.request_key_frame(self.sender.sink());
        }
    }

    /// The time since media, or a gap in place of them, last arrived; `None` before the
    /// first.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.stream.arrivals.silence()
    }

    /// The encoded media that come in, if nothing could be made of them yet.
    pub(crate) fn unread(&self) -> Option<&'static str> {
        self.chain.unread()
    }

    /// Counts the silence from now on.
    pub(crate) fn restart_silence(&self) {
        self.stream.arrivals.note();
    }

    pub(crate) fn close_gate(&self) {
        self.stream.close_gate();
    }

    pub(crate) fn state(&self) -> PadState {
        PadState {
            id: self.id,
            is_linked: self.ghost.is_linked(),
            ..self.stream.state()
        }
    }

    /// The stream's format, once caps have come that can be published.
    pub(crate) fn format(&self) -> Option<StreamFormat> {
        self.stream.state().format.and_then(Result::ok)
    }

    /// What webrtcbin took since the run began; `None` before the first caps.
    pub(crate) fn traffic(&self) -> Option<Traffic> {
        self.stream.traffic.traffic()
    }

    /// The IVS limits that the stream violates now.
    pub(crate) fn violations(&self) -> Vec<LimitViolation> {
        self.stream.traffic.violations()
    }

    /// Closes the gate and forgets the stream; the next one sends its caps again.
    pub(crate) fn reset(&self) {
        self.stream.reset();
        self.timing.forget();
        self.chain.reset();
    }

    /// Removes the elements that were made for the last run's media: the settings may have
    /// changed. Only while the pad is not active.
    pub(crate) fn forget_media(&self, bin: &gst::Bin) {
        self.chain.clear(bin);
    }

    /// The encoder that makes this pad's stream and no other: the one behind the pad, or
    /// one upstream in a straight line. `None` if it is not known to follow a bit rate.
    pub(crate) fn encoder(&self) -> Option<Encoder> {
        match self.chain.encoder() {
            Some(_) => self.chain.bit_rate(),
            None => Encoder::new(&straight_encoder(self.ghost.upcast_ref())?),
        }
    }

    /// The factory of the nearest encoder: the one behind the pad, or one upstream.
    pub(crate) fn encoder_name(&self) -> Option<String> {
        let own = self.chain.encoder().and_then(|own| own.factory());
        let own = own.map(|factory| factory.name().to_string());
        own.or_else(|| upstream_encoder(self.ghost.upcast_ref()))
    }

    /// The settings of that encoder, as a launch line has them.
    pub(crate) fn own_encoder_settings(&self) -> Option<String> {
        self.chain.encoder_settings()
    }

    /// Begins with the whole picture, as a session does.
    pub(crate) fn begin_whole_picture(&self) {
        self.chain.begin_whole_picture();
    }

    /// Suits the picture of an own encoder to its bit rate.
    pub(crate) fn suit_picture(&self, bit_rate: u64) {
        self.chain.suit_picture(bit_rate);
    }

    /// Lets an own encoder have what suits its picture: no session holds it any more.
    pub(crate) fn forget_target(&self) {
        self.chain.forget_target();
    }

    /// Sets what share of the audio the far end misses, in percent.
    pub(crate) fn set_audio_loss(&self, percent: u8) {
        self.chain.set_audio_loss(percent);
    }

    /// The messages that go into the video. `None` without video, and with video that
    /// comes as RTP.
    pub(crate) fn metadata(&self) -> Option<Arc<Metadata>> {
        self.chain.metadata()
    }

    /// Notes an error of an element inside. Returns whether it is one of this pad's chain.
    pub(crate) fn child_failed(&self, child: &gst::Object, text: &str) -> bool {
        self.chain.child_failed(child, text)
    }

    /// Lets timing and chain see what comes in, ahead of clocksync.
    fn watch_events(&self) {
        let (stream, timing) = (self.stream.clone(), self.timing.clone());
        let chain = self.chain.clone();
        let mask = gst::PadProbeType::EVENT_DOWNSTREAM | gst::PadProbeType::EVENT_FLUSH;
        self.ghost.add_probe(mask, move |ghost, info| {
            if let Some(gst::PadProbeData::Event(event)) = &info.data {
                if timing.begins_anew(event) {
                    chain.restart_times();
                }
                stream.tell_timing(timing.event(ghost, event));
                if event.type_() == gst::EventType::StreamStart {
                    stream.begin();
                }
                if let gst::EventView::Caps(caps) = event.view()
                    && let Some(caps) = chain.take_caps(bin_of(ghost).as_ref(), caps.caps())
                {
                    info.data = Some(gst::PadProbeData::Event(gst::event::Caps::new(&caps)));
                }
            }
            gst::PadProbeReturn::Ok
        });
    }

    /// Answers upstream's caps queries with what the pad takes, what costs least first. All
    /// other caps are accepted too, to say why they are refused, and because the elements
    /// behind the pad are those for the caps before.
    fn advise_caps(&self) {
        let takes = self.ghost.pad_template_caps();
        let advice = advised_caps().intersect_with_mode(&takes, gst::CapsIntersectMode::First);
        self.ghost
            .add_probe(gst::PadProbeType::QUERY_DOWNSTREAM, move |_, info| {
                let Some(gst::PadProbeData::Query(query)) = &mut info.data else {
                    return gst::PadProbeReturn::Ok;
                };
                let query = match query.view_mut() {
                    gst::QueryViewMut::Caps(query) => query,
                    gst::QueryViewMut::AcceptCaps(query) => {
                        query.set_result(true);
                        return gst::PadProbeReturn::Handled;
                    }
                    _ => return gst::PadProbeReturn::Ok,
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
    use std::time::Instant;

    use super::*;

    const PACKETS: u32 = 200_000;

    /// A packet as rtph264pay makes it: header and payload are two memories.
    fn packet(number: u8, start: [u8; 2]) -> gst::Buffer {
        let mut header = vec![0x80, 0x60, 0, number, 0, 0, 0, 1, 0, 0, 0, 1];
        header.extend(start);
        let mut packet = gst::Buffer::from_slice(header);
        let writable = packet.get_mut().unwrap();
        writable.append_memory(gst::Memory::from_slice([0xff; 1200]));
        writable.set_pts(gst::ClockTime::ZERO);
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

    /// A pad whose packets end in a fakesink, and what feeds it: a live source that claims a
    /// latency.
    struct Chain {
        bin: gst::Pipeline,
        pad: MediaPad,
        feed: gst::Pad,
    }

    impl Chain {
        fn new(latency: gst::ClockTime) -> Self {
            gst::init().unwrap();
            let any = gst::Caps::new_empty_simple("application/x-rtp");
            let (to, always) = (gst::PadDirection::Sink, gst::PadPresence::Always);
            let template = gst::PadTemplate::new("sink", to, always, &any).unwrap();
            let alignment = SharedAlignment::default();
            alignment.with(|alignment| alignment.play(Some(0)));
            let pad = MediaPad::new(0, "sink", &template, &alignment, |_| {}).unwrap();
            let bin = gst::Pipeline::new();
            // With async=true the bin would have no clock before the first packet.
            let end = gst::ElementFactory::make("fakesink");
            let end = end.property("async", false).build().unwrap();
            bin.add(&end).unwrap();
            bin.set_state(gst::State::Playing).unwrap();
            pad.enter(bin.upcast_ref()).unwrap();
            pad.link_to(&end.static_pad("sink").unwrap()).unwrap();
            let feed = gst::Pad::builder(gst::PadDirection::Src)
                .query_function(move |_, _, query| match query.view_mut() {
                    gst::QueryViewMut::Latency(query) => {
                        query.set(true, latency, None);
                        true
                    }
                    _ => false,
                })
                .build();
            feed.set_active(true).unwrap();
            feed.link(&pad.ghost).unwrap();
            begin(&feed);
            pad.open_gate(OpenGate {
                peer: 1,
                is_video: true,
                is_paced: false,
                transport_wide: None,
            });
            Self { bin, pad, feed }
        }
    }

    fn begin(feed: &gst::Pad) {
        let caps = "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000";
        let caps = caps.parse::<gst::Caps>().unwrap();
        feed.push_event(gst::event::StreamStart::new("chain"));
        feed.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        feed.push_event(gst::event::Segment::new(&segment));
    }

    impl Drop for Chain {
        fn drop(&mut self) {
            self.bin.set_state(gst::State::Null).unwrap();
        }
    }

    /// Whoever asks behind the pad would have clocksync wait for that latency.
    #[test]
    fn a_latency_that_a_live_source_claims_holds_nothing() {
        let chain = Chain::new(gst::ClockTime::from_seconds(60));
        let source = chain.pad.sender.source();
        assert!(source.query(&mut gst::query::Latency::new()));
        let (pushed, times) = std::sync::mpsc::channel();
        let feed = chain.feed.clone();
        std::thread::spawn(move || pushed.send(feed.push(packet(1, [0x65, 0x88]))));
        let flow = times.recv_timeout(Duration::from_secs(10));
        assert_eq!(flow, Ok(Ok(gst::FlowSuccess::Ok)));
    }

    /// Capsfilters upstream warned of "not negotiated" at a stop, which unlinks the session.
    #[test]
    fn upstream_does_not_negotiate_anew_for_a_session() {
        let chain = Chain::new(gst::ClockTime::ZERO);
        let (sender, negotiates) = std::sync::mpsc::channel();
        let mask = gst::PadProbeType::EVENT_UPSTREAM;
        chain.feed.add_probe(mask, move |_, info| {
            let _ = sender.send(info.event().map(|event| event.type_()));
            gst::PadProbeReturn::Ok
        });
        let sink = chain.pad.sender.source().peer().unwrap();
        chain.pad.unlink_from(&sink);
        chain.pad.link_to(&sink).unwrap();
        assert_eq!(negotiates.try_iter().collect::<Vec<_>>(), []);
    }

    #[test]
    fn upstream_does_not_negotiate_anew_for_another_picture() {
        let chain = Chain::new(gst::ClockTime::ZERO);
        let raw = "video/x-raw,format=I420,width=640,height=360,framerate=30/1";
        let caps = gst::event::Caps::new(&raw.parse::<gst::Caps>().unwrap());
        assert!(chain.feed.push_event(caps));
        assert!(chain.pad.encoder().is_some(), "it is not encoded");
        let (sender, negotiates) = std::sync::mpsc::channel();
        let mask = gst::PadProbeType::EVENT_UPSTREAM;
        chain.feed.add_probe(mask, move |_, info| {
            let _ = sender.send(info.event().map(|event| event.type_()));
            gst::PadProbeReturn::Ok
        });
        chain.pad.suit_picture(50_000);
        assert_eq!(negotiates.try_iter().collect::<Vec<_>>(), []);
    }

    #[test]
    #[ignore = "a measurement: cargo test --release --lib -- --ignored --nocapture"]
    #[allow(clippy::print_stdout)]
    fn cost_of_a_packet_in_place() {
        // The packets have one timestamp, and are on time for a minute.
        let chain = Chain::new(gst::ClockTime::from_seconds(60));
        let (pad, feed) = (&chain.pad, &chain.feed);
        feed.push(packet(1, [0x65, 0x88])).unwrap();
        // From the middle of a frame.
        let packet = packet(2, [0x5c, 0x01]);
        let push = || {
            feed.push(black_box(packet.clone())).unwrap();
        };
        let watch = &pad.stream.traffic;
        watch.clear();
        let take = || {
            let packets = std::iter::once(black_box(&packet).as_ref());
            black_box(watch.take(packets));
        };
        let format = pad.format().unwrap();
        let end = gst::ElementFactory::make("fakesink").build().unwrap();
        let source = gst::Pad::new(gst::PadDirection::Src);
        source.set_active(true).unwrap();
        source.link(&end.static_pad("sink").unwrap()).unwrap();
        end.set_state(gst::State::Playing).unwrap();
        begin(&source);
        let straight = || {
            source.push(black_box(packet.clone())).unwrap();
        };
        let into_sender = || {
            pad.sender.sink().chain(black_box(packet.clone())).unwrap();
        };
        // Interleaved, since the machine's speed changes over time.
        let (mut alone, mut with, mut without, mut past, mut sender) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for _ in 0..15 {
            watch.begin(&format);
            alone.push(cost(take));
            with.push(cost(push));
            assert_eq!(pad.traffic().unwrap().packets, 2 * u64::from(PACKETS));
            watch.clear();
            without.push(cost(push));
            past.push(cost(straight));
            sender.push(cost(into_sender));
        }
        let [alone, with, without, past, sender] = [alone, with, without, past, sender].map(median);
        println!(
            "watch alone: {alone} ns; push with it: {with} ns, without: {without} ns, \
             into the RTP sender: {sender} ns, straight into a fakesink: {past} ns"
        );
        end.set_state(gst::State::Null).unwrap();
    }
}
