//! What happened on a stage: a list of events for whoever waits for one, and a
//! report for each session. Nothing in here is a secret: a session goes by its
//! number, never by its URL, and tokens and SDP are not kept.

use std::sync::mpsc::Sender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::counter::SectionReport;
use crate::offer::{Kind, OfferSection};
use crate::trickle::IfMatch;

/// Something that happened, and when.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the stage started.
    pub at_ms: u64,
    /// What it was.
    #[serde(flatten)]
    pub what: Happening,
}

impl Event {
    fn replaces(&self, old: &Self) -> bool {
        let counted = |event: &Self| match event.what {
            Happening::Media { session, .. } => Some(session),
            _ => None,
        };
        counted(self).is_some() && counted(self) == counted(old)
    }
}

/// The things that can happen on a stage. `session` is the number of the POST
/// on the regional host, and of the session that it made, if it made one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The stage takes requests.
    Listening {
        /// URL of the global listener.
        endpoint: String,
        /// Host and port of each listener, from the global to the regional one.
        hosts: Vec<String>,
        /// Address the far end takes media on.
        media_address: String,
    },
    /// A POST was sent on to another place.
    Redirect {
        /// Host and port that answered.
        from: String,
        /// The `Location` it answered with.
        to: String,
        /// The status of the answer.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
    },
    /// A POST whose token was good had a readable offer.
    Offer {
        /// Number of the POST.
        session: u32,
        /// Host and port that got it.
        host: String,
        /// The offer's sections, in order.
        sections: Vec<OfferSection>,
    },
    /// A POST was turned down.
    Refused {
        /// Number of the POST.
        session: u32,
        /// Host and port that got it.
        host: String,
        /// The status of the answer.
        status: u16,
        /// The IVS error code, where the answer had one.
        code: Option<u32>,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
        /// Why, in words.
        reason: String,
    },
    /// A POST made a session.
    Created {
        /// Number of the session.
        session: u32,
        /// Host and port that keep it.
        host: String,
        /// The participant id (`jti`) of the token.
        participant: String,
    },
    /// ICE and DTLS are through.
    Connected {
        /// Number of the session.
        session: u32,
        /// Milliseconds since the POST came in.
        after_ms: u64,
    },
    /// The first RTP packet of a section.
    FirstPacket {
        /// Number of the session.
        session: u32,
        /// The section's `mid`.
        mid: String,
        /// Audio or video.
        kind: Kind,
        /// Milliseconds since the POST came in.
        after_ms: u64,
    },
    /// Counts so far. Of each session the last one only is kept, so that a long
    /// run doesn't fill the memory; a follower gets them all.
    Media {
        /// Number of the session.
        session: u32,
        /// What came in each section.
        sections: Vec<SectionReport>,
    },
    /// The peer closed DTLS or answers no more. The session stays for a while,
    /// as one does whose publisher vanished.
    PeerLost {
        /// Number of the session.
        session: u32,
        /// How it showed.
        reason: String,
    },
    /// A DELETE for a session, known or not.
    Delete {
        /// Number of the session, where the host has it.
        session: Option<u32>,
        /// Host and port that got it.
        host: String,
        /// The status of the answer; 0 if none was sent.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
    },
    /// A PATCH for a session, known or not.
    Patch {
        /// Number of the session, where the host has it.
        session: Option<u32>,
        /// Host and port that got it.
        host: String,
        /// The status of the answer; 0 if none was sent.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
        /// How many candidates were in the body, usable or not, and taken or
        /// not.
        #[serde(default)]
        candidates: usize,
        /// Whether the body said that no more will come.
        #[serde(default)]
        end_of_candidates: bool,
        /// What the `If-Match` header was to the session.
        #[serde(default)]
        if_match: IfMatch,
    },
    /// A session is over.
    Ended {
        /// Number of the session.
        session: u32,
        /// Why.
        reason: Ending,
        /// All that came in each section.
        sections: Vec<SectionReport>,
    },
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// By the publisher's DELETE.
    Deleted,
    /// By [`close_sessions`](crate::Stage::close_sessions).
    Closed,
    /// The peer was gone for longer than the stage's patience.
    PeerLost,
    /// The peer did not connect within the stage's patience.
    NeverConnected,
    /// It connected and then brought no media where the rules ask for some.
    Silent,
    /// The far end gave up on something that the peer sent.
    Failed,
}

/// What is known of one session, live or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport {
    /// Number of the session.
    pub id: u32,
    /// Host and port that keep it.
    pub host: String,
    /// The participant id (`jti`) of its token.
    pub participant: String,
    /// Milliseconds from the POST to connected, once it is.
    pub connected_ms: Option<u64>,
    /// Whether the peer closed DTLS or answers no more.
    pub peer_lost: bool,
    /// What came in each section, in the offer's order.
    pub sections: Vec<SectionReport>,
    /// Why it ended, once it has.
    pub ended: Option<Ending>,
}

impl SessionReport {
    /// The first section of a kind.
    #[must_use]
    pub fn section(&self, kind: Kind) -> Option<&SectionReport> {
        self.sections.iter().find(|section| section.kind == kind)
    }

    /// Packets that came in sections of a kind.
    #[must_use]
    pub fn packets(&self, kind: Kind) -> u64 {
        let of_kind = self.sections.iter().filter(|section| section.kind == kind);
        of_kind.map(|section| section.packets).sum()
    }
}

/// The events and reports of one stage, shared by all that add to them.
#[derive(Debug)]
pub(crate) struct Record {
    start: Instant,
    state: Mutex<State>,
    changed: Condvar,
    follow: Option<Sender<Event>>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    sessions: Vec<SessionReport>,
    failure: Option<String>,
    changes: u64,
}

impl Record {
    pub(crate) fn new(follow: Option<Sender<Event>>) -> Self {
        Self {
            start: Instant::now(),
            state: Mutex::default(),
            changed: Condvar::new(),
            follow,
        }
    }

    pub(crate) fn elapsed_ms(&self) -> u64 {
        millis(self.start.elapsed())
    }

    pub(crate) fn add(&self, what: Happening) {
        self.change(|state| {
            // The time is taken under the lock, so that times rise along the list.
            let event = Event {
                at_ms: self.elapsed_ms(),
                what,
            };
            if let Some(follow) = &self.follow {
                // A follower that has gone away is no concern of the stage.
                let _ = follow.send(event.clone());
            }
            state.events.retain(|old| !event.replaces(old));
            state.events.push(event);
        });
    }

    pub(crate) fn open(&self, report: SessionReport) {
        self.change(|state| state.sessions.push(report));
    }

    /// Changes the report of one session.
    pub(crate) fn update(&self, session: u32, change: impl FnOnce(&mut SessionReport)) {
        self.change(|state| {
            let mut reports = state.sessions.iter_mut();
            if let Some(report) = reports.find(|report| report.id == session) {
                change(report);
            }
        });
    }

    /// Notes a panic of the stage's own code, to be reported to whoever looks.
    pub(crate) fn fail(&self, failure: String) {
        self.change(|state| {
            state.failure.get_or_insert(failure);
        });
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    pub(crate) fn sessions(&self) -> Vec<SessionReport> {
        self.lock().sessions.clone()
    }

    /// Waits until `look` finds something in what `take` copies, at the latest
    /// until `bound` is over or the stage has failed. `look` runs without the
    /// lock, so it may ask the stage anything.
    pub(crate) fn wait<S, T>(
        &self,
        bound: Duration,
        take: impl Fn(&[Event], &[SessionReport]) -> S,
        mut look: impl FnMut(S) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + bound;
        let mut seen = None;
        loop {
            let state = self.lock();
            let left = end.saturating_duration_since(Instant::now());
            let (state, _) = self
                .changed
                .wait_timeout_while(state, left, |state| seen == Some(state.changes))
                .unwrap_or_else(PoisonError::into_inner);
            seen = Some(state.changes);
            let failed = state.failure.is_some();
            let snapshot = take(&state.events, &state.sessions);
            drop(state);

            if let Some(found) = look(snapshot) {
                return Some(found);
            }
            if failed || Instant::now() >= end {
                return None;
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        state.changes += 1;
        drop(state);
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the lists as they were, entry by entry.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
