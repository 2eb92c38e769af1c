//! Describes the H.264 of a section: its pictures and packets come in, a report of
//! profile, slices, key frames, rates and messages goes out.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::h264::{self, ProfileLevel, SeiFragments};
use crate::sei::{SeiMessage, add_messages};

/// The time over which rates are measured, in milliseconds.
const RATE_SPAN_MS: u64 = 2000;

/// Ticks of an RTP timestamp in a millisecond (RFC 6184 8.2.1).
const TICKS: u64 = 90;

/// What the H.264 of a section is like. Frames are those of
/// [`FrameReport::decodable`](crate::FrameReport::decodable).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct VideoReport {
    /// The profile by the last parameter set, such as `constrained baseline`.
    pub profile: Option<String>,
    /// The level by the last parameter set, such as `3.1`.
    pub level: Option<String>,
    /// Slices in a frame.
    pub slices: Option<Spread>,
    /// Number of frames with a slice of type B.
    pub b_frames: u64,
    /// Time from a key frame to the next one in milliseconds, by their timestamps.
    pub key_frame_distance_ms: Option<Spread>,
    /// Frames a second over the last 2 seconds, by their timestamps.
    pub frame_rate: Option<f64>,
    /// Bits of RTP payload a second over the last 2 seconds.
    pub bit_rate: Option<u64>,
    /// User data in SEI (H.264 D.1.7): the last 16 that differ, the newest last. Those
    /// whose packets come out of order may be missing.
    pub messages: Vec<SeiMessage>,
}

/// The values of something that was measured several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spread {
    /// The lowest.
    pub min: u64,
    /// The highest.
    pub max: u64,
    /// The last.
    pub last: u64,
}

impl Spread {
    fn add(spread: &mut Option<Self>, value: u64) {
        let before = spread.unwrap_or(Self {
            min: value,
            max: value,
            last: value,
        });
        *spread = Some(Self {
            min: before.min.min(value),
            max: before.max.max(value),
            last: value,
        });
    }
}

/// A frame whose packets have all arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Extended RTP timestamp.
    pub(crate) timestamp: u64,
    pub(crate) key: bool,
    pub(crate) slices: u64,
    /// Whether there is a slice of type B.
    pub(crate) b_slice: bool,
}

/// The video of one section so far.
#[derive(Debug, Default)]
pub(crate) struct Video {
    /// Shared, since each packet copies the section's report.
    report: Arc<VideoReport>,
    profile_level: Option<ProfileLevel>,
    fragments: SeiFragments,
    /// The timestamp of the last key frame.
    key_frame: Option<u64>,
    /// The timestamps of the last frames.
    frames: VecDeque<u64>,
    /// When the last packets arrived, and their bytes.
    packets: VecDeque<(u64, u64)>,
}

impl Video {
    pub(crate) fn report(&self) -> &Arc<VideoReport> {
        &self.report
    }

    /// Takes a packet's payload, and the profile and level in it.
    pub(crate) fn packet(
        &mut self,
        sequence: u64,
        payload: &[u8],
        found: ProfileLevel,
        at_ms: u64,
    ) {
        self.count(payload.len(), at_ms);
        if found != ProfileLevel::default() && self.profile_level != Some(found) {
            self.profile_level = Some(found);
            let report = Arc::make_mut(&mut self.report);
            report.profile = found.profile();
            report.level = found.level();
        }
        let whole = self.fragments.add(sequence, payload);
        for unit in h264::sei_units(payload).chain(whole.as_deref()) {
            add_messages(&mut Arc::make_mut(&mut self.report).messages, unit, at_ms);
        }
    }

    /// Another stream begins, with timestamps of its own.
    pub(crate) fn restart(&mut self) {
        self.key_frame = None;
        self.frames.clear();
    }

    /// Takes a frame.
    pub(crate) fn picture(&mut self, picture: &Picture, at_ms: u64) {
        let frame_rate = self.frame_rate(picture.timestamp);
        let bit_rate = self.bit_rate(at_ms);
        let distance = self.key_frame.filter(|_| picture.key);
        let report = Arc::make_mut(&mut self.report);
        Spread::add(&mut report.slices, picture.slices);
        report.b_frames += u64::from(picture.b_slice);
        if let Some(before) = distance {
            let ticks = picture.timestamp.saturating_sub(before);
            Spread::add(&mut report.key_frame_distance_ms, ticks / TICKS);
        }
        report.frame_rate = frame_rate.or(report.frame_rate);
        report.bit_rate = bit_rate.or(report.bit_rate);
        if picture.key {
            self.key_frame = Some(picture.timestamp);
        }
    }

    fn frame_rate(&mut self, timestamp: u64) -> Option<f64> {
        let span = RATE_SPAN_MS * TICKS;
        self.frames.push_back(timestamp);
        // B-frames have earlier timestamps than those before them.
        let newest = *self.frames.iter().max()?;
        let is_old = |at: &u64| newest - at > span;
        while self.frames.front().is_some_and(is_old) {
            self.frames.pop_front();
        }
        let ticks = newest - *self.frames.iter().min()?;
        let frames = self.frames.len() - 1;
        let rate = frames as f64 * 1000.0 * TICKS as f64 / ticks as f64;
        // In hundredths.
        (ticks > span / 2).then(|| (rate * 100.0).round() / 100.0)
    }

    fn count(&mut self, bytes: usize, at_ms: u64) {
        match self.packets.back_mut() {
            Some((at, sum)) if *at == at_ms => *sum += bytes as u64,
            _ => self.packets.push_back((at_ms, bytes as u64)),
        }
        let is_old = |(at, _): &(u64, u64)| at_ms.saturating_sub(*at) > RATE_SPAN_MS;
        while self.packets.front().is_some_and(is_old) {
            self.packets.pop_front();
        }
    }

    fn bit_rate(&self, at_ms: u64) -> Option<u64> {
        let span = at_ms.saturating_sub(self.packets.front()?.0);
        let bytes: u64 = self.packets.iter().map(|(_, bytes)| bytes).sum();
        (span > RATE_SPAN_MS / 2).then(|| bytes * 8000 / span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(frame: u64) -> Picture {
        Picture {
            timestamp: frame * 3000,
            key: frame.is_multiple_of(30),
            slices: 1,
            b_slice: false,
        }
    }

    /// Frames of 1000 bytes, 30 a second.
    fn video(frames: u64) -> Video {
        let mut video = Video::default();
        for frame in 0..frames {
            video.packet(
                frame,
                &[0x41; 1000],
                ProfileLevel::default(),
                frame * 1000 / 30,
            );
            video.picture(&picture(frame), frame * 1000 / 30);
        }
        video
    }

    #[test]
    fn rates_and_distances_are_those_of_the_stream() {
        let video = video(300);
        let report = video.report();
        assert_eq!(report.frame_rate, Some(30.0));
        let bit_rate = report.bit_rate.unwrap();
        assert!((236_000..=248_000).contains(&bit_rate), "{bit_rate}");
        let second = Spread {
            min: 1000,
            max: 1000,
            last: 1000,
        };
        assert_eq!(report.key_frame_distance_ms, Some(second));
        assert_eq!(report.slices.unwrap().max, 1);
        assert!(video.frames.len() <= 61 && video.packets.len() <= 62);
    }

    #[test]
    fn nothing_is_measured_over_too_short_a_time() {
        let report = video(10).report().clone();
        assert_eq!((report.frame_rate, report.bit_rate), (None, None));
        assert_eq!(report.key_frame_distance_ms, None);
    }

    #[test]
    fn slices_and_b_frames_are_counted() {
        let mut video = video(30);
        video.picture(
            &Picture {
                slices: 4,
                b_slice: true,
                ..picture(31)
            },
            1000,
        );
        let report = video.report();
        let slices = report.slices.unwrap();
        assert_eq!((slices.min, slices.max, slices.last), (1, 4, 4));
        assert_eq!(report.b_frames, 1);
    }

    #[test]
    fn another_stream_has_timestamps_of_its_own() {
        let mut video = video(60);
        video.restart();
        for frame in 1000..1060 {
            video.picture(&picture(frame), 3000 + frame);
        }
        let report = video.report();
        assert_eq!(report.key_frame_distance_ms.unwrap().max, 1000);
        assert_eq!(report.frame_rate, Some(30.0));
    }
}
