//! Records what happens on a stage: events and the state of sessions come in,
//! the list of events and a report of each session go out. It holds no secret, as
//! the events.

use std::sync::mpsc::SyncSender;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::counter::SectionReport;
use crate::endings::Ending;
use crate::event::{Event, Happening};
use crate::offer::Kind;

/// Number of events that a stage keeps: the first one and the last ones.
const EVENT_LIMIT: usize = 4096;

/// Number of ended sessions whose reports a stage keeps.
const ENDED_LIMIT: usize = 256;

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
