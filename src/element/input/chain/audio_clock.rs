//! Gives audio timestamps that go on with its samples, ahead of whatever reads them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::kind::MediaKind;
use crate::media::{AudioTimes, AudioUnit, OPUS_CLOCK_RATE, opus_samples};

/// The timestamps of the audio that comes in at a pad. RTP has its own, and pictures are timed
/// behind clocksync.
#[derive(Default)]
pub(super) struct AudioClock(Mutex<Option<Audio>>);

struct Audio {
    times: AudioTimes,
    form: Form,
}

/// How to count and cut samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Opus,
    Raw {
        rate: u32,
        frame_bytes: usize,
        is_planar: bool,
    },
}

impl Form {
    fn of(kind: &MediaKind) -> Option<Self> {
        match kind {
            MediaKind::Opus => Some(Self::Opus),
            MediaKind::RawAudio(audio) => Some(Self::Raw {
                rate: audio.rate,
                frame_bytes: audio.frame_bytes.max(1),
                is_planar: audio.is_planar,
            }),
            MediaKind::Rtp | MediaKind::H264 | MediaKind::RawVideo(_) => None,
        }
    }

    fn times(self) -> AudioTimes {
        match self {
            Self::Raw {
                rate,
                is_planar: false,
                ..
            } => AudioTimes::new(rate, AudioUnit::Sample),
            // Its channels would have to be cut one by one.
            Self::Raw { rate, .. } => AudioTimes::new(rate, AudioUnit::Packet),
            Self::Opus => AudioTimes::new(OPUS_CLOCK_RATE, AudioUnit::Packet),
        }
    }

    fn samples(self, buffer: &gst::BufferRef) -> Option<u64> {
        match self {
            Self::Opus => opus_samples(&buffer.map_readable().ok()?),
            Self::Raw { frame_bytes, .. } => u64::try_from(buffer.size() / frame_bytes).ok(),
        }
    }
}

impl AudioClock {
    /// Takes the format of what comes in.
    pub(super) fn set_format(&self, kind: &MediaKind) {
        let form = Form::of(kind);
        let mut audio = self.lock();
        if audio.as_ref().map(|audio| audio.form) != form {
            *audio = form.map(|form| Audio {
                times: form.times(),
                form,
            });
        }
    }

    /// Whether audio comes in.
    pub(super) fn is_audio(&self) -> bool {
        self.lock().is_some()
    }

    /// Notes that the timestamps begin anew.
    pub(super) fn restart(&self) {
        let mut audio = self.lock();
        if let Some(Audio { times, form }) = &mut *audio {
            *times = form.times();
        }
    }

    /// Mends the timestamp of a buffer that comes in, and cuts off what overlaps. `now` is the
    /// timestamp that means now. Returns whether anything is left.
    pub(super) fn mend(
        &self,
        buffer: &mut gst::Buffer,
        now: impl FnOnce() -> Option<gst::ClockTime>,
    ) -> bool {
        let form = self.lock().as_ref().map(|audio| audio.form);
        let Some(form) = form else {
            return true;
        };
        let Some(samples) = form.samples(buffer).filter(|samples| *samples > 0) else {
            return true;
        };
        // Before the lock, since it asks the clock.
        let now = now().map(gst::ClockTime::nseconds);
        let time = buffer.pts().or(buffer.dts()).map(gst::ClockTime::nseconds);
        let place = {
            let mut audio = self.lock();
            audio
                .as_mut()
                .map(|audio| audio.times.take(time, samples, now))
        };
        let Some(place) = place.filter(|place| place.cut < samples) else {
            return place.is_none();
        };
        if let Form::Raw { frame_bytes, .. } = form {
            cut(buffer, place.cut, frame_bytes);
        }
        let time = place.time.map(gst::ClockTime::from_nseconds);
        if (buffer.pts(), buffer.dts()) != (time, None) {
            let buffer = buffer.make_mut();
            buffer.set_pts(time);
            // clocksync goes by it.
            buffer.set_dts(None);
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Option<Audio>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Cuts samples off the beginning.
fn cut(buffer: &mut gst::Buffer, samples: u64, frame_bytes: usize) {
    let bytes = usize::try_from(samples).map(|samples| samples.saturating_mul(frame_bytes));
    let Some(bytes) = bytes.ok().filter(|bytes| *bytes > 0) else {
        return;
    };
    if let Ok(rest) = buffer.copy_region(gst::BufferCopyFlags::all(), bytes..) {
        *buffer = rest;
    }
}
