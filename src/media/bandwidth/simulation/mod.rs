//! A simulated network, and what the parts of this folder reach on it together.
//!
//! ```text
//!  publisher ──► network: bottleneck, queue, loss, delay ──► far end
//!      ▲                                                        │
//!      └──────────── feedback, NACK, receiver reports ◄─────────┘
//! ```
//!
//! It is deterministic: no clock, and random numbers of fixed seeds.

mod far_end;
mod measure;
mod network;
mod publisher;
mod random;
mod scenarios;

use std::collections::VecDeque;

use far_end::FarEnd;
use measure::{Log, Reached};
use network::Network;
use publisher::Publisher;
use scenarios::{Goal, NARROW_LATER, Phase, Scenario};

/// Time passes in steps of so many µs.
const STEP: i64 = 1_000;
const SEEDS: [u64; 3] = [1, 2, 3];

/// The most seconds that all scenarios may simulate with one seed: with three, without
/// optimization and on two busy cores, that takes 16 to 20 s, and may take 30.
const MOST_SECONDS: i64 = 2_000;

fn run(scenario: &Scenario, seed: u64) -> Log {
    let conditions = &scenario.conditions;
    let way_back = conditions.round_trip / 2;
    let mut publisher = Publisher::new(
        scenario.control,
        scenario.still,
        scenario.key_frame,
        scenario.max_video,
        conditions.round_trip,
        seed,
    );
    let mut network = Network::new(conditions.clone(), seed + 1);
    let mut far_end = FarEnd::new(scenario.reports, conditions.clone(), seed + 2);
    let mut feedback = VecDeque::new();
    let mut log = Log::default();
    for now in (0..scenario.seconds * 1_000_000).step_by(STEP as usize) {
        while let Some((_, message)) = feedback.pop_front_if(|(at, _)| *at <= now) {
            publisher.receive(message, now);
        }
        for packet in publisher.step(now) {
            network.send(packet);
        }
        let (arrived, lost) = network.advance(now);
        for arrival in &arrived {
            far_end.receive(arrival);
        }
        if !arrived.is_empty() {
            let decoded = far_end.decode(&publisher.frames);
            log.decoded.extend(std::iter::repeat_n(now, decoded));
        }
        log.arrivals.extend(arrived);
        log.lost.extend(lost);
        let messages = far_end.send(now);
        feedback.extend(messages.into_iter().map(|it| (now + way_back, it)));
    }
    log.changes = std::mem::take(&mut publisher.changes);
    log
}

/// What is reached in each part of a session, in the median of some seeds.
fn reached(scenario: &Scenario) -> Vec<Reached> {
    let logs: Vec<_> = SEEDS.iter().map(|seed| run(scenario, *seed)).collect();
    let of = |phase: &Phase| {
        let (from, to) = (phase.from * 1_000_000, phase.to * 1_000_000);
        let rate = |at| scenario.conditions.rate(at);
        let all: Vec<_> = logs.iter().map(|log| log.reached(from, to, rate)).collect();
        Reached::median(&all)
    };
    scenario.phases.iter().map(of).collect()
}

/// The names of the values that miss the goal.
fn missed(reached: &Reached, goal: &Goal) -> Vec<&'static str> {
    let misses = [
        ("queue", reached.queue.1 > goal.queue),
        ("used", reached.used < goal.used),
        ("lost", reached.lost > goal.lost),
        ("frozen", reached.frozen > goal.frozen),
        ("audio lost", reached.audio_lost > goal.audio_lost),
        ("gap", reached.gap > goal.gap),
        ("recovery", reached.recovery > goal.recovery),
    ];
    misses
        .iter()
        .filter(|(_, missed)| *missed)
        .map(|(name, _)| *name)
        .collect()
}

/// Runs the scenarios on two threads, and prints the table.
#[expect(clippy::print_stdout, reason = "read with --nocapture")]
fn table() -> Vec<(Scenario, Vec<Reached>)> {
    let mut scenarios = scenarios::all();
    let seconds: i64 = scenarios.iter().map(|scenario| scenario.seconds).sum();
    assert!(seconds <= MOST_SECONDS, "{seconds} s are simulated");
    let second = scenarios.split_off(scenarios.len() / 2);
    let run = |scenarios: Vec<Scenario>| {
        let each = scenarios.into_iter().map(|scenario| {
            let reached = reached(&scenario);
            (scenario, reached)
        });
        each.collect::<Vec<_>>()
    };
    let table = std::thread::scope(|scope| {
        let first = scope.spawn(|| run(scenarios));
        let second = run(second);
        let mut all = first.join().unwrap();
        all.extend(second);
        all
    });
    println!(
        "{:<58} | q50 | q95 | use | lost | froz | audi | gap  | fps  | kb/s | chg  | recovery",
        "scenario"
    );
    for (scenario, reached) in &table {
        for (phase, reached) in scenario.phases.iter().zip(reached) {
            println!(
                "{:<58} | {reached}",
                format!("{}: {}", scenario.name, phase.name)
            );
        }
    }
    table
}

#[test]
fn what_is_reached_on_simulated_networks() {
    let table = table();
    let mut all_missed = Vec::new();
    for (scenario, reached) in &table {
        for (phase, reached) in scenario.phases.iter().zip(reached) {
            let missed = missed(reached, &phase.goal);
            let name = || format!("{}: {}: {missed:?}", scenario.name, phase.name);
            all_missed.extend((!missed.is_empty()).then(name));
        }
    }
    assert!(all_missed.is_empty(), "{all_missed:#?}");
    let of = |name: &str, part: &str| {
        let (scenario, reached) = table.iter().find(|(it, _)| it.name == name).unwrap();
        let part = scenario
            .phases
            .iter()
            .position(|it| it.name == part)
            .unwrap();
        reached[part]
    };
    // Without control the picture stands still on a narrow link, and does not with it;
    // random loss costs next to nothing.
    for (name, none) in [("b 4, 1, 4 M", "b none"), ("c 4, 0.3, 4 M", "c none")] {
        let (controlled, none) = (of(name, NARROW_LATER), of(none, NARROW_LATER));
        assert!(
            controlled.frozen * 10.0 < none.frozen && none.lost > 40.0,
            "{name}"
        );
        assert!(
            controlled.frames_a_second > 24.0 && controlled.queue.0 < 60.0,
            "{name}"
        );
    }
    let (controlled, none) = (of("d 8 M, 3 % loss", "all"), of("d none", "all"));
    assert!(controlled.used > none.used * 0.8);
}

/// A slide show on a wide network: what is sent says nothing of what could be.
#[test]
fn a_still_picture_keeps_its_bit_rate() {
    let slides = scenarios::still_on_a_wide_network();
    for seed in SEEDS {
        let changes = run(&slides, seed).changes;
        let still = changes.iter().filter(|(at, _)| *at < 20_000_000);
        let lowest = still.map(|(_, bit_rate)| *bit_rate).min();
        assert!(
            lowest.is_none_or(|lowest| lowest >= 1_000_000),
            "{changes:?}"
        );
    }
}
