//! A queue that spreads packets over time.

use std::collections::VecDeque;
use std::time::Duration;

/// Packets leave in bursts this far apart. A shorter tick wakes the thread more often
/// without a smaller queue on the wire.
const TICK: Duration = Duration::from_millis(5);

/// Ticks a second. The budget is counted in parts of a bit of this size, so that a tick
/// adds exactly the rate.
const TICKS_A_SECOND: i64 = 200;

/// The longest queue, unless another is set: a picture that is late is as bad as one that
/// is lost.
const LONGEST_QUEUE: Duration = Duration::from_millis(250);

/// Size of the queue in bytes above which its oldest packets leave at once: 8.5 Mbit/s,
/// the limit of IVS, for a second.
const MAX_BYTES: usize = 1_062_500;

/// Ticks of budget kept for a thread that woke late while packets waited. A pause in the
/// media keeps one tick only.
const MAX_LATE_TICKS: i64 = 4;

/// Rates above this are taken for it: 1 Tbit/s.
const MAX_RATE: u64 = 1_000_000_000_000;

/// Spreads video packets over time, so that a key frame does not overflow a short queue
/// on the way.
///
/// Packets leave in order, at a pace somewhat above the target rate, in bursts of 5 ms.
/// Budget that a pause leaves over is kept for one burst, or for a longer one that was set.
/// A queue that would take more than 250 ms at this rate, or another time that was set,
/// leaves within this time instead. A packet is due at once if it has waited twice as long
/// or if more than 1 MB waits, so nothing is dropped and nothing is held for long.
///
/// `now` is the time since some start, of a clock that does not run backwards; an earlier
/// time counts as the latest one. Sizes are in bytes and have to include the same headers
/// as the target does.
///
/// ```
/// use std::time::Duration;
/// use gstivs::media::bandwidth::Pacer;
///
/// let mut pacer = Pacer::default();
/// pacer.set_pace(Some(1_500_000));
/// let mut now = Duration::ZERO;
/// for packet in ["first", "second", "third"] {
///     pacer.push(packet, 1000, now);
/// }
/// // Each tick has room for 937 bytes.
/// assert_eq!(pacer.pop(now), Some("first"));
/// assert_eq!(pacer.pop(now), None);
/// now = pacer.next_due(now).unwrap();
/// assert_eq!(now, Duration::from_millis(5));
/// assert_eq!(pacer.pop(now), Some("second"));
/// ```
#[derive(Clone, Debug)]
pub struct Pacer<T> {
    queue: VecDeque<Waiting<T>>,
    bytes: usize,
    /// In bit/s.
    pace: Option<i64>,
    longest_queue: Duration,
    /// Ticks of budget that a pause leaves over, at least one.
    kept_ticks: i64,
    /// A shorter one, which holds once the queue fits.
    next_longest_queue: Option<Duration>,
    /// The rate that empties the queue in time, in bit/s. It holds until the queue is
    /// empty: if it fell with the queue, the last packets would wait far longer.
    hurry: i64,
    /// In bits / `TICKS_A_SECOND`. Negative: what left already and is not yet paid for.
    budget: i64,
    /// The number of the latest tick.
    tick: u64,
    delays: Delays,
}

#[derive(Clone, Debug)]
struct Waiting<T> {
    item: T,
    size: usize,
    since: Duration,
}

/// How long packets wait in a [`Pacer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PacerDelay {
    /// Age of the oldest packet that waits. Zero if none does.
    pub oldest: Duration,
    /// The smoothed wait of the packets that left: each counts a sixteenth.
    pub mean: Duration,
    /// The longest wait of a packet that left in the last second or two.
    pub longest: Duration,
}

impl<T> Default for Pacer<T> {
    /// An empty pacer without a rate: everything is due at once.
    fn default() -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            pace: None,
            longest_queue: LONGEST_QUEUE,
            kept_ticks: 1,
            next_longest_queue: None,
            hurry: 0,
            budget: 0,
            tick: 0,
            delays: Delays::default(),
        }
    }
}

impl<T> Pacer<T> {
    /// Sets the pace in bit/s, of all that leaves. `None` turns pacing off: everything is
    /// due at once.
    pub fn set_pace(&mut self, pace: Option<u64>) {
        let pace = pace.map(|pace| signed(pace.min(MAX_RATE)));
        if self.pace.is_none() {
            // Debts from a time without pacing are nobody's.
            self.budget = pace.unwrap_or(0);
        }
        self.pace = pace;
        self.hurry_if_long();
    }

    /// Sets the longest time that the queue may need at the pace. If it needs longer, it
    /// leaves faster. `None` is 250 ms. What waits already does not leave faster than
    /// before.
    pub fn set_longest_queue(&mut self, longest: Option<Duration>) {
        let longest = longest.unwrap_or(LONGEST_QUEUE);
        self.next_longest_queue = Some(longest);
        if longest > self.longest_queue {
            self.hurry = 0;
            self.longest_queue = longest;
        }
        self.shorten_if_fits(Duration::MAX);
        self.hurry_if_long();
    }

    /// Sets how much of a pause's budget is kept, as time at the pace. `None` is 5 ms. On a
    /// network with room to spare a picture then leaves at once.
    pub fn set_burst(&mut self, burst: Option<Duration>) {
        self.kept_ticks = burst.map_or(1, ticks);
    }

    /// Adds a packet of `size` bytes, which comes at `now`.
    pub fn push(&mut self, item: T, size: usize, now: Duration) {
        self.refill(now);
        let since = self.queue.back().map_or(now, |last| last.since.max(now));
        self.queue.push_back(Waiting { item, size, since });
        self.bytes = self.bytes.saturating_add(size);
        self.hurry_if_long();
    }

    /// Notes `size` bytes that left at `now` without waiting here, such as audio or a
    /// retransmission. The packets that wait leave later by as much.
    pub fn sent(&mut self, size: usize, now: Duration) {
        self.refill(now);
        self.spend(size);
    }

    /// The next packet, if it is due at `now`. Call it until it returns `None`.
    pub fn pop(&mut self, now: Duration) -> Option<T> {
        self.refill(now);
        let due = self
            .queue
            .front()?
            .since
            .saturating_add(self.longest_delay())
            <= now
            || self.has_budget()
            || self.bytes > MAX_BYTES;
        let waited = if due {
            self.queue.pop_front()?
        } else {
            return None;
        };
        self.bytes = self.bytes.saturating_sub(waited.size);
        self.spend(waited.size);
        self.shorten_if_fits(now.saturating_sub(waited.since));
        if self.queue.is_empty() {
            self.hurry = 0;
        }
        self.delays.add(now.saturating_sub(waited.since), now);
        Some(waited.item)
    }

    /// The time at which to call [`pop`](Self::pop) next: `now` if a packet is due, else
    /// a later time. `None` if no packet waits.
    pub fn next_due(&self, now: Duration) -> Option<Duration> {
        let oldest = self.queue.front()?;
        if self.has_budget() || self.bytes > MAX_BYTES {
            return Some(now);
        }
        let ticks = self.budget.saturating_neg() / self.rate().max(1) + 1;
        let tick = time_of(self.tick.saturating_add(ticks.unsigned_abs()));
        let due = tick.min(oldest.since.saturating_add(self.longest_delay()));
        Some(due.max(now))
    }

    /// How long packets wait.
    pub fn delay(&self, now: Duration) -> PacerDelay {
        let oldest = self.queue.front();
        PacerDelay {
            oldest: oldest.map_or(Duration::ZERO, |oldest| now.saturating_sub(oldest.since)),
            mean: self.delays.mean,
            longest: self.delays.longest(now),
        }
    }

    /// The number of packets that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether no packet waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The size of the packets that wait, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops the packets that wait, and forgets the delays. What was set stays.
    pub fn clear(&mut self) {
        let (pace, longest_queue) = (self.pace, self.next_longest_queue);
        let kept_ticks = self.kept_ticks;
        *self = Self::default();
        (self.pace, self.kept_ticks) = (pace, kept_ticks);
        self.set_longest_queue(longest_queue);
    }

    /// Nothing is held longer than this, whatever the budget says.
    fn longest_delay(&self) -> Duration {
        self.longest_queue.saturating_mul(2)
    }

    fn has_budget(&self) -> bool {
        self.pace.is_none() || self.budget > 0
    }

    fn rate(&self) -> i64 {
        self.pace.unwrap_or(0).max(self.hurry)
    }

    /// Adds the budget of the ticks up to `now`.
    fn refill(&mut self, now: Duration) {
        let tick = tick_of(now);
        let passed = signed(tick.saturating_sub(self.tick));
        self.tick = self.tick.max(tick);
        let kept = if self.queue.is_empty() {
            self.kept_ticks
        } else {
            self.kept_ticks.max(MAX_LATE_TICKS)
        };
        let rate = self.rate();
        if passed > 0 {
            let budget = self.budget.saturating_add(rate.saturating_mul(passed));
            self.budget = budget.min(rate.saturating_mul(kept));
        }
    }

    /// Takes `size` bytes from the budget. Debts end at what the longest queue may be, so
    /// that no amount of other media stops the video.
    fn spend(&mut self, size: usize) {
        let cost = signed(size as u64).saturating_mul(8 * TICKS_A_SECOND);
        let longest = ticks(self.longest_queue);
        let floor = self.rate().saturating_mul(-longest).min(self.budget);
        self.budget = self.budget.saturating_sub(cost).max(floor);
    }

    /// Lets a shorter queue hold if no packet has to leave earlier for it. The latest one
    /// has waited so long.
    fn shorten_if_fits(&mut self, waited: Duration) {
        let shorter = self
            .next_longest_queue
            .filter(|it| *it < self.longest_queue);
        let fits = |shorter| waited <= shorter && self.rate_to_leave_within(shorter) <= self.rate();
        if let Some(shorter) = shorter
            && (self.queue.is_empty() || fits(shorter))
        {
            self.longest_queue = shorter;
        }
    }

    fn rate_to_leave_within(&self, time: Duration) -> i64 {
        let bits = signed(self.bytes as u64).saturating_mul(8);
        bits.saturating_mul(TICKS_A_SECOND) / ticks(time)
    }

    fn hurry_if_long(&mut self) {
        let in_time = self.rate_to_leave_within(self.longest_queue);
        if in_time > self.rate() {
            self.hurry = in_time;
        }
    }
}

/// The waits of the packets that left.
#[derive(Clone, Copy, Debug, Default)]
struct Delays {
    mean: Duration,
    /// A second of the clock, and the longest wait in it and in the one before.
    second: u64,
    longest: Duration,
    longest_before: Duration,
}

impl Delays {
    fn add(&mut self, delay: Duration, now: Duration) {
        self.mean = (self.mean.saturating_mul(15).saturating_add(delay)) / 16;
        let second = now.as_secs();
        if second > self.second {
            let follows = second == self.second + 1;
            self.longest_before = if follows {
                self.longest
            } else {
                Duration::ZERO
            };
            (self.longest, self.second) = (Duration::ZERO, second);
        }
        self.longest = self.longest.max(delay);
    }

    fn longest(&self, now: Duration) -> Duration {
        match now.as_secs().saturating_sub(self.second) {
            0 => self.longest.max(self.longest_before),
            1 => self.longest,
            _ => Duration::ZERO,
        }
    }
}

fn tick_of(time: Duration) -> u64 {
    u64::try_from(time.as_nanos() / TICK.as_nanos()).unwrap_or(u64::MAX)
}

/// A time in ticks; never 0.
fn ticks(time: Duration) -> i64 {
    signed(tick_of(time)).max(1)
}

fn time_of(tick: u64) -> Duration {
    Duration::from_millis(tick.saturating_mul(5))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A pacer of one and a half times this target, asked for the first time at zero.
    fn pacer(target: u64) -> Pacer<u32> {
        let mut pacer = Pacer::default();
        pacer.set_pace(Some(target * 3 / 2));
        pacer
    }

    fn push(pacer: &mut Pacer<u32>, count: u32, at: Duration) {
        (0..count).for_each(|item| pacer.push(item, 1000, at));
    }

    /// Pops whenever something is due. Returns the items with the time at which each left.
    fn run(pacer: &mut Pacer<u32>, from: Duration) -> Vec<(u32, Duration)> {
        let mut now = from;
        let mut left = Vec::new();
        while let Some(due) = pacer.next_due(now) {
            now = due;
            left.extend(std::iter::from_fn(|| pacer.pop(now)).map(|item| (item, now)));
        }
        left
    }

    #[test]
    fn a_burst_leaves_at_the_pace() {
        let mut pacer = pacer(1_000_000);
        // 40 kB, 320 kbit: 213 ms at 1.5 Mbit/s.
        push(&mut pacer, 40, ms(0));
        let left = run(&mut pacer, ms(0));
        assert!(left.iter().map(|(item, _)| *item).eq(0..40));
        let last = left.last().unwrap().1;
        assert!((ms(200)..=ms(215)).contains(&last), "{last:?}");
        // No more than two packets, a tick and what rounds up, at any time.
        assert!(left.windows(3).all(|three| three[0].1 < three[2].1));
        assert!(left.iter().all(|(_, at)| at.as_millis() % 5 == 0));
    }

    #[test]
    fn without_a_rate_everything_is_due() {
        let mut pacer = Pacer::default();
        push(&mut pacer, 500, ms(7));
        assert_eq!(pacer.next_due(ms(7)), Some(ms(7)));
        assert_eq!(std::iter::from_fn(|| pacer.pop(ms(7))).count(), 500);
        assert_eq!(pacer.next_due(ms(7)), None);
        assert_eq!(pacer.delay(ms(7)), PacerDelay::default());
    }

    #[test]
    fn turning_pacing_off_lets_the_queue_go() {
        let mut pacer = pacer(100_000);
        push(&mut pacer, 10, ms(0));
        pacer.set_pace(None);
        assert_eq!(std::iter::from_fn(|| pacer.pop(ms(1))).count(), 10);
        // What left unpaced is no debt.
        pacer.set_pace(Some(150_000));
        push(&mut pacer, 1, ms(2));
        assert_eq!(pacer.next_due(ms(2)), Some(ms(2)));
    }

    #[test]
    fn a_pause_is_kept_for_one_tick_only() {
        let mut pacer = pacer(1_600_000);
        push(&mut pacer, 20, ms(10_000));
        // 1,500 bytes a tick.
        assert_eq!(std::iter::from_fn(|| pacer.pop(ms(10_000))).count(), 2);
    }

    #[test]
    fn a_longer_burst_keeps_more_of_a_pause() {
        let mut pacer = pacer(1_600_000);
        pacer.set_burst(Some(ms(30)));
        for pause in [10_000, 20_000] {
            push(&mut pacer, 20, ms(pause));
            // 9,000 bytes, and a packet that they do not quite pay for.
            let at_once = std::iter::from_fn(|| pacer.pop(ms(pause))).count();
            assert!((9..=10).contains(&at_once), "{at_once}");
            // The rest leaves at the pace, and the mean is no higher.
            let last = run(&mut pacer, ms(pause)).last().unwrap().1;
            assert!(
                (ms(pause + 30)..=ms(pause + 40)).contains(&last),
                "{last:?}"
            );
            pacer.clear();
        }
    }

    #[test]
    fn a_tick_has_room_for_its_bytes_and_no_more() {
        let mut pacer = Pacer::default();
        // 1,000 bytes a tick.
        pacer.set_pace(Some(1_600_000));
        push(&mut pacer, 2, ms(0));
        assert!(pacer.pop(ms(0)).is_some() && pacer.pop(ms(0)).is_none());
        // Four ticks later the other one leaves, and what comes in the same tick.
        assert!(pacer.pop(ms(20)).is_some());
        push(&mut pacer, 4, ms(20));
        assert_eq!(std::iter::from_fn(|| pacer.pop(ms(20))).count(), 3);
    }

    #[test]
    fn a_late_wake_up_does_not_slow_it() {
        let mut pacer = pacer(1_600_000);
        push(&mut pacer, 40, ms(0));
        let mut left = 0;
        for tick in (0..=100).step_by(20) {
            left += std::iter::from_fn(|| pacer.pop(ms(tick))).count();
        }
        // 2.4 Mbit/s for 100 ms are 30 packets.
        assert!((30..=32).contains(&left), "{left}");
    }

    #[test]
    fn a_long_queue_leaves_within_a_quarter_of_a_second() {
        for target in [0, 1, 100_000, 1_000_000] {
            let mut pacer = pacer(target);
            push(&mut pacer, 200, ms(0));
            let left = run(&mut pacer, ms(0));
            assert_eq!(left.len(), 200);
            let last = left.last().unwrap().1;
            assert!((ms(200)..=ms(255)).contains(&last), "{target}: {last:?}");
        }
    }

    #[test]
    fn a_longer_queue_leaves_at_the_pace_also_once_it_has_to_be_shorter() {
        let mut pacer = pacer(1_000_000);
        pacer.set_longest_queue(Some(ms(2_000)));
        // 1.6 Mbit.
        push(&mut pacer, 200, ms(0));
        pacer.set_longest_queue(None);
        let left = run(&mut pacer, ms(0));
        let last = left.last().unwrap().1;
        assert!((ms(1_050)..=ms(1_070)).contains(&last), "{last:?}");
        // The next one leaves in time.
        push(&mut pacer, 200, last);
        let last = run(&mut pacer, last).last().unwrap().1 - last;
        assert!((ms(200)..=ms(255)).contains(&last), "{last:?}");
    }

    #[test]
    fn the_same_longest_queue_set_again_slows_nothing() {
        let mut pacer = pacer(100_000);
        push(&mut pacer, 200, ms(0));
        for tick in 0..=25 {
            while pacer.pop(ms(5 * tick)).is_some() {}
        }
        pacer.set_longest_queue(None);
        let last = run(&mut pacer, ms(125)).last().unwrap().1;
        assert!(last <= ms(255), "{last:?}");
    }

    #[test]
    fn more_than_a_megabyte_leaves_at_once() {
        for (size, is_due) in [(MAX_BYTES, false), (MAX_BYTES + 1, true)] {
            let mut pacer = pacer(100_000);
            pacer.sent(100_000, ms(0));
            pacer.push(0, size, ms(0));
            assert_eq!(pacer.next_due(ms(0)) == Some(ms(0)), is_due, "{size}");
            assert_eq!(pacer.pop(ms(0)).is_some(), is_due, "{size}");
        }
    }

    #[test]
    fn a_falling_pace_does_not_hold_the_queue() {
        let mut pacer = pacer(4_000_000);
        push(&mut pacer, 60, ms(0));
        pacer.set_pace(Some(300_000));
        let last = run(&mut pacer, ms(0)).last().unwrap().1;
        assert!(last <= ms(255), "{last:?}");
    }

    #[test]
    fn what_passes_by_uses_budget() {
        let mut pacer = pacer(1_000_000);
        push(&mut pacer, 20, ms(0));
        let alone = run(&mut pacer.clone(), ms(0)).last().unwrap().1;
        pacer.sent(7_500, ms(0));
        let together = run(&mut pacer, ms(0)).last().unwrap().1;
        assert_eq!(together - alone, ms(40));
    }

    #[test]
    fn nothing_waits_longer_than_half_a_second() {
        // Audio alone takes more than the pace.
        let mut pacer = pacer(100_000);
        let mut longest = Duration::ZERO;
        for tick in 0..2000 {
            let now = ms(tick * 5);
            pacer.sent(500, now);
            if tick % 8 == 0 {
                push(&mut pacer, 1, now);
            }
            longest = longest.max(pacer.delay(now).oldest);
            while pacer.pop(now).is_some() {}
        }
        assert!(longest <= ms(500), "{longest:?}");
        assert!(pacer.len() < 15, "{}", pacer.len());
    }

    #[test]
    fn a_flood_is_let_go() {
        let mut pacer = pacer(100_000);
        for _ in 0..10 {
            push(&mut pacer, 1000, ms(0));
            while pacer.pop(ms(0)).is_some() {}
            assert!(pacer.bytes() <= MAX_BYTES);
        }
        assert_eq!(pacer.bytes(), pacer.len() * 1000);
    }

    #[test]
    fn delays_are_measured() {
        let mut pacer = pacer(1_000_000);
        push(&mut pacer, 20, ms(0));
        assert_eq!(pacer.delay(ms(30)).oldest, ms(30));
        let last = run(&mut pacer, ms(0)).last().unwrap().1;
        let delay = pacer.delay(last);
        assert_eq!((delay.oldest, delay.longest), (ms(0), last));
        assert!((ms(20)..ms(80)).contains(&delay.mean), "{delay:?}");
        assert_eq!(pacer.delay(ms(1999)).longest, last);
        assert_eq!(pacer.delay(ms(2000)).longest, ms(0));
    }

    #[test]
    fn the_longest_wait_counts_for_a_second_or_two() {
        let mut delays = Delays::default();
        let mut longest = |delay, at| {
            delays.add(ms(delay), ms(at));
            delays.longest(ms(at))
        };
        assert_eq!(longest(100, 500), ms(100));
        assert_eq!(longest(20, 1_500), ms(100));
        assert_eq!(longest(5, 2_500), ms(20));
        assert_eq!(longest(1, 9_000), ms(1));
    }

    #[test]
    fn clear_keeps_the_rate() {
        let mut pacer = pacer(100_000);
        push(&mut pacer, 50, ms(0));
        assert!(!pacer.is_empty());
        pacer.clear();
        assert!(pacer.is_empty());
        assert_eq!((pacer.bytes(), pacer.next_due(ms(1))), (0, None));
        push(&mut pacer, 50, ms(5));
        assert!(run(&mut pacer, ms(5)).last().unwrap().1 > ms(200));
    }

    #[test]
    fn odd_times_and_sizes_do_no_harm() {
        for target in [None, Some(0), Some(u64::MAX)] {
            let mut pacer = Pacer::default();
            pacer.set_pace(target);
            for now in [ms(50), ms(0), Duration::MAX, ms(3)] {
                for size in [0, 1, usize::MAX] {
                    pacer.push((), size, now);
                    pacer.sent(size, now);
                    let due = pacer.next_due(now);
                    assert!(due.is_none_or(|due| due >= now));
                    pacer.pop(now);
                    pacer.delay(now);
                }
            }
        }
    }

    #[test]
    fn next_due_is_when_pop_has_something() {
        let mut pacer = pacer(700_000);
        for size in [1, 100, 9000, 40, 1200, 70_000, 3] {
            pacer.push(0, size, ms(3));
        }
        let mut now = ms(3);
        while let Some(due) = pacer.next_due(now) {
            assert!(due == now || pacer.clone().pop(due - ms(1)).is_none());
            now = due;
            assert!(pacer.pop(now).is_some());
        }
    }
}
