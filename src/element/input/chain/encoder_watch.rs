//! Watches what an encoder makes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::ivs::KEY_FRAME_DISTANCE;

/// An encoder that makes no picture for so long, while pictures go in, does not work.
const FIRST_PICTURE: Duration = Duration::from_secs(3);

/// The same after its first picture: openh264enc leaves out pictures to keep to a bit rate,
/// of noise with 50 kbit/s for 7 s.
const NEXT_PICTURE: Duration = Duration::from_secs(10);

/// Pictures that an encoder may keep before it makes one.
const MOST_DELAYED: u32 = 10;

/// Pictures that are further apart come after a pause upstream, which does not count.
const LONGEST_STEP: Duration = Duration::from_millis(500);

/// The longest time between two key frames.
const KEY_FRAME_INTERVAL: gst::ClockTime = gst::ClockTime::from_seconds(KEY_FRAME_DISTANCE as u64);

/// By which the times of pictures are rounded.
const ROUNDING: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// A key frame that comes so soon after a request is the one that was requested.
const REQUEST_TIME: gst::ClockTime = gst::ClockTime::from_mseconds(500);

/// What is known of an encoder's work.
pub(super) struct EncoderWatch {
    progress: Mutex<Progress>,
    has_failed: AtomicBool,
    /// For pictures without a time.
    origin: Instant,
}

#[derive(Default)]
struct Progress {
    output: Output,
    key_frames: KeyFrames,
    /// Why it does not work.
    failure: Option<String>,
}

impl EncoderWatch {
    /// Watches an encoder at its pads: elements ahead of it leave out pictures.
    pub(super) fn new(encoder: &gst::Element) -> Arc<Self> {
        let watch = Arc::new(Self {
            progress: Mutex::default(),
            has_failed: AtomicBool::new(false),
            origin: Instant::now(),
        });
        let watching = watch.clone();
        if let Some(sink) = encoder.static_pad("sink") {
            sink.add_probe(gst::PadProbeType::BUFFER, move |sink, info| {
                if let Some(gst::PadProbeData::Buffer(picture)) = &info.data
                    && watching.picture_goes_in(picture.pts())
                    && let Some(encoder) = sink.parent_element()
                {
                    request_key_frame(&encoder);
                }
                gst::PadProbeReturn::Ok
            });
        }
        let watching = watch.clone();
        if let Some(source) = encoder.static_pad("src") {
            source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
                    watching
                        .picture_comes_out(!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
                }
                gst::PadProbeReturn::Ok
            });
        }
        watch
    }

    /// Notes that a picture of this time goes in. Returns whether it should become a key
    /// frame.
    fn picture_goes_in(&self, time: Option<gst::ClockTime>) -> bool {
        let now = self.origin.elapsed();
        let mut progress = self.lock();
        if let Some(missing) = progress.output.picture_goes_in(now)
            && progress.failure.is_none()
        {
            progress.failure = Some(missing);
            self.has_failed.store(true, Ordering::Release);
        }
        let elapsed = || gst::ClockTime::try_from(now).unwrap_or_default();
        progress.key_frames.picture(time.unwrap_or_else(elapsed))
    }

    /// Notes that no pictures go in now.
    pub(super) fn pause(&self) {
        self.lock().output.pause();
    }

    /// Notes that it does not work.
    pub(super) fn fail(&self, text: String) {
        self.lock().failure.get_or_insert(text);
        self.has_failed.store(true, Ordering::Release);
    }

    /// Whether it has made a picture.
    pub(super) fn has_made(&self) -> bool {
        self.lock().output.has_come
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Why it does not work.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    fn picture_comes_out(&self, is_key_frame: bool) {
        let mut progress = self.lock();
        progress.output.comes();
        if is_key_frame {
            progress.key_frames.made();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request_key_frame(encoder: &gst::Element) {
    let event = gst_video::UpstreamForceKeyUnitEvent::builder()
        .all_headers(true)
        .build();
    if let Some(source) = encoder.static_pad("src") {
        source.send_event(event);
    }
}

/// Whether pictures come out of an encoder while pictures go in.
#[derive(Default)]
struct Output {
    has_come: bool,
    /// The pictures that went in since the last one came out.
    waiting: u32,
    /// For how long they went in, without the pauses.
    waited: Duration,
    /// When the last one went in.
    latest: Option<Duration>,
}

impl Output {
    /// Takes a picture. `now` is since some start. Returns what is missing, if no picture
    /// has come out for too long.
    fn picture_goes_in(&mut self, now: Duration) -> Option<String> {
        let step = self.latest.map(|latest| now.saturating_sub(latest));
        self.latest = Some(now);
        self.waited += step
            .filter(|step| *step <= LONGEST_STEP)
            .unwrap_or_default();
        self.waiting = self.waiting.saturating_add(1);
        let (limit, another) = match self.has_come {
            false => (FIRST_PICTURE, "no picture"),
            true => (NEXT_PICTURE, "no more pictures"),
        };
        let is_late = self.waiting > MOST_DELAYED && self.waited >= limit;
        is_late.then(|| format!("it made {another} in {} s", limit.as_secs()))
    }

    fn pause(&mut self) {
        (self.waiting, self.waited, self.latest) = (0, Duration::ZERO, None);
    }

    fn comes(&mut self) {
        self.has_come = true;
        (self.waiting, self.waited) = (0, Duration::ZERO);
    }
}

/// When a key frame is due, by the times of the pictures.
#[derive(Default)]
struct KeyFrames {
    /// The picture that the encoder got last.
    latest: Option<gst::ClockTime>,
    /// The last key frame that it made, or was asked for.
    key_frame: Option<gst::ClockTime>,
}

impl KeyFrames {
    /// Takes a picture. Returns whether it should become a key frame: the next one would be
    /// too late.
    fn picture(&mut self, at: gst::ClockTime) -> bool {
        let step = self.latest.and_then(|latest| at.checked_sub(latest));
        self.latest = Some(at);
        let key_frame = *self.key_frame.get_or_insert(at);
        let is_due = match at.checked_sub(key_frame) {
            Some(since) => {
                since.saturating_add(step.unwrap_or_default()) > KEY_FRAME_INTERVAL + ROUNDING
            }
            // Another source, whose times begin anew.
            None => true,
        };
        if is_due {
            self.key_frame = Some(at);
        }
        is_due
    }

    /// Notes that the encoder made a key frame, of one of the last pictures.
    fn made(&mut self) {
        let since = self.latest.zip(self.key_frame);
        let since = since.and_then(|(latest, key_frame)| latest.checked_sub(key_frame));
        if since.is_none_or(|since| since > REQUEST_TIME) {
            self.key_frame = self.latest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When an encoder is found not to work that gets pictures at these times, and makes one
    /// of each whose number is in `made`.
    fn failure(times: impl Iterator<Item = u64>, made: std::ops::Range<usize>) -> Option<u64> {
        let mut output = Output::default();
        times.enumerate().find_map(|(number, time)| {
            let missing = output.picture_goes_in(Duration::from_millis(time));
            if made.contains(&number) {
                output.comes();
            }
            missing.map(|_| time)
        })
    }

    #[test]
    fn an_encoder_that_makes_nothing_or_no_more_does_not_work() {
        assert_eq!(failure((0..10_000).step_by(33), 0..0), Some(3003));
        assert_eq!(failure((0..10_000).step_by(100), 10..1000), None);
        assert_eq!(failure((0..20_000).step_by(100), 0..11), Some(11_000));
    }

    #[test]
    fn a_pause_upstream_is_not_the_encoders() {
        // 9 pictures are in the encoder when the source pauses for 20 seconds.
        let paused = (0..900).step_by(100).chain((20_000..21_000).step_by(100));
        assert_eq!(failure(paused.clone(), 0..0), None);
        assert_eq!(failure(paused.map(|time| time + 1000), 0..1), None);
        // One picture each second says nothing of it.
        assert_eq!(failure((0..60_000).step_by(1000), 0..1), None);
    }

    /// Which of the pictures of 5 seconds become key frames, apart from the first one.
    fn key_frames(frames_a_second: u64, delay: u64) -> Vec<u64> {
        let mut key_frames = KeyFrames::default();
        let mut due = Vec::new();
        for number in 0..5 * frames_a_second {
            let at = gst::ClockTime::SECOND.mul_div_floor(number, frames_a_second);
            if key_frames.picture(at.unwrap()) {
                due.push(number);
            }
            // They come out of the encoder some pictures later.
            let is_made = |&due: &u64| number == due + delay;
            if number == delay || due.iter().any(is_made) {
                key_frames.made();
            }
        }
        due
    }

    #[test]
    fn the_last_picture_in_time_becomes_the_key_frame() {
        for delay in [0, 1, 2] {
            assert_eq!(key_frames(30, delay), [60, 120], "{delay}");
            assert_eq!(key_frames(10, delay), [20, 40], "{delay}");
            assert_eq!(key_frames(7, delay), [14, 28], "{delay}");
        }
    }

    #[test]
    fn times_that_begin_anew_begin_with_a_key_frame() {
        let mut key_frames = KeyFrames::default();
        let second = gst::ClockTime::from_seconds;
        assert!(!key_frames.picture(second(100)));
        assert!(key_frames.picture(second(3)));
        assert!(!key_frames.picture(second(3)));
        assert!(key_frames.picture(second(100)));
    }

    #[test]
    fn a_key_frame_that_nobody_asked_for_counts() {
        let mut key_frames = KeyFrames::default();
        let at = gst::ClockTime::from_mseconds;
        assert!(!key_frames.picture(at(0)));
        assert!(!key_frames.picture(at(1000)));
        key_frames.made();
        assert!(!key_frames.picture(at(2000)));
        assert!(key_frames.picture(at(3000)));
    }
}
