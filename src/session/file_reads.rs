//! Reads files that may block for ever, with few threads.
//!
//! To open a file on a lost network mount can block for hours, and the thread
//! that does so can't be ended. The runtime's blocking threads also resolve host
//! names, so they must not run out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::task::spawn_blocking;

/// Threads for all files together. tokio has 512 of them.
const MAX_THREADS: usize = 16;

/// `None` until the file is read. Closed without a value if the runtime ends.
type Reading<T> = watch::Receiver<Option<T>>;

/// The reads under way: one at most for each file.
#[derive(Debug)]
pub(super) struct FileReads<T> {
    under_way: Mutex<BTreeMap<PathBuf, Reading<T>>>,
    threads: Semaphore,
}

impl<T: Clone + Send + Sync + 'static> FileReads<T> {
    pub(super) const fn new() -> Self {
        Self {
            under_way: Mutex::new(BTreeMap::new()),
            threads: Semaphore::const_new(MAX_THREADS),
        }
    }

    /// Reads a file, or waits for the read of it that is under way. It can wait
    /// for ever. `None` if the runtime ends.
    pub(super) async fn read(
        &'static self,
        path: &Path,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let under_way = self.under_way().get(path).cloned();
        let mut reading = match under_way {
            Some(reading) => reading,
            None => {
                let thread = self.threads.acquire().await.ok()?;
                self.start(path, read, thread)
            }
        };
        let read = reading.wait_for(Option::is_some).await.ok()?;
        read.clone()
    }

    fn start(
        &'static self,
        path: &Path,
        read: impl FnOnce() -> T + Send + 'static,
        thread: SemaphorePermit<'static>,
    ) -> Reading<T> {
        let (done, reading) = watch::channel(None);
        {
            let mut under_way = self.under_way();
            // Another request may have started it while this one waited for a
            // thread.
            if let Some(reading) = under_way.get(path) {
                return reading.clone();
            }
            under_way.insert(path.to_owned(), reading.clone());
        }
        let entry = Entry {
            reads: self,
            path: path.to_owned(),
        };
        spawn_blocking(move || {
            let value = read();
            // The next request reads anew.
            drop(entry);
            done.send_replace(Some(value));
            drop(thread);
        });
        reading
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Reading<T>>> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read under way. Dropped when it ends, also by a panic or with its runtime.
struct Entry<T: Clone + Send + Sync + 'static> {
    reads: &'static FileReads<T>,
    path: PathBuf,
}

impl<T: Clone + Send + Sync + 'static> Drop for Entry<T> {
    fn drop(&mut self) {
        self.reads.under_way().remove(&self.path);
    }
}
