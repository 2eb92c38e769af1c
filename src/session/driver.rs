//! The driver: one task, one session, its steps in their order.

use std::fmt;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::config::Config;
use super::ending::{Ended, Ending, EndingTeller, delete, ending};
use super::exchange::{Established, Exchange};
use super::failure::{Cause, Failure, Phase};
use super::process::Process;
use crate::ivs::{OfferedVideo, TravelDenied};
use crate::whip::{Answer, IceServer, Oddity, Offer, Resource, Token};

/// What the driver is told.
#[derive(Debug)]
pub enum Input {
    /// The offer is made: publish it.
    Offer {
        /// What to POST.
        offer: Offer,
        /// What it has as video, for the advice when it is refused.
        video: OfferedVideo,
    },
    /// Use this token from the next request on.
    Token(Token),
    /// The media connection stands, with the certificate that was announced.
    Connected,
    /// The peer connection can't go on.
    Broken(Cause),
    /// End the session.
    Stop,
}

/// What the driver tells.
#[derive(Debug)]
pub enum Event {
    /// The session's state has changed.
    State(State),
    /// The server sent the POST on to another host.
    Redirected {
        /// Scheme, host and port of the one that redirected.
        from: String,
        /// Scheme, host and port of the next.
        to: String,
    },
    /// Apply this answer, after these ICE servers.
    Answer {
        /// The SDP answer.
        answer: Answer,
        /// STUN and TURN servers that the WHIP server names.
        ice_servers: Vec<IceServer>,
    },
    /// Something to know that is no failure.
    Warning(Warning),
    /// The session failed; [`Event::Ended`] follows.
    Failed(Failure),
    /// The last event: nothing is left of the session, or it says what is.
    Ended(Ended),
}

/// The states of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The offer is on its way to becoming a media connection.
    Connecting,
    /// Media flows.
    Publishing,
    /// The session is being ended.
    Stopping,
}

/// Something off that the session lives with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A reply that is off the RFC.
    Oddity(Oddity),
    /// The session's resource is on a host that may not have the token, so
    /// the DELETE goes without.
    ResourceElsewhere(TravelDenied),
    /// The session may still be on the server.
    NotDeleted(Ended),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oddity(oddity) => write!(f, "{oddity}."),
            Self::ResourceElsewhere(denied) => write!(
                f,
                "The session's URL is on another host, so that it will be deleted without the \
                 token: {denied}."
            ),
            Self::NotDeleted(ended) => {
                let reason = match ended {
                    Ended::Refused(error) => error.to_string(),
                    Ended::Unanswered(error) => error.to_string(),
                    Ended::NothingToDelete | Ended::Deleted(_) => return Ok(()),
                };
                write!(
                    f,
                    "The session could not be deleted ({reason}); it ends when the server \
                     notices that no media comes."
                )
            }
        }
    }
}

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
        let (stop, _) = watch::channel(false);
        let driver = Driver {
            process,
            config,
            inputs: receiver,
            emit,
            teller,
            stop,
            attempt: 1,
        };
        process.runtime.spawn(driver.run());
        (Self { inputs }, ending)
    }

    /// Tells the driver something; it is lost when the session has ended.
    pub fn tell(&self, input: Input) {
        let _ = self.inputs.send(input);
    }
}

struct Driver<F> {
    process: &'static Process,
    config: Config,
    inputs: UnboundedReceiver<Input>,
    emit: F,
    teller: EndingTeller,
    stop: watch::Sender<bool>,
    attempt: u32,
}

impl<F: FnMut(Event) + Send> Driver<F> {
    async fn run(mut self) {
        let ended = match self.offered().await {
            Some((offer, video)) => self.publish(offer, video).await,
            None => Ended::NothingToDelete,
        };
        if matches!(ended, Ended::Refused(_) | Ended::Unanswered(_)) {
            (self.emit)(Event::Warning(Warning::NotDeleted(ended.clone())));
        }
        (self.emit)(Event::Ended(ended));
    }

    /// Waits for the offer; `None` when the session ends without one.
    async fn offered(&mut self) -> Option<(Offer, OfferedVideo)> {
        loop {
            match self.next_input().await {
                Input::Offer { offer, video } => return Some((offer, video)),
                Input::Broken(cause) => {
                    let host = self.config.endpoint.host();
                    self.fail(Phase::Offer, host, cause);
                    return None;
                }
                Input::Stop => return None,
                Input::Connected | Input::Token(_) => {}
            }
        }
    }

    async fn publish(&mut self, offer: Offer, video: OfferedVideo) -> Ended {
        (self.emit)(Event::State(State::Connecting));
        let Some(established) = self.exchange(offer, video).await else {
            return Ended::NothingToDelete;
        };
        let Established {
            created,
            host,
            token,
        } = established;
        if !*self.stop.borrow() {
            match created.answer {
                Ok(answer) => self.live(answer, created.ice_servers, host).await,
                Err(error) => self.fail(Phase::Answer, host, Cause::Answer(error)),
            }
        }
        self.end(created.resource, token).await
    }

    /// The POST. A stop does not abandon it, since the server may have made
    /// a session already, which then has to be deleted.
    async fn exchange(&mut self, offer: Offer, video: OfferedVideo) -> Option<Established> {
        let config = self.config.clone();
        let exchange = Exchange {
            process: self.process,
            config: &config,
            video,
            attempt: self.attempt,
            stop: self.stop.subscribe(),
        };
        let (hops, mut told) = unbounded_channel();
        let exchange = exchange.run(offer, move |event| drop(hops.send(event)));
        tokio::pin!(exchange);
        let outcome = loop {
            tokio::select! {
                biased;
                Some(event) = told.recv() => (self.emit)(event),
                outcome = &mut exchange => break outcome,
                input = self.inputs.recv(), if !*self.stop.borrow() => self.while_posting(input),
            }
        };
        while let Ok(event) = told.try_recv() {
            (self.emit)(event);
        }
        match outcome? {
            Ok(established) => Some(established),
            Err(failure) => {
                if !*self.stop.borrow() {
                    (self.emit)(Event::Failed(failure));
                }
                None
            }
        }
    }

    fn while_posting(&mut self, input: Option<Input>) {
        match input {
            Some(Input::Stop) | None => self.stopping(),
            Some(Input::Broken(cause)) => {
                let host = self.config.endpoint.host();
                self.fail(Phase::Offer, host, cause);
                self.stopping();
            }
            Some(Input::Token(token)) => self.config.token.given = Some(token),
            Some(Input::Offer { .. } | Input::Connected) => {}
        }
    }

    /// From the answer to the end of the media connection.
    async fn live(&mut self, answer: Answer, ice_servers: Vec<IceServer>, host: String) {
        (self.emit)(Event::Answer {
            answer,
            ice_servers,
        });
        let after = self.config.connect_timeout;
        let deadline = Instant::now() + after;
        let mut phase = Phase::Connect;
        loop {
            let input = tokio::select! {
                input = self.next_input() => input,
                () = sleep_until(deadline), if phase == Phase::Connect => {
                    Input::Broken(Cause::NotConnected { after })
                }
            };
            match input {
                Input::Connected if phase == Phase::Connect => {
                    phase = Phase::Publish;
                    (self.emit)(Event::State(State::Publishing));
                }
                Input::Broken(cause) => return self.fail(phase, host, cause),
                Input::Stop => return self.stopping(),
                Input::Connected | Input::Offer { .. } | Input::Token(_) => {}
            }
        }
    }

    async fn end(&mut self, resource: Option<Resource>, token: Option<Token>) -> Ended {
        let Some(resource) = resource else {
            return Ended::NothingToDelete;
        };
        self.teller.deleting();
        delete(self.process, resource, &self.config.token, token).await
    }

    /// The next input but for tokens, which are taken in right here. An owner
    /// that dropped its [`Session`] has stopped it.
    async fn next_input(&mut self) -> Input {
        loop {
            match self.inputs.recv().await.unwrap_or(Input::Stop) {
                Input::Token(token) => self.config.token.given = Some(token),
                input => return input,
            }
        }
    }

    fn stopping(&mut self) {
        self.stop.send_replace(true);
        (self.emit)(Event::State(State::Stopping));
    }

    fn fail(&mut self, phase: Phase, host: String, cause: Cause) {
        let failure = Failure {
            phase,
            host,
            attempt: self.attempt,
            cause,
        };
        (self.emit)(Event::Failed(failure));
    }
}
