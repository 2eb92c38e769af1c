//! What an estimator is given and what it answers.

use std::time::Duration;

use super::send_history::PacketResult;

/// No estimate is below this, in bit/s. A rate of 0 would stop an encoder for good.
const LOWEST: u64 = 10_000;

/// Estimates how much the network carries from what the far end reports.
///
/// `now` should never decrease. An earlier time counts as the latest one.
pub trait BandwidthEstimator {
    /// A packet leaves. Packets are told in the order in which they leave.
    fn sent(&mut self, packet: SentPacket);

    /// Transport-wide feedback arrived: what it says about each packet, as the send
    /// history tells. One call for each RTCP packet.
    fn feedback(&mut self, _results: &[PacketResult<()>], _now: Duration) {}

    /// A report block about the video stream arrived.
    fn receiver_report(&mut self, _report: ReceiverReport, _now: Duration) {}

    /// The far end's own estimate (REMB) arrived, in bit/s.
    fn remb(&mut self, _bit_rate: u64, _now: Duration) {}

    /// Time passes. To be called every 25 ms or so.
    fn tick(&mut self, now: Duration);

    /// What may leave in all, with 28 bytes of IP and UDP headers a packet, in bit/s.
    /// Never 0. `None`: nothing is known.
    fn target(&self) -> Option<u64>;
}

/// A packet that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentPacket {
    /// The number that the send history gave it. Of no meaning without TWCC.
    pub sequence: u64,
    /// Size without IP and UDP headers, in bytes.
    pub size: usize,
    /// When it left.
    pub sent_at: Duration,
    /// The RTP timestamp of a video packet that leaves for the first time, through the
    /// pacer. `None` for audio and retransmissions.
    pub frame: Option<u32>,
}

/// What a report block says about a stream (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReceiverReport {
    /// Share of packets lost since the previous report: 0 to 1.
    pub fraction_lost: f64,
    /// Round-trip time, if known.
    pub round_trip: Option<Duration>,
}

/// What there is to send, where that does not follow the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// All that there is to send, with all headers, in bit/s.
    pub bit_rate: u64,
    /// Whether frames are left out, so that less is sent.
    pub is_thinned: bool,
}

/// The bounds of an estimate, in bit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateRange {
    min: u64,
    start: u64,
    max: u64,
}

impl RateRange {
    /// The bounds and the estimate to begin with. `max` counts if `min` is above it.
    /// `start` is moved between both.
    #[must_use]
    pub fn new(min: u64, start: u64, max: u64) -> Self {
        // goog_cc counts in signed 64-bit units of a millionth of a bit.
        let max = max.clamp(LOWEST, 1_000_000_000);
        let min = min.clamp(LOWEST, max);
        let start = start.clamp(min, max);
        Self { min, start, max }
    }

    /// The same bounds with another estimate to begin with.
    #[must_use]
    pub fn starting_at(self, start: u64) -> Self {
        Self::new(self.min, start, self.max)
    }

    /// The lowest estimate.
    #[must_use]
    pub fn min(self) -> u64 {
        self.min
    }

    /// The first estimate.
    #[must_use]
    pub fn start(self) -> u64 {
        self.start
    }

    /// The highest estimate.
    #[must_use]
    pub fn max(self) -> u64 {
        self.max
    }

    /// The rate within the bounds that is nearest.
    #[must_use]
    pub fn clamp(self, bit_rate: u64) -> u64 {
        bit_rate.clamp(self.min, self.max)
    }

    /// The same of a computed rate. `None` if it is no number.
    #[must_use]
    pub fn clamp_f64(self, bit_rate: f64) -> Option<u64> {
        // A cast saturates, and bounds are below 2^53.
        (!bit_rate.is_nan()).then(|| self.clamp(bit_rate as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_bounds_holds() {
        let range = RateRange::new(500_000, 100, 400_000);
        assert_eq!(
            (range.min(), range.start(), range.max()),
            (400_000, 400_000, 400_000)
        );
        let range = RateRange::new(0, 0, 0);
        assert_eq!(
            (range.min(), range.start(), range.max()),
            (LOWEST, LOWEST, LOWEST)
        );
        let range = RateRange::new(u64::MAX, u64::MAX, u64::MAX);
        assert_eq!(range.max(), 1_000_000_000);
    }

    #[test]
    fn no_number_leaves_the_bounds() {
        let range = RateRange::new(100_000, 200_000, 300_000);
        assert_eq!(range.clamp_f64(f64::NAN), None);
        assert_eq!(range.clamp_f64(f64::INFINITY), Some(300_000));
        assert_eq!(range.clamp_f64(-1.0), Some(100_000));
        assert_eq!(range.clamp(0), 100_000);
        assert_eq!(range.starting_at(0).start(), 100_000);
    }
}
