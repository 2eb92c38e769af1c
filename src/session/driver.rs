//! What an attempt works with: what it is told, what it tells, and what lasts
//! from one attempt to the next.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::config::Config;
use super::connect_times::Stopwatch;
use super::deletion::{Ended, EndingTeller};
use super::event::{Event, Input, PeerNews};
use super::failure::{Cause, Failure, Phase};
use super::liveness::Silence;
use super::process::Process;
use super::trickle::Gathered;
use crate::ivs::{FillerFallback, OfferedVideo};

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A stop was asked for.
    Stopped,
    /// The media have changed: another session, at once.
    Replaced,
    /// It failed, or was lost.
    Failed(Failure),
}

/// The driver of a session.
pub(super) struct Driver {
    pub(super) process: &'static Process,
    pub(super) config: Config,
    inputs: UnboundedReceiver<Input>,
    emit: Box<dyn FnMut(Event) + Send>,
    pub(super) teller: EndingTeller,
    pub(super) backoff: Backoff,
    pub(super) fallback: FillerFallback,
    /// How long the last attempt's media connection stood, and with what video.
    pub(super) lived: Option<(Duration, OfferedVideo)>,
    /// The DELETEs under way: of ended sessions, and of POSTs that were given up.
    pub(super) endings: JoinSet<Ended>,
    /// The PATCHes under way.
    pub(super) trickles: JoinSet<Result<usize, String>>,
    pub(super) silence: Silence,
    /// When a session was last replaced because its media had changed.
    pub(super) replaced: Option<Instant>,
    /// Whether the application gave a token since it was asked, or said that it
    /// has none.
    pub(super) token_answer: Option<bool>,
    pub(super) asked_for_token_since_publishing: bool,
    /// Which peer connection is in use; news of older ones are late.
    pub(super) peer: u64,
    /// What the attempt under way is doing.
    pub(super) phase: Phase,
    /// The host that it does it with: scheme, host and port.
    pub(super) host: String,
    pub(super) gathered: Gathered,
    /// From the offer of the attempt under way on.
    pub(super) stopwatch: Option<Stopwatch>,
}

impl Driver {
    pub(super) fn new(
        process: &'static Process,
        config: Config,
        inputs: UnboundedReceiver<Input>,
        emit: Box<dyn FnMut(Event) + Send>,
        teller: EndingTeller,
    ) -> Self {
        let worked = process.filler_mode(&config.endpoint);
        Self {
            process,
            inputs,
            emit,
            teller,
            backoff: Backoff::new(config.retries),
            fallback: FillerFallback::new(config.filler, worked),
            lived: None,
            endings: JoinSet::new(),
            trickles: JoinSet::new(),
            silence: Silence::default(),
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

    /// Begins an attempt, with a peer connection of its own.
    pub(super) fn begin_attempt(&mut self) {
        self.peer += 1;
        self.phase = Phase::Offer;
        self.host = self.config.endpoint.host();
        self.gathered = Gathered::default();
        self.stopwatch = None;
        self.lived = None;
    }

    /// The attempt under way has failed.
    pub(super) fn failed(&self, cause: Cause) -> Outcome {
        Outcome::Failed(Failure {
            phase: self.phase,
            host: self.host.clone(),
            attempt: self.backoff.attempt(),
            cause,
        })
    }

    /// What an input makes of the attempt while it waits for something else.
    pub(super) fn interruption(&self, input: Input) -> Option<Outcome> {
        match input {
            Input::Stop => Some(Outcome::Stopped),
            Input::Replace => Some(Outcome::Replaced),
            Input::Peer {
                news: PeerNews::Broken(cause),
                ..
            } => Some(self.failed(cause)),
            Input::Peer { .. } | Input::NewToken | Input::NoNewToken => None,
        }
    }

    fn all_gathered(&mut self) {
        // It can be told twice: as a state, and by an empty candidate.
        if std::mem::replace(&mut self.gathered.complete, true) {
            return;
        }
        let times = self.stopwatch.as_mut().and_then(Stopwatch::gathered);
        if let Some(times) = times {
            self.emit(Event::Times(times));
        }
    }

    pub(super) fn emit(&mut self, event: Event) {
        (self.emit)(event);
    }

    /// The next input that is one to act on.
    pub(super) async fn next_input(&mut self) -> Input {
        loop {
            if let Some(input) = self.next_news().await {
                return input;
            }
        }
    }

    /// The next input; none where it was taken in right here, as tokens and
    /// candidates are, or dropped, as news of an older peer connection. An owner
    /// that dropped its [`Session`] has stopped it.
    pub(super) async fn next_news(&mut self) -> Option<Input> {
        let input = tokio::select! {
            input = self.inputs.recv() => input.unwrap_or(Input::Stop),
            Some(Ok(trickled)) = self.trickles.join_next() => {
                self.emit(Event::Trickled(trickled));
                return None;
            }
        };
        match input {
            Input::NewToken => self.token_answer = Some(true),
            Input::NoNewToken => self.token_answer = Some(false),
            Input::Peer { peer, .. } if peer != self.peer => {}
            Input::Peer {
                news: PeerNews::Candidate(candidate),
                ..
            } => {
                self.gathered.candidates.push(candidate);
            }
            Input::Peer {
                news: PeerNews::GatheringComplete,
                ..
            } => self.all_gathered(),
            input => return Some(input),
        }
        None
    }
}
