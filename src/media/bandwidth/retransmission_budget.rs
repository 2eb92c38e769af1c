//! Which packets may be sent again.

use std::time::Duration;

/// Share of the target that retransmissions may use. With 3 % of loss this leaves room
/// for packets that are lost again, and for bursts.
const SHARE_OF_TARGET: f64 = 0.15;

/// Share of the stream itself, where no target is known.
const SHARE_OF_STREAM: f64 = 0.2;

/// Seconds of the share that may be used at once.
const BURST: f64 = 0.5;

/// Bits that may always be used at once: four packets. Less would refuse the loss of a
/// small frame at a low rate.
const SMALLEST_BURST: f64 = 4.0 * 1200.0 * 8.0;

/// Seconds of the most that may be sent, of which all that leaves takes and retransmissions
/// get the rest. A key frame of a stream near the most fits, and can be repaired.
const PEAK: f64 = 0.25;

/// A packet is not sent again sooner than this after the last time, nor within a round
/// trip: the far end can't know yet whether the last one arrived. str0m asks five times in
/// 165 ms and then gives up, so with more than 66 ms it would get two answers, not three.
const SHORTEST_REPEAT: Duration = Duration::from_millis(50);

/// The same while no round trip is known.
const UNKNOWN_REPEAT: Duration = Duration::from_millis(100);

/// The age up to which a packet is sent again is three round trips, so that a
/// retransmission that is lost too can be repeated, within these bounds. A player holds
/// a picture back for a fraction of a second, and then asks for a key frame.
const MIN_USEFUL_AGE: Duration = Duration::from_millis(300);
const MAX_USEFUL_AGE: Duration = Duration::from_secs(1);

/// Number of packets remembered: more than a second of 8.5 Mbit/s, the limit of IVS.
/// Sequence numbers have to divide evenly by it.
const HISTORY: usize = 1024;

/// Rates above this are taken for it: 1 Tbit/s.
const MAX_RATE: u64 = 1_000_000_000_000;

/// Decides which packets of a stream are sent again when the far end asks for them.
///
/// A request is granted if
///
/// - the packet is one of the last 1024, and at most three round trips old (at least
///   300 ms, at most 1 s),
/// - it was not sent again within the last round trip, or 50 ms, and 100 ms if the round
///   trip is unknown,
/// - retransmissions stay below 15 % of the target rate, of which half a second may be
///   used at once. Without a target it is 20 % of the stream's own rate,
/// - all that leaves stays below the most that may be sent, a quarter of a second of it
///   aside.
///
/// `now` is the time since some start, of a clock that does not run backwards. Sizes are
/// in bytes and have to include the same headers as the target does.
///
/// ```
/// use std::time::Duration;
/// use gstivs::media::bandwidth::RetransmissionBudget;
///
/// let mut budget = RetransmissionBudget::default();
/// budget.set_rate(Some(1_000_000));
/// budget.sent(7, 1200, Duration::ZERO);
/// assert!(budget.allows(7, Duration::from_millis(60)));
/// // Asked for again before the first answer can have arrived.
/// assert!(!budget.allows(7, Duration::from_millis(80)));
/// ```
#[derive(Clone, Debug)]
pub struct RetransmissionBudget {
    target: Option<f64>,
    round_trip: Duration,
    /// By sequence number modulo its length, which is `HISTORY` once a packet was sent.
    history: Vec<Option<Sent>>,
    /// The bits of the stream's last second, approximately.
    stream: f64,
    /// Bits that may be sent again now.
    credit: f64,
    /// The most that may be sent in all, in bit/s.
    most: f64,
    /// Bits that may leave now, of any kind. Below zero after a peak of the stream.
    room: f64,
    latest: Duration,
    used: RetransmissionCount,
    refused: RetransmissionCount,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    sequence: u16,
    size: usize,
    at: Duration,
    again: Option<Duration>,
}

/// A number of retransmissions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetransmissionCount {
    /// Number of packets.
    pub packets: u64,
    /// Their size in bytes. A packet that is no longer remembered counts as 0.
    pub bytes: u64,
}

impl Default for RetransmissionBudget {
    /// A budget that knows neither a target nor a round trip.
    fn default() -> Self {
        Self {
            target: None,
            round_trip: Duration::ZERO,
            history: Vec::new(),
            stream: 0.0,
            credit: SMALLEST_BURST,
            most: MAX_RATE as f64,
            room: MAX_RATE as f64 * PEAK,
            latest: Duration::ZERO,
            used: RetransmissionCount::default(),
            refused: RetransmissionCount::default(),
        }
    }
}

impl RetransmissionBudget {
    /// Sets the target of all that is sent, in bit/s. `None` if none is known.
    pub fn set_rate(&mut self, target: Option<u64>) {
        // Exact: far below 2^53.
        self.target = target.map(|target| target.min(MAX_RATE) as f64);
    }

    /// Sets the most that may be sent in all, in bit/s.
    pub fn set_most(&mut self, most: u64) {
        self.most = most.min(MAX_RATE) as f64;
    }

    /// Sets the round-trip time. It is zero if unknown.
    pub fn set_round_trip(&mut self, round_trip: Duration) {
        self.round_trip = round_trip;
    }

    /// Notes a packet of the stream that is sent for the first time.
    pub fn sent(&mut self, sequence: u16, size: usize, now: Duration) {
        self.sent_beside(size, now);
        self.stream += bits(size);
        if self.target.is_none() {
            self.add(SHARE_OF_STREAM * bits(size));
        }
        if self.history.is_empty() {
            self.history = vec![None; HISTORY];
        }
        self.history[usize::from(sequence) % HISTORY] = Some(Sent {
            sequence,
            size,
            at: now,
            again: None,
        });
    }

    /// Notes a packet of another stream of the session.
    pub fn sent_beside(&mut self, size: usize, now: Duration) {
        self.refill(now);
        self.take_room(size);
    }

    /// Whether the packet with this sequence number may be sent again at `now`. If so, it
    /// counts as sent again.
    pub fn allows(&mut self, sequence: u16, now: Duration) -> bool {
        self.refill(now);
        let Some(sent) = self.remembered(sequence) else {
            self.refused.add(0);
            return false;
        };
        let affordable = bits(sent.size) <= self.credit.min(self.room);
        if !affordable || !self.is_useful(&sent, now) {
            self.refused.add(sent.size);
            return false;
        }
        self.credit -= bits(sent.size);
        self.take_room(sent.size);
        self.history[usize::from(sequence) % HISTORY] = Some(Sent {
            again: Some(now),
            ..sent
        });
        self.used.add(sent.size);
        true
    }

    /// What was sent again.
    pub fn used(&self) -> RetransmissionCount {
        self.used
    }

    /// What was asked for and not sent again.
    pub fn refused(&self) -> RetransmissionCount {
        self.refused
    }

    fn remembered(&self, sequence: u16) -> Option<Sent> {
        let sent = self.history.get(usize::from(sequence) % HISTORY)?;
        sent.filter(|sent| sent.sequence == sequence)
    }

    fn is_useful(&self, sent: &Sent, now: Duration) -> bool {
        let useful_age = self.round_trip.saturating_mul(3);
        let useful_age = useful_age.clamp(MIN_USEFUL_AGE, MAX_USEFUL_AGE);
        let young = now.saturating_sub(sent.at) <= useful_age;
        let may_repeat = |again| now.saturating_sub(again) >= self.repeat();
        young && sent.again.is_none_or(may_repeat)
    }

    fn repeat(&self) -> Duration {
        if self.round_trip.is_zero() {
            return UNKNOWN_REPEAT;
        }
        // A tenth off, because measured round trips vary.
        (self.round_trip / 10 * 9).max(SHORTEST_REPEAT)
    }

    /// Moves on to `now`.
    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.latest).as_secs_f64();
        self.latest = self.latest.max(now);
        self.stream *= (-passed).exp();
        let share = self.target.map_or(0.0, |target| SHARE_OF_TARGET * target);
        self.add(share * passed);
        self.room = (self.room + self.most * passed).min(self.most * PEAK);
    }

    /// A peak of the stream holds repairs up for a second at most.
    fn take_room(&mut self, size: usize) {
        self.room = (self.room - bits(size)).max(-self.most);
    }

    fn add(&mut self, credit: f64) {
        let share = match self.target {
            Some(target) => SHARE_OF_TARGET * target,
            None => SHARE_OF_STREAM * self.stream,
        };
        self.credit = (self.credit + credit).min((share * BURST).max(SMALLEST_BURST));
    }
}

impl RetransmissionCount {
    fn add(&mut self, size: usize) {
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(size as u64);
    }
}

fn bits(size: usize) -> f64 {
    size as f64 * 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 1200;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn budget(target: Option<u64>, round_trip: u64) -> RetransmissionBudget {
        let mut budget = RetransmissionBudget::default();
        budget.set_rate(target);
        budget.set_round_trip(ms(round_trip));
        budget
    }

    /// Numbers from a fixed seed, evenly from 0 to 1.
    fn random() -> impl FnMut() -> f64 {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 53) as f64
        }
    }

    /// A stream of 30 frames a second and a key frame each two seconds: the number of
    /// packets of each frame, and when it leaves.
    fn frames(bit_rate: usize, seconds: usize) -> impl Iterator<Item = (usize, Duration)> {
        // A key frame is five times as large as the others.
        let a_frame = bit_rate * 2 / 8 / 64 / SIZE;
        (0..30 * seconds).map(move |frame| {
            let packets = if frame % 60 == 0 {
                5 * a_frame
            } else {
                a_frame
            };
            (packets, Duration::from_secs(1) * frame as u32 / 30)
        })
    }

    #[test]
    fn a_lost_packet_is_sent_again() {
        let mut budget = budget(Some(1_000_000), 50);
        budget.sent(9, SIZE, ms(0));
        assert!(budget.allows(9, ms(60)));
        let used = RetransmissionCount {
            packets: 1,
            bytes: 1200,
        };
        assert_eq!((budget.used(), budget.refused().packets), (used, 0));
    }

    #[test]
    fn once_per_round_trip() {
        for (round_trip, too_soon, in_time) in [(0, 99, 100), (20, 49, 50), (200, 179, 180)] {
            let mut budget = budget(Some(1_000_000), round_trip);
            budget.sent(9, SIZE, ms(0));
            assert!(budget.allows(9, ms(50)));
            assert!(!budget.allows(9, ms(50 + too_soon)), "{round_trip}");
            assert!(budget.allows(9, ms(50 + in_time)), "{round_trip}");
            assert_eq!(
                budget.refused(),
                RetransmissionCount {
                    packets: 1,
                    bytes: 1200
                }
            );
        }
    }

    /// As str0m does. At a round trip of 50 ms its third request can tell whether the
    /// answer to the first one has arrived, and its fifth that to the third.
    #[test]
    fn a_far_end_that_asks_five_times_gets_three_answers() {
        let mut budget = budget(Some(1_000_000), 50);
        budget.sent(9, SIZE, ms(0));
        let answers = (0..5).map(|time| budget.allows(9, ms(90 + 33 * time)));
        assert_eq!(
            answers.collect::<Vec<_>>(),
            [true, false, true, false, true]
        );
    }

    #[test]
    fn not_when_it_is_too_old() {
        for (round_trip, oldest) in [(0, 300), (50, 300), (200, 600), (5000, 1000)] {
            let mut budget = budget(Some(1_000_000), round_trip);
            budget.sent(9, SIZE, ms(0));
            assert!(!budget.clone().allows(9, ms(oldest + 1)), "{round_trip}");
            assert!(budget.allows(9, ms(oldest)), "{round_trip}");
        }
    }

    #[test]
    fn not_what_was_never_sent_or_is_forgotten() {
        let mut budget = budget(Some(1_000_000), 50);
        assert!(!budget.allows(9, ms(0)));
        for sequence in (60_000..=u16::MAX).chain(0..1000) {
            budget.sent(sequence, SIZE, ms(1));
        }
        assert!(budget.allows(999, ms(2)) && budget.allows(u16::MAX - 20, ms(2)));
        assert!(!budget.allows(60_000, ms(2)));
        assert!(!budget.allows(1000, ms(2)));
        assert_eq!(
            budget.refused(),
            RetransmissionCount {
                packets: 3,
                bytes: 0
            }
        );
    }

    #[test]
    fn a_repeated_number_is_a_new_packet() {
        let mut budget = budget(Some(1_000_000), 50);
        budget.sent(9, SIZE, ms(0));
        assert!(budget.allows(9, ms(10)));
        budget.sent(9, SIZE, ms(20));
        assert!(budget.allows(9, ms(30)));
    }

    /// Sends a stream to a far end that asks for everything five times, from 20 ms after
    /// it was sent. Returns the largest number of bits sent in two seconds, after the
    /// first three.
    fn asked_five_times(budget: &mut RetransmissionBudget, bit_rate: usize) -> usize {
        let mut events = Vec::new();
        let mut sequence = 0u16;
        for (packets, at) in frames(bit_rate, 20) {
            for _ in 0..packets {
                events.push((at, sequence, true));
                let asked = (1..=5).map(|time| (at + ms(33 * time), sequence, false));
                events.extend(asked);
                sequence = sequence.wrapping_add(1);
            }
        }
        events.sort_by_key(|event| event.0);
        let mut left = Vec::new();
        for (at, sequence, is_new) in events {
            if is_new {
                budget.sent(sequence, SIZE, at);
            }
            if is_new || budget.allows(sequence, at) {
                left.push(at);
            }
        }
        let within = |from: Duration| {
            let end = left.partition_point(|at| *at < from + ms(2000));
            (end - left.partition_point(|at| *at < from)) * SIZE * 8
        };
        let starts = left.iter().filter(|at| **at >= ms(3000));
        starts.map(|at| within(*at)).max().unwrap_or(0)
    }

    #[test]
    fn a_far_end_that_asks_for_everything_gets_its_share() {
        // What the wire has left for video, after audio.
        let mut budget = budget(Some(1_000_000), 50);
        let most = asked_five_times(&mut budget, 850_000);
        assert!(most <= 2 * 1_200_000 - 2 * 88_000, "{most}");
        assert!(budget.used().bytes * 8 <= 20 * 160_000);
        assert!(budget.refused().packets > 5000);
    }

    #[test]
    fn half_a_second_of_the_share_may_be_used_at_once() {
        let mut budget = budget(Some(4_000_000), 50);
        (0..40).for_each(|sequence| budget.sent(sequence, SIZE, ms(1_000)));
        let allowed = (0..40).filter(|sequence| budget.allows(*sequence, ms(1_000)));
        // 300 kbit.
        assert_eq!(allowed.count(), 31);
    }

    #[test]
    fn a_stream_that_stopped_is_no_measure_any_more() {
        for (stopped, count) in [(0, 41), (10_000, 4)] {
            let mut budget = budget(None, 50);
            (0..400).for_each(|sequence| budget.sent(sequence, SIZE, ms(1_000)));
            let now = ms(1_000 + stopped);
            (400..410).for_each(|sequence| budget.sent(sequence, SIZE, now));
            let allowed = (0..410).filter(|sequence| budget.allows(*sequence, now));
            // Half of 20 % of a second of it, or four packets.
            assert_eq!(allowed.count(), count, "{stopped}");
        }
    }

    #[test]
    fn without_a_target_the_stream_is_the_measure() {
        for bit_rate in [400_000, 2_500_000] {
            let alone = asked_five_times(&mut RetransmissionBudget::default(), bit_rate);
            let mut none = budget(Some(0), 50);
            none.credit = 0.0;
            let without = asked_five_times(&mut none, bit_rate);
            let ratio = alone as f64 / without as f64;
            assert!(alone >= without && ratio <= 1.25, "{bit_rate}: {ratio}");
        }
    }

    /// With 20 % of the stream it would be 9.6 Mbit/s, with 15 % of a target 9.3.
    #[test]
    fn all_that_leaves_stays_below_the_most() {
        const MOST: u64 = 8_500_000;
        for (target, bit_rate) in [
            (None, 8_000_000),
            (Some(MOST), 8_000_000),
            (None, 6_000_000),
        ] {
            let mut budget = budget(target, 50);
            budget.set_most(MOST);
            let sent = asked_five_times(&mut budget, bit_rate) as f64 / 2.0 / 8_500_000.0;
            assert!((0.8..1.01).contains(&sent), "{target:?} {bit_rate} {sent}");
        }
    }

    #[test]
    fn other_streams_take_from_the_most_too() {
        let mut alone = budget(Some(1_000_000), 50);
        alone.set_most(1_000_000);
        alone.sent(9, SIZE, ms(0));
        let mut beside = alone.clone();
        beside.sent_beside(32_000, ms(0));
        assert!(alone.allows(9, ms(10)) && !beside.allows(9, ms(10)));
        assert!(beside.allows(9, ms(30)));
    }

    /// A stream far above the most is not held against it for long.
    #[test]
    fn a_peak_is_forgotten_after_a_second() {
        let mut budget = budget(Some(1_000_000), 50);
        budget.set_most(1_000_000);
        budget.sent_beside(10_000_000, ms(0));
        budget.sent(9, SIZE, ms(900));
        assert!(!budget.allows(9, ms(950)) && budget.allows(9, ms(1100)));
    }

    #[test]
    fn with_three_percent_of_loss_nothing_is_refused() {
        for (target, round_trip) in [
            (Some(2_700_000), 20),
            (Some(2_700_000), 50),
            (Some(2_700_000), 200),
            (None, 50),
        ] {
            let mut budget = budget(target, round_trip);
            budget.set_most(8_500_000);
            let mut random = random();
            let mut asked: Vec<(Duration, u16)> = Vec::new();
            let mut sequence = 0u16;
            let mut next = 0;
            let mut lost = 0;
            for (packets, at) in frames(2_500_000, 60) {
                // Retransmissions get lost too, and are asked for again.
                asked.sort();
                while let Some((when, wanted)) = asked.get(next).copied().filter(|a| a.0 <= at) {
                    next += 1;
                    assert!(
                        budget.allows(wanted, when),
                        "{target:?} {round_trip} {when:?}"
                    );
                    if random() < 0.03 {
                        asked.push((when + ms(round_trip.max(100)), wanted));
                        asked[next..].sort();
                    }
                }
                for _ in 0..packets {
                    budget.sent(sequence, SIZE, at);
                    if random() < 0.03 {
                        lost += 1;
                        asked.push((at + ms(round_trip + 20), sequence));
                    }
                    sequence = sequence.wrapping_add(1);
                }
            }
            assert!(lost > 300 && budget.used().packets >= lost - 10, "{lost}");
            assert_eq!(budget.refused().packets, 0);
        }
    }

    #[test]
    fn odd_times_rates_and_sizes_do_no_harm() {
        for target in [None, Some(0), Some(u64::MAX)] {
            let mut budget = budget(target, 0);
            budget.set_round_trip(Duration::MAX);
            for now in [ms(50), ms(0), Duration::MAX, ms(3)] {
                for size in [0, 1, usize::MAX] {
                    budget.sent(7, size, now);
                    assert!(size == 0 || size == 1 || !budget.allows(7, now));
                    assert!(budget.credit.is_finite() && budget.credit >= 0.0);
                    assert!(budget.room.is_finite());
                }
            }
        }
    }
}
