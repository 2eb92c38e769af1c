//! When the bus is told that the network narrows the video.

use std::time::Duration;

/// It is told no more often than this.
const TOLD_INTERVAL: Duration = Duration::from_secs(60);

/// Time after which an encoder that is not at its own bit rate is held below it by the
/// network: it begins lower, in a session or with another picture, and rises for some
/// seconds.
const RISE: Duration = Duration::from_secs(10);

/// News for the bus; rates are in bit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NetworkNews {
    Narrowed { from: u64, to: u64 },
    Widened { to: u64 },
}

/// Decides by the video's target.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Narrowing {
    /// The highest target of the session.
    highest: u64,
    /// When the limits began.
    begun: Duration,
    is_narrow: bool,
    is_told: bool,
    told: Option<Duration>,
}

impl Narrowing {
    /// Goes on with other limits: the target is `start` now, and never more than `max`.
    pub(super) fn begin(&mut self, start: u64, max: u64, now: Duration) {
        self.begun = now;
        // On a network that is narrow another source changes nothing, unless it needs less.
        self.highest = self.highest.min(if self.is_narrow { max } else { start });
    }

    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// Takes the target. `wanted` is the bit rate that an encoder has without the network,
    /// if it is known; `now` is since the session's beginning.
    pub(super) fn news(
        &mut self,
        target: u64,
        wanted: Option<u64>,
        now: Duration,
    ) -> Option<NetworkNews> {
        let has_risen = now.saturating_sub(self.begun) >= RISE;
        let wanted = wanted.filter(|_| has_risen).unwrap_or(0);
        self.highest = self.highest.max(target).max(wanted);
        let is_narrow = match self.is_narrow {
            true => target < self.highest / 10 * 9,
            false => target < self.highest / 10 * 7,
        };
        if is_narrow == std::mem::replace(&mut self.is_narrow, is_narrow) {
            return None;
        }
        let passed = |told: Duration| now.saturating_sub(told) >= TOLD_INTERVAL;
        if is_narrow && self.told.is_none_or(passed) {
            (self.is_told, self.told) = (true, Some(now));
            let from = self.highest;
            return Some(NetworkNews::Narrowed { from, to: target });
        }
        let ends = !is_narrow && std::mem::take(&mut self.is_told);
        ends.then_some(NetworkNews::Widened { to: target })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KBIT: u64 = 1000;
    const WANTED: Option<u64> = Some(2_500 * KBIT);

    fn news(it: &mut Narrowing, kbits: u64, second: u64) -> Option<NetworkNews> {
        it.news(kbits * KBIT, WANTED, Duration::from_secs(second))
    }

    fn narrowed(from: u64, to: u64) -> Option<NetworkNews> {
        let (from, to) = (from * KBIT, to * KBIT);
        Some(NetworkNews::Narrowed { from, to })
    }

    #[test]
    fn a_network_that_narrows_is_told_once_and_its_end_too() {
        let mut it = Narrowing::default();
        assert_eq!(news(&mut it, 1_200, 0), None);
        assert_eq!(news(&mut it, 2_500, 5), None);
        assert_eq!(news(&mut it, 1_700, 20), narrowed(2_500, 1_700));
        assert_eq!(news(&mut it, 900, 21), None);
        assert_eq!(news(&mut it, 2_200, 30), None);
        let widened = NetworkNews::Widened { to: 2_300 * KBIT };
        assert_eq!(news(&mut it, 2_300, 40), Some(widened));
        assert_eq!(news(&mut it, 900, 50), None, "it was told 30 s ago");
        assert_eq!(news(&mut it, 2_400, 60), None);
        assert_eq!(news(&mut it, 900, 80), narrowed(2_500, 900));
    }

    #[test]
    fn a_network_that_is_narrow_from_the_first_packet_on_is_told() {
        let mut it = Narrowing::default();
        for second in 0..10 {
            assert_eq!(news(&mut it, 1_000, second), None);
        }
        assert_eq!(news(&mut it, 1_000, 10), narrowed(2_500, 1_000));
        assert_eq!(news(&mut it, 1_000, 11), None);
    }

    #[test]
    fn of_an_unknown_rate_the_highest_target_counts() {
        let mut it = Narrowing::default();
        let at = |second| Duration::from_secs(second);
        assert_eq!(it.news(1_000 * KBIT, None, at(30)), None);
        assert_eq!(it.news(600 * KBIT, None, at(31)), narrowed(1_000, 600));
        it.begin(500 * KBIT, 8_500 * KBIT, at(32));
        assert_eq!(it.highest(), 1_000 * KBIT, "it is narrow still");
    }

    fn begin(it: &mut Narrowing, start: u64, max: u64, second: u64) {
        it.begin(start * KBIT, max * KBIT, Duration::from_secs(second));
    }

    #[test]
    fn a_source_that_grows_does_not_narrow_the_network() {
        let mut it = Narrowing::default();
        let small = Some(1_100 * KBIT);
        let at = Duration::from_secs;
        assert_eq!(it.news(1_100 * KBIT, small, at(0)), None);
        assert_eq!(it.news(1_100 * KBIT, small, at(60)), None);
        begin(&mut it, 1_100, 2_500, 60);
        for (second, kbits) in [(60, 1_100), (62, 1_600), (69, 1_600)] {
            assert_eq!(news(&mut it, kbits, second), None);
        }
        // It is, if the rise takes so long.
        assert_eq!(news(&mut it, 1_600, 70), narrowed(2_500, 1_600));
    }

    #[test]
    fn a_source_that_changes_does_not_widen_the_network() {
        let mut it = Narrowing::default();
        assert_eq!(news(&mut it, 2_500, 5), None);
        assert_eq!(news(&mut it, 600, 20), narrowed(2_500, 600));
        begin(&mut it, 600, 8_500, 30);
        assert_eq!(news(&mut it, 650, 31), None);
        let small = Some(1_000 * KBIT);
        begin(&mut it, 650, 1_000, 50);
        assert_eq!(it.news(650 * KBIT, small, Duration::from_secs(50)), None);
        // All that a still smaller one wants is carried.
        begin(&mut it, 400, 400, 60);
        let widened = Some(NetworkNews::Widened { to: 400 * KBIT });
        let least = Some(400 * KBIT);
        let at = Duration::from_secs(60);
        assert_eq!(it.news(400 * KBIT, least, at), widened);
    }
}
