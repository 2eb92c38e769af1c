//! An estimate from receiver reports, bounded by REMB: for far ends without TWCC.

use std::collections::VecDeque;
use std::time::Duration;

use super::estimator::{BandwidthEstimator, RateRange, ReceiverReport, SentPacket};
use super::sent_rate::SentRate;

/// More loss than this is congestion. 3 % of random loss, and RTX for it, is not.
const HEAVY_LOSS: f64 = 0.10;
/// With less loss than this the estimate may rise.
const LIGHT_LOSS: f64 = 0.03;
/// A round trip this far above the shortest one means a full queue.
const FULL_QUEUE: Duration = Duration::from_millis(70);
/// Up to here the queue counts as empty.
const EMPTY_QUEUE: Duration = Duration::from_millis(40);
/// The shortest time from one decrease to the next: the first must show first.
const BETWEEN_DECREASES: Duration = Duration::from_millis(900);
/// Rise in a second.
const RISE: f64 = 0.10;
/// Rise in a second near the rate of the last congestion.
const CAREFUL_RISE: f64 = 0.03;
/// For this long the rate of the last congestion is remembered.
const CONGESTION_MEMORY: Duration = Duration::from_secs(30);
/// A longer time without reports does not count for the rise.
const LONGEST_RISE: Duration = Duration::from_secs(3);
/// For this long a round trip counts as the shortest one: routes change.
const ROUND_TRIP_MEMORY: Duration = Duration::from_secs(20);
/// Round trips kept. Reports that come faster shorten the memory.
const ROUND_TRIPS_KEPT: usize = 64;
/// A far end that sends REMB repeats it at least every second or so.
const REMB_MEMORY: Duration = Duration::from_secs(10);

/// Estimates by receiver reports. An estimate never exceeds a REMB of the last 10 s,
/// nor 1.5 times what was really sent, but for 50 kbit/s.
#[derive(Clone, Debug)]
pub struct ReceiverReportEstimator {
    range: RateRange,
    now: Duration,
    target: u64,
    sent: SentRate,
    round_trips: VecDeque<(Duration, Duration)>,
    last_report: Option<Duration>,
    last_decrease: Option<Duration>,
    /// When the last congestion was, and at which estimate.
    congestion: Option<(Duration, u64)>,
    remb: Option<(Duration, u64)>,
}

impl ReceiverReportEstimator {
    /// An estimator that begins at the range's start.
    #[must_use]
    pub fn new(range: RateRange) -> Self {
        Self {
            range,
            now: Duration::ZERO,
            target: range.start(),
            sent: SentRate::default(),
            round_trips: VecDeque::new(),
            last_report: None,
            last_decrease: None,
            congestion: None,
            remb: None,
        }
    }

    /// Goes on from another estimator's estimate.
    pub fn resume_at(&mut self, bit_rate: u64) {
        self.target = self.range.clamp(bit_rate);
    }

    fn advance(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    /// The round trip's part that is above the shortest one of the last time.
    fn queue(&mut self, round_trip: Duration) -> Duration {
        let now = self.now;
        self.round_trips
            .retain(|(at, _)| now.saturating_sub(*at) <= ROUND_TRIP_MEMORY);
        if self.round_trips.len() >= ROUND_TRIPS_KEPT {
            self.round_trips.pop_front();
        }
        self.round_trips.push_back((now, round_trip));
        let shortest = self.round_trips.iter().map(|(_, it)| *it).min();
        round_trip.saturating_sub(shortest.unwrap_or(round_trip))
    }

    fn decrease(&mut self, factor: f64) {
        let recent = |at: Duration| self.now.saturating_sub(at) < BETWEEN_DECREASES;
        if self.last_decrease.is_some_and(recent) {
            return;
        }
        self.last_decrease = Some(self.now);
        self.congestion = Some((self.now, self.target));
        self.scale(factor);
    }

    fn increase(&mut self, time: Duration) {
        let highest = self.sent.bit_rate(self.now).saturating_mul(3) / 2 + 50_000;
        if self.target >= highest {
            return;
        }
        let careful = self.congestion.is_some_and(|(at, rate)| {
            self.now.saturating_sub(at) < CONGESTION_MEMORY && self.target > rate / 5 * 4
        });
        let rise = if careful { CAREFUL_RISE } else { RISE };
        self.scale(1.0 + rise * time.min(LONGEST_RISE).as_secs_f64());
        self.target = self.target.min(self.range.clamp(highest));
    }

    fn scale(&mut self, factor: f64) {
        if let Some(target) = self.range.clamp_f64(self.target as f64 * factor) {
            self.target = target;
        }
    }
}

impl BandwidthEstimator for ReceiverReportEstimator {
    fn sent(&mut self, packet: SentPacket) {
        self.advance(packet.sent_at);
        self.sent.add(packet.size, self.now);
    }

    fn receiver_report(&mut self, report: ReceiverReport, now: Duration) {
        self.advance(now);
        let since = self
            .now
            .saturating_sub(self.last_report.unwrap_or(self.now));
        self.last_report = Some(self.now);
        let queue = report
            .round_trip
            .map(|it| self.queue(it))
            .unwrap_or_default();
        let lost = report.fraction_lost;
        // No number is no loss and no reason to rise.
        if lost > HEAVY_LOSS {
            self.decrease((1.0 - lost).clamp(0.4, 0.85));
        } else if queue > FULL_QUEUE {
            self.decrease(0.8);
        } else if lost < LIGHT_LOSS && queue < EMPTY_QUEUE {
            self.increase(since);
        }
    }

    fn remb(&mut self, bit_rate: u64, now: Duration) {
        self.advance(now);
        self.remb = Some((self.now, bit_rate));
    }

    fn tick(&mut self, now: Duration) {
        self.advance(now);
        let old = |(at, _): &(Duration, u64)| self.now.saturating_sub(*at) > REMB_MEMORY;
        if self.remb.as_ref().is_some_and(old) {
            self.remb = None;
        }
    }

    fn target(&self) -> Option<u64> {
        let bound = self.remb.map_or(u64::MAX, |(_, bit_rate)| bit_rate);
        Some(self.range.clamp(self.target.min(bound)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn estimator() -> ReceiverReportEstimator {
        ReceiverReportEstimator::new(RateRange::new(240_000, 1_200_000, 3_000_000))
    }

    fn report(lost: f64, round_trip: u64) -> ReceiverReport {
        ReceiverReport {
            fraction_lost: lost,
            round_trip: Some(Duration::from_millis(round_trip)),
        }
    }

    /// Sends as much as the estimate for a second, and then comes the report.
    fn second(estimator: &mut ReceiverReportEstimator, it: ReceiverReport, at: u64) -> u64 {
        for n in 0..50 {
            let size = estimator.target().unwrap() / 400 - 28;
            estimator.sent(SentPacket {
                sequence: 0,
                size: usize::try_from(size).unwrap(),
                sent_at: SECOND * u32::try_from(at).unwrap() + SECOND * n / 50,
                frame: None,
            });
        }
        let now = Duration::from_secs(at + 1);
        estimator.receiver_report(it, now);
        estimator.tick(now);
        estimator.target().unwrap()
    }

    #[test]
    fn clean_reports_raise_it_by_a_tenth_a_second() {
        let mut it = estimator();
        assert_eq!(second(&mut it, report(0.0, 50), 0), 1_200_000);
        assert_eq!(second(&mut it, report(0.0, 50), 1), 1_320_000);
        assert_eq!(second(&mut it, report(0.029, 85), 2), 1_452_000);
    }

    #[test]
    fn random_loss_holds_it() {
        let mut it = estimator();
        for at in 0..10 {
            assert_eq!(second(&mut it, report(0.06, 50), at), 1_200_000);
        }
    }

    #[test]
    fn loss_or_a_full_queue_lowers_it_once_in_900_ms() {
        let mut it = estimator();
        assert_eq!(second(&mut it, report(0.9, 50), 0), 480_000);
        it.receiver_report(report(0.9, 50), Duration::from_millis(1_800));
        assert_eq!(it.target(), Some(480_000));
        assert_eq!(second(&mut it, report(0.0, 130), 2), 384_000);
    }

    #[test]
    fn after_900_ms_it_is_lowered_again() {
        let mut it = estimator();
        assert_eq!(second(&mut it, report(0.2, 50), 0), 960_000);
        it.receiver_report(report(0.2, 50), Duration::from_millis(1_900));
        assert_eq!(it.target(), Some(768_000));
    }

    #[test]
    fn at_the_bounds_of_loss_and_queue_it_stays() {
        for (lost, round_trip) in [(0.10, 50), (0.0, 120), (0.03, 50), (0.0, 90)] {
            let mut it = estimator();
            second(&mut it, report(0.0, 50), 0);
            let target = second(&mut it, report(lost, round_trip), 1);
            assert_eq!(target, 1_200_000, "{lost} {round_trip}");
        }
    }

    #[test]
    fn far_below_the_last_congestion_or_long_after_it_it_rises_as_usual() {
        for (lost, low, raised) in [(0.2, 960_000, 1_056_000), (0.9, 480_000, 528_000)] {
            let mut it = estimator();
            assert_eq!(second(&mut it, report(lost, 50), 0), low);
            assert_eq!(second(&mut it, report(0.0, 50), 1), raised);
        }
        let mut it = estimator();
        assert_eq!(second(&mut it, report(0.11, 50), 0), 1_020_000);
        second(&mut it, report(0.06, 50), 29);
        assert_eq!(second(&mut it, report(0.0, 50), 30), 1_122_000);
    }

    #[test]
    fn it_rises_to_half_more_than_what_is_sent() {
        let mut it = estimator();
        it.receiver_report(report(0.0, 50), SECOND);
        for n in 0..50 {
            it.sent(SentPacket {
                sequence: 0,
                size: 1_972,
                sent_at: SECOND * 2 + SECOND * n / 50,
                frame: None,
            });
        }
        it.receiver_report(report(0.0, 50), SECOND * 3);
        // 800 kbit/s, half of it, and 50.
        assert_eq!(it.target(), Some(1_250_000));
    }

    #[test]
    fn near_the_last_congestion_it_rises_slowly() {
        let mut it = estimator();
        second(&mut it, report(0.0, 50), 0);
        assert_eq!(second(&mut it, report(0.11, 50), 1), 1_020_000);
        assert_eq!(second(&mut it, report(0.0, 50), 2), 1_050_600);
    }

    #[test]
    fn what_is_not_sent_is_not_claimed() {
        let mut it = estimator();
        for at in 0..20 {
            it.receiver_report(report(0.0, 50), Duration::from_secs(at));
        }
        assert_eq!(it.target(), Some(1_200_000));
    }

    #[test]
    fn a_remb_is_an_upper_bound_for_a_while() {
        let mut it = estimator();
        it.remb(500_000, SECOND);
        assert_eq!(it.target(), Some(500_000));
        it.remb(0, SECOND);
        assert_eq!(it.target(), Some(240_000));
        it.tick(SECOND * 11);
        assert_eq!(it.target(), Some(240_000));
        it.tick(SECOND * 12);
        assert_eq!(it.target(), Some(1_200_000));
    }

    #[test]
    fn hostile_reports() {
        let mut it = estimator();
        for lost in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300, 1.0] {
            for at in [0, u64::MAX, 5] {
                let round_trip = Some(Duration::from_secs(at));
                let report = ReceiverReport {
                    fraction_lost: lost,
                    round_trip,
                };
                it.receiver_report(report, Duration::from_secs(at));
                it.remb(at, Duration::from_secs(at));
                let target = it.target().unwrap();
                assert!((240_000..=3_000_000).contains(&target), "{target}");
            }
        }
    }
}
