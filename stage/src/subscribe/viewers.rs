//! The live viewers, by the secret part of their URLs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot::{Receiver, Sender, channel};

#[derive(Debug, Default)]
pub(crate) struct Viewers {
    last_id: AtomicU32,
    /// The sender ends the viewer when dropped.
    entries: Mutex<HashMap<String, Sender<()>>>,
}

impl Viewers {
    /// The number of the next viewer's POST.
    pub(crate) fn next_id(&self) -> u32 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps a viewer; the receiver ends with its DELETE. `None` if there are
    /// as many as this limit.
    pub(crate) fn keep(&self, secret: &str, limit: usize) -> Option<Receiver<()>> {
        let mut entries = self.lock();
        if entries.len() >= limit {
            return None;
        }
        let (end, ended) = channel();
        entries.insert(secret.to_owned(), end);
        Some(ended)
    }

    pub(crate) fn has(&self, secret: &str) -> bool {
        self.lock().contains_key(secret)
    }

    /// Forgets a viewer, which ends it if it has not ended.
    pub(crate) fn forget(&self, secret: &str) {
        self.lock().remove(secret);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Sender<()>>> {
        // Each change is one call on the map; a panic leaves it whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
