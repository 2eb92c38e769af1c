//! When the last picture of a slow source is repeated, so that a stage gets the frame rate
//! that it asks for.

use std::time::Duration;

use crate::ivs::MIN_FRAME_RATE;

/// Between the pictures of a source without a frame rate: a bit less than the longest
/// time, since a thread wakes up late.
const INTERVAL: Duration = Duration::from_millis(90);

/// The next picture of a source that has a frame rate may be late by so much before
/// another repeat takes its place.
const SLACK: Duration = Duration::from_millis(30);

/// A source with a frame rate that is late by more has fallen silent.
const LATEST: Duration = Duration::from_secs(3);

/// When a picture is repeated, counted from its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeats {
    interval: Duration,
    /// How many pictures leave for one that comes; `None` as long as none comes.
    per_picture: Option<u32>,
}

impl Repeats {
    /// For a frame rate in frames a second; `None` if it varies. A source that is fast enough
    /// needs no repeats.
    pub(super) fn of(frame_rate: Option<f64>) -> Option<Self> {
        let Some(rate) = frame_rate else {
            return Some(Self {
                interval: INTERVAL,
                per_picture: None,
            });
        };
        let per_picture = (f64::from(MIN_FRAME_RATE) / rate).ceil();
        // Below one picture in three years there is none.
        let per_picture = (1.0 < per_picture && per_picture < 1e9).then_some(per_picture)?;
        Some(Self {
            interval: Duration::from_secs_f64(1.0 / (rate * per_picture)),
            per_picture: Some(per_picture as u32),
        })
    }

    /// How many pictures leave for one that comes; `None` if that varies.
    pub(super) fn per_picture(self) -> Option<u32> {
        self.per_picture
    }

    /// By how much the media time of a repeat is later than that of the picture. The first
    /// has the number 1.
    pub(super) fn media_time(self, number: u32) -> Duration {
        self.interval.saturating_mul(number)
    }

    /// When a repeat leaves. `None` if the source has fallen silent by then.
    pub(super) fn due(self, number: u32) -> Option<Duration> {
        let time = self.media_time(number);
        let Some(next) = self.per_picture.filter(|next| number >= *next) else {
            return Some(time);
        };
        let lateness = time.saturating_sub(self.media_time(next));
        (lateness <= LATEST).then_some(time + SLACK)
    }

    /// The latest repeat that is due at this time, of those from `first` on.
    pub(super) fn latest(self, first: u32, at: Duration) -> Option<u32> {
        let is_due = |number: u32| self.due(number).is_some_and(|due| due <= at);
        let whole = at.as_nanos() / self.interval.as_nanos().max(1);
        let guess = u32::try_from(whole).unwrap_or(u32::MAX);
        // With the slack it may be the one before.
        let number = [guess, guess.saturating_sub(1)];
        let number = number.into_iter().find(|number| is_due(*number))?;
        (number >= first).then_some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// When the first repeats leave, in milliseconds.
    fn due(rate: Option<f64>, count: u32) -> Vec<u128> {
        let repeats = Repeats::of(rate).unwrap();
        let due = (1..=count).map(|number| repeats.due(number).unwrap().as_millis());
        due.collect()
    }

    #[test]
    fn a_source_that_is_fast_enough_needs_none() {
        for rate in [10.0, 29.97, 60.0, 1e-12] {
            assert_eq!(Repeats::of(Some(rate)), None, "{rate}");
        }
    }

    #[test]
    fn ten_pictures_a_second_at_least() {
        // The third would be the next picture, which may be a bit late.
        assert_eq!(due(Some(5.0), 3), [100, 230, 330]);
        assert_eq!(due(Some(7.0), 2), [71, 172]);
        assert_eq!(due(Some(1.0), 10)[8..], [900, 1030]);
        assert_eq!(due(None, 3), [90, 180, 270]);
    }

    #[test]
    fn a_source_with_a_frame_rate_falls_silent() {
        let repeats = Repeats::of(Some(5.0)).unwrap();
        assert!(repeats.due(32).is_some());
        assert_eq!(repeats.due(33), None);
        assert!(Repeats::of(None).unwrap().due(1_000_000).is_some());
    }

    #[test]
    fn repeats_that_were_missed_are_not_made_up_for() {
        let varying = Repeats::of(None).unwrap();
        assert_eq!(varying.latest(1, ms(89)), None);
        assert_eq!(varying.latest(1, ms(90)), Some(1));
        assert_eq!(varying.latest(2, ms(90)), None);
        assert_eq!(varying.latest(2, ms(900)), Some(10));
        let slow = Repeats::of(Some(5.0)).unwrap();
        assert_eq!(slow.latest(1, ms(220)), Some(1));
        assert_eq!(slow.latest(2, ms(220)), None);
        assert_eq!(slow.latest(2, ms(230)), Some(2));
        assert_eq!(slow.latest(2, ms(60_000)), None);
    }
}
