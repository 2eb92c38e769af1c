//! Gives audio timestamps that go on with its samples, ahead of whatever reads them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::kind::MediaKind;
use crate::media::{AudioArrival, AudioTimes, AudioUnit, OPUS_CLOCK_RATE, opus_samples};

/// The timestamps of the audio that comes in at a pad. RTP has its own, and pictures are timed
/// behind clocksync.
#[derive(Default)]
pub(super) struct AudioClock(Mutex<Option<Audio>>);

struct Audio {
    times: AudioTimes,
    form: Form,
    /// How many samples that lie before their segment were left out since it began.
    left_out: u64,
}

/// How far before its segment audio begins at most, for a decoder to begin with. A page of Ogg
/// has up to a second.
const PRE_ROLL: gst::ClockTime = gst::ClockTime::from_seconds(10);

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
            Self::Raw { rate, .. } => AudioTimes::new(rate, AudioUnit::Buffer),
            Self::Opus => AudioTimes::new(OPUS_CLOCK_RATE, AudioUnit::Packet),
        }
    }

    /// In samples a second.
    fn rate(self) -> u64 {
        match self {
            Self::Opus => OPUS_CLOCK_RATE.into(),
            Self::Raw { rate, .. } => rate.into(),
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
                left_out: 0,
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
        if let Some(audio) = &mut *audio {
            audio.times = audio.form.times();
            audio.left_out = 0;
        }
    }

    /// Whether to leave out a buffer that lies before its segment. Of what lies far before it,
    /// and of more than [`PRE_ROLL`], the timestamps are wrong.
    pub(super) fn leaves_out(&self, buffer: &gst::BufferRef, ahead: gst::ClockTime) -> bool {
        let form = self.lock().as_ref().map(|audio| audio.form);
        let samples = form.and_then(|form| form.samples(buffer));
        let (Some(samples), true) = (samples, ahead <= PRE_ROLL) else {
            return false;
        };
        let mut audio = self.lock();
        audio.as_mut().is_some_and(|audio| {
            let left_out = audio.left_out.saturating_add(samples);
            let is_pre_roll = left_out <= audio.form.rate().saturating_mul(PRE_ROLL.seconds());
            if is_pre_roll {
                audio.left_out = left_out;
            }
            is_pre_roll
        })
    }

    /// Mends the timestamp of a buffer that comes in, and cuts off what overlaps. Returns
    /// whether anything is left.
    pub(super) fn mend(
        &self,
        buffer: &mut gst::Buffer,
        now: impl FnOnce() -> Option<AudioArrival>,
    ) -> bool {
        let form = self.lock().as_ref().map(|audio| audio.form);
        let Some(form) = form else {
            return true;
        };
        let Some(samples) = form.samples(buffer).filter(|samples| *samples > 0) else {
            return true;
        };
        // Before the lock, since it asks the clock.
        let now = now();
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
    // Not the meta of audio, which counts the samples of the whole buffer.
    let parts = gst::BufferCopyFlags::all() - gst::BufferCopyFlags::META;
    if let Ok(rest) = buffer.copy_region(parts, bytes..) {
        *buffer = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(caps: &str) -> AudioClock {
        gst::init().unwrap();
        let caps: gst::Caps = caps.parse().unwrap();
        let clock = AudioClock::default();
        clock.set_format(&MediaKind::of(&caps).unwrap());
        clock
    }

    #[test]
    fn what_a_file_has_before_the_place_that_was_sought_is_left_out() {
        let clock = clock("audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved");
        let second = gst::Buffer::with_size(96_000).unwrap();
        let leaves_out = |ahead| clock.leaves_out(&second, gst::ClockTime::from_seconds(ahead));
        assert!(!leaves_out(11), "of another clock");
        assert!((0..10).all(|ahead| leaves_out(10 - ahead)));
        assert!(!leaves_out(1), "for too long");
        clock.restart();
        assert!(leaves_out(1));
    }

    #[test]
    fn samples_are_cut_without_what_counts_them() {
        let mut buffer = gst::Buffer::from_slice([1, 1, 2, 2, 3, 3]);
        cut(&mut buffer, 1, 2);
        assert_eq!(*buffer.map_readable().unwrap(), [2, 2, 3, 3]);
        cut(&mut buffer, 0, 2);
        assert_eq!(buffer.size(), 4);
    }
}
