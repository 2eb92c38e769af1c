//! One publisher with audio and video, as a box that runs for weeks, and a stage that is
//! killed, frozen, restarted, replaced and throttled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::known_lines::is_known;
use super::minute::{HEADER, Minute, grown};
use super::{MINUTE, MINUTES, Packets, SEED, number, seed};
use crate::alone::{alone_with_little_kept, show};
use crate::far_end::FarEnd;
use crate::harness;
use crate::logged::Logged;
use crate::process_usage::{Usage, cpu_time, held};
use crate::publisher::{Publisher, since_playing};
use crate::random::Random;
use crate::wire::Wire;

/// What a box has, with half the frames: the element encodes both.
const MEDIA: &str = "audiotestsrc is-live=true wave=ticks ! whip. \
     videotestsrc is-live=true pattern=ball ! video/x-raw,width=1280,height=720,framerate=15/1 \
     ! whip. ";

/// The stage counts once a second.
const SILENT: Duration = Duration::from_millis(2500);
/// From the end of a fault to media at the stage: the longest back-off with its jitter is
/// 36 s, and an attempt that began before takes 10 s to fail.
const BACK_BOUND: Duration = Duration::from_secs(60);
/// From then to the end of the last session: the stage's patience with a publisher that it
/// does not hear is 30 s.
const END_BOUND: Duration = Duration::from_secs(45);
/// Above the time in which the element notices that a stage that was frozen has lost it.
const STAYS: Duration = Duration::from_secs(5);
/// Idle threads of GLib's pools live for 15 s.
const SETTLED: Duration = Duration::from_secs(16);
/// Of [`MEDIA`].
const WIDTH: u32 = 1280;
const PUBLISHING: &str = "publishing";
const TICK: Duration = Duration::from_millis(200);
const SAMPLE: Duration = Duration::from_secs(2);

#[test]
#[ignore = "slow: make soak"]
fn one_publisher_is_back_on_air_after_each_fault() {
    alone_with_little_kept(
        "soak::one::one_publisher_is_back_on_air_after_each_fault",
        || {
            let (seed, minutes) = (seed(), number(MINUTES).unwrap_or(5));
            show(&format!("{minutes} minutes with {SEED}={seed}"));
            let wire = Wire::new().map(Arc::new);
            if let Err(reason) = &wire {
                show(&format!("nothing is throttled, as root could: {reason}"));
            }
            harness::init();
            let logged = Logged::start();
            let (mut soak, mut random) = (Soak::start(wire.ok()), Random::new(seed));
            // What the first reconnect makes stays.
            soak.play(Fault::Restarted, Duration::ZERO, &mut random);
            soak.run(MINUTE * minutes as u32, &mut random);
            for (line, count) in logged.other_than(is_known) {
                show(&format!("logged {count} times: {line}"));
            }
            soak.end();
        },
    );
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Killed,
    Frozen,
    Restarted,
    Replaced,
    Throttled,
}

impl Fault {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Frozen => "frozen",
            Self::Restarted => "restarted",
            Self::Replaced => "replaced",
            Self::Throttled => "throttled",
        }
    }

    fn any(random: &mut Random, wire: bool) -> Self {
        let all = [
            Self::Killed,
            Self::Frozen,
            Self::Restarted,
            Self::Replaced,
            Self::Throttled,
        ];
        all[random.below(all.len() - usize::from(!wire))]
    }
}

struct Soak {
    wire: Option<Arc<Wire>>,
    far_end: FarEnd,
    publisher: Publisher,
    start: Instant,
    next_sample: Instant,
    /// Whether a fault is played.
    disturbed: bool,
    sessions: usize,
    lost: Lost,
    longest_back: Duration,
    deleted: usize,
    /// Sessions that the stage ended, which missed their publisher.
    abandoned: usize,
    minutes: Vec<Usage>,
    minute: ThisMinute,
    /// Threads and files at the end.
    held: String,
}

#[derive(Default)]
struct ThisMinute {
    /// The least of it, while nothing happened.
    usage: Option<Usage>,
    /// Since when there have been media without a gap, in the whole soak.
    on_air_since: Option<Instant>,
    last_heard: Option<Instant>,
    off_air: Duration,
    faults: BTreeMap<Fault, usize>,
}

/// The element counts what was lost for each session apart.
#[derive(Default)]
struct Lost {
    before: u64,
    now: u64,
}

impl Soak {
    fn start(wire: Option<Arc<Wire>>) -> Self {
        let far_end = FarEnd::behind(wire.clone());
        let publisher = Publisher::to(&far_end, MEDIA);
        if let Some(wire) = &wire {
            // No host that a token may go to by itself.
            publisher.whip().set_property("redirect-hosts", wire.far());
        }
        publisher.play();
        let start = Instant::now();
        let mut soak = Self {
            wire,
            far_end,
            publisher,
            start,
            next_sample: start,
            disturbed: false,
            sessions: 0,
            lost: Lost::default(),
            longest_back: Duration::ZERO,
            deleted: 0,
            abandoned: 0,
            minutes: Vec::new(),
            minute: ThisMinute::default(),
            held: String::new(),
        };
        show(HEADER);
        soak.await_media();
        soak
    }

    fn run(&mut self, time: Duration, random: &mut Random) {
        let end = self.start + time;
        while Instant::now() < end {
            // Long enough for a minute to have a settled time.
            let pause = 20_000 + random.below(25_000);
            self.watch(Duration::from_millis(pause as u64));
            let length = Duration::from_millis(1000 + random.below(29_000) as u64);
            if Instant::now() + length < end {
                self.play(Fault::any(random, self.wire.is_some()), length, random);
            }
        }
    }

    fn play(&mut self, fault: Fault, length: Duration, random: &mut Random) {
        *self.minute.faults.entry(fault).or_default() += 1;
        self.disturbed = true;
        match fault {
            Fault::Killed => {
                self.far_end.kill();
                self.leave_stage();
                self.watch(length);
                self.far_end.restart();
            }
            Fault::Frozen => {
                self.far_end.freeze();
                self.watch(length);
                self.far_end.thaw();
            }
            Fault::Restarted => {
                self.far_end.close();
                self.leave_stage();
                self.far_end.restart();
            }
            Fault::Replaced => {
                self.far_end.close();
                self.leave_stage();
                self.far_end.replace();
            }
            Fault::Throttled => self.throttle(300 + random.below(700), length),
        }
        self.disturbed = false;
        self.await_media();
        self.await_one_session();
    }

    fn throttle(&mut self, rate: usize, length: Duration) {
        let wire = self.wire.clone().unwrap();
        wire.limit(rate).unwrap();
        self.watch(length);
        wire.free();
    }

    /// The next stage begins to count at 0.
    fn leave_stage(&mut self) {
        let [deleted, abandoned] = self
            .far_end
            .look(|counts| [counts.deleted, counts.abandoned]);
        self.deleted += deleted;
        self.abandoned += abandoned;
    }

    /// Waits until media arrive, and go on arriving: a stage that was frozen first reads
    /// what came meanwhile.
    fn await_media(&mut self) {
        let begun = Instant::now();
        self.minute.on_air_since = None;
        loop {
            self.watch(TICK);
            let state = self.state();
            let on_air = self.minute.on_air_since;
            if let Some(since) =
                on_air.filter(|since| since.elapsed() > STAYS && state == PUBLISHING)
            {
                self.longest_back = self.longest_back.max(since - begun);
                return;
            }
            assert!(
                begun.elapsed() < BACK_BOUND + STAYS,
                "not on air {BACK_BOUND:?} after the end of the fault, in {state}"
            );
        }
    }

    /// Waits until the stage has no session but the one on air.
    fn await_one_session(&mut self) {
        let deadline = Instant::now() + END_BOUND;
        loop {
            let live = self.far_end.look(|counts| counts.live());
            if live == 1 {
                return;
            }
            assert!(Instant::now() < deadline, "{live} sessions at the stage");
            self.watch(TICK);
        }
    }

    /// Reads the bus for this long, and notes what there is to note.
    fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let tick = end.min(Instant::now() + TICK);
            while let Some(message) = self.publisher.message(tick) {
                if is_publishing(&message) {
                    self.sessions += 1;
                }
            }
            self.look();
            if Instant::now() >= end {
                return;
            }
        }
    }

    fn look(&mut self) {
        let now = Instant::now();
        let heard = self.heard();
        if let Some(heard) = heard.filter(|heard| Some(*heard) != self.minute.last_heard)
            && let Some(last) = self.minute.last_heard.replace(heard)
        {
            self.minute.note_gap(heard - last);
        }
        let silent = heard.is_none_or(|heard| heard.elapsed() > SILENT);
        if let (true, Some(heard)) = (silent, heard) {
            self.minute.note_gap(heard.elapsed());
        }
        if silent || self.disturbed {
            self.minute.on_air_since = None;
        } else {
            self.minute.on_air_since.get_or_insert(now);
        }
        if now >= self.next_sample {
            self.next_sample = now + SAMPLE;
            self.sample();
        }
        if now >= self.start + MINUTE * (self.minutes.len() as u32 + 1) {
            self.end_minute();
        }
    }

    fn sample(&mut self) {
        self.lost.note(Packets::of(self.publisher.whip()).lost);
        let since = self.minute.on_air_since;
        let settled = since.is_some_and(|since| since.elapsed() > SETTLED);
        // The encoder of a smaller picture, as after a narrow time, has 30 MB less.
        let stats = self.publisher.whip().property::<gst::Structure>("stats");
        if settled && stats.get::<u32>("video-width") == Ok(WIDTH) {
            let now = Usage::now();
            let least = self.minute.usage.map_or(now, |least| least.min(&now));
            self.minute.usage = Some(least);
        }
    }

    fn end_minute(&mut self) {
        // A minute of trouble alone is as the one before.
        let usage = self.minute.usage.or(self.minutes.last().copied());
        let usage = usage.unwrap_or_else(Usage::now);
        self.minutes.push(usage);
        let faults = self.minute.faults.iter();
        let faults: Vec<String> = faults
            .map(|(fault, count)| match count {
                1 => fault.name().to_owned(),
                count => format!("{count} {}", fault.name()),
            })
            .collect();
        let line = Minute {
            number: self.minutes.len(),
            state: self.state(),
            usage,
            sessions: self.sessions,
            sent: Packets::of(self.publisher.whip()).sent,
            lost: self.lost.before + self.lost.now,
            off_air: self.minute.off_air,
            faults: faults.join(", "),
        };
        show(&line.to_string());
        self.minute = ThisMinute {
            on_air_since: self.minute.on_air_since,
            last_heard: self.minute.last_heard,
            ..ThisMinute::default()
        };
    }

    fn end(mut self) {
        self.held = held();
        self.publisher.stop();
        self.far_end
            .wait_for(END_BOUND, "end of every session", |counts| {
                counts.live() == 0
            });
        self.leave_stage();
        let part = cpu_time().as_secs_f64() / self.start.elapsed().as_secs_f64() * 100.0;
        show(&format!(
            "back on air {:.1} s after a fault's end at most; {} sessions ended by DELETE, {} \
             by the stage's patience; {part:.0} % of a core",
            self.longest_back.as_secs_f64(),
            self.deleted,
            self.abandoned,
        ));
        let grown = grown(&self.minutes);
        assert_eq!(grown, [""; 0], "{}", self.held);
    }

    fn heard(&self) -> Option<Instant> {
        self.far_end.look(|counts| counts.heard)
    }

    fn state(&self) -> String {
        let state = self.publisher.whip().property_value("session-state");
        glib::EnumValue::from_value(&state)
            .unwrap()
            .1
            .nick()
            .to_owned()
    }
}

impl ThisMinute {
    fn note_gap(&mut self, gap: Duration) {
        if gap > SILENT {
            self.off_air = self.off_air.max(gap);
        }
    }
}

impl Lost {
    fn note(&mut self, now: u64) {
        if now < self.now {
            self.before += self.now;
        }
        self.now = now;
    }
}

fn is_publishing(message: &gst::Message) -> bool {
    since_playing(message, PUBLISHING).is_some()
}
