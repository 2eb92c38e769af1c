//! What the network has carried of a stream that comes in bursts.
//!
//! goog_cc measures half a second of what arrives. Where frames are left out that is a
//! burst or a silence, and when a burst makes a short queue after a silence, goog_cc falls
//! far below what the burst before had without one.

use std::collections::VecDeque;
use std::time::Duration;

/// A burst counts for so long: a group of pictures of 2 s, and the feedback on it.
const MEMORY: Duration = Duration::from_millis(2_500);
/// What counts of it, in percent.
const PART: u64 = 95;

/// Remembers the fastest burst that made no queue.
#[derive(Clone, Debug, Default)]
pub(super) struct CarriedRate {
    rates: VecDeque<(Duration, u64)>,
}

impl CarriedRate {
    /// What arrives now, in bit/s; `None` while there is a queue or loss, which ends what
    /// counted before.
    pub(super) fn note(&mut self, rate: Option<u64>, now: Duration) {
        let Some(rate) = rate else {
            return self.rates.clear();
        };
        self.rates.push_back((now, rate));
        let old = |at: Duration| now.saturating_sub(at) > MEMORY;
        while self.rates.front().is_some_and(|(at, _)| old(*at)) {
            self.rates.pop_front();
        }
    }

    /// What the network carries at least, in bit/s; 0 if that is not known.
    pub(super) fn bit_rate(&self) -> u64 {
        let most = self.rates.iter().map(|(_, rate)| *rate).max();
        most.unwrap_or(0) / 100 * PART
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_fastest_burst_counts_for_a_while_and_up_to_a_queue() {
        let mut it = CarriedRate::default();
        assert_eq!(it.bit_rate(), 0);
        it.note(Some(800_000), ms(0));
        it.note(Some(200_000), ms(1_000));
        assert_eq!(it.bit_rate(), 760_000);
        it.note(Some(300_000), ms(2_500));
        assert_eq!(it.bit_rate(), 760_000);
        it.note(Some(300_000), ms(2_501));
        assert_eq!(it.bit_rate(), 285_000);
        it.note(None, ms(2_700));
        assert_eq!(it.bit_rate(), 0);
    }

    #[test]
    fn odd_times_and_rates_do_no_harm() {
        let mut it = CarriedRate::default();
        it.note(Some(u64::MAX), Duration::MAX);
        it.note(Some(0), Duration::ZERO);
        assert!(it.bit_rate() > 0);
    }
}
