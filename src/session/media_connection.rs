//! A session's media connection: from the answer to its end.
//!
//! In: the answer and news of the peer connection. Out: how it ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::connect_times::Stopwatch;
use super::driver::{Driver, Outcome};
use super::event::{Event, Input, PeerEvent, State};
use super::failure::{Cause, Phase};
use super::ice_checks::IceChecks;
use super::liveness::{CheckSender, Counts, Liveliness, Liveness};
use super::trickle::{Trickle, send_fragment};
use crate::ivs::{FillerMode, OfferedVideo};
use crate::whip::{Answer, IceServer, Offer};

/// A finished offer.
pub(super) struct Offered {
    pub(super) offer: Offer,
    pub(super) video: OfferedVideo,
    /// Number of packets received from the far end.
    pub(super) heard: Arc<AtomicU64>,
}

/// Hands over the answer and runs the media connection until it ends.
pub(super) async fn publish(
    driver: &mut Driver,
    offered: &Offered,
    answer: Answer,
    ice_servers: Vec<IceServer>,
    mut trickle: Option<Trickle>,
) -> Outcome {
    let peer = driver.peer;
    let checks = IceChecks::new(&offered.offer, &answer)
        .map(|ice| CheckSender::new(ice, answer.udp_candidates()));
    let mut checks = checks.filter(|_| driver.config.silence_timeout.is_some());
    driver.emit(Event::Answer {
        peer,
        answer,
        ice_servers,
    });
    driver.phase = Phase::Connect;
    driver.stopwatch.iter_mut().for_each(Stopwatch::answered);
    let after = driver.config.connect_timeout;
    let connect_by = Instant::now() + after;
    let mut active: Option<ActiveConnection> = None;
    let outcome = loop {
        let look_at = active.as_ref().and_then(|active| active.look_at);
        let trickle_at = trickle
            .as_ref()
            .map(|trickle| trickle.when(&driver.gathered));
        tokio::select! {
            input = driver.next_input() => match input {
                Input::Peer { event: PeerEvent::Connected, .. } if active.is_none() => {
                    active = Some(connected(driver, offered));
                }
                input => if let Some(outcome) = driver.outcome_of(input) {
                    break outcome;
                },
            },
            () = sleep_until(connect_by), if active.is_none() => {
                break driver.failed(Cause::NotConnected { after });
            }
            () = until(look_at) => {
                if let Some(outcome) = look(driver, offered, &mut active, &mut checks) {
                    break outcome;
                }
            }
            () = until(trickle_at) => send_candidates(driver, trickle.take()),
        }
    };
    if let Some(active) = active {
        published(driver, offered.video, active.since.elapsed());
    }
    outcome
}

fn connected(driver: &mut Driver, offered: &Offered) -> ActiveConnection {
    driver.phase = Phase::Publish;
    driver.asked_for_token_since_publishing = false;
    let mode = driver.fallback.connected(offered.video);
    remember(driver, mode);
    let times = driver.stopwatch.as_mut().map(Stopwatch::connected);
    if let Some(times) = times {
        driver.emit(Event::Times(times));
    }
    driver.emit(Event::State(State::Publishing));
    let bound = driver.config.silence_timeout;
    // No check has been sent yet.
    ActiveConnection::new(bound, counts(offered, None))
}

fn published(driver: &mut Driver, video: OfferedVideo, lived: Duration) {
    driver.backoff.published(lived);
    driver.lived = Some((lived, video));
    let mode = driver.fallback.lasted(lived, video);
    remember(driver, mode);
}

fn remember(driver: &Driver, mode: Option<FillerMode>) {
    if let Some(mode) = mode {
        let endpoint = &driver.config.endpoint;
        driver.process.remember_filler_mode(endpoint, mode);
    }
}

/// Looks for signs of life, and sends checks if there are none.
fn look(
    driver: &mut Driver,
    offered: &Offered,
    active: &mut Option<ActiveConnection>,
    checks: &mut Option<CheckSender>,
) -> Option<Outcome> {
    let active = active.as_mut()?;
    let sign = active.look(counts(offered, checks.as_ref()));
    let has_heard = active.liveness.has_ever_heard();
    match sign {
        Liveliness::Alive => None,
        Liveliness::Lost if has_heard || driver.silence.counts_as_loss() => {
            let after = active.liveness.silence();
            driver.silence.lost(has_heard);
            Some(driver.failed(Cause::Silent { after }))
        }
        Liveliness::SendCheck | Liveliness::Lost => {
            let is_worth_it = active.liveness.is_worth_a_check();
            let checks = checks.as_mut().filter(|_| is_worth_it);
            checks.into_iter().for_each(CheckSender::send_checks);
            None
        }
    }
}

fn counts(offered: &Offered, checks: Option<&CheckSender>) -> Counts {
    Counts {
        media: offered.heard.load(Ordering::Relaxed),
        replies: checks.map_or(0, CheckSender::replies),
    }
}

/// Sends the candidates in the background. A failure is only reported and does
/// not end the session.
fn send_candidates(driver: &mut Driver, trickle: Option<Trickle>) {
    let gathered = &driver.gathered;
    let Some(request) = trickle.and_then(|trickle| trickle.request(gathered)) else {
        return;
    };
    let (process, count) = (driver.process, gathered.candidates.len());
    driver
        .trickles
        .spawn(async move { send_fragment(process, request).await.map(|()| count) });
}

/// A media connection that is up.
struct ActiveConnection {
    since: Instant,
    liveness: Liveness,
    /// When to look for signs of life; `None` without a silence time-out.
    look_at: Option<Instant>,
}

impl ActiveConnection {
    fn new(bound: Option<Duration>, counts: Counts) -> Self {
        let since = Instant::now();
        let liveness = Liveness::new(bound.unwrap_or_default(), counts);
        let look_at = bound.map(|_| since + liveness.interval());
        Self {
            since,
            liveness,
            look_at,
        }
    }

    fn look(&mut self, counts: Counts) -> Liveliness {
        // Counted from now, not from when it was due: intervals that passed
        // while this process was suspended say nothing about the far end.
        self.look_at = Some(Instant::now() + self.liveness.interval());
        self.liveness.tick(counts)
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
