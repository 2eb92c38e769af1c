//! Which estimator's answer counts.

use std::time::Duration;

use super::estimator::{BandwidthEstimator, Demand, RateRange, ReceiverReport, SentPacket};
use super::goog::{GoogEstimator, pace_of};
use super::receiver_reports::ReceiverReportEstimator;
use super::send_history::PacketResult;

/// Transport-wide feedback that is absent for longer is replaced by receiver reports.
const LONGEST_GAP: Duration = Duration::from_secs(2);
/// A far end that has not reported anything by then never does. Receiver reports are
/// about five seconds apart at most (RFC 3550 6.2).
const FIRST_FEEDBACK: Duration = Duration::from_secs(10);

/// What an estimate is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedbackKind {
    /// Transport-wide feedback (TWCC).
    TransportWide,
    /// The far end's own estimate (REMB), and its receiver reports if it sends any.
    ReceiverEstimate,
    /// Receiver reports.
    ReceiverReports,
    /// None has arrived.
    None,
}

/// Whether the answer takes transport-wide sequence numbers for a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportWide {
    /// The header extension is in the answer.
    Negotiated,
    /// It is not.
    Refused,
}

/// Estimates by the best feedback there is: transport-wide, else receiver reports and
/// REMB. A far end that sends neither within ten seconds gets no estimate.
pub struct SendSideEstimator {
    range: RateRange,
    transport_wide: TransportWide,
    goog: GoogEstimator,
    reports: ReceiverReportEstimator,
    now: Duration,
    first_sent: Option<Duration>,
    last_transport_wide: Option<Duration>,
    last_report: Option<Duration>,
    last_remb: Option<Duration>,
    kind: FeedbackKind,
    demand: Option<Demand>,
}

impl SendSideEstimator {
    /// An estimator for one session.
    #[must_use]
    pub fn new(range: RateRange, transport_wide: TransportWide) -> Self {
        Self {
            range,
            transport_wide,
            goog: GoogEstimator::new(range),
            reports: ReceiverReportEstimator::new(range),
            now: Duration::ZERO,
            first_sent: None,
            last_transport_wide: None,
            last_report: None,
            last_remb: None,
            kind: FeedbackKind::None,
            demand: None,
        }
    }

    /// Sets what there is to send, where that does not follow the target.
    pub fn set_demand(&mut self, demand: Option<Demand>) {
        self.demand = demand;
        self.goog.set_demand(demand);
    }

    /// What the estimate is based on.
    #[must_use]
    pub fn kind(&self) -> FeedbackKind {
        self.kind
    }

    /// The delay in queues on the way, if transport-wide feedback shows it.
    #[must_use]
    pub fn queue_delay(&self) -> Option<Duration> {
        let shows = self.kind == FeedbackKind::TransportWide;
        self.goog.queue_delay().filter(|_| shows)
    }

    /// Whether packets are lost that exceed a rate, if transport-wide feedback shows it.
    #[must_use]
    pub fn loses(&self) -> bool {
        self.kind == FeedbackKind::TransportWide && self.goog.loses()
    }

    /// Whether a queue on the way is full, if transport-wide feedback shows it.
    #[must_use]
    pub fn queue_is_full(&self) -> bool {
        self.kind == FeedbackKind::TransportWide && self.goog.queue_is_full()
    }

    /// What the pacer may let leave, in bit/s. `None` if there is no estimate.
    #[must_use]
    pub fn pace(&self) -> Option<u64> {
        match self.kind {
            FeedbackKind::TransportWide => self.goog.pace(),
            _ => self.target().map(|target| pace_of(target, self.demand)),
        }
    }

    /// Whether the network has carried all that there is to send for a while, if
    /// transport-wide feedback shows it.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        self.kind == FeedbackKind::TransportWide && self.goog.is_wide()
    }

    fn is_recent(&self, at: Option<Duration>, time: Duration) -> bool {
        at.is_some_and(|at| self.now.saturating_sub(at) <= time)
    }

    /// Chooses by what has arrived. A choice stays until there is a better one.
    fn choose(&mut self, now: Duration) {
        self.now = self.now.max(now);
        let before = self.kind;
        let reported = self.last_report.max(self.last_remb);
        let panicked = self.goog.target().is_none() && before != FeedbackKind::None;
        if !panicked && self.is_recent(self.last_transport_wide, LONGEST_GAP) {
            self.kind = FeedbackKind::TransportWide;
        } else if panicked || reported > self.last_transport_wide {
            self.kind = match self.last_remb {
                Some(_) => FeedbackKind::ReceiverEstimate,
                None => FeedbackKind::ReceiverReports,
            };
        }
        if before == FeedbackKind::TransportWide && self.kind != before {
            self.reports.resume_at(self.goog.last_target());
        }
    }
}

impl BandwidthEstimator for SendSideEstimator {
    fn sent(&mut self, packet: SentPacket) {
        self.first_sent = self.first_sent.or(Some(packet.sent_at));
        if self.transport_wide == TransportWide::Negotiated {
            self.goog.sent(packet);
        }
        self.reports.sent(packet);
    }

    fn feedback(&mut self, results: &[PacketResult<()>], now: Duration) {
        if self.transport_wide == TransportWide::Refused || results.is_empty() {
            return;
        }
        let replaced = !matches!(self.kind, FeedbackKind::TransportWide | FeedbackKind::None);
        if replaced && self.goog.target().is_some() {
            // The old one has lowered its estimate for want of feedback.
            let start = self.reports.target().unwrap_or(self.range.start());
            self.goog = GoogEstimator::new(self.range.starting_at(start));
            self.goog.set_demand(self.demand);
        }
        self.goog.feedback(results, now);
        self.last_transport_wide = Some(now);
        self.choose(now);
    }

    fn receiver_report(&mut self, report: ReceiverReport, now: Duration) {
        self.reports.receiver_report(report, now);
        self.last_report = Some(now);
        self.choose(now);
    }

    fn remb(&mut self, bit_rate: u64, now: Duration) {
        self.reports.remb(bit_rate, now);
        self.last_remb = Some(now);
        self.choose(now);
    }

    fn tick(&mut self, now: Duration) {
        if self.transport_wide == TransportWide::Negotiated {
            self.goog.tick(now);
        }
        self.reports.tick(now);
        self.choose(now);
    }

    fn target(&self) -> Option<u64> {
        match self.kind {
            FeedbackKind::TransportWide => self.goog.target(),
            FeedbackKind::ReceiverEstimate | FeedbackKind::ReceiverReports => self.reports.target(),
            FeedbackKind::None => {
                let passed = self
                    .first_sent
                    .map_or(Duration::ZERO, |at| self.now.saturating_sub(at));
                (passed < FIRST_FEEDBACK).then(|| self.range.start())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::send_history::PacketKind;
    use super::*;

    fn estimator(transport_wide: TransportWide) -> SendSideEstimator {
        let range = RateRange::new(240_000, 1_200_000, 3_000_000);
        SendSideEstimator::new(range, transport_wide)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A packet each 10 ms, and feedback on it after 50 ms if `feedback`.
    fn run(it: &mut SendSideEstimator, from: u64, to: u64, feedback: bool) {
        for at in (from..to).step_by(10) {
            let packet = |at: u64| PacketResult {
                sequence: at / 10,
                size: 1_000,
                kind: PacketKind::Audio,
                probe: None,
                sent_at: ms(at),
                received_at: Some(ms(at + 25)),
            };
            it.sent(SentPacket {
                sequence: at / 10,
                size: 1_000,
                sent_at: ms(at),
                frame: None,
            });
            if feedback && at >= 50 {
                it.feedback(&[packet(at - 50)], ms(at));
            }
            it.tick(ms(at));
        }
    }

    fn report(it: &mut SendSideEstimator, fraction_lost: f64, at: u64) {
        let report = ReceiverReport {
            fraction_lost,
            round_trip: Some(ms(50)),
        };
        it.receiver_report(report, ms(at));
    }

    #[test]
    fn transport_wide_feedback_is_preferred() {
        let mut it = estimator(TransportWide::Negotiated);
        assert_eq!(
            (it.kind(), it.target()),
            (FeedbackKind::None, Some(1_200_000))
        );
        run(&mut it, 0, 1_000, true);
        report(&mut it, 0.9, 1_000);
        it.remb(240_000, ms(1_000));
        assert_eq!(it.kind(), FeedbackKind::TransportWide);
        assert!(it.target() > Some(900_000));
        assert_eq!(it.queue_delay(), Some(Duration::ZERO));
        assert_eq!(it.pace(), it.target().map(|target| pace_of(target, None)));
    }

    #[test]
    fn queues_and_losses_count_while_it_shows_them() {
        let mut it = estimator(TransportWide::Negotiated);
        run(&mut it, 0, 3_000, true);
        assert!(!it.queue_is_full() && !it.loses());
        let late = (0..10).map(|number| PacketResult {
            sequence: 296 + number / 2,
            size: 1_000,
            kind: PacketKind::Video,
            probe: None,
            sent_at: ms(2_960 + 5 * number),
            received_at: Some(ms(2_960 + 5 * number + 125)),
        });
        it.feedback(&late.collect::<Vec<_>>(), ms(3_100));
        assert!(it.queue_is_full() && it.loses());
        let target = it.target().unwrap();
        assert_eq!(it.pace(), Some(target / 100 * 90));
        report(&mut it, 0.0, 5_101);
        assert_eq!(it.kind(), FeedbackKind::ReceiverReports);
        assert!(!it.queue_is_full() && !it.loses());
    }

    #[test]
    fn a_frame_is_a_probe_and_leaves_faster() {
        let mut it = estimator(TransportWide::Negotiated);
        run(&mut it, 0, 1_000, true);
        it.sent(SentPacket {
            sequence: 100,
            size: 1_000,
            sent_at: ms(1_000),
            frame: Some(1),
        });
        let target = it.target().unwrap();
        assert_eq!(it.pace(), Some(target / 100 * 150));
    }

    #[test]
    fn its_absence_leaves_it_to_receiver_reports_and_back() {
        let mut it = estimator(TransportWide::Negotiated);
        run(&mut it, 0, 1_000, true);
        run(&mut it, 1_000, 2_990, false);
        report(&mut it, 0.0, 2_980);
        assert_eq!(it.kind(), FeedbackKind::TransportWide);
        let before = it.target();
        run(&mut it, 2_990, 3_010, false);
        report(&mut it, 0.0, 3_010);
        assert_eq!(
            (it.kind(), it.queue_delay()),
            (FeedbackKind::ReceiverReports, None)
        );
        assert!(it.target() >= before, "{:?} {before:?}", it.target());
        report(&mut it, 0.6, 4_000);
        let reported = it.target().unwrap();
        run(&mut it, 4_000, 4_100, true);
        assert_eq!(it.kind(), FeedbackKind::TransportWide);
        assert!(it.target().unwrap().abs_diff(reported) < reported / 5);
    }

    #[test]
    fn where_it_is_refused_it_is_ignored() {
        let mut it = estimator(TransportWide::Refused);
        run(&mut it, 0, 1_000, true);
        assert_eq!(it.kind(), FeedbackKind::None);
        report(&mut it, 0.5, 1_000);
        assert_eq!(
            (it.kind(), it.target()),
            (FeedbackKind::ReceiverReports, Some(600_000))
        );
        it.remb(500_000, ms(1_000));
        assert_eq!(
            (it.kind(), it.target()),
            (FeedbackKind::ReceiverEstimate, Some(500_000))
        );
    }

    #[test]
    fn a_panic_leaves_it_to_receiver_reports() {
        let mut it = estimator(TransportWide::Negotiated);
        run(&mut it, 0, 1_000, true);
        let before = it.target();
        it.goog.panic();
        run(&mut it, 1_000, 1_100, true);
        assert_eq!(
            (it.kind(), it.target()),
            (FeedbackKind::ReceiverReports, before)
        );
        report(&mut it, 0.5, 1_100);
        assert!(it.target() < before);
    }

    #[test]
    fn without_any_feedback_there_is_no_estimate() {
        for transport_wide in [TransportWide::Negotiated, TransportWide::Refused] {
            let mut it = estimator(transport_wide);
            run(&mut it, 500, 10_500, false);
            assert_eq!(it.target(), Some(1_200_000));
            run(&mut it, 10_500, 10_510, false);
            assert_eq!((it.kind(), it.target()), (FeedbackKind::None, None));
            report(&mut it, 0.0, 10_520);
            assert_eq!(it.target(), Some(1_200_000));
        }
    }
}
