//! When an encoder is told a new bit rate.

use std::time::Duration;

/// What a change of its bit rate costs an encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeCost {
    /// Nothing: the next frames are smaller or larger.
    Free,
    /// A key frame.
    KeyFrame,
}

impl ChangeCost {
    /// The shortest time from any change to a decrease. A late decrease is a full queue.
    fn before_decrease(self) -> Duration {
        match self {
            Self::Free => Duration::from_millis(200),
            Self::KeyFrame => Duration::from_secs(1),
        }
    }

    /// The shortest time from any change to an increase.
    fn before_increase(self) -> Duration {
        match self {
            Self::Free => Duration::from_secs(1),
            Self::KeyFrame => Duration::from_secs(3),
        }
    }
}

/// Decides when a changed target is worth telling to an encoder.
#[derive(Clone, Debug)]
pub struct EncoderSteps {
    cost: ChangeCost,
    max: u64,
    current: u64,
    changed: Option<Duration>,
}

impl EncoderSteps {
    /// Steps of an encoder that runs at `current` and is never set above `max`, both in
    /// bit/s.
    #[must_use]
    pub fn new(cost: ChangeCost, current: u64, max: u64) -> Self {
        Self {
            cost,
            max,
            current,
            changed: None,
        }
    }

    /// The bit rate to set now, if it is one: decreases soon, increases later, and
    /// nothing below 5 % but the last step to the maximum.
    pub fn step(&mut self, target: u64, now: Duration) -> Option<u64> {
        let target = target.min(self.max);
        let last = target == self.max && target > self.current;
        let small = target.abs_diff(self.current) < self.current / 20;
        if target == 0 || target == self.current || (small && !last) {
            return None;
        }
        let wait = if target < self.current {
            self.cost.before_decrease()
        } else {
            self.cost.before_increase()
        };
        let too_soon = |changed: Duration| now.saturating_sub(changed) < wait;
        if self.changed.is_some_and(too_soon) {
            return None;
        }
        self.current = target;
        self.changed = Some(now);
        Some(target)
    }

    /// The bit rate that was set last, in bit/s.
    #[must_use]
    pub fn current(&self) -> u64 {
        self.current
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn down_at_once_and_up_after_a_second() {
        let mut it = EncoderSteps::new(ChangeCost::Free, 1_000_000, 2_500_000);
        assert_eq!(it.step(700_000, ms(5_000)), Some(700_000));
        assert_eq!(it.step(500_000, ms(5_199)), None);
        assert_eq!(it.step(500_000, ms(5_200)), Some(500_000));
        assert_eq!(it.step(800_000, ms(6_199)), None);
        assert_eq!(it.step(800_000, ms(6_200)), Some(800_000));
        assert_eq!(it.current(), 800_000);
    }

    #[test]
    fn small_changes_are_left_out_but_the_last() {
        let mut it = EncoderSteps::new(ChangeCost::Free, 1_000_000, 1_040_000);
        assert_eq!(it.step(950_001, ms(5_000)), None);
        assert_eq!(it.step(1_039_999, ms(6_000)), None);
        assert_eq!(it.step(9_000_000, ms(7_000)), Some(1_040_000));
        assert_eq!(it.step(9_000_000, ms(9_000)), None);
        assert_eq!(it.step(988_000, ms(9_000)), Some(988_000));
    }

    #[test]
    fn key_frames_make_changes_rare() {
        let mut it = EncoderSteps::new(ChangeCost::KeyFrame, 1_000_000, 2_500_000);
        assert_eq!(it.step(700_000, ms(5_000)), Some(700_000));
        assert_eq!(it.step(500_000, ms(5_999)), None);
        assert_eq!(it.step(500_000, ms(6_000)), Some(500_000));
        assert_eq!(it.step(700_000, ms(8_999)), None);
        assert_eq!(it.step(700_000, ms(9_000)), Some(700_000));
    }

    #[test]
    fn no_rate_of_0_and_no_time_that_runs_back() {
        let mut it = EncoderSteps::new(ChangeCost::Free, 1_000_000, 2_500_000);
        assert_eq!(it.step(0, ms(5_000)), None);
        assert_eq!(it.step(700_000, ms(5_000)), Some(700_000));
        assert_eq!(it.step(500_000, ms(1_000)), None);
    }
}
