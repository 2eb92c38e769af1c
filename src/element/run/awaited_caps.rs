//! Decides how long the caps of a linked pad are awaited.

use std::time::{Duration, Instant};

use super::sometimes_pads::LONGEST_WAIT;

/// The linked pads that have no caps yet.
#[derive(Debug, Default)]
pub(super) struct AwaitedCaps(Vec<Awaited>);

#[derive(Debug)]
struct Awaited {
    pad: u32,
    since: Instant,
    is_over: bool,
    is_told: bool,
}

impl AwaitedCaps {
    /// Compares the pads without caps with those that are known.
    pub(super) fn update(&mut self, without_caps: &[u32], now: Instant) {
        self.0.retain(|awaited| without_caps.contains(&awaited.pad));
        for &pad in without_caps {
            if !self.0.iter().any(|awaited| awaited.pad == pad) {
                self.0.push(Awaited {
                    pad,
                    since: now,
                    is_over: false,
                    is_told: false,
                });
            }
        }
        for awaited in &mut self.0 {
            awaited.is_over |= awaited.since + LONGEST_WAIT <= now;
        }
    }

    /// The pads that are awaited no longer, each once.
    pub(super) fn tell_over(&mut self) -> Vec<u32> {
        let over = self.0.iter_mut();
        let over = over.filter(|awaited| awaited.is_over && !awaited.is_told);
        over.map(|awaited| {
            awaited.is_told = true;
            awaited.pad
        })
        .collect()
    }

    /// Whether this pad was awaited for long enough.
    pub(super) fn is_over(&self, pad: u32) -> bool {
        let mut awaited = self.0.iter();
        awaited.any(|awaited| awaited.pad == pad && awaited.is_over)
    }

    /// The time until a pad is awaited no longer; zero if [`Self::update`] is due.
    pub(super) fn time_left(&self, now: Instant) -> Option<Duration> {
        let awaited = self.0.iter().filter(|awaited| !awaited.is_over);
        let left =
            awaited.map(|awaited| (awaited.since + LONGEST_WAIT).saturating_duration_since(now));
        left.min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOMENT: Duration = Duration::from_millis(1);

    #[test]
    fn each_pad_is_awaited_for_a_limited_time_and_told_once() {
        let (mut caps, start) = (AwaitedCaps::default(), Instant::now());
        caps.update(&[], start);
        assert_eq!(caps.time_left(start), None);
        caps.update(&[1], start);
        let second = start + LONGEST_WAIT - MOMENT;
        caps.update(&[1, 2], second);
        assert!(caps.tell_over().is_empty());
        assert!(!caps.is_over(1));
        assert_eq!(caps.time_left(second), Some(MOMENT));
        let end = start + LONGEST_WAIT;
        assert_eq!(caps.time_left(end), Some(Duration::ZERO));
        caps.update(&[1, 2], end);
        assert_eq!(caps.tell_over(), [1]);
        assert!(caps.tell_over().is_empty());
        assert!(caps.is_over(1) && !caps.is_over(2));
        assert_eq!(caps.time_left(end), Some(LONGEST_WAIT - MOMENT));
        caps.update(&[1, 2], end + LONGEST_WAIT);
        assert_eq!(caps.tell_over(), [2]);
        assert_eq!(caps.time_left(end + LONGEST_WAIT), None);
    }

    #[test]
    fn a_pad_that_is_linked_anew_is_awaited_anew() {
        let (mut caps, start) = (AwaitedCaps::default(), Instant::now());
        caps.update(&[1], start);
        caps.update(&[], start + MOMENT);
        caps.update(&[1], start + LONGEST_WAIT);
        assert!(!caps.is_over(1));
    }
}
