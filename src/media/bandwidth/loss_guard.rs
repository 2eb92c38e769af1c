//! A bound for the estimate while the network drops what exceeds its rate.
//!
//! goog_cc's delay detector sees a queue that grows. It does not see one that stays full,
//! since a foreign stream fills it, nor a policer, which has no queue. Its loss detector
//! takes many seconds for the first and swings around the rate of the second.

use std::collections::VecDeque;
use std::time::Duration;

use super::estimator::RateRange;

/// Losses and delays of a full queue are counted over this time.
const WINDOW: Duration = Duration::from_millis(600);
/// Losses without a queue are counted over this time: random ones come in bursts.
const LONG_WINDOW: Duration = Duration::from_secs(2);
/// Fewer packets in either say nothing.
const FEWEST_PACKETS: usize = 10;
const FEWEST_PACKETS_LONG: usize = 100;
/// For this long the shortest delay counts as that of an empty queue, in seconds.
const SHORTEST_DELAY_MEMORY: u64 = 10;
const LONG_QUEUE_MS: i64 = 50;
/// A queue that a foreign stream keeps full loses little of ours.
const FULL_QUEUE_MS: i64 = 100;
const EMPTY_QUEUE_MS: i64 = 40;
/// The shares of lost packets that lower the bound, and that let it rise, in percent.
const HEAVY_LOSS: usize = 8;
const LIGHT_LOSS: usize = 2;
/// More is an outage, of which the rate is not the cause.
const OUTAGE: usize = 50;
/// Loss that stays heavy through so many decreases is random. It is ignored for a while.
const POLICER_DECREASES: u32 = 3;
const RANDOM_LOSS_MEMORY: Duration = Duration::from_secs(30);

/// What drops packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    FullQueue,
    /// Drops what exceeds a rate and a burst, without a queue.
    Policer,
}

impl Cause {
    /// The part of what arrives that the bound becomes, in percent.
    fn part(self) -> u64 {
        match self {
            Self::FullQueue => 80,
            Self::Policer => 90,
        }
    }

    /// From one decrease to the next.
    fn between_decreases(self) -> Duration {
        match self {
            Self::FullQueue => Duration::from_millis(500),
            Self::Policer => LONG_WINDOW,
        }
    }

    /// From a decrease to the first increase.
    fn before_increase(self) -> Duration {
        match self {
            Self::FullQueue => Duration::from_secs(1),
            Self::Policer => Duration::from_secs(3),
        }
    }

    /// Increase in a second.
    fn increase(self) -> f64 {
        match self {
            Self::FullQueue => 0.28,
            Self::Policer => 0.02,
        }
    }
}

/// A packet that was reported.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reported {
    /// With IP and UDP headers, in bytes.
    pub(super) size: u64,
    /// Arrival minus departure in ms, of clocks with any offset. `None` if lost.
    pub(super) delay: Option<i64>,
}

/// Watches losses and delays.
#[derive(Clone, Debug)]
pub(super) struct LossGuard {
    range: RateRange,
    /// The packets of the long window, and how many of them precede the short one.
    packets: VecDeque<(Duration, Reported)>,
    before_short: usize,
    /// The shortest delay in each second.
    shortest: VecDeque<(u64, i64)>,
    queue: Option<i64>,
    bound: Option<u64>,
    decrease: Option<(Cause, Duration)>,
    policer_decreases: u32,
    random_loss: Option<Duration>,
    last_feedback: Option<Duration>,
}

/// Packets in a window.
#[derive(Clone, Copy)]
struct Counts {
    packets: usize,
    lost: usize,
}

impl LossGuard {
    /// No bound is outside of this range.
    pub(super) fn new(range: RateRange) -> Self {
        Self {
            range,
            packets: VecDeque::new(),
            before_short: 0,
            shortest: VecDeque::new(),
            queue: None,
            bound: None,
            decrease: None,
            policer_decreases: 0,
            random_loss: None,
            last_feedback: None,
        }
    }

    /// What the newest feedback says. `target` is the estimate that the bound is for.
    pub(super) fn feedback(
        &mut self,
        packets: impl Iterator<Item = Reported>,
        target: u64,
        now: Duration,
    ) {
        for packet in packets {
            self.note_delay(packet.delay, now);
            self.packets.push_back((now, packet));
        }
        let age = |at: Duration| now.saturating_sub(at);
        while self
            .packets
            .front()
            .is_some_and(|(at, _)| age(*at) >= LONG_WINDOW)
        {
            self.packets.pop_front();
        }
        self.before_short = self.packets.partition_point(|(at, _)| age(*at) >= WINDOW);
        self.queue = self.low_delay();
        self.judge(now);
        self.bound = self.bound.filter(|bound| *bound < target);
    }

    /// A queue begins to fill, and so much arrives.
    pub(super) fn fills(&mut self, received: u64, now: Duration) {
        if self.may_decrease(Cause::FullQueue, now) {
            self.bound_to(Cause::FullQueue, received, now);
        }
    }

    /// Other clock or route: delays are not comparable any more.
    pub(super) fn forget_delays(&mut self) {
        self.packets.clear();
        self.before_short = 0;
        self.shortest.clear();
        self.queue = None;
    }

    /// The bound, in bit/s, while there is one.
    pub(super) fn bound(&self) -> Option<u64> {
        self.bound
    }

    /// The delay in queues on the way.
    pub(super) fn queue_delay(&self) -> Option<Duration> {
        let ms = u64::try_from(self.queue?).unwrap_or_default();
        Some(Duration::from_millis(ms))
    }

    /// What arrives, in bit/s, if that makes no queue and loses nothing.
    pub(super) fn calm_rate(&self) -> Option<u64> {
        let loses = self.counts(0).exceeds(LIGHT_LOSS);
        let queue = self.queue.filter(|queue| *queue < EMPTY_QUEUE_MS && !loses);
        queue.map(|_| self.received_rate(self.before_short, WINDOW))
    }

    fn judge(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.last_feedback.replace(now).unwrap_or(now));
        let short = self.counts(self.before_short);
        let Some(queue) = self.queue.filter(|_| short.packets >= FEWEST_PACKETS) else {
            return;
        };
        let heavy = short.exceeds(HEAVY_LOSS) && queue > LONG_QUEUE_MS;
        if heavy || (short.exceeds(LIGHT_LOSS) && queue > FULL_QUEUE_MS) {
            self.decrease(Cause::FullQueue, now);
        } else if self.is_policed(short) {
            self.police(now);
        } else {
            self.increase(short, queue, passed, now);
        }
    }

    fn is_policed(&self, short: Counts) -> bool {
        let long = self.counts(0);
        long.packets >= FEWEST_PACKETS_LONG && long.exceeds(HEAVY_LOSS) && !short.exceeds(OUTAGE)
    }

    fn police(&mut self, now: Duration) {
        if self.policer_decreases >= POLICER_DECREASES {
            self.policer_decreases = 0;
            self.bound = None;
            self.random_loss = Some(now);
        }
        let recent = |at: Duration| now.saturating_sub(at) < RANDOM_LOSS_MEMORY;
        if !self.random_loss.is_some_and(recent) && self.decrease(Cause::Policer, now) {
            self.policer_decreases += 1;
        }
    }

    /// Lowers the bound if it is time for it, and says whether it was.
    fn decrease(&mut self, cause: Cause, now: Duration) -> bool {
        if !self.may_decrease(cause, now) {
            return false;
        }
        let received = match cause {
            Cause::FullQueue => self.received_rate(self.before_short, WINDOW),
            Cause::Policer => self.received_rate(0, LONG_WINDOW),
        };
        self.bound_to(cause, received, now);
        true
    }

    fn may_decrease(&self, cause: Cause, now: Duration) -> bool {
        let wait = cause.between_decreases();
        let too_soon = |(_, at): (Cause, Duration)| now.saturating_sub(at) < wait;
        !self.decrease.is_some_and(too_soon)
    }

    fn bound_to(&mut self, cause: Cause, received: u64, now: Duration) {
        self.decrease = Some((cause, now));
        let bound = received / 100 * cause.part();
        let bound = self.bound.map_or(bound, |it| it.min(bound));
        self.bound = Some(self.range.clamp(bound));
    }

    /// Raises the bound. Random loss on top does not hold that of a policer down.
    fn increase(&mut self, short: Counts, queue: i64, passed: Duration, now: Duration) {
        let Some((cause, at)) = self.decrease else {
            return;
        };
        let calm = match cause {
            Cause::FullQueue => !short.exceeds(LIGHT_LOSS) && queue < EMPTY_QUEUE_MS,
            Cause::Policer => !short.exceeds(HEAVY_LOSS),
        };
        if !calm || now.saturating_sub(at) < cause.before_increase() {
            return;
        }
        self.policer_decreases = 0;
        let passed = passed.min(Duration::from_millis(500)).as_secs_f64();
        let raised = |bound| bound as f64 * (1.0 + cause.increase() * passed);
        self.bound = self
            .bound
            .and_then(|bound| self.range.clamp_f64(raised(bound).ceil()));
    }

    /// The packets but for so many of the oldest.
    fn counts(&self, skipped: usize) -> Counts {
        let lost = |(_, it): &&(Duration, Reported)| it.delay.is_none();
        Counts {
            packets: self.packets.len() - skipped,
            lost: self.packets.range(skipped..).filter(lost).count(),
        }
    }

    fn note_delay(&mut self, delay: Option<i64>, now: Duration) {
        let Some(delay) = delay else {
            return;
        };
        let second = now.as_secs();
        match self.shortest.back_mut() {
            Some((last, shortest)) if *last == second => *shortest = delay.min(*shortest),
            _ => self.shortest.push_back((second, delay)),
        }
        let old = |at: u64| second.saturating_sub(at) >= SHORTEST_DELAY_MEMORY;
        while self.shortest.front().is_some_and(|(at, _)| old(*at)) {
            self.shortest.pop_front();
        }
    }

    /// The delay that a tenth of the packets fall below, above the shortest one: a key
    /// frame's own queue does not count.
    fn low_delay(&self) -> Option<i64> {
        let shortest = self.shortest.iter().map(|(_, delay)| *delay).min()?;
        let recent = self.packets.range(self.before_short..);
        let mut delays: Vec<i64> = recent.filter_map(|(_, it)| it.delay).collect();
        if delays.is_empty() {
            return None;
        }
        let tenth = delays.len() / 10;
        let (_, low, _) = delays.select_nth_unstable(tenth);
        Some(low.saturating_sub(shortest))
    }

    /// Bit/s that arrived in a window, which begins after so many packets.
    fn received_rate(&self, skipped: usize, window: Duration) -> u64 {
        let received = self
            .packets
            .range(skipped..)
            .filter(|(_, it)| it.delay.is_some());
        let bytes = received.fold(0_u64, |sum, (_, it)| sum.saturating_add(it.size));
        let ms = u64::try_from(window.as_millis()).unwrap_or(u64::MAX);
        bytes.saturating_mul(8_000) / ms
    }
}

impl Counts {
    fn exceeds(self, percent: usize) -> bool {
        self.lost * 100 > self.packets * percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: u64 = 1_000_000;

    fn guard() -> LossGuard {
        LossGuard::new(RateRange::new(100_000, TARGET, 2_000_000))
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Feedback on 20 packets of 250 bytes every 100 ms, so many of them lost. The bound
    /// at the end.
    fn run(it: &mut LossGuard, from: u64, count: u64, lost: usize, delay: i64) -> Option<u64> {
        for n in 0..count {
            let packets = (0..20).map(|packet| Reported {
                size: 250,
                delay: (packet >= lost).then_some(delay),
            });
            it.feedback(packets, TARGET, ms(from + n * 100));
        }
        it.bound()
    }

    #[test]
    fn loss_and_a_full_queue_bound_it() {
        let mut it = guard();
        assert_eq!(run(&mut it, 0, 50, 0, 1_000), None);
        // 16 of 20 packets are 320 kbit/s.
        assert_eq!(run(&mut it, 5_000, 10, 4, 1_060), Some(256_000));
        assert_eq!(it.queue_delay(), Some(ms(60)));
    }

    #[test]
    fn a_long_queue_or_light_loss_alone_does_not() {
        let mut it = guard();
        assert_eq!(run(&mut it, 0, 50, 0, 1_000), None);
        assert_eq!(run(&mut it, 5_000, 50, 0, 1_150), None);
        let mut it = guard();
        assert_eq!(run(&mut it, 0, 50, 1, 1_000), None);
        assert_eq!(run(&mut it, 5_000, 50, 1, 1_100), None);
        assert!(run(&mut it, 10_000, 50, 1, 1_101).is_some());
        let mut it = guard();
        assert_eq!(run(&mut it, 0, 50, 0, 1_000), None);
        // Too soon for a policer.
        assert_eq!(run(&mut it, 5_000, 6, 4, 1_050), None);
        assert!(run(&mut it, 5_600, 6, 4, 1_051).is_some());
    }

    #[test]
    fn a_policer_bounds_it() {
        let mut it = guard();
        assert_eq!(run(&mut it, 0, 50, 0, 1_000), None);
        // 8 % of 2 s are lost after 800 ms.
        let bound = run(&mut it, 5_000, 10, 4, 1_000).unwrap();
        assert!((300_000..360_000).contains(&bound), "{bound}");
        let held = run(&mut it, 6_000, 20, 0, 1_000).unwrap();
        assert_eq!(held, bound);
        let raised = run(&mut it, 8_000, 30, 1, 1_000).unwrap();
        assert!((bound + 1..bound / 10 * 11).contains(&raised), "{raised}");
    }

    #[test]
    fn loss_that_lower_rates_do_not_cure_is_random() {
        let mut it = guard();
        run(&mut it, 0, 50, 0, 1_000);
        assert!(run(&mut it, 5_000, 45, 4, 1_000).is_some());
        // It is known to be random at 9.9 s.
        assert_eq!(run(&mut it, 9_500, 304, 4, 1_000), None);
        assert!(run(&mut it, 39_900, 1, 4, 1_000).is_some());
    }

    #[test]
    fn an_outage_lowers_it_only_as_it_begins() {
        let mut it = guard();
        run(&mut it, 0, 50, 0, 1_000);
        // 90 % of what arrived in the 2 s before.
        assert_eq!(run(&mut it, 5_000, 10, 20, 1_000), Some(324_000));
        assert_eq!(run(&mut it, 6_000, 50, 15, 1_000), Some(324_000));
    }

    #[test]
    fn another_route_becomes_the_usual_one() {
        let mut it = guard();
        run(&mut it, 0, 50, 0, 1_000);
        run(&mut it, 5_000, 110, 0, 1_060);
        assert_eq!(run(&mut it, 16_000, 5, 4, 1_060), None);
        it.forget_delays();
        assert_eq!(it.queue_delay(), None);
    }

    #[test]
    fn a_queue_that_fills_bounds_it_twice_a_second_at_most() {
        let mut it = guard();
        it.fills(1_000_000, ms(5_000));
        assert_eq!(it.bound(), Some(800_000));
        it.fills(500_000, ms(5_499));
        assert_eq!(it.bound(), Some(800_000));
        it.fills(500_000, ms(5_500));
        assert_eq!(it.bound(), Some(400_000));
        it.fills(900_000, ms(6_000));
        assert_eq!(it.bound(), Some(400_000));
    }

    #[test]
    fn a_bound_at_the_target_is_none() {
        for (target, bound) in [(400_001, Some(400_000)), (400_000, None)] {
            let mut it = guard();
            it.fills(500_000, ms(5_000));
            it.feedback(std::iter::empty(), target, ms(5_100));
            assert_eq!(it.bound(), bound);
        }
    }

    #[test]
    fn it_rises_a_second_after_a_decrease_without_queue_and_loss() {
        let rises = |at, lost, delay| {
            let mut it = guard();
            run(&mut it, 0, 50, 0, 1_000);
            it.fills(500_000, ms(5_000));
            let steps = (at - 5_100) / 100;
            assert_eq!(run(&mut it, 5_100, steps, lost, delay), Some(400_000));
            run(&mut it, at, 1, lost, delay) > Some(400_000)
        };
        assert!(rises(6_000, 0, 1_039));
        assert!(!rises(5_900, 0, 1_039), "too soon");
        assert!(!rises(6_000, 0, 1_040), "a queue");
        assert!(!rises(6_000, 1, 1_039), "loss");
    }

    #[test]
    fn what_arrives_counts_as_calm_without_queue_and_loss() {
        let rate = |lost, delay| {
            let mut it = guard();
            assert_eq!(it.calm_rate(), None);
            run(&mut it, 0, 50, 0, 1_000);
            run(&mut it, 5_000, 20, lost, delay);
            it.calm_rate()
        };
        // 20 packets of 250 bytes each 100 ms.
        assert_eq!(rate(0, 1_039), Some(400_000));
        assert_eq!(rate(0, 1_040), None);
        assert_eq!(rate(1, 1_000), None);
    }

    #[test]
    fn shares_are_exceeded_by_more() {
        let exceeds = |lost| Counts { packets: 100, lost }.exceeds(HEAVY_LOSS);
        assert!(exceeds(9) && !exceeds(8));
    }

    #[test]
    fn one_delay_a_second_is_remembered() {
        let mut it = guard();
        run(&mut it, 0, 150, 0, 1_000);
        assert_eq!(it.shortest.len(), 10);
    }

    #[test]
    fn it_rises_and_ends() {
        let mut it = guard();
        run(&mut it, 0, 50, 0, 1_000);
        run(&mut it, 5_000, 6, 4, 1_060);
        let bound = run(&mut it, 5_600, 4, 0, 1_000).unwrap();
        assert!(run(&mut it, 6_600, 10, 0, 1_000).unwrap() > bound);
        assert_eq!(run(&mut it, 7_600, 100, 0, 1_000), None);
    }

    #[test]
    fn no_bound_leaves_the_range() {
        let mut it = guard();
        run(&mut it, 0, 50, 0, 1_000);
        let packets = [Reported {
            size: u64::MAX,
            delay: Some(i64::MAX),
        }; 20];
        it.feedback(packets.into_iter(), TARGET, Duration::ZERO);
        it.feedback(packets.into_iter(), TARGET, Duration::MAX);
        let lost = [Reported {
            size: u64::MAX,
            delay: None,
        }; 20];
        it.feedback(lost.into_iter(), TARGET, Duration::MAX);
        let low = [Reported {
            size: 0,
            delay: Some(i64::MIN),
        }; 20];
        it.feedback(low.into_iter(), u64::MAX, Duration::MAX);
        assert!(
            it.bound()
                .is_none_or(|it| (100_000..=2_000_000).contains(&it))
        );
    }
}
