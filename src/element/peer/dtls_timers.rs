//! Keeps dtlsdec until the timers of its handshake have fired.
//!
//! Each timer refers to the DTLS connection, as dtlsdec does. GStreamer before 1.28.2
//! crashes if a timer drops the last reference while another thread frees dtlsdec or
//! dtlsenc: both take the same signal handlers away.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

/// OpenSSL's first timer (RFC 6347 4.2.4.1). Each further one is twice as long.
const FIRST: Duration = Duration::from_secs(1);

/// OpenSSL's longest timer.
const LONGEST: Duration = Duration::from_secs(60);

/// How late a loaded machine may call a timer.
const LATE: Duration = Duration::from_secs(1);

/// The elements of a webrtcbin whose timers may run.
pub(super) struct DtlsTimers {
    begun: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    decoders: Vec<gst::Element>,
    connected: Option<Instant>,
}

impl DtlsTimers {
    /// `begun` is a time before the handshake.
    pub(super) fn new(begun: Instant) -> Self {
        Self {
            begun,
            state: Mutex::default(),
        }
    }

    pub(super) fn keep(&self, dtlsdec: &gst::Element) {
        self.lock().decoders.push(dtlsdec.clone());
    }

    /// Notes that the handshake has succeeded: it sets no more timers.
    pub(super) fn connected(&self) {
        self.lock().connected.get_or_insert_with(Instant::now);
    }

    /// Releases what was kept, after the last timer. The elements are in NULL, where
    /// they set no more.
    pub(super) fn release(&self) {
        let State {
            decoders,
            connected,
        } = std::mem::take(&mut *self.lock());
        if decoders.is_empty() {
            return;
        }
        let now = Instant::now();
        let left = left(self.begun, connected.unwrap_or(now), now);
        if left.is_zero() {
            return;
        }
        // The clock of the timers, which calls in the order of time.
        let clock = gst::SystemClock::obtain();
        let left = gst::ClockTime::try_from(left).unwrap_or_default();
        let id = clock.new_single_shot_id(clock.time() + left);
        // Without that clock they are released at once.
        let _ = id.wait_async(move |_, _, _| drop(decoders));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long after `now` the last timer of a handshake may be called. A timer is at most the
/// sum of those before it and one more [`FIRST`].
fn left(begun: Instant, ended: Instant, now: Instant) -> Duration {
    let longest = (ended.duration_since(begun) + FIRST).min(LONGEST);
    (ended + longest + LATE).saturating_duration_since(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_timer_is_as_long_as_all_before_it() {
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let left = |ended, now| left(begun, at(ended), at(now)).as_millis();
        // Connected after 0.1 s: the first timer may have been set just then.
        assert_eq!(left(100, 100), 2_100);
        assert_eq!(left(100, 1_000), 1_200);
        assert_eq!(left(100, 1_200), 1_000, "the clock may be late");
        assert_eq!(left(100, 2_200), 0);
        assert_eq!(left(100, 3_600_000), 0);
        // Timers at 1, 3 and 7 s; the next is of 8 s.
        assert_eq!(left(7_000, 7_000), 9_000);
        assert_eq!(left(300_000, 300_000), 61_000);
    }
}
