//! How much loss an audio encoder should prepare for.

/// Smooths the loss that a far end reports.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExpectedLoss {
    /// A share, from 0 to 1.
    expected: f64,
}

/// What is left of an earlier loss with each report that has less.
const DECAY: f64 = 0.8;

impl ExpectedLoss {
    /// Takes a report's share of lost packets, from 0 to 1, and returns what to expect, in
    /// percent: more at once, less step by step. Other values count as 0.
    pub fn update(&mut self, fraction_lost: f64) -> u8 {
        let lost = if fraction_lost.is_finite() {
            fraction_lost.clamp(0.0, 1.0)
        } else {
            0.0
        };
        self.expected = lost.max(self.expected * DECAY);
        // From 0 to 100.
        (self.expected * 100.0).round() as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_at_once_and_less_step_by_step() {
        let mut loss = ExpectedLoss::default();
        assert_eq!(loss.update(0.0), 0);
        assert_eq!(loss.update(0.1), 10);
        assert_eq!(loss.update(0.0), 8);
        assert_eq!(loss.update(0.2), 20);
        let last = (0..20).map(|_| loss.update(0.0)).last();
        assert_eq!(last, Some(0));
    }

    #[test]
    fn no_share_out_of_range() {
        for (lost, percent) in [(f64::NAN, 0), (-1.0, 0), (f64::INFINITY, 0), (9.0, 100)] {
            assert_eq!(ExpectedLoss::default().update(lost), percent);
        }
    }
}
