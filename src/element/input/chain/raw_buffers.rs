//! Leaves out raw buffers that the elements behind would choke on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::pad_stream::PadStream;
use super::kind::MediaKind;

/// Checks the sizes of raw buffers: encoders read past the end of one that is too small.
pub(super) struct SizeCheck {
    pad: String,
    /// 0 checks nothing.
    bytes: AtomicUsize,
    is_audio: AtomicBool,
    has_told: AtomicBool,
}

impl SizeCheck {
    /// `pad` is the name of the element's pad.
    pub(super) fn new(pad: &str) -> Arc<Self> {
        Arc::new(Self {
            pad: pad.to_owned(),
            bytes: AtomicUsize::new(0),
            is_audio: AtomicBool::new(false),
            has_told: AtomicBool::new(false),
        })
    }

    /// Takes the sizes of another format.
    pub(super) fn set_format(&self, kind: &MediaKind) {
        let (bytes, is_audio) = match kind {
            MediaKind::RawAudio(audio) => (audio.frame_bytes, true),
            MediaKind::RawVideo(video) => (video.picture_bytes, false),
            MediaKind::Rtp | MediaKind::Opus | MediaKind::H264 => (0, false),
        };
        self.is_audio.store(is_audio, Ordering::Release);
        self.bytes.store(bytes, Ordering::Release);
        self.has_told.store(false, Ordering::Release);
    }

    /// Whether a buffer is what its caps say. The user is told of the first that is not.
    pub(super) fn passes(&self, buffer: &gst::BufferRef, stream: &PadStream) -> bool {
        let (size, wanted) = (buffer.size(), self.bytes.load(Ordering::Acquire));
        let is_audio = self.is_audio.load(Ordering::Acquire);
        let fits = match is_audio {
            _ if wanted == 0 => true,
            true => size > 0 && size.is_multiple_of(wanted),
            // The metadata say where in the buffer the picture is.
            false => size >= wanted || buffer.meta::<gst_video::VideoMeta>().is_some(),
        };
        if !fits && !self.has_told.swap(true, Ordering::AcqRel) {
            stream.warn(self.text(size, wanted, is_audio));
        }
        fits
    }

    fn text(&self, size: usize, wanted: usize, is_audio: bool) -> String {
        let expected = match is_audio {
            true => format!("a multiple of {wanted}"),
            false => format!("{wanted}"),
        };
        format!(
            "A buffer at {} has {size} bytes where its caps mean {expected}. It is left out, as \
             all such ones; make the caps upstream say what the buffers hold.",
            self.pad
        )
    }
}
