//! Checks with media: test streams through the element.

use std::time::{Duration, SystemTime};

use gstivs::whip::Token;

use crate::arguments::TestStreams;
use crate::findings::{PastExpiry, StreamOutcome};
use crate::plan::FILLER_MODES;
use crate::probe::Probe;
use crate::sessions::Pace;
use crate::stop::Stop;
use crate::terminal::tell;
use crate::test_stream::{
    FinishedStream, OUTSIDE_LIMITS, SessionEnd, StreamTarget, TestMedia, send,
};

/// How long a stream goes on after its token expires.
const PAST_EXPIRY: Duration = Duration::from_secs(60);
const PAST_EXPIRY_LOCAL: Duration = Duration::from_secs(2);

impl Probe {
    /// Sends audio with each filler mode, and the streams outside the limits.
    pub(crate) async fn send_test_streams(&mut self) -> Result<(), Stop> {
        let modes = FILLER_MODES.map(|mode| TestMedia::Audio { filler: Some(mode) });
        for media in modes.into_iter().chain(OUTSIDE_LIMITS) {
            let token = self.arguments.tokens.main.clone();
            let sent = self
                .stream(media, token, self.arguments.stream_time)
                .await?;
            let throttled = match &sent.stream.outcome {
                StreamOutcome::Failed { reason, .. } if sent.throttled => Some(reason.clone()),
                _ => None,
            };
            self.findings.streams.push(sent.stream);
            if let Some(reason) = throttled {
                return Err(Stop::Throttled(reason));
            }
            self.interrupt.check()?;
        }
        Ok(())
    }

    /// Sends one stream, which makes at most one session.
    async fn stream(
        &mut self,
        media: TestMedia,
        token: Token,
        time: Duration,
    ) -> Result<FinishedStream, Stop> {
        self.sessions
            .wait_for_turn(&mut self.interrupt, Pace::Paused)
            .await?;
        tell(&format!("sending: {}", media.name()));
        let target = StreamTarget {
            endpoint: self.arguments.endpoint.clone(),
            token,
            time,
            interrupt: self.interrupt.clone(),
        };
        // Not cut short: it ends within its own time limits, and deletes its session.
        let sent = tokio::task::spawn_blocking(move || send(&media, &target)).await;
        self.sessions.offer_sent();
        let mut sent = sent.map_err(|error| Stop::Hopeless(error.to_string()))?;
        if let StreamOutcome::Failed { reason, .. } | StreamOutcome::NotSent(reason) =
            &mut sent.stream.outcome
        {
            *reason = self.redactor.redact_server_text(reason);
        }
        match &sent.session {
            SessionEnd::NoSession => {}
            SessionEnd::Deleted => self.sessions.add_from_element(None),
            SessionEnd::Uncertain(problem) => {
                let problem = self.redactor.redact_server_text(problem);
                self.sessions.add_from_element(Some(problem));
            }
        }
        Ok(sent)
    }

    /// Whether a stream outlives its token.
    pub(crate) async fn past_expiry(&mut self) -> Result<(), Stop> {
        let reason = match self.arguments.tokens.expiring.clone() {
            _ if self.arguments.test_streams == TestStreams::Skipped => {
                "it takes a test stream: run without `--http-only`"
            }
            None => "it takes a token that expires within 15 minutes (`--duration 10`)",
            Some((token, end)) => match end.duration_since(SystemTime::now()) {
                Err(_) => "the short-lived token expired before this check",
                Ok(left) => return self.stream_past_expiry(token, left).await,
            },
        };
        self.findings.past_expiry = Some(PastExpiry::NotSent(reason.to_owned()));
        Ok(())
    }

    async fn stream_past_expiry(&mut self, token: Token, left: Duration) -> Result<(), Stop> {
        let after = match self.arguments.is_local() {
            true => PAST_EXPIRY_LOCAL,
            false => PAST_EXPIRY,
        };
        let media = TestMedia::Audio { filler: None };
        let sent = self.stream(media, token.clone(), left + after).await?;
        self.interrupt.check()?;
        self.findings.past_expiry = Some(PastExpiry::Sent(sent.stream));
        if self.findings.expired_token.is_none() {
            self.expired_token(&token).await?;
        }
        Ok(())
    }
}
