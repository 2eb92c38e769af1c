//! Publishers that run for long while their stages fail at random: `make soak`.
//!
//! Each minute is a line: what the process uses, what was sent and lost, which faults
//! were played. Nothing may grow, no session may stay behind at a stage, and each
//! publisher must be back on air in time.

mod known_lines;
mod many;
mod minute;
mod one;

use std::env;
use std::time::Duration;

use gst::prelude::*;

const MINUTES: &str = "IVSWHIPSINK_SOAK_MINUTES";
const ELEMENTS: &str = "IVSWHIPSINK_SOAK_ELEMENTS";
const SEED: &str = "IVSWHIPSINK_SOAK_SEED";

const MINUTE: Duration = Duration::from_secs(60);

/// A number that the environment gives; an empty one is none.
fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable)
        .ok()
        .filter(|text| !text.trim().is_empty())?;
    let number = text.trim().parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={text}: expected a whole number")))
}

fn seed() -> u64 {
    number(SEED).unwrap_or_else(|| u64::from(glib::random_int()))
}

/// The packets that an element has sent and lost: since PAUSED, and in this session.
struct Packets {
    sent: u64,
    lost: u64,
}

impl Packets {
    fn of(whip: &gst::Element) -> Self {
        let stats = whip.property::<gst::Structure>("stats");
        let sent = |field: &str| stats.get::<u64>(field).unwrap_or_default();
        let lost = |field: &str| {
            let lost = stats.get::<i32>(field).unwrap_or_default();
            // Packets that came twice make it negative (RFC 3550, 6.4.1).
            u64::try_from(lost).unwrap_or_default()
        };
        Self {
            sent: sent("audio-packets") + sent("video-packets"),
            lost: lost("audio-packets-lost") + lost("video-packets-lost"),
        }
    }
}
