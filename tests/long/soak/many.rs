//! Many publishers that are started, stopped, refused and cut at random, for ten
//! minutes: nothing stays, and nothing but the faults is in the log.

use std::env;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::alone::{alone, show};
use crate::faulty_stages::{FaultyStages, Report};
use crate::harness::{self, AUDIO};
use crate::logged::Logged;
use crate::process_usage::{GROWTH, Usage};
use crate::random::Random;

const SECONDS: &str = "IVSWHIPSINK_SOAK_SECONDS";
const SEED: &str = "IVSWHIPSINK_SOAK_SEED";
const PUBLISHERS: u64 = 20;
/// Nothing listens on port 9, so the POST fails while webrtcbin begins to gather.
const NOWHERE: &str = "http://127.0.0.1:9/";
/// Small, for the sake of the machine, but within IVS's limits. x264 warns of a buffer that
/// a frame does not fit, as a key frame on request may right after the first one with its
/// usual 600 ms.
const VIDEO: &str = "videotestsrc is-live=true ! video/x-raw,width=284,height=160,framerate=12/1 \
     ! x264enc tune=zerolatency threads=1 speed-preset=ultrafast key-int-max=12 bitrate=100 \
     vbv-buf-capacity=2000 \
     ! video/x-h264,profile=constrained-baseline ! rtph264pay ! whip. ";
/// Limit of a stop. The element waits 3 s for its DELETE; on two cores with much other work
/// the stop of a whole pipeline took 16 s.
const STOP_BOUND: Duration = Duration::from_secs(30);

/// What the element says to the faults, in its log and on the bus.
const PLAYED: &[&str] = &[
    "refused the offer (HTTP",
    "connection refused",
    "POST to http://...: failed: no reply came in time",
    "POST to http://...: failed: the server closed the connection without a reply",
    "no media connection with",
    // It froze after its answer.
    "answered, but no media connection came up within",
    "was lost: nothing was received from it",
    "was lost: the server closed it",
    "The session could not be deleted (no reply came in time)",
    "the session is still being ended, in the background",
];
/// What the element says where the encoders get too little of the processor.
const OF_LOAD: &[&str] = &["frames a second, and IVS asks for"];
/// What GStreamer 1.22 says now and then, without harm.
const OF_GSTREAMER: &[&str] = &[
    // A query meets a pad of an element that starts or stops.
    ":src: could not send sticky events",
    // The pads behind the payloader flush when the pipeline stops.
    "rtphpay: Problem pushing SPS",
    "rtphpay: Problem pushing PPS",
    // An extended report (RFC 3611) that comes alone, from a stage that has received
    // nothing yet.
    "srtpdec: No SSRC found in buffer",
    "srtpdec: Invalid buffer, dropping",
];

#[test]
#[ignore = "slow: make test-long"]
fn twenty_publishers_with_random_faults_leave_nothing() {
    alone(
        "soak::many::twenty_publishers_with_random_faults_leave_nothing",
        || {
            let seed = number(SEED).unwrap_or_else(|| u64::from(glib::random_int()));
            let seconds = number(SECONDS).unwrap_or(600);
            show(&format!("{seconds} s with {SEED}={seed}"));
            let (reports, usages) = play_minutes(seed, seconds);
            let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
            let played = [
                sum(|report| report.deleted),
                sum(|report| report.closed),
                sum(|report| report.refused),
            ];
            assert!(played.iter().all(|count| *count > 0), "{reports:?}");
            let (warm, last) = (usages[0], usages[usages.len() - 1]);
            let growth = last.allocated.cast_signed() - warm.allocated.cast_signed();
            show(&format!("{growth:+} kB allocated"));
            assert!(growth < GROWTH, "{growth} kB more");
            assert!(last.threads <= warm.threads, "{warm}; {last}");
            assert!(last.files <= warm.files, "{warm}; {last}");
        },
    );
}

fn play_minutes(seed: u64, seconds: u64) -> (Vec<Report>, Vec<Usage>) {
    harness::init();
    let logged = Logged::start();
    let counts = Counts::default();
    // Four short ones of a short run.
    let minute = Duration::from_secs(60.min(seconds / 4));
    let played = (1..=seconds / minute.as_secs()).map(|number| {
        let (report, after) = play_for(minute, seed ^ (number << 32), &counts, &logged);
        show(&format!("after minute {number}: {after}; {counts}"));
        assert_eq!(logged.other_than(is_played), []);
        assert_eq!(report.live, 0);
        let ended = report.deleted + report.closed + report.abandoned;
        assert_eq!(report.created, ended);
        (report, after)
    });
    played.unzip()
}

fn is_played(line: &str) -> bool {
    let has_one = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
    let of_element = line.contains(" ivswhipsink whip: ");
    has_one(OF_GSTREAMER) || of_element && (has_one(PLAYED) || has_one(OF_LOAD))
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().expect("a whole number"))
}

#[derive(Default)]
struct Counts {
    starts: AtomicUsize,
    published: AtomicUsize,
    retries: AtomicUsize,
    errors: AtomicUsize,
    longest_stop: AtomicUsize,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        write!(
            f,
            "{} starts, {} sessions on air, {} retries, {} errors, longest stop {} ms",
            of(&self.starts),
            of(&self.published),
            of(&self.retries),
            of(&self.errors),
            of(&self.longest_stop)
        )
    }
}

/// Runs all publishers for this time and stops them. Returns what the process
/// uses afterwards.
///
/// The stages are new ones: the end of theirs closes the idle HTTP connections,
/// which would else stay for a minute and a half.
fn play_for(time: Duration, seed: u64, counts: &Counts, logged: &Logged) -> (Report, Usage) {
    let stages = FaultyStages::start(seed);
    let end = Instant::now() + time;
    thread::scope(|scope| {
        for place in 1..=PUBLISHERS {
            let (stages, mut random) = (&stages, Random::new(seed ^ place));
            scope.spawn(move || {
                while Instant::now() < end {
                    let publisher = Publisher::new(stages, &mut random, counts, logged);
                    // The same pipeline again, or another one.
                    for _ in 0..=random.below(3) {
                        publisher.play_once(end, &mut random);
                    }
                }
            });
        }
    });
    let report = stages.end();
    show(&format!("{report:?}"));
    (report, Usage::settled())
}

struct Publisher<'a> {
    inner: harness::Publisher,
    bus: gst::Bus,
    counts: &'a Counts,
    logged: &'a Logged,
}

impl<'a> Publisher<'a> {
    fn new(
        stages: &FaultyStages,
        random: &mut Random,
        counts: &'a Counts,
        logged: &'a Logged,
    ) -> Self {
        let media = [AUDIO.to_owned(), format!("{AUDIO}{VIDEO}")];
        let inner = harness::Publisher::new(&media[random.below(2)]);
        let endpoint = match random.below(10) {
            0 => NOWHERE,
            _ => stages.endpoint.as_str(),
        };
        inner.whip.set_property("whip-endpoint", endpoint);
        inner.whip.set_property("auth-token", &stages.token);
        inner.whip.set_property("silence-timeout", 2u32);
        inner.whip.set_property("timeout", 4u32);
        let bus = inner.pipeline.bus().unwrap();
        Self {
            inner,
            bus,
            counts,
            logged,
        }
    }

    /// Plays for a random time, up to an error, or to `end`, and stops.
    fn play_once(&self, end: Instant, random: &mut Random) {
        // A third stops while it connects.
        let time = match random.below(3) {
            0 => random.below(700),
            _ => random.below(15_000),
        };
        let until = end.min(Instant::now() + Duration::from_millis(time as u64));
        self.counts.starts.fetch_add(1, Ordering::SeqCst);
        self.inner.play();
        self.watch(until, |message| message.type_() == gst::MessageType::Error);
        match random.below(4) {
            0 => {
                self.inner.pipeline.send_event(gst::event::Eos::new());
                let is_end = |message: &gst::Message| message.type_() == gst::MessageType::Eos;
                assert!(self.watch(Instant::now() + STOP_BOUND, is_end), "no EOS");
            }
            1 => drop(self.inner.pipeline.set_state(gst::State::Ready).unwrap()),
            _ => {}
        }
        let took = self.inner.stop();
        assert!(took < STOP_BOUND, "the stop took {took:?}");
        let longest = &self.counts.longest_stop;
        longest.fetch_max(took.as_millis() as usize, Ordering::SeqCst);
    }

    /// Reads the bus until `is_last` finds its message. Returns whether it did
    /// before the deadline.
    fn watch(&self, deadline: Instant, is_last: impl Fn(&gst::Message) -> bool) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = gst::ClockTime::try_from(left).unwrap();
            let Some(message) = self.bus.timed_pop(left) else {
                return false;
            };
            self.note(&message);
            if is_last(&message) {
                return true;
            }
        }
    }

    fn note(&self, message: &gst::Message) {
        let add = |count: &AtomicUsize| {
            count.fetch_add(1, Ordering::SeqCst);
        };
        let source = message.src().unwrap();
        let category = source
            .type_()
            .name()
            .replace("GstIvsWhipSink", "ivswhipsink");
        let posted = |level, error| {
            let line = format!("posted {level} {category} {}: {error}", source.name());
            self.logged.add(&line);
        };
        match message.view() {
            gst::MessageView::Error(error) => {
                add(&self.counts.errors);
                posted("Error", error.error());
            }
            gst::MessageView::Warning(warning) => posted("Warning", warning.error()),
            gst::MessageView::Element(element) => {
                let structure = element.structure().unwrap();
                if structure.name() == "ivswhipsink-retry" {
                    add(&self.counts.retries);
                } else if structure.get::<&str>("state") == Ok("publishing") {
                    add(&self.counts.published);
                }
            }
            _ => {}
        }
    }
}
