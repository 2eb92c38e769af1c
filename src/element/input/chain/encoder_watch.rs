//! Watches what an encoder makes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::ivs::KEY_FRAME_DISTANCE;

/// An encoder that makes no picture for so long does not work.
const FIRST_PICTURE: Duration = Duration::from_secs(3);

/// Pictures that an encoder may keep before it makes the first one.
const MOST_DELAYED: u32 = 10;

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
    /// Since when it gets pictures without a pause.
    fed_since: Option<Instant>,
    /// The pictures since then.
    fed: u32,
    has_made: bool,
    key_frames: KeyFrames,
    /// Why it does not work.
    failure: Option<String>,
}

impl EncoderWatch {
    /// Watches an encoder.
    pub(super) fn new(encoder: &gst::Element) -> Arc<Self> {
        let watch = Arc::new(Self {
            progress: Mutex::default(),
            has_failed: AtomicBool::new(false),
            origin: Instant::now(),
        });
        let watching = watch.clone();
        if let Some(source) = encoder.static_pad("src") {
            source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
                    watching.made(!buffer.flags().contains(gst::BufferFlags::DELTA_UNIT));
                }
                gst::PadProbeReturn::Ok
            });
        }
        watch
    }

    /// Notes that the encoder gets a picture of this time. Returns whether it should become
    /// a key frame.
    pub(super) fn feed(&self, time: Option<gst::ClockTime>) -> bool {
        let now = Instant::now();
        let mut progress = self.lock();
        let fed_since = *progress.fed_since.get_or_insert(now);
        progress.fed = progress.fed.saturating_add(1);
        let is_late = !progress.has_made
            && progress.fed > MOST_DELAYED
            && now.duration_since(fed_since) >= FIRST_PICTURE;
        if is_late && progress.failure.is_none() {
            let seconds = FIRST_PICTURE.as_secs();
            progress.failure = Some(format!("it made no picture in {seconds} s"));
            self.has_failed.store(true, Ordering::Release);
        }
        let elapsed = || gst::ClockTime::try_from(self.origin.elapsed()).unwrap_or_default();
        progress.key_frames.picture(time.unwrap_or_else(elapsed))
    }

    /// Notes that the encoder gets no pictures now.
    pub(super) fn rest(&self) {
        let mut progress = self.lock();
        (progress.fed_since, progress.fed) = (None, 0);
    }

    /// Notes that it does not work.
    pub(super) fn fail(&self, text: String) {
        self.lock().failure.get_or_insert(text);
        self.has_failed.store(true, Ordering::Release);
    }

    /// Whether it has made a picture.
    pub(super) fn has_made(&self) -> bool {
        self.lock().has_made
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Acquire)
    }

    /// Why it does not work.
    pub(super) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    fn made(&self, is_key_frame: bool) {
        let mut progress = self.lock();
        progress.has_made = true;
        if is_key_frame {
            progress.key_frames.made();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
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
