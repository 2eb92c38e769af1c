//! What became of the packets that were sent.

use std::collections::VecDeque;
use std::time::Duration;

use super::transport_feedback::TransportFeedback;

/// The most packets remembered: eight seconds of 8.5 Mbit/s, the limit of IVS. Far below
/// 2^15, so that no number stands for two of them.
const MAX_PACKETS: usize = 8192;

/// Packets older than this are forgotten. No feedback about them comes any more, or it
/// says nothing about the network as it is.
const MAX_AGE: Duration = Duration::from_secs(10);

/// The unit of the reference time in ms, and the number of its values.
const REFERENCE_MS: u64 = 64;
const REFERENCES: u64 = 1 << 24;

/// Numbers the outgoing packets, and says what became of each when feedback comes.
///
/// It remembers 8192 packets at most, each for ten seconds at most. `P` is a probe's tag,
/// which comes back with the result.
///
/// Times are since some start, of a clock that does not run backwards.
///
/// ```
/// use std::time::Duration;
/// use gstivs::media::bandwidth::{PacketKind, SendHistory, TransportFeedback};
///
/// let mut history = SendHistory::<()>::default();
/// for ms in [0, 5] {
///     history.send(1200, PacketKind::Video, None, Duration::from_millis(ms));
/// }
/// // Number 0 is missing, number 1 came 1 ms after the reference time.
/// let rtcp = [
///     0x8f, 205, 0, 5, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 1, 0, 0xc4, 0, 4, 0,
/// ];
/// for feedback in TransportFeedback::read(&rtcp) {
///     let results = history.feedback(&feedback);
///     assert!(results[0].received_at.is_none() && results[1].received_at.is_some());
/// }
/// ```
#[derive(Clone, Debug)]
pub struct SendHistory<P> {
    /// The packets from number `first` on.
    packets: VecDeque<Sent<P>>,
    first: u64,
    /// The number after the newest packet that feedback was about. Those from it on are
    /// under way.
    next_to_report: u64,
    in_flight: usize,
    remote: RemoteTimeline,
}

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketKind {
    /// Audio.
    Audio,
    /// Video that is sent for the first time.
    Video,
    /// Video that is sent again.
    Retransmission,
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketResult<P> {
    /// The number it was sent with, from 0 on; its low 16 bits were in the packet.
    pub sequence: u64,
    /// Its size in bytes, as it was given.
    pub size: usize,
    /// What it carried.
    pub kind: PacketKind,
    /// The tag of the probe that it was part of.
    pub probe: Option<P>,
    /// When it was sent.
    pub sent_at: Duration,
    /// When it arrived, on a timeline of the far end that begins somewhere and does not
    /// wrap; in steps of 250 µs. `None` if it did not arrive, or later than this feedback.
    pub received_at: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Sent<P> {
    size: usize,
    kind: PacketKind,
    probe: Option<P>,
    at: Duration,
    reported: Reported,
}

/// What was told about a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    Lost,
    Received,
}

impl<P> Default for SendHistory<P> {
    fn default() -> Self {
        Self {
            packets: VecDeque::new(),
            first: 0,
            next_to_report: 0,
            in_flight: 0,
            remote: RemoteTimeline::default(),
        }
    }
}

impl<P: Clone> SendHistory<P> {
    /// Notes a packet of `size` bytes that is sent at `now`. Returns its number, from 0
    /// on; the low 16 bits go into the packet.
    pub fn send(&mut self, size: usize, kind: PacketKind, probe: Option<P>, now: Duration) -> u64 {
        self.forget(now);
        let sequence = self.next();
        self.in_flight = self.in_flight.saturating_add(size);
        self.packets.push_back(Sent {
            size,
            kind,
            probe,
            at: now,
            reported: Reported::Nothing,
        });
        sequence
    }

    /// What the feedback says, by ascending number. Each packet is in at most two
    /// results: lost, and received. Both, in this order, if packets overtake each other.
    /// Unknown numbers are ignored.
    pub fn feedback(&mut self, feedback: &TransportFeedback<'_>) -> Vec<PacketResult<P>> {
        let reference = self.remote.unwrap(feedback.reference_time());
        let mut results = Vec::new();
        for arrival in feedback.arrivals() {
            let Some(sequence) = self.unwrap(arrival.number) else {
                continue;
            };
            self.land(sequence);
            let received_at = arrival
                .received_at
                .map(|after| remote_time(reference, after));
            results.extend(self.report(sequence, received_at));
        }
        results
    }

    /// The size in bytes of the packets that no feedback has reached yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The number of the next packet.
    fn next(&self) -> u64 {
        self.first + self.packets.len() as u64
    }

    /// The newest packet with this number, if it is remembered.
    fn unwrap(&self, number: u16) -> Option<u64> {
        let next = self.next();
        // Truncated: the low 16 bits.
        let age = u64::from((next as u16).wrapping_sub(number));
        let sequence = next.checked_sub(age)?;
        (self.first..next).contains(&sequence).then_some(sequence)
    }

    /// The packets up to this number are no longer under way.
    fn land(&mut self, sequence: u64) {
        while self.next_to_report <= sequence {
            let landed = self
                .get_mut(self.next_to_report)
                .map_or(0, |sent| sent.size);
            self.in_flight = self.in_flight.saturating_sub(landed);
            self.next_to_report += 1;
        }
    }

    fn report(&mut self, sequence: u64, received_at: Option<Duration>) -> Option<PacketResult<P>> {
        let sent = self.get_mut(sequence)?;
        let news = match received_at {
            Some(_) => Reported::Received,
            None => Reported::Lost,
        };
        if sent.reported == Reported::Received || sent.reported == news {
            return None;
        }
        sent.reported = news;
        Some(PacketResult {
            sequence,
            size: sent.size,
            kind: sent.kind,
            probe: sent.probe.clone(),
            sent_at: sent.at,
            received_at,
        })
    }

    /// Makes room for a packet.
    fn forget(&mut self, now: Duration) {
        while let Some(oldest) = self.packets.front() {
            let old = now.saturating_sub(oldest.at) > MAX_AGE;
            let done = oldest.reported == Reported::Received;
            if !old && !done && self.packets.len() < MAX_PACKETS {
                return;
            }
            self.land(self.first);
            self.packets.pop_front();
            self.first += 1;
        }
    }

    fn get_mut(&mut self, sequence: u64) -> Option<&mut Sent<P>> {
        let index = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.packets.get_mut(index)
    }
}

/// Continues the far end's reference time, which wraps.
#[derive(Clone, Copy, Debug, Default)]
struct RemoteTimeline {
    latest: Option<u64>,
}

impl RemoteTimeline {
    /// The reference time on a timeline that goes on: nearest to the latest one, since
    /// feedback may overtake feedback. The first one is a whole wrap from zero.
    fn unwrap(&mut self, reference: u32) -> u64 {
        let reference = u64::from(reference) % REFERENCES;
        let latest = self.latest.unwrap_or(REFERENCES + reference);
        let forwards = reference.wrapping_sub(latest) % REFERENCES;
        let unwrapped = if forwards < REFERENCES / 2 {
            latest.saturating_add(forwards)
        } else {
            latest.saturating_sub(REFERENCES - forwards)
        };
        self.latest = Some(unwrapped);
        unwrapped
    }
}

fn remote_time(reference: u64, quarters: i64) -> Duration {
    let reference = Duration::from_millis(reference.saturating_mul(REFERENCE_MS));
    let after = Duration::from_micros(quarters.unsigned_abs().saturating_mul(250));
    if quarters < 0 {
        reference.saturating_sub(after)
    } else {
        reference.saturating_add(after)
    }
}

#[cfg(test)]
mod tests {
    use rtcp_types::TwccPacketStatus;

    use super::*;
    use crate::media::bandwidth::test_feedback::{feedback, garbage, random, received};

    const LOST: TwccPacketStatus = TwccPacketStatus::NotReceived;

    type History = SendHistory<u8>;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn send(history: &mut History, count: u64) {
        for _ in 0..count {
            let at = ms(history.next());
            history.send(1000, PacketKind::Video, None, at);
        }
    }

    fn read(history: &mut History, rtcp: &[u8]) -> Vec<PacketResult<u8>> {
        TransportFeedback::read(rtcp)
            .flat_map(|feedback| history.feedback(&feedback))
            .collect()
    }

    fn sequences(results: &[PacketResult<u8>]) -> Vec<u64> {
        results.iter().map(|result| result.sequence).collect()
    }

    #[test]
    fn each_packet_gets_its_result() {
        let mut history = History::default();
        assert_eq!(history.send(200, PacketKind::Audio, None, ms(10)), 0);
        assert_eq!(history.send(1000, PacketKind::Video, Some(3), ms(12)), 1);
        let results = read(&mut history, &feedback(0, 100, &[received(8), LOST]));
        let audio = PacketResult {
            sequence: 0,
            size: 200,
            kind: PacketKind::Audio,
            probe: None,
            sent_at: ms(10),
            received_at: Some(ms((REFERENCES + 100) * 64 + 2)),
        };
        let video = PacketResult {
            sequence: 1,
            size: 1000,
            kind: PacketKind::Video,
            probe: Some(3),
            sent_at: ms(12),
            received_at: None,
        };
        assert_eq!(results, [audio, video]);
    }

    #[test]
    fn duplicates_are_told_once() {
        let mut history = History::default();
        send(&mut history, 3);
        let rtcp = feedback(0, 0, &[received(0), LOST, received(4)]);
        assert_eq!(sequences(&read(&mut history, &rtcp)), [0, 1, 2]);
        assert_eq!(read(&mut history, &rtcp), []);
    }

    #[test]
    fn a_late_packet_is_received_after_all() {
        let mut history = History::default();
        send(&mut history, 2);
        read(&mut history, &feedback(0, 0, &[LOST, received(0)]));
        let results = read(&mut history, &feedback(0, 0, &[received(9)]));
        assert_eq!(sequences(&results), [0]);
        assert!(results[0].received_at.is_some());
        assert_eq!(read(&mut history, &feedback(0, 0, &[LOST])), []);
    }

    #[test]
    fn numbers_wrap() {
        let mut history = History::default();
        for _ in 0..70 {
            send(&mut history, 1000);
            let base = (history.next() - 1000) as u16;
            let results = read(&mut history, &feedback(base, 0, &[received(1); 1000]));
            let next = history.next();
            assert!(sequences(&results).into_iter().eq(next - 1000..next));
        }
        assert_eq!(history.next(), 70_000);
    }

    #[test]
    fn unknown_numbers_are_ignored() {
        let mut history = History::default();
        let rtcp = feedback(65_000, 0, &[received(0); 2000]);
        assert_eq!(read(&mut history, &rtcp), []);
        send(&mut history, 10);
        // Before the first, and after the last.
        let results = read(&mut history, &rtcp);
        assert!(sequences(&results).into_iter().eq(0..10));
        assert_eq!(history.in_flight(), 0);
        send(&mut history, 10);
        assert_eq!(read(&mut history, &feedback(5000, 0, &[LOST; 60_000])), []);
        assert_eq!(history.in_flight(), 10_000);
    }

    #[test]
    fn memory_is_bounded_without_feedback() {
        let mut history = History::default();
        send(&mut history, 100_000);
        assert_eq!(history.packets.len(), MAX_PACKETS);
        assert_eq!(history.in_flight(), MAX_PACKETS * 1000);
        history.send(500, PacketKind::Audio, None, ms(111_000));
        assert_eq!((history.packets.len(), history.in_flight()), (1, 500));
    }

    #[test]
    fn packets_are_forgotten_after_ten_seconds() {
        for (at, count) in [(10_000, 2), (10_001, 1)] {
            let mut history = History::default();
            send(&mut history, 1);
            history.send(1000, PacketKind::Video, None, ms(at));
            assert_eq!(history.packets.len(), count, "{at}");
        }
    }

    #[test]
    fn received_packets_are_forgotten() {
        let mut history = History::default();
        send(&mut history, 100);
        read(&mut history, &feedback(0, 0, &[received(1); 90]));
        send(&mut history, 1);
        assert_eq!((history.packets.len(), history.in_flight()), (11, 11_000));
    }

    #[test]
    fn packets_whose_feedback_is_lost_are_not_under_way() {
        let mut history = History::default();
        send(&mut history, 100);
        read(&mut history, &feedback(50, 0, &[received(1); 10]));
        assert_eq!(history.in_flight(), 40_000);
        // It may have been late only.
        let results = read(&mut history, &feedback(40, 0, &[received(1); 10]));
        assert_eq!((results.len(), history.in_flight()), (10, 40_000));
    }

    #[test]
    fn the_remote_timeline_goes_on() {
        let mut history = History::default();
        send(&mut history, 4);
        let mut at = |number, reference| {
            let results = read(&mut history, &feedback(number, reference, &[received(0)]));
            results[0].received_at.unwrap()
        };
        let last = (1 << 24) - 1;
        let first = at(0, last);
        assert_eq!(at(1, 1), first + ms(128));
        assert_eq!(at(2, last - 1), first - ms(64));
        assert_eq!(at(3, 2), first + ms(192));
    }

    #[test]
    fn a_wild_reference_time_does_no_harm() {
        let mut timeline = RemoteTimeline::default();
        for round in 0..1000u32 {
            timeline.unwrap(round.wrapping_mul(0x7f_ffff));
            timeline.unwrap(round.wrapping_mul(0x80_0001));
        }
        let mut timeline = RemoteTimeline {
            latest: Some(u64::MAX),
        };
        assert!(remote_time(timeline.unwrap(5), i64::MIN) > Duration::ZERO);
        assert_eq!(remote_time(0, -1), Duration::ZERO);
    }

    #[test]
    fn garbage_does_no_harm() {
        let mut history = History::default();
        let mut random = random();
        let (mut results, mut valid) = (0, 0);
        for round in 0..5000 {
            send(&mut history, 1);
            let bytes = garbage(round, [0x8f, 205], &mut random);
            valid += TransportFeedback::read(&bytes).count();
            results += read(&mut history, &bytes).len();
            assert!(history.packets.len() <= MAX_PACKETS);
            assert!(history.in_flight() <= MAX_PACKETS * 1000);
        }
        // Some of it is read, and no packet has more than two results.
        assert!(valid > 50 && results <= 10_000, "{valid} {results}");
    }
}
