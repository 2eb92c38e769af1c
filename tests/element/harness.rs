//! A pipeline with one `ivswhipsink`, and waits for what a test expects on the bus.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Kind, Rules, SectionReport, SessionReport, Stage};

use crate::documented_messages;

/// Limit of a wait: long enough for a loaded machine. No passing test waits this long.
pub const BOUND: Duration = Duration::from_secs(20);

pub const AUDIO: &str = "audiotestsrc is-live=true ! opusenc ! rtpopuspay name=audio-pay ! whip. ";
pub const VIDEO: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=500 \
     ! video/x-h264,profile=constrained-baseline ! rtph264pay name=video-pay ! whip. ";

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstivs::plugin_register_static().unwrap();
    });
}

pub fn stage() -> Stage {
    Stage::start(Rules::default()).unwrap()
}

/// Waits until ten audio packets of a session have arrived; `session` counts from 0.
pub fn wait_packets_of(stage: &Stage, session: usize) {
    let enough = |sessions: &[SessionReport]| {
        let session = sessions.get(session)?;
        (session.packets(Kind::Audio) >= 10).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, enough)
        .expect("packets at the stage");
}

/// Links the source in a launch line to a pad.
pub fn add_source(publisher: &Publisher, launch: &str, pad: &gst::Pad) -> gst::Element {
    let source = gst::parse::bin_from_description(launch, true).unwrap();
    publisher.pipeline.add(&source).unwrap();
    source.static_pad("src").unwrap().link(pad).unwrap();
    source.sync_state_with_parent().unwrap();
    source.upcast()
}

pub fn remove_source(publisher: &Publisher, source: &gst::Element, pad: &gst::Pad) {
    source.static_pad("src").unwrap().unlink(pad).unwrap();
    source.set_state(gst::State::Null).unwrap();
    publisher.pipeline.remove(source).unwrap();
}

/// An error message from the bus.
#[derive(Debug)]
pub struct SeenError {
    pub source: String,
    pub error: glib::Error,
    pub details: Option<gst::Structure>,
}

impl SeenError {
    pub fn text(&self) -> String {
        self.error.message().to_owned()
    }

    pub fn is(&self, code: gst::ResourceError) -> bool {
        self.error.matches(code)
    }

    pub fn detail<T: for<'a> glib::value::FromValue<'a>>(&self, name: &str) -> Option<T> {
        let value = self.details.as_ref()?.value(name).ok()?;
        value.get::<T>().ok()
    }
}

/// A pipeline that is set to NULL when it is dropped.
pub struct Publisher {
    pub pipeline: gst::Pipeline,
    pub whip: gst::Element,
    bus: gst::Bus,
    seen: Vec<gst::Message>,
}

impl Publisher {
    /// Parses a launch line that links to `whip.`, the element under test.
    pub fn new(launch: &str) -> Self {
        Self::parsed(&format!("{launch} ivswhipsink name=whip"))
    }

    /// Parses a complete launch line, in which the element is named `whip`.
    pub fn parsed(launch: &str) -> Self {
        init();
        let pipeline = gst::parse::launch(launch).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let whip = pipeline.by_name("whip").unwrap();
        Self::of(pipeline, whip)
    }

    /// Takes a pipeline that has the element.
    pub fn of(pipeline: gst::Pipeline, whip: gst::Element) -> Self {
        let bus = pipeline.bus().unwrap();
        Self {
            pipeline,
            whip,
            bus,
            seen: Vec::new(),
        }
    }

    /// As [`Self::new`], for a stage, with one of its tokens.
    pub fn to_stage(launch: &str, stage: &Stage) -> Self {
        let publisher = Self::new(launch);
        publisher
            .whip
            .set_property("whip-endpoint", stage.endpoint());
        publisher.whip.set_property("auth-token", stage.token());
        publisher
    }

    /// As [`Self::new`], for any endpoint, with a token that nobody checks and without
    /// retries.
    pub fn to_endpoint(launch: &str, endpoint: &str) -> Self {
        let publisher = Self::new(launch);
        publisher.whip.set_property("whip-endpoint", endpoint);
        publisher.whip.set_property("auth-token", "some-token");
        publisher.whip.set_property("retries", 0);
        publisher
    }

    pub fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    /// Sets the pipeline to PLAYING. Returns whether that worked.
    pub fn try_play(&self) -> bool {
        self.pipeline.set_state(gst::State::Playing).is_ok()
    }

    /// Sets the pipeline to NULL. Returns how long that took.
    pub fn stop(&self) -> Duration {
        let before = Instant::now();
        self.pipeline.set_state(gst::State::Null).unwrap();
        before.elapsed()
    }

    /// Waits for a message from which `pick` returns a value; panics after [`BOUND`].
    pub fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&gst::Message) -> Option<T>) -> T {
        let deadline = Instant::now() + BOUND;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = gst::ClockTime::from_nseconds(left.as_nanos() as u64);
            let Some(message) = self.bus.timed_pop(left) else {
                panic!("no {what} on the bus; seen: {:#?}", self.seen);
            };
            self.see(message.clone());
            if let Some(picked) = pick(&message) {
                return picked;
            }
        }
    }

    /// Waits for a session state and returns the time since PLAYING. An error that
    /// comes first fails the test.
    pub fn wait_state(&mut self, state: &str) -> gst::ClockTime {
        self.wait(state, |message| match message.view() {
            gst::MessageView::Error(error) => panic!("{state} expected, found {error:?}"),
            gst::MessageView::Element(element) => {
                let structure = element.structure()?;
                let is = structure.name() == "ivswhipsink-session-state"
                    && structure.get::<String>("state").unwrap() == state;
                is.then(|| structure.get("since-playing").unwrap())
            }
            _ => None,
        })
    }

    pub fn wait_error(&mut self) -> SeenError {
        self.wait("error", |message| match message.view() {
            gst::MessageView::Error(error) => Some(SeenError {
                source: message.src().unwrap().name().to_string(),
                error: error.error(),
                details: error.details().map(ToOwned::to_owned),
            }),
            _ => None,
        })
    }

    pub fn wait_warning(&mut self) -> String {
        self.wait("warning", |message| match message.view() {
            gst::MessageView::Warning(warning) => Some(warning.error().message().to_owned()),
            gst::MessageView::Error(error) => panic!("a warning expected, found {error:?}"),
            _ => None,
        })
    }

    pub fn wait_eos(&mut self) {
        self.wait("end of stream", |message| match message.view() {
            gst::MessageView::Eos(_) => Some(()),
            gst::MessageView::Error(error) => panic!("end of stream expected, found {error:?}"),
            _ => None,
        });
    }

    /// Each webrtcbin that the element makes from now on.
    pub fn webrtcbins(&self) -> Receiver<gst::Element> {
        let (sender, made) = channel();
        self.whip.connect("webrtcbin-ready", false, move |values| {
            let _ = sender.send(values[1].get().unwrap());
            None
        });
        made
    }

    /// All messages that were on the bus so far.
    pub fn messages(&mut self) -> &[gst::Message] {
        while let Some(message) = self.bus.pop() {
            self.see(message);
        }
        &self.seen
    }

    fn see(&mut self, message: gst::Message) {
        documented_messages::check(&message);
        self.seen.push(message);
    }

    pub fn session_state(&self) -> String {
        let value = self.whip.property_value("session-state");
        glib::EnumValue::from_value(&value)
            .unwrap()
            .1
            .nick()
            .to_owned()
    }

    /// Drops the next `count` packets that leave an element. Returns when they are
    /// gone.
    pub fn lose_packets(&self, element: &str, count: u64) {
        let pad = self.pipeline.by_name(element).unwrap();
        let pad = pad.static_pad("src").unwrap();
        let (sender, gone) = channel();
        let lost = AtomicU64::new(0);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            let number = lost.fetch_add(1, Ordering::SeqCst) + 1;
            let _ = sender.send(number);
            if number <= count {
                gst::PadProbeReturn::Drop
            } else {
                gst::PadProbeReturn::Remove
            }
        });
        while gone.recv_timeout(BOUND).unwrap() < count {}
    }

    /// Counts the packets that leave an element, from now on.
    pub fn count_packets(&self, element: &str) -> Arc<AtomicU64> {
        let count = Arc::new(AtomicU64::new(0));
        let counter = count.clone();
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let pad = self
            .pipeline
            .by_name(element)
            .unwrap()
            .static_pad("src")
            .unwrap();
        pad.add_probe(mask, move |_, info| {
            let packets = match &info.data {
                Some(gst::PadProbeData::BufferList(list)) => list.len() as u64,
                _ => 1,
            };
            counter.fetch_add(packets, Ordering::SeqCst);
            gst::PadProbeReturn::Ok
        });
        count
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

/// Packets that get lost from now on.
pub struct Loss {
    pad: gst::Pad,
    probe: Option<gst::PadProbeId>,
}

impl Loss {
    /// Loses no more.
    pub fn end(mut self) {
        if let Some(probe) = self.probe.take() {
            self.pad.remove_probe(probe);
        }
    }
}

/// The section of a kind in the first session, as soon as it is so.
pub fn wait_section(
    stage: &Stage,
    kind: Kind,
    is: impl Fn(&SectionReport) -> bool,
) -> SectionReport {
    let found = stage.wait_for_sessions(BOUND, |sessions| {
        let section = sessions.first()?.section(kind);
        section.filter(|section| is(section)).cloned()
    });
    found.unwrap_or_else(|| panic!("{:#?}", stage.sessions()))
}

/// How much longer the media are by their RTP timestamps than it took them to arrive, in
/// seconds.
pub fn excess(section: &SectionReport) -> f64 {
    let arrival = section.last_ms.unwrap() - section.first_ms.unwrap();
    section.seconds - arrival as f64 / 1000.0
}

/// Number of frames that could be decoded.
pub fn decodable(section: &SectionReport) -> u64 {
    section.frames.map_or(0, |frames| frames.decodable)
}

/// Loses packets behind webrtcbin, as the network does: `lost` of ten.
pub fn lose(publisher: &Publisher, lost: u32) -> Loss {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let mut sinks = bin.iterate_all_by_element_factory_name("nicesink");
    let sink = sinks.next().unwrap().unwrap();
    let pad = sink.static_pad("sink").unwrap();
    let count = std::sync::atomic::AtomicU32::new(0);
    let probe = pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        match number % 10 < lost {
            true => gst::PadProbeReturn::Handled,
            false => gst::PadProbeReturn::Ok,
        }
    });
    Loss { pad, probe }
}

/// Makes a folder with nothing but the plugin, for GStreamer's own commands. The
/// caller removes it.
pub fn plugin_folder(name: &str) -> PathBuf {
    // `cargo test` puts the plugin beside the test's executable. Only `cargo build`
    // puts it one folder higher too.
    let executable = std::env::current_exe().unwrap();
    let plugin = executable.parent().unwrap().join("libgstivs.so");
    let folder = std::env::temp_dir().join(format!("ivswhipsink-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(plugin, folder.join("libgstivs.so")).unwrap();
    folder
}
