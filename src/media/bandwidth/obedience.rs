//! Whether what is sent follows its target.

use std::time::Duration;

/// What is sent may be so much of the target, in percent: encoders overshoot.
const TOLERATED: u64 = 150;

/// More than that for so long is disobedience.
const PATIENCE: Duration = Duration::from_secs(4);

/// The highest target of the last one to two spans of this length counts: rates are
/// measured over four seconds, and an encoder takes one to follow.
const SPAN: Duration = Duration::from_secs(5);

/// Watches whether what is sent follows a target that changes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Obedience {
    /// When the current span began.
    began: Duration,
    /// The highest target in the current span, and in the one before.
    highest: u64,
    highest_before: u64,
    exceeds_since: Option<Duration>,
}

impl Obedience {
    /// Whether what is sent follows the target, both in bit/s. `now` is since some start,
    /// of a clock that does not run backwards.
    pub fn follows(&mut self, sent: u64, target: u64, now: Duration) -> bool {
        if now.saturating_sub(self.began) >= SPAN {
            (self.began, self.highest_before) = (now, self.highest);
            self.highest = target;
        }
        self.highest = self.highest.max(target);
        let told = self.highest.max(self.highest_before);
        if sent <= told.saturating_mul(TOLERATED) / 100 {
            self.exceeds_since = None;
            return true;
        }
        let since = *self.exceeds_since.get_or_insert(now);
        now.saturating_sub(since) < PATIENCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KBIT: u64 = 1000;

    /// When disobedience is found, with a look every 0.1 s, in tenths of a second. `sent`
    /// and `target` tell kbit/s by that time.
    fn found(sent: impl Fn(u64) -> u64, target: impl Fn(u64) -> u64) -> Option<u64> {
        let mut it = Obedience::default();
        (0..600).find(|tenth| {
            let now = Duration::from_millis(100 * tenth);
            !it.follows(sent(*tenth) * KBIT, target(*tenth) * KBIT, now)
        })
    }

    #[test]
    fn what_overshoots_a_little_or_for_a_while_follows() {
        assert_eq!(found(|_| 1500, |_| 1000), None);
        // A peak of 3 s each 5 s.
        let peaks = |tenth: u64| if tenth % 50 < 30 { 3000 } else { 900 };
        assert_eq!(found(peaks, |_| 1000), None);
    }

    #[test]
    fn what_stays_above_does_not() {
        assert_eq!(found(|_| 1501, |_| 1000), Some(40));
    }

    /// The mean over 4 s of a stream that follows within a second.
    #[test]
    fn a_mean_over_seconds_may_lag_behind_a_steep_fall() {
        let target = |tenth: u64| if tenth < 100 { 2500 } else { 300 };
        let sent = |tenth: u64| {
            let after = tenth.saturating_sub(110).min(40);
            (2500 * (40 - after) + 300 * after) / 40
        };
        assert_eq!(found(sent, target), None);
    }

    #[test]
    fn a_target_that_falls_again_and_again_hides_nothing() {
        let target = |tenth: u64| 1000 - 25 * (tenth % 20);
        assert_eq!(found(|_| 2000, target), Some(40));
        let stays = |tenth: u64| if tenth < 100 { 2500 } else { 300 };
        let found = found(|_| 2500, stays).unwrap();
        assert!((190..250).contains(&found), "{found}");
    }
}
