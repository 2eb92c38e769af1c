//! Whether a stream that follows no target has to be thinned.

use std::time::Duration;

use super::estimation::NetworkStatus;

/// A queue on the way that is longer than this is a sign of congestion. Key frames and
/// others' streams make shorter ones.
const LONG_QUEUE: Duration = Duration::from_millis(50);

/// An estimate that falls below this part of the stream, in percent, is a sign too. It falls
/// by less where something else than this stream made packets late once.
const LOW: u64 = 50;

/// An estimate has fallen if it is below this part of what it was, in percent.
const FALLEN: u64 = 90;

/// And has risen above this one.
const RISEN: u64 = 110;

/// And so is one that neither rises nor has room for the stream for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pacer's longest queue while frames are left out. They are chosen so that it is
/// shorter, but for a key frame on a very narrow link, and for what waits while a link
/// becomes one: late pictures harm less than audio that is lost.
const LONGEST_QUEUE: Duration = Duration::from_secs(10);

/// Decides whether frames of a stream are left out.
///
/// The estimate shows what was sent without harm, not what the network carries, and one
/// packet that was late makes it fall. So a stream above it passes whole until there is a
/// sign of congestion: a queue or losses, or an estimate that is far too low or low for
/// long. Then it is thinned until the estimate has room for all of it.
#[derive(Clone, Debug, Default)]
pub struct PassThrough {
    low_since: Option<Duration>,
    /// The most that was granted since there was room.
    granted: u64,
    is_narrow: bool,
}

impl PassThrough {
    /// The bit rate that the stream is thinned to, if it has to be. `granted` is what the
    /// estimate leaves for it, `stream` its own bit rate, if that is known.
    pub fn thin(
        &mut self,
        status: NetworkStatus,
        granted: u64,
        stream: Option<u64>,
        now: Duration,
    ) -> Option<u64> {
        if stream.is_some_and(|stream| granted >= stream) {
            *self = Self {
                granted,
                ..Self::default()
            };
            return None;
        }
        if stream.is_none() {
            // It may have paused.
            self.low_since = None;
        }
        if granted > self.granted / 100 * RISEN {
            // It was low since the stream was small.
            (self.low_since, self.granted) = (None, granted);
        }
        let since = *self.low_since.get_or_insert(now);
        let queues = status.queue_delay.is_some_and(|it| it >= LONG_QUEUE);
        let has_fallen = granted < self.granted / 100 * FALLEN;
        let is_low = has_fallen && stream.is_some_and(|stream| granted < stream / 100 * LOW);
        let is_long = stream.is_some() && now.saturating_sub(since) >= PATIENCE;
        self.is_narrow |= queues || status.loses || is_low || is_long;
        self.is_narrow.then_some(granted)
    }

    /// Whether frames are left out.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        self.is_narrow
    }

    /// The pacer's longest queue, if it is not the usual one.
    #[must_use]
    pub fn longest_queue(&self) -> Option<Duration> {
        self.is_narrow.then_some(LONGEST_QUEUE)
    }
}

#[cfg(test)]
mod tests {
    use super::super::send_side::FeedbackKind;
    use super::*;

    const STREAM: Option<u64> = Some(2_500_000);

    fn status(queue_ms: u64, loses: bool) -> NetworkStatus {
        NetworkStatus {
            estimate: Some(2_000_000),
            queue_delay: Some(Duration::from_millis(queue_ms)),
            feedback: FeedbackKind::TransportWide,
            loses,
            queue_is_full: false,
            is_wide: false,
        }
    }

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_stream_passes_without_a_sign_of_congestion() {
        let mut it = PassThrough::default();
        for now in 0..5 {
            let thinned = it.thin(status(40, false), 1_800_000, STREAM, second(now));
            assert_eq!(thinned, None);
        }
        it.thin(status(0, false), 2_500_000, STREAM, second(5));
        for now in 6..11 {
            let thinned = it.thin(status(40, false), 1_800_000, STREAM, second(now));
            assert_eq!(thinned, None);
        }
        assert_eq!(it.longest_queue(), None);
    }

    #[test]
    fn a_sign_thins_it_until_it_fits() {
        let signs = [
            (status(50, false), 1_800_000, 0),
            (status(0, true), 1_800_000, 0),
            (status(0, false), 1_200_000, 0),
            (status(0, false), 1_800_000, 5),
        ];
        for (sign, granted, now) in signs {
            let mut it = PassThrough::default();
            it.thin(status(0, false), 2_000_000, STREAM, second(0));
            let thinned = it.thin(sign, granted, STREAM, second(now));
            assert_eq!(thinned, Some(granted), "{sign:?}");
            assert!(it.is_narrow());
            assert_eq!(it.longest_queue(), Some(LONGEST_QUEUE));
            let calm = status(0, false);
            let thinned = it.thin(calm, 2_400_000, STREAM, second(6));
            assert_eq!(thinned, Some(2_400_000));
            assert_eq!(it.thin(calm, 2_500_000, STREAM, second(7)), None);
            assert!(!it.is_narrow());
            // Another sign is needed then.
            assert_eq!(it.thin(calm, 2_400_000, STREAM, second(8)), None);
        }
    }

    #[test]
    fn an_estimate_is_too_low_below_half_the_stream_and_nine_tenths_of_what_it_was() {
        let thinned = |before, granted| {
            let mut it = PassThrough::default();
            it.thin(status(0, false), before, STREAM, second(0));
            it.thin(status(0, false), granted, STREAM, second(1))
        };
        assert_eq!(thinned(2_000_000, 1_249_999), Some(1_249_999));
        assert_eq!(thinned(2_000_000, 1_250_000), None);
        assert_eq!(thinned(1_000_000, 899_999), Some(899_999));
        assert_eq!(thinned(1_000_000, 900_000), None);
    }

    #[test]
    fn an_estimate_that_had_room_and_falls_by_far_is_too_low() {
        let mut it = PassThrough::default();
        let calm = status(0, false);
        assert_eq!(it.thin(calm, 2_500_000, STREAM, second(0)), None);
        let thinned = it.thin(calm, 1_200_000, STREAM, second(1));
        assert_eq!(thinned, Some(1_200_000));
    }

    #[test]
    fn an_estimate_that_rises_by_less_than_a_tenth_is_low_for_long() {
        for (granted, thinned) in [(1_100_000, Some(1_100_000)), (1_100_001, None)] {
            let mut it = PassThrough::default();
            let mut thin = |granted, at| it.thin(status(0, false), granted, STREAM, second(at));
            assert_eq!(thin(1_000_000, 0), None);
            assert_eq!(thin(granted, 4), None);
            assert_eq!(thin(granted, 5), thinned);
        }
    }

    /// What it was says nothing of what the network carries beyond that.
    #[test]
    fn a_stream_that_grows_passes_while_the_estimate_follows() {
        let mut it = PassThrough::default();
        let calm = status(0, false);
        let small = Some(1_000_000);
        assert_eq!(it.thin(calm, 1_300_000, small, second(0)), None);
        let large = Some(6_000_000);
        for (now, granted) in [
            (1, 1_300_000),
            (4, 1_500_000),
            (8, 2_300_000),
            (12, 4_000_000),
        ] {
            assert_eq!(it.thin(calm, granted, large, second(now)), None, "{now} s");
        }
        // It does not go on to rise.
        let thinned = it.thin(calm, 4_100_000, large, second(17));
        assert_eq!(thinned, Some(4_100_000));
    }

    #[test]
    fn a_queue_of_others_does_not_thin_a_stream_that_fits() {
        let mut it = PassThrough::default();
        let thinned = it.thin(status(150, true), 3_000_000, STREAM, second(0));
        assert_eq!(thinned, None);
    }

    #[test]
    fn of_an_unknown_rate_it_is_thinned_too() {
        let mut it = PassThrough::default();
        for now in [0, 9] {
            let thinned = it.thin(status(0, false), 1_000_000, None, second(now));
            assert_eq!(thinned, None, "it may have paused");
        }
        let thinned = it.thin(status(50, false), 1_000_000, None, second(1));
        assert_eq!(thinned, Some(1_000_000));
    }
}
