//! All that a session sends, and what the far end says about it.

use std::time::Duration;

use rtp_types::RtpPacket;

use super::estimator::{ReceiverReport, SentPacket};
use super::remb::receiver_estimate;
use super::retransmission_budget::{RetransmissionBudget, RetransmissionCount};
use super::send_history::{PacketKind, PacketResult, SendHistory};
use super::sent_rate::{HEADERS, SentRate};
use super::transport_feedback::TransportFeedback;

/// The authentication tag of SRTP, in bytes (RFC 3711 5.2).
const SRTP_TAG: usize = 10;

/// What a packet has on the wire besides RTP, in bytes: IPv4, UDP and the tag of SRTP.
pub const WIRE_OVERHEAD: usize = HEADERS + SRTP_TAG;

/// The most observations that wait for a look: some seconds of the highest rate.
const MAX_OBSERVATIONS: usize = 8192;

/// The streams of a session, by their SSRCs. A packet of any other SSRC is sent again
/// (RFC 4588).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streams {
    /// The audio stream.
    pub audio: Option<u32>,
    /// The video stream.
    pub video: Option<u32>,
}

/// Numbers what leaves, bounds what is sent again, and notes what an estimator needs. For
/// one session.
///
/// Times are since some start, of a clock that does not run backwards.
pub struct Uplink {
    streams: Streams,
    numbers_audio: bool,
    history: SendHistory<()>,
    budget: RetransmissionBudget,
    audio: SentRate,
    retransmitted: SentRate,
    /// `None` as long as nobody estimates.
    observations: Option<Vec<Observation>>,
}

/// Something that an estimator has to know.
#[derive(Clone, Debug)]
pub(super) enum Observation {
    Sent(SentPacket),
    Feedback(Vec<PacketResult<()>>, Duration),
    Report(ReceiverReport, Duration),
    ReceiverEstimate(u64, Duration),
}

/// What has happened since the last look, see [`Uplink::observe`].
#[derive(Clone, Debug, Default)]
pub struct Observations {
    pub(super) all: Vec<Observation>,
    /// What audio sends, in bit/s.
    pub(super) audio: u64,
    /// What is sent again, in bit/s.
    pub(super) retransmitted: u64,
    /// When these were taken.
    pub(super) now: Duration,
}

/// What to do with a packet that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// What it carries.
    pub kind: PacketKind,
    /// Its transport-wide number; `None` if its stream has none.
    pub number: Option<u16>,
    /// Its size on the wire, in bytes.
    pub size: usize,
}

impl Uplink {
    /// The uplink of a session with these streams. Nothing is sent again that makes it more
    /// than `most` in all, in bit/s.
    pub fn new(streams: Streams, most: u64) -> Self {
        let mut budget = RetransmissionBudget::default();
        budget.set_most(most);
        Self {
            streams,
            numbers_audio: true,
            history: SendHistory::default(),
            budget,
            audio: SentRate::default(),
            retransmitted: SentRate::default(),
            observations: None,
        }
    }

    /// Sets whether audio packets are numbered, so that feedback tells of them too.
    pub fn set_numbers_audio(&mut self, numbers_audio: bool) {
        self.numbers_audio = numbers_audio;
    }

    /// Notes an RTP packet that leaves. `None` if it is none.
    pub fn leaves(&mut self, rtp: &[u8], now: Duration) -> Option<Leaving> {
        let packet = RtpPacket::parse(rtp).ok()?;
        let kind = match Some(packet.ssrc()) {
            ssrc if ssrc == self.streams.audio => PacketKind::Audio,
            ssrc if ssrc == self.streams.video => PacketKind::Video,
            _ => PacketKind::Retransmission,
        };
        let size = rtp.len() + SRTP_TAG;
        match kind {
            PacketKind::Audio => {
                self.audio.add(size, now);
                self.budget.sent_beside(size + HEADERS, now);
            }
            PacketKind::Video => {
                let sequence = packet.sequence_number();
                self.budget.sent(sequence, size + HEADERS, now);
            }
            PacketKind::Retransmission => self.retransmitted.add(size, now),
        }
        // A number that is not on the wire would be reported as a loss.
        let is_numbered = kind != PacketKind::Audio || self.numbers_audio;
        let number = is_numbered.then(|| {
            let sequence = self.history.send(size, kind, None, now);
            self.note(Observation::Sent(SentPacket {
                sequence,
                size,
                sent_at: now,
                frame: (kind == PacketKind::Video).then(|| packet.timestamp()),
            }));
            // Exact: its low 16 bits (see `SendHistory`).
            sequence as u16
        });
        Some(Leaving {
            kind,
            number,
            size: size + HEADERS,
        })
    }

    /// Reads feedback in a compound RTCP packet.
    pub fn rtcp(&mut self, rtcp: &[u8], now: Duration) {
        for feedback in TransportFeedback::read(rtcp) {
            let results = self.history.feedback(&feedback);
            self.note(Observation::Feedback(results, now));
        }
        if let Some(bit_rate) = receiver_estimate(rtcp) {
            self.note(Observation::ReceiverEstimate(bit_rate, now));
        }
    }

    /// Takes a report block about a stream with this SSRC.
    pub fn report(&mut self, ssrc: u32, report: ReceiverReport, now: Duration) {
        if let Some(round_trip) = report.round_trip {
            self.budget.set_round_trip(round_trip);
        }
        if Some(ssrc) == self.streams.video {
            self.note(Observation::Report(report, now));
        }
    }

    /// Whether a packet of the video stream that the far end asks for is sent again.
    pub fn allows_retransmission(&mut self, sequence: u16, now: Duration) -> bool {
        self.budget.allows(sequence, now)
    }

    /// Tells what an estimator needs to know since the last call. `target` is what the
    /// network carries as far as is known by then, in bit/s.
    pub fn observe(&mut self, target: Option<u64>, now: Duration) -> Observations {
        self.budget.set_rate(target);
        Observations {
            all: self.observations.replace(Vec::new()).unwrap_or_default(),
            audio: self.audio.bit_rate(now),
            retransmitted: self.retransmitted.bit_rate(now),
            now,
        }
    }

    /// What the far end asked for and was sent again, so far, with all headers.
    pub fn retransmitted(&self) -> RetransmissionCount {
        self.budget.used()
    }

    /// What the far end asked for and was not sent again, so far.
    pub fn refused(&self) -> RetransmissionCount {
        self.budget.refused()
    }

    fn note(&mut self, observation: Observation) {
        // Nobody has looked for long if there are so many.
        if let Some(observations) = self
            .observations
            .as_mut()
            .filter(|observations| observations.len() < MAX_OBSERVATIONS)
        {
            observations.push(observation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::bandwidth::test_feedback::{feedback, received};

    const STREAMS: Streams = Streams {
        audio: Some(1),
        video: Some(2),
    };

    fn packet(ssrc: u8, sequence: u8, size: usize) -> Vec<u8> {
        let mut packet = vec![0x80, 96, 0, sequence, 0, 0, 0, 1, 0, 0, 0, ssrc];
        packet.resize(size, 0);
        packet
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn packets_are_numbered_and_told_apart_by_ssrc() {
        let mut uplink = Uplink::new(STREAMS, 8_500_000);
        let mut leaves = |ssrc| uplink.leaves(&packet(ssrc, 7, 1000), ms(1)).unwrap();
        let all = [leaves(1), leaves(2), leaves(9)];
        assert_eq!(all.map(|leaving| leaving.number), [0, 1, 2].map(Some));
        let kinds = [
            PacketKind::Audio,
            PacketKind::Video,
            PacketKind::Retransmission,
        ];
        assert_eq!(all.map(|leaving| leaving.kind), kinds);
        assert_eq!(all.map(|leaving| leaving.size), [1000 + WIRE_OVERHEAD; 3]);
        assert_eq!(all[0].size, 1038);
        assert_eq!(uplink.leaves(&[0x80], ms(1)), None);
    }

    #[test]
    fn audio_without_numbers_leaves_no_gap_in_those_of_the_video() {
        let mut uplink = Uplink::new(STREAMS, 8_500_000);
        uplink.set_numbers_audio(false);
        uplink.observe(None, ms(0));
        let numbers = [2, 1, 2, 1, 9].map(|ssrc| {
            let leaving = uplink.leaves(&packet(ssrc, 7, 1000), ms(1)).unwrap();
            leaving.number
        });
        assert_eq!(numbers, [Some(0), None, Some(1), None, Some(2)]);
        let seen = uplink.observe(None, ms(2));
        assert_eq!(seen.all.len(), 3, "{seen:?}");
        assert!(seen.audio > 0);
    }

    #[test]
    fn only_video_packets_are_of_a_frame() {
        let mut uplink = Uplink::new(STREAMS, 8_500_000);
        uplink.observe(None, ms(0));
        for ssrc in [1, 2, 9] {
            uplink.leaves(&packet(ssrc, 7, 1000), ms(1));
        }
        let seen = uplink.observe(None, ms(2)).all.into_iter();
        let frames: Vec<_> = seen
            .map(|it| match it {
                Observation::Sent(packet) => packet.frame,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(frames, [None, Some(1), None]);
    }

    #[test]
    fn feedback_and_a_receivers_estimate_are_noted() {
        let mut uplink = Uplink::new(STREAMS, 8_500_000);
        uplink.observe(None, ms(0));
        uplink.leaves(&packet(2, 7, 1000), ms(1));
        uplink.observe(None, ms(2));
        uplink.rtcp(&feedback(0, 1, &[received(4)]), ms(60));
        let remb = [0x8f, 206, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0];
        uplink.rtcp(&[&remb, &b"REMB\x00\x00\x00\x05"[..]].concat(), ms(70));
        let seen = uplink.observe(None, ms(80)).all;
        let [Observation::Feedback(results, at), remb] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!((results.len(), results[0].sequence, *at), (1, 0, ms(60)));
        assert!(matches!(remb, Observation::ReceiverEstimate(5, at) if *at == ms(70)));
    }

    #[test]
    fn audio_with_its_headers_leaves_less_room_for_retransmissions() {
        for (size, is_allowed) in [(136, true), (137, false)] {
            // 10 kbit may leave at once.
            let mut uplink = Uplink::new(STREAMS, 40_000);
            uplink.leaves(&packet(2, 7, 500), ms(0));
            uplink.leaves(&packet(1, 1, size), ms(0));
            assert_eq!(uplink.allows_retransmission(7, ms(0)), is_allowed, "{size}");
        }
    }

    #[test]
    fn retransmissions_are_bounded_though_nobody_estimates() {
        let mut uplink = Uplink::new(STREAMS, 8_500_000);
        for sequence in 0..20 {
            uplink.leaves(&packet(2, sequence, 1000), ms(10)).unwrap();
        }
        let asked = (0..20).filter(|sequence| uplink.allows_retransmission(*sequence, ms(60)));
        let allowed = asked.count() as u64;
        assert!(allowed < 20);
        assert_eq!(uplink.refused().packets, 20 - allowed);
        let again = RetransmissionCount {
            packets: allowed,
            bytes: allowed * 1038,
        };
        assert_eq!(uplink.retransmitted(), again);
    }

    #[test]
    fn what_an_estimator_needs_is_noted_once_somebody_looks() {
        let mut uplink = Uplink::new(STREAMS, 8_500_000);
        uplink.leaves(&packet(1, 0, 160), ms(0));
        assert!(uplink.observe(None, ms(10)).all.is_empty());
        uplink.leaves(&packet(1, 1, 160), ms(20));
        uplink.leaves(&packet(9, 1, 1000), ms(25));
        let report = ReceiverReport {
            fraction_lost: 0.5,
            round_trip: Some(ms(50)),
        };
        uplink.report(1, report, ms(30));
        uplink.report(2, report, ms(30));
        let seen = uplink.observe(Some(1_000_000), ms(40));
        assert_eq!(seen.all.len(), 3, "{seen:?}");
        assert_eq!((seen.audio, seen.retransmitted), (3168, 8304));
        assert!(uplink.observe(None, ms(50)).all.is_empty());
        for _ in 0..2 * MAX_OBSERVATIONS {
            uplink.leaves(&packet(1, 0, 160), ms(60));
        }
        assert_eq!(uplink.observe(None, ms(70)).all.len(), MAX_OBSERVATIONS);
    }
}
