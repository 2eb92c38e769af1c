//! The bandwidth estimate that [`Feedback::Remb`](crate::Feedback::Remb) sends:
//! what has arrived comes in, a bit rate goes out.

use std::time::Duration;

/// Interval of the estimates.
pub(crate) const REMB_INTERVAL: Duration = Duration::from_millis(500);

/// Part of the packets in an interval that may be lost without a decrease. Below
/// it loss is that of a radio link rather than of a full queue.
const LOSS_LIMIT: f64 = 0.05;

/// Estimate after more loss, as part of the received rate.
const DECREASE: f64 = 0.85;

/// Increase in each interval with less.
const INCREASE: f64 = 1.04;

/// Bounds of the increase: a part of the received rate, and bits per second
/// above that. A sender that doesn't use the estimate can't prove it.
const HEADROOM: (f64, f64) = (1.5, 10_000.0);

/// What a session has received so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Arrived {
    /// Bytes of all RTP datagrams.
    pub(crate) bytes: u64,
    /// RTP packets, without repeated ones.
    pub(crate) packets: u64,
    /// Those of them that only arrived as retransmissions.
    pub(crate) repaired: u64,
    /// RTP packets that did not arrive at all.
    pub(crate) lost: u64,
}

/// The estimate so far.
#[derive(Debug, Default)]
pub(crate) struct Remb {
    arrived: Arrived,
    estimate: Option<f64>,
}

impl Remb {
    /// The estimate in bits per second, after another [`REMB_INTERVAL`]. `None`
    /// before anything has arrived.
    pub(crate) fn estimate(&mut self, arrived: Arrived) -> Option<f64> {
        let before = std::mem::replace(&mut self.arrived, arrived);
        let bytes = arrived.bytes.saturating_sub(before.bytes);
        let received = bytes as f64 * 8.0 / REMB_INTERVAL.as_secs_f64();
        let bound = received * HEADROOM.0 + HEADROOM.1;
        self.estimate = match self.estimate {
            None if bytes == 0 => None,
            // Nothing arrived, which says nothing about the rate.
            Some(estimate) if bytes == 0 => Some(estimate),
            None => Some(bound),
            Some(estimate) if loss(before, arrived) > LOSS_LIMIT => {
                Some(estimate.min(received * DECREASE))
            }
            Some(estimate) => Some(estimate.max((estimate * INCREASE).min(bound))),
        };
        self.estimate
    }
}

/// The part of the packets that was lost before retransmission.
fn loss(before: Arrived, now: Arrived) -> f64 {
    let missed = |arrived: Arrived| arrived.lost + arrived.repaired;
    let sent = |arrived: Arrived| arrived.lost + arrived.packets;
    let sent = sent(now).saturating_sub(sent(before));
    let missed = missed(now).saturating_sub(missed(before));
    missed as f64 / sent.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The estimates in kbit/s after intervals with these rates and losses per
    /// 100 packets, half of them repaired.
    fn estimates(intervals: &[(u64, u64)]) -> Vec<u64> {
        let (mut remb, mut arrived) = (Remb::default(), Arrived::default());
        let intervals = intervals.iter().map(|(kbits, lost)| {
            arrived.bytes += kbits * 1000 / 16;
            arrived.packets += 100 - lost / 2;
            arrived.repaired += lost / 2;
            arrived.lost += lost / 2;
            remb.estimate(arrived).map_or(0, |rate| rate as u64 / 1000)
        });
        intervals.collect()
    }

    #[test]
    fn it_is_below_what_arrives_while_packets_are_lost() {
        assert_eq!(
            estimates(&[(1000, 0), (1000, 20), (1000, 20), (600, 8)]),
            [1510, 850, 850, 510]
        );
    }

    #[test]
    fn it_rises_slowly_and_not_far_above_what_arrives() {
        assert_eq!(
            estimates(&[(1000, 20), (1000, 20), (800, 0), (800, 4), (800, 0)]),
            [1510, 850, 884, 919, 956]
        );
        assert_eq!(estimates(&[(1000, 0), (1000, 0)]), [1510, 1510]);
        assert_eq!(estimates(&[(1000, 0), (500, 0)]), [1510, 1510]);
    }

    #[test]
    fn silence_does_not_change_it() {
        assert_eq!(estimates(&[(0, 0), (1000, 0), (0, 0)]), [0, 1510, 1510]);
    }
}
