//! When media last arrived at a pad.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Written by the streaming thread with each packet, without a lock.
pub(crate) struct Arrivals {
    origin: Instant,
    /// In milliseconds since `origin`.
    last: AtomicU64,
}

impl Default for Arrivals {
    fn default() -> Self {
        Self {
            origin: Instant::now(),
            last: AtomicU64::new(0),
        }
    }
}

impl Arrivals {
    /// Notes that media, or a gap in place of them, arrives now.
    pub(crate) fn note(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    /// The time since the last arrival.
    pub(crate) fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.origin.elapsed().saturating_sub(last)
    }
}
