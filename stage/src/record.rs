//! Records what happens on a stage: events and the state of sessions come in,
//! the list of events and a report of each session go out. It holds no secret:
//! sessions have numbers here and no URLs, and there are no tokens and no SDP.

use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::counter::SectionReport;
use crate::endings::{Ending, ViewerEnding};
use crate::offer::{Kind, OfferSection};
use crate::trickle::IfMatch;

/// Number of events that a stage keeps: the first one and the last ones.
const EVENT_LIMIT: usize = 4096;

/// Number of ended sessions whose reports a stage keeps.
const ENDED_LIMIT: usize = 256;

/// Something that happened, with its time. In JSON the fields of
/// [`what`](Self::what) stand beside `at_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the stage started.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

impl Event {
    /// Whether both are counts of the same session.
    fn replaces(&self, old: &Self) -> bool {
        let counted = |event: &Self| match event.what {
            Happening::Media { session, .. } => Some(session),
            _ => None,
        };
        counted(self).is_some() && counted(self) == counted(old)
    }
}

/// What can happen on a stage. `session` is the number of a POST on the
/// regional host, counted from 1, and of the session that it made, if any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The stage listens. Always the first event.
    Listening {
        /// URL of the global listener.
        endpoint: String,
        /// Host and port of each listener, from the global to the regional one.
        hosts: Vec<String>,
        /// Address on which the far end receives media.
        media_address: String,
        /// URL of the page that shows the stage, if there is one.
        #[serde(default)]
        page: Option<String>,
    },
    /// A connection could not be accepted, for example because the process has
    /// too many open files. The stage tries again until it can. Further failures
    /// are not events until there was none for a minute.
    AcceptFailed {
        /// Host and port of the listener.
        host: String,
        /// Why, in the system's words.
        reason: String,
    },
    /// A POST was redirected.
    Redirect {
        /// Host and port that answered.
        from: String,
        /// The `Location` of the reply.
        to: String,
        /// The status of the reply.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
    },
    /// A POST with a valid token had a readable offer.
    Offer {
        /// Number of the POST.
        session: u32,
        /// Host and port that got it.
        host: String,
        /// The offer's sections, in order.
        sections: Vec<OfferSection>,
    },
    /// A POST was refused.
    Refused {
        /// Number of the POST.
        session: u32,
        /// Host and port that got it.
        host: String,
        /// The status of the reply.
        status: u16,
        /// The IVS error code of the reply, if it had one.
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
        /// Host and port of its URL.
        host: String,
        /// The participant id (`jti`) of the token.
        participant: String,
    },
    /// ICE and DTLS have connected.
    Connected {
        /// Number of the session.
        session: u32,
        /// Milliseconds since the POST.
        after_ms: u64,
    },
    /// The first RTP packet of a section has arrived.
    FirstPacket {
        /// Number of the session.
        session: u32,
        /// The section's `mid`.
        mid: String,
        /// Audio or video.
        kind: Kind,
        /// Milliseconds since the POST.
        after_ms: u64,
    },
    /// Counts so far, every [`Rules::media_interval`](crate::Rules::media_interval).
    /// The list of events has the last one of each session, so that it doesn't
    /// grow with time; a follower gets all of them.
    Media {
        /// Number of the session.
        session: u32,
        /// What arrived in each section so far.
        sections: Vec<SectionReport>,
    },
    /// The peer closed DTLS or no longer answers. The session stays until
    /// [`Rules::patience`](crate::Rules::patience) is over.
    PeerLost {
        /// Number of the session.
        session: u32,
        /// How the stage noticed.
        reason: String,
    },
    /// A DELETE for a session, known or not.
    Delete {
        /// Number of the session, if the host has it.
        session: Option<u32>,
        /// Host and port that got it.
        host: String,
        /// The status of the reply; 0 without a reply.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
    },
    /// A PATCH for a session, known or not.
    Patch {
        /// Number of the session, if the host has it.
        session: Option<u32>,
        /// Host and port that got it.
        host: String,
        /// The status of the reply; 0 without a reply.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
        /// Number of candidates in the body, also invalid and refused ones; 0 for
        /// a body that is not read because it is too large.
        #[serde(default)]
        candidates: usize,
        /// Whether the body had `a=end-of-candidates`.
        #[serde(default)]
        end_of_candidates: bool,
        /// How the `If-Match` header compares with the session's ETag.
        #[serde(default)]
        if_match: IfMatch,
    },
    /// A viewer has subscribed to a publisher.
    Subscribed {
        /// Number of the viewer's POST, counted from 1 apart from publishers'.
        viewer: u32,
        /// The participant id of the publisher.
        participant: String,
    },
    /// A viewer's POST was refused.
    SubscribeRefused {
        /// Number of the viewer's POST.
        viewer: u32,
        /// The status of the reply.
        status: u16,
        /// The IVS error code of the reply, if it had one.
        code: Option<u32>,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
        /// Why, in words.
        reason: String,
    },
    /// A viewer has left or was sent away.
    Unsubscribed {
        /// Number of the viewer's POST.
        viewer: u32,
        /// Why it ended.
        reason: ViewerEnding,
        /// RTP packets that it was sent, without retransmissions.
        packets: u64,
        /// RTP packets that it missed because it, or the stage, was too slow.
        dropped: u64,
    },
    /// The follower did not take events in time and has missed some. Only the
    /// follower gets this.
    Missed {
        /// How many.
        events: u64,
    },
    /// A session has ended.
    Ended {
        /// Number of the session.
        session: u32,
        /// Why it ended.
        reason: Ending,
        /// What arrived in each section.
        sections: Vec<SectionReport>,
    },
}

/// The state of a session, live or ended.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionReport {
    /// Number of the session.
    pub id: u32,
    /// Host and port of its URL.
    pub host: String,
    /// The participant id (`jti`) of its token.
    pub participant: String,
    /// Milliseconds from the POST to the connection; `None` before it.
    pub connected_ms: Option<u64>,
    /// Whether the peer closed DTLS or no longer answers.
    pub peer_lost: bool,
    /// What arrived in each section, in the offer's order.
    pub sections: Vec<SectionReport>,
    /// Why it ended; `None` before.
    pub ended: Option<Ending>,
}

impl SessionReport {
    /// The first section of a kind.
    #[must_use]
    pub fn section(&self, kind: Kind) -> Option<&SectionReport> {
        self.sections.iter().find(|section| section.kind == kind)
    }

    /// Number of RTP packets in all sections of a kind.
    #[must_use]
    pub fn packets(&self, kind: Kind) -> u64 {
        let of_kind = self.sections.iter().filter(|section| section.kind == kind);
        of_kind.map(|section| section.packets).sum()
    }
}

/// The events and reports of one stage. Its tasks and its handle share it.
#[derive(Debug)]
pub(crate) struct Record {
    start: Instant,
    state: Mutex<State>,
    changed: Condvar,
    follow: Option<SyncSender<Event>>,
}

#[derive(Debug, Default)]
struct State {
    events: Vec<Event>,
    sessions: Vec<SessionReport>,
    failure: Option<String>,
    changes: u64,
    /// Events that the follower has missed since the last one that it got.
    missed: u64,
}

impl Record {
    pub(crate) fn new(follow: Option<SyncSender<Event>>) -> Self {
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
            // Takes the time under the lock, so that the list is in order.
            let event = Event {
                at_ms: self.elapsed_ms(),
                what,
            };
            self.tell(&mut state.missed, &event);
            state.events.retain(|old| !event.replaces(old));
            if state.events.len() >= EVENT_LIMIT {
                state.events.remove(1);
            }
            state.events.push(event);
        });
    }

    /// Sends an event to the follower without waiting: the caller has the lock,
    /// and a follower may read slowly or not at all.
    fn tell(&self, missed: &mut u64, event: &Event) {
        let Some(follow) = &self.follow else {
            return;
        };
        let gap = Event {
            at_ms: event.at_ms,
            what: Happening::Missed { events: *missed },
        };
        if *missed > 0 && follow.try_send(gap).is_ok() {
            *missed = 0;
        }
        if *missed > 0 || follow.try_send(event.clone()).is_err() {
            *missed += 1;
        }
    }

    pub(crate) fn open(&self, report: SessionReport) {
        self.change(|state| {
            state.sessions.push(report);
            let ended = |report: &SessionReport| report.ended.is_some();
            let sessions = &mut state.sessions;
            if sessions.iter().filter(|one| ended(one)).count() > ENDED_LIMIT
                && let Some(oldest) = sessions.iter().position(ended)
            {
                sessions.remove(oldest);
            }
        });
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

    /// Keeps the first failure of the stage's own code.
    pub(crate) fn fail(&self, failure: String) {
        self.change(|state| {
            state.failure.get_or_insert(failure);
        });
    }

    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().failure.clone()
    }

    /// What `pick` makes of the last events, newest first: at most `count`, none
    /// before `since_ms`.
    pub(crate) fn latest<T>(
        &self,
        since_ms: u64,
        count: usize,
        pick: impl Fn(&Event) -> Option<T>,
    ) -> Vec<T> {
        let state = self.lock();
        let events = state.events.iter().rev();
        let recent = events.take_while(|event| event.at_ms >= since_ms);
        recent.filter_map(pick).take(count).collect()
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.lock().events.clone()
    }

    pub(crate) fn sessions(&self) -> Vec<SessionReport> {
        self.lock().sessions.clone()
    }

    /// Waits until `look` returns `Some` for what `take` copies, until `bound`
    /// is over or until the stage fails. `look` runs without the lock, so it
    /// may call the stage.
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
        // A panic under the lock leaves every entry of the lists whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn delete(session: u32) -> Happening {
        Happening::Delete {
            session: Some(session),
            host: String::new(),
            status: 200,
            authorization: true,
        }
    }

    fn report(id: u32, ended: Option<Ending>) -> SessionReport {
        SessionReport {
            id,
            host: String::new(),
            participant: String::new(),
            connected_ms: None,
            peer_lost: false,
            sections: Vec::new(),
            ended,
        }
    }

    #[test]
    fn the_first_event_and_the_last_ones_are_kept() {
        let record = Record::new(None);
        let number = u32::try_from(EVENT_LIMIT).unwrap() + 10;
        (0..number).for_each(|session| record.add(delete(session)));
        let events = record.events();
        assert_eq!(events.len(), EVENT_LIMIT);
        assert_eq!(events[0].what, delete(0));
        assert_eq!(events[1].what, delete(11));
        assert_eq!(events.last().unwrap().what, delete(number - 1));
    }

    #[test]
    fn live_sessions_and_the_last_ended_ones_are_kept() {
        let record = Record::new(None);
        record.open(report(1, None));
        let number = u32::try_from(ENDED_LIMIT).unwrap() + 10;
        (2..number + 2).for_each(|id| record.open(report(id, Some(Ending::Deleted))));
        record.open(report(number + 2, None));
        let sessions = record.sessions();
        let ids: Vec<u32> = sessions.iter().map(|session| session.id).collect();
        assert_eq!(ids.len(), ENDED_LIMIT + 2);
        assert_eq!((ids[0], ids[1]), (1, 12));
    }

    #[test]
    fn a_follower_that_is_too_slow_learns_how_much_it_missed() {
        let (follow, followed) = sync_channel(2);
        let record = Record::new(Some(follow));
        (0..5).for_each(|session| record.add(delete(session)));
        let what = || {
            followed
                .try_iter()
                .map(|event| event.what)
                .collect::<Vec<_>>()
        };
        assert_eq!(what(), [delete(0), delete(1)]);
        record.add(delete(5));
        assert_eq!(what(), [Happening::Missed { events: 3 }, delete(5)]);
        assert_eq!(record.events().len(), 6);
    }
}
