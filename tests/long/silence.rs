//! A far end that is gone without a word.

use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::alone::{alone, show};
use crate::far_end::FarEnd;
use crate::harness::AUDIO;
use crate::publisher::{Publisher, since_playing};

/// Above the 25 s between two checks of libnice, and the 25 s in which it repeats one.
const ICE_NOTICES: Duration = Duration::from_secs(70);

#[test]
#[ignore = "slow: make test-long"]
fn ice_alone_notices_it_within_a_minute() {
    alone("silence::ice_alone_notices_it_within_a_minute", || {
        let mut far_end = FarEnd::start();
        let publisher = Publisher::to(&far_end, AUDIO);
        publisher.whip().set_property("silence-timeout", 0_u32);
        publisher.play();
        publisher.wait_state("publishing");
        far_end.wait("media", |counts| !counts.playing.is_empty());
        far_end.kill();
        let gone = Instant::now();
        publisher.wait_for(ICE_NOTICES, "loss", |message| {
            since_playing(message, "retrying")
        });
        show(&format!(
            "noticed after {:.1} s",
            gone.elapsed().as_secs_f64()
        ));
        far_end.restart();
        publisher.wait_for(Duration::from_secs(60), "another session", |message| {
            since_playing(message, "publishing")
        });
        far_end.wait("media again", |counts| !counts.playing.is_empty());
        publisher.stop();
        far_end.wait_all_deleted();
    });
}
