//! Repeated starts and stops leak nothing.

use crate::alone::{alone_with_little_kept, show};
use crate::far_end::FarEnd;
use crate::harness::AUDIO;
use crate::process_usage::{GROWTH, Usage};
use crate::publisher::Publisher;

const ROUNDS: usize = 200;
/// After this round everything that is made once exists.
const WARM: usize = 10;

#[test]
#[ignore = "slow: make test-long"]
fn two_hundred_rounds_of_one_pipeline_leave_nothing() {
    alone_with_little_kept(
        "rounds::two_hundred_rounds_of_one_pipeline_leave_nothing",
        || {
            let far_end = FarEnd::start();
            let publisher = Publisher::to(&far_end, AUDIO);
            rounds(&far_end, || play_once(&publisher, &far_end));
        },
    );
}

#[test]
#[ignore = "slow: make test-long"]
fn two_hundred_rounds_of_fresh_pipelines_leave_nothing() {
    alone_with_little_kept(
        "rounds::two_hundred_rounds_of_fresh_pipelines_leave_nothing",
        || {
            let far_end = FarEnd::start();
            rounds(&far_end, || {
                play_once(&Publisher::to(&far_end, AUDIO), &far_end);
            });
        },
    );
}

/// Plays until a few packets have left, then stops.
fn play_once(publisher: &Publisher, far_end: &FarEnd) {
    publisher.play();
    publisher.wait_state("publishing");
    far_end.wait("packet at the stage", |counts| !counts.playing.is_empty());
    publisher.wait_packets(5);
    publisher.stop();
    far_end.wait("end of the session", |counts| counts.playing.is_empty());
}

fn rounds(far_end: &FarEnd, mut round: impl FnMut()) {
    (0..WARM).for_each(|_| round());
    let warm = Usage::settled();
    show(&format!("after round {WARM}: {warm}"));
    for number in WARM + 1..=ROUNDS {
        round();
        if number % 50 == 0 {
            show(&format!("after round {number}: {}", Usage::now()));
        }
    }
    far_end.wait_all_deleted();
    assert_eq!(far_end.look(|counts| counts.created), ROUNDS);
    let growth = warm.come_back();
    show(&format!("{growth:+} kB at {}", Usage::now()));
    assert!(growth < GROWTH, "{growth} kB more");
}
