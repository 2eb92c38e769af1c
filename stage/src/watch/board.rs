//! What the page shows of each live publisher: samples and SDP come in, JSON
//! goes out. ICE credentials are cut from the SDP before it is kept.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::ivs_limits::Excess;
use crate::watch::Sample;
use crate::watch::redaction::without_secrets;

/// Samples of each publisher: two minutes.
const SAMPLES: usize = 120;

/// Characters of a `User-Agent` that are kept.
const AGENT_LIMIT: usize = 120;

#[derive(Debug, Default)]
pub(crate) struct Board {
    /// By session.
    cards: Mutex<BTreeMap<u32, Entry>>,
}

/// One publisher.
#[derive(Debug)]
pub(crate) struct Card {
    pub(crate) participant: String,
    pub(crate) user_id: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) offer: String,
    pub(crate) answer: String,
}

#[derive(Debug)]
struct Entry {
    card: Card,
    since: Duration,
    from: Option<SocketAddr>,
    samples: VecDeque<Sample>,
    /// The number of the first of them, counted from 0.
    first: u64,
    excesses: BTreeMap<Excess, (u64, String)>,
}

impl Board {
    pub(crate) fn open(&self, session: u32, card: Card) {
        let agent = card.agent.as_deref();
        let card = Card {
            agent: agent.map(|agent| agent.chars().take(AGENT_LIMIT).collect()),
            offer: without_secrets(&card.offer),
            answer: without_secrets(&card.answer),
            ..card
        };
        let entry = Entry {
            card,
            since: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            from: None,
            samples: VecDeque::new(),
            first: 0,
            excesses: BTreeMap::new(),
        };
        self.lock().insert(session, entry);
    }

    pub(crate) fn add(&self, session: u32, sample: Sample, from: Option<SocketAddr>) {
        let mut cards = self.lock();
        let Some(entry) = cards.get_mut(&session) else {
            return;
        };
        entry.from = from.or(entry.from);
        if entry.samples.len() >= SAMPLES {
            entry.samples.pop_front();
            entry.first += 1;
        }
        entry.samples.push_back(sample);
        for excess in Excess::of(&sample) {
            let text = excess.describe(&sample);
            let (seconds, last) = entry.excesses.entry(excess).or_default();
            *seconds += 1;
            *last = text;
        }
    }

    pub(crate) fn close(&self, session: u32) {
        self.lock().remove(&session);
    }

    /// The publishers, with the samples after `since_ms`.
    pub(crate) fn publishers(&self, since_ms: u64) -> Vec<(u32, String, Value)> {
        let cards = self.lock();
        let publishers = cards.iter().map(|(session, entry)| {
            let participant = entry.card.participant.clone();
            (*session, participant, entry.json(*session, since_ms))
        });
        publishers.collect()
    }

    /// Offer and answer of a session.
    pub(crate) fn sdp(&self, session: u32) -> Option<Value> {
        let cards = self.lock();
        let card = &cards.get(&session)?.card;
        Some(json!({ "offer": card.offer, "answer": card.answer }))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u32, Entry>> {
        // An entry with one sample more or less is whole.
        self.cards.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn json(&self, session: u32, since_ms: u64) -> Value {
        let new = self.samples.iter().filter(|sample| sample.at_ms > since_ms);
        let excesses = self.excesses.values();
        let excesses = excesses.map(|(seconds, text)| json!({ "seconds": seconds, "text": text }));
        json!({
            "session": session,
            "participant": self.card.participant,
            "user_id": self.card.user_id,
            "agent": self.card.agent,
            "since": u64::try_from(self.since.as_millis()).unwrap_or(u64::MAX),
            "from": self.from,
            "samples": new.collect::<Vec<_>>(),
            "excesses": excesses.collect::<Vec<_>>(),
        })
    }
}
