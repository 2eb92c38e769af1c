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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use rtp_types::RtpPacket;

    use super::super::audio_clock::AudioClock;
    use super::super::kind::MediaKind;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// A buffer's samples, and its timestamp in nanoseconds.
    type Buffer = (u64, Option<u64>);

    /// Of each RTP packet that is made of mono buffers the running time of its media, and the
    /// RTP timestamp, in samples since the first.
    fn packets(rate: u32, buffers: impl Iterator<Item = Buffer>) -> Vec<(u64, u32)> {
        gst::init().unwrap();
        let caps = format!("audio/x-raw,format=S16LE,layout=interleaved,rate={rate},channels=1");
        let caps: gst::Caps = caps.parse().unwrap();
        let kind = MediaKind::of(&caps).unwrap();
        let clock = AudioClock::default();
        clock.set_format(&kind);
        let (bin, chain) = RawAudioChain::new("chain").unwrap();
        if let MediaKind::RawAudio(audio) = kind {
            chain.set_format(audio, &ChainSettings::of(None));
        }
        let pipeline = gst::Pipeline::new();
        let end = gst::ElementFactory::make("fakesink")
            .property("async", false)
            .build()
            .unwrap();
        pipeline.add_many([bin.upcast_ref(), &end]).unwrap();
        bin.link(&end).unwrap();
        let (sender, packets) = channel();
        let sink = end.static_pad("sink").unwrap();
        sink.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let buffer = info.buffer().unwrap();
            let bytes = buffer.map_readable().unwrap();
            let timestamp = RtpPacket::parse(&bytes).unwrap().timestamp();
            let _ = sender.send((buffer.pts().unwrap().nseconds(), timestamp));
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let source = gst::Pad::builder(gst::PadDirection::Src).build();
        source.set_active(true).unwrap();
        source.link(&bin.static_pad("sink").unwrap()).unwrap();
        source.push_event(gst::event::StreamStart::new("audio"));
        source.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        source.push_event(gst::event::Segment::new(&segment));
        for (samples, time) in buffers {
            let mut buffer = gst::Buffer::from_mut_slice(vec![0; samples as usize * 2]);
            let writable = buffer.get_mut().unwrap();
            writable.set_pts(time.map(gst::ClockTime::from_nseconds));
            if clock.mend(&mut buffer, || None) {
                source.push(buffer).unwrap();
            }
        }
        pipeline.set_state(gst::State::Null).unwrap();
        let packets: Vec<_> = packets.try_iter().collect();
        let first = packets[0].1;
        let since = |(time, timestamp): (u64, u32)| (time, timestamp.wrapping_sub(first));
        packets.into_iter().map(since).collect()
    }

    /// The times between packets, in samples. opusenc takes its look-ahead off the first.
    fn steps(packets: &[(u64, u32)]) -> Vec<i32> {
        let step = |pair: &[(u64, u32)]| pair[1].1.wrapping_sub(pair[0].1).cast_signed();
        packets.windows(2).skip(1).map(step).collect()
    }

    /// Buffers of a source whose timestamps jitter by 3 ms. They run at a rate in ppm, and
    /// `gap` nanoseconds are missing before the 100th.
    fn jittered(rate: u32, samples: u64, seconds: u64, ppm: i64, gap: u64) -> Vec<Buffer> {
        let mut random = crate::random::Random::new(9);
        let count = seconds * u64::from(rate) / samples;
        let buffer = |number: u64| {
            let passed = number * samples * SECOND / u64::from(rate);
            let passed = passed * (1_000_000 + ppm).unsigned_abs() / 1_000_000;
            let gap = if number < 100 { 0 } else { gap };
            let jitter = random.below(6_000_000) as u64;
            (samples, Some(SECOND + passed + gap + jitter))
        };
        (0..count).map(buffer).collect()
    }

    /// Rates, and the samples of a buffer.
    const SOURCES: [(u32, u64); 4] = [(48_000, 480), (48_000, 1024), (44_100, 441), (16_000, 333)];

    #[test]
    fn jitter_of_timestamps_does_not_reach_the_packets() {
        for (rate, samples) in SOURCES {
            let packets = packets(rate, jittered(rate, samples, 20, 0, 0).into_iter());
            let steps = steps(&packets);
            let others: Vec<_> = steps.iter().filter(|step| **step != 960).collect();
            assert!(steps.len() > 950 && others.is_empty(), "{rate}: {others:?}");
        }
    }

    #[test]
    fn a_gap_of_100_ms_stays() {
        for (rate, samples) in SOURCES {
            let gap = 100_000_000;
            let packets = packets(rate, jittered(rate, samples, 10, 0, gap).into_iter());
            let steps = steps(&packets);
            let others: Vec<_> = steps.iter().filter(|step| **step != 960).collect();
            let all: i32 = others.iter().map(|step| **step - 960).sum();
            assert!((4500..=5100).contains(&all), "{rate}: {others:?}");
            assert!(others.len() <= 2, "{rate}: {others:?}");
        }
    }

    #[test]
    fn drift_moves_no_sound_by_more_than_40_ms() {
        for (rate, samples) in SOURCES {
            for ppm in [1000, -1000] {
                let buffers = jittered(rate, samples, 180, ppm, 0);
                let packets = packets(rate, buffers.into_iter());
                let steps = steps(&packets);
                assert!(steps.iter().all(|step| *step >= 960), "{rate} {ppm}");
                let others = steps.iter().filter(|step| **step != 960).count();
                assert!(others <= 8, "{rate} {ppm}: {others}");
                // The RTP timestamp is that of the media.
                let (begin, _) = packets[0];
                for (time, timestamp) in &packets {
                    let passed = u64::from(*timestamp) * SECOND / 48_000;
                    assert!((time - begin).abs_diff(passed) < 100_000);
                }
                let (last, _) = packets[packets.len() - 1];
                let captured = SECOND + 180 * SECOND / 1_000_000 * (1_000_000 + ppm).unsigned_abs();
                let off = (last + SECOND / 50).abs_diff(captured);
                assert!(off < 65_000_000, "{rate} {ppm}: {off} ns");
            }
        }
    }
}
