//! A minute of a soak as a line of a table, and what must not grow over the minutes.

use std::fmt;
use std::time::Duration;

use crate::process_usage::{GROWTH, Usage};

pub(super) const HEADER: &str = "minute state      threads files  RSS kB heap kB quarks sessions \
     sent packets  lost off air  faults";

/// Of malloc's arenas, of which each keeps what was free after a peak: what is resident
/// rises in steps for as long as threads meet in new ways.
const RESIDENT: i64 = 16 * 1024;

/// An idle HTTP connection lives for 90 s, one to each of two hosts.
const IDLE_CONNECTIONS: usize = 2;

/// The most minutes of which the first ones are no measure.
const WARM: usize = 10;

#[derive(Debug)]
pub(super) struct Minute {
    pub(super) number: usize,
    /// The state of the session, or how many publish.
    pub(super) state: String,
    /// While no fault was played and no session began or ended.
    pub(super) usage: Usage,
    /// Since the start, as the next ones.
    pub(super) sessions: usize,
    pub(super) sent: u64,
    pub(super) lost: u64,
    /// The longest time without media of this minute.
    pub(super) off_air: Duration,
    /// Those of this minute.
    pub(super) faults: String,
}

impl fmt::Display for Minute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage {
            threads,
            files,
            memory,
            allocated,
            quarks,
        } = self.usage;
        write!(
            f,
            "{:>6} {:<10} {threads:>7} {files:>5} {memory:>7} {allocated:>7} {quarks:>6} {:>8} \
             {:>12} {:>5} {:>5.1} s  {}",
            self.number,
            self.state,
            self.sessions,
            self.sent,
            self.lost,
            self.off_air.as_secs_f64(),
            self.faults
        )
    }
}

/// Says what has grown since the first minutes, of which there are at most [`WARM`], and a
/// third at most.
pub(super) fn grown(minutes: &[Usage]) -> Vec<String> {
    let warm = WARM.min(minutes.len() / 3).max(1);
    let (warm, later) = minutes.split_at(warm);
    let mut complaints = Vec::new();
    for (what, count, idle) in [
        ("threads", (|usage| usage.threads) as fn(&Usage) -> usize, 0),
        ("files", |usage| usage.files, IDLE_CONNECTIONS),
    ] {
        let first = warm.iter().map(count).max().unwrap_or_default();
        let most = later.iter().map(count).max().unwrap_or_default();
        if most > first + idle {
            complaints.push(format!("{what}: {most}, {first} at first"));
        }
    }
    for (what, amount, bound) in [
        (
            "allocated",
            Usage::allocated_beside_quarks as fn(&Usage) -> u64,
            GROWTH,
        ),
        ("resident", |usage| usage.memory, RESIDENT),
    ] {
        let third = later.len().div_ceil(3);
        let first = median(later.iter().take(third).map(amount));
        let last = median(later.iter().rev().take(third).map(amount));
        let growth = last.cast_signed() - first.cast_signed();
        if growth > bound {
            complaints.push(format!("{what}: {growth:+} kB from {first} kB"));
        }
    }
    complaints
}

/// One minute alone may be in the middle of something.
fn median(amounts: impl Iterator<Item = u64>) -> u64 {
    let mut amounts: Vec<u64> = amounts.collect();
    amounts.sort_unstable();
    amounts.get(amounts.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(each: impl Fn(u64) -> Usage) -> Vec<Usage> {
        (0..60).map(each).collect()
    }

    fn usage(threads: usize, files: usize, memory: u64, allocated: u64) -> Usage {
        Usage {
            threads,
            files,
            memory,
            allocated,
            quarks: 5000,
        }
    }

    #[test]
    fn what_comes_and_goes_is_no_growth() {
        let still = minutes(|number| {
            let more = number % 3;
            let peak = if number == 40 { 50_000 } else { 0 };
            usage(
                20 + more as usize,
                30 + (number % 5) as usize,
                90_000 + number * 100 + peak,
                20_000 + more * 1000,
            )
        });
        assert_eq!(grown(&still), [""; 0]);
        assert_eq!(grown(&still[..1]), [""; 0]);
    }

    /// Measured: 20,000 quarks take 2.1 MB, 60,000 take 10.7.
    #[test]
    fn quarks_are_no_growth() {
        let named = minutes(|number| Usage {
            quarks: 5000 + number * 1000,
            ..usage(20, 30, 90_000, 20_000 + number * 160)
        });
        assert_eq!(grown(&named), [""; 0]);
    }

    #[test]
    fn each_kind_of_growth_is_told() {
        let leaks = minutes(|number| {
            let leaked = number / 15;
            usage(
                20 + leaked as usize,
                30 + leaked as usize,
                90_000 + number * 600,
                20_000 + number * 70,
            )
        });
        let told = grown(&leaks).join("; ");
        for what in [
            "threads: 23, 20",
            "files: 33, 30",
            "allocated: +",
            "resident: +",
        ] {
            assert!(told.contains(what), "{told}");
        }
    }
}
