//! Which size and frame rate suit the bit rate that a picture has.

use std::time::Duration;

/// A step of the picture, from the whole one downwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PictureStep {
    /// The fraction by which both sides shrink.
    pub scale: (u32, u32),
    /// By what the frame rate is divided.
    pub rate_divisor: u32,
    /// Below this share of the full picture's bit rate the next step suits better, in
    /// percent.
    enough: u64,
}

/// Half the sides first, since a small picture with motion is easier to follow than a
/// sharp one without. From 2.5 Mbit/s on, the steps are at 300 and 150 kbit/s.
const STEPS: [PictureStep; 3] = [
    PictureStep {
        scale: (1, 1),
        rate_divisor: 1,
        enough: 12,
    },
    PictureStep {
        scale: (1, 2),
        rate_divisor: 1,
        enough: 6,
    },
    PictureStep {
        scale: (1, 2),
        rate_divisor: 2,
        enough: 0,
    },
];

/// A larger picture needs so much more than the bit rate at which it was left, in percent:
/// each change costs a key frame.
const HYSTERESIS: u64 = 150;

/// A larger picture has to suit for so long.
const PATIENCE: Duration = Duration::from_secs(5);

/// Follows the bit rate of a picture.
#[derive(Clone, Debug, Default)]
pub struct PictureSteps {
    step: usize,
    /// Since when a larger picture suits.
    larger_since: Option<Duration>,
}

impl PictureSteps {
    /// The step for a bit rate, when the full picture's is `full`, both in bit/s. `now` is
    /// since some start, of a clock that does not run backwards. Smaller at once, larger
    /// after 5 s.
    pub fn update(&mut self, bit_rate: u64, full: u64, now: Duration) -> PictureStep {
        // The last step suits any bit rate.
        let first_that_suits = |percent: u64| {
            let is_too_large = |step: &&PictureStep| {
                bit_rate.saturating_mul(10_000) < full.saturating_mul(step.enough * percent)
            };
            STEPS.iter().take_while(is_too_large).count()
        };
        let (smaller, larger) = (first_that_suits(100), first_that_suits(HYSTERESIS));
        if smaller > self.step {
            (self.step, self.larger_since) = (smaller, None);
        } else if larger < self.step {
            let since = *self.larger_since.get_or_insert(now);
            if now.saturating_sub(since) >= PATIENCE {
                (self.step, self.larger_since) = (larger, None);
            }
        } else {
            self.larger_since = None;
        }
        STEPS[self.step]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u64 = 2_500_000;

    /// The sides' divisor and the frame rate's.
    fn at(steps: &mut PictureSteps, kbit: u64, second: u64) -> (u32, u32) {
        let step = steps.update(kbit * 1000, FULL, Duration::from_secs(second));
        (step.scale.1, step.rate_divisor)
    }

    #[test]
    fn smaller_at_once_and_larger_after_a_while() {
        let mut steps = PictureSteps::default();
        assert_eq!(at(&mut steps, 1200, 0), (1, 1));
        assert_eq!(at(&mut steps, 300, 1), (1, 1));
        assert_eq!(at(&mut steps, 299, 2), (2, 1));
        assert_eq!(at(&mut steps, 149, 3), (2, 2));
        assert_eq!(at(&mut steps, 1000, 4), (2, 2));
        assert_eq!(at(&mut steps, 1000, 8), (2, 2));
        assert_eq!(at(&mut steps, 1000, 9), (1, 1));
    }

    #[test]
    fn a_rate_around_a_step_makes_no_picture_jump() {
        let mut steps = PictureSteps::default();
        assert_eq!(at(&mut steps, 290, 0), (2, 1));
        for second in 1..60 {
            let kbit = if second % 2 == 0 { 290 } else { 440 };
            assert_eq!(at(&mut steps, kbit, second), (2, 1), "second {second}");
        }
        // A peak that does not last.
        assert_eq!(at(&mut steps, 600, 60), (2, 1));
        assert_eq!(at(&mut steps, 400, 62), (2, 1));
        assert_eq!(at(&mut steps, 600, 64), (2, 1));
        assert_eq!(at(&mut steps, 600, 68), (2, 1));
        assert_eq!(at(&mut steps, 600, 69), (1, 1));
    }

    #[test]
    fn a_full_rate_of_0_changes_nothing() {
        let mut steps = PictureSteps::default();
        let step = steps.update(0, 0, Duration::ZERO);
        assert_eq!(step, STEPS[0]);
    }
}
