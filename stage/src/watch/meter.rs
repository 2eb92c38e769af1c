//! Measures a session each second: its counts so far come in, a sample of the
//! last second goes out.

use std::time::Instant;

use serde::Serialize;

use crate::counter::SectionReport;
use crate::offer::Kind;
use crate::reception::Reception;
use crate::remb::Arrived;

/// What a session was in one second.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// Milliseconds since the stage started.
    pub(crate) at_ms: u64,
    /// Bits per second of all RTP datagrams, with retransmissions.
    pub(crate) bit_rate: u64,
    /// Decodable frames a second; `None` without video.
    pub(crate) frame_rate: Option<f64>,
    /// Packets that did not arrive at first, in percent.
    pub(crate) loss: f64,
    /// Packets that did not arrive at all so far, in percent.
    pub(crate) unrepaired: f64,
    /// Round-trip time in milliseconds.
    pub(crate) round_trip_ms: Option<f64>,
    /// Distance of the last two key frames, or what has passed since the last
    /// one if that is longer.
    pub(crate) key_frame_ms: Option<u64>,
    pub(crate) size: Option<(u32, u32)>,
    /// Number of B-frames.
    pub(crate) b_frames: u64,
    /// Whether the H.264 has a profile other than baseline and constrained baseline.
    pub(crate) is_above_baseline: bool,
    /// Bits per second of audio payload.
    pub(crate) audio_bit_rate: u64,
}

/// The counts at the last sample.
#[derive(Debug)]
pub(crate) struct Meter {
    at: Instant,
    arrived: Arrived,
    audio_bytes: u64,
    frames: u64,
    b_frames: u64,
    key_frames: u64,
    /// When the last key frame was seen, at most a second late.
    key_frame_at: Option<Instant>,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            at: now,
            arrived: Arrived::default(),
            audio_bytes: 0,
            frames: 0,
            b_frames: 0,
            key_frames: 0,
            key_frame_at: None,
        }
    }

    pub(crate) fn sample(
        &mut self,
        now: Instant,
        at_ms: u64,
        reception: &Reception,
        round_trip_ms: Option<f64>,
    ) -> Sample {
        let seconds = now
            .saturating_duration_since(self.at)
            .as_secs_f64()
            .max(0.001);
        let before = std::mem::replace(&mut self.arrived, reception.arrived());
        self.at = now;
        let bytes = self.arrived.bytes.saturating_sub(before.bytes);
        let audio = reception.sections().filter(|one| one.kind == Kind::Audio);
        let audio = audio.map(|section| section.bytes).sum();
        let audio_bytes = audio - std::mem::replace(&mut self.audio_bytes, audio).min(audio);
        let bit_rate = |bytes: u64| (bytes as f64 * 8.0 / seconds) as u64;
        let mut video = reception.sections().filter(|one| one.kind == Kind::Video);
        let video = video.find(|section| section.packets > 0);
        Sample {
            at_ms,
            bit_rate: bit_rate(bytes),
            frame_rate: video.map(|video| self.frame_rate(video, seconds)),
            loss: percent(before, self.arrived, |arrived| {
                arrived.lost + arrived.repaired
            }),
            unrepaired: percent(before, self.arrived, |arrived| arrived.lost),
            round_trip_ms,
            key_frame_ms: video.and_then(|video| self.key_frame_distance(video, now)),
            size: video.and_then(|video| video.size),
            b_frames: video.map_or(0, |video| {
                let b_frames = video.video.as_ref().map_or(0, |video| video.b_frames);
                b_frames.saturating_sub(std::mem::replace(&mut self.b_frames, b_frames))
            }),
            is_above_baseline: video.is_some_and(is_above_baseline),
            audio_bit_rate: bit_rate(audio_bytes),
        }
    }

    fn frame_rate(&mut self, video: &SectionReport, seconds: f64) -> f64 {
        let frames = video.frames.map_or(0, |frames| frames.decodable);
        let before = std::mem::replace(&mut self.frames, frames);
        let rate = frames.saturating_sub(before) as f64 / seconds;
        (rate * 10.0).round() / 10.0
    }

    fn key_frame_distance(&mut self, video: &SectionReport, now: Instant) -> Option<u64> {
        if video.key_frames != self.key_frames {
            self.key_frames = video.key_frames;
            self.key_frame_at = Some(now);
        }
        let open = now
            .saturating_duration_since(self.key_frame_at?)
            .as_millis();
        let open = u64::try_from(open).unwrap_or(u64::MAX);
        let report = video.video.as_ref();
        let closed = report.and_then(|report| report.key_frame_distance_ms);
        let distance = closed.map_or(0, |distance| distance.last).max(open);
        Some(distance).filter(|distance| *distance > 0)
    }
}

fn is_above_baseline(video: &SectionReport) -> bool {
    let profile = video
        .video
        .as_ref()
        .and_then(|video| video.profile.as_deref());
    profile.is_some_and(|profile| !profile.ends_with("baseline"))
}

/// The part of the packets between two counts.
fn percent(before: Arrived, now: Arrived, part: fn(Arrived) -> u64) -> f64 {
    let sent = |arrived: Arrived| arrived.lost + arrived.packets;
    let all = sent(now).saturating_sub(sent(before)).max(1);
    let part = part(now).saturating_sub(part(before));
    (part as f64 * 1000.0 / all as f64).round() / 10.0
}
