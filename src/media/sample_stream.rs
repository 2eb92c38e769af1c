//! A synthetic video stream for tests.

use std::time::Duration;

use super::sps::samples;
use super::stream_meter::VideoMeter;

/// The beginnings of NAL units with P, B and key frame slices.
pub(crate) const P: &[u8] = &[0x41, 0x9a];
pub(crate) const B: &[u8] = &[0x01, 0x9e];
pub(crate) const KEY: &[u8] = &[0x65, 0x88];

/// Makes packets and measures them. Sequence numbers and timestamps are about to wrap.
pub(crate) struct SampleStream {
    pub(crate) meter: VideoMeter,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) now: Duration,
}

impl SampleStream {
    pub(crate) fn new() -> Self {
        Self {
            meter: VideoMeter::default(),
            sequence: u16::MAX - 20,
            timestamp: u32::MAX - 40_000,
            ssrc: 7,
            now: Duration::from_secs(100),
        }
    }

    pub(crate) fn rtp(&self, unit: &[u8], size: usize) -> Vec<u8> {
        let mut rtp = vec![0x80, 96];
        rtp.extend(self.sequence.to_be_bytes());
        rtp.extend(self.timestamp.to_be_bytes());
        rtp.extend(self.ssrc.to_be_bytes());
        rtp.extend(unit);
        rtp.resize(12 + size.max(unit.len()), 0xff);
        rtp
    }

    pub(crate) fn send(&mut self, unit: &[u8], size: usize) -> Vec<u8> {
        let rtp = self.rtp(unit, size);
        self.meter.packet(&rtp, self.now);
        self.sequence = self.sequence.wrapping_add(1);
        rtp
    }

    /// Sends a frame of one packet, and moves time on by one frame.
    pub(crate) fn frame(&mut self, unit: &[u8], size: usize, rate: u32) {
        self.send(unit, size);
        self.timestamp = self.timestamp.wrapping_add(90_000 / rate);
        self.now += Duration::from_secs(1) / rate;
    }

    /// Sends `seconds` of frames, with a key frame every `every` frames.
    pub(crate) fn run(&mut self, seconds: u32, rate: u32, every: u32, size: usize) -> &mut Self {
        for number in 0..seconds * rate {
            let unit = if number % every == 0 { KEY } else { P };
            self.frame(unit, size, rate);
        }
        self
    }
}

/// A stream that has sent a parameter set.
pub(crate) fn parameter_set(hex: &str) -> SampleStream {
    let mut stream = SampleStream::new();
    stream.send(&samples::bytes(hex), 0);
    stream
}
