//! The estimate of a session, and its division.

use std::time::Duration;

use super::allocation::{Allocation, Limits};
use super::estimator::{BandwidthEstimator, Demand};
use super::send_side::{FeedbackKind, SendSideEstimator, TransportWide};
use super::uplink::{Observation, Observations};

/// What audio takes until it is measured, in bit/s: Opus at 64 kbit/s in packets of 20 ms,
/// with all headers.
const USUAL_AUDIO: u64 = 88_000;

/// Time between two ticks of an estimator.
const TICK: Duration = Duration::from_millis(25);

/// Estimates what the network carries, and divides it. For one session, on one thread.
pub struct Estimation {
    limits: Limits,
    estimator: SendSideEstimator,
    ticked: Duration,
    allocation: Option<Allocation>,
    stream: Option<Stream>,
}

/// Video that does not follow the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    /// Its payload before frames are left out, in bit/s.
    pub bit_rate: u64,
    /// Whether frames are left out.
    pub is_thinned: bool,
}

/// What is known of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkStatus {
    /// What the network carries, in bit/s with all headers, if that is estimated.
    pub estimate: Option<u64>,
    /// The delay in queues on the way, if the feedback shows it.
    pub queue_delay: Option<Duration>,
    /// What the estimate is based on.
    pub feedback: FeedbackKind,
    /// Whether packets are lost that exceed a rate, if the feedback shows it.
    pub loses: bool,
    /// Whether a queue on the way has filled and not yet drained, if the feedback shows it.
    pub queue_is_full: bool,
    /// Whether it has carried all that there is to send for a while, if the feedback shows
    /// it.
    pub is_wide: bool,
}

/// The pacer's longest queue while one on the way is full. A picture that is late harms
/// less than one that is lost, and sound with it.
const LONGEST_QUEUE: Duration = Duration::from_secs(3);

/// What leaves at once on a wide network, as time at the pace: a picture of 30 a second,
/// unless it is a key frame.
const BURST: Duration = Duration::from_millis(30);

impl NetworkStatus {
    /// The pacer's longest queue, if it is not the usual one.
    #[must_use]
    pub fn longest_queue(self) -> Option<Duration> {
        self.queue_is_full.then_some(LONGEST_QUEUE)
    }

    /// What may leave at once after a pause, as time at the pace, if that is more than
    /// usual. A narrow network needs smaller bursts.
    #[must_use]
    pub fn burst(self) -> Option<Duration> {
        self.is_wide.then_some(BURST)
    }

    /// What the video of an encoder is thinned to, if it has to be. `granted` is what the
    /// estimate leaves for it. While a queue is full, an encoder that still makes what it
    /// made on a wide network would fill the pacer for many seconds.
    #[must_use]
    pub fn thins_encoder_to(self, granted: u64) -> Option<u64> {
        self.queue_is_full.then_some(granted)
    }
}

impl Estimation {
    /// Begins with a session, within limits. `has_audio` says whether it has audio too.
    pub fn new(limits: Limits, has_audio: bool, transport_wide: TransportWide) -> Self {
        let audio = if has_audio { USUAL_AUDIO } else { 0 };
        Self {
            limits,
            estimator: SendSideEstimator::new(limits.range(audio), transport_wide),
            ticked: Duration::ZERO,
            allocation: None,
            stream: None,
        }
    }

    /// Sets what there is to send, where no encoder follows the target.
    pub fn set_stream(&mut self, stream: Option<Stream>) {
        self.stream = stream;
    }

    /// Takes what has happened since the last call. Returns the division of what the
    /// network carries; `None` without an estimate. To be called every 10 to 30 ms.
    pub fn take(&mut self, observations: Observations) -> Option<Allocation> {
        for observation in observations.all {
            match observation {
                Observation::Sent(packet) => self.estimator.sent(packet),
                Observation::Feedback(results, at) => self.estimator.feedback(&results, at),
                Observation::Report(report, at) => self.estimator.receiver_report(report, at),
                Observation::ReceiverEstimate(bit_rate, at) => self.estimator.remb(bit_rate, at),
            }
        }
        if observations.now.saturating_sub(self.ticked) >= TICK {
            self.ticked = observations.now;
            self.estimator.tick(observations.now);
        }
        let (audio, again) = (observations.audio, observations.retransmitted);
        let demand = |stream: Stream| Demand {
            bit_rate: self.limits.demand(stream.bit_rate, audio),
            is_thinned: stream.is_thinned,
        };
        self.estimator.set_demand(self.stream.map(demand));
        let target = self.estimator.target();
        self.allocation = target.map(|target| Allocation::of(target, audio, again, &self.limits));
        self.allocation
    }

    /// What the network carries, in bit/s with all headers.
    pub fn target(&self) -> Option<u64> {
        self.estimator.target()
    }

    /// The pace of what leaves, in bit/s. `None` without an estimate.
    pub fn pace(&self) -> Option<u64> {
        self.estimator.pace()
    }

    /// What is known now.
    pub fn status(&self) -> NetworkStatus {
        NetworkStatus {
            estimate: self.estimator.target(),
            queue_delay: self.estimator.queue_delay(),
            feedback: self.estimator.kind(),
            loses: self.estimator.loses(),
            queue_is_full: self.estimator.queue_is_full(),
            is_wide: self.estimator.is_wide(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::estimator::ReceiverReport;
    use super::super::uplink::{Streams, Uplink};
    use super::*;

    const LIMITS: Limits = Limits {
        min_video: 150_000,
        start_video: 1_000_000,
        max_video: 2_500_000,
        max_repaired_video: 8_000_000,
        max_total: 8_500_000,
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn uplink() -> Uplink {
        let (audio, video) = (Some(1), Some(2));
        Uplink::new(Streams { audio, video }, 8_500_000)
    }

    #[test]
    fn without_any_feedback_there_is_nothing_to_divide_after_ten_seconds() {
        let mut uplink = uplink();
        let mut estimation = Estimation::new(LIMITS, true, TransportWide::Refused);
        let mut rtp = vec![0x80, 96, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        rtp.resize(160, 0);
        uplink.observe(None, ms(0));
        uplink.leaves(&rtp, ms(0));
        let mut take = |at| estimation.take(uplink.observe(None, ms(at)));
        assert!(take(9_980).is_some());
        assert!(take(10_005).is_none());
    }

    #[test]
    fn a_stream_that_is_thinned_is_paced_at_the_estimate() {
        let mut uplink = uplink();
        let mut estimation = Estimation::new(LIMITS, false, TransportWide::Refused);
        let (bit_rate, is_thinned) = (500_000, true);
        estimation.set_stream(Some(Stream {
            bit_rate,
            is_thinned,
        }));
        estimation.take(uplink.observe(None, ms(0)));
        assert_eq!(estimation.pace(), estimation.target());
    }

    #[test]
    fn a_full_queue_shortens_the_pacers_and_thins_video() {
        let status = |queue_is_full| NetworkStatus {
            estimate: Some(1_000_000),
            queue_delay: None,
            feedback: FeedbackKind::TransportWide,
            loses: false,
            queue_is_full,
            is_wide: false,
        };
        let full = status(true);
        assert_eq!(full.longest_queue(), Some(LONGEST_QUEUE));
        assert_eq!(full.thins_encoder_to(700_000), Some(700_000));
        let usual = status(false);
        assert_eq!(usual.longest_queue(), None);
        assert_eq!(usual.thins_encoder_to(700_000), None);
    }

    #[test]
    fn an_estimate_is_divided_after_what_audio_takes() {
        let mut uplink = uplink();
        let mut estimation = Estimation::new(LIMITS, true, TransportWide::Refused);
        let mut rtp = vec![0x80, 96, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1];
        rtp.resize(160, 0);
        for at in 0..50 {
            uplink.leaves(&rtp, ms(20 * at));
            estimation.take(uplink.observe(None, ms(20 * at)));
        }
        let before = estimation.take(uplink.observe(None, ms(1000))).unwrap();
        assert_eq!(before.audio, 79_200);
        assert!(estimation.pace() > Some(1_000_000));
        let report = ReceiverReport {
            fraction_lost: 0.5,
            round_trip: Some(ms(50)),
        };
        uplink.report(2, report, ms(1010));
        let after = estimation.take(uplink.observe(None, ms(1025))).unwrap();
        assert!(after.encoder < before.encoder, "{after:?}");
        let status = estimation.status();
        assert_eq!(status.feedback, FeedbackKind::ReceiverReports);
        assert_eq!(status.estimate, estimation.target());
    }
}
