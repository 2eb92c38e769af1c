//! Many publishers in one process that are started, stopped, refused and cut at random:
//! nothing stays, and nothing but the faults is in the log. After each minute all stop, so
//! that what the process uses can be compared.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::known_lines::is_known;
use super::minute::{HEADER, Minute, grown};
use super::{ELEMENTS, MINUTE, MINUTES, SEED, number, seed};
use crate::alone::{alone_with_little_kept, show};
use crate::faulty_stages::{FaultyStages, Report};
use crate::harness::{self, AUDIO};
use crate::logged::Logged;
use crate::process_usage::Usage;
use crate::random::Random;

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

#[test]
#[ignore = "slow: make test-long"]
fn twenty_publishers_with_random_faults_leave_nothing() {
    alone_with_little_kept(
        "soak::many::twenty_publishers_with_random_faults_leave_nothing",
        || {
            let (seed, minutes) = (seed(), number(MINUTES).unwrap_or(10));
            let elements = number(ELEMENTS).unwrap_or(20);
            show(&format!(
                "{elements} elements for {minutes} minutes with {SEED}={seed}"
            ));
            let (reports, usages) = play_minutes(seed, elements, minutes);
            let sum = |count: fn(&Report) -> u64| reports.iter().map(count).sum::<u64>();
            let played = [
                sum(|report| report.deleted),
                sum(|report| report.closed),
                sum(|report| report.refused),
            ];
            assert!(played.iter().all(|count| *count > 0), "{reports:?}");
            assert_eq!(grown(&usages), [""; 0]);
        },
    );
}

fn play_minutes(seed: u64, elements: u64, minutes: u64) -> (Vec<Report>, Vec<Usage>) {
    harness::init();
    let logged = Logged::start();
    show(HEADER);
    let totals = Totals::default();
    let played = (1..=minutes).map(|number| {
        let counts = Counts::default();
        let seed = seed ^ (number << 32);
        let (report, after) = play_minute(seed, elements, &counts, &totals, &logged);
        show(&line(number as usize, after, &counts, &totals, &report).to_string());
        assert_eq!(logged.other_than(is_known), []);
        assert_eq!(report.live, 0);
        let ended = report.deleted + report.closed + report.abandoned;
        assert_eq!(report.created, ended);
        (report, after)
    });
    played.unzip()
}

fn line(number: usize, usage: Usage, counts: &Counts, totals: &Totals, report: &Report) -> Minute {
    let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
    Minute {
        number,
        state: "stopped".into(),
        usage,
        sessions: of(&totals.sessions),
        sent: totals.sent.load(Ordering::SeqCst),
        lost: totals.lost.load(Ordering::SeqCst),
        off_air: Duration::from_millis(of(&counts.off_air) as u64),
        faults: format!(
            "{} starts, {} frozen, {} deaf, {} closed, {} refused, {} errors, {} sessions left \
             to patience, longest stop {} ms",
            of(&counts.starts),
            report.frozen,
            report.deaf,
            report.closings,
            report.refused,
            of(&counts.errors),
            report.abandoned,
            of(&counts.longest_stop),
        ),
    }
}

/// Of one minute.
#[derive(Default)]
struct Counts {
    starts: AtomicUsize,
    errors: AtomicUsize,
    /// In milliseconds, as the next one.
    longest_stop: AtomicUsize,
    /// The longest time between two sessions of a publisher.
    off_air: AtomicUsize,
}

/// Since the start.
#[derive(Default)]
struct Totals {
    sessions: AtomicUsize,
    sent: AtomicU64,
    lost: AtomicU64,
}

/// Runs all publishers for a minute and stops them. Returns what the process uses
/// afterwards.
///
/// The stages are new ones: the end of theirs closes the idle HTTP connections,
/// which would else stay for a minute and a half.
fn play_minute(
    seed: u64,
    elements: u64,
    counts: &Counts,
    totals: &Totals,
    logged: &Logged,
) -> (Report, Usage) {
    let stages = FaultyStages::start(seed);
    let end = Instant::now() + MINUTE;
    thread::scope(|scope| {
        for place in 1..=elements {
            let (stages, mut random) = (&stages, Random::new(seed ^ place));
            scope.spawn(move || {
                while Instant::now() < end {
                    let publisher = Publisher::new(stages, &mut random, counts, totals, logged);
                    // The same pipeline again, or another one.
                    for _ in 0..=random.below(3) {
                        publisher.play_once(end, &mut random);
                    }
                }
            });
        }
    });
    (stages.end(), Usage::settled())
}

struct Publisher<'a> {
    inner: harness::Publisher,
    bus: gst::Bus,
    /// Since when it has no session, after one.
    off_since: Cell<Option<Instant>>,
    counts: &'a Counts,
    totals: &'a Totals,
    logged: &'a Logged,
}

impl<'a> Publisher<'a> {
    fn new(
        stages: &FaultyStages,
        random: &mut Random,
        counts: &'a Counts,
        totals: &'a Totals,
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
            off_since: Cell::default(),
            counts,
            totals,
            logged,
        }
    }

    /// Plays for a random time, up to an error, or to `end`, and stops.
    fn play_once(&self, end: Instant, random: &mut Random) {
        // A third stops while it connects, and some play on.
        let time = match random.below(6) {
            0..=1 => random.below(700),
            2 => random.below(60_000),
            _ => random.below(15_000),
        };
        let until = end.min(Instant::now() + Duration::from_millis(time as u64));
        self.counts.starts.fetch_add(1, Ordering::SeqCst);
        self.inner.play();
        self.watch(until, |message| message.type_() == gst::MessageType::Error);
        self.off_since.set(None);
        self.note_stats();
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

    fn note_stats(&self) {
        let stats = super::Packets::of(&self.inner.whip);
        self.totals.sent.fetch_add(stats.sent, Ordering::SeqCst);
        self.totals.lost.fetch_add(stats.lost, Ordering::SeqCst);
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
                match structure.get::<&str>("state") {
                    Ok("publishing") => {
                        add(&self.totals.sessions);
                        let gap = self.off_since.take().map_or(0, since);
                        self.counts.off_air.fetch_max(gap, Ordering::SeqCst);
                    }
                    Ok("retrying") if self.off_since.get().is_none() => {
                        self.off_since.set(Some(Instant::now()));
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

fn since(begin: Instant) -> usize {
    begin.elapsed().as_millis() as usize
}
