//! One attempt: from the offer to the end of its media connection.

use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, sleep_until};

use super::connect_times::Stopwatch;
use super::deletion::{Ended, delete_until_over};
use super::driver::{Driver, Outcome};
use super::event::{Event, Input, PeerEvent, State};
use super::failure::{Cause, Failure, Phase};
use super::http_io::SendError;
use super::media_connection::{Offered, publish};
use super::panics::{Panicked, words};
use super::post_exchange::{CreatedSession, Exchange};
use super::token_check::{check_token, renew_after_refusal};
use super::trickle::Trickle;
use crate::ivs::OfferedMedia;
use crate::whip::Offer;

/// Limit for making a peer connection and its offer, far above what the slowest
/// board needs.
const OFFER_TIMEOUT: Duration = Duration::from_secs(10);

/// Time without an offer before each [`Event::NoOffer`].
const NO_OFFER_INTERVAL: Duration = Duration::from_secs(10);

/// What the task of a POST does.
const POSTS: &str = "posts the offer";

/// `None` if a stop came before a session was made.
type Posted = Option<Result<CreatedSession, Failure>>;
type Posting = JoinHandle<Posted>;

/// Publishes until it is stopped, replaced or fails. Leaves a session that the
/// server has made in [`Driver::session`].
pub(super) async fn attempt(driver: &mut Driver) -> Outcome {
    let mut offered = match offered(driver).await {
        Ok(offered) => offered,
        Err(outcome) => return outcome,
    };
    if let Err(outcome) = gather(driver, &mut offered.offer).await {
        return outcome;
    }
    driver.emit(Event::State(State::Connecting));
    driver.phase = Phase::Post;
    if let Err(outcome) = check_token(driver).await {
        return outcome;
    }
    let established = match post(driver, &offered).await {
        Ok(established) => established,
        Err(outcome) => return renew_after_refusal(driver, outcome).await,
    };
    let CreatedSession {
        created,
        host,
        token,
    } = established;
    driver.host = host;
    let trickle = created
        .resource
        .as_ref()
        .and_then(|resource| Trickle::new(resource, token.clone(), offered.offer.clone()));
    driver.session = created.resource.map(|resource| (resource, token));
    match created.answer {
        Ok(answer) => publish(driver, &offered, answer, created.ice_servers, trickle).await,
        Err(error) => {
            driver.phase = Phase::Answer;
            driver.failed(Cause::Answer(error))
        }
    }
}

/// Waits for the offer: without a time limit for the media, which may start
/// late, with one from [`PeerEvent::Making`] on.
async fn offered(driver: &mut Driver) -> Result<Offered, Outcome> {
    let since = Instant::now();
    let mut told = since;
    let mut offer_by: Option<Instant> = None;
    loop {
        let until = offer_by.unwrap_or(told + NO_OFFER_INTERVAL);
        let input = tokio::select! {
            () = sleep_until(until), if offer_by.is_some() => {
                let after = OFFER_TIMEOUT;
                return Err(driver.failed(Cause::NoOffer { after }));
            }
            () = sleep_until(until), if offer_by.is_none() => {
                told = Instant::now();
                let after = told - since;
                driver.emit(Event::NoOffer { after });
                continue;
            }
            input = driver.next_input() => input,
        };
        match input {
            Input::Peer {
                event: PeerEvent::Making,
                ..
            } => offer_by = Some(Instant::now() + OFFER_TIMEOUT),
            Input::Peer {
                event:
                    PeerEvent::Offer {
                        offer,
                        video,
                        heard,
                        took,
                    },
                ..
            } => {
                driver.stopwatch = Some(Stopwatch::offered(took));
                return Ok(Offered {
                    offer,
                    video,
                    heard,
                });
            }
            input => driver.outcome_of(input).map_or(Ok(()), Err)?,
        }
    }
}

/// Waits for candidates if the server needs them in the offer.
async fn gather(driver: &mut Driver, offer: &mut Offer) -> Result<(), Outcome> {
    let bound = driver.config.gathering_timeout;
    let until = Instant::now() + bound;
    while !bound.is_zero() && !driver.gathered.complete {
        tokio::select! {
            () = sleep_until(until) => break,
            input = driver.poll_input() => {
                let outcome_of = input.and_then(|input| driver.outcome_of(input));
                outcome_of.map_or(Ok(()), Err)?;
            }
        }
    }
    if !bound.is_zero() {
        let gathered = &driver.gathered;
        offer.add_candidates(&gathered.candidates, gathered.complete);
    }
    Ok(())
}

/// Sends the POST. If the attempt ends meanwhile, the POST goes on in the
/// background: the server may make a session, which has to be deleted.
async fn post(driver: &mut Driver, offered: &Offered) -> Result<CreatedSession, Outcome> {
    let (stop, stopped) = watch::channel(false);
    let (mut posting, mut told) = start_posting(driver, offered, stopped);
    let outcome = loop {
        tokio::select! {
            biased;
            Some(event) = told.recv() => driver.emit(event),
            posted = &mut posting => return settle(driver, posted, &mut told),
            input = driver.next_input() => {
                if let Some(outcome) = driver.outcome_of(input) {
                    break outcome;
                }
            }
        }
    };
    stop.send_replace(true);
    delete_once_posted(driver, posting);
    Err(outcome)
}

fn start_posting(
    driver: &Driver,
    offered: &Offered,
    stop: watch::Receiver<bool>,
) -> (Posting, UnboundedReceiver<Event>) {
    let (events, told) = unbounded_channel();
    let exchange = Exchange {
        process: driver.process,
        config: driver.config.clone(),
        offered: OfferedMedia::of(&offered.offer, offered.video),
        attempt: driver.backoff.attempt(),
        stop,
    };
    let emit = move |event| drop(events.send(event));
    (
        tokio::spawn(exchange.run(offered.offer.clone(), emit)),
        told,
    )
}

fn settle(
    driver: &mut Driver,
    posted: Result<Posted, JoinError>,
    told: &mut UnboundedReceiver<Event>,
) -> Result<CreatedSession, Outcome> {
    while let Ok(event) = told.try_recv() {
        driver.emit(event);
    }
    match posted {
        Ok(Some(Ok(established))) => Ok(established),
        Ok(Some(Err(failure))) => Err(Outcome::Failed(failure)),
        // Without a stop it is always answered.
        Ok(None) => Err(Outcome::Stopped),
        Err(error) => Err(match Panicked::of(&error, POSTS) {
            Some(panicked) => driver.failed(Cause::Panicked(panicked)),
            // The runtime is shutting down.
            None => Outcome::Stopped,
        }),
    }
}

fn delete_once_posted(driver: &mut Driver, posting: Posting) {
    let (process, over) = (driver.process, driver.over.subscribe());
    let ending = async move {
        let established = match posting.await {
            Ok(Some(Ok(established))) => established,
            Ok(None | Some(Err(_))) => return Ended::NothingToDelete,
            Err(error) => return Ended::Unanswered(SendError::Other(words(&error, POSTS))),
        };
        match established.created.resource {
            Some(resource) => delete_until_over(process, resource, established.token, over).await,
            None => Ended::NothingToDelete,
        }
    };
    let end_reporter = driver.end_reporter.clone();
    driver.endings.spawn(end_reporter.waited_for(ending));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::driver::tests::driver;

    #[tokio::test]
    async fn a_post_that_panics_is_a_failure() {
        let (mut driver, _inputs, _events) = driver();
        let posted = tokio::spawn(async { panic!("on purpose") }).await;
        let (_sender, mut told) = unbounded_channel();
        let Err(Outcome::Failed(failure)) = settle(&mut driver, posted, &mut told) else {
            panic!("expected a failure");
        };
        assert!(matches!(failure.cause, Cause::Panicked(_)), "{failure}");
        assert!(failure.is_retryable());
    }

    #[tokio::test]
    async fn a_post_that_panics_behind_a_stop_may_have_left_a_session() {
        let (mut driver, _inputs, _events) = driver();
        delete_once_posted(&mut driver, tokio::spawn(async { panic!("on purpose") }));
        let ended = driver.endings.join_next().await.unwrap().unwrap();
        assert!(matches!(ended, Ended::Unanswered(_)), "{ended:?}");
    }
}
