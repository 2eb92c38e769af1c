//! Frames as bandwidth probes: an estimate rises without padding.
//!
//! A frame of some packets leaves through the pacer faster than the estimate. How fast it
//! arrives shows whether the network carries that, if goog_cc is told that these
//! packets are a probe.

use std::collections::VecDeque;
use std::time::Duration;

use goog_cc::transport::PacedPacketInfo;

use super::estimator::SentPacket;

/// A frame with fewer packets measures nothing.
const FEWEST_PACKETS: usize = 2;
/// So many measure something at any rate, and fewer if they take so long at the estimate:
/// then their distance shows above jitter. On a narrow network few frames have more.
const ENOUGH_PACKETS: usize = 4;
const SHORTEST_PROBE: Duration = Duration::from_millis(25);
/// Longest probe, at the estimate. A large key frame would be a queue of its own.
const LONGEST_PROBE: Duration = Duration::from_millis(200);
/// From one probe to the next.
const BETWEEN_PROBES: Duration = Duration::from_secs(1);
/// From the estimate's last fall to a probe, at first and at most. A token bucket lets
/// every probe pass and then none of what follows, so failed probes become rarer.
const SHORTEST_WAIT: Duration = Duration::from_secs(3);
const LONGEST_WAIT: Duration = Duration::from_secs(190);
/// At most while frames are left out. Then little is sent on average, and what comes in
/// bursts makes the estimate fall often.
const LONGEST_WAIT_THINNED: Duration = Duration::from_secs(6);
/// At most after weak probes: without any, the estimate rises by 8 % a second once the
/// network is wide again.
const LONGEST_WAIT_WEAK: Duration = Duration::from_secs(8);
/// The estimate was raised too high by a probe if it falls so soon after it.
const PROBE_FAILS: Duration = Duration::from_secs(6);
/// And it was raised rightly if it does not fall for so long.
const PROBE_HOLDS: Duration = Duration::from_secs(10);
/// Probes that may still be reported.
const PROBES_KEPT: usize = 4;
/// How fast a probe leaves, in percent of the estimate, as a rule and near a rate that was
/// too high: there a strong one makes a queue of its own, for which goog_cc falls.
const STRONG: u64 = 150;
const WEAK: u64 = 125;
/// What is near to such a rate, in percent of it.
const NEAR: std::ops::Range<u64> = 70..105;
/// goog_cc would number probes of its own from 1. It is asked for none.
const FIRST_ID: i32 = 100_000;

/// Chooses the frames and knows their packets.
#[derive(Clone, Debug)]
pub(super) struct FrameProbes {
    probes: VecDeque<Probe>,
    next_id: i32,
    frame: Option<u32>,
    last_probe: Option<Duration>,
    last_fall: Option<Duration>,
    /// The estimate ahead of its last fall.
    too_high: u64,
    /// When a probe raised the estimate, and how strong it was, until it is known whether
    /// rightly.
    raised: Option<(Duration, u64)>,
    wait: Duration,
    is_thinned: bool,
}

#[derive(Clone, Debug)]
struct Probe {
    id: i32,
    frame: u32,
    sequences: Vec<u64>,
    bytes: usize,
    strength: u64,
    /// The estimate at the beginning.
    bit_rate: u64,
    is_long_enough: bool,
}

impl Probe {
    fn measures(&self) -> bool {
        let packets = self.sequences.len();
        packets >= ENOUGH_PACKETS
            || (packets >= FEWEST_PACKETS && self.bytes >= bytes_in(SHORTEST_PROBE, self.bit_rate))
    }
}

/// The bytes that a bit rate has in some time.
fn bytes_in(time: Duration, bit_rate: u64) -> usize {
    let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let bytes = bit_rate.saturating_mul(ms) / 8_000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl FrameProbes {
    pub(super) fn new() -> Self {
        Self {
            probes: VecDeque::new(),
            next_id: FIRST_ID,
            frame: None,
            last_probe: None,
            last_fall: None,
            too_high: 0,
            raised: None,
            wait: SHORTEST_WAIT,
            is_thinned: false,
        }
    }

    /// Sets whether frames are left out.
    pub(super) fn set_thinned(&mut self, is_thinned: bool) {
        self.is_thinned = is_thinned;
    }

    /// A packet leaves. `size` includes IP and UDP headers. `wanted`: whether
    /// a new probe would be of use, beside an estimate of so many bit/s.
    pub(super) fn sent(&mut self, packet: &SentPacket, size: usize, wanted: bool, bit_rate: u64) {
        let Some(frame) = packet.frame else {
            return;
        };
        if self.frame != Some(frame) {
            self.frame = Some(frame);
            self.drop_small();
            if wanted && self.is_due(packet.sent_at) {
                let strength = self.strength_at(bit_rate);
                self.begin(frame, strength, bit_rate, packet.sent_at);
            }
        }
        let Some(probe) = self.probes.back_mut().filter(|probe| probe.frame == frame) else {
            return;
        };
        probe.is_long_enough |= probe.sequences.len() >= ENOUGH_PACKETS
            && probe.bytes >= bytes_in(LONGEST_PROBE, bit_rate);
        if !probe.is_long_enough {
            probe.sequences.push(packet.sequence);
            probe.bytes = probe.bytes.saturating_add(size);
        }
    }

    /// What goog_cc is told about a packet.
    pub(super) fn info(&self, sequence: u64, bit_rate: u64) -> PacedPacketInfo {
        let has = |probe: &&Probe| probe.sequences.binary_search(&sequence).is_ok();
        let Some(probe) = self.probes.iter().find(has) else {
            return PacedPacketInfo::default();
        };
        // 0 would panic.
        let packets = probe.sequences.len().max(FEWEST_PACKETS);
        let number = |it: usize| i64::try_from(it).unwrap_or(1).max(1);
        let mut info = PacedPacketInfo::new(probe.id, number(packets), number(probe.bytes));
        let bit_rate = i64::try_from(bit_rate / 100 * probe.strength).unwrap_or_default();
        info.send_bitrate = goog_cc::units::DataRate::from_bits_per_sec(bit_rate);
        info
    }

    /// The estimate after feedback, which may have had a probe in it.
    pub(super) fn estimated(&mut self, before: u64, after: u64, probed: bool, now: Duration) {
        if after < before - before / 33 {
            let raised = |(at, _): &(Duration, u64)| now.saturating_sub(*at) < PROBE_FAILS;
            self.wait = match self.raised.take().filter(raised) {
                Some((_, STRONG)) => (self.wait * 4).min(LONGEST_WAIT),
                Some(_) => self.wait.max((self.wait * 2).min(LONGEST_WAIT_WEAK)),
                None => self.wait,
            };
            self.last_fall = Some(now);
            self.too_high = before;
        } else if probed && after > before + before / 100 * 15 {
            self.raised = Some((now, self.strength_at(before)));
        }
        let holds = |(at, _): (Duration, u64)| now.saturating_sub(at) >= PROBE_HOLDS;
        if self.raised.is_some_and(holds) {
            self.raised = None;
            self.wait = SHORTEST_WAIT;
        }
    }

    /// How fast the newest packet leaves if it is of a probe, in percent of the estimate.
    pub(super) fn strength(&self) -> Option<u64> {
        let is_probing = |probe: &&Probe| Some(probe.frame) == self.frame && !probe.is_long_enough;
        Some(self.probes.back().filter(is_probing)?.strength)
    }

    /// The strength of a probe beside such an estimate. What is left of a thinned stream
    /// comes in bursts anyway.
    fn strength_at(&self, bit_rate: u64) -> u64 {
        let part = bit_rate.saturating_mul(100) / self.too_high.max(1);
        match NEAR.contains(&part) && !self.is_thinned {
            true => WEAK,
            false => STRONG,
        }
    }

    fn is_due(&self, now: Duration) -> bool {
        let passed = |since: Option<Duration>, time: Duration| {
            since.is_none_or(|since| now.saturating_sub(since) >= time)
        };
        let wait = match self.is_thinned {
            true => self.wait.min(LONGEST_WAIT_THINNED),
            false => self.wait,
        };
        passed(self.last_probe, BETWEEN_PROBES) && passed(self.last_fall, wait)
    }

    fn begin(&mut self, frame: u32, strength: u64, bit_rate: u64, now: Duration) {
        if self.probes.len() >= PROBES_KEPT {
            self.probes.pop_front();
        }
        self.probes.push_back(Probe {
            id: self.next_id,
            frame,
            sequences: Vec::new(),
            bytes: 0,
            strength,
            bit_rate,
            is_long_enough: false,
        });
        self.next_id = self.next_id.checked_add(1).unwrap_or(FIRST_ID);
        self.last_probe = Some(now);
    }

    /// A frame that has ended too small is no probe, and the next one may be it.
    fn drop_small(&mut self) {
        if self.probes.back().is_some_and(|probe| !probe.measures()) {
            self.probes.pop_back();
            self.last_probe = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends frames of so many packets, 33 ms apart. Returns how many are probes.
    fn probes(it: &mut FrameProbes, from: u64, frames: u64, packets: u64) -> usize {
        let mut ids = std::collections::BTreeSet::new();
        for frame in 0..frames {
            let sent_at = Duration::from_millis(from + frame * 33);
            for packet in 0..packets {
                let sequence = (from + frame * 33) * 100 + packet;
                let frame = Some(u32::try_from(from + frame).unwrap());
                let packet = SentPacket {
                    sequence,
                    size: 1_000,
                    sent_at,
                    frame,
                };
                it.sent(&packet, 1_028, true, 1_000_000);
                ids.insert(it.info(sequence, 1_000_000).probe_cluster_id);
            }
        }
        ids.iter().filter(|id| **id >= FIRST_ID).count()
    }

    fn second(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    #[test]
    fn a_frame_a_second() {
        let mut it = FrameProbes::new();
        assert_eq!(probes(&mut it, 0, 90, 6), 3);
        assert_eq!(it.info(5, 1_000_000).probe_cluster_min_probes, 6);
        assert_eq!(it.info(5, 1_000_000).probe_cluster_min_bytes, 6 * 1_028);
        assert_eq!(it.info(7, 1_000_000), PacedPacketInfo::default());
    }

    #[test]
    fn a_large_frame_is_one_in_part() {
        let mut it = FrameProbes::new();
        assert_eq!(probes(&mut it, 0, 1, 40), 1);
        assert_eq!(it.strength(), None);
        // 25 kB are 200 ms.
        let info = it.info(24, 1_000_000);
        assert_eq!(info.probe_cluster_min_probes, 25);
        assert_eq!(it.info(25, 1_000_000), PacedPacketInfo::default());
    }

    #[test]
    fn a_weak_one_that_raised_too_high_makes_them_wait_for_8_seconds_at_most() {
        let mut it = FrameProbes::new();
        it.estimated(1_200_000, 1_000_000, false, second(0));
        for _ in 0..9 {
            it.estimated(1_000_000, 1_200_000, true, second(10));
            it.estimated(1_200_000, 1_000_000, false, second(10));
        }
        assert_eq!(probes(&mut it, 10_000, 240, 6), 0);
        assert_eq!(probes(&mut it, 18_000, 30, 6), 1);
    }

    #[test]
    fn near_a_rate_that_was_too_high_it_is_weak() {
        let strength = |too_high, is_thinned| {
            let mut it = FrameProbes::new();
            it.set_thinned(is_thinned);
            it.estimated(too_high, too_high / 2, false, second(1));
            assert_eq!(probes(&mut it, 10_000, 1, 6), 1);
            let told = it.info(10_000 * 100, 1_000_000).send_bitrate.bps();
            assert_eq!(told.unsigned_abs(), it.strength().unwrap() * 10_000);
            it.strength()
        };
        assert_eq!(strength(1_200_000, false), Some(WEAK));
        assert_eq!(strength(1_200_000, true), Some(STRONG));
        assert_eq!(strength(900_000, false), Some(STRONG));
        assert_eq!(strength(2_500_000, false), Some(STRONG));
    }

    #[test]
    fn small_frames_audio_and_retransmissions_are_none() {
        let mut it = FrameProbes::new();
        probes(&mut it, 0, 30, 3);
        assert_eq!(it.info(0, 1_000_000), PacedPacketInfo::default());
        let packet = SentPacket {
            sequence: 1,
            size: 9,
            sent_at: second(9),
            frame: None,
        };
        it.sent(&packet, 37, true, 1_000_000);
        assert_eq!(it.info(1, 1_000_000), PacedPacketInfo::default());
    }

    /// On a narrow network few frames have more.
    #[test]
    fn two_packets_that_take_long_are_one() {
        let is_probe = |bit_rate| {
            let mut it = FrameProbes::new();
            for sequence in 0..3 {
                // The third one begins another frame.
                let packet = SentPacket {
                    sequence,
                    size: 600,
                    sent_at: Duration::from_millis(sequence),
                    frame: Some(u32::from(sequence == 2)),
                };
                it.sent(&packet, 628, true, bit_rate);
            }
            it.info(1, bit_rate).probe_cluster_min_probes == 2
        };
        assert!(is_probe(300_000));
        assert!(!is_probe(600_000));
    }

    #[test]
    fn only_a_fall_by_three_percent_makes_them_wait() {
        for (after, count) in [(320_000, 1), (319_999, 0)] {
            let mut it = FrameProbes::new();
            it.estimated(330_000, after, false, second(10));
            assert_eq!(probes(&mut it, 10_000, 1, 6), count, "{after}");
        }
    }

    #[test]
    fn only_a_fall_soon_after_a_probe_that_raised_makes_them_rarer() {
        let wait = |after, probed, fall: u64| {
            let mut it = FrameProbes::new();
            it.estimated(1_000_000, after, probed, second(10));
            it.estimated(after, 500_000, false, Duration::from_millis(fall));
            it.wait
        };
        assert_eq!(wait(1_150_001, true, 15_999), 4 * SHORTEST_WAIT);
        assert_eq!(wait(1_150_001, true, 16_000), SHORTEST_WAIT, "late");
        assert_eq!(wait(1_150_000, true, 15_999), SHORTEST_WAIT, "too little");
        assert_eq!(wait(1_150_001, false, 15_999), SHORTEST_WAIT, "no probe");
    }

    #[test]
    fn a_fall_makes_them_wait() {
        let mut it = FrameProbes::new();
        it.estimated(1_000_000, 960_000, false, second(10));
        assert_eq!(probes(&mut it, 10_000, 90, 6), 0);
        assert_eq!(probes(&mut it, 13_000, 30, 6), 1);
    }

    #[test]
    fn a_probe_that_raised_too_high_makes_them_rarer() {
        let mut it = FrameProbes::new();
        it.estimated(1_000_000, 1_200_000, true, second(10));
        it.estimated(1_200_000, 1_000_000, false, second(14));
        assert_eq!(probes(&mut it, 14_000, 360, 6), 0);
        assert_eq!(probes(&mut it, 26_000, 30, 6), 1);
        for _ in 0..9 {
            it.estimated(500_000, 1_200_000, true, second(27));
            it.estimated(1_200_000, 500_000, false, second(27));
        }
        assert_eq!(it.wait, LONGEST_WAIT);
        assert_eq!(probes(&mut it, 28_000, 180, 6), 0);
        it.set_thinned(true);
        assert_eq!(probes(&mut it, 34_000, 30, 6), 1);
        it.estimated(1_000_000, 1_200_000, true, second(300));
        it.estimated(1_200_000, 1_200_000, false, second(310));
        assert_eq!(it.wait, SHORTEST_WAIT);
    }
}
