//! What the element's properties say of encoding.

use glib::prelude::*;

use crate::element::settings::{DEFAULT_MAX_BITRATE, DEFAULT_MAX_FRAMERATE};

/// The bit rate of Opus for one channel and for two, in bit/s.
const OPUS_BIT_RATES: [u32; 2] = [64_000, 96_000];

/// Opus has no lower one (RFC 6716 2.1.1), in bit/s.
const MIN_OPUS_BIT_RATE: u32 = 6_000;

/// The properties that a chain is built by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ChainSettings {
    /// `video-encoder`: the factory; `None` to choose.
    pub(super) video_encoder: Option<String>,
    /// `max-framerate`, in frames a second.
    pub(super) max_frame_rate: u32,
    /// `max-bitrate`, in bit/s.
    pub(super) max_bit_rate: u32,
    /// `audio-bitrate`, in bit/s; 0 by the number of channels.
    pub(super) audio_bit_rate: u32,
}

impl ChainSettings {
    /// Reads them. Of an element without these properties they are the defaults.
    pub(super) fn of(element: Option<&gst::Element>) -> Self {
        let number = |name: &str, default| {
            let element = element.filter(|element| element.has_property(name));
            element.map_or(default, |element| element.property::<u32>(name))
        };
        let named = element.filter(|element| element.has_property("video-encoder"));
        let named = named.and_then(|element| element.property::<Option<String>>("video-encoder"));
        Self {
            video_encoder: named.filter(|name| !name.is_empty()),
            max_frame_rate: number("max-framerate", DEFAULT_MAX_FRAMERATE),
            max_bit_rate: number("max-bitrate", DEFAULT_MAX_BITRATE),
            audio_bit_rate: number("audio-bitrate", 0),
        }
    }

    /// The bit rate of video for which this one is suggested, in bit/s. A `max-bitrate`
    /// that the user has chosen stands for itself; a property does not tell whether its
    /// default was.
    pub(super) fn video_bit_rate(&self, suggested: u64) -> u64 {
        match self.max_bit_rate {
            DEFAULT_MAX_BITRATE => suggested.min(DEFAULT_MAX_BITRATE.into()),
            // More would exceed what a stage accepts, with audio and headers.
            chosen => chosen.min(DEFAULT_MAX_BITRATE).into(),
        }
    }

    /// The bit rate of Opus with one or two channels, in bit/s.
    pub(super) fn opus_bit_rate(&self, channels: u32) -> u32 {
        match self.audio_bit_rate {
            0 => OPUS_BIT_RATES[usize::from(channels > 1)],
            bit_rate => bit_rate.max(MIN_OPUS_BIT_RATE),
        }
    }
}
