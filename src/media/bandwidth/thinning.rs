//! Which frames to leave out where nobody makes them smaller.

use std::time::Duration;

/// How far the video may be ahead of the target, and thus how late a picture may be. With
/// 400 ms little more than the key frames leaves; the long silence after them hides from an
/// estimator what the network carries.
const BACKLOG: Duration = Duration::from_millis(1200);

/// The same for frames that no other one needs, so that they go first.
const DISPOSABLE_BACKLOG: Duration = Duration::from_millis(400);

/// Beside a key frame, this much backlog is allowed, however large the key frame is. A
/// stream that fits may have key frames of a second; it must not lose other frames to
/// that, nor to the timing of its frames, which varies.
const KEY_FRAME_MARGIN: Duration = Duration::from_millis(100);

/// The backlog above which not even a key frame passes.
const KEY_FRAME_BACKLOG: Duration = Duration::from_secs(1);

/// Rates above this are taken for it: 1 Tbit/s.
const MAX_RATE: u64 = 1_000_000_000_000;

/// Leaves out whole frames, so that video fits a target that its encoder does not follow.
///
/// A frame needs the frames before it, so once one is left out, all are up to the next
/// key frame: each group of pictures loses its end. What passes is ahead of the target, and
/// the pacer holds it back. The longer it may, the more of a group passes and the later
/// it is. So there is a limit to this backlog:
///
/// - A frame is left out if the backlog exceeds 1.2 s of the target, or the group's key
///   frame and 100 ms if that is more. For a frame that no other one needs it is 0.4 s
///   instead of 1.2, and the others then go on.
/// - A frame is left out if the next key frame would exceed that limit. When it comes and
///   how large it is are taken from the last ones.
/// - A key frame is left out only if the backlog is more than a second: where key frames
///   alone exceed the target, some of them go too.
///
/// So video is never above the target for long, and a stream that fits passes whole.
///
/// `now` is the time since some start, of a clock that does not run backwards. Sizes are
/// in bytes and have to include the same headers as the target does.
///
/// ```
/// use std::time::Duration;
/// use gstivs::media::bandwidth::{FrameKind, Thinning};
///
/// let mut thinning = Thinning::default();
/// thinning.set_target(Some(100_000));
/// let now = Duration::ZERO;
/// // 14 kB are 1120 ms of the target.
/// assert!(thinning.passes(Some(FrameKind::Key), 7000, now));
/// assert!(thinning.passes(None, 7000, now));
/// // Another 120 ms are above the limit for the next frame.
/// assert!(thinning.passes(Some(FrameKind::Reference), 1500, now));
/// assert!(!thinning.passes(Some(FrameKind::Reference), 1500, now));
/// assert_eq!(thinning.dropped().frames, 1);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Thinning {
    /// In bit/s.
    target: Option<f64>,
    /// Bits that passed ahead of the target.
    backlog: f64,
    latest: Duration,
    key_frames: KeyFrames,
    drops_frame: bool,
    /// Whether a frame of this group is missing that the later ones need.
    is_broken: bool,
    /// Whether any frame of this group and of the one before is missing.
    misses_frame: bool,
    missed_frame: bool,
    dropped: DroppedFrames,
}

/// Which other frames depend on a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// All up to the next key frame, and it depends on none (IDR).
    Key,
    /// Later frames may.
    Reference,
    /// None (its `nal_ref_idc` is 0).
    Disposable,
}

/// What was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DroppedFrames {
    /// Number of frames.
    pub frames: u64,
    /// Number of key frames among them.
    pub key_frames: u64,
    /// Number of packets.
    pub packets: u64,
    /// Size of the packets in bytes.
    pub bytes: u64,
}

impl Thinning {
    /// Sets the target for video in bit/s. With `None` everything passes, but for the
    /// rest of a group of pictures that is broken already. What passed before the target
    /// fell still counts, since the pacer holds it.
    pub fn set_target(&mut self, target: Option<u64>) {
        // Exact: far below 2^53.
        let target = target.map(|target| target.min(MAX_RATE) as f64);
        if target.is_none() {
            self.backlog = 0.0;
        }
        self.target = target;
    }

    /// Whether a packet of `size` bytes passes at `now`. If it is the first of a frame,
    /// `begins` is the kind of that frame. The others share the fate of their first one.
    pub fn passes(&mut self, begins: Option<FrameKind>, size: usize, now: Duration) -> bool {
        self.drain(now);
        if let Some(kind) = begins {
            self.key_frames.frame(kind, now);
            self.begin(kind, now);
        }
        let bits = size as f64 * 8.0;
        self.key_frames.packet(bits);
        if self.drops_frame {
            self.dropped.packets += 1;
            self.dropped.bytes = self.dropped.bytes.saturating_add(size as u64);
        } else if self.target.is_some() {
            self.backlog += bits;
        }
        !self.drops_frame
    }

    /// Whether frames are left out: from the first one on until a whole group of pictures
    /// has passed.
    pub fn is_active(&self) -> bool {
        self.misses_frame || self.missed_frame
    }

    /// Whether all is left out up to the next key frame.
    pub fn is_broken(&self) -> bool {
        self.is_broken
    }

    /// What was left out so far.
    pub fn dropped(&self) -> DroppedFrames {
        self.dropped
    }

    fn drain(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.latest).as_secs_f64();
        self.latest = self.latest.max(now);
        self.backlog = (self.backlog - self.target.unwrap_or(0.0) * passed).max(0.0);
    }

    /// Decides about a frame.
    fn begin(&mut self, kind: FrameKind, now: Duration) {
        if kind == FrameKind::Key {
            self.is_broken = false;
            self.missed_frame = std::mem::take(&mut self.misses_frame);
        }
        self.drops_frame = self.is_broken || !self.fits(kind, now);
        if !self.drops_frame {
            return;
        }
        self.is_broken |= kind != FrameKind::Disposable;
        self.misses_frame = true;
        self.dropped.frames += 1;
        self.dropped.key_frames += u64::from(kind == FrameKind::Key);
    }

    fn fits(&self, kind: FrameKind, now: Duration) -> bool {
        let Some(target) = self.target else {
            return true;
        };
        let bits = |time: Duration| target * time.as_secs_f64();
        let with_key_frame = self.key_frames.size + bits(KEY_FRAME_MARGIN);
        let limit = bits(BACKLOG).max(with_key_frame);
        let leaves_room = || {
            let next = self.key_frames.next_in(now);
            next.is_none_or(|time| self.backlog + self.key_frames.size <= limit + bits(time))
        };
        match kind {
            FrameKind::Key => self.backlog <= bits(KEY_FRAME_BACKLOG),
            FrameKind::Reference => self.backlog <= limit && leaves_room(),
            FrameKind::Disposable => {
                let limit = bits(DISPOSABLE_BACKLOG).max(with_key_frame);
                self.backlog <= limit && leaves_room()
            }
        }
    }
}

/// What the last key frames tell about the next one.
#[derive(Clone, Copy, Debug, Default)]
struct KeyFrames {
    /// When the latest one began.
    latest: Option<Duration>,
    /// The latest distances, the newest first.
    distances: [Option<Duration>; 2],
    /// Bits of the latest one, so far.
    size: f64,
    is_current: bool,
}

impl KeyFrames {
    fn frame(&mut self, kind: FrameKind, now: Duration) {
        self.is_current = kind == FrameKind::Key;
        if self.is_current {
            let distance = self.latest.map(|latest| now.saturating_sub(latest));
            self.distances = [distance, self.distances[0]];
            self.latest = Some(now);
            self.size = 0.0;
        }
    }

    fn packet(&mut self, bits: f64) {
        if self.is_current {
            self.size += bits;
        }
    }

    /// The time until the next one, zero if it is late. It is expected after the longer
    /// one of the last two distances, since a key frame can be requested at any time.
    fn next_in(&self, now: Duration) -> Option<Duration> {
        let distance = self.distances.into_iter().flatten().max()?;
        let next = self.latest?.saturating_add(distance);
        Some(next.saturating_sub(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKET: usize = 1200;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A stream of 30 frames a second in packets, with a key frame each two seconds.
    struct Stream {
        bit_rate: usize,
        /// The size of a key frame, in other frames.
        key_frame: usize,
        frame: usize,
    }

    /// What became of a frame.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Outcome {
        at: Duration,
        is_key: bool,
        bits: f64,
        passed: bool,
    }

    impl Stream {
        fn new(bit_rate: usize) -> Self {
            Self {
                bit_rate,
                key_frame: 5,
                frame: 0,
            }
        }

        /// Sends for a number of seconds. The sizes vary by 15 %, the times by 25 ms.
        fn run(&mut self, thinning: &mut Thinning, seconds: usize) -> Vec<Outcome> {
            (0..30 * seconds)
                .map(|_| self.run_frame(thinning))
                .collect()
        }

        fn run_frame(&mut self, thinning: &mut Thinning) -> Outcome {
            let frame = self.frame;
            self.frame += 1;
            let is_key = frame.is_multiple_of(60);
            let usual = self.bit_rate * 2 / 8 / (59 + self.key_frame);
            let usual = usual * if is_key { self.key_frame } else { 1 };
            let size = usual * [100, 85, 115][frame % 3] / 100;
            let late = Duration::from_millis(frame as u64 * 7 / 4 % 6 * 5);
            let at = Duration::from_secs(1) * frame as u32 / 30 + late;
            let kind = if is_key {
                FrameKind::Key
            } else {
                FrameKind::Reference
            };
            let passed = thinning.passes(Some(kind), size.min(PACKET), at);
            let mut left = size.saturating_sub(PACKET);
            while left > 0 {
                assert_eq!(thinning.passes(None, left.min(PACKET), at), passed);
                left = left.saturating_sub(PACKET);
            }
            let bits = size as f64 * 8.0;
            Outcome {
                at,
                is_key,
                bits,
                passed,
            }
        }
    }

    fn thinning(target: u64) -> Thinning {
        let mut thinning = Thinning::default();
        thinning.set_target(Some(target));
        thinning
    }

    fn passed_bits(outcomes: &[Outcome]) -> f64 {
        let passed = outcomes.iter().filter(|outcome| outcome.passed);
        passed.map(|outcome| outcome.bits).sum()
    }

    fn assert_no_frame_after_a_gap(outcomes: &[Outcome]) {
        for pair in outcomes.windows(2) {
            assert!(
                pair[0].passed || !pair[1].passed || pair[1].is_key,
                "{pair:?}"
            );
        }
    }

    #[test]
    fn a_stream_that_is_too_large_loses_the_end_of_each_group() {
        let mut thinning = thinning(1_000_000);
        let outcomes = Stream::new(2_500_000).run(&mut thinning, 60);
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.passed || !outcome.is_key)
        );
        assert_no_frame_after_a_gap(&outcomes);
        assert!(passed_bits(&outcomes) <= 60.0 * 1_000_000.0);
        let dropped = outcomes.iter().filter(|outcome| !outcome.passed).count();
        assert_eq!(thinning.dropped().frames, dropped as u64);
        assert_eq!(thinning.dropped().key_frames, 0);
        assert!(thinning.is_active());
        // No group is down to its key frame.
        let groups = outcomes.chunks(60).filter(|group| group[1].passed);
        assert_eq!(groups.count(), 30);
    }

    #[test]
    fn in_no_span_more_passes_than_the_target_and_the_backlog() {
        for target in [300_000, 700_000, 1_000_000, 1_500_000, 2_000_000, 2_400_000] {
            let outcomes = Stream::new(2_500_000).run(&mut thinning(target), 60);
            assert_no_frame_after_a_gap(&outcomes);
            for span in [15, 60, 600] {
                for frames in outcomes.windows(span) {
                    let time = span as f64 / 30.0;
                    // A key frame is 460 kbit at most, and may come on top.
                    let most = target as f64 * (time + 1.2) + 460_000.0;
                    assert!(passed_bits(frames) <= most, "{target} {span}");
                }
            }
        }
    }

    #[test]
    fn most_of_a_target_that_is_nearly_enough_is_used() {
        for target in [1_800_000, 2_000_000, 2_300_000] {
            let outcomes = Stream::new(2_500_000).run(&mut thinning(target), 60);
            let used = passed_bits(&outcomes) / (60.0 * target as f64);
            assert!((0.55..=1.0).contains(&used), "{target}: {used}");
        }
    }

    #[test]
    fn a_stream_that_fits_passes_whole() {
        for key_frame in [1, 5, 20, 60, 1000] {
            for target in [2_520_000, 2_600_000, 10_000_000] {
                let mut thinning = thinning(target);
                let mut stream = Stream {
                    key_frame,
                    ..Stream::new(2_500_000)
                };
                let outcomes = stream.run(&mut thinning, 60);
                assert!(
                    outcomes.iter().all(|outcome| outcome.passed),
                    "{key_frame} {target}"
                );
                assert!(!thinning.is_active());
            }
        }
    }

    #[test]
    fn requested_key_frames_cost_no_frame() {
        // Key frames of 400 ms of the target, two of them early, and other frames
        // that vary, 250 kbit/s.
        let mut thinning = thinning(1_000_000);
        for frame in 0..600u32 {
            let (kind, size) = match frame {
                18 | 36 => (FrameKind::Key, 50_000),
                _ if frame.is_multiple_of(60) => (FrameKind::Key, 50_000),
                _ if frame.is_multiple_of(10) => (FrameKind::Reference, 8000),
                _ => (FrameKind::Reference, 250),
            };
            let at = seconds(1) * frame / 30;
            assert!(thinning.passes(Some(kind), size, at), "{frame}");
        }
    }

    #[test]
    fn the_whole_stream_is_back_when_the_target_allows() {
        let mut thinning = thinning(1_000_000);
        let mut stream = Stream::new(2_500_000);
        stream.run(&mut thinning, 9);
        thinning.set_target(Some(3_000_000));
        // The broken group stays broken to its end.
        let rest = stream.run(&mut thinning, 1);
        assert!(rest.iter().all(|outcome| !outcome.passed));
        let outcomes = stream.run(&mut thinning, 10);
        assert!(outcomes.iter().all(|outcome| outcome.passed));
        assert!(!thinning.is_active());
    }

    #[test]
    fn without_a_target_everything_passes() {
        let mut thinning = Thinning::default();
        let mut stream = Stream::new(20_000_000);
        assert!(
            stream
                .run(&mut thinning, 10)
                .iter()
                .all(|outcome| outcome.passed)
        );
        thinning.set_target(Some(100_000));
        stream.run(&mut thinning, 3);
        thinning.set_target(None);
        let outcomes = stream.run(&mut thinning, 10);
        assert!(outcomes.iter().skip(30).all(|outcome| outcome.passed));
        assert_no_frame_after_a_gap(&outcomes);
    }

    #[test]
    fn what_is_left_out_is_counted_until_a_whole_group_has_passed() {
        let mut thinning = thinning(100_000);
        assert!(thinning.passes(Some(FrameKind::Key), 14_000, seconds(0)));
        assert!(thinning.passes(Some(FrameKind::Reference), 1_500, seconds(0)));
        assert!(!thinning.is_active());
        assert!(!thinning.passes(Some(FrameKind::Reference), 1_200, seconds(0)));
        assert!(!thinning.passes(None, 300, seconds(0)));
        let dropped = DroppedFrames {
            frames: 1,
            key_frames: 0,
            packets: 2,
            bytes: 1_500,
        };
        assert_eq!(thinning.dropped(), dropped);
        assert!(thinning.is_active());
        assert!(thinning.passes(Some(FrameKind::Key), 1_500, seconds(10)));
        assert!(thinning.is_active());
        assert!(thinning.passes(Some(FrameKind::Key), 1_500, seconds(20)));
        assert!(!thinning.is_active());
    }

    #[test]
    fn a_large_key_frame_takes_no_other_frame_with_it() {
        let mut thinning = thinning(100_000);
        // 1.4 s of the target, and 100 ms beside it.
        assert!(thinning.passes(Some(FrameKind::Key), 17_500, seconds(0)));
        let passes = [1_249, 2, 1].map(|size| {
            let kind = Some(FrameKind::Reference);
            thinning.passes(kind, size, seconds(0))
        });
        assert_eq!(passes, [true, true, false]);
    }

    #[test]
    fn room_is_left_for_the_next_key_frame() {
        let mut thinning = thinning(100_000);
        for at in [0, 2] {
            assert!(thinning.passes(Some(FrameKind::Key), 10_000, seconds(at)));
        }
        // 0.8 s of the target are due in 100 ms, and 1.2 s are the limit.
        let at = Duration::from_millis(3_900);
        for (size, passes) in [(6_250, true), (1, true), (1, false)] {
            let kind = Some(FrameKind::Reference);
            assert_eq!(thinning.passes(kind, size, at), passes, "{size}");
        }
    }

    #[test]
    fn key_frames_alone_are_thinned_if_they_exceed_the_target() {
        // 195 kbit/s of key frames.
        let mut thinning = thinning(100_000);
        let outcomes = Stream::new(2_500_000).run(&mut thinning, 240);
        assert!(passed_bits(&outcomes) <= 240.0 * 100_000.0 + 500_000.0);
        let key_frames = outcomes.iter().filter(|outcome| outcome.passed);
        let at: Vec<_> = key_frames.map(|outcome| outcome.at).collect();
        assert!(at.len() > 55, "{}", at.len());
        assert!(at.windows(2).all(|pair| pair[1] - pair[0] < seconds(7)));
        assert!(thinning.dropped().key_frames > 50);
    }

    #[test]
    fn key_frames_wait_for_what_passed_before_the_target_fell() {
        let mut thinning = thinning(2_400_000);
        let mut stream = Stream::new(2_500_000);
        stream.run(&mut thinning, 10);
        thinning.set_target(Some(400_000));
        // 1.2 s of the higher target are 7.2 s of the lower one.
        stream.run(&mut thinning, 8);
        let outcomes = stream.run(&mut thinning, 20);
        assert!(
            outcomes
                .iter()
                .all(|outcome| outcome.passed || !outcome.is_key)
        );
    }

    #[test]
    fn a_key_frame_finds_room() {
        for target in (1_500_000..2_500_000).step_by(20_000) {
            let mut thinning = thinning(target);
            let mut stream = Stream::new(2_500_000);
            // The first groups teach their length.
            stream.run(&mut thinning, 6);
            for _ in 0..30 * 60 {
                let outcome = stream.run_frame(&mut thinning);
                let backlog = thinning.backlog / target as f64;
                // The limit, or what is granted to large key frames, and a frame.
                let key_frame = thinning.key_frames.size / target as f64;
                let most = 1.2f64.max(0.1 + key_frame) + 0.07;
                assert!(backlog <= most, "{target} {outcome:?}: {backlog}");
            }
        }
    }

    #[test]
    fn disposable_frames_go_first() {
        let mut thinning = thinning(1_000_000);
        // A stream of 1.2 Mbit/s, every second frame of which is disposable.
        let mut passed = [0; 2];
        for frame in 0..1800u32 {
            let (kind, size) = match frame {
                _ if frame.is_multiple_of(60) => (FrameKind::Key, 15_000),
                _ if frame.is_multiple_of(2) => (FrameKind::Reference, 6000),
                _ => (FrameKind::Disposable, 3500),
            };
            let passes = thinning.passes(Some(kind), size, seconds(1) * frame / 30);
            passed[(frame % 2) as usize] += u32::from(passes);
        }
        assert_eq!(passed[0], 900);
        assert!((400..800).contains(&passed[1]), "{passed:?}");
        assert!(thinning.is_active());
    }

    #[test]
    fn odd_times_targets_and_sizes_do_no_harm() {
        for target in [None, Some(0), Some(u64::MAX)] {
            let mut thinning = thinning(1);
            thinning.set_target(target);
            for now in [seconds(5), seconds(0), Duration::MAX, seconds(3)] {
                for size in [0, 1, usize::MAX] {
                    for begins in [None, Some(FrameKind::Reference), Some(FrameKind::Key)] {
                        thinning.passes(begins, size, now);
                        assert!(thinning.backlog.is_finite() && thinning.backlog >= 0.0);
                    }
                }
            }
        }
    }
}
