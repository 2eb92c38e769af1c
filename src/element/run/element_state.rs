//! The state that the element's threads share: pads, the channel to the conductor,
//! and the values of properties.
//!
//! A lock guard lives in one expression or block. None is held over a call out of
//! this file, except for sending into a channel.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::conductor_message::Message;
use super::run_view::RunView;
use crate::element::input::{PadEvent, PadList};
use crate::element::session_state::SessionState;
use crate::ivs::Claims;
use crate::session::{Input, Tokens};
use crate::whip::Token;

/// The element's own state, besides its settings.
#[derive(Default)]
pub(crate) struct ElementState {
    pub(crate) pads: PadList,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    run: Option<RunHandle>,
    /// When PLAYING was first requested since the last stop.
    playing_since: Option<Instant>,
    /// Whether the bus has been told of a stream since the last start.
    has_told_stream_start: bool,
    /// The property `auth-token`, or the token that a handler returned later.
    auth_token: Option<String>,
    /// The claims of the last run's token.
    claims: Option<Claims>,
}

/// What other threads use to reach a run.
#[derive(Clone)]
pub(crate) struct RunHandle {
    pub(super) messages: Arc<Sender<Message>>,
    pub(crate) view: Arc<RunView>,
    pub(super) tokens: Tokens,
}

impl RunHandle {
    /// Gives the session a newer token. `None` leaves it the token file or the
    /// environment.
    pub(crate) fn renew_token(&self, token: Option<Token>) {
        let is_new = token.is_some();
        self.tokens.give(token);
        if is_new {
            self.view.tell_session(Input::NewToken);
        }
    }
}

impl ElementState {
    pub(crate) fn run(&self) -> Option<RunHandle> {
        self.lock().run.clone()
    }

    /// The claims of the last run's token.
    pub(super) fn last_claims(&self) -> Option<Claims> {
        self.lock().claims.clone()
    }

    pub(super) fn set_run(&self, run: RunHandle) {
        self.lock().run = Some(run);
    }

    /// Takes the run out; no message reaches it any more.
    pub(super) fn take_run(&self) -> Option<RunHandle> {
        let run = self.lock().run.take()?;
        let claims = run.view.claims();
        self.lock().claims = claims;
        Some(run)
    }

    /// Sends a message to the conductor, if there is a run.
    pub(crate) fn tell(&self, message: Message) {
        if let Some(run) = &self.lock().run {
            // Fails only if the conductor has ended.
            let _ = run.messages.send(message);
        }
    }

    /// Passes news of a pad to the conductor.
    pub(crate) fn pad_event(&self, event: PadEvent) {
        self.tell(match event {
            PadEvent::Changed => Message::PadsChanged,
            PadEvent::PushFailed(peer, error) => Message::PushFailed(peer, error),
            PadEvent::Flushed(pad) => Message::PadFlushed(pad),
            PadEvent::Timing(pad, news) => Message::Timing(pad, news),
            PadEvent::EncoderFailed(factory, text) => Message::EncoderFailed(factory, text),
            PadEvent::Warning(text) => Message::PadWarning(text),
            PadEvent::LimitViolated => Message::LimitViolated,
        });
    }

    /// Notes that PLAYING was requested.
    pub(crate) fn play_requested(&self) {
        self.lock().playing_since.get_or_insert_with(Instant::now);
    }

    /// Forgets what belongs to one run.
    pub(crate) fn clear_after_stop(&self) {
        let mut state = self.lock();
        state.playing_since = None;
        state.has_told_stream_start = false;
    }

    /// Whether this is the first STREAM_START since the last start: each webrtcbin
    /// posts one.
    pub(crate) fn is_first_stream_start(&self) -> bool {
        !std::mem::replace(&mut self.lock().has_told_stream_start, true)
    }

    /// The time since PLAYING was requested; zero before that.
    pub(super) fn since_playing(&self) -> gst::ClockTime {
        let since = self.lock().playing_since;
        let elapsed = since.map(|since| since.elapsed()).unwrap_or_default();
        elapsed.try_into().unwrap_or(gst::ClockTime::ZERO)
    }

    pub(crate) fn session_state(&self) -> SessionState {
        let run = self.run();
        run.map(|run| run.view.session_state()).unwrap_or_default()
    }

    pub(crate) fn claims(&self) -> Option<Claims> {
        match self.run() {
            Some(run) => run.view.claims(),
            None => self.lock().claims.clone(),
        }
    }

    pub(crate) fn auth_token(&self) -> Option<String> {
        self.lock().auth_token.clone()
    }

    pub(crate) fn set_auth_token(&self, token: Option<String>) {
        self.lock().auth_token = token;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
