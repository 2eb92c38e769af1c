//! An estimate from transport-wide feedback, by goog_cc: libwebrtc's own estimator,
//! which IVS sees every day.
//!
//! goog_cc panics on some inputs. None of them reaches it, as far as known; should one
//! do, the estimator is given up and has no target any more. What the panic says is the
//! library's own text without foreign data; the process's panic hook prints it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use goog_cc::network_control::{NetworkControllerConfig, NetworkControllerInterface};
use goog_cc::transport::{
    NetworkControlUpdate, PacedPacketInfo, PacketResult as GoogPacketResult, ProcessInterval,
    SentPacket as GoogSentPacket, TargetRateConstraints, TransportPacketsFeedback,
};
use goog_cc::units::{DataRate, DataSize, Timestamp};
use goog_cc::{GoogCcConfig, GoogCcNetworkController};

use super::carried_rate::CarriedRate;
use super::estimator::{BandwidthEstimator, Demand, RateRange, SentPacket};
use super::filling_queue::{Arrived, FillingQueue};
use super::frame_probes::FrameProbes;
use super::loss_guard::{LossGuard, Reported};
use super::send_history::PacketResult;
use super::sent_rate::{HEADERS, SentRate};

/// How often goog_cc wants to be called.
const PROCESS_INTERVAL: Duration = Duration::from_millis(25);
/// More packets than a second of 8.5 Mbit/s has, the newest ones, are not looked at:
/// goog_cc's time grows with the square of the number (65,535 take 11 seconds).
const MOST_PACKETS: usize = 2_048;
/// A far end's clock that is further off than this was set.
const CLOCK_JUMP_US: u64 = 10_000_000;
/// Times beyond 70 years overflow goog_cc's products.
const LATEST_US: u128 = 1 << 51;
/// What goog_cc falls to after a queue has grown, of what has just arrived. That is less
/// than the network carries, since an encoder sends less than the estimate, and loss and
/// full queues have a bound of their own. libwebrtc falls to 0.85.
const BACK_OFF: f64 = 0.97;
/// The pace, in percent of the target; and while a queue on the way is full, so that it
/// drains.
const PACE: u64 = 115;
const PACE_FULL: u64 = 90;
/// The network counts as wide once nothing has limited the target for so long.
const WIDE_AFTER: Duration = Duration::from_secs(5);
/// Feedback comes several times a second, unless the network does not carry it.
const MISSED_FEEDBACK: Duration = Duration::from_secs(1);
/// No packet is larger, in bytes.
const LARGEST_PACKET: usize = 65_535;

/// Estimates by transport-wide feedback (TWCC).
pub struct GoogEstimator {
    range: RateRange,
    /// `None` after a panic.
    controller: Option<GoogCcNetworkController>,
    /// goog_cc counts time from its construction.
    started: Option<Duration>,
    now: Duration,
    next_process: Duration,
    /// goog_cc's target, and what was answered last.
    target: u64,
    answered: u64,
    /// When the network limited the target last.
    limited: Duration,
    /// When feedback came last.
    fed: Duration,
    /// Missing packets of feedback that had no other.
    carried: Vec<GoogPacketResult>,
    /// What to add to the far end's clock, in µs.
    clock_offset: Option<i64>,
    probes: FrameProbes,
    guard: LossGuard,
    filling: FillingQueue,
    carried_rate: CarriedRate,
    sent_rate: SentRate,
    demand: Option<Demand>,
}

impl GoogEstimator {
    /// An estimator that begins at the range's start, when the first packet leaves.
    #[must_use]
    pub fn new(range: RateRange) -> Self {
        Self {
            range,
            controller: catch_unwind(|| controller(range)).ok(),
            started: None,
            now: Duration::ZERO,
            next_process: Duration::ZERO,
            target: range.start(),
            answered: range.start(),
            limited: Duration::ZERO,
            fed: Duration::ZERO,
            carried: Vec::new(),
            clock_offset: None,
            probes: FrameProbes::new(),
            guard: LossGuard::new(range),
            filling: FillingQueue::default(),
            carried_rate: CarriedRate::default(),
            sent_rate: SentRate::default(),
            demand: None,
        }
    }

    /// Sets what there is to send, where that does not follow the target.
    pub fn set_demand(&mut self, demand: Option<Demand>) {
        self.demand = demand;
        let is_thinned = demand.is_some_and(|demand| demand.is_thinned);
        self.probes.set_thinned(is_thinned);
    }

    /// The delay in queues on the way, if the newest feedback showed it.
    #[must_use]
    pub fn queue_delay(&self) -> Option<Duration> {
        self.guard.queue_delay()
    }

    /// What the pacer may let leave, in bit/s: somewhat above the target, and more for a frame that
    /// serves as a probe.
    #[must_use]
    pub fn pace(&self) -> Option<u64> {
        let target = self.target()?;
        if self.filling.is_full() {
            return Some(target / 100 * PACE_FULL);
        }
        Some(match self.probes.strength() {
            Some(strength) => target / 100 * strength,
            None => pace_of(target, self.demand),
        })
    }

    /// Whether the network has carried all that there is to send for a while.
    pub(super) fn is_wide(&self) -> bool {
        self.now.saturating_sub(self.limited) >= WIDE_AFTER
    }

    /// Whether packets are lost that exceed a rate.
    pub(super) fn loses(&self) -> bool {
        self.guard.bound().is_some()
    }

    /// Whether a queue on the way has filled and not yet drained.
    pub(super) fn queue_is_full(&self) -> bool {
        self.filling.is_full()
    }

    /// The newest target, even if it has panicked since.
    pub(super) fn last_target(&self) -> u64 {
        self.answered
    }

    #[cfg(test)]
    pub(super) fn panic(&mut self) {
        self.call(|_| panic!("on purpose"));
    }

    /// The time since the start. goog_cc panics when it goes backwards.
    fn advance(&mut self, now: Duration) -> Timestamp {
        self.now = self.now.max(now);
        self.timestamp(self.now)
    }

    fn timestamp(&mut self, time: Duration) -> Timestamp {
        let started = *self.started.get_or_insert(time);
        Timestamp::from_micros(micros(time.saturating_sub(started)))
    }

    fn call(&mut self, call: impl FnOnce(&mut GoogCcNetworkController) -> NetworkControlUpdate) {
        let Some(controller) = &mut self.controller else {
            return;
        };
        // After a panic the controller is dropped, so nobody sees it half changed.
        let Ok(update) = catch_unwind(AssertUnwindSafe(|| call(controller))) else {
            self.controller = None;
            return;
        };
        // 0 stands for a rate that is not finite.
        let target = update.target_rate.map_or(0, |it| it.target_rate.bps_or(0));
        if let Some(target) = u64::try_from(target).ok().filter(|it| *it > 0) {
            self.target = self.range.clamp(target);
        }
    }

    fn result(&mut self, packet: &PacketResult<()>) -> GoogPacketResult {
        let sent_at = self.timestamp(packet.sent_at.min(self.now));
        let size = packet.size.saturating_add(HEADERS).min(LARGEST_PACKET);
        GoogPacketResult {
            sent_packet: GoogSentPacket {
                send_time: sent_at,
                size: data_size(size),
                pacing_info: self.probes.info(packet.sequence, self.answered),
                sequence_number: i64::try_from(packet.sequence).unwrap_or(i64::MAX),
                ..GoogSentPacket::default()
            },
            receive_time: packet
                .received_at
                .map_or(Timestamp::plus_infinity(), |at| self.received(at)),
            ..GoogPacketResult::default()
        }
    }

    /// A time of the far end's clock, moved so that it is near ours.
    fn received(&mut self, at: Duration) -> Timestamp {
        let at = micros(at);
        let now = self.advance(self.now).us();
        let near = self.clock_offset.map(|offset| at + offset);
        if let Some(near) = near.filter(|near| near.abs_diff(now) <= CLOCK_JUMP_US) {
            return Timestamp::from_micros(near);
        }
        self.guard.forget_delays();
        self.filling = FillingQueue::default();
        self.clock_offset = Some(now - at);
        Timestamp::from_micros(now)
    }

    /// What is left of a thinned stream comes in bursts, each of which fills a queue for a
    /// moment.
    fn notice_filling(&mut self, results: &[GoogPacketResult]) {
        if self.demand.is_some_and(|demand| demand.is_thinned) {
            self.filling = FillingQueue::default();
            return;
        }
        let arrived = results.iter().filter_map(arrived);
        if let Some(rate) = self.filling.feedback(arrived, self.now) {
            self.guard.fills(rate, self.now);
        }
    }

    /// Close to the maximum there is nothing to find out, and below a bound or with much
    /// less than the estimate to send, no use for more. A failed probe would cost a lot
    /// then, as goog_cc falls below what was sent.
    fn wants_probes(&self) -> bool {
        !self.has_enough()
            && self.guard.bound().is_none()
            && self.sent_rate.bit_rate(self.now) > self.answered / 5 * 3
    }

    fn has_enough(&self) -> bool {
        let enough = self.range.max() / 8 * 7;
        self.answered >= self.demand.map_or(enough, |it| it.bit_rate.min(enough))
    }

    fn notice_limits(&mut self) {
        let is_thinned = self.demand.is_some_and(|demand| demand.is_thinned);
        let is_silent = self.now.saturating_sub(self.fed) > MISSED_FEEDBACK;
        let is_limited = is_thinned || is_silent || self.loses() || self.queue_is_full();
        if is_limited || !self.has_enough() {
            self.limited = self.now;
        }
    }

    fn answer(&mut self, probed: bool) {
        let is_thinned = self.demand.is_some_and(|demand| demand.is_thinned);
        let target = match is_thinned {
            true => self.target.max(self.carried_rate.bit_rate()),
            false => self.target,
        };
        let target = self.guard.bound().map_or(target, |it| it.min(target));
        let target = self.range.clamp(target);
        self.probes
            .estimated(self.answered, target, probed, self.now);
        self.answered = target;
        self.notice_limits();
    }
}

impl BandwidthEstimator for GoogEstimator {
    fn sent(&mut self, packet: SentPacket) {
        let send_time = self.advance(packet.sent_at);
        self.tick(packet.sent_at);
        let size = packet.size.saturating_add(HEADERS).min(LARGEST_PACKET);
        self.sent_rate.add(packet.size, self.now);
        let wanted = self.wants_probes();
        self.probes.sent(&packet, size, wanted, self.answered);
        self.call(|controller| {
            controller.on_sent_packet(GoogSentPacket {
                send_time,
                size: data_size(size),
                sequence_number: i64::try_from(packet.sequence).unwrap_or(i64::MAX),
                ..GoogSentPacket::default()
            })
        });
    }

    fn feedback(&mut self, results: &[PacketResult<()>], now: Duration) {
        let feedback_time = self.advance(now);
        let newest = &results[results.len().saturating_sub(MOST_PACKETS)..];
        let results: Vec<_> = newest.iter().map(|it| self.result(it)).collect();
        let target = self.target;
        let now = self.now;
        self.guard
            .feedback(results.iter().map(reported), target, now);
        self.notice_filling(&results);
        self.carried_rate.note(self.guard.calm_rate(), now);
        let probed = results
            .iter()
            .any(|it| it.sent_packet.pacing_info != PacedPacketInfo::default());
        self.carried.extend(results);
        let surplus = self.carried.len().saturating_sub(MOST_PACKETS);
        self.carried.drain(..surplus);
        if !self.carried.iter().any(GoogPacketResult::is_received) {
            // goog_cc panics without a packet that arrived.
            return;
        }
        let report = TransportPacketsFeedback {
            feedback_time,
            packet_feedbacks: std::mem::take(&mut self.carried),
            ..TransportPacketsFeedback::default()
        };
        self.call(|controller| controller.on_transport_packets_feedback(report));
        self.fed = now;
        self.answer(probed);
    }

    fn tick(&mut self, now: Duration) {
        let at_time = self.advance(now);
        if self.now < self.next_process {
            return;
        }
        self.next_process = self.now.saturating_add(PROCESS_INTERVAL);
        self.call(|controller| {
            controller.on_process_interval(ProcessInterval {
                at_time,
                pacer_queue: None,
            })
        });
        self.answer(false);
    }

    fn target(&self) -> Option<u64> {
        self.controller.as_ref().map(|_| self.answered)
    }
}

/// The pace is little more than the target, so that a key frame fills no queue. A stream
/// that does not follow it has little more than its own, for a target above that is not
/// proven. While frames of it are left out, the queue hardly ends, and the pace is what is
/// sent.
pub(super) fn pace_of(target: u64, demand: Option<Demand>) -> u64 {
    match demand {
        Some(demand) if demand.is_thinned => target,
        Some(demand) => demand.bit_rate / 100 * PACE,
        None => target / 100 * PACE,
    }
}

fn controller(range: RateRange) -> GoogCcNetworkController {
    // Exact: a range ends at 1 Gbit/s.
    let rate = |it: u64| DataRate::from_bits_per_sec(it.cast_signed());
    let mut config = NetworkControllerConfig {
        constraints: TargetRateConstraints {
            at_time: Timestamp::zero(),
            min_data_rate: Some(rate(range.min())),
            max_data_rate: Some(rate(range.max())),
            // Without it the construction panics.
            starting_rate: Some(rate(range.start())),
        },
        ..NetworkControllerConfig::default()
    };
    config.field_trials.bwe_back_off_factor.backoff_factor = BACK_OFF;
    // Round trips of receiver reports, one of 0 above all, are not for it.
    GoogCcNetworkController::new(
        config,
        GoogCcConfig {
            feedback_only: true,
        },
    )
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros().min(LATEST_US)).unwrap_or(i64::MAX)
}

fn data_size(bytes: usize) -> DataSize {
    DataSize::from_bytes(i64::try_from(bytes).unwrap_or(i64::MAX))
}

fn reported(result: &GoogPacketResult) -> Reported {
    let sent = result.sent_packet;
    Reported {
        size: u64::try_from(sent.size.bytes()).unwrap_or_default(),
        delay: result
            .is_received()
            .then(|| (result.receive_time.us() - sent.send_time.us()) / 1_000),
    }
}

fn arrived(result: &GoogPacketResult) -> Option<Arrived> {
    let Reported { size, delay } = reported(result);
    delay.map(|delay| Arrived {
        // Infinite for a lost one, of which goog_cc panics.
        at: result.receive_time.us() / 1_000,
        delay,
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::super::send_history::PacketKind;
    use super::*;

    const RANGE: (u64, u64, u64) = (240_000, 1_200_000, 3_000_000);

    fn estimator() -> GoogEstimator {
        GoogEstimator::new(RateRange::new(RANGE.0, RANGE.1, RANGE.2))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A packet that left at so many ms and took so many to arrive.
    fn packet(sequence: u64, sent: u64, delay: Option<u64>) -> PacketResult<()> {
        PacketResult {
            sequence,
            size: 1_000,
            kind: PacketKind::Video,
            probe: None,
            sent_at: ms(sent),
            // The far end's clock is no clock of ours.
            received_at: delay.map(|delay| ms(1_000_000 + sent + delay)),
        }
    }

    /// Sends a packet each 10 ms, with feedback on five at a time after 50 ms. `delay`
    /// is that of the packet that left at so many ms.
    fn run(
        it: &mut GoogEstimator,
        from: u64,
        to: u64,
        delay: impl Fn(u64) -> Option<u64>,
    ) -> Option<u64> {
        for sent in (from..to).step_by(10) {
            let (sequence, sent_at) = (sent / 10, ms(sent));
            it.sent(SentPacket {
                sequence,
                size: 1_000,
                sent_at,
                frame: None,
            });
            if sent % 50 == 40 && sent >= 90 {
                let reported = (sent - 90..sent - 40).step_by(10);
                let packets: Vec<_> = reported.map(|at| packet(at / 10, at, delay(at))).collect();
                it.feedback(&packets, sent_at);
            }
        }
        it.target()
    }

    fn assert_sane(it: &GoogEstimator, after: &str) {
        let target = it.target().unwrap_or_else(|| panic!("panicked: {after}"));
        assert!(
            (RANGE.0..=RANGE.2).contains(&target),
            "{target} after {after}"
        );
    }

    #[test]
    fn a_wide_network_raises_it_and_a_queue_lowers_it() {
        let mut it = estimator();
        let raised = run(&mut it, 0, 8_000, |_| Some(25)).unwrap();
        assert!(raised > 1_200_000, "{raised}");
        assert_eq!(it.queue_delay(), Some(Duration::ZERO));
        let lowered = run(&mut it, 8_000, 10_000, |at| Some(25 + (at - 7_000) / 10)).unwrap();
        assert!(lowered < 1_000_000, "{lowered}");
        assert!(it.queue_delay() > Some(ms(100)));
    }

    /// An estimator for a stream that is less than it begins with.
    fn estimator_of_little() -> GoogEstimator {
        let mut it = estimator();
        it.set_demand(Some(Demand {
            bit_rate: 800_000,
            is_thinned: false,
        }));
        it
    }

    #[test]
    fn it_is_wide_after_five_seconds_without_a_limit() {
        // A connection may take a while, and an estimator may begin late.
        for begun in [0, 1_000_000] {
            let mut it = estimator_of_little();
            run(&mut it, begun, begun + 4_900, |_| Some(25));
            assert!(!it.is_wide(), "{begun}");
            run(&mut it, begun + 4_900, begun + 5_500, |_| Some(25));
            assert!(it.is_wide(), "{begun}");
            let queue = |at: u64| Some(25 + at.saturating_sub(begun + 5_500) / 5);
            run(&mut it, begun + 5_500, begun + 7_500, queue);
            assert!(!it.is_wide(), "{begun}");
        }
    }

    #[test]
    fn it_is_not_wide_without_feedback() {
        let mut it = estimator_of_little();
        run(&mut it, 0, 8_000, |_| Some(25));
        // The latest came after 7.99 s.
        it.tick(ms(8_990));
        assert!(it.is_wide());
        it.tick(ms(9_020));
        assert!(!it.is_wide());
    }

    #[test]
    fn it_is_not_wide_while_packets_are_lost_that_exceed_a_rate() {
        let mut it = estimator();
        it.set_demand(Some(Demand {
            bit_rate: 100_000,
            is_thinned: false,
        }));
        run(&mut it, 0, 8_000, |_| Some(25));
        assert!(it.is_wide());
        run(&mut it, 8_000, 9_500, |at| (at % 50 > 0).then_some(25));
        assert!(it.loses() && !it.queue_is_full());
        // The target alone would not say so.
        assert!(it.has_enough());
        assert!(!it.is_wide());
    }

    #[test]
    fn goog_cc_is_called_each_25_ms() {
        let mut it = estimator();
        let mut calls = Vec::new();
        for now in 500..=600 {
            let before = it.next_process;
            it.tick(ms(now));
            if it.next_process != before {
                calls.push(now);
            }
        }
        assert_eq!(calls, [500, 525, 550, 575, 600]);
    }

    #[test]
    fn it_is_not_wide_while_the_target_is_low_or_frames_are_left_out() {
        let mut it = estimator();
        run(&mut it, 0, 8_000, |_| Some(25));
        assert!(it.target().unwrap() < RANGE.2 / 8 * 7);
        assert!(!it.is_wide());
        let mut it = estimator();
        it.set_demand(Some(Demand {
            bit_rate: 800_000,
            is_thinned: true,
        }));
        run(&mut it, 0, 8_000, |_| Some(25));
        assert!(!it.is_wide());
    }

    #[test]
    fn a_queue_that_fills_all_of_a_sudden_bounds_target_and_pace() {
        let mut it = estimator();
        run(&mut it, 0, 3_000, |_| Some(25));
        assert!(!it.queue_is_full() && !it.loses());
        let target = run(&mut it, 3_000, 3_150, |at| Some(25 + at / 3_000 * 100)).unwrap();
        assert!(it.queue_is_full() && it.loses());
        // Ten packets arrive in the 200 ms that end with the first late ones.
        assert_eq!(target, 1_028 * 8 * 50 / 100 * 80);
        assert_eq!(it.pace(), Some(target / 100 * PACE_FULL));
        assert!(!it.wants_probes());
    }

    #[test]
    fn bursts_of_a_thinned_stream_are_no_queue_that_fills() {
        let mut it = estimator();
        it.set_demand(Some(Demand {
            bit_rate: 2_000_000,
            is_thinned: true,
        }));
        run(&mut it, 0, 3_000, |_| Some(25));
        run(&mut it, 3_000, 3_150, |at| Some(25 + at / 3_000 * 100));
        assert!(!it.queue_is_full() && !it.loses());
        assert_eq!(it.pace(), it.target());
    }

    /// Packets of this size for a second, each 10 ms, without feedback.
    fn sent(range: RateRange, size: usize) -> GoogEstimator {
        let mut it = GoogEstimator::new(range);
        for sequence in 0..100 {
            it.sent(SentPacket {
                sequence,
                size,
                sent_at: ms(sequence * 10),
                frame: None,
            });
        }
        assert_eq!(it.target(), Some(range.start()));
        it
    }

    #[test]
    fn probes_are_of_use_while_enough_is_sent_and_more_is_wanted() {
        let wants = |max, size, demand: Option<u64>| {
            let mut it = sent(RateRange::new(RANGE.0, RANGE.1, max), size);
            it.set_demand(demand.map(|bit_rate| Demand {
                bit_rate,
                is_thinned: false,
            }));
            it.wants_probes()
        };
        // 900 bytes with headers are three fifths of the target.
        assert!(wants(RANGE.2, 873, None));
        assert!(!wants(RANGE.2, 872, None));
        assert!(wants(RANGE.2, 1_000, Some(RANGE.1 + 1)));
        assert!(!wants(RANGE.2, 1_000, Some(RANGE.1)));
        // The target is seven eighths of the most.
        assert!(wants(1_371_432, 1_000, None));
        assert!(!wants(1_371_424, 1_000, None));
    }

    #[test]
    fn the_pace_is_that_of_what_is_sent_with_some_room() {
        let pace = |is_thinned| {
            let bit_rate = 500_000;
            let demand = Demand {
                bit_rate,
                is_thinned,
            };
            pace_of(1_000_000, Some(demand))
        };
        assert_eq!(pace_of(1_000_000, None), 1_150_000);
        assert_eq!(pace(false), 575_000);
        assert_eq!(pace(true), 1_000_000);
    }

    #[test]
    fn a_frame_that_is_a_probe_leaves_faster() {
        let mut it = sent(RateRange::new(RANGE.0, RANGE.1, RANGE.2), 1_000);
        assert_eq!(it.pace(), Some(RANGE.1 / 100 * PACE));
        it.sent(SentPacket {
            sequence: 100,
            size: 1_000,
            sent_at: ms(1_000),
            frame: Some(1),
        });
        assert_eq!(it.pace(), Some(RANGE.1 / 100 * 150));
    }

    /// Six packets that arrive faster than what was sent before. Returns the target ahead of
    /// them, too.
    fn burst(frame: Option<u32>) -> (GoogEstimator, u64) {
        let mut it = sent(RateRange::new(RANGE.0, RANGE.1, RANGE.2), 1_000);
        run(&mut it, 1_000, 3_000, |_| Some(25));
        let before = it.target().unwrap();
        let burst: Vec<_> = (0..6)
            .map(|n| packet(300 + n, 3_000 + 2 * n, Some(25)))
            .collect();
        for packet in &burst {
            it.sent(SentPacket {
                sequence: packet.sequence,
                size: packet.size,
                sent_at: packet.sent_at,
                frame,
            });
        }
        it.feedback(&burst, ms(3_050));
        (it, before)
    }

    #[test]
    fn a_frame_that_arrives_faster_raises_it_at_once() {
        let raised = |frame| {
            let (it, before) = burst(frame);
            it.target().unwrap() > before / 100 * 120
        };
        assert!(raised(Some(1)));
        assert!(!raised(None));
    }

    #[test]
    fn once_a_probe_raised_it_too_far_the_next_one_comes_later() {
        let next_probe = |frame| {
            let (mut it, _) = burst(frame);
            let raised = it.target().unwrap();
            run(&mut it, 3_100, 5_000, |at| {
                Some(25 + at.saturating_sub(3_100) / 15)
            });
            assert!(
                it.target().unwrap() < raised / 100 * 80,
                "{:?} {raised}",
                it.target()
            );
            (5..60).find(|second| {
                let from = second * 1_000;
                run(&mut it, from, from + 1_000, |_| Some(25));
                for n in 0..6 {
                    it.sent(SentPacket {
                        sequence: (from + 990) / 10,
                        size: 1_000,
                        sent_at: ms(from + 990 + n),
                        frame: Some(u32::try_from(*second).unwrap()),
                    });
                }
                it.pace().unwrap() > it.target().unwrap() / 100 * 120
            })
        };
        // Twelve seconds after the fall in place of three.
        assert_eq!(next_probe(None), Some(6));
        assert_eq!(next_probe(Some(1)), Some(15));
    }

    #[test]
    fn a_far_ends_clock_that_was_set_is_no_queue() {
        let queue = |jump| {
            let mut it = estimator();
            it.sent(SentPacket {
                sequence: 0,
                size: 1_000,
                sent_at: ms(0),
                frame: None,
            });
            let first = packet(0, 0, Some(0));
            it.feedback(&[first], ms(100));
            let later = Duration::from_secs(1) + Duration::from_micros(jump);
            let received_at = first.received_at.map(|at| at + later);
            let second = PacketResult {
                received_at,
                ..packet(1, 1_000, None)
            };
            it.feedback(&[second], ms(1_100));
            it.queue_delay()
        };
        assert_eq!(queue(CLOCK_JUMP_US), Some(ms(10_000)));
        assert_eq!(queue(CLOCK_JUMP_US + 1), Some(ms(0)));
    }

    #[test]
    fn loss_of_everything_waits_for_a_packet_that_arrives() {
        let mut it = estimator();
        run(&mut it, 0, 2_000, |_| Some(25));
        run(&mut it, 2_000, 4_000, |_| None);
        assert_sane(&it, "loss of all");
        assert!(!it.carried.is_empty());
        run(&mut it, 4_000, 5_000, |_| Some(25));
        assert!(it.carried.is_empty());
        let lost: Vec<_> = (0..65_535).map(|n| packet(n, 0, None)).collect();
        it.feedback(&lost, ms(5_000));
        assert_eq!(it.carried.len(), MOST_PACKETS);
        run(&mut it, 5_000, 6_000, |_| Some(25));
        assert_sane(&it, "65,535 lost packets");
    }

    #[test]
    fn hostile_feedback_does_not_reach_goog_cc() {
        let mut it = estimator();
        run(&mut it, 0, 1_000, |_| Some(25));
        it.feedback(&[], ms(1_000));
        assert_sane(&it, "none");
        it.feedback(
            &[packet(u64::MAX, 0, Some(9)), packet(0, 9, Some(9))],
            ms(1_000),
        );
        assert_sane(&it, "unknown numbers");
        it.feedback(&vec![packet(90, 900, Some(25)); 1_000], ms(1_010));
        assert_sane(&it, "duplicates");
        let backwards: Vec<_> = (0..1_000)
            .map(|n| packet(n, n, Some(5_000 - 3 * n)))
            .collect();
        it.feedback(&backwards, ms(1_020));
        assert_sane(&it, "times that run back");
        it.feedback(&[packet(95, 950, Some(25))], Duration::ZERO);
        assert_sane(&it, "now that runs back");
        let many: Vec<_> = (0..65_535).map(|n| packet(n, 1_000, Some(25))).collect();
        it.feedback(&many, ms(1_100));
        assert_sane(&it, "65,535 packets that left at once");
        for size in [0, usize::MAX] {
            let odd = PacketResult {
                size,
                ..packet(96, u64::MAX / 2, Some(9))
            };
            it.feedback(&[odd; 9], ms(1_110));
            assert_sane(&it, "sizes");
        }
        for at in [
            Duration::ZERO,
            Duration::MAX,
            ms(1),
            Duration::from_secs(1 << 40),
        ] {
            let odd = PacketResult {
                received_at: Some(at),
                ..packet(97, 1_000, None)
            };
            it.feedback(&[odd, packet(98, 1_000, Some(25)), odd], ms(1_120));
            assert_sane(&it, "far times");
        }
        run(&mut it, 1_200, 3_000, |_| Some(25));
        assert_sane(&it, "all of it");
    }

    /// Numbers by a linear congruential generator.
    fn random(state: &mut u64, below: u64) -> u64 {
        *state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (*state >> 33) % below
    }

    #[test]
    fn random_feedback_moves_nothing_out_of_the_range() {
        let mut state = 7;
        for round in 0..20 {
            let mut it = estimator();
            let mut now = 0;
            for n in 0..2_000 {
                now += random(&mut state, 40);
                let sent = SentPacket {
                    sequence: n,
                    size: usize::try_from(random(&mut state, 2_000)).unwrap(),
                    sent_at: ms(now),
                    frame: Some(u32::try_from(n / 8).unwrap()),
                };
                it.sent(sent);
                let count = random(&mut state, 30) * random(&mut state, 2);
                let packets: Vec<_> = (0..count)
                    .map(|_| PacketResult {
                        sequence: (n + 5).saturating_sub(random(&mut state, 60)),
                        kind: PacketKind::Audio,
                        probe: None,
                        size: usize::try_from(random(&mut state, 2_000)).unwrap(),
                        sent_at: ms((now + 50).saturating_sub(random(&mut state, 2_000))),
                        received_at: (random(&mut state, 3) > 0)
                            .then(|| ms(random(&mut state, 20_000) * random(&mut state, 9))),
                    })
                    .collect();
                it.feedback(&packets, ms(now.saturating_sub(random(&mut state, 50))));
                assert_sane(&it, &format!("round {round}, packet {n}"));
            }
        }
    }

    #[test]
    fn a_panic_is_the_estimators_end() {
        let mut it = estimator();
        it.panic();
        assert_eq!(it.target(), None);
        assert_eq!(run(&mut it, 0, 1_000, |_| Some(25)), None);
    }

    /// The times are far from 0 when a session begins late in a process.
    #[test]
    fn it_does_not_matter_when_it_begins() {
        let (mut early, mut late) = (estimator(), estimator());
        run(&mut early, 0, 5_000, |_| Some(25));
        run(&mut late, 1_000_000_000_000, 1_000_000_005_000, |_| {
            Some(25)
        });
        assert!(early.target().unwrap().abs_diff(late.target().unwrap()) < 200_000);
    }
}
