//! The chain for raw audio: 48 kHz, one or two channels, Opus.

use gst::prelude::*;

use super::super::stream_format::CapsError;
use super::BASE;
use super::elements::Row;
use super::encoded::pay_opus;
use super::kind::RawAudio;
use super::settings::ChainSettings;

/// The elements whose settings follow the caps.
pub(super) struct RawAudioChain {
    convert: gst::Element,
    filter: gst::Element,
    encoder: gst::Element,
}

impl RawAudioChain {
    pub(super) fn new(name: &str) -> Result<(gst::Bin, Self), CapsError> {
        let mut row = Row::new(name);
        let convert = row.add("audioconvert", BASE)?;
        row.add("audioresample", BASE)?;
        let filter = row.add_filter(&gst::Caps::new_any())?;
        let encoder = row.add("opusenc", BASE)?;
        encoder.set_property("inband-fec", true);
        pay_opus(&mut row)?;
        let chain = Self {
            convert,
            filter,
            encoder,
        };
        Ok((row.finish()?, chain))
    }

    /// Sets the chain up for this format.
    pub(super) fn set_format(&self, audio: RawAudio, settings: &ChainSettings) {
        let channels = audio.output_channels();
        let caps = gst::Caps::builder("audio/x-raw")
            .field("rate", 48_000)
            .field("channels", i32::try_from(channels).unwrap_or(2))
            .build();
        self.mix(audio);
        self.filter.set_property("caps", caps);
        let bit_rate = i32::try_from(settings.opus_bit_rate(channels)).unwrap_or(i32::MAX);
        self.encoder.set_property("bitrate", bit_rate);
    }

    /// Sets what share of its packets the far end misses, in percent. opusenc makes its
    /// redundancy by it.
    pub(super) fn set_loss(&self, percent: u8) {
        let percent = i32::from(percent.min(100));
        if self.encoder.property::<i32>("packet-loss-percentage") != percent {
            self.encoder.set_property("packet-loss-percentage", percent);
        }
    }

    /// audioconvert mixes channels by their places. Without places the odd ones go to the
    /// left and the even ones to the right, so that all are heard.
    fn mix(&self, audio: RawAudio) {
        let row = |side: u32| {
            let of_side = (0..audio.channels)
                .filter(|channel| channel % 2 == side)
                .count();
            let share = 1.0 / of_side.max(1) as f32;
            let shares = (0..audio.channels).map(move |channel| match channel % 2 == side {
                true => share.to_send_value(),
                false => 0f32.to_send_value(),
            });
            gst::Array::from_values(shares).to_send_value()
        };
        // An empty matrix is none for GStreamer 1.22 only, later ones leave out channels.
        if !audio.has_positions {
            let matrix = gst::Array::from_values([row(0), row(1)]);
            self.convert.set_property("mix-matrix", matrix);
        }
    }
}
