//! Counts the media of one section: RTP packets come in, a report of packets,
//! losses, media time and H.264 frames goes out. It decodes nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::frames::{FrameReport, Frames, Piece};
use crate::h264;
use crate::offer::{Direction, Kind, OfferSection};
use crate::video::{Video, VideoReport};

/// What arrived in one section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SectionReport {
    /// The section's `mid`.
    pub mid: String,
    /// Audio, video or other.
    pub kind: Kind,
    /// Its direction in the offer.
    pub direction: Direction,
    /// Number of RTP packets.
    pub packets: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
    /// Packets missing between the first and the last one, also after
    /// retransmission.
    pub lost: u64,
    /// Those of `packets` that only came as a retransmission. At first
    /// `lost + repaired` were missing.
    #[serde(default)]
    pub repaired: u64,
    /// Bytes of the UDP payloads with retransmissions, needed or not.
    #[serde(default)]
    pub retransmitted_bytes: u64,
    /// Media time in seconds from the first to the last RTP timestamp of each
    /// SSRC, added up and rounded to milliseconds.
    pub seconds: f64,
    /// Number of H.264 key frames.
    pub key_frames: u64,
    /// Width and height in pixels, by the last H.264 parameter set.
    pub size: Option<(u32, u32)>,
    /// The frames that could be decoded; `None` without video packets.
    #[serde(default)]
    pub frames: Option<FrameReport>,
    /// What its H.264 is like; `None` without video packets.
    #[serde(default)]
    pub video: Option<Arc<VideoReport>>,
    /// When the first packet arrived, in milliseconds since the stage started.
    pub first_ms: Option<u64>,
    /// When the last packet arrived, in milliseconds since the stage started.
    pub last_ms: Option<u64>,
}

impl SectionReport {
    pub(crate) fn new(section: &OfferSection) -> Self {
        Self {
            mid: section.mid.clone(),
            kind: section.kind,
            direction: section.direction,
            packets: 0,
            bytes: 0,
            lost: 0,
            repaired: 0,
            retransmitted_bytes: 0,
            seconds: 0.0,
            key_frames: 0,
            size: None,
            frames: None,
            video: None,
            first_ms: None,
            last_ms: None,
        }
    }
}

/// What the counter needs of an RTP packet.
#[derive(Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) ssrc: u32,
    /// Extended, so it never wraps.
    pub(crate) sequence: u64,
    /// Extended RTP timestamp.
    pub(crate) timestamp: u64,
    /// The same in seconds.
    pub(crate) seconds: f64,
    pub(crate) marker: bool,
    /// Whether it came as a retransmission.
    pub(crate) repaired: bool,
    pub(crate) payload: &'a [u8],
    pub(crate) at_ms: u64,
}

/// Number of SSRCs of a section that are counted at a time. A publisher has one
/// or two, and another one after each restart of its encoder.
const SOURCE_LIMIT: usize = 16;

/// The counts of one section so far.
#[derive(Debug)]
pub(crate) struct Counter {
    report: SectionReport,
    /// The last SSRCs, oldest first.
    sources: VecDeque<Source>,
    /// The sums of the SSRCs before them.
    past: Totals,
    key_frame_at: Option<(u32, u64)>,
    frames: Option<Frames>,
    video: Video,
}

/// The counts of one SSRC. Each SSRC has sequence numbers and timestamps of its
/// own.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    packets: u64,
    /// Lowest and highest.
    sequence: (u64, u64),
    /// Lowest and highest.
    seconds: (f64, f64),
}

/// Losses and media time.
#[derive(Clone, Copy, Debug, Default)]
struct Totals {
    lost: u64,
    seconds: f64,
}

impl Counter {
    pub(crate) fn new(section: &OfferSection) -> Self {
        Self {
            report: SectionReport::new(section),
            sources: VecDeque::new(),
            past: Totals::default(),
            key_frame_at: None,
            frames: None,
            video: Video::default(),
        }
    }

    /// The report, as of the last packet.
    pub(crate) fn report(&self) -> &SectionReport {
        &self.report
    }

    /// The report, with the time since the last packet.
    pub(crate) fn report_at(&self, at_ms: u64) -> SectionReport {
        SectionReport {
            frames: self.frames.as_ref().map(|frames| frames.report(at_ms)),
            ..self.report.clone()
        }
    }

    /// See [`FrameReport::recent_gap_ms`].
    pub(crate) fn begin_interval(&mut self) {
        if let Some(frames) = &mut self.frames {
            frames.begin_interval();
        }
    }

    pub(crate) fn add_retransmission(&mut self, bytes: usize) {
        self.report.retransmitted_bytes += bytes as u64;
    }

    pub(crate) fn add(&mut self, packet: &Packet<'_>) {
        self.source(packet).add(packet);
        let mut totals = self.past;
        self.sources.iter().for_each(|source| totals.add(source));

        let report = &mut self.report;
        report.packets += 1;
        report.bytes += packet.payload.len() as u64;
        report.lost = totals.lost;
        report.repaired += u64::from(packet.repaired);
        // Rounds away the error of the floating-point sum.
        report.seconds = (totals.seconds * 1000.0).round() / 1000.0;
        report.first_ms.get_or_insert(packet.at_ms);
        report.last_ms = Some(packet.at_ms);
        if self.report.kind == Kind::Video {
            self.inspect(packet);
        }
    }

    /// The packet's source; a new one may take the place of the oldest.
    fn source(&mut self, packet: &Packet<'_>) -> &mut Source {
        let known = self.sources.iter().position(|one| one.ssrc == packet.ssrc);
        let place = known.unwrap_or_else(|| {
            if self.sources.len() >= SOURCE_LIMIT
                && let Some(oldest) = self.sources.pop_front()
            {
                self.past.add(&oldest);
            }
            self.sources.push_back(Source::new(packet));
            self.sources.len() - 1
        });
        &mut self.sources[place]
    }

    /// A key frame's packets have one timestamp, so it counts once.
    fn inspect(&mut self, packet: &Packet<'_>) {
        let found = h264::inspect(packet.payload);
        self.report.size = found.size.or(self.report.size);
        let picture = Some((packet.ssrc, packet.timestamp));
        if found.key_frame && self.key_frame_at != picture {
            self.key_frame_at = picture;
            self.report.key_frames += 1;
        }
        let piece = Piece {
            ssrc: packet.ssrc,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            payload: found,
        };
        let frames = self
            .frames
            .get_or_insert_with(|| Frames::new(&piece, packet.at_ms));
        let ssrc = frames.ssrc();
        frames.add(&piece, packet.at_ms);
        if frames.ssrc() != ssrc {
            self.video.restart();
        }
        let profile_level = found.profile_level;
        let Packet {
            sequence,
            payload,
            at_ms,
            ..
        } = *packet;
        self.video.packet(sequence, payload, profile_level, at_ms);
        for picture in frames.take_pictures() {
            self.video.picture(&picture, packet.at_ms);
        }
        self.report.frames = Some(frames.report(packet.at_ms));
        self.report.video = Some(Arc::clone(self.video.report()));
    }
}

impl Totals {
    fn add(&mut self, source: &Source) {
        self.lost += source.lost();
        self.seconds += source.span();
    }
}

impl Source {
    fn new(packet: &Packet<'_>) -> Self {
        Self {
            ssrc: packet.ssrc,
            packets: 0,
            sequence: (packet.sequence, packet.sequence),
            seconds: (packet.seconds, packet.seconds),
        }
    }

    fn add(&mut self, packet: &Packet<'_>) {
        self.packets += 1;
        self.sequence.0 = self.sequence.0.min(packet.sequence);
        self.sequence.1 = self.sequence.1.max(packet.sequence);
        self.seconds.0 = self.seconds.0.min(packet.seconds);
        self.seconds.1 = self.seconds.1.max(packet.seconds);
    }

    fn lost(&self) -> u64 {
        let expected = self.sequence.1 - self.sequence.0 + 1;
        expected.saturating_sub(self.packets)
    }

    fn span(&self) -> f64 {
        self.seconds.1 - self.seconds.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::read_sections;

    fn counter(kind: &str) -> Counter {
        let sdp = format!("v=0\r\nm={kind} 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n");
        Counter::new(&read_sections(&sdp).unwrap()[0])
    }

    fn packet(sequence: u64, seconds: f64, payload: &[u8]) -> Packet<'_> {
        Packet {
            ssrc: 7,
            sequence,
            timestamp: (seconds * 90_000.0) as u64,
            seconds,
            marker: false,
            repaired: false,
            payload,
            at_ms: sequence,
        }
    }

    #[test]
    fn gaps_and_seconds_hold_whatever_the_order() {
        let mut counter = counter("audio");
        for sequence in [10, 12, 11, 15] {
            let seconds = sequence as f64 * 0.02;
            counter.add(&packet(sequence, seconds, b"abc"));
        }
        let report = counter.report();
        assert_eq!((report.packets, report.bytes, report.lost), (4, 12, 2));
        assert!((report.seconds - 0.1).abs() < 1e-9);
        assert_eq!((report.first_ms, report.last_ms), (Some(10), Some(15)));
    }

    #[test]
    fn a_second_source_makes_no_gap() {
        let mut counter = counter("audio");
        counter.add(&packet(10, 1.0, b""));
        counter.add(&Packet {
            ssrc: 8,
            ..packet(50_000, 900.0, b"")
        });
        assert_eq!(counter.report().lost, 0);
        assert!(counter.report().seconds.abs() < 1e-9);
    }

    #[test]
    fn many_sources_are_counted_and_few_are_kept() {
        let mut counter = counter("audio");
        for ssrc in 0..1000 {
            for sequence in [10, 12] {
                let seconds = sequence as f64 * 0.02;
                counter.add(&Packet {
                    ssrc,
                    ..packet(sequence, seconds, b"abc")
                });
            }
        }
        let report = counter.report();
        assert_eq!((report.packets, report.lost), (2000, 1000));
        assert!((report.seconds - 40.0).abs() < 1e-6, "{}", report.seconds);
        assert!(counter.sources.len() <= 16, "{}", counter.sources.len());
    }

    #[test]
    fn a_key_frame_in_several_packets_counts_once() {
        let mut counter = counter("video");
        counter.add(&packet(1, 1.0, &[0x67, 66, 0, 31]));
        counter.add(&packet(2, 1.0, &[0x65, 1]));
        counter.add(&packet(3, 1.0, &[0x65, 2]));
        counter.add(&packet(4, 1.1, &[0x41, 2]));
        counter.add(&packet(5, 1.2, &[0x65, 2]));
        assert_eq!(counter.report().key_frames, 2);
    }

    #[test]
    fn what_was_sent_again_is_told_from_what_is_lost() {
        let mut counter = counter("video");
        for (sequence, repaired) in [(1, false), (5, false), (3, true), (2, true)] {
            counter.add(&Packet {
                repaired,
                ..packet(sequence, 1.0, &[0x41, 0x9a])
            });
        }
        counter.add_retransmission(1000);
        let report = counter.report();
        assert_eq!((report.packets, report.lost, report.repaired), (4, 1, 2));
        assert_eq!(report.retransmitted_bytes, 1000);
    }

    #[test]
    fn only_video_has_frames() {
        let mut video = counter("video");
        assert_eq!(video.report().frames, None);
        video.add(&packet(1, 1.0, &[0x41, 0x9a]));
        assert_eq!(video.report().frames.unwrap().longest_gap_ms, 0);
        assert_eq!(video.report_at(51).frames.unwrap().longest_gap_ms, 50);
        let mut audio = counter("audio");
        audio.add(&packet(1, 1.0, &[0xf8]));
        assert_eq!(audio.report_at(51).frames, None);
    }

    #[test]
    fn audio_is_not_searched_for_key_frames() {
        let mut counter = counter("audio");
        counter.add(&packet(1, 1.0, &[0x65, 2]));
        assert_eq!(counter.report().key_frames, 0);
    }
}
