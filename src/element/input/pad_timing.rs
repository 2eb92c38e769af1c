//! Applies the alignment of timestamps to a pad: reads those of its buffers, asks
//! upstream whether it is live, and sets up clocksync.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;

use super::latency::{Latency, upstream_latency};
use crate::media::{AudioArrival, Step, TimeAlignment, Timing, TimingNews};

/// As `ts-offset`: no buffer is held, whatever its timestamp.
pub(crate) const NEVER_HELD: i64 = -i64::MAX;

/// The alignment of the element's pads.
#[derive(Clone, Default)]
pub(super) struct SharedAlignment(Arc<Mutex<TimeAlignment>>);

impl SharedAlignment {
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut TimeAlignment) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The timing of one pad.
pub(super) struct PadTiming {
    id: u32,
    alignment: SharedAlignment,
    sync: glib::WeakRef<gst::Element>,
    segment: Mutex<Option<gst::FormattedSegment<gst::ClockTime>>>,
    asks_upstream: AtomicBool,
}

impl PadTiming {
    pub(super) fn new(id: u32, alignment: SharedAlignment, sync: &gst::Element) -> Self {
        Self {
            id,
            alignment,
            sync: sync.downgrade(),
            segment: Mutex::default(),
            asks_upstream: AtomicBool::new(true),
        }
    }

    /// Takes an event on its way in.
    pub(super) fn event(&self, pad: &gst::GhostPad, event: &gst::Event) -> Option<TimingNews> {
        match event.view() {
            gst::EventView::StreamStart(_) => {
                self.ask_upstream();
                self.alignment.with(|alignment| alignment.begin(self.id));
            }
            gst::EventView::Caps(_) => self.ask_upstream(),
            gst::EventView::Segment(segment) => {
                self.ask_upstream();
                let segment = segment.segment().downcast_ref().cloned();
                *self.segment.lock().unwrap_or_else(PoisonError::into_inner) = segment;
            }
            // clocksync holds it as it holds a buffer.
            gst::EventView::Gap(gap) => {
                let bin = pad.parent_element();
                return self.time(pad, bin.as_ref(), Some(gap.get().0));
            }
            gst::EventView::FlushStop(_) => {
                self.alignment.with(|alignment| alignment.flush(self.id));
            }
            _ => {}
        }
        None
    }

    /// Takes a buffer on its way in.
    pub(super) fn buffer(
        &self,
        pad: &gst::GhostPad,
        bin: Option<&gst::Element>,
        buffer: Option<&gst::BufferRef>,
    ) -> Option<TimingNews> {
        // In clocksync's order.
        self.time(pad, bin, buffer.and_then(|buffer| buffer.dts_or_pts()))
    }

    /// Takes timestamps away that lie before the segment: they have no running time, and most
    /// elements drop such media. Those behind make others. With B-frames the first pictures
    /// of a segment have only their DTS before it. Theirs becomes the segment's start, since
    /// clocksync would hold a picture without a DTS until it is to be shown.
    pub(super) fn clear_early_times(&self, buffer: &mut gst::Buffer) {
        let in_segment = self.times_in_segment(buffer);
        if in_segment != (buffer.pts(), buffer.dts()) {
            let buffer = buffer.make_mut();
            buffer.set_pts(in_segment.0);
            buffer.set_dts(in_segment.1);
        }
    }

    /// As [`Self::clear_early_times`], of each buffer in a list.
    pub(super) fn clear_early_times_of_list(&self, list: gst::BufferList) -> gst::BufferList {
        let is_early =
            |buffer: &gst::BufferRef| self.times_in_segment(buffer) != (buffer.pts(), buffer.dts());
        if !list.iter().any(is_early) {
            return list;
        }
        let buffers = list.iter_owned().map(|mut buffer| {
            self.clear_early_times(&mut buffer);
            buffer
        });
        buffers.collect()
    }

    /// When media come now: running time, and the timestamp that has it.
    pub(super) fn now(&self, bin: Option<&gst::Element>) -> Option<AudioArrival> {
        let running = bin.and_then(running_time)?;
        let shift = self
            .alignment
            .with(|alignment| alignment.timing(self.id))
            .shift;
        let shifted = u64::try_from(running.saturating_sub(shift)).ok()?;
        let segment = self.segment.lock();
        let segment = segment.unwrap_or_else(PoisonError::into_inner);
        let time = segment
            .as_ref()?
            .position_from_running_time(gst::ClockTime::from_nseconds(shifted))?;
        Some(AudioArrival {
            clock: u64::try_from(running).ok()?,
            time: time.nseconds(),
        })
    }

    /// How far before its segment a buffer lies.
    pub(super) fn before_segment(&self, buffer: &gst::BufferRef) -> Option<gst::ClockTime> {
        let segment = self.segment();
        let ahead = segment?.start()?.checked_sub(buffer.pts()?)?;
        (!ahead.is_zero()).then_some(ahead)
    }

    /// Whether timestamps run back, as at a negative rate.
    pub(super) fn runs_backwards(&self) -> bool {
        self.segment().is_some_and(|segment| segment.rate() < 0.0)
    }

    /// Whether timestamps begin anew with this event. A segment may only be sent again.
    pub(super) fn begins_anew(&self, event: &gst::Event) -> bool {
        let times = |segment: &gst::FormattedSegment<gst::ClockTime>| {
            (
                (segment.start(), segment.base(), segment.offset()),
                segment.rate().to_bits(),
            )
        };
        match event.view() {
            gst::EventView::StreamStart(_) | gst::EventView::FlushStop(_) => true,
            gst::EventView::Segment(segment) => {
                let next = segment.segment().downcast_ref().map(times);
                self.segment().as_ref().map(times) != next
            }
            _ => false,
        }
    }

    fn segment(&self) -> Option<gst::FormattedSegment<gst::ClockTime>> {
        let segment = self.segment.lock();
        segment.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The timestamps with which a buffer goes on, PTS and DTS.
    fn times_in_segment(
        &self,
        buffer: &gst::BufferRef,
    ) -> (Option<gst::ClockTime>, Option<gst::ClockTime>) {
        let start = {
            let segment = self.segment.lock();
            let segment = segment.unwrap_or_else(PoisonError::into_inner);
            segment.as_ref().and_then(|segment| segment.start())
        };
        let is_in = |time: &gst::ClockTime| Some(*time) >= start;
        let pts = buffer.pts().filter(is_in);
        let dts = buffer.dts().and_then(|dts| match is_in(&dts) {
            true => Some(dts),
            false => pts.and(start),
        });
        (pts, dts)
    }

    /// Asks upstream again whether it is live, when the next buffer comes: it may not
    /// know before.
    pub(super) fn ask_upstream(&self) {
        self.asks_upstream.store(true, Ordering::Release);
    }

    /// Forgets the stream.
    pub(super) fn forget(&self) {
        self.alignment.with(|alignment| alignment.remove(self.id));
        self.ask_upstream();
        let timing = self.alignment.with(|alignment| alignment.timing(self.id));
        self.set(timing);
    }

    /// Applies a step, and returns what to tell.
    pub(super) fn apply(&self, (timing, news): Step) -> Option<TimingNews> {
        if let Some(timing) = timing {
            self.set(timing);
        }
        news
    }

    fn time(
        &self,
        pad: &gst::GhostPad,
        bin: Option<&gst::Element>,
        time: Option<gst::ClockTime>,
    ) -> Option<TimingNews> {
        if self.asks_upstream.swap(false, Ordering::AcqRel) {
            let Latency { is_live, min, .. } = upstream_latency(pad).unwrap_or_default();
            let latency = min.nseconds();
            self.alignment
                .with(|alignment| alignment.set_source(self.id, is_live, latency));
        }
        let time = self.running_time(time?)?;
        let now = bin.and_then(running_time);
        let step = self
            .alignment
            .with(|alignment| alignment.take(self.id, time, now));
        self.apply(step)
    }

    fn running_time(&self, time: gst::ClockTime) -> Option<i64> {
        let segment = self.segment.lock();
        let segment = segment.unwrap_or_else(PoisonError::into_inner);
        let segment = segment.as_ref()?;
        // A gap may lie before its segment.
        if Some(time) < segment.start() {
            return None;
        }
        // A timestamp from 292 years on is a negative one that was computed unsigned.
        match segment.to_running_time_full(time)? {
            gst::Signed::Positive(time) => Some(time.nseconds().cast_signed()),
            gst::Signed::Negative(time) => Some(time.nseconds().cast_signed().wrapping_neg()),
        }
    }

    /// Sets clocksync's offset, by which it holds, and its pad's, which shifts what leaves.
    fn set(&self, mut timing: Timing) {
        let Some(sync) = self.sync.upgrade() else {
            return;
        };
        loop {
            sync.set_property("ts-offset", timing.hold.unwrap_or(NEVER_HELD));
            if let Some(source) = sync.static_pad("src") {
                source.set_offset(timing.shift);
            }
            // At the start of PLAYING, another thread may set it.
            let latest = self.alignment.with(|alignment| alignment.timing(self.id));
            if latest == timing {
                return;
            }
            timing = latest;
        }
    }
}

/// The running time of an element, in nanoseconds; `None` without a clock.
pub(super) fn running_time(element: &gst::Element) -> Option<i64> {
    let now = element.current_running_time()?;
    i64::try_from(now.nseconds()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// B-frames of x264enc, whose first are decoded before the segment begins, and the segment.
    fn b_frames() -> (gst::Event, Vec<gst::Buffer>) {
        let launch = "videotestsrc num-buffers=30 ! video/x-raw,width=64,height=64 \
             ! x264enc bframes=3 b-adapt=false ! fakesink name=end";
        let pipeline = gst::parse::launch(launch).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let end = pipeline.by_name("end").unwrap().static_pad("sink").unwrap();
        let (sender, buffers) = std::sync::mpsc::channel();
        end.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            sender.send(info.buffer().unwrap().to_owned()).unwrap();
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let bound = gst::ClockTime::from_seconds(20);
        let message = pipeline.bus().unwrap().timed_pop_filtered(bound, &types);
        assert_eq!(message.unwrap().type_(), gst::MessageType::Eos);
        let segment = end.sticky_event::<gst::event::Segment>(0).unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        (segment.into(), buffers.try_iter().collect())
    }

    /// clocksync held the second picture until it was to be shown, and then sent a burst.
    #[test]
    fn pictures_that_are_decoded_before_their_segment_leave_in_order() {
        gst::init().unwrap();
        let sync = gst::ElementFactory::make("clocksync").build().unwrap();
        let timing = PadTiming::new(0, SharedAlignment::default(), &sync);
        let (segment, frames) = b_frames();
        let ghost = gst::GhostPad::builder(gst::PadDirection::Sink).build();
        timing.event(&ghost, &segment);
        let gst::EventView::Segment(segment) = segment.view() else {
            panic!();
        };
        let segment = segment.segment().downcast_ref::<gst::ClockTime>().unwrap();
        let is_early = |frame: &&gst::Buffer| frame.dts() < segment.start();
        assert!(frames.iter().filter(is_early).count() >= 2);
        let mut last = segment.start();
        for frame in frames {
            let mut mended = frame.clone();
            timing.clear_early_times(&mut mended);
            assert_eq!(mended.pts(), frame.pts());
            assert!(mended.dts() <= mended.pts());
            assert!(mended.dts_or_pts() >= last, "{mended:?} behind {last:?}");
            last = mended.dts_or_pts();
        }
    }
}
