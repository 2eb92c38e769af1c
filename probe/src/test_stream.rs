//! One test stream through the element, followed on its bus.

use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gstivs::whip::{Endpoint, Token};

use crate::findings::{Stream, StreamOutcome};
use crate::stop::Interrupt;

/// A quiet tone. `retries=0`, so that a stream makes at most one session.
const AUDIO: &str = "audiotestsrc is-live=true volume=0.05 ! opusenc ! rtpopuspay ! ivswhipsink \
                     name=sink retries=0";

/// How often the clock and Ctrl-C are checked between messages.
const POLL_INTERVAL: gst::ClockTime = gst::ClockTime::from_mseconds(50);

/// The time limit to get on the stage. Longer than the element's `timeout` and
/// `connect-timeout`, so that it matters only if an encoder gives nothing.
const START_BOUND: Duration = Duration::from_secs(40);

/// The time limit for the end of a stream, longer than the element's DELETE takes.
const END_BOUND: Duration = Duration::from_secs(8);

/// How long to wait for a warning after the pipeline has stopped.
const LAST_MESSAGES_BOUND: gst::ClockTime = gst::ClockTime::from_mseconds(200);

/// What a test stream consists of.
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

/// The streams outside the documented limits.
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

/// Where a stream is sent, and for how long.
#[derive(Clone)]
pub(crate) struct StreamTarget {
    pub(crate) endpoint: Endpoint,
    pub(crate) token: Token,
    pub(crate) time: Duration,
    pub(crate) interrupt: Interrupt,
}

/// A finished stream, with what `Sessions` needs.
pub(crate) struct FinishedStream {
    pub(crate) stream: Stream,
    pub(crate) session: SessionEnd,
    pub(crate) throttled: bool,
}

/// What became of the session that the element made.
pub(crate) enum SessionEnd {
    NoSession,
    Deleted,
    /// It may be left on the stage. Holds the reason.
    Uncertain(String),
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
            // The fastest preset that uses features of the High profile.
            Self::Video { caps, profile, .. } => format!(
                "{AUDIO} videotestsrc is-live=true pattern=ball ! video/x-raw,{caps},framerate=15/1 \
                 ! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 key-int-max=15 \
                 ! video/x-h264,profile={profile} \
                 ! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! sink."
            ),
        }
    }
}

/// Sends a stream and ends it. Blocks.
pub(crate) fn send(media: &TestMedia, target: &StreamTarget) -> FinishedStream {
    match start(media, target) {
        Ok((pipeline, sink)) => BusWatch::new(media).follow(&pipeline, &sink, target),
        Err(reason) => not_sent(media, reason),
    }
}

fn not_sent(media: &TestMedia, reason: String) -> FinishedStream {
    FinishedStream {
        stream: Stream {
            name: media.name(),
            outcome: StreamOutcome::NotSent(reason),
            states: Vec::new(),
            statistics: Vec::new(),
        },
        session: SessionEnd::NoSession,
        throttled: false,
    }
}

fn start(
    media: &TestMedia,
    target: &StreamTarget,
) -> Result<(gst::Pipeline, gst::Element), String> {
    let pipeline = gst::parse::launch(&media.description())
        .map_err(|error| error.to_string())?
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
            // It has no session yet, so how it gets to NULL does not matter.
            let _ = pipeline.set_state(gst::State::Null);
            Err(error.to_string())
        }
    }
}

/// What the messages on the bus have said so far.
struct BusWatch {
    began: Instant,
    stream: Stream,
    published: Option<Instant>,
    error: Option<String>,
    /// Whether the error came after the server had made a session.
    had_session: bool,
    throttled: bool,
    /// Why the session may be left on the stage.
    problem: Option<String>,
    eos: bool,
}

impl BusWatch {
    fn new(media: &TestMedia) -> Self {
        Self {
            began: Instant::now(),
            stream: not_sent(media, "it did not start".to_owned()).stream,
            published: None,
            error: None,
            had_session: false,
            throttled: false,
            problem: None,
            eos: false,
        }
    }

    fn follow(
        mut self,
        pipeline: &gst::Pipeline,
        sink: &gst::Element,
        target: &StreamTarget,
    ) -> FinishedStream {
        let bus = pipeline.bus();
        let next = |watch: &mut Self| {
            let message = bus.as_ref().and_then(|bus| bus.timed_pop(POLL_INTERVAL));
            message.iter().for_each(|message| watch.read(message));
        };
        // Ctrl-C does not end this before the stream is on the stage or has failed:
        // the server may be making a session, which has to be deleted.
        while !self.has_ended() && !self.is_over(target) {
            next(&mut self);
        }
        let published = self.published.map(|since| since.elapsed());
        self.stream.statistics = statistics(sink);
        if self.error.is_none() {
            pipeline.send_event(gst::event::Eos::new());
            let deadline = Instant::now() + END_BOUND;
            while !self.has_ended() && Instant::now() < deadline {
                next(&mut self);
            }
        }
        // A warning about the DELETE comes during the change to NULL or right after.
        pipeline.set_auto_flush_bus(false);
        if pipeline.set_state(gst::State::Null).is_err() {
            self.problem = Some("the pipeline of a stream did not stop".to_owned());
        }
        let warnings = [gst::MessageType::Warning];
        if let Some(bus) = &bus {
            while let Some(message) = bus.timed_pop_filtered(LAST_MESSAGES_BOUND, &warnings) {
                self.read(&message);
            }
            bus.set_flushing(true);
        }
        self.finish(published)
    }

    fn has_ended(&self) -> bool {
        self.eos || self.error.is_some()
    }

    fn is_over(&self, target: &StreamTarget) -> bool {
        let Some(since) = self.published else {
            return self.began.elapsed() > START_BOUND;
        };
        since.elapsed() >= target.time || target.interrupt.check().is_err()
    }

    fn finish(mut self, published: Option<Duration>) -> FinishedStream {
        let has_session = published.is_some() || self.had_session;
        let is_confirmed = self.eos || self.had_session;
        let unconfirmed = (!is_confirmed).then(|| "a stream's end was not confirmed".to_owned());
        let session = match self.problem.or(unconfirmed) {
            _ if !has_session => SessionEnd::NoSession,
            None => SessionEnd::Deleted,
            Some(problem) => SessionEnd::Uncertain(problem),
        };
        self.stream.outcome = match (self.error, published) {
            (Some(reason), published) => StreamOutcome::Failed { reason, published },
            (None, Some(time)) => StreamOutcome::Stayed(time),
            (None, None) => {
                StreamOutcome::NotSent("it ended before it was on the stage".to_owned())
            }
        };
        FinishedStream {
            stream: self.stream,
            session,
            throttled: self.throttled,
        }
    }

    fn read(&mut self, message: &gst::Message) {
        match message.view() {
            gst::MessageView::Eos(_) => self.eos = true,
            gst::MessageView::Warning(warning) => {
                let name = warning
                    .details()
                    .and_then(|details| details.get::<String>("warning").ok());
                if name.as_deref() == Some("not-deleted") {
                    self.problem = Some(warning.error().to_string());
                }
            }
            gst::MessageView::Error(error) => self.read_error(error),
            gst::MessageView::Element(_) => self.read_state(message),
            _ => {}
        }
    }

    fn read_error(&mut self, error: &gst::message::Error) {
        let details = error.details();
        let phase = details.and_then(|details| details.get::<String>("phase").ok());
        let status = details.and_then(|details| details.get::<u32>("http-status").ok());
        let with_session = ["answer", "connect", "publish"];
        self.had_session = phase.is_some_and(|phase| with_session.contains(&phase.as_str()));
        self.throttled = matches!(status, Some(429 | 503));
        self.error.get_or_insert(error.error().to_string());
    }

    fn read_state(&mut self, message: &gst::Message) {
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

/// The numbers in the property `stats`, without the ports and ids. Strings are left
/// out, as they could be addresses.
fn statistics(sink: &gst::Element) -> Vec<String> {
    let stats: gst::Structure = sink.property("stats");
    let is_private = |name: &str| name.ends_with("-ssrc") || name.contains("-candidate-");
    let fields = stats.iter().filter(|(name, _)| !is_private(name));
    fields
        .filter_map(|(name, value)| Some(format!("{name} {}", number(name, value)?)))
        .collect()
}

fn number(name: &str, value: &glib::SendValue) -> Option<String> {
    let unsigned = value.get::<u64>().ok();
    if let Some(count) = unsigned.or_else(|| value.get::<u32>().ok().map(u64::from)) {
        // A GstClockTime is a guint64, as counts are.
        let is_time = name.contains("-time") || name.ends_with("-jitter");
        return Some(match is_time {
            true => format!("{:.3} s", count as f64 / 1e9),
            false => count.to_string(),
        });
    }
    if let Ok(real) = value.get::<f64>() {
        return Some(format!("{real:.3}"));
    }
    value.get::<i32>().ok().map(|number| number.to_string())
}
