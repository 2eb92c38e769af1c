//! Decides whether and when to try again.

use std::time::{Duration, SystemTime};

use ring::rand::{SecureRandom, SystemRandom};

use super::failure::Failure;

/// The first wait and its doubling are those of AWS's browser SDK (seen):
/// 2, 4, 8 s. The cap is ours, for unattended publishers.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// A server may ask for a longer wait than [`MAX_WAIT`], but a server with a wrong
/// clock must not stop a publisher for years.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A session that published this long was good: it resets the count of
/// attempts, so the next one follows at once. IVS cuts every publish after
/// 24 h, which should cause only a short gap.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// Retries before the first success, by default.
const FIRST_RETRIES: u32 = 3;

/// How many retries in a row are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retries {
    /// Three before the first success, unlimited after it.
    #[default]
    Default,
    /// This many, before and after the first success.
    Limit(u32),
}

/// Counts attempts and decides what follows a failed one.
#[derive(Debug)]
pub(super) struct Backoff {
    retries: Retries,
    in_a_row: u32,
    had_success: bool,
}

impl Backoff {
    pub(super) fn new(retries: Retries) -> Self {
        Self {
            retries,
            in_a_row: 0,
            had_success: false,
        }
    }

    /// Number of the current or next attempt, from 1, counted since the last
    /// good session.
    pub(super) fn attempt(&self) -> u32 {
        self.in_a_row + 1
    }

    /// Notes that a session published for this long.
    pub(super) fn published(&mut self, lived: Duration) {
        self.had_success = true;
        if lived >= GOOD_SESSION {
            self.in_a_row = 0;
        }
    }

    /// The wait before the next attempt; `None` if there must be no next one.
    pub(super) fn after(&mut self, failure: &Failure, now: SystemTime) -> Option<Duration> {
        let limit = match self.retries {
            Retries::Limit(limit) => Some(limit),
            Retries::Default if self.had_success => None,
            Retries::Default => Some(FIRST_RETRIES),
        };
        let can_help = match self.had_success {
            true => !failure.is_final_on_air(),
            false => failure.is_retryable(),
        };
        if !can_help || limit.is_some_and(|limit| self.in_a_row >= limit) {
            return None;
        }
        let wait = jittered(self.plain_wait(failure), jitter());
        self.in_a_row += 1;
        let asked = failure
            .retry_after()
            .map(|after| after.wait(now).min(MAX_RETRY_AFTER));
        Some(asked.map_or(wait, |asked| asked.max(wait)))
    }

    fn plain_wait(&self, failure: &Failure) -> Duration {
        let waits = match (failure.was_publishing(), self.in_a_row) {
            (true, 0) => return Duration::ZERO,
            (_, row) if self.had_success => row.saturating_sub(1),
            (_, row) => row,
        };
        FIRST_WAIT.saturating_mul(1 << waits.min(8)).min(MAX_WAIT)
    }
}

/// Spreads waits over ±20 %, so that many publishers that lost the same server
/// do not return at the same moment. `by` is between 0 and 1.
fn jittered(wait: Duration, by: f64) -> Duration {
    wait.mul_f64(0.8 + 0.4 * by)
}

fn jitter() -> f64 {
    let mut bytes = [0; 2];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => f64::from(u16::from_le_bytes(bytes)) / f64::from(u16::MAX),
        // Without a random source all publishers wait equally long.
        Err(_) => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::ivs::{FillerMode, OfferedMedia, OfferedVideo, TokenDenied, TokenStatus};
    use crate::session::{Cause, Phase, SendError};
    use crate::whip::{AnswerError, PostError, Refusal, RetryAfter};

    const NOW: SystemTime = SystemTime::UNIX_EPOCH;

    fn failure(phase: Phase, cause: Cause) -> Failure {
        Failure {
            phase,
            host: "h".into(),
            attempt: 1,
            cause,
        }
    }

    fn unreachable() -> Failure {
        failure(Phase::Post, Cause::Send(SendError::ConnectionRefused))
    }

    fn lost() -> Failure {
        failure(Phase::Publish, Cause::Lost("gone".into()))
    }

    fn refused(status: u16, retry_after: Option<RetryAfter>) -> Failure {
        let status = StatusCode::from_u16(status).unwrap();
        let refusal = Refusal {
            status,
            retry_after,
            body: bytes::Bytes::new(),
        };
        let error = PostError::Refused(refusal);
        failure(
            Phase::Post,
            Cause::Post {
                error,
                offered: Box::new(OfferedMedia::accepted(OfferedVideo::Filler(
                    FillerMode::Inactive,
                ))),
                with_token: true,
            },
        )
    }

    fn seconds(wait: Option<Duration>) -> f64 {
        wait.expect("another attempt").as_secs_f64()
    }

    #[test]
    fn three_retries_before_the_first_success_at_two_four_and_eight_seconds() {
        let mut backoff = Backoff::new(Retries::Default);
        for wait in [2.0, 4.0, 8.0] {
            let waited = seconds(backoff.after(&unreachable(), NOW));
            assert!((wait * 0.8..=wait * 1.2).contains(&waited), "{waited}");
        }
        assert_eq!(backoff.attempt(), 4);
        assert_eq!(backoff.after(&unreachable(), NOW), None);
    }

    #[test]
    fn a_good_session_that_is_lost_is_replaced_at_once_and_without_end() {
        let mut backoff = Backoff::new(Retries::Default);
        backoff.published(GOOD_SESSION);
        assert_eq!(backoff.after(&lost(), NOW), Some(Duration::ZERO));
        let waits: Vec<f64> = (0..8)
            .map(|_| seconds(backoff.after(&unreachable(), NOW)))
            .collect();
        assert!((1.6..=2.4).contains(&waits[0]), "{waits:?}");
        assert!((3.2..=4.8).contains(&waits[1]), "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= 36.0), "{waits:?}");
    }

    #[test]
    fn a_server_that_takes_and_drops_is_not_hammered() {
        let mut backoff = Backoff::new(Retries::Default);
        backoff.published(Duration::from_millis(100));
        assert_eq!(backoff.after(&lost(), NOW), Some(Duration::ZERO));
        backoff.published(Duration::from_millis(100));
        assert!(seconds(backoff.after(&lost(), NOW)) > 1.0);
    }

    #[test]
    fn a_limit_counts_in_every_case() {
        let mut backoff = Backoff::new(Retries::Limit(0));
        assert_eq!(backoff.after(&unreachable(), NOW), None);
        let mut backoff = Backoff::new(Retries::Limit(1));
        backoff.published(GOOD_SESSION);
        assert!(backoff.after(&lost(), NOW).is_some());
        assert_eq!(backoff.after(&unreachable(), NOW), None);
    }

    #[test]
    fn what_no_attempt_can_mend_is_not_tried_again() {
        let mut backoff = Backoff::new(Retries::Default);
        assert_eq!(backoff.after(&refused(403, None), NOW), None);
    }

    #[test]
    fn a_token_that_runs_out_on_air_is_waited_for_and_before_that_is_an_error() {
        let since = Duration::from_secs(60);
        let expired = failure(Phase::Post, Cause::Claims(TokenStatus::Expired { since }));
        let mut backoff = Backoff::new(Retries::Default);
        assert_eq!(backoff.after(&expired, NOW), None);
        backoff.published(GOOD_SESSION);
        assert!(backoff.after(&expired, NOW).is_some());
    }

    fn refused_with(status: u16, body: &'static str) -> Cause {
        Cause::Post {
            error: PostError::Refused(Refusal {
                status: StatusCode::from_u16(status).unwrap(),
                retry_after: None,
                body: body.into(),
            }),
            offered: Box::new(OfferedMedia::accepted(OfferedVideo::Media)),
            with_token: true,
        }
    }

    fn goes_on_after_a_success(cause: Cause) -> bool {
        let mut backoff = Backoff::new(Retries::Default);
        backoff.published(GOOD_SESSION);
        backoff.after(&failure(Phase::Post, cause), NOW).is_some()
    }

    #[test]
    fn on_air_only_a_code_of_ivs_is_final() {
        let host = "https://b.example".to_owned();
        for cause in [
            Cause::Answer(AnswerError::NotSdp),
            Cause::Answer(AnswerError::Empty),
            Cause::Peer("webrtcbin does not start".into()),
            Cause::Certificate,
            Cause::Claims(TokenStatus::NoPublish),
            Cause::TokenDenied(TokenDenied::Host { host }),
            Cause::Send(SendError::Tls("untrusted".into())),
            Cause::Send(SendError::NoCertificates),
            refused_with(404, ""),
            refused_with(403, "<html>maintenance</html>"),
            refused_with(400, r#"{"code":2999,"message":"m"}"#),
            refused_with(400, r#"{"code":2001,"message":"m"}"#),
            refused_with(401, r#"{"code":2002,"message":"m"}"#),
            Cause::Post {
                error: PostError::TooManyHops,
                offered: Box::new(OfferedMedia::accepted(OfferedVideo::Media)),
                with_token: true,
            },
        ] {
            assert!(goes_on_after_a_success(cause.clone()), "{cause:?}");
        }
        for code in ["2003", "2004", "2005", "2011", "2014"] {
            let body: &str = format!(r#"{{"code":{code},"message":"m"}}"#).leak();
            assert!(!goes_on_after_a_success(refused_with(400, body)), "{code}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_in_reason() {
        let mut backoff = Backoff::new(Retries::Default);
        let after = |seconds| Some(RetryAfter::Delay(Duration::from_secs(seconds)));
        assert_eq!(seconds(backoff.after(&refused(503, after(20)), NOW)), 20.0);
        assert!(seconds(backoff.after(&refused(429, after(0)), NOW)) > 3.0);
        assert_eq!(
            seconds(backoff.after(&refused(503, after(1 << 40)), NOW)),
            3600.0
        );
        let mut backoff = Backoff::new(Retries::Default);
        let date = Some(RetryAfter::At(NOW + Duration::from_secs(40)));
        assert_eq!(seconds(backoff.after(&refused(503, date), NOW)), 40.0);
    }
}
