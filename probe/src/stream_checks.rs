//! The half that sends media, and what takes patience.

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
    FinishedStream, OUTSIDE_LIMITS, StreamTarget, TestMedia, not_tried, send, supports_filler_mode,
};

/// How long a publish is watched after the end of its token, on a service and
/// on this machine.
const AFTER: Duration = Duration::from_secs(60);
const AFTER_HERE: Duration = Duration::from_secs(2);

impl Probe {
    pub(crate) async fn send_test_streams(&mut self) -> Result<(), Stop> {
        let modes = FILLER_MODES.map(|mode| TestMedia::Audio { filler: Some(mode) });
        for media in modes.into_iter().chain(OUTSIDE_LIMITS) {
            let token = self.arguments.tokens.main.clone();
            let sent = self
                .stream(media, token, self.arguments.stream_time)
                .await?;
            let (throttled, outcome) = (sent.throttled, &sent.stream.outcome);
            let words = match outcome {
                StreamOutcome::Failed { words, .. } => words.clone(),
                _ => String::new(),
            };
            self.findings.streams.push(sent.stream);
            if throttled {
                return Err(Stop::Throttled(words));
            }
            self.interrupt.check()?;
        }
        Ok(())
    }

    /// Sends one stream through the element, which makes one session at most.
    async fn stream(
        &mut self,
        media: TestMedia,
        token: Token,
        time: Duration,
    ) -> Result<FinishedStream, Stop> {
        if let TestMedia::Audio { filler: Some(mode) } = media
            && !supports_filler_mode(mode)
        {
            return Ok(not_tried(&media, "not known to this build".to_owned()));
        }
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
        // It has a bound of its own, and is not cut short.
        let sent = tokio::task::spawn_blocking(move || send(&media, &target)).await;
        self.sessions.offer_sent();
        let mut sent = sent.map_err(|error| Stop::Hopeless(error.to_string()))?;
        if let StreamOutcome::Failed { words, .. } | StreamOutcome::NotTried(words) =
            &mut sent.stream.outcome
        {
            *words = self.redactor.redact_server_text(words);
        }
        if let Some(problem) = &sent.session {
            let problem = problem
                .as_deref()
                .map(|words| self.redactor.redact_server_text(words));
            self.sessions.add_from_element(problem);
        }
        Ok(sent)
    }

    /// Whether a publish outlives its token.
    pub(crate) async fn past_expiry(&mut self) -> Result<(), Stop> {
        let told = match self.arguments.tokens.expiring.clone() {
            _ if self.arguments.test_streams == TestStreams::Skipped => {
                PastExpiry::NotAsked("it takes a test stream, without `--http-only`".to_owned())
            }
            None => PastExpiry::NotAsked(
                "it takes a token that expires within 15 minutes (`--duration 10`)".to_owned(),
            ),
            Some((token, end)) => match end.duration_since(SystemTime::now()) {
                Err(_) => PastExpiry::NotAsked(
                    "the token that expires soon had expired before it was its turn".to_owned(),
                ),
                Ok(left) => return self.stream_past_expiry(token, left).await,
            },
        };
        self.findings.past_expiry = Some(told);
        Ok(())
    }

    async fn stream_past_expiry(&mut self, token: Token, left: Duration) -> Result<(), Stop> {
        let after = match self.arguments.is_local() {
            true => AFTER_HERE,
            false => AFTER,
        };
        let media = TestMedia::Audio { filler: None };
        let sent = self.stream(media, token.clone(), left + after).await?;
        self.interrupt.check()?;
        self.findings.past_expiry = Some(PastExpiry::Asked(sent.stream));
        if self.findings.expired_token.is_none() {
            self.expired_token(&token).await?;
        }
        Ok(())
    }
}
