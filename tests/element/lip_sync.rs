//! Sender reports tell when media were captured, so that a viewer can play sound and
//! picture together however long each took to be encoded. `tests/long` measures it for
//! minutes.

use std::time::Instant;

use crate::capture_times::{Origins, Seen, seen_leaving};
use crate::harness::{AUDIO, BOUND, Publisher, stage};

/// Video that leaves half a second after it was captured.
const LATE_VIDEO: &str = "videotestsrc is-live=true \
     ! video/x-raw,width=320,height=240,framerate=30/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=300 \
     ! queue min-threshold-time=500000000 max-size-time=0 max-size-bytes=0 max-size-buffers=0 \
     ! rtph264pay ! whip. ";

#[test]
fn a_late_picture_keeps_its_time() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{AUDIO} {LATE_VIDEO}"), &stage);
    let seen = seen_leaving(&publisher.whip);
    publisher.play();
    publisher.wait_state("publishing");
    let (mut origins, mut longest_lag) = (Origins::default(), 0.0_f64);
    let deadline = Instant::now() + BOUND;
    let apart = loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let seen = seen.recv_timeout(left);
        let seen = seen.expect("sender reports, and a picture that is late");
        if let Seen::Media(media) = &seen {
            longest_lag = longest_lag.max(media.lag);
        }
        origins.take(seen);
        // The queue has to fill first.
        let apart = origins.picture_behind_sound();
        if let Some(apart) = apart.filter(|_| longest_lag > 0.4) {
            break apart;
        }
    };
    publisher.stop();
    assert!(apart.abs() < 0.02, "{apart} s apart");
}
