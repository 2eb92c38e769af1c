//! An undisturbed publisher uses no more resources over time.

use std::time::{Duration, Instant};

use crate::alone::{alone, show};
use crate::far_end::FarEnd;
use crate::harness::{AUDIO, VIDEO};
use crate::process_usage::Usage;
use crate::publisher::Publisher;

const WARM: Duration = Duration::from_secs(20);
const STEADY: Duration = Duration::from_secs(120);
/// Allowed growth of memory, in kB.
const FLAT: i64 = 512;

#[test]
#[ignore = "slow: make test-long"]
fn two_steady_minutes_need_nothing_more_and_bring_no_warning() {
    alone(
        "steady::two_steady_minutes_need_nothing_more_and_bring_no_warning",
        || {
            let far_end = FarEnd::start();
            let publisher = Publisher::to(&far_end, &format!("{AUDIO} {VIDEO}"));
            publisher.play();
            publisher.wait_state("publishing");
            no_warning(&publisher, WARM);
            let warm = Usage::now();
            show(&format!("after {WARM:?}: {warm}"));
            for _ in 0..4 {
                no_warning(&publisher, STEADY / 4);
                show(&format!("{:?} later: {}", STEADY / 4, Usage::now()));
            }
            let growth = warm.come_back();
            let seconds: Vec<f64> =
                far_end.look(|counts| counts.playing.values().copied().collect());
            publisher.stop();
            far_end.wait_all_deleted();
            assert_eq!(far_end.look(|counts| counts.created), 1);
            let least = (WARM + STEADY).as_secs_f64() - 3.0;
            assert!(seconds[0] > least, "{seconds:?} s of audio");
            assert!(growth < FLAT, "{growth} kB more");
        },
    );
}

/// Reads the bus for this long; a warning or an error fails the test.
fn no_warning(publisher: &Publisher, time: Duration) {
    let deadline = Instant::now() + time;
    while let Some(message) = publisher.message(deadline) {
        if let gst::MessageView::Warning(warning) = message.view() {
            panic!("a warning: {warning:?}");
        }
    }
}
