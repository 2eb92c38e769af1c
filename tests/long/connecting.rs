//! The time from PLAYING to publishing.

use crate::alone::{alone, show};
use crate::far_end::FarEnd;
use crate::harness::AUDIO;
use crate::publisher::Publisher;

const CONNECTS: usize = 10;

#[test]
#[ignore = "slow: make test-long"]
fn a_connect_on_this_host_takes_half_a_second_at_most() {
    alone(
        "connecting::a_connect_on_this_host_takes_half_a_second_at_most",
        || {
            let far_end = FarEnd::start();
            let first = connect(&far_end);
            let mut next: Vec<_> = (0..CONNECTS).map(|_| connect(&far_end)).collect();
            next.sort();
            let (median, slowest) = (next[CONNECTS / 2], next[CONNECTS - 1]);
            show(&format!(
                "first {first}; of the {CONNECTS} after it: median {median}, slowest {slowest}"
            ));
            far_end.wait_all_deleted();
            assert!(median < gst::ClockTime::from_mseconds(500), "{next:?}");
            assert!(first < gst::ClockTime::from_seconds(3), "{first}");
        },
    );
}

/// Publishes with a new pipeline and stops it once media has arrived. Returns
/// the time to publishing.
fn connect(far_end: &FarEnd) -> gst::ClockTime {
    let publisher = Publisher::to(far_end, AUDIO);
    publisher.play();
    let took = publisher.wait_state("publishing");
    far_end.wait("media", |counts| !counts.playing.is_empty());
    publisher.stop();
    far_end.wait("end of the session", |counts| counts.playing.is_empty());
    took
}
