//! Runs one attempt after another: the fallback to another filler mode, the
//! wait between attempts, and the end.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::attempt::attempt;
use super::deletion::{Ended, delete_closed, delete_until_over};
use super::driver::{Driver, Outcome, unless_panicked};
use super::event::{Event, Input, State, Warning};
use super::failure::{Cause, Failure};
use super::panics::caught;
use crate::ivs::FillerMode;
use crate::whip::PostError;

/// Shortest time between two replacements. Media that changes all the time, as
/// an encoder's parameter sets may, must not cause a flood of requests.
const BETWEEN_REPLACEMENTS: Duration = Duration::from_secs(1);

impl Driver {
    /// Keeps a publisher on air until it is stopped or fails for good.
    pub(super) async fn run(mut self) {
        for &variable in self.process.ignored_proxies(self.config.endpoint.url()) {
            self.emit(Event::Warning(Warning::ProxyIgnored { variable }));
        }
        // Without a token there may be no request.
        if self.config.check().is_ok() {
            self.process.connect_early(self.config.endpoint.url());
        }
        if let Err(panicked) = caught("drives the session", self.keep_publishing()).await {
            let failure = self.failure(Cause::Panicked(panicked));
            self.emit(Event::Failed(failure));
        }
        let ended = self.end().await;
        self.emit(Event::Ended(ended));
    }

    async fn keep_publishing(&mut self) {
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
            if self.wait_until(Instant::now() + wait).await.is_none() {
                break;
            }
        }
    }

    /// Runs attempts until one fails; `None` if stopped.
    async fn attempts(&mut self) -> Option<Failure> {
        loop {
            self.begin_attempt();
            self.emit(Event::MakeOffer {
                peer: self.peer,
                without_video: self.fallback.offered(),
            });
            match self.attempt().await {
                Outcome::Stopped => {
                    self.emit(Event::State(State::Stopping));
                    return None;
                }
                Outcome::Replaced => {
                    self.fallback.ended_by_other_cause();
                    let until = self
                        .replaced
                        .map(|replaced| replaced + BETWEEN_REPLACEMENTS);
                    let until = until.unwrap_or_else(Instant::now);
                    if self.wait_until(until).await.is_none() {
                        self.emit(Event::State(State::Stopping));
                        return None;
                    }
                    self.replaced = Some(Instant::now());
                }
                Outcome::Failed(failure) => match self.fall_back(&failure) {
                    Some(to) => self.report_fallback(failure, to),
                    None => return Some(failure),
                },
            }
        }
    }

    /// Runs one attempt. On return, the deletion of its session is under way.
    async fn attempt(&mut self) -> Outcome {
        let outcome = caught("drives the session", attempt(self)).await;
        let outcome = outcome.unwrap_or_else(|panicked| self.failed(Cause::Panicked(panicked)));
        if let Some((resource, token)) = self.session.take() {
            let (process, over) = (self.process, self.over.subscribe());
            let failure = match &outcome {
                Outcome::Failed(failure) => Some(failure),
                Outcome::Stopped | Outcome::Replaced => None,
            };
            let is_closed = failure.is_some_and(|failure| matches!(failure.cause, Cause::Closed));
            let ending = async move {
                match is_closed {
                    true => delete_closed(process, resource, token).await,
                    false => delete_until_over(process, resource, token, over).await,
                }
            };
            let end_reporter = self.end_reporter.clone();
            self.endings.spawn(end_reporter.waited_for(ending));
        }
        outcome
    }

    /// The filler mode to offer next, if the failed one can be the reason.
    fn fall_back(&mut self, failure: &Failure) -> Option<FillerMode> {
        if let Cause::Post {
            error: PostError::Refused(refusal),
            offered,
            ..
        } = &failure.cause
        {
            return self.fallback.after_refusal(refusal, offered);
        }
        match (&failure.cause, self.lived) {
            (Cause::Closed, Some((lived, video))) => self.fallback.after_close(lived, video),
            _ => {
                self.fallback.ended_by_other_cause();
                None
            }
        }
    }

    /// Reports the fallback. If a publishing session was lost, reports a retry
    /// first, as after every other loss.
    fn report_fallback(&mut self, failure: Failure, to: FillerMode) {
        if failure.was_publishing() {
            self.emit(Event::Retry {
                failure: failure.clone(),
                attempt: self.backoff.attempt(),
                wait: Duration::ZERO,
            });
        }
        self.emit(Event::FillerFallback { failure, to });
    }

    /// Waits between attempts; `None` if stopped meanwhile.
    async fn wait_until(&mut self, until: Instant) -> Option<()> {
        loop {
            tokio::select! {
                () = sleep_until(until) => return Some(()),
                input = self.next_input() => match input {
                    Input::Stop => return None,
                    // The next attempt uses whatever media and token there are then.
                    Input::Replace
                    | Input::Peer { .. }
                    | Input::NewToken
                    | Input::NoNewToken => {}
                },
            }
        }
    }

    /// Waits for every DELETE under way and returns the worst result.
    async fn end(&mut self) -> Ended {
        self.over.send_replace(true);
        let mut worst = Ended::NothingToDelete;
        while let Some(ended) = self.endings.join_next().await {
            let ended = unless_panicked(ended);
            self.warn_if_not_deleted(&ended);
            if !matches!(worst, Ended::Refused(_) | Ended::Unanswered(_)) {
                worst = ended;
            }
        }
        worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::driver::tests::driver;

    #[tokio::test]
    async fn a_delete_that_panics_is_a_warning() {
        let (mut driver, _inputs, events) = driver();
        driver.endings.spawn(async { panic!("on purpose") });
        assert!(matches!(driver.end().await, Ended::Unanswered(_)));
        let told = events.try_recv();
        assert!(
            matches!(told, Ok(Event::Warning(Warning::NotDeleted(_)))),
            "{told:?}"
        );
    }
}
