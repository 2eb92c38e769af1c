//! What a simulated session reached.

use std::fmt;

use super::network::{Arrival, Media, Packet};

/// A gap between two decoded frames that a viewer calls a freeze, in µs.
const FREEZE: i64 = 250_000;
/// No more is of use: 2.5 Mbit/s of video, audio, headers. In bit/s.
const USEFUL: u64 = 2_700_000;

/// 90 % of the highest bit rate of the encoder, in bit/s.
const HIGH: u64 = 2_250_000;

/// All that happened, with times in µs.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) arrivals: Vec<Arrival>,
    pub(super) lost: Vec<Packet>,
    pub(super) decoded: Vec<i64>,
    pub(super) changes: Vec<(i64, u64)>,
}

/// What was reached in a part of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached {
    /// Delay in the queue in ms: median, and 95 % are below.
    pub(super) queue: (f64, f64),
    /// Part of what the bottleneck can carry and the publisher can use, in percent.
    pub(super) used: f64,
    /// Packets lost, of all and of audio's, in percent.
    pub(super) lost: f64,
    pub(super) audio_lost: f64,
    /// Seconds in gaps of more than 250 ms between decoded frames, and the longest gap.
    pub(super) frozen: f64,
    pub(super) gap: f64,
    pub(super) frames_a_second: f64,
    /// kbit/s that the encoder was set to, on average.
    pub(super) encoder: f64,
    pub(super) changes_a_second: f64,
    /// Seconds from the beginning until the encoder is set to 90 % of the highest rate.
    pub(super) recovery: f64,
}

impl Log {
    /// From `from` to `to`. `rate` tells the bottleneck's rate at a time.
    pub(super) fn reached(&self, from: i64, to: i64, rate: impl Fn(i64) -> u64) -> Reached {
        let seconds = (to - from) as f64 / 1e6;
        let within = |at: i64| (from..to).contains(&at);
        let arrived: Vec<_> = self.arrivals.iter().filter(|it| within(it.at)).collect();
        let bits: f64 = arrived
            .iter()
            .map(|it| (it.packet.size + 28) as f64 * 8.0)
            .sum();
        let milliseconds = (from..to).step_by(1_000);
        let useful: f64 = milliseconds
            .map(|at| rate(at).min(USEFUL) as f64 / 1e3)
            .sum();
        let is_audio = |packet: &Packet| packet.media == Media::Audio;
        let changes = self.changes.iter().filter(|(at, _)| within(*at)).count();
        let (frozen, gap) = self.frozen(from, to);
        Reached {
            queue: queue(&arrived),
            used: bits / useful * 100.0,
            lost: self.lost_of(from, to, |_| true),
            audio_lost: self.lost_of(from, to, is_audio),
            frozen,
            gap,
            frames_a_second: self.decoded.iter().filter(|at| within(**at)).count() as f64 / seconds,
            encoder: self.encoder(from, to),
            changes_a_second: changes as f64 / seconds,
            recovery: self.recovery(from),
        }
    }

    fn recovery(&self, from: i64) -> f64 {
        let high = |(at, set): &&(i64, u64)| *at >= from && *set >= HIGH;
        let reached = self.changes.iter().find(high);
        reached.map_or(f64::INFINITY, |(at, _)| (at - from) as f64 / 1e6)
    }

    fn lost_of(&self, from: i64, to: i64, kind: impl Fn(&Packet) -> bool) -> f64 {
        let counts = |it: &Packet| {
            (from..to).contains(&it.sent_at)
                && !matches!(it.media, Media::Foreign | Media::Rival)
                && kind(it)
        };
        let lost = self.lost.iter().filter(|it| counts(it)).count() as f64;
        let arrived = self.arrivals.iter().filter(|it| counts(&it.packet)).count() as f64;
        lost / (lost + arrived).max(1.0) * 100.0
    }

    fn frozen(&self, from: i64, to: i64) -> (f64, f64) {
        let decoded = self
            .decoded
            .iter()
            .copied()
            .filter(|at| (from..to).contains(at));
        let times: Vec<_> = std::iter::once(from).chain(decoded).chain([to]).collect();
        let gaps = || times.windows(2).map(|it| it[1] - it[0]);
        let frozen: i64 = gaps().filter(|gap| *gap > FREEZE).sum();
        (frozen as f64 / 1e6, gaps().max().unwrap_or(0) as f64 / 1e6)
    }

    fn encoder(&self, from: i64, to: i64) -> f64 {
        let ends = self
            .changes
            .iter()
            .skip(1)
            .map(|(at, _)| *at)
            .chain([i64::MAX]);
        let sum: f64 = self
            .changes
            .iter()
            .zip(ends)
            .map(|((at, set), end)| (end.min(to) - (*at).max(from)).max(0) as f64 * *set as f64)
            .sum();
        sum / (to - from) as f64 / 1e3
    }
}

fn queue(arrived: &[&Arrival]) -> (f64, f64) {
    let mut queued: Vec<_> = arrived.iter().map(|it| it.queued).collect();
    queued.sort_unstable();
    let at = |percent| {
        queued
            .get(queued.len() * percent / 100)
            .map_or(0.0, |it| *it as f64 / 1e3)
    };
    (at(50), at(95))
}

impl Reached {
    /// The median of each value.
    pub(super) fn median(all: &[Self]) -> Self {
        let median = |of: fn(&Self) -> f64| middle(all.iter().map(of).collect());
        Self {
            queue: (median(|it| it.queue.0), median(|it| it.queue.1)),
            used: median(|it| it.used),
            lost: median(|it| it.lost),
            audio_lost: median(|it| it.audio_lost),
            frozen: median(|it| it.frozen),
            gap: median(|it| it.gap),
            frames_a_second: median(|it| it.frames_a_second),
            encoder: median(|it| it.encoder),
            changes_a_second: median(|it| it.changes_a_second),
            recovery: median(|it| it.recovery),
        }
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

impl fmt::Display for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:3.0} | {:3.0} | {:3.0} | {:4.1} | {:4.1} | {:4.1} | {:4.2} | {:4.1} | {:4.0} | {:4.2} | {:4.1}",
            self.queue.0,
            self.queue.1,
            self.used,
            self.lost,
            self.frozen,
            self.audio_lost,
            self.gap,
            self.frames_a_second,
            self.encoder,
            self.changes_a_second,
            self.recovery,
        )
    }
}
