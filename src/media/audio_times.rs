//! Timestamps of audio that go on with its samples.
//!
//! In: the timestamp and the samples of each buffer, and the time now. Out: the timestamp
//! with which it goes on, and what to cut off. All times are in nanoseconds.
//!
//! | timestamps | become |
//! | --- | --- |
//! | near the end of the buffer before | that end |
//! | later: a gap | stay |
//! | for a second a little before that end: more samples than time | that end, and what overlaps is cut off |
//! | missing, equal, or back | that end, or the time of arrival behind a pause |
//! | back, of a stream that went on for long before or since | stay if far, else that end, and what overlaps is cut off |
//!
//! A receiver takes a packet whose timestamp is not the end of the one before for a loss, or
//! for one that is too late.

const MILLISECOND: i64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// How far timestamps may be from what the samples say. With what jitter and a second of drift
/// add, sound stays within 40 ms of its picture.
const TOLERANCE: i64 = 35 * MILLISECOND;

/// More overlap than this is no drift.
const LARGEST_DRIFT: i64 = 80 * MILLISECOND;

/// Audio without usable timestamps that comes so much later than the buffer before has ended
/// comes behind a pause.
const PAUSE: i64 = 200 * MILLISECOND;

/// Timestamps that are further back are those of another time.
const JUMP: i64 = 1000 * MILLISECOND;

/// Timestamps that rise for so long are followed back, in seconds of audio.
const TRUST: u64 = 15;

/// What audio comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioUnit {
    /// Samples, from which any number can be cut off.
    Sample,
    /// Packets, which stay whole, and of which whole ones are missing.
    Packet,
    /// Buffers of samples that stay whole.
    Buffer,
}

/// When a buffer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioArrival {
    /// By a clock that goes on whatever the timestamps do.
    pub clock: u64,
    /// The timestamp that means now.
    pub time: u64,
}

/// How a buffer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioPlace {
    /// The timestamp of what is left of it; `None` if that is not known.
    pub time: Option<u64>,
    /// How many samples to cut off from its beginning; all for a buffer to leave out.
    pub cut: u64,
}

/// A buffer that comes in.
#[derive(Clone, Copy, Debug)]
struct Arrived {
    samples: u64,
    now: Option<AudioArrival>,
}

/// The timestamps of one stream of audio.
#[derive(Clone, Copy, Debug)]
pub struct AudioTimes {
    rate: u64,
    unit: AudioUnit,
    /// When the stream began or went on behind a gap, and the samples since.
    run: Option<(u64, u64)>,
    /// How much later than its timestamp a buffer last came, by the clock.
    delay: i64,
    /// The last timestamp that came in.
    last: Option<u64>,
    /// For how many samples timestamps have risen.
    rising: u64,
    /// For how many samples timestamps are too early, and how little at least.
    early: Option<(u64, i64)>,
    /// What is left to cut off.
    overlap: u64,
    /// The timestamp of a buffer far back, behind a stream that went on for long: one more
    /// shows that it goes on there.
    back: Option<u64>,
}

impl AudioTimes {
    /// A stream of so many samples a second, from 1 on.
    pub fn new(rate: u32, unit: AudioUnit) -> Self {
        Self {
            rate: u64::from(rate.max(1)),
            unit,
            run: None,
            delay: 0,
            last: None,
            rising: 0,
            early: None,
            overlap: 0,
            back: None,
        }
    }

    /// Takes a buffer of so many samples that comes now, if there is a clock.
    pub fn take(
        &mut self,
        time: Option<u64>,
        samples: u64,
        now: Option<AudioArrival>,
    ) -> AudioPlace {
        let arrived = Arrived { samples, now };
        // One that was computed below zero is none.
        let time = time.filter(|time| i64::try_from(*time).is_ok());
        let (end, time) = match (self.end(), time) {
            (None, time) => {
                self.last = time;
                return self.begin(time.or(now.map(|now| now.time)), arrived);
            }
            (Some(end), None) => return self.go_on_without(end, arrived),
            (Some(end), Some(time)) => (end, time),
        };
        let rose = self.rising;
        self.rising = match self.last.replace(time).is_some_and(|last| last < time) {
            true => rose.saturating_add(samples),
            false => 0,
        };
        let ahead = time.cast_signed().saturating_sub(end.cast_signed());
        if ahead > self.longest_jitter(samples) {
            return self.begin_behind_gap(time, ahead, arrived);
        }
        if ahead >= 0 || (ahead >= -TOLERANCE && self.overlap == 0) {
            (self.early, self.overlap) = (None, 0);
            self.note_delay(end, now);
            return self.go_on(end, samples);
        }
        let is_trusted = rose.max(self.rising) >= TRUST * self.rate;
        let goes_on_back = self.back.take().is_some_and(|back| {
            let since = time.cast_signed().saturating_sub(back.cast_signed());
            (1..JUMP).contains(&since)
        });
        if goes_on_back && ahead < -JUMP {
            return self.begin(Some(time), arrived);
        }
        if is_trusted && ahead < -JUMP {
            self.back = Some(time);
            return self.go_on_without(end, arrived);
        }
        if self.is_overlap(ahead, samples, is_trusted) {
            return self.cut(end, arrived);
        }
        self.go_on_without(end, arrived)
    }

    /// The end of the last buffer. Rounded up, so that whole samples stay whole when
    /// others round down.
    fn end(&self) -> Option<u64> {
        let (begin, samples) = self.run?;
        Some(begin.saturating_add(self.duration(samples)))
    }

    fn duration(&self, samples: u64) -> u64 {
        let duration = (u128::from(samples) * u128::from(SECOND)).div_ceil(u128::from(self.rate));
        u64::try_from(duration).unwrap_or(u64::MAX)
    }

    fn samples(&self, duration: u64) -> u64 {
        let samples = u128::from(duration) * u128::from(self.rate) / u128::from(SECOND);
        u64::try_from(samples).unwrap_or(u64::MAX)
    }

    /// How much later than the end of the buffer before one may be without a gap. Where
    /// packets are missing, at least a whole one is.
    fn longest_jitter(&self, samples: u64) -> i64 {
        let half = self.duration(samples) / 2;
        match self.unit {
            AudioUnit::Sample | AudioUnit::Buffer => TOLERANCE,
            AudioUnit::Packet => i64::try_from(half).unwrap_or(i64::MAX).min(TOLERANCE),
        }
    }

    fn begin(&mut self, time: Option<u64>, arrived: Arrived) -> AudioPlace {
        self.run = time.map(|time| (time, arrived.samples));
        (self.early, self.overlap) = (None, 0);
        if let Some(time) = time {
            self.note_delay(time, arrived.now);
        }
        AudioPlace { time, cut: 0 }
    }

    /// Between packets a gap is one of whole packets.
    fn begin_behind_gap(&mut self, time: u64, ahead: i64, arrived: Arrived) -> AudioPlace {
        let packet = self.duration(arrived.samples).max(1);
        let (AudioUnit::Packet, Some((begin, samples))) = (self.unit, self.run) else {
            return self.begin(Some(time), arrived);
        };
        let missing = (ahead.unsigned_abs() + packet / 2) / packet;
        let missing = missing.saturating_mul(arrived.samples);
        self.run = Some((begin, samples.saturating_add(missing)));
        (self.early, self.overlap) = (None, 0);
        let end = self.end().unwrap_or(time);
        self.note_delay(end, arrived.now);
        self.go_on(end, arrived.samples)
    }

    fn go_on(&mut self, end: u64, samples: u64) -> AudioPlace {
        if let Some((_, since)) = &mut self.run {
            *since = since.saturating_add(samples);
        }
        AudioPlace {
            time: Some(end),
            cut: 0,
        }
    }

    /// Goes on without a usable timestamp.
    fn go_on_without(&mut self, end: u64, arrived: Arrived) -> AudioPlace {
        let due = arrived
            .now
            .map(|now| now.clock.saturating_add_signed(self.delay.saturating_neg()));
        match due.filter(|due| due.saturating_sub(end) > PAUSE.unsigned_abs()) {
            Some(due) => self.begin(Some(due), arrived),
            None => self.go_on(end, arrived.samples),
        }
    }

    fn note_delay(&mut self, time: u64, now: Option<AudioArrival>) {
        if let Some(now) = now {
            self.delay = now.clock.cast_signed().saturating_sub(time.cast_signed());
        }
    }

    /// Whether there are more samples than time. Jitter is not that early for a second.
    fn is_overlap(&mut self, ahead: i64, samples: u64, is_trusted: bool) -> bool {
        if self.overlap > 0 {
            return true;
        }
        if ahead < -LARGEST_DRIFT && !is_trusted {
            self.early = None;
            return false;
        }
        let (lasts, least) = self.early.unwrap_or((0, i64::MIN));
        let least = least.max(ahead);
        self.early = Some((lasts.saturating_add(samples), least));
        if lasts >= self.rate {
            self.overlap = self.samples(least.unsigned_abs());
        }
        self.overlap > 0
    }

    fn cut(&mut self, end: u64, arrived: Arrived) -> AudioPlace {
        let (all, left) = (arrived.samples, self.overlap);
        let cut = match self.unit {
            AudioUnit::Sample => left.min(all),
            AudioUnit::Packet | AudioUnit::Buffer if left >= all.div_ceil(2) => all,
            AudioUnit::Packet | AudioUnit::Buffer => 0,
        };
        self.early = None;
        // What is left is less than can be cut off, if it is not all that was.
        self.overlap = if cut == all { left - left.min(cut) } else { 0 };
        let place = self.go_on(end, all - cut);
        AudioPlace { cut, ..place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = MILLISECOND.unsigned_abs();
    /// Buffers of 20 ms at 48 kHz.
    const SAMPLES: u64 = 960;
    const BEGIN: u64 = 5000;

    /// What comes of buffers of 20 ms with these timestamps in milliseconds, each of which
    /// comes 7 ms later than its samples are due: timestamps and what is cut off, in
    /// milliseconds.
    fn placed(unit: AudioUnit, times: &[Option<u64>]) -> Vec<(u64, u64)> {
        let mut audio = AudioTimes::new(48_000, unit);
        let places = times
            .iter()
            .zip((BEGIN + 7..).step_by(20))
            .map(|(time, now)| {
                let place = audio.take(time.map(|time| time * MS), SAMPLES, at(now * MS));
                (place.time.unwrap() / MS, place.cut / 48)
            });
        places.collect()
    }

    fn whole(unit: AudioUnit, times: &[Option<u64>]) -> Vec<u64> {
        let placed = placed(unit, times);
        assert!(placed.iter().all(|(_, cut)| *cut == 0), "{placed:?}");
        placed.into_iter().map(|(time, _)| time).collect()
    }

    fn steady(count: u64) -> Vec<u64> {
        (0..count).map(|number| BEGIN + 20 * number).collect()
    }

    const UNITS: [AudioUnit; 3] = [AudioUnit::Sample, AudioUnit::Packet, AudioUnit::Buffer];

    /// Of a source whose timestamps are those of the clock.
    #[allow(clippy::unnecessary_wraps)]
    fn at(time: u64) -> Option<AudioArrival> {
        let clock = time;
        Some(AudioArrival { clock, time })
    }

    #[test]
    fn unusable_timestamps_go_on_with_the_samples() {
        type Times = fn(u64) -> Option<u64>;
        let rules: [(&str, Times); 6] = [
            ("equal", |_| Some(BEGIN)),
            ("running back each second", |number| {
                Some(BEGIN + number % 50 * 20)
            }),
            ("running back each 4 s", |number| {
                Some(BEGIN + number % 200 * 20)
            }),
            ("running backwards", |number| Some(BEGIN - number)),
            ("missing but one", |number| {
                (number % 10 == 0).then_some(BEGIN + 20 * number)
            }),
            ("below zero", |number| match number {
                0 => Some(BEGIN),
                _ => Some((u64::MAX / MS).saturating_sub(20)),
            }),
        ];
        for unit in UNITS {
            for (name, rule) in rules {
                let times: Vec<_> = (0..1000).map(rule).collect();
                assert_eq!(whole(unit, &times), steady(1000), "{name}, {unit:?}");
            }
            // With the time of arrival.
            let missing = whole(unit, &[None; 1000]);
            let later: Vec<_> = steady(1000).iter().map(|time| time + 7).collect();
            assert_eq!(missing, later);
        }
    }

    #[test]
    fn jitter_is_smoothed() {
        let mut random = crate::random::Random::new(3);
        for unit in UNITS {
            let mut jittered = |number: u64| Some(BEGIN + 20 * number + random.below(7) as u64 - 3);
            let times: Vec<_> = (0..3000).map(&mut jittered).collect();
            let first = times[0].unwrap();
            let expected = (0..3000).map(|number| first + 20 * number);
            assert_eq!(whole(unit, &times), expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn gaps_stay() {
        for unit in UNITS {
            for gap in [40, 100, 5000, 3_600_000] {
                let times = [0, 20, 40 + gap, 60 + gap].map(|time| Some(BEGIN + time));
                assert_eq!(whole(unit, &times).map_some(), times, "{gap} ms, {unit:?}");
            }
        }
        // A packet that is lost, and one whose timestamps are not exact.
        let times = [0, 20, 60, 80, 123].map(|time| Some(BEGIN + time));
        let gaps = [0, 20, 60, 80, 120].map(|time| Some(BEGIN + time));
        assert_eq!(whole(AudioUnit::Packet, &times).map_some(), gaps);
    }

    #[test]
    fn a_gap_between_large_buffers_stays() {
        let mut audio = AudioTimes::new(48_000, AudioUnit::Buffer);
        let mut take = |time| audio.take(Some(time * MS), 48_000, None).time.unwrap() / MS;
        assert_eq!([0, 1000, 2400, 3400].map(&mut take), [0, 1000, 2400, 3400]);
    }

    /// A source with the time of day, most of whose timestamps are missing.
    #[test]
    fn the_source_may_have_another_clock() {
        const DAY: u64 = 1_700_000_000_000;
        for unit in UNITS {
            let mut audio = AudioTimes::new(48_000, unit);
            let mut take = |number: u64| {
                let clock = (BEGIN + 20 * number) * MS;
                // Only the second buffer shows that they are of another clock.
                let time = if number == 0 { clock } else { clock + DAY * MS };
                let stamp = number
                    .is_multiple_of(10)
                    .then_some((DAY + BEGIN + 20 * number) * MS);
                let place = audio.take(stamp, SAMPLES, Some(AudioArrival { clock, time }));
                place.time.unwrap() / MS - DAY
            };
            let placed: Vec<_> = (0..100).map(&mut take).collect();
            assert_eq!(placed, steady(100), "{unit:?}");
        }
    }

    #[test]
    fn one_timestamp_far_back_is_not_followed() {
        for unit in UNITS {
            let times = (0..2000).map(|number| match number {
                1000 => Some(7),
                _ => Some(BEGIN + 20 * number),
            });
            let times: Vec<_> = times.collect();
            assert_eq!(whole(unit, &times), steady(2000), "{unit:?}");
        }
    }

    trait MapSome {
        fn map_some(self) -> Vec<Option<u64>>;
    }

    impl MapSome for Vec<u64> {
        fn map_some(self) -> Vec<Option<u64>> {
            self.into_iter().map(Some).collect()
        }
    }

    #[test]
    fn a_pause_of_audio_without_usable_timestamps_stays() {
        for time in [None, Some(BEGIN * MS)] {
            let mut audio = AudioTimes::new(48_000, AudioUnit::Sample);
            let mut take = |now| {
                let place = audio.take(time, SAMPLES, at((BEGIN + now) * MS));
                place.time.unwrap() / MS - BEGIN
            };
            assert_eq!([0, 20, 40].map(&mut take), [0, 20, 40]);
            assert_eq!([259, 259, 259].map(&mut take), [60, 80, 100], "late");
            assert_eq!([1000, 1020].map(&mut take), [1000, 1020]);
        }
    }

    /// As behind a jitter buffer.
    #[test]
    fn a_late_source_has_no_pause() {
        let mut audio = AudioTimes::new(48_000, AudioUnit::Sample);
        let mut take = |time, now| {
            let place = audio.take(Some((BEGIN + time) * MS), SAMPLES, at((BEGIN + now) * MS));
            place.time.unwrap() / MS - BEGIN
        };
        assert_eq!(take(0, 2000), 0);
        assert_eq!(take(0, 2020), 20);
        assert_eq!(take(0, 2040), 40);
        assert_eq!(take(0, 3040), 1040, "behind a pause");
    }

    /// Both ways, with 1000 ppm over ten minutes.
    #[test]
    fn drift_is_bounded() {
        for unit in UNITS {
            for per_buffer in [20_020_000, 19_980_000] {
                let mut random = crate::random::Random::new(5);
                let mut audio = AudioTimes::new(48_000, unit);
                let (mut end, mut steps) = (None, 0);
                for number in 0..30_000 {
                    let captured = BEGIN * MS + number * per_buffer;
                    let jitter = random.below(6_000_000) as u64;
                    let time = captured + jitter - 3 * MS;
                    let place = audio.take(Some(time), SAMPLES, at(captured));
                    let placed = place.time.unwrap();
                    assert!(end.is_none_or(|end| placed >= end), "no step back");
                    steps += u64::from(place.cut > 0 || end.is_some_and(|end| placed > end));
                    end = Some(placed + (SAMPLES - place.cut) * SECOND / 48_000);
                    let begin = placed.cast_signed() - (place.cut * SECOND / 48_000).cast_signed();
                    let off = begin - captured.cast_signed();
                    assert!(off.abs() <= 40 * MILLISECOND, "{off} ns, {unit:?}");
                }
                // 600 ms in all.
                assert!((15..=40).contains(&steps), "{steps}, {unit:?}");
            }
        }
    }

    #[test]
    fn large_jitter_costs_nothing() {
        let times = (0..3000)
            .map(|number| Some(BEGIN + 20 * number + [0, 60, 30, 15][number as usize % 4]));
        let placed = whole(AudioUnit::Sample, &times.collect::<Vec<_>>());
        let steps = placed.windows(2).filter(|pair| pair[1] - pair[0] != 20);
        assert_eq!(steps.count(), 1);
    }

    /// A camera that sets its clock.
    #[test]
    fn a_step_back_is_followed_once_the_timestamps_go_on() {
        let stepping = |back: u64| {
            move |number: u64| {
                let back = if number < 1000 { 0 } else { back };
                Some(BEGIN + 10_000 + 20 * number - back)
            }
        };
        for unit in UNITS {
            // By 500 ms, of which all is cut off after 16 s.
            let placed = placed(unit, &(0..3000).map(stepping(500)).collect::<Vec<_>>());
            let cut: Vec<_> = (0..3000).filter(|at| placed[*at].1 > 0).collect();
            assert_eq!(cut, (1800..1825).collect::<Vec<_>>(), "{unit:?}");
            assert_eq!(placed[2999].0, BEGIN + 10_000 + 20 * 2999 - 500);
            // By 10 s, which is a matter of other clocks than this stream's. The first one
            // may be garbage.
            let times: Vec<_> = (0..3000).map(stepping(10_000)).collect();
            let mut expected = times.clone();
            expected[1000] = Some(BEGIN + 10_000 + 20 * 1000);
            assert_eq!(whole(unit, &times).map_some(), expected);
        }
    }

    #[test]
    fn without_a_clock_and_timestamps_there_are_none() {
        let mut audio = AudioTimes::new(48_000, AudioUnit::Sample);
        let nothing = AudioPlace { time: None, cut: 0 };
        assert_eq!(audio.take(None, SAMPLES, None), nothing);
        assert_eq!(audio.take(Some(7), SAMPLES, None).time, Some(7));
        assert_eq!(audio.take(None, SAMPLES, None).time, Some(20_000_007));
    }

    /// Of a rate at which no buffer is of whole nanoseconds.
    #[test]
    fn months_are_exact() {
        let mut audio = AudioTimes::new(44_100, AudioUnit::Sample);
        audio.take(Some(0), 1024, None);
        audio.run = Some((0, 44_100 * 86_400 * 90));
        assert_eq!(
            audio.take(None, 1024, None).time,
            Some(86_400 * 90 * SECOND)
        );
    }
}
