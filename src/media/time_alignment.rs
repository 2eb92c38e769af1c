//! Aligns the timestamps of streams with the running time of the pipeline.
//!
//! In: the timestamp of each buffer, and the pipeline's running time at its arrival.
//! Out: what to add to a stream's timestamps, and how long to hold its buffers. All
//! times are in nanoseconds of running time.
//!
//! | timestamps | live | not live |
//! | --- | --- | --- |
//! | within [`TOLERANCE`], plus the latency of a live source | sent as they come | held until due |
//! | far ahead | shifted at once | at the beginning shifted, later held: a gap |
//! | ever further ahead, packet by packet | held, a packet's time each | held until due |
//! | ahead by a drift of clocks | shifted | held until due |
//! | far behind, at the beginning or after a stall | shifted if that lasts | shifted at once |
//! | suddenly far behind | shifted at once | shifted at once |
//!
//! Streams of one clock have one shift, so that sound and picture stay in sync.

use std::cmp::Reverse;

const MILLISECOND: i64 = 1_000_000;
const SECOND: i64 = 1_000 * MILLISECOND;

/// Timestamps this far from running time may still be those of the pipeline's clock.
const TOLERANCE: i64 = SECOND;

/// The longest time that a live source is held: two frames at 10 frames/s.
const LONGEST_HOLD: i64 = 200 * MILLISECOND;

/// A live source that takes longer than this to run ahead by [`TOLERANCE`] has a clock
/// that is too fast. One that takes less time pushes what it has.
const DRIFT_TIME: i64 = 10 * SECOND;

/// How long a live source is late before it is shifted. After a stall it may catch up.
const LATE_TIME: i64 = 2 * SECOND;

/// One stream of a file may begin this much later than another.
const LONGEST_START: i64 = 10 * SECOND;

/// Longer gaps in media that are not live are jumps to another time. A recorded screen
/// may stand still for minutes.
const LONGEST_GAP: i64 = 600 * SECOND;

/// After [`MAX_JUMPS`] in this time, a stream is left alone for this time.
const JUMPS_TIME: i64 = 60 * SECOND;
const MAX_JUMPS: usize = 5;

/// Time between two messages about a source that is too fast or too slow.
const NEWS_TIME: i64 = 60 * SECOND;

/// No source delays its media for longer.
const LONGEST_LATENCY: i64 = 60 * SECOND;

/// How to time the buffers of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// What to add to the timestamps.
    pub shift: i64,
    /// What to add to a timestamp, or to zero for one before it, for the time until which
    /// its buffer is held; `None` to hold none.
    pub hold: Option<i64>,
}

impl Default for Timing {
    fn default() -> Self {
        let (shift, hold) = (0, Some(0));
        Self { shift, hold }
    }
}

/// What to tell of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimingNews {
    /// The timestamps were so far ahead of running time, or behind it if negative. They
    /// are shifted.
    Shifted {
        /// How far ahead they were, with the shift that they had.
        ahead: i64,
        /// What is added to them from now on.
        shift: i64,
    },
    /// The timestamps jump again and again. For a while they are not shifted, and the
    /// buffers not held.
    Jumping,
}

/// A new timing, if it has changed, and news.
pub type Step = (Option<Timing>, Option<TimingNews>);

/// The alignment of the streams of one pipeline.
#[derive(Debug, Default)]
pub struct TimeAlignment {
    streams: Vec<Stream>,
    is_playing: bool,
}

impl TimeAlignment {
    /// Notes that running time goes on from `now`, and returns the step of each stream
    /// that waits for it.
    pub fn play(&mut self, now: Option<i64>) -> Vec<(u32, Step)> {
        self.is_playing = true;
        let waiting = self.streams.iter_mut();
        let waiting = waiting.filter_map(|stream| Some((stream.id, stream.waiting.take()?)));
        let waiting: Vec<(u32, i64)> = waiting.collect();
        let steps = waiting.into_iter();
        steps
            .map(|(id, time)| (id, self.take(id, time, now)))
            .collect()
    }

    /// Notes that running time stands still.
    pub fn pause(&mut self) {
        self.is_playing = false;
    }

    /// Sets whether a stream's source is live, and how late its media may be.
    pub fn set_source(&mut self, id: u32, is_live: bool, latency: u64) {
        let latency = i64::try_from(latency).unwrap_or(i64::MAX);
        let stream = self.stream(id);
        stream.is_live = is_live;
        stream.latency = latency.min(LONGEST_LATENCY);
    }

    /// Notes that another stream begins in this one's place.
    pub fn begin(&mut self, id: u32) {
        let stream = self.stream(id);
        stream.begins = true;
        stream.has_told_of_jumps = false;
    }

    /// Notes that a stream was flushed: its running time restarts by intention.
    pub fn flush(&mut self, id: u32) {
        let stream = self.stream(id);
        stream.begins = true;
        stream.is_flushed = true;
        stream.waiting = None;
    }

    /// Forgets a stream.
    pub fn remove(&mut self, id: u32) {
        self.streams.retain(|stream| stream.id != id);
    }

    /// The timing of a stream.
    #[must_use]
    pub fn timing(&self, id: u32) -> Timing {
        let stream = self.streams.iter().find(|stream| stream.id == id);
        stream.map(|stream| stream.told).unwrap_or_default()
    }

    /// Takes the timestamp of a buffer that arrives at `now`; `None` without a clock.
    pub fn take(&mut self, id: u32, time: i64, now: Option<i64>) -> Step {
        let is_playing = self.is_playing;
        let stream = self.stream(id);
        let Some(now) = now.filter(|_| is_playing) else {
            stream.waiting = Some(time);
            return (None, None);
        };
        stream.end_jumps(now);
        let change = stream.check(time, now);
        let news = change.and_then(|change| self.shift(id, &change, now));
        let stream = self.stream(id);
        let timing = stream.timing();
        let is_new = std::mem::replace(&mut stream.told, timing) != timing;
        (is_new.then_some(timing), news)
    }

    fn shift(&mut self, id: u32, change: &Change, now: i64) -> Option<TimingNews> {
        let others = self.streams.iter().filter(|stream| stream.id != id);
        let mut known: Vec<i64> = others.map(|stream| stream.shift).collect();
        known.push(0);
        let stream = self.stream(id);
        if !change.is_gradual && !stream.may_jump(now) {
            let is_first = !std::mem::replace(&mut stream.has_told_of_jumps, true);
            return is_first.then_some(TimingNews::Jumping);
        }
        let before = stream.shift;
        let shift = stream.best_shift(change.ahead, &known);
        let is_told = stream.is_worth_telling(change, now);
        stream.set_shift(shift, now);
        if change.is_gradual {
            self.move_others(before, shift, now);
        }
        let ahead = change.ahead;
        is_told.then_some(TimingNews::Shifted { ahead, shift })
    }

    /// Moves the streams of the same clock, which has drifted or stalled for all.
    fn move_others(&mut self, before: i64, shift: i64, now: i64) {
        for stream in &mut self.streams {
            let ahead = stream.ahead.wrapping_add(shift.wrapping_sub(before));
            if stream.shift == before && ahead.saturating_abs() <= TOLERANCE + LONGEST_HOLD {
                stream.set_shift(shift, now);
            }
        }
    }

    fn stream(&mut self, id: u32) -> &mut Stream {
        let known = self.streams.iter().position(|stream| stream.id == id);
        let index = known.unwrap_or_else(|| {
            self.streams.push(Stream::new(id));
            self.streams.len() - 1
        });
        &mut self.streams[index]
    }
}

/// A reason to shift a stream.
struct Change {
    /// How far its timestamps are ahead.
    ahead: i64,
    /// Whether they went there step by step.
    is_gradual: bool,
}

#[derive(Debug)]
struct Stream {
    id: u32,
    is_live: bool,
    latency: i64,
    shift: i64,
    /// The timing that was returned last.
    told: Timing,
    /// Whether the next buffer is the first one, and whether that comes after a flush.
    begins: bool,
    is_flushed: bool,
    /// The timestamp of a buffer that waits for running time to go on.
    waiting: Option<i64>,
    /// The last timestamp, and how far it was ahead.
    last: Option<i64>,
    ahead: i64,
    /// Since when it is late, and how far it was ahead at most.
    late: Option<(i64, i64)>,
    /// When it was last well within the tolerance.
    calm: i64,
    /// Whether it is held because it pushes what it has.
    runs_ahead: bool,
    /// When it jumped last.
    jumps: Vec<i64>,
    /// Until when it is left alone, since it jumps too often.
    jumps_until: Option<i64>,
    has_told_of_jumps: bool,
    /// When it was last told that the source is too fast or too slow.
    told_gradual: Option<i64>,
}

impl Stream {
    fn new(id: u32) -> Self {
        Self {
            id,
            is_live: false,
            latency: 0,
            shift: 0,
            told: Timing::default(),
            begins: true,
            is_flushed: false,
            waiting: None,
            last: None,
            ahead: 0,
            late: None,
            calm: 0,
            runs_ahead: false,
            jumps: Vec::new(),
            jumps_until: None,
            has_told_of_jumps: false,
            told_gradual: None,
        }
    }

    fn timing(&self) -> Timing {
        let shift = self.shift;
        let before_zero = self.last.map_or(0, |last| last.min(0));
        let hold = match (self.jumps_until, self.is_live) {
            (Some(_), _) => None,
            (None, true) => Some(shift.saturating_sub(TOLERANCE)),
            (None, false) => Some(shift),
        };
        let hold = hold.map(|hold| hold.saturating_add(before_zero));
        Timing { shift, hold }
    }

    /// Compares a timestamp with running time. Timestamps may be garbage, so the sums
    /// wrap.
    fn check(&mut self, time: i64, now: i64) -> Option<Change> {
        let begins = std::mem::take(&mut self.begins);
        let last = self.last.replace(time).filter(|_| !begins);
        let jumps_back = last.is_some_and(|last| last.wrapping_sub(time) > TOLERANCE);
        let ahead = time.wrapping_add(self.shift).wrapping_sub(now);
        self.ahead = ahead;
        if begins {
            (self.calm, self.late) = (now, None);
        }
        let change = match ahead {
            _ if ahead > TOLERANCE => self.check_early(begins, ahead, now),
            _ if ahead < -TOLERANCE - self.latency => {
                let is_sudden = jumps_back || (begins && !self.is_live);
                self.check_late(is_sudden, ahead, now)
            }
            _ => {
                self.late = None;
                if ahead <= TOLERANCE / 2 {
                    self.calm = now;
                    self.runs_ahead = false;
                }
                None
            }
        };
        // A flush explains the first timestamp only.
        self.is_flushed &= change.is_some() || self.late.is_some();
        change
    }

    fn check_early(&mut self, begins: bool, ahead: i64, now: i64) -> Option<Change> {
        self.late = None;
        let (is_far, is_gradual) = if !self.is_live {
            let longest = if begins { LONGEST_START } else { LONGEST_GAP };
            (ahead > longest, false)
        } else if begins || ahead > TOLERANCE + LONGEST_HOLD {
            (true, false)
        } else {
            self.runs_ahead |= now.wrapping_sub(self.calm) < DRIFT_TIME;
            (!self.runs_ahead, true)
        };
        is_far.then_some(Change { ahead, is_gradual })
    }

    fn check_late(&mut self, is_sudden: bool, ahead: i64, now: i64) -> Option<Change> {
        let is_gradual = !is_sudden;
        if is_sudden || !self.is_live {
            return Some(Change { ahead, is_gradual });
        }
        let (since, most) = self.late.get_or_insert((now, ahead));
        *most = ahead.max(*most);
        let (lasts, ahead) = (now.wrapping_sub(*since), *most);
        (lasts >= LATE_TIME).then_some(Change { ahead, is_gradual })
    }

    /// Whether it has not jumped too often to follow.
    fn may_jump(&mut self, now: i64) -> bool {
        if self.jumps_until.is_some() {
            return false;
        }
        self.jumps
            .retain(|jumped| now.wrapping_sub(*jumped) < JUMPS_TIME);
        self.jumps.push(now);
        let may = self.jumps.len() <= MAX_JUMPS;
        self.jumps_until = (!may).then(|| now.wrapping_add(JUMPS_TIME));
        may
    }

    /// Looks again at a stream that was left alone.
    fn end_jumps(&mut self, now: i64) {
        if self.jumps_until.is_some_and(|until| now >= until) {
            self.jumps_until = None;
            self.jumps.clear();
            self.begins = true;
        }
    }

    fn is_worth_telling(&mut self, change: &Change, now: i64) -> bool {
        if std::mem::take(&mut self.is_flushed) || self.has_told_of_jumps {
            return false;
        }
        let told = self.told_gradual;
        let was_told = told.is_some_and(|told| now.wrapping_sub(told) < NEWS_TIME);
        if change.is_gradual {
            self.told_gradual = self.told_gradual.filter(|_| was_told).or(Some(now));
        }
        !(change.is_gradual && was_told)
    }

    /// The shift of another stream or of the pipeline's clock if that puts the buffer
    /// within the tolerance, else one that puts it on time.
    fn best_shift(&self, ahead: i64, known: &[i64]) -> i64 {
        let exact = self.shift.wrapping_sub(ahead);
        let early = |shift: i64| shift.wrapping_sub(exact);
        let fits = |shift: i64| {
            let early = early(shift);
            early <= TOLERANCE && early >= -TOLERANCE - self.latency
        };
        let known = known.iter().copied().filter(|shift| fits(*shift));
        let best = known.max_by_key(|shift| Reverse(early(*shift).saturating_abs()));
        best.unwrap_or(exact)
    }

    fn set_shift(&mut self, shift: i64, now: i64) {
        self.ahead = self.ahead.wrapping_add(shift.wrapping_sub(self.shift));
        self.shift = shift;
        self.late = None;
        self.calm = now;
        self.runs_ahead = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600 * SECOND;
    const FRAME: i64 = 20 * MILLISECOND;
    const NOW: i64 = 100 * SECOND;

    /// One or two live or other streams, and the time.
    struct Scene {
        alignment: TimeAlignment,
        now: i64,
        news: Vec<TimingNews>,
    }

    impl Scene {
        fn new(is_live: bool) -> Self {
            let mut alignment = TimeAlignment::default();
            for id in [1, 2] {
                alignment.set_source(id, is_live, 0);
            }
            assert_eq!(alignment.play(Some(0)), []);
            let news = Vec::new();
            Self {
                alignment,
                now: NOW,
                news,
            }
        }

        fn take(&mut self, id: u32, time: i64) -> Timing {
            let (_, news) = self.alignment.take(id, time, Some(self.now));
            self.news.extend(news);
            self.alignment.timing(id)
        }

        /// Takes buffers in real time whose timestamps are off by this.
        fn run(&mut self, id: u32, off: i64, time: i64) {
            let end = self.now + time;
            while self.now < end {
                self.take(id, self.now + off);
                self.now += FRAME;
            }
        }

        fn shift(&self, id: u32) -> i64 {
            self.alignment.timing(id).shift
        }
    }

    #[test]
    fn media_on_time_are_left_alone() {
        for off in [0, TOLERANCE - FRAME, FRAME - TOLERANCE] {
            let mut scene = Scene::new(true);
            scene.run(1, off, 60 * SECOND);
            assert_eq!(scene.shift(1), 0);
            assert_eq!(scene.news, []);
        }
    }

    #[test]
    fn just_within_the_bounds_nothing_is_shifted() {
        for (is_live, off) in [(false, -SECOND), (false, 10 * SECOND), (true, SECOND)] {
            let mut scene = Scene::new(is_live);
            assert_eq!(scene.take(1, NOW + off).shift, 0, "{off}");
            assert_eq!(scene.news, []);
            let mut scene = Scene::new(is_live);
            let beyond = off + off.signum();
            assert_eq!(scene.take(1, NOW + beyond).shift, -beyond, "{beyond}");
        }
    }

    #[test]
    fn a_live_source_is_held_only_far_ahead_and_another_until_due() {
        let timing = |shift, hold| Timing {
            shift,
            hold: Some(hold),
        };
        assert_eq!(Scene::new(true).take(1, NOW), timing(0, -TOLERANCE));
        assert_eq!(Scene::new(false).take(1, NOW), timing(0, 0));
        let ahead = Scene::new(true).take(1, NOW + HOUR);
        assert_eq!(ahead, timing(-HOUR, -HOUR - TOLERANCE));
        let ahead = Scene::new(false).take(1, NOW + HOUR);
        assert_eq!(ahead, timing(-HOUR, -HOUR));
    }

    #[test]
    fn a_timestamp_before_zero_is_held_from_zero() {
        for (is_live, early) in [(true, TOLERANCE), (false, 0)] {
            let mut scene = Scene::new(is_live);
            for _ in 0..1000 {
                let time = scene.now - NOW - HOUR;
                let timing = scene.take(1, time);
                let due = time.max(0) + timing.hold.unwrap();
                assert!(due <= scene.now - early, "{timing:?} at {}", scene.now);
                scene.now += FRAME;
            }
            assert_eq!(scene.shift(1), NOW + HOUR);
        }
    }

    #[test]
    fn timestamps_far_ahead_are_shifted_at_once_and_at_each_jump() {
        let mut scene = Scene::new(true);
        scene.take(1, NOW + HOUR);
        assert_eq!(scene.shift(1), -HOUR);
        scene.run(1, HOUR, SECOND);
        scene.run(1, 3 * HOUR, SECOND);
        assert_eq!(scene.shift(1), -3 * HOUR);
        scene.run(1, FRAME, SECOND);
        assert_eq!(scene.shift(1), 0, "the pipeline's own time");
        let shifted = |ahead, shift| TimingNews::Shifted { ahead, shift };
        let expected = [
            shifted(HOUR, -HOUR),
            shifted(2 * HOUR, -3 * HOUR),
            shifted(FRAME - 3 * HOUR, 0),
        ];
        assert_eq!(scene.news, expected);
    }

    #[test]
    fn a_live_source_far_behind_is_shifted_at_once_only_if_it_jumps() {
        for (back, shift) in [(TOLERANCE, 0), (TOLERANCE + 1, TOLERANCE + 1 + FRAME)] {
            let mut scene = Scene::new(true);
            scene.run(1, 0, SECOND);
            scene.take(1, scene.now - FRAME - back);
            assert_eq!(scene.shift(1), shift, "{back}");
        }
    }

    #[test]
    fn live_timestamps_that_stay_behind_are_shifted_after_a_while() {
        let mut scene = Scene::new(true);
        scene.run(1, -HOUR, 2 * SECOND);
        assert_eq!(scene.shift(1), 0);
        scene.run(1, -HOUR, 2 * FRAME);
        assert_eq!(scene.shift(1), HOUR);
        assert_eq!(scene.news.len(), 1);
    }

    #[test]
    fn a_live_source_that_catches_up_after_a_stall_is_left_alone() {
        let mut scene = Scene::new(true);
        scene.run(1, 0, SECOND);
        let stalled = scene.now;
        scene.now += 5 * SECOND;
        for number in 0..(5 * SECOND / FRAME) {
            scene.take(1, stalled + number * FRAME);
            scene.now += MILLISECOND;
        }
        scene.run(1, 0, 5 * SECOND);
        assert_eq!(scene.shift(1), 0);
        assert_eq!(scene.news, []);
    }

    #[test]
    fn lateness_within_the_latency_of_a_live_source_is_normal() {
        let mut scene = Scene::new(true);
        scene.alignment.set_source(1, true, 2_000_000_000);
        scene.run(1, -2 * SECOND - TOLERANCE / 2, 10 * SECOND);
        assert_eq!(scene.news, []);
    }

    #[test]
    fn no_latency_counts_for_more_than_a_minute() {
        for (late, shift) in [(61 * SECOND, 0), (61 * SECOND + 1, 61 * SECOND + 1)] {
            let mut scene = Scene::new(true);
            scene.alignment.set_source(1, true, u64::MAX);
            scene.run(1, -late, 3 * SECOND);
            assert_eq!(scene.shift(1), shift);
        }
    }

    #[test]
    fn a_live_source_that_pushes_what_it_has_is_held_and_not_shifted() {
        let mut scene = Scene::new(true);
        for number in 0..500 {
            let time = NOW + number * FRAME;
            let hold = scene.take(1, time).hold.unwrap();
            let due = time + hold;
            assert!(due - scene.now <= LONGEST_HOLD);
            scene.now = scene.now.max(due);
        }
        assert_eq!(scene.shift(1), 0);
        assert_eq!(scene.now, NOW + 499 * FRAME - TOLERANCE);
        assert_eq!(scene.news, []);
    }

    #[test]
    fn a_live_source_may_run_ahead_at_once_by_the_hold_and_no_more() {
        for (ahead, shift) in [
            (200 * MILLISECOND, 0),
            (200 * MILLISECOND + 1, -1_200 * MILLISECOND - 1),
        ] {
            let mut scene = Scene::new(true);
            scene.run(1, 0, SECOND);
            scene.take(1, scene.now + TOLERANCE + ahead);
            assert_eq!(scene.shift(1), shift, "{ahead}");
        }
    }

    #[test]
    fn a_source_that_runs_ahead_in_ten_seconds_drifts_and_in_less_is_held() {
        let ahead = TOLERANCE + LONGEST_HOLD / 2;
        for (time, shift) in [(10 * SECOND - 1, 0), (10 * SECOND, -ahead)] {
            let mut scene = Scene::new(true);
            // Up to here it is well within the tolerance.
            scene.run(1, TOLERANCE / 2, DRIFT_TIME);
            scene.take(1, scene.now + TOLERANCE / 2);
            scene.now += time;
            scene.take(1, scene.now + ahead);
            assert_eq!(scene.shift(1), shift, "{time}");
        }
    }

    #[test]
    fn a_drift_moves_a_stream_of_its_clock_unless_that_would_be_too_late() {
        let most = TOLERANCE + LONGEST_HOLD;
        for (behind, moves) in [(most - FRAME, true), (most + FRAME, false)] {
            let mut scene = Scene::new(true);
            let mut drift = TOLERANCE / 2;
            scene.take(1, scene.now);
            while scene.shift(1) == 0 {
                scene.take(2, scene.now + drift - behind);
                scene.now += 5 * FRAME;
                drift += 2 * MILLISECOND;
                scene.take(1, scene.now + drift);
            }
            scene.take(2, scene.now + drift - behind);
            let expected = if moves { scene.shift(1) } else { 0 };
            assert_eq!(scene.shift(2), expected, "{behind}");
        }
    }

    #[test]
    fn a_drift_moves_no_stream_of_another_clock() {
        let mut scene = Scene::new(true);
        scene.take(2, scene.now + HOUR);
        let mut drift = 0;
        while scene.shift(1) == 0 {
            scene.take(2, scene.now + HOUR);
            scene.take(1, scene.now + drift);
            scene.now += FRAME;
            drift += MILLISECOND;
        }
        scene.take(2, scene.now + HOUR);
        assert_eq!(scene.shift(2), -HOUR);
    }

    #[test]
    fn gradual_changes_are_told_once_a_minute() {
        for (time, count) in [(60 * SECOND - 1, 1), (60 * SECOND, 2)] {
            let mut scene = Scene::new(false);
            scene.take(1, scene.now);
            scene.now += 2 * SECOND;
            scene.take(1, NOW);
            assert_eq!(scene.news.len(), 1);
            scene.now += time;
            scene.take(1, NOW);
            assert_eq!(scene.news.len(), count, "{time}");
        }
    }

    #[test]
    fn a_clock_that_drifts_moves_both_streams_and_is_told_once_a_minute() {
        let mut scene = Scene::new(true);
        for number in 0..3_000 {
            let drift = number * MILLISECOND;
            scene.take(1, scene.now + drift);
            scene.take(2, scene.now + drift - 150 * MILLISECOND);
            assert_eq!(scene.shift(1), scene.shift(2));
            scene.now += FRAME;
        }
        assert!(scene.shift(1) < -TOLERANCE);
        assert_eq!(scene.news.len(), 1);
    }

    #[test]
    fn streams_of_one_clock_have_one_shift() {
        let mut scene = Scene::new(true);
        scene.run(1, HOUR, 3 * FRAME);
        // Video takes longer to encode.
        scene.run(2, HOUR - 300 * MILLISECOND, SECOND);
        assert_eq!(scene.shift(2), -HOUR);
        scene.run(2, 2 * HOUR - 300 * MILLISECOND, FRAME);
        assert_eq!(scene.shift(1), -HOUR, "not yet");
        scene.run(1, 2 * HOUR, SECOND);
        assert_eq!(scene.shift(1), scene.shift(2));
        scene.run(2, 2 * HOUR - 300 * MILLISECOND, SECOND);
        assert_eq!(scene.shift(1), scene.shift(2));
    }

    #[test]
    fn a_stream_late_by_its_latency_keeps_the_shift_of_its_clock() {
        let mut scene = Scene::new(true);
        scene.alignment.set_source(2, true, 2_000_000_000);
        scene.take(1, NOW + HOUR);
        scene.take(2, NOW + HOUR - 2 * SECOND - TOLERANCE);
        assert_eq!(scene.shift(2), -HOUR);
    }

    #[test]
    fn a_stream_that_was_removed_is_forgotten_and_no_other() {
        let mut scene = Scene::new(true);
        scene.take(1, NOW + HOUR);
        scene.take(2, NOW + 2 * HOUR);
        scene.alignment.remove(1);
        assert_eq!((scene.shift(1), scene.shift(2)), (0, -2 * HOUR));
    }

    #[test]
    fn streams_of_different_clocks_have_shifts_of_their_own() {
        let mut scene = Scene::new(true);
        scene.take(1, NOW + HOUR);
        scene.take(2, NOW);
        assert_eq!((scene.shift(1), scene.shift(2)), (-HOUR, 0));
    }

    #[test]
    fn a_source_that_jumps_all_the_time_is_told_once_and_never_held() {
        let mut scene = Scene::new(true);
        for number in 0..20_000 {
            let timing = scene.take(1, scene.now + number % 7 * HOUR);
            assert!(number <= 10 || scene.now > NOW + JUMPS_TIME || timing.hold.is_none());
            scene.now += FRAME;
        }
        let jumping = scene.news.iter();
        let jumping = jumping.filter(|news| **news == TimingNews::Jumping);
        assert_eq!(jumping.count(), 1);
        assert_eq!(scene.news.len(), MAX_JUMPS + 1);
    }

    #[test]
    fn five_jumps_a_minute_are_followed() {
        for (between, is_followed) in [(12 * SECOND, true), (12 * SECOND - 1, false)] {
            let mut scene = Scene::new(true);
            for number in 1..=6 {
                scene.take(1, scene.now + number * HOUR);
                scene.now += between;
            }
            assert_eq!(scene.shift(1) == -6 * HOUR, is_followed, "{between}");
        }
    }

    #[test]
    fn a_source_that_stops_jumping_is_aligned_again() {
        let mut scene = Scene::new(true);
        for number in 0..100 {
            scene.take(1, scene.now + number % 7 * HOUR);
            scene.now += FRAME;
        }
        scene.run(1, 9 * HOUR, JUMPS_TIME + SECOND);
        let now = scene.now;
        let timing = scene.take(1, now + 9 * HOUR);
        assert_eq!(timing.shift, -9 * HOUR);
        assert_eq!(timing.hold, Some(-9 * HOUR - TOLERANCE));
    }

    #[test]
    fn a_file_is_shifted_at_its_beginning_wherever_it_begins() {
        for off in [3 * HOUR, -30 * SECOND] {
            let mut scene = Scene::new(false);
            scene.take(1, NOW + off);
            scene.take(2, NOW + off + FRAME);
            assert_eq!((scene.shift(1), scene.shift(2)), (-off, -off));
            assert_eq!(scene.news.len(), 2);
        }
    }

    #[test]
    fn gaps_of_a_file_are_kept() {
        let mut scene = Scene::new(false);
        scene.take(1, NOW);
        scene.take(2, NOW + 5 * SECOND);
        scene.take(1, NOW + 300 * SECOND);
        assert_eq!((scene.shift(1), scene.shift(2)), (0, 0));
        scene.take(1, NOW + 600 * SECOND);
        assert_eq!(scene.shift(1), 0);
        let jump = 600 * SECOND + 1;
        scene.take(1, NOW + jump);
        assert_eq!(scene.shift(1), -jump);
    }

    #[test]
    fn a_file_that_follows_another_may_begin_anywhere() {
        let mut scene = Scene::new(false);
        scene.take(1, NOW);
        scene.alignment.begin(1);
        scene.take(1, NOW + 300 * SECOND);
        assert_eq!(scene.shift(1), -300 * SECOND);
    }

    #[test]
    fn a_file_that_falls_behind_takes_a_stream_along_that_is_on_time() {
        let mut scene = Scene::new(false);
        scene.take(1, NOW);
        scene.take(2, NOW);
        scene.now += TOLERANCE + FRAME;
        scene.take(1, NOW);
        assert_eq!(scene.take(2, scene.now).shift, TOLERANCE + FRAME);
    }

    #[test]
    fn a_file_that_falls_behind_goes_on_from_there_with_both_streams() {
        let mut scene = Scene::new(false);
        scene.take(1, NOW);
        scene.take(2, NOW);
        scene.now += TOLERANCE + 2 * FRAME;
        scene.take(1, NOW + FRAME);
        assert_eq!(scene.shift(1), TOLERANCE + FRAME);
        assert_eq!(scene.take(2, NOW + FRAME).shift, TOLERANCE + FRAME);
    }

    #[test]
    fn what_waits_in_paused_is_timed_when_playing_begins() {
        let mut alignment = TimeAlignment::default();
        assert_eq!(alignment.take(1, 3 * HOUR, None), (None, None));
        assert_eq!(alignment.take(1, 3 * HOUR, Some(SECOND)), (None, None));
        let steps = alignment.play(Some(SECOND));
        assert_eq!(steps.len(), 1);
        let shift = SECOND - 3 * HOUR;
        let hold = Some(shift);
        assert_eq!(steps[0].1.0, Some(Timing { shift, hold }));
        alignment.pause();
        assert_eq!(alignment.take(1, 9 * HOUR, Some(SECOND)), (None, None));
        assert_eq!(alignment.play(Some(SECOND)).len(), 1);
    }

    #[test]
    fn a_flush_restarts_time_without_a_message() {
        for is_live in [true, false] {
            let mut scene = Scene::new(is_live);
            scene.run(1, 0, SECOND);
            scene.alignment.flush(1);
            let restart = scene.now;
            scene.run(1, -restart, 5 * SECOND);
            assert_eq!(scene.shift(1), restart);
            assert_eq!(scene.news, []);
        }
    }

    #[test]
    fn garbage_does_no_harm() {
        let times = [0, -1, 1, i64::MAX, i64::MIN, i64::MAX - 1, i64::MIN + 1];
        for is_live in [true, false] {
            let mut scene = Scene::new(is_live);
            for time in times.into_iter().cycle().take(1_000) {
                scene.take(1, time);
                scene.take(2, time.wrapping_mul(3));
                scene.now += FRAME;
            }
        }
    }
}
