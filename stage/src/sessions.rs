//! The live sessions of the regional host, by the secret part of their URLs,
//! and the channels that lead to their far ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::endings::Ending;
use crate::record::Record;

/// How many candidates a session takes by PATCH in all. The far end checks a
/// hundred pairs, but keeps every candidate.
const CANDIDATE_LIMIT: usize = 256;

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    last_id: AtomicU32,
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    info: SessionInfo,
    commands: UnboundedSender<Command>,
    /// How many candidates it still takes.
    candidates: usize,
}

/// What a handler tells a far end to do.
#[derive(Debug)]
pub(crate) enum Command {
    End(Ending),
    /// Adds candidates: values of candidate attributes from a PATCH.
    Candidates(Vec<String>),
    /// Requests key frames from the publisher, for a viewer.
    KeyFrame,
}

/// A session, and what its requests are checked against.
#[derive(Clone, Debug)]
pub(crate) struct SessionInfo {
    pub(crate) id: u32,
    /// The participant id of its token.
    pub(crate) participant: String,
    /// The offer's ICE user fragment.
    pub(crate) ufrag: Option<String>,
    /// The `mid` of the offer's first section.
    pub(crate) first_mid: Option<String>,
    /// The query that the session's URL must have.
    pub(crate) query: Option<String>,
}

impl Sessions {
    /// The number of the next POST, and of its session.
    pub(crate) fn next_id(&self) -> u32 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Keeps a session. Returns the two ends of its commands.
    pub(crate) fn keep(
        &self,
        secret: String,
        info: SessionInfo,
    ) -> (UnboundedSender<Command>, UnboundedReceiver<Command>) {
        let (commands, received) = unbounded_channel();
        let entry = Entry {
            info,
            commands: commands.clone(),
            candidates: CANDIDATE_LIMIT,
        };
        self.lock().insert(secret, entry);
        (commands, received)
    }

    /// Number of live sessions.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    pub(crate) fn find(&self, secret: &str, query: Option<&str>) -> Option<SessionInfo> {
        let entries = self.lock();
        let info = entries.get(secret).map(|entry| entry.info.clone());
        info.filter(|info| info.query.is_none() || info.query.as_deref() == query)
    }

    /// The secret of the session made last.
    pub(crate) fn latest(&self) -> Option<String> {
        let entries = self.lock();
        let latest = entries.iter().max_by_key(|(_, entry)| entry.info.id);
        latest.map(|(secret, _)| secret.clone())
    }

    /// Hands candidates to a session. Returns false if it has too many.
    pub(crate) fn trickle(&self, secret: &str, candidates: &[String]) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.get_mut(secret) else {
            // It has just ended by itself, or there is none under this rule.
            return true;
        };
        let Some(left) = entry.candidates.checked_sub(candidates.len()) else {
            return false;
        };
        entry.candidates = left;
        // Fails if the far end has just ended by itself.
        let _ = entry
            .commands
            .send(Command::Candidates(candidates.to_vec()));
        true
    }

    /// Forgets a session that ended by itself.
    pub(crate) fn forget(&self, secret: &str) {
        self.lock().remove(secret);
    }

    /// Ends a session by DELETE.
    pub(crate) fn delete(&self, secret: &str, record: &Record) {
        let entry = self.lock().remove(secret);
        if let Some(entry) = entry {
            entry.end(Ending::Deleted, record);
        }
    }

    pub(crate) fn has_participant(&self, participant: &str) -> bool {
        let entries = self.lock();
        let mut entries = entries.values();
        entries.any(|entry| entry.info.participant == participant)
    }

    /// Ends the sessions of a participant, who makes a new one.
    pub(crate) fn end_of_participant(&self, participant: &str, record: &Record) {
        let mut entries = self.lock();
        let of_participant = entries.extract_if(|_, entry| entry.info.participant == participant);
        let ended: Vec<Entry> = of_participant.map(|(_, entry)| entry).collect();
        drop(entries);
        for entry in ended {
            entry.end(Ending::TokenReused, record);
        }
    }

    pub(crate) fn close_all(&self, record: &Record) {
        let all: Vec<Entry> = self.lock().drain().map(|(_, entry)| entry).collect();
        for entry in all {
            entry.end(Ending::Closed, record);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        // Each change is one call on the map; a panic leaves it whole.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Notes the end in the report at once: the caller may look at the report
    /// before the far end has closed its connection.
    fn end(self, ending: Ending, record: &Record) {
        record.update(self.info.id, |report| {
            report.ended.get_or_insert(ending);
        });
        // Fails if the far end has just ended by itself.
        let _ = self.commands.send(Command::End(ending));
    }
}
