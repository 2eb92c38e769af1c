//! Byte and frame rates over a sliding window.

use std::iter::Sum;
use std::time::Duration;

/// Time is counted in steps of a quarter of a second.
const STEPS_A_SECOND: u64 = 4;

/// The number of steps kept: four seconds, and the current step.
const STEPS_KEPT: usize = 17;

/// No packet for this long is a pause, not a slow stream, and restarts the measurement:
/// a publisher may mute and resume (seen: AWS's browser SDK).
const PAUSE: Duration = Duration::from_secs(2);

/// The counts of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) bytes: u64,
    pub(super) frames: u64,
    pub(super) b_frames: u64,
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, one| Self {
            bytes: sum.bytes.saturating_add(one.bytes),
            frames: sum.frames.saturating_add(one.frames),
            b_frames: sum.b_frames.saturating_add(one.b_frames),
        })
    }
}

/// The length of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// Two seconds: the longest distance of key frames that IVS accepts. So each window
    /// of a valid stream holds about one key frame, by far the largest kind of frame.
    Short,
    /// Four seconds: a one-second stall of a live source, or a peak of a variable bit
    /// rate, then does not look like an encoder setting.
    Long,
}

impl Window {
    fn steps(self) -> u64 {
        match self {
            Self::Short => 8,
            Self::Long => 16,
        }
    }
}

/// Counts over a sliding window, in constant memory and constant time.
#[derive(Clone, Debug, Default)]
pub(super) struct RateMeter {
    ring: [Counts; STEPS_KEPT],
    /// The current step, and the step in which the measurement began.
    step: u64,
    start: u64,
    latest: Option<Duration>,
}

/// Whether a packet continues the measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measurement {
    /// The first one, or the first one after a pause.
    Restarted,
    /// Any later one.
    Continued,
}

impl RateMeter {
    /// Moves on to `now`. A time before the latest one counts as the latest.
    pub(super) fn advance(&mut self, now: Duration) -> Measurement {
        let begins = self
            .latest
            .is_none_or(|latest| now.saturating_sub(latest) >= PAUSE);
        self.latest = self.latest.max(Some(now));
        let step = step_of(now);
        if begins {
            self.ring = [Counts::default(); STEPS_KEPT];
            (self.start, self.step) = (step, step);
            return Measurement::Restarted;
        }
        while self.step < step {
            self.step += 1;
            *self.current() = Counts::default();
        }
        Measurement::Continued
    }

    /// The counts of the current step.
    pub(super) fn current(&mut self) -> &mut Counts {
        &mut self.ring[slot_of(self.step)]
    }

    /// The latest time seen.
    pub(super) fn latest(&self) -> Duration {
        self.latest.unwrap_or_default()
    }

    /// Whether the latest packet is so old that the stream is paused.
    pub(super) fn is_paused(&self, now: Duration) -> bool {
        now.saturating_sub(self.latest()) >= PAUSE
    }

    /// Bits a second in the window up to `now`, or in the part of it that was measured.
    pub(super) fn bit_rate(&self, window: Window, now: Duration) -> u64 {
        let (counts, steps) = self.over(window, now);
        counts.bytes.saturating_mul(8 * STEPS_A_SECOND) / steps.max(1)
    }

    /// Frames a second, likewise.
    pub(super) fn frame_rate(&self, window: Window, now: Duration) -> f64 {
        let (counts, steps) = self.over(window, now);
        let frames = u32::try_from(counts.frames * STEPS_A_SECOND).unwrap_or(u32::MAX);
        let steps = u32::try_from(steps.max(1)).unwrap_or(u32::MAX);
        f64::from(frames) / f64::from(steps)
    }

    /// The counts of the last four seconds, including the current step.
    pub(super) fn recent(&self) -> Counts {
        self.ring.iter().copied().sum()
    }

    /// Whether a whole window has been measured.
    pub(super) fn is_full(&self, window: Window) -> bool {
        self.over(window, self.latest()).1 == window.steps()
    }

    /// The counts and the number of the whole steps before that of `now`. The step in
    /// which the measurement began is left out, since it is not whole.
    fn over(&self, window: Window, now: Duration) -> (Counts, u64) {
        let end = step_of(now).max(self.step);
        let first = end.saturating_sub(window.steps()).max(self.start + 1);
        let counts = (first..end)
            .filter(|step| *step <= self.step)
            .map(|step| self.ring[slot_of(step)])
            .sum();
        (counts, end.saturating_sub(first))
    }
}

fn step_of(time: Duration) -> u64 {
    // Halved, so that no sum of steps overflows.
    let seconds = time.as_secs().min(u64::MAX / (2 * STEPS_A_SECOND));
    let part = u64::from(time.subsec_millis()) * STEPS_A_SECOND / 1000;
    seconds * STEPS_A_SECOND + part
}

fn slot_of(step: u64) -> usize {
    // A remainder below 17 always fits.
    usize::try_from(step % STEPS_KEPT as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Sends `count` packets of 1,000 bytes, each a frame. Returns the time of the next
    /// one.
    fn run(meter: &mut RateMeter, from: u64, every: u64, count: u64) -> u64 {
        let mut time = from;
        for _ in 0..count {
            meter.advance(ms(time));
            meter.current().bytes += 1000;
            meter.current().frames += 1;
            time += every;
        }
        time
    }

    #[test]
    fn steady_stream() {
        let mut meter = RateMeter::default();
        let end = run(&mut meter, 0, 10, 600);
        for window in [Window::Short, Window::Long] {
            assert!(meter.is_full(window));
            assert_eq!(meter.bit_rate(window, ms(end)), 800_000);
            assert_eq!(meter.frame_rate(window, ms(end)), 100.0);
        }
    }

    #[test]
    fn windows_fill_first() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.bit_rate(Window::Short, ms(0)), 0);
        let end = run(&mut meter, 100, 10, 210);
        assert!(!meter.is_full(Window::Short));
        assert_eq!(meter.bit_rate(Window::Short, ms(end)), 800_000);
        let end = run(&mut meter, end, 10, 20);
        assert!(meter.is_full(Window::Short));
        assert!(!meter.is_full(Window::Long));
        assert_eq!(meter.bit_rate(Window::Long, ms(end)), 800_000);
    }

    #[test]
    fn short_window_forgets_sooner() {
        let mut meter = RateMeter::default();
        let end = run(&mut meter, 0, 10, 600);
        let end = run(&mut meter, end, 20, 110);
        assert_eq!(meter.frame_rate(Window::Short, ms(end)), 50.0);
        assert!(meter.frame_rate(Window::Long, ms(end)) > 50.0);
    }

    #[test]
    fn silence_fades_to_nothing() {
        let mut meter = RateMeter::default();
        let end = run(&mut meter, 0, 10, 600);
        assert_eq!(meter.bit_rate(Window::Short, ms(end + 1000)), 400_000);
        assert_eq!(meter.bit_rate(Window::Short, ms(end + 10_000)), 0);
        assert!(!meter.is_paused(ms(end + 1000)));
        assert!(meter.is_paused(ms(end + 2000)));
    }

    #[test]
    fn pause_begins_a_new_measurement() {
        let mut meter = RateMeter::default();
        let end = run(&mut meter, 0, 10, 600);
        assert_eq!(meter.advance(ms(end + 1000)), Measurement::Continued);
        assert_eq!(meter.advance(ms(end + 3000)), Measurement::Restarted);
        assert!(!meter.is_full(Window::Short));
        assert_eq!(meter.recent(), Counts::default());
    }

    #[test]
    fn time_that_runs_backwards_or_very_far() {
        let mut meter = RateMeter::default();
        assert_eq!(meter.advance(ms(5000)), Measurement::Restarted);
        assert_eq!(meter.advance(ms(1000)), Measurement::Continued);
        assert_eq!(meter.latest(), ms(5000));
        assert_eq!(meter.advance(Duration::MAX), Measurement::Restarted);
        assert_eq!(meter.bit_rate(Window::Long, Duration::MAX), 0);
        assert_eq!(meter.bit_rate(Window::Long, Duration::ZERO), 0);
        assert_eq!(meter.advance(Duration::ZERO), Measurement::Continued);
    }
}
