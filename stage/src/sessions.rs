//! The sessions that the regional host keeps, by the secret part of their URLs.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::record::{Ending, Record};

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    last_id: AtomicU32,
    kept: Mutex<HashMap<String, Kept>>,
}

#[derive(Debug)]
struct Kept {
    found: Found,
    orders: UnboundedSender<Order>,
}

/// What HTTP tells a far end to do.
#[derive(Debug)]
pub(crate) enum Order {
    End(Ending),
    /// Values of candidate attributes that the peer has trickled.
    Candidates(Vec<String>),
}

/// A session, for whoever asks by its URL.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: u32,
    pub(crate) peer: Peer,
}

/// What a session's requests are measured by.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// The offer's ICE user fragment.
    pub(crate) ufrag: Option<String>,
    /// The name of the offer's first section.
    pub(crate) mid: Option<String>,
    /// The query that its URL must have.
    pub(crate) query: Option<String>,
}

impl Sessions {
    /// The number of the next POST, and of its session.
    pub(crate) fn next_id(&self) -> u32 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps a session; the receiver gets its orders.
    pub(crate) fn keep(&self, id: u32, secret: String, peer: Peer) -> UnboundedReceiver<Order> {
        let (orders, ordered) = unbounded_channel();
        let found = Found { id, peer };
        self.lock().insert(secret, Kept { found, orders });
        ordered
    }

    pub(crate) fn find(&self, secret: &str, query: Option<&str>) -> Option<Found> {
        let kept = self.lock();
        let found = kept.get(secret).map(|kept| kept.found.clone());
        found.filter(|found| found.peer.query.is_none() || found.peer.query.as_deref() == query)
    }

    /// The secret of the session made last.
    pub(crate) fn latest(&self) -> Option<String> {
        let kept = self.lock();
        let latest = kept.iter().max_by_key(|(_, kept)| kept.found.id);
        latest.map(|(secret, _)| secret.clone())
    }

    /// Hands candidates to a session.
    pub(crate) fn trickle(&self, secret: &str, candidates: &[String]) {
        if let Some(kept) = self.lock().get(secret) {
            // A far end that is gone has ended by itself just now.
            let _ = kept.orders.send(Order::Candidates(candidates.to_vec()));
        }
    }

    /// Forgets a session that ended by itself.
    pub(crate) fn forget(&self, secret: &str) {
        self.lock().remove(secret);
    }

    /// Ends a session by DELETE.
    pub(crate) fn delete(&self, secret: &str, record: &Record) {
        let kept = self.lock().remove(secret);
        if let Some(kept) = kept {
            kept.end(Ending::Deleted, record);
        }
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
        record.update(self.found.id, |report| {
            report.ended.get_or_insert(ending);
        });
        // A far end that is gone has ended by itself just now.
        let _ = self.orders.send(Order::End(ending));
    }
}
