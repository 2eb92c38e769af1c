//! When media last arrived at a pad.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Written by the streaming thread with each packet, without a lock.
pub(crate) struct Arrivals {
    origin: Instant,
    /// In milliseconds since `origin`; [`NEVER`] before the first.
    last: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            last: AtomicU64::new(NEVER),
        }
    }
}

impl Arrivals {
    /// Notes that media, or a gap in place of them, arrives now.
    pub(crate) fn note(&self) {
        self.note_at(Instant::now());
    }

    /// Notes that media arrive at `now`.
    pub(crate) fn note_at(&self, now: Instant) {
        let now = now.saturating_duration_since(self.origin);
        let now = u64::try_from(now.as_millis()).unwrap_or(NEVER - 1);
        self.last.store(now, Ordering::Relaxed);
    }

    /// Forgets all arrivals.
    pub(crate) fn clear(&self) {
        self.last.store(NEVER, Ordering::Relaxed);
    }

    /// The time since the last arrival; `None` before the first.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let last = self.last.load(Ordering::Relaxed);
        let last = (last != NEVER).then(|| Duration::from_millis(last))?;
        Some(self.origin.elapsed().saturating_sub(last))
    }
}
