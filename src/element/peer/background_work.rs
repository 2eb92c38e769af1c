//! Work on background threads that a process must not end in the middle of.
//!
//! The first DTLS element of a process has OpenSSL make a key. A process that
//! exits meanwhile tears OpenSSL down under that thread, and crashes. So an
//! element that goes to NULL waits until its background work is done.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Far more than a key takes; a thread that hangs must not hang the stop.
const BOUND: Duration = Duration::from_secs(3);

thread_local! {
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
}

/// Counts what is under way.
#[derive(Clone, Default)]
pub(in crate::element) struct Work {
    inner: Arc<(Mutex<usize>, Condvar)>,
}

impl Work {
    /// Does something that is waited for.
    pub(in crate::element) fn during<T>(&self, act: impl FnOnce() -> T) -> T {
        self.add(true);
        let was_at_work = AT_WORK.replace(true);
        let done = act();
        AT_WORK.set(was_at_work);
        self.add(false);
        done
    }

    /// Waits until nothing is under way, but for the thread that is itself in
    /// the middle of it, as when a handler of ours stops the pipeline.
    pub(in crate::element) fn wait(&self) {
        if AT_WORK.get() {
            return;
        }
        let (count, changed) = &*self.inner;
        let count = count.lock().unwrap_or_else(PoisonError::into_inner);
        // Past the bound there is nothing better to do than to go on.
        drop(changed.wait_timeout_while(count, BOUND, |count| *count > 0));
    }

    fn add(&self, begins: bool) {
        let (count, changed) = &*self.inner;
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        *count = if begins {
            *count + 1
        } else {
            count.saturating_sub(1)
        };
        changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn is_waited_for_and_not_by_itself() {
        let work = Work::default();
        work.wait();
        work.during(|| work.wait());
        let (began, begun) = channel();
        let (go_on, wait) = channel();
        let done = Arc::new(AtomicBool::new(false));
        let (other, is_done) = (work.clone(), done.clone());
        let thread = std::thread::spawn(move || {
            other.during(|| {
                began.send(()).unwrap();
                wait.recv().unwrap();
                is_done.store(true, Ordering::SeqCst);
            });
        });
        begun.recv().unwrap();
        go_on.send(()).unwrap();
        work.wait();
        assert!(done.load(Ordering::SeqCst));
        thread.join().unwrap();
    }
}
