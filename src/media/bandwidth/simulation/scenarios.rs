//! The networks, and what must be reached in each.

use super::super::{ChangeCost, TransportWide};
use super::far_end::Reports;
use super::network::Conditions;
use super::publisher::{Control, LIMITS};
use super::random::Random;

const ESTIMATED: Control = Control::Estimate(TransportWide::Negotiated, ChangeCost::Free);
const TWCC: Reports = Reports::TransportWide;
const REPORTED: Control = Control::Estimate(TransportWide::Refused, ChangeCost::Free);
const REPORTS: Reports = Reports::Receiver(1_500_000);

const KEY_FRAME: f64 = 5.0;

/// A session on a network. Times in seconds.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) conditions: Conditions,
    pub(super) reports: Reports,
    pub(super) control: Control,
    pub(super) still: Option<(i64, i64)>,
    /// What the encoder has without the network, in bit/s.
    pub(super) max_video: u64,
    /// A key frame is as large as so many others.
    pub(super) key_frame: f64,
    pub(super) seconds: i64,
    pub(super) phases: Vec<Phase>,
}

/// A part of a session, in seconds, and what must be reached in it.
#[derive(Clone, Copy)]
pub(super) struct Phase {
    pub(super) name: &'static str,
    pub(super) from: i64,
    pub(super) to: i64,
    pub(super) goal: Goal,
}

/// What must be reached: the highest and lowest values of [`Reached`], and seconds until
/// 90 % of the highest bit rate.
///
/// [`Reached`]: super::measure::Reached
#[derive(Clone, Copy)]
pub(super) struct Goal {
    pub(super) queue: f64,
    pub(super) used: f64,
    pub(super) lost: f64,
    pub(super) frozen: f64,
    pub(super) audio_lost: f64,
    pub(super) gap: f64,
    pub(super) recovery: f64,
}

const NO_GOAL: Goal = Goal {
    queue: f64::INFINITY,
    used: 0.0,
    lost: f64::INFINITY,
    frozen: f64::INFINITY,
    audio_lost: f64::INFINITY,
    gap: f64::INFINITY,
    recovery: f64::INFINITY,
};

/// The first four values, in the order of the table.
fn goal(queue: f64, used: f64, lost: f64, frozen: f64) -> Goal {
    Goal {
        queue,
        used,
        lost,
        frozen,
        ..NO_GOAL
    }
}

impl Goal {
    fn audio_lost(self, audio_lost: f64) -> Self {
        Self { audio_lost, ..self }
    }

    fn gap(self, gap: f64) -> Self {
        Self { gap, ..self }
    }

    fn recovery(self, recovery: f64) -> Self {
        Self { recovery, ..self }
    }
}

impl Phase {
    fn without_goal(self) -> Self {
        Self {
            goal: NO_GOAL,
            ..self
        }
    }
}

impl Scenario {
    fn new(name: &'static str, conditions: Conditions, seconds: i64, phases: Vec<Phase>) -> Self {
        Self {
            name,
            conditions,
            reports: TWCC,
            control: ESTIMATED,
            still: None,
            max_video: LIMITS.max_video,
            key_frame: KEY_FRAME,
            seconds,
            phases,
        }
    }

    /// An encoder without much room for key frames.
    fn with_small_key_frames(self) -> Self {
        let key_frame = 2.0;
        Self { key_frame, ..self }
    }

    /// With an encoder of 1 Mbit/s.
    fn of_one_megabit(mut self) -> Self {
        self.max_video = M;
        self
    }

    fn with(mut self, control: Control, reports: Reports) -> Self {
        (self.control, self.reports) = (control, reports);
        self
    }
}

fn phase(name: &'static str, from: i64, to: i64, goal: Goal) -> Phase {
    Phase {
        name,
        from,
        to,
        goal,
    }
}

const M: u64 = 1_000_000;
const S: i64 = 1_000_000;

/// 4 Mbit/s, from 15 s to 35 s `rate`, then 4 Mbit/s again.
fn step(rate: u64) -> Conditions {
    Conditions {
        rates: vec![(0, 4 * M), (15 * S, rate), (35 * S, 4 * M)],
        ..Conditions::of(0)
    }
}

/// Its parts, with goals for the narrow one from the 4th second on, and for the last.
fn step_phases(narrow: Goal, wide: Goal) -> Vec<Phase> {
    vec![
        phase(
            "narrow",
            15,
            35,
            goal(200.0, 60.0, 20.0, 5.0).audio_lost(1.5),
        ),
        phase(NARROW_LATER, 18, 35, narrow.audio_lost(0.5)),
        phase("wide again", 35, 60, wide),
    ]
}

/// The part of a session that is compared with one without control.
pub(super) const NARROW_LATER: &str = "narrow from the 4th second";

fn whole(seconds: i64, goal: Goal) -> Vec<Phase> {
    vec![phase("all", 0, seconds, goal)]
}

/// Names begin with the letters of the study that the settings come from.
pub(super) fn all() -> Vec<Scenario> {
    let mut all = steps();
    all.extend(thinned());
    all.extend(losses());
    all.extend(queues());
    all.extend(changes());
    all
}

/// Links that become narrow.
fn steps() -> Vec<Scenario> {
    let none = || {
        step_phases(NO_GOAL, NO_GOAL)
            .into_iter()
            .map(Phase::without_goal)
            .collect()
    };
    let b = step_phases(goal(90.0, 78.0, 1.0, 0.6), NO_GOAL.recovery(12.0));
    let c = step_phases(goal(120.0, 75.0, 1.0, 1.0), NO_GOAL.recovery(9.0));
    let j = step_phases(goal(150.0, 70.0, 1.0, 2.0), NO_GOAL.recovery(25.0));
    let sound = step_phases(goal(120.0, 75.0, 1.0, 1.0), NO_GOAL);
    let narrow = vec![phase(
        "from the 4th second",
        4,
        40,
        goal(120.0, 75.0, 1.0, 2.0).audio_lost(0.5),
    )];
    let loses_feedback = Conditions {
        feedback_loss: 0.2,
        ..step(M)
    };
    let h = step_phases(goal(90.0, 65.0, 1.0, 1.0), NO_GOAL.recovery(20.0));
    let key_frames = step_phases(goal(90.0, 58.0, 1.0, 1.0), NO_GOAL.recovery(20.0));
    let costly = Control::Estimate(TransportWide::Negotiated, ChangeCost::KeyFrame);
    vec![
        Scenario::new("b 4, 1, 4 M", step(M), 60, b),
        Scenario::new("b none", step(M), 60, none()).with(Control::None, TWCC),
        Scenario::new("c 4, 0.3, 4 M", step(300_000), 60, c.clone()),
        Scenario::new("c, small key frames", step(300_000), 60, c).with_small_key_frames(),
        Scenario::new("c 4, 0.3, 4 M, encoder of 1 M", step(300_000), 60, sound).of_one_megabit(),
        Scenario::new("0.3 M, encoder of 1 M", Conditions::of(300_000), 40, narrow)
            .of_one_megabit(),
        Scenario::new("c none", step(300_000), 60, none()).with(Control::None, TWCC),
        Scenario::new("h b, 20 % of feedback lost", loses_feedback, 60, h),
        Scenario::new("j b, receiver reports", step(M), 60, j).with(REPORTED, REPORTS),
        Scenario::new("b, key frame of each change", step(M), 60, key_frames).with(costly, TWCC),
    ]
}

/// Links that become narrow for a stream that follows no target.
fn thinned() -> Vec<Scenario> {
    let thinned = Control::Thinning(TransportWide::Negotiated);
    let steps = |narrow: Goal, gap: f64| {
        let start = phase(
            "start",
            15,
            18,
            goal(200.0, 60.0, 50.0, 3.1).audio_lost(3.0),
        );
        let narrow = phase(NARROW_LATER, 18, 35, narrow.audio_lost(0.5).gap(gap));
        vec![
            phase("wide", 0, 15, goal(25.0, 90.0, 0.0, 0.0)),
            start,
            narrow,
            phase("wide again", 35, 60, NO_GOAL.recovery(17.0)),
        ]
    };
    let b = steps(goal(90.0, 70.0, 0.5, 10.0), 1.5);
    // Key frames alone take two thirds of it.
    let c = steps(goal(170.0, 75.0, 0.5, 17.1), 6.0);
    vec![
        Scenario::new("b thinned", step(M), 60, b).with(thinned, TWCC),
        Scenario::new("c thinned", step(300_000), 60, c).with(thinned, TWCC),
    ]
}

/// Losses that have nothing to do with the rate.
fn losses() -> Vec<Scenario> {
    let losing = |loss| Conditions {
        loss,
        ..Conditions::of(8 * M)
    };
    let far = Conditions {
        loss: 0.01,
        round_trip: 200_000,
        ..Conditions::of(2 * M)
    };
    let bursts = Conditions {
        loss_run: 5,
        ..losing(0.01)
    };
    let d = whole(40, goal(10.0, 80.0, 4.0, 1.5).recovery(20.0));
    let e = whole(60, goal(90.0, 65.0, 2.5, 12.0));
    let j = whole(40, goal(10.0, 65.0, 4.0, 2.0));
    vec![
        Scenario::new("d 8 M, 3 % loss", losing(0.03), 40, d),
        Scenario::new("d none", losing(0.03), 40, whole(40, NO_GOAL)).with(Control::None, TWCC),
        Scenario::new("j d, receiver reports", losing(0.03), 40, j).with(REPORTED, REPORTS),
        Scenario::new(
            "8 M, 12 % loss",
            losing(0.12),
            40,
            whole(40, goal(10.0, 18.0, 14.0, 12.0)),
        ),
        Scenario::new(
            "8 M, 1 % loss in fives",
            bursts,
            40,
            whole(40, goal(12.0, 80.0, 2.0, 1.5)),
        ),
        Scenario::new("e 2 M, 1 % loss, round trip 200 ms", far, 60, e),
    ]
}

/// Queues and buckets of all kinds.
fn queues() -> Vec<Scenario> {
    let uneven = Conditions {
        queue: 300_000,
        jitter: 20_000,
        ..Conditions::of(3 * M)
    };
    let bucket = Conditions {
        burst: 32_000,
        ..Conditions::of(M)
    };
    let policer = Conditions {
        burst: 30_000,
        queue: 0,
        ..Conditions::of(1_500_000)
    };
    let shallow = Conditions {
        queue: 40_000,
        ..Conditions::of(4 * M)
    };
    let wide = goal(25.0, 90.0, 0.5, 0.5).recovery(6.0);
    vec![
        Scenario::new("a 4 M", Conditions::of(4 * M), 40, whole(40, wide)),
        Scenario::new(
            "f 3 M, queue 300 ms, jitter 20 ms",
            uneven,
            45,
            whole(45, goal(60.0, 65.0, 0.5, 0.5)),
        ),
        Scenario::new(
            "i 1 M from the start",
            Conditions::of(M),
            45,
            whole(45, goal(80.0, 65.0, 1.0, 1.5)),
        ),
        Scenario::new(
            "n 1 M token bucket of 32 kB",
            bucket,
            60,
            whole(60, goal(200.0, 85.0, 2.0, 8.0)),
        ),
        Scenario::new(
            "o 1.5 M policer of 30 kB",
            policer,
            60,
            whole(60, goal(1.0, 75.0, 5.0, 14.0)),
        ),
        Scenario::new("p 4 M, queue 40 ms", shallow, 40, whole(40, wide)),
    ]
}

/// What changes on the way, or in the picture.
fn changes() -> Vec<Scenario> {
    let mut random = Random::new(3);
    let changing = (0..80).map(|n| (n * 750_000, random.between(0.5e6, 4e6) as u64));
    let changing = Conditions {
        rates: changing.collect(),
        queue: 400_000,
        ..Conditions::of(0)
    };
    let out = Conditions {
        rates: vec![(0, 4 * M), (15 * S, 1_000), (20 * S, 4 * M)],
        ..Conditions::of(0)
    };
    let foreign = Conditions {
        foreign: Some((15 * S, 35 * S, 2 * M)),
        ..Conditions::of(3 * M)
    };
    let rival = Conditions {
        rival: Some((15 * S, 45 * S)),
        ..Conditions::of(3 * M)
    };
    let longer = Conditions {
        detour: Some((10 * S, 40 * S, 60_000)),
        ..Conditions::of(3 * M)
    };
    let drifting = Conditions {
        drift: 300,
        ..Conditions::of(4 * M)
    };
    let moving = phase("moving", 20, 40, goal(60.0, 60.0, 0.5, 1.0));
    let back = phase("back", 20, 45, goal(25.0, 55.0, 1.0, 1.5).recovery(15.0));
    // A third of what is useful is left.
    let shared = phase("foreign", 15, 35, goal(200.0, 27.0, 4.0, 6.0));
    let download = vec![
        phase(
            "shared",
            15,
            45,
            goal(200.0, 25.0, 1.0, 1.0).audio_lost(0.5),
        ),
        phase("alone again", 45, 70, NO_GOAL.recovery(20.0)),
    ];
    let detour = phase("longer", 10, 40, goal(80.0, 70.0, 0.5, 0.5));
    let drift = whole(40, goal(25.0, 90.0, 0.5, 0.5).recovery(6.0));
    let q = whole(60, goal(160.0, 28.0, 2.0, 4.0));
    let mut still = Scenario::new(
        "k 1.5 M, still for 20 s",
        Conditions::of(1_500_000),
        40,
        vec![moving],
    );
    still.still = Some((0, 20 * S));
    vec![
        still,
        still_on_a_wide_network(),
        Scenario::new("m 3 M, foreign 2 M", foreign, 40, vec![shared]),
        Scenario::new("g 3 M, shared with a download", rival, 70, download),
        Scenario::new("q 0.5 to 4 M at random, queue 400 ms", changing, 60, q),
        Scenario::new("s 3 M, 60 ms longer for 30 s", longer, 45, vec![detour]),
        Scenario::new("4 M, out for 5 s", out, 45, vec![back]),
        Scenario::new("4 M, clock drift 300 ppm", drifting, 40, drift),
    ]
}

/// Little is sent for 20 s, on one host or in a local network whose packets are unsteady.
pub(super) fn still_on_a_wide_network() -> Scenario {
    let conditions = Conditions {
        round_trip: 1_000,
        jitter: 2_000,
        stalls: Some((170_000, 30_000)),
        ..Conditions::of(4 * M)
    };
    let moves = phase("moving", 20, 40, goal(60.0, 60.0, 0.5, 1.0).recovery(8.0));
    let mut slides = Scenario::new("4 M, near, still for 20 s", conditions, 40, vec![moves]);
    slides.still = Some((0, 20 * S));
    slides
}
