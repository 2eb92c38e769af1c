//! Watches what an encoder makes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;

/// An encoder that makes no picture for so long does not work.
const FIRST_PICTURE: Duration = Duration::from_secs(3);

/// Time between two key frames.
const KEY_FRAME_INTERVAL: Duration = Duration::from_secs(2);

/// What is known of an encoder's work.
#[derive(Default)]
pub(super) struct EncoderWatch {
    progress: Mutex<Progress>,
    has_failed: AtomicBool,
}

#[derive(Default)]
struct Progress {
    /// Since when it gets pictures without a pause.
    fed_since: Option<Instant>,
    has_made: bool,
    /// When it last made a key frame, or was asked for one.
    key_frame: Option<Instant>,
    /// Why it does not work.
    failure: Option<String>,
}

impl EncoderWatch {
    /// Watches an encoder.
    pub(super) fn new(encoder: &gst::Element) -> Arc<Self> {
        let watch = Arc::new(Self::default());
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

    /// Notes that the encoder gets a picture. Returns whether it should become a key frame.
    pub(super) fn feed(&self) -> bool {
        let now = Instant::now();
        let mut progress = self.lock();
        let fed_since = *progress.fed_since.get_or_insert(now);
        let is_late = !progress.has_made && now.duration_since(fed_since) >= FIRST_PICTURE;
        if is_late && progress.failure.is_none() {
            let seconds = FIRST_PICTURE.as_secs();
            progress.failure = Some(format!("it made no picture in {seconds} s"));
            self.has_failed.store(true, Ordering::Release);
        }
        let key_frame = *progress.key_frame.get_or_insert(now);
        let is_due = now.duration_since(key_frame) >= KEY_FRAME_INTERVAL;
        if is_due {
            progress.key_frame = Some(now);
        }
        is_due
    }

    /// Notes that the encoder gets no pictures now.
    pub(super) fn rest(&self) {
        self.lock().fed_since = None;
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
            progress.key_frame = Some(Instant::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
