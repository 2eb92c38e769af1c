//! One attempt: from the offer to the end of its media connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::consent::Consent;
use super::driver::{Driver, Outcome};
use super::ending::{Ended, delete};
use super::event::{Event, Input, PeerNews, State};
use super::exchange::{Established, Exchange};
use super::failure::{Cause, Failure, Phase};
use super::liveness::{Asking, Liveness, Sign};
use super::times::Stopwatch;
use super::trickle::{Trickle, send_fragment};
use crate::ivs::{FillerMode, OfferedVideo};
use crate::whip::{Answer, IceServer, Offer};

/// An attempt of a driver.
pub(super) struct Attempt<'a> {
    pub(super) driver: &'a mut Driver,
    phase: Phase,
    host: String,
}

/// Media that take longer to come than this may never do.
const OFFER_PATIENCE: Duration = Duration::from_secs(10);

struct Offered {
    offer: Offer,
    video: OfferedVideo,
    heard: Arc<AtomicU64>,
}

type Posting = JoinHandle<Option<Result<Established, Failure>>>;

impl<'a> Attempt<'a> {
    pub(super) fn new(driver: &'a mut Driver) -> Self {
        let host = driver.config.endpoint.host();
        Self {
            driver,
            phase: Phase::Offer,
            host,
        }
    }

    /// Publishes until it is stopped, replaced or fails. Whatever it leaves on
    /// the server is being deleted by then.
    pub(super) async fn run(mut self) -> Outcome {
        let mut offered = match self.offered().await {
            Ok(offered) => offered,
            Err(outcome) => return outcome,
        };
        if let Err(outcome) = self.gather(&mut offered.offer).await {
            return outcome;
        }
        self.driver.emit(Event::State(State::Connecting));
        self.phase = Phase::Post;
        if let Err(outcome) = self.check_token().await {
            return outcome;
        }
        let established = match self.post(&offered).await {
            Ok(established) => established,
            Err(outcome) => return self.after_refusal(outcome).await,
        };
        let Established {
            created,
            host,
            token,
        } = established;
        self.host = host;
        let outcome = match created.answer {
            Ok(answer) => {
                let trickle = created.resource.as_ref().and_then(|resource| {
                    Trickle::new(resource, token.clone(), offered.offer.clone())
                });
                self.live(&offered, answer, created.ice_servers, trickle)
                    .await
            }
            Err(error) => {
                self.phase = Phase::Answer;
                self.failed(Cause::Answer(error))
            }
        };
        if let Some(resource) = created.resource {
            let ending = delete(self.driver.process, resource, token);
            let teller = self.driver.teller.clone();
            self.driver.endings.spawn(teller.deleting(ending));
        }
        outcome
    }

    /// Waits for the offer, however long its media takes to come.
    async fn offered(&mut self) -> Result<Offered, Outcome> {
        let since = Instant::now();
        let mut told = since;
        loop {
            let input = tokio::select! {
                () = sleep_until(told + OFFER_PATIENCE) => {
                    told = Instant::now();
                    let after = told - since;
                    self.driver.emit(Event::NoOffer { after });
                    continue;
                }
                input = self.driver.next_input() => input,
            };
            match input {
                Input::Peer {
                    news:
                        PeerNews::Offer {
                            offer,
                            video,
                            heard,
                            took,
                        },
                    ..
                } => {
                    self.driver.stopwatch = Some(Stopwatch::offered(took));
                    return Ok(Offered {
                        offer,
                        video,
                        heard,
                    });
                }
                input => self.interruption(input).map_or(Ok(()), Err)?,
            }
        }
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

    /// Waits for candidates where the server needs them in the offer.
    async fn gather(&mut self, offer: &mut Offer) -> Result<(), Outcome> {
        let bound = self.driver.config.gathering_timeout;
        let until = Instant::now() + bound;
        while !bound.is_zero() && !self.driver.gathered.complete {
            tokio::select! {
                () = sleep_until(until) => break,
                input = self.driver.next_news() => {
                    let interruption = input.and_then(|input| self.interruption(input));
                    interruption.map_or(Ok(()), Err)?;
                }
            }
        }
        if !bound.is_zero() {
            let gathered = &self.driver.gathered;
            offer.add_candidates(&gathered.candidates, gathered.complete);
        }
        Ok(())
    }

    /// The POST. Giving it up does not abandon it, since the server may have
    /// made a session by then, which has to be deleted.
    async fn post(&mut self, offered: &Offered) -> Result<Established, Outcome> {
        let (stop, stopped) = watch::channel(false);
        let (mut posting, mut told) = self.start_posting(offered, stopped);
        let outcome = loop {
            tokio::select! {
                biased;
                Some(event) = told.recv() => self.driver.emit(event),
                posted = &mut posting => return self.posted(posted.ok().flatten(), &mut told),
                input = self.driver.next_input() => {
                    if let Some(outcome) = self.interruption(input) {
                        break outcome;
                    }
                }
            }
        };
        stop.send_replace(true);
        self.delete_once_posted(posting);
        Err(outcome)
    }

    fn start_posting(
        &self,
        offered: &Offered,
        stop: watch::Receiver<bool>,
    ) -> (Posting, UnboundedReceiver<Event>) {
        let (events, told) = unbounded_channel();
        let exchange = Exchange {
            process: self.driver.process,
            config: self.driver.config.clone(),
            video: offered.video,
            attempt: self.driver.backoff.attempt(),
            stop,
        };
        let emit = move |event| drop(events.send(event));
        (
            tokio::spawn(exchange.run(offered.offer.clone(), emit)),
            told,
        )
    }

    fn posted(
        &mut self,
        posted: Option<Result<Established, Failure>>,
        told: &mut UnboundedReceiver<Event>,
    ) -> Result<Established, Outcome> {
        while let Ok(event) = told.try_recv() {
            self.driver.emit(event);
        }
        match posted {
            Some(Ok(established)) => Ok(established),
            Some(Err(failure)) => Err(Outcome::Failed(failure)),
            // Neither stopped nor answered: the runtime shuts down.
            None => Err(Outcome::Stopped),
        }
    }

    fn delete_once_posted(&mut self, posting: Posting) {
        let process = self.driver.process;
        let teller = self.driver.teller.clone();
        self.driver.endings.spawn(async move {
            let Ok(Some(Ok(established))) = posting.await else {
                return Ended::NothingToDelete;
            };
            let Some(resource) = established.created.resource else {
                return Ended::NothingToDelete;
            };
            let ending = delete(process, resource, established.token);
            teller.deleting(ending).await
        });
    }

    /// From the answer to the end of the media connection.
    async fn live(
        &mut self,
        offered: &Offered,
        answer: Answer,
        ice_servers: Vec<IceServer>,
        mut trickle: Option<Trickle>,
    ) -> Outcome {
        let peer = self.driver.peer;
        let asking = Consent::new(&offered.offer, &answer)
            .map(|consent| Asking::new(consent, answer.udp_candidates(), offered.heard.clone()));
        let mut asking = asking.filter(|_| self.driver.config.silence_timeout.is_some());
        self.driver.emit(Event::Answer {
            peer,
            answer,
            ice_servers,
        });
        self.phase = Phase::Connect;
        self.driver
            .stopwatch
            .iter_mut()
            .for_each(Stopwatch::answered);
        let after = self.driver.config.connect_timeout;
        let connect_by = Instant::now() + after;
        let mut watched: Option<Watched> = None;
        let outcome = loop {
            let look_at = watched.as_ref().and_then(|watched| watched.look_at);
            let trickle_at = trickle
                .as_ref()
                .map(|trickle| trickle.when(&self.driver.gathered));
            tokio::select! {
                input = self.driver.next_input() => match input {
                    Input::Peer { news: PeerNews::Connected, .. } if watched.is_none() => {
                        watched = Some(self.connected(offered));
                    }
                    input => if let Some(outcome) = self.interruption(input) {
                        break outcome;
                    },
                },
                () = sleep_until(connect_by), if watched.is_none() => {
                    break self.failed(Cause::NotConnected { after });
                }
                () = until(look_at) => {
                    if let Some(outcome) = self.look(offered, &mut watched, &mut asking) {
                        break outcome;
                    }
                }
                () = until(trickle_at) => self.send_candidates(trickle.take()),
            }
        };
        if let Some(watched) = watched {
            let lived = watched.since.elapsed();
            self.driver.backoff.published(lived);
            self.driver.lived = Some((lived, offered.video));
            let mode = self.driver.fallback.lived(lived, offered.video);
            self.remember(mode);
        }
        outcome
    }

    fn connected(&mut self, offered: &Offered) -> Watched {
        self.phase = Phase::Publish;
        self.driver.asked_for_token_since_publishing = false;
        let mode = self.driver.fallback.worked(offered.video);
        self.remember(mode);
        let times = self.driver.stopwatch.as_mut().map(Stopwatch::connected);
        if let Some(times) = times {
            self.driver.emit(Event::Times(times));
        }
        self.driver.emit(Event::State(State::Publishing));
        let heard = offered.heard.load(Ordering::Relaxed);
        let bound = self.driver.config.silence_timeout;
        Watched::new(bound, heard)
    }

    fn remember(&self, mode: Option<FillerMode>) {
        if let Some(mode) = mode {
            let endpoint = &self.driver.config.endpoint;
            self.driver.process.remember_filler_mode(endpoint, mode);
        }
    }

    /// Looks for signs of life, and asks for one where they stay away.
    fn look(
        &mut self,
        offered: &Offered,
        watched: &mut Option<Watched>,
        asking: &mut Option<Asking>,
    ) -> Option<Outcome> {
        let watched = watched.as_mut()?;
        let sign = watched.look(offered);
        let has_heard = watched.liveness.has_ever_heard();
        match sign {
            Sign::Fine => None,
            Sign::Lost if has_heard || self.driver.silence.tells() => {
                let after = watched.liveness.bound();
                self.driver.silence.lost(has_heard);
                Some(self.failed(Cause::Silent { after }))
            }
            Sign::Doubtful | Sign::Lost => {
                asking.iter_mut().for_each(Asking::ask);
                None
            }
        }
    }

    /// Off the connect path, and without the session's fate in it: whatever
    /// comes back is only told.
    fn send_candidates(&mut self, trickle: Option<Trickle>) {
        let gathered = &self.driver.gathered;
        let Some(request) = trickle.and_then(|trickle| trickle.request(gathered)) else {
            return;
        };
        let (process, count) = (self.driver.process, gathered.candidates.len());
        self.driver
            .trickles
            .spawn(async move { send_fragment(process, request).await.map(|()| count) });
    }

    pub(super) fn failed(&self, cause: Cause) -> Outcome {
        Outcome::Failed(Failure {
            phase: self.phase,
            host: self.host.clone(),
            attempt: self.driver.backoff.attempt(),
            cause,
        })
    }
}

/// A media connection that stands.
struct Watched {
    since: Instant,
    liveness: Liveness,
    /// When to look for signs of life; never where nobody wants to know.
    look_at: Option<Instant>,
}

impl Watched {
    fn new(bound: Option<Duration>, heard: u64) -> Self {
        let since = Instant::now();
        let liveness = Liveness::new(bound.unwrap_or_default(), heard);
        let look_at = bound.map(|_| since + liveness.interval());
        Self {
            since,
            liveness,
            look_at,
        }
    }

    fn look(&mut self, offered: &Offered) -> Sign {
        // From now, not from when it was due: intervals that passed while
        // nobody ran are no silence of the far end.
        self.look_at = Some(Instant::now() + self.liveness.interval());
        self.liveness.tick(offered.heard.load(Ordering::Relaxed))
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
