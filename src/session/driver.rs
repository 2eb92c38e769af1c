//! The driver: one task that keeps a publisher on air, attempt after attempt.

use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::attempt::Attempt;
use super::backoff::Backoff;
use super::config::Config;
use super::ending::{Ended, Ending, EndingTeller, ending};
use super::event::{Event, Input, PeerNews, State, Warning};
use super::failure::{Cause, Failure};
use super::liveness::Silence;
use super::process::Process;
use super::times::Stopwatch;
use crate::ivs::{FillerFallback, FillerMode, OfferedVideo};
use crate::whip::PostError;

/// A running session, as its owners hold it. When the last one drops it, it stops.
#[derive(Clone, Debug)]
pub struct Session {
    inputs: UnboundedSender<Input>,
}

impl Session {
    /// Starts a driver on the process's runtime. `emit` is called on that
    /// runtime's worker, so it must only pass the event on.
    pub fn start(
        process: &'static Process,
        config: Config,
        emit: impl FnMut(Event) + Send + 'static,
    ) -> (Self, Ending) {
        let (inputs, receiver) = unbounded_channel();
        let (teller, ending) = ending();
        let backoff = Backoff::new(config.retries);
        let fallback = FillerFallback::new(config.filler, process.filler_mode(&config.endpoint));
        let driver = Driver {
            process,
            config,
            inputs: receiver,
            emit: Box::new(emit),
            teller,
            backoff,
            fallback,
            lived: None,
            endings: JoinSet::new(),
            trickles: JoinSet::new(),
            silence: Silence::default(),
            replaced: None,
            token_answer: None,
            renewed: false,
            peer: 0,
            gathered: Gathered::default(),
            stopwatch: None,
        };
        process.runtime.spawn(driver.run());
        (Self { inputs }, ending)
    }

    /// Tells the driver something; it is lost when the session has ended.
    pub fn tell(&self, input: Input) {
        let _ = self.inputs.send(input);
    }
}

/// Media that change all the time, as an encoder's parameter sets may, must not
/// become a storm of requests.
const BETWEEN_REPLACEMENTS: Duration = Duration::from_secs(1);

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

/// The local candidates so far, of the peer connection that is in use.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) candidates: Vec<String>,
    pub(super) complete: bool,
}

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
    /// When a session was last replaced for its media's sake.
    replaced: Option<Instant>,
    /// Whether the application gave a token since it was asked, or said that it
    /// has none.
    pub(super) token_answer: Option<bool>,
    /// Whether the application was asked since media flowed.
    pub(super) renewed: bool,
    /// Which peer connection is in use; news of older ones are late.
    pub(super) peer: u64,
    pub(super) gathered: Gathered,
    /// Of the attempt under way, from its offer on.
    pub(super) stopwatch: Option<Stopwatch>,
}

impl Driver {
    async fn run(mut self) {
        while let Some(failure) = self.attempts().await {
            let Some(wait) = self.backoff.after(&failure, SystemTime::now()) else {
                self.emit(Event::Failed(failure));
                break;
            };
            let attempt = self.backoff.attempt();
            self.emit(Event::Retry {
                failure,
                attempt,
                wait,
            });
            if self.wait_out(Instant::now() + wait).await.is_none() {
                break;
            }
        }
        let ended = self.end().await;
        self.emit(Event::Ended(ended));
    }

    /// Attempts until one fails; none when it was stopped.
    async fn attempts(&mut self) -> Option<Failure> {
        loop {
            self.tell_ended();
            self.peer += 1;
            self.gathered = Gathered::default();
            self.stopwatch = None;
            self.lived = None;
            self.emit(Event::MakeOffer {
                peer: self.peer,
                without_video: self.fallback.offered(),
            });
            match Attempt::new(self).run().await {
                Outcome::Stopped => {
                    self.emit(Event::State(State::Stopping));
                    return None;
                }
                Outcome::Replaced => {
                    self.fallback.ended_otherwise();
                    let until = self
                        .replaced
                        .map(|replaced| replaced + BETWEEN_REPLACEMENTS);
                    let until = until.unwrap_or_else(Instant::now);
                    if self.wait_out(until).await.is_none() {
                        self.emit(Event::State(State::Stopping));
                        return None;
                    }
                    self.replaced = Some(Instant::now());
                }
                Outcome::Failed(failure) => match self.fall_back(&failure) {
                    Some(to) => self.tell_fallback(failure, to),
                    None => return Some(failure),
                },
            }
        }
    }

    /// The filler section to offer next, where the failed one can be the reason.
    fn fall_back(&mut self, failure: &Failure) -> Option<FillerMode> {
        if let Cause::Post {
            error: PostError::Refused(refusal),
            video,
            ..
        } = &failure.cause
        {
            return self.fallback.after_refusal(refusal, *video);
        }
        match (&failure.cause, self.lived) {
            (Cause::Closed, Some((lived, video))) => self.fallback.after_close(lived, video),
            _ => {
                self.fallback.ended_otherwise();
                None
            }
        }
    }

    /// Tells it, and of a session that was lost on the way as of any other.
    fn tell_fallback(&mut self, failure: Failure, to: FillerMode) {
        if failure.was_publishing() {
            self.emit(Event::Retry {
                failure: failure.clone(),
                attempt: self.backoff.attempt(),
                wait: Duration::ZERO,
            });
        }
        self.emit(Event::FillerFallback { failure, to });
    }

    /// Waits between attempts; `None` when it was stopped meanwhile.
    async fn wait_out(&mut self, until: Instant) -> Option<()> {
        loop {
            tokio::select! {
                () = sleep_until(until) => return Some(()),
                input = self.next_input() => match input {
                    Input::Stop => return None,
                    // The next attempt takes whatever media there are by then.
                    Input::Replace
                    | Input::Peer { .. }
                    | Input::NewToken
                    | Input::NoNewToken => {}
                },
            }
        }
    }

    /// Waits for every DELETE; the last word is the worst one.
    async fn end(&mut self) -> Ended {
        let mut worst = Ended::NothingToDelete;
        while let Some(ended) = self.endings.join_next().await {
            let Ok(ended) = ended else { continue };
            self.warn_if_not_deleted(&ended);
            if !matches!(worst, Ended::Refused(_) | Ended::Unanswered(_)) {
                worst = ended;
            }
        }
        worst
    }

    /// Takes note of DELETEs that have been answered meanwhile.
    fn tell_ended(&mut self) {
        while let Some(ended) = self.endings.try_join_next() {
            if let Ok(ended) = ended {
                self.warn_if_not_deleted(&ended);
            }
        }
    }

    fn warn_if_not_deleted(&mut self, ended: &Ended) {
        if matches!(ended, Ended::Refused(_) | Ended::Unanswered(_)) {
            self.emit(Event::Warning(Warning::NotDeleted(ended.clone())));
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
