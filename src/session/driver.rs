//! The state of a driver: its inputs, its events, and what lasts from one
//! attempt to the next.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::backoff::Backoff;
use super::config::Config;
use super::connect_times::Stopwatch;
use super::deletion::{EndReporter, Ended};
use super::event::{Event, Input, PeerEvent, Warning};
use super::failure::{Cause, Failure, Phase};
use super::http_io::SendError;
use super::liveness::SilenceHistory;
use super::panics::words;
use super::process::Process;
use super::tokens::SessionToken;
use super::trickle::Gathered;
use crate::ivs::{FillerFallback, OfferedVideo};
use crate::whip::Resource;

/// What the task of a PATCH does.
const TRICKLES: &str = "sends the candidates";

/// How an attempt ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A stop was requested.
    Stopped,
    /// The media has changed or there is a new token: start another session.
    Replaced,
    /// It failed, or its connection was lost.
    Failed(Failure),
}

pub(super) struct Driver {
    pub(super) process: &'static Process,
    pub(super) config: Config,
    inputs: UnboundedReceiver<Input>,
    emit: Box<dyn FnMut(Event) + Send>,
    pub(super) end_reporter: EndReporter,
    pub(super) backoff: Backoff,
    pub(super) fallback: FillerFallback,
    /// How long this attempt's media connection lasted, and with what video;
    /// `None` until its end.
    pub(super) lived: Option<(Duration, OfferedVideo)>,
    /// The session on the server, until its DELETE is under way.
    pub(super) session: Option<(Resource, SessionToken)>,
    /// The DELETEs under way: of ended sessions, and of abandoned POSTs.
    pub(super) endings: JoinSet<Ended>,
    /// True once no attempt follows.
    pub(super) over: watch::Sender<bool>,
    /// The PATCHes under way.
    pub(super) trickles: JoinSet<Result<usize, String>>,
    pub(super) silence: SilenceHistory,
    /// When a session was last replaced.
    pub(super) replaced: Option<Instant>,
    /// The application's reply to the last request for a token: whether it has
    /// a new one. `None` until it replies.
    pub(super) token_answer: Option<bool>,
    pub(super) asked_for_token_since_publishing: bool,
    /// Number of the peer connection in use; news of older ones is ignored.
    pub(super) peer: u64,
    /// What the current attempt is doing.
    pub(super) phase: Phase,
    /// The server of the current attempt: scheme, host and port.
    pub(super) host: String,
    pub(super) gathered: Gathered,
    /// Runs from the offer of the current attempt on.
    pub(super) stopwatch: Option<Stopwatch>,
}

impl Driver {
    pub(super) fn new(
        process: &'static Process,
        config: Config,
        inputs: UnboundedReceiver<Input>,
        emit: Box<dyn FnMut(Event) + Send>,
        end_reporter: EndReporter,
    ) -> Self {
        let worked = process.filler_mode(&config.endpoint);
        Self {
            process,
            inputs,
            emit,
            end_reporter,
            backoff: Backoff::new(config.retries),
            fallback: FillerFallback::new(config.filler, worked),
            lived: None,
            session: None,
            endings: JoinSet::new(),
            over: watch::Sender::new(false),
            trickles: JoinSet::new(),
            silence: SilenceHistory::default(),
            replaced: None,
            token_answer: None,
            asked_for_token_since_publishing: false,
            peer: 0,
            phase: Phase::Offer,
            host: config.endpoint.host(),
            gathered: Gathered::default(),
            stopwatch: None,
            config,
        }
    }

    /// Begins an attempt with a new peer connection.
    pub(super) fn begin_attempt(&mut self) {
        self.peer += 1;
        self.phase = Phase::Offer;
        self.host = self.config.endpoint.host();
        self.gathered = Gathered::default();
        self.stopwatch = None;
        self.lived = None;
    }

    /// The outcome if the current attempt fails for this cause.
    pub(super) fn failed(&self, cause: Cause) -> Outcome {
        Outcome::Failed(self.failure(cause))
    }

    pub(super) fn failure(&self, cause: Cause) -> Failure {
        Failure {
            phase: self.phase,
            host: self.host.clone(),
            attempt: self.backoff.attempt(),
            cause,
        }
    }

    /// The outcome if an input ends the attempt while it waits for something else.
    pub(super) fn outcome_of(&self, input: Input) -> Option<Outcome> {
        match input {
            Input::Stop => Some(Outcome::Stopped),
            Input::Replace => Some(Outcome::Replaced),
            Input::Peer {
                event: PeerEvent::Broken(cause),
                ..
            } => Some(self.failed(cause)),
            Input::Peer { .. } | Input::NewToken | Input::NoNewToken => None,
        }
    }

    fn all_gathered(&mut self) {
        // Can be reported twice: as a state, and by an empty candidate.
        if std::mem::replace(&mut self.gathered.complete, true) {
            return;
        }
        let times = self.stopwatch.as_mut().and_then(Stopwatch::gathered);
        if let Some(times) = times {
            self.emit(Event::Times(times));
        }
    }

    pub(super) fn warn_if_not_deleted(&mut self, ended: &Ended) {
        if matches!(ended, Ended::Refused(_) | Ended::Unanswered(_)) {
            self.emit(Event::Warning(Warning::NotDeleted(ended.clone())));
        }
    }

    pub(super) fn emit(&mut self, event: Event) {
        (self.emit)(event);
    }

    /// The next input that the attempt has to handle.
    pub(super) async fn next_input(&mut self) -> Input {
        loop {
            if let Some(input) = self.poll_input().await {
                return input;
            }
        }
    }

    /// The next input. `None` if it was handled here (tokens, candidates) or
    /// ignored (an older peer connection, the end of a former session). When the owner
    /// has dropped its `Session`, this is a stop.
    pub(super) async fn poll_input(&mut self) -> Option<Input> {
        let input = tokio::select! {
            input = self.inputs.recv() => input.unwrap_or(Input::Stop),
            Some(trickled) = self.trickles.join_next() => {
                let trickled = trickled.unwrap_or_else(|error| Err(words(&error, TRICKLES)));
                self.emit(Event::CandidatesSent(trickled));
                return None;
            }
            Some(ended) = self.endings.join_next() => {
                self.warn_if_not_deleted(&unless_panicked(ended));
                return None;
            }
        };
        match input {
            Input::NewToken => self.token_answer = Some(true),
            Input::NoNewToken => self.token_answer = Some(false),
            Input::Peer { peer, .. } if peer != self.peer => {}
            Input::Peer {
                event: PeerEvent::Candidate(candidate),
                ..
            } => {
                self.gathered.candidates.push(candidate);
            }
            Input::Peer {
                event: PeerEvent::GatheringComplete,
                ..
            } => self.all_gathered(),
            input => return Some(input),
        }
        None
    }
}

/// How a session ended, also if its DELETE's task did not.
pub(super) fn unless_panicked(ended: Result<Ended, JoinError>) -> Ended {
    ended.unwrap_or_else(|error| {
        Ended::Unanswered(SendError::Other(words(&error, "deletes the session")))
    })
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    use super::*;
    use crate::ivs::Filler;
    use crate::session::deletion::ending;
    use crate::session::{Retries, TokenSource, Tokens};
    use crate::whip::Endpoint;

    /// A driver that nothing runs, its inputs and its events.
    pub(in crate::session) fn driver() -> (Driver, UnboundedSender<Input>, Receiver<Event>) {
        let config = Config {
            endpoint: Endpoint::parse("http://127.0.0.1:9/").unwrap(),
            tokens: Tokens::new(TokenSource::default()),
            redirect_hosts: Default::default(),
            http_timeout: None,
            connect_timeout: Duration::from_secs(10),
            silence_timeout: None,
            gathering_timeout: Duration::ZERO,
            retries: Retries::Default,
            filler: Filler::Auto,
        };
        let (inputs, receiver) = unbounded_channel();
        let (sender, events) = channel();
        let emit = Box::new(move |event| drop(sender.send(event)));
        let process = Process::get().unwrap();
        let driver = Driver::new(process, config, receiver, emit, ending().0);
        (driver, inputs, events)
    }

    #[tokio::test]
    async fn a_patch_that_panics_is_told() {
        let (mut driver, _inputs, events) = driver();
        driver.trickles.spawn(async { panic!("on purpose") });
        assert!(driver.poll_input().await.is_none());
        let told = events.try_recv();
        let Ok(Event::CandidatesSent(Err(words))) = told else {
            panic!("expected a failed PATCH, found {told:?}");
        };
        assert!(words.contains("fault of this plugin"), "{words}");
    }
}
