//! Sound and picture do not drift apart, although the picture takes half a second longer to
//! be encoded.

use std::env;
use std::fmt;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::alone::{alone, show};
use crate::capture_times::{Origins, Seen, seen_leaving};
use crate::far_end::FarEnd;
use crate::publisher::Publisher;

const MINUTES: &str = "IVSWHIPSINK_LIP_SYNC_MINUTES";
const MINUTE: Duration = Duration::from_secs(60);

const MEDIA: &str = "audiotestsrc is-live=true ! audio/x-raw,channels=2 ! whip. \
     videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=30/1 ! whip. ";

/// How far apart sound and picture may be, and how far they may drift, in seconds. What is
/// noticed begins at 45 ms (ITU-R BT.1359).
const APART: f64 = 0.02;
const DRIFT: f64 = 0.01;

/// Lets the element's own encoder look ahead for 15 pictures, half a second.
fn delay_picture(whip: &gst::Element) {
    whip.set_property("video-encoder", "x264enc");
    whip.connect("encoder-setup", false, |values| {
        let encoder = values[1].get::<gst::Element>().unwrap();
        encoder.set_property_from_str("speed-preset", "ultrafast");
        encoder.set_property("threads", 1_u32);
        encoder.set_property("sync-lookahead", 15_i32);
        encoder.set_property("rc-lookahead", 15_i32);
        encoder.set_property("mb-tree", true);
        encoder.set_property("bframes", 0_u32);
        encoder.set_property("key-int-max", 60_u32);
        encoder.set_property("bitrate", 600_u32);
        Some(true.to_value())
    });
}

/// What was measured in a minute, in seconds.
struct Minute {
    /// How much later the picture is played than the sound of the same moment.
    behind: f64,
    /// The shortest time between capture and leaving, by the running time of the pipeline.
    /// It grows or shrinks if timestamps drift from the clock.
    sound_lag: f64,
    picture_lag: f64,
}

impl Minute {
    fn measure(seen: &Receiver<Seen>, origins: &mut Origins) -> Self {
        let end = Instant::now() + MINUTE;
        let (mut sound_lag, mut picture_lag) = (f64::INFINITY, f64::INFINITY);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let Ok(seen) = seen.recv_timeout(left) else {
                break;
            };
            if let Seen::Media(media) = &seen {
                let lag = match media.is_audio() {
                    true => &mut sound_lag,
                    false => &mut picture_lag,
                };
                *lag = lag.min(media.lag);
            }
            origins.take(seen);
        }
        let behind = origins.picture_behind_sound();
        Self {
            behind: behind.expect("two sender reports"),
            sound_lag,
            picture_lag,
        }
    }
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [behind, sound, picture] =
            [self.behind, self.sound_lag, self.picture_lag].map(|seconds| seconds * 1000.0);
        write!(
            f,
            "the picture is played {behind:.2} ms behind the sound; sound leaves {sound:.1} ms \
             after it was captured, the picture {picture:.1} ms"
        )
    }
}

#[test]
#[ignore = "slow: make test-long"]
fn a_picture_that_is_half_a_second_late_does_not_drift() {
    alone(
        "lip_sync::a_picture_that_is_half_a_second_late_does_not_drift",
        || {
            let minutes = env::var(MINUTES).map_or(2, |text| text.parse().expect("minutes"));
            let far_end = FarEnd::start();
            let publisher = Publisher::to(&far_end, MEDIA);
            delay_picture(publisher.whip());
            let seen = seen_leaving(publisher.whip());
            publisher.play();
            publisher.wait_state("publishing");
            let mut origins = Origins::default();
            let mut measured = Vec::new();
            for minute in 1..=minutes {
                let one = Minute::measure(&seen, &mut origins);
                show(&format!("minute {minute}: {one}"));
                assert!(one.picture_lag > 0.4, "the picture is not late");
                measured.push(one);
            }
            publisher.stop();
            far_end.wait_all_deleted();
            assert_eq!(far_end.look(|counts| counts.created), 1);
            let (first, last) = (&measured[0], &measured[measured.len() - 1]);
            assert!(measured.iter().all(|one| one.behind.abs() < APART));
            for (first, last) in [
                (first.behind, last.behind),
                (first.sound_lag, last.sound_lag),
                (first.picture_lag, last.picture_lag),
            ] {
                assert!((last - first).abs() < DRIFT, "from {first} to {last} s");
            }
        },
    );
}
