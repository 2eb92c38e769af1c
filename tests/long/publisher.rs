//! The harness's publisher, but it drops each message after reading it: kept
//! messages would look like a leak of the element.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::far_end::FarEnd;
use crate::harness::{self, BOUND};

/// Above the longest back-off with its jitter, 36 s.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Publisher {
    inner: harness::Publisher,
    bus: gst::Bus,
}

impl Publisher {
    /// Parses a launch line that links to `whip.` and contains an `audio-pay`.
    pub fn to(far_end: &FarEnd, launch: &str) -> Self {
        let inner = harness::Publisher::new(launch);
        inner.whip.set_property("whip-endpoint", far_end.endpoint());
        inner.whip.set_property("auth-token", &far_end.token);
        let bus = inner.pipeline.bus().unwrap();
        Self { inner, bus }
    }

    pub fn whip(&self) -> &gst::Element {
        &self.inner.whip
    }

    pub fn pipeline(&self) -> &gst::Pipeline {
        &self.inner.pipeline
    }

    pub fn play(&self) {
        self.inner.play();
    }

    /// Sets the pipeline to NULL, which empties its bus.
    pub fn stop(&self) {
        self.inner.stop();
        assert!(self.bus.pop().is_none(), "a message after the stop");
    }

    /// The next message before the deadline; an error message fails the test.
    pub fn message(&self, deadline: Instant) -> Option<gst::Message> {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = gst::ClockTime::try_from(left).unwrap();
        let message = self.bus.timed_pop(left)?;
        if let gst::MessageView::Error(error) = message.view() {
            panic!("an error: {error:?}");
        }
        Some(message)
    }

    /// Waits for a message in which `pick` finds something, at most [`BOUND`].
    pub fn wait<T>(&self, what: &str, pick: impl FnMut(&gst::Message) -> Option<T>) -> T {
        self.wait_for(BOUND, what, pick)
    }

    pub fn wait_for<T>(
        &self,
        bound: Duration,
        what: &str,
        mut pick: impl FnMut(&gst::Message) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + bound;
        loop {
            let message = self.message(deadline);
            let message = message.unwrap_or_else(|| panic!("no {what} on the bus"));
            if let Some(picked) = pick(&message) {
                return picked;
            }
        }
    }

    /// Waits for a session state. Returns its time since PLAYING.
    pub fn wait_state(&self, state: &str) -> gst::ClockTime {
        self.wait(state, |message| since_playing(message, state))
    }

    /// Waits until this many more packets have left the payloader.
    pub fn wait_packets(&self, packets: usize) {
        let pay = self.inner.pipeline.by_name("audio-pay").unwrap();
        let pad = pay.static_pad("src").unwrap();
        let (sender, passed) = channel();
        let probe = pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let _ = sender.send(());
            gst::PadProbeReturn::Ok
        });
        for _ in 0..packets {
            passed.recv_timeout(BOUND).unwrap();
        }
        pad.remove_probe(probe.unwrap());
    }
}

/// The time since PLAYING, if the message reports this session state.
pub fn since_playing(message: &gst::Message, state: &str) -> Option<gst::ClockTime> {
    let structure = message.structure()?;
    let is = structure.name() == "ivswhipsink-session-state"
        && structure.get::<&str>("state") == Ok(state);
    is.then(|| structure.get("since-playing").unwrap())
}
