//! Notices a queue on the way that fills all of a sudden, since the network has become
//! narrow.
//!
//! By then little is lost, and goog_cc falls step by step, since its measure of what
//! arrives is half a second old. Meanwhile the queue is full, and audio is lost with the
//! video. What arrives while it fills is what the network carries.

use std::collections::VecDeque;
use std::time::Duration;

/// It fills if all packets of one feedback are so much later than the earliest of the last
/// second. Key frames at the pace make shorter queues, and so do most changes of the route.
const SUDDEN_MS: i64 = 80;
const MEMORY: Duration = Duration::from_secs(1);
/// It has drained if a packet is no later than this.
const DRAINED_MS: i64 = 30;
/// Or after so long: then the way itself is longer.
const LONGEST_DRAIN: Duration = Duration::from_secs(2);
/// What arrives is measured over the last packets that make up so long.
const MEASURED_MS: i64 = 200;
/// Fewer packets measure nothing.
const FEWEST_PACKETS: usize = 8;

/// A packet that arrived, in ms of the far end's clock moved near ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    pub(super) at: i64,
    /// Arrival minus departure, of clocks with any offset.
    pub(super) delay: i64,
    /// With IP and UDP headers, in bytes.
    pub(super) size: u64,
}

/// Watches delays.
#[derive(Clone, Debug, Default)]
pub(super) struct FillingQueue {
    /// The shortest delay of each feedback of the last second.
    shortest: VecDeque<(Duration, i64)>,
    arrived: VecDeque<Arrived>,
    /// When it began to fill, and the shortest delay ahead of that, until it has drained.
    filled: Option<(Duration, i64)>,
}

impl FillingQueue {
    /// Takes what one feedback says of packets that arrived. Returns what the network
    /// carries, in bit/s, when the queue begins to fill.
    pub(super) fn feedback(
        &mut self,
        packets: impl Iterator<Item = Arrived>,
        now: Duration,
    ) -> Option<u64> {
        let mut newest: Option<i64> = None;
        for packet in packets {
            newest = Some(newest.map_or(packet.delay, |it| it.min(packet.delay)));
            self.arrived.push_back(packet);
        }
        self.forget_old(now);
        let newest = newest?;
        let before = self.shortest.iter().map(|(_, delay)| *delay).min();
        self.shortest.push_back((now, newest));
        if let Some((since, before)) = self.filled {
            let drained = newest.saturating_sub(before) <= DRAINED_MS;
            if drained || now.saturating_sub(since) >= LONGEST_DRAIN {
                self.filled = None;
            }
            return None;
        }
        let before = before.filter(|before| newest.saturating_sub(*before) >= SUDDEN_MS)?;
        let rate = self.rate()?;
        self.filled = Some((now, before));
        Some(rate)
    }

    /// Whether it has filled and not yet drained.
    pub(super) fn is_full(&self) -> bool {
        self.filled.is_some()
    }

    fn forget_old(&mut self, now: Duration) {
        let old = |at: Duration| now.saturating_sub(at) > MEMORY;
        while self.shortest.front().is_some_and(|(at, _)| old(*at)) {
            self.shortest.pop_front();
        }
        let newest = self.arrived.back().map_or(0, |it| it.at);
        let old = |at: i64| newest.saturating_sub(at) > MEASURED_MS;
        while self.arrived.front().is_some_and(|it| old(it.at)) {
            self.arrived.pop_front();
        }
    }

    /// Bit/s between the first and the last arrival.
    fn rate(&self) -> Option<u64> {
        let (first, last) = (self.arrived.front()?, self.arrived.back()?);
        let ms = u64::try_from(last.at.saturating_sub(first.at)).ok()?;
        let sizes = self.arrived.iter().skip(1).map(|it| it.size);
        let bytes = sizes.fold(0_u64, u64::saturating_add);
        let is_enough = self.arrived.len() >= FEWEST_PACKETS && ms > 0;
        is_enough.then(|| bytes.saturating_mul(8_000) / ms.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feedback each 50 ms on ten packets of 1,000 bytes, 5 ms apart, with these delays.
    fn run(it: &mut FillingQueue, from: i64, delays: &[i64]) -> Vec<Option<u64>> {
        let feedback = delays.iter().zip(0..).map(|(delay, number)| {
            let begin = from + number * 50;
            let packets = (0..10).map(|packet| Arrived {
                at: begin + packet * 5,
                delay: *delay,
                size: 1_000,
            });
            it.feedback(packets, Duration::from_millis(begin.unsigned_abs() + 100))
        });
        feedback.collect()
    }

    #[test]
    fn a_sudden_queue_tells_what_arrives() {
        let mut it = FillingQueue::default();
        let told = run(&mut it, 0, &[-7, -5, 30, 80, 150, 190]);
        assert_eq!(told[..3], [None; 3]);
        assert_eq!(told[3], Some(1_600_000));
        assert_eq!(told[4..], [None; 2]);
        assert!(it.is_full());
        run(&mut it, 300, &[100, 23]);
        assert!(!it.is_full());
    }

    #[test]
    fn a_queue_that_grows_slowly_or_stays_is_not_sudden() {
        let mut it = FillingQueue::default();
        let slow: Vec<_> = (0..60).map(|step| step * 3).collect();
        assert!(run(&mut it, 0, &slow).iter().all(Option::is_none));
        assert!(run(&mut it, 3_000, &[177; 60]).iter().all(Option::is_none));
        assert!(!it.is_full());
    }

    /// Feedback on packets that arrived at these times.
    fn feedback(it: &mut FillingQueue, arrivals: &[i64], delay: i64, now: u64) -> Option<u64> {
        let arrived = |at: &i64| Arrived {
            at: *at,
            delay,
            size: 1_000,
        };
        let packets = arrivals.iter().map(arrived);
        it.feedback(packets, Duration::from_millis(now))
    }

    #[test]
    fn delays_are_compared_with_those_of_the_last_second() {
        for (now, is_sudden) in [(2_000, true), (2_001, false)] {
            let mut it = FillingQueue::default();
            feedback(&mut it, &[900], 0, 1_000);
            let arrivals: Vec<_> = (1_900..1_910).collect();
            let told = feedback(&mut it, &arrivals, SUDDEN_MS, now);
            assert_eq!((told.is_some(), it.is_full()), (is_sudden, is_sudden));
        }
    }

    #[test]
    fn what_arrives_is_measured_over_200_ms() {
        let mut it = FillingQueue::default();
        feedback(&mut it, &[0, 89, 90], 0, 100);
        let arrivals = [245, 250, 255, 260, 265, 270, 275, 280, 285, 290];
        let told = feedback(&mut it, &arrivals, SUDDEN_MS, 300);
        assert_eq!(told, Some(400_000));
    }

    #[test]
    fn few_packets_or_those_of_one_moment_measure_nothing() {
        for (arrivals, is_measured) in [
            ([500, 500, 500, 500, 500, 500, 500, 501], true),
            ([500; 8], false),
        ] {
            for few in [0, 1] {
                let mut it = FillingQueue::default();
                feedback(&mut it, &[0], 0, 100);
                let told = feedback(&mut it, &arrivals[few..], SUDDEN_MS, 600);
                assert_eq!(
                    told.is_some(),
                    is_measured && few == 0,
                    "{arrivals:?} {few}"
                );
            }
        }
    }

    #[test]
    fn a_longer_way_counts_for_two_seconds() {
        let mut it = FillingQueue::default();
        run(&mut it, 0, &[0; 20]);
        let told = run(&mut it, 1_000, &[100; 39]);
        assert_eq!(told.iter().flatten().count(), 1);
        assert!(it.is_full());
        assert!(run(&mut it, 2_950, &[100; 20]).iter().all(Option::is_none));
        assert!(!it.is_full());
    }

    #[test]
    fn odd_times_do_no_harm() {
        let mut it = FillingQueue::default();
        for at in [0, i64::MAX, i64::MIN, 5] {
            let packet = Arrived {
                at,
                delay: at,
                size: u64::MAX,
            };
            it.feedback([packet; 10].into_iter(), Duration::MAX);
            it.feedback([packet; 10].into_iter(), Duration::ZERO);
        }
    }
}
