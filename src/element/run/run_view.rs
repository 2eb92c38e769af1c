//! What other threads see of a run, and what a stop takes from it.
//!
//! The conductor writes, all threads read. A stop takes session and peer connection
//! out instead of waiting for the conductor, which may be in an application's
//! handler. The conductor then finds neither, and changes nothing any more.

use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use super::run_statistics::RunStatistics;
use crate::element::input::Encoder;
use crate::element::peer::Peer;
use crate::element::session_state::SessionState;
use crate::ivs::Claims;
use crate::session::{Ending, Input, Session};

/// Limit of the wait for a webrtcbin: more than making or closing one takes, which waits up
/// to 5 s for webrtcbin's replies. A handler of `webrtcbin-ready` that hangs must not block
/// the stop.
const BUSY_BOUND: Duration = Duration::from_secs(6);

/// One run, as the element's other threads see it.
pub(crate) struct RunView {
    state: Mutex<State>,
    idle: Condvar,
    conductor: OnceLock<ThreadId>,
}

struct State {
    session_state: SessionState,
    claims: Option<Claims>,
    statistics: RunStatistics,
    peer: Option<Peer>,
    /// The encoder whose bit rate is set.
    encoder: Option<Encoder>,
    /// The pads that are not published because they can't be.
    left_out: Vec<u32>,
    /// Whether a peer connection is being made or closed.
    is_busy: bool,
    /// `None` once the run is stopped.
    session: Option<(Session, Ending)>,
}

/// What a stop takes out of a run.
pub(crate) struct Stopped {
    pub(crate) session: Session,
    pub(crate) ending: Ending,
    pub(crate) peer: Option<Peer>,
    pub(super) encoder: Option<Encoder>,
}

impl RunView {
    /// `claims` are shown until the session has read its token.
    pub(super) fn new(session: Session, ending: Ending, claims: Option<Claims>) -> Self {
        Self {
            state: Mutex::new(State {
                session_state: SessionState::Idle,
                claims,
                statistics: RunStatistics::default(),
                peer: None,
                encoder: None,
                left_out: Vec::new(),
                is_busy: false,
                session: Some((session, ending)),
            }),
            idle: Condvar::new(),
            conductor: OnceLock::new(),
        }
    }

    /// Notes that the calling thread is the conductor.
    pub(super) fn set_conductor_thread(&self) {
        // Each run has one conductor, which calls this once.
        let _ = self.conductor.set(thread::current().id());
    }

    pub(crate) fn session_state(&self) -> SessionState {
        self.lock().session_state
    }

    /// Enters a state. Returns whether it is new. A session stays in `Failed`, and a
    /// stopped run in the state that it had.
    pub(super) fn enter(&self, entered: SessionState) -> bool {
        let mut state = self.lock();
        let stays = [entered, SessionState::Failed].contains(&state.session_state);
        if stays || state.session.is_none() {
            return false;
        }
        state.session_state = entered;
        true
    }

    /// The claims of the token in use, not verified.
    pub(crate) fn claims(&self) -> Option<Claims> {
        self.lock().claims.clone()
    }

    /// Returns whether the claims have changed.
    pub(super) fn set_claims(&self, claims: Option<Claims>) -> bool {
        let mut state = self.lock();
        std::mem::replace(&mut state.claims, claims) != state.claims
    }

    pub(crate) fn statistics(&self) -> RunStatistics {
        self.lock().statistics
    }

    pub(super) fn change_statistics(&self, change: impl FnOnce(&mut RunStatistics)) {
        change(&mut self.lock().statistics);
    }

    pub(super) fn set_left_out(&self, pads: &[u32]) {
        self.lock().left_out = pads.to_vec();
    }

    /// Whether a pad is not published because it can't be.
    pub(crate) fn is_left_out(&self, pad: u32) -> bool {
        self.lock().left_out.contains(&pad)
    }

    /// The peer connection in use.
    pub(crate) fn peer(&self) -> Option<Peer> {
        self.lock().peer.clone()
    }

    /// Takes the peer connection to close it; [`Self::end_busy`] follows.
    pub(super) fn begin_closing(&self) -> Option<Peer> {
        let mut state = self.lock();
        let peer = state.peer.take()?;
        state.is_busy = true;
        Some(peer)
    }

    /// Notes that a peer connection is about to be made; [`Self::end_busy`] follows.
    /// False once the run is stopped; then none may be made.
    pub(super) fn begin_opening(&self) -> bool {
        let mut state = self.lock();
        state.is_busy = state.session.is_some();
        state.is_busy
    }

    /// Stores the new peer connection; false once the run is stopped.
    pub(super) fn keep_peer(&self, peer: &Peer) -> bool {
        let mut state = self.lock();
        let runs = state.session.is_some();
        state.peer = runs.then(|| peer.clone());
        runs
    }

    /// Keeps the encoder that a stop gives back. Once the run is stopped, this does.
    pub(super) fn keep_encoder(&self, encoder: Option<Encoder>) {
        let runs = {
            let mut state = self.lock();
            state.encoder.clone_from(&encoder);
            state.session.is_some()
        };
        if let Some(encoder) = encoder.filter(|_| !runs) {
            encoder.give_back();
        }
    }

    /// Notes that a peer connection was made or closed.
    pub(super) fn end_busy(&self) {
        self.lock().is_busy = false;
        self.idle.notify_all();
    }

    pub(super) fn tell_session(&self, input: Input) {
        if let Some((session, _)) = &self.lock().session {
            session.tell(input);
        }
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.lock().session.is_none()
    }

    /// Stores a new session in place of one that is over; false once the run is
    /// stopped.
    pub(super) fn replace_session(&self, session: Session, ending: Ending) -> bool {
        let mut state = self.lock();
        let runs = state.session.is_some();
        if runs {
            state.session = Some((session, ending));
            state.session_state = SessionState::Idle;
        }
        runs
    }

    /// Ends the run; `None` if it was stopped before.
    pub(super) fn stop(&self) -> Option<Stopped> {
        let mut state = self.lock();
        let (session, ending) = state.session.take()?;
        Some(Stopped {
            session,
            ending,
            peer: state.peer.take(),
            encoder: state.encoder.take(),
        })
    }

    /// Waits until no peer connection is being made or closed, [`BUSY_BOUND`] at most.
    /// Does not wait on the conductor's thread, on which a signal handler may stop the
    /// pipeline.
    pub(super) fn wait_while_busy(&self) {
        if self.conductor.get() == Some(&thread::current().id()) {
            return;
        }
        let state = self.lock();
        let is_busy = |state: &mut State| state.is_busy;
        // After the bound the stop goes on all the same.
        drop(self.idle.wait_timeout_while(state, BUSY_BOUND, is_busy));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::element::settings::Settings;
    use crate::session::Process;

    fn view() -> RunView {
        let process = Process::get().unwrap();
        let config = Settings::default().config(None).unwrap();
        let (session, ending) = Session::start(process.runtime(), process, config, |_| {});
        RunView::new(session, ending, None)
    }

    #[test]
    fn nothing_follows_a_failure() {
        let view = view();
        assert!(view.enter(SessionState::Waiting));
        assert!(!view.enter(SessionState::Waiting));
        assert!(view.enter(SessionState::Failed));
        assert!(!view.enter(SessionState::Ended));
        assert_eq!(view.session_state(), SessionState::Failed);
    }

    #[test]
    fn a_stopped_run_takes_nothing_more() {
        let view = view();
        assert!(view.begin_opening());
        view.end_busy();
        assert!(view.enter(SessionState::Connecting));
        assert!(view.stop().is_some());
        assert!(view.is_stopped() && view.stop().is_none());
        assert!(!view.begin_opening());
        assert!(!view.enter(SessionState::Retrying));
        assert_eq!(view.session_state(), SessionState::Connecting);
    }

    #[test]
    fn an_opening_is_waited_for_and_not_by_the_conductor() {
        let view = view();
        view.wait_while_busy();
        let (begin, begun) = channel();
        let (go_on, wait) = channel();
        thread::scope(|scope| {
            let view = &view;
            scope.spawn(move || {
                view.set_conductor_thread();
                assert!(view.begin_opening());
                view.wait_while_busy();
                begin.send(()).unwrap();
                wait.recv().unwrap();
                view.end_busy();
            });
            begun.recv().unwrap();
            go_on.send(()).unwrap();
            view.wait_while_busy();
            assert!(!view.lock().is_busy);
        });
    }
}
