//! One test stream through the element, watched from its bus.

use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gstivs::whip::{Endpoint, Token};

use crate::findings::{Stream, StreamOutcome};
use crate::stop::Interrupt;

/// A tone that disturbs nobody.
const AUDIO: &str = "audiotestsrc is-live=true volume=0.05 ! opusenc ! rtpopuspay ! ivswhipsink \
                     name=sink retries=0";

/// How often the bus is left for a look at the clock and at Ctrl-C.
const POLL_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// Bounds the time until it is on the stage, for an encoder that gives nothing:
/// more than the element's own bounds on the exchange and the connecting.
const START_BOUND: Duration = Duration::from_secs(40);

/// Bounds the end of a stream: a little more than the element's own bounds.
const END_BOUND: Duration = Duration::from_secs(8);

/// How long what is told at the very end may take.
const LAST_MESSAGES_BOUND: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// What is sent.
#[derive(Clone, Debug)]
pub(crate) enum TestMedia {
    /// Audio, with `video-filler` set to this mode.
    Audio { filler: Option<&'static str> },
    /// Audio, and video of this size and H.264 profile.
    Video {
        name: &'static str,
        caps: &'static str,
        profile: &'static str,
    },
}

/// The streams beyond the documented limits.
pub(crate) const OUTSIDE_LIMITS: [TestMedia; crate::plan::STREAMS_OUTSIDE_LIMITS] = [
    TestMedia::Video {
        name: HIGH,
        caps: "width=640,height=360",
        profile: "high",
    },
    TestMedia::Video {
        name: PORTRAIT,
        caps: "width=720,height=1280",
        profile: "constrained-baseline",
    },
];

pub(crate) const HIGH: &str = "H.264 High, 640x360";
pub(crate) const PORTRAIT: &str = "H.264 baseline, portrait 720x1280";

/// Where a stream goes, and for how long.
#[derive(Clone)]
pub(crate) struct StreamTarget {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Token,
    pub(crate) time: Duration,
    pub(crate) interrupt: Interrupt,
}

/// A finished stream, with what the count of sessions needs.
pub(crate) struct FinishedStream {
    pub(crate) stream: Stream,
    /// Whether there was a session, and if so what went wrong with its end.
    pub(crate) session: Option<Option<String>>,
    pub(crate) throttled: bool,
}

impl TestMedia {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Audio { filler: Some(mode) } => format!("audio, `video-filler={mode}`"),
            Self::Audio { filler: None } => "audio".to_owned(),
            Self::Video { name, .. } => (*name).to_owned(),
        }
    }

    fn description(&self) -> String {
        match self {
            Self::Audio { .. } => AUDIO.to_owned(),
            // The preset is the fastest one that makes use of High.
            Self::Video { caps, profile, .. } => format!(
                "{AUDIO} videotestsrc is-live=true pattern=ball ! video/x-raw,{caps},framerate=15/1 \
                 ! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 key-int-max=15 \
                 ! video/x-h264,profile={profile} \
                 ! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! sink."
            ),
        }
    }
}

/// Sends a stream to its end. Blocks.
pub(crate) fn send(media: &TestMedia, target: &StreamTarget) -> FinishedStream {
    match start(media, target) {
        Ok((pipeline, sink)) => BusWatch::new(media).follow(&pipeline, &sink, target),
        Err(reason) => not_tried(media, reason),
    }
}

pub(crate) fn not_tried(media: &TestMedia, reason: String) -> FinishedStream {
    FinishedStream {
        stream: Stream {
            name: media.name(),
            outcome: StreamOutcome::NotTried(reason),
            states: Vec::new(),
            statistics: Vec::new(),
        },
        session: None,
        throttled: false,
    }
}

/// Whether this build's element has that filler mode.
pub(crate) fn supports_filler_mode(mode: &str) -> bool {
    let Ok(sink) = gst::ElementFactory::make("ivswhipsink").build() else {
        return false;
    };
    let property = sink.find_property("video-filler");
    let class = property.and_then(|property| glib::EnumClass::with_type(property.value_type()));
    class.is_some_and(|class| class.value_by_nick(mode).is_some())
}

fn start(
    media: &TestMedia,
    target: &StreamTarget,
) -> Result<(gst::Pipeline, gst::Element), String> {
    let made = gst::parse::launch(&media.description()).map_err(|error| error.to_string())?;
    let pipeline = made
        .downcast::<gst::Pipeline>()
        .map_err(|_| "no pipeline".to_owned())?;
    let sink = pipeline.by_name("sink").ok_or("no sink")?;
    if let TestMedia::Audio { filler: Some(mode) } = media {
        sink.set_property_from_str("video-filler", mode);
    }
    sink.set_property("whip-endpoint", target.endpoint.url().as_str());
    sink.set_property("auth-token", target.token.reveal());
    match pipeline.set_state(gst::State::Playing) {
        Ok(_) => Ok((pipeline, sink)),
        Err(error) => {
            // Errors on the bus say why; the pipeline has no session yet.
            let _ = pipeline.set_state(gst::State::Null);
            Err(error.to_string())
        }
    }
}

/// What the bus has told so far.
struct BusWatch {
    began: Instant,
    stream: Stream,
    published: Option<Instant>,
    failed: Option<String>,
    /// Whether a failure came after the server had made a session.
    had_session: bool,
    throttled: bool,
    problem: Option<String>,
    ended: bool,
}

impl BusWatch {
    fn new(media: &TestMedia) -> Self {
        Self {
            began: Instant::now(),
            stream: not_tried(media, "it never began".to_owned()).stream,
            published: None,
            failed: None,
            had_session: false,
            throttled: false,
            problem: None,
            ended: false,
        }
    }

    fn follow(
        mut self,
        pipeline: &gst::Pipeline,
        sink: &gst::Element,
        target: &StreamTarget,
    ) -> FinishedStream {
        let bus = pipeline.bus();
        let take = |watch: &mut Self| {
            let message = bus.as_ref().and_then(|bus| bus.timed_pop(POLL_INTERVAL));
            message.iter().for_each(|message| watch.hear(message));
        };
        // The element bounds its connecting. Until that has an outcome Ctrl-C
        // waits, as a session may be under way that has to be deleted.
        while self.failed.is_none() && !self.ended && !self.is_over(target) {
            take(&mut self);
        }
        let stayed = self.published.map(|since| since.elapsed());
        self.stream.statistics = statistics(sink);
        if self.failed.is_none() {
            pipeline.send_event(gst::event::Eos::new());
            let bound = Instant::now() + END_BOUND;
            while !self.ended && self.failed.is_none() && Instant::now() < bound {
                take(&mut self);
            }
        }
        // What the DELETE came to is told during the way to NULL, or just after.
        pipeline.set_auto_flush_bus(false);
        if pipeline.set_state(gst::State::Null).is_err() {
            self.problem = Some("a pipeline did not stop".to_owned());
        }
        let warnings = [gst::MessageType::Warning];
        if let Some(bus) = &bus {
            while let Some(message) = bus.timed_pop_filtered(LAST_MESSAGES_BOUND, &warnings) {
                self.hear(&message);
            }
            bus.set_flushing(true);
        }
        self.end(stayed)
    }

    fn is_over(&self, target: &StreamTarget) -> bool {
        let Some(since) = self.published else {
            return self.began.elapsed() > START_BOUND;
        };
        since.elapsed() >= target.time || target.interrupt.check().is_err()
    }

    fn end(mut self, stayed: Option<Duration>) -> FinishedStream {
        self.stream.outcome = match (self.failed, stayed) {
            (Some(words), published) => StreamOutcome::Failed { words, published },
            (None, Some(stayed)) => StreamOutcome::Stayed(stayed),
            (None, None) => StreamOutcome::NotTried("it ended before it began".to_owned()),
        };
        if stayed.is_some() && !self.ended && self.problem.is_none() && !self.had_session {
            self.problem = Some("a stream's end was not confirmed".to_owned());
        }
        let had_session = stayed.is_some() || self.had_session;
        FinishedStream {
            stream: self.stream,
            session: had_session.then_some(self.problem),
            throttled: self.throttled,
        }
    }

    fn hear(&mut self, message: &gst::Message) {
        match message.view() {
            gst::MessageView::Eos(_) => self.ended = true,
            gst::MessageView::Warning(warning) => {
                let name = warning
                    .details()
                    .and_then(|details| details.get::<String>("warning").ok());
                if name.as_deref() == Some("not-deleted") {
                    self.problem = Some(warning.error().to_string());
                }
            }
            gst::MessageView::Error(error) => self.fail(error),
            gst::MessageView::Element(_) => self.step(message),
            _ => {}
        }
    }

    fn fail(&mut self, error: &gst::message::Error) {
        let details = error.details();
        let phase = details.and_then(|details| details.get::<String>("phase").ok());
        let status = details.and_then(|details| details.get::<u32>("http-status").ok());
        let after = ["answer", "connect", "publish"];
        self.had_session = phase.is_some_and(|phase| after.contains(&phase.as_str()));
        self.throttled = matches!(status, Some(429 | 503));
        self.failed.get_or_insert(error.error().to_string());
    }

    fn step(&mut self, message: &gst::Message) {
        let Some(structure) = message.structure() else {
            return;
        };
        if structure.name() != "ivswhipsink-session-state" {
            return;
        }
        let state = structure.get::<String>("state");
        let since = structure.get::<gst::ClockTime>("since-playing");
        if let (Ok(state), Ok(since)) = (state, since) {
            if state == "publishing" {
                self.published.get_or_insert_with(Instant::now);
            }
            self.stream.states.push((state, since.into()));
        }
    }
}

/// The numbers of the property `stats`, with those of each stream. Texts are
/// left out: they could be addresses.
fn statistics(sink: &gst::Element) -> Vec<String> {
    let stats: gst::Structure = sink.property("stats");
    let mut told = numbers(&stats, "");
    for track in ["audio", "video"] {
        if let Ok(stream) = stats.get::<gst::Structure>(track) {
            told.extend(numbers(&stream, &format!("{track} ")));
        }
    }
    told
}

fn numbers(structure: &gst::StructureRef, prefix: &str) -> Vec<String> {
    let number = |name: &str, value: &glib::SendValue| {
        // A time in nanoseconds is a guint64 like a count.
        let is_time = name.contains("-time") || name == "jitter";
        let whole = value.get::<u64>().ok();
        let whole = whole.or_else(|| value.get::<u32>().ok().map(u64::from));
        let real = whole.map(|whole| whole as f64 / 1e9).filter(|_| is_time);
        match (real, whole) {
            (Some(seconds), _) => Some(format!("{seconds:.3} s")),
            (None, Some(whole)) => Some(whole.to_string()),
            (None, None) => {
                let real = value.get::<f64>().ok();
                real.map(|real| format!("{real:.3}"))
                    .or_else(|| value.get::<i32>().ok().map(|number| number.to_string()))
            }
        }
    };
    let fields = structure.iter().filter(|(name, _)| *name != "ssrc");
    fields
        .filter_map(|(name, value)| Some(format!("{prefix}{name} {}", number(name, value)?)))
        .collect()
}
