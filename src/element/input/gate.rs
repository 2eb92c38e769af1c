//! The gate of a pad: drops media until the session publishes, then lets video
//! begin with a key frame.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After this time video passes without a key frame: some streams have none at all
/// (gradual refresh).
const KEY_FRAME_WAIT: Duration = Duration::from_secs(5);

const CLOSED: u8 = 0;
const AWAITS_KEY_FRAME: u8 = 1;
const OPEN: u8 = 2;

/// A pad's gate; closed at first.
#[derive(Default)]
pub(crate) struct Gate {
    mode: AtomicU8,
    opened: Mutex<Option<Instant>>,
}

impl Gate {
    /// Returns whether it was not closed.
    pub(crate) fn close(&self) -> bool {
        self.mode.swap(CLOSED, Ordering::AcqRel) != CLOSED
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.mode.load(Ordering::Acquire) == CLOSED
    }

    pub(crate) fn open(&self) {
        self.mode.store(OPEN, Ordering::Release);
    }

    /// Opens at the next key frame, or without one after [`KEY_FRAME_WAIT`].
    pub(crate) fn open_with_key_frame(&self, now: Instant) {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.mode.store(AWAITS_KEY_FRAME, Ordering::Release);
    }

    /// Lets an open gate wait for a key frame once more, as another source begins. Returns
    /// whether it was open.
    pub(crate) fn await_key_frame_again(&self, now: Instant) -> bool {
        if self.mode.load(Ordering::Acquire) != OPEN {
            return false;
        }
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        self.move_on(OPEN, AWAITS_KEY_FRAME)
    }

    /// Whether the next frame is to pass, which may be a key frame.
    pub(crate) fn lets_pass(&self, is_key_frame: bool) -> bool {
        match self.mode.load(Ordering::Acquire) {
            OPEN => true,
            AWAITS_KEY_FRAME => is_key_frame,
            _ => false,
        }
    }

    /// Whether a buffer passes. `begins` says whether a decoder can begin with
    /// it; it is called only while the gate waits for a key frame.
    pub(crate) fn passes(&self, begins: impl FnOnce() -> bool) -> bool {
        match self.mode.load(Ordering::Acquire) {
            OPEN => true,
            AWAITS_KEY_FRAME if begins() || self.key_frame_wait_is_over() => {
                self.move_on(AWAITS_KEY_FRAME, OPEN)
            }
            _ => false,
        }
    }

    /// If the gate was closed meanwhile, it stays closed.
    fn move_on(&self, from: u8, to: u8) -> bool {
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        let moved = self.mode.compare_exchange(from, to, success, failure);
        moved.is_ok()
    }

    fn key_frame_wait_is_over(&self) -> bool {
        let opened = *self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.is_some_and(|opened| opened.elapsed() >= KEY_FRAME_WAIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_until_opened_and_closed_again() {
        let gate = Gate::default();
        assert!(!gate.passes(|| true));
        gate.open();
        assert!(gate.passes(|| false));
        gate.close();
        assert!(!gate.passes(|| true));
    }

    #[test]
    fn video_begins_with_a_key_frame() {
        let gate = Gate::default();
        gate.open_with_key_frame(Instant::now());
        assert!(!gate.passes(|| false));
        assert!(gate.passes(|| true));
        assert!(gate.passes(|| false));
    }

    #[test]
    fn another_source_begins_with_a_key_frame_too() {
        let gate = Gate::default();
        assert!(!gate.await_key_frame_again(Instant::now()), "it is closed");
        gate.open();
        assert!(gate.await_key_frame_again(Instant::now()));
        assert!(!gate.passes(|| false));
        assert!(gate.passes(|| true));
    }

    #[test]
    fn a_stream_without_key_frames_passes_after_a_while() {
        let gate = Gate::default();
        let Some(long_ago) = Instant::now().checked_sub(KEY_FRAME_WAIT) else {
            return;
        };
        gate.open_with_key_frame(long_ago);
        assert!(gate.passes(|| false));
    }
}
