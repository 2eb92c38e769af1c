//! The bit rate of what leaves, over the last second.

use std::collections::VecDeque;
use std::time::Duration;

/// IPv4 and UDP headers, in bytes.
pub(super) const HEADERS: usize = 28;

/// Length and number of the steps in which bytes are counted.
const STEP: u128 = 50;
const STEPS: usize = 20;

/// Bits of the last second, with IP and UDP headers.
#[derive(Clone, Debug, Default)]
pub struct SentRate {
    steps: VecDeque<(u128, u64)>,
}

impl SentRate {
    /// Bytes leave, told without IP and UDP headers.
    pub fn add(&mut self, size: usize, now: Duration) {
        let bits = u64::try_from(size.saturating_add(HEADERS)).unwrap_or(u64::MAX);
        let bits = bits.saturating_mul(8);
        let step = now.as_millis() / STEP;
        match self.steps.back_mut() {
            Some((last, sum)) if *last >= step => *sum = sum.saturating_add(bits),
            _ => self.steps.push_back((step, bits)),
        }
        if self.steps.len() > STEPS {
            self.steps.pop_front();
        }
    }

    /// Bit/s in the second before `now`.
    #[must_use]
    pub fn bit_rate(&self, now: Duration) -> u64 {
        let now = now.as_millis() / STEP;
        self.steps
            .iter()
            .filter(|(step, _)| now.saturating_sub(*step) <= STEPS as u128)
            .fold(0, |sum, (_, bits)| sum.saturating_add(*bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_counted() {
        let mut rate = SentRate::default();
        for ms in 0..5_000 {
            rate.add(97, Duration::from_millis(ms));
        }
        assert_eq!(rate.bit_rate(Duration::from_millis(5_000)), 1_000_000);
        assert_eq!(rate.bit_rate(Duration::from_millis(5_500)), 500_000);
        assert_eq!(rate.bit_rate(Duration::from_secs(7)), 0);
    }

    #[test]
    fn time_that_runs_backwards_or_very_far() {
        let mut rate = SentRate::default();
        rate.add(usize::MAX, Duration::MAX);
        rate.add(usize::MAX, Duration::ZERO);
        assert_eq!(rate.bit_rate(Duration::MAX), u64::MAX);
        assert_eq!(rate.bit_rate(Duration::ZERO), u64::MAX);
    }
}
