//! How packets leave a pad: at once, or each at its time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pacing::{Leaving, PacedQueue, Pacing};
use crate::element::log::CAT;
use crate::media::bandwidth::PacerDelay;

/// The way out of a pad. Paced since the first paced session of a run.
#[derive(Default)]
pub(super) struct Departure {
    queue: Mutex<Option<Arc<PacedQueue>>>,
}

impl Departure {
    /// Lets packets leave at a pace from now on, those that wait by `leave` on a thread.
    /// Without a thread they leave as they come.
    pub(super) fn begin_pacing(&self, leave: impl Fn(Leaving) + Send + 'static) {
        let queue = Arc::new(PacedQueue::new());
        let known = self.lock().get_or_insert_with(|| queue.clone()).clone();
        if !Arc::ptr_eq(&known, &queue) {
            return;
        }
        if let Err(error) = queue.run(leave) {
            gst::warning!(
                CAT,
                "packets are not paced: no thread could be started: {error}"
            );
            *self.lock() = None;
        }
    }

    /// The queue in which packets wait for their time, if they do.
    pub(super) fn queue(&self) -> Option<Arc<PacedQueue>> {
        self.lock().clone()
    }

    /// Sets how packets leave, if they are paced.
    pub(super) fn set_pacing(&self, pacing: Pacing) {
        self.paced(|queue| queue.set(pacing));
    }

    /// Bytes leave by another way, at the expense of the pad's.
    pub(super) fn leaves_past(&self, size: usize) {
        self.paced(|queue| queue.leaves_past(size));
    }

    /// Drops the packets that wait.
    pub(super) fn clear(&self) {
        self.paced(PacedQueue::clear);
    }

    /// How long packets wait for their time.
    pub(super) fn delay(&self) -> Option<PacerDelay> {
        Some(self.queue()?.delay())
    }

    /// Drops all that waits, and ends the thread.
    pub(super) fn end(&self) {
        let queue = self.lock().take();
        if let Some(queue) = queue {
            queue.end();
        }
    }

    fn paced(&self, act: impl FnOnce(&PacedQueue)) {
        if let Some(queue) = self.queue() {
            act(&queue);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<PacedQueue>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Departure {
    /// The thread holds the queue.
    fn drop(&mut self) {
        self.end();
    }
}
