//! The sessions that the regional host keeps, by the secret part of their URLs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::record::{Ending, Record};

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    last_id: AtomicU32,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    id: u32,
    order: oneshot::Sender<Ending>,
}

impl Sessions {
    /// The number of the next POST, and of its session.
    pub(crate) fn next_id(&self) -> u32 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps a session; the receiver gets the order to end.
    pub(crate) fn keep(&self, id: u32, secret: String) -> oneshot::Receiver<Ending> {
        let (order, ordered) = oneshot::channel();
        self.lock().insert(secret, Kept { id, order });
        ordered
    }

    pub(crate) fn find(&self, secret: &str) -> Option<u32> {
        self.lock().get(secret).map(|kept| kept.id)
    }

    /// Forgets a session that ended by itself.
    pub(crate) fn forget(&self, secret: &str) {
        self.lock().remove(secret);
    }

    /// Ends a session by DELETE; its number, if there is such a session.
    pub(crate) fn delete(&self, secret: &str, record: &Record) -> Option<u32> {
        let kept = self.lock().remove(secret)?;
        let id = kept.id;
        kept.end(Ending::Deleted, record);
        Some(id)
    }

    pub(crate) fn close_all(&self, record: &Record) {
        let all: Vec<Kept> = self.lock().drain().map(|(_, kept)| kept).collect();
        for kept in all {
            kept.end(Ending::Closed, record);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        // Each change is one call on the map; a panic leaves it whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The report says so at once, as whoever gave the order may look before
    /// the far end has said goodbye.
    fn end(self, ending: Ending, record: &Record) {
        record.update(self.id, |report| {
            report.ended.get_or_insert(ending);
        });
        // A far end that is gone has ended by itself just now.
        let _ = self.order.send(ending);
    }
}
