//! Whether the token is still good, and where a newer one comes from.
//!
//! What a token says of itself is read, not verified: it saves a request that
//! is sure to be refused. The server's word counts more.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::attempt::Attempt;
use super::driver::Outcome;
use super::event::{Event, Warning};
use super::failure::Cause;
use crate::ivs::{Claims, EXPIRED_TOKEN, TokenStatus};

/// How long an application may take to give a new token: it may have to ask
/// its own server for one.
const PATIENCE: Duration = Duration::from_secs(10);

impl Attempt<'_> {
    /// Makes sure that the token is worth a POST, with a new one if need be.
    pub(super) async fn check_token(&mut self) -> Result<(), Outcome> {
        let mut status = self.status().await?;
        if matches!(status, TokenStatus::Expired { .. } | TokenStatus::NoPublish)
            && self.renew().await?
        {
            status = self.status().await?;
        }
        match status {
            TokenStatus::Fine => Ok(()),
            TokenStatus::ExpiringSoon { .. } => {
                self.driver.emit(Event::Warning(Warning::Token(status)));
                Ok(())
            }
            TokenStatus::Expired { .. } | TokenStatus::NoPublish => {
                Err(self.failed(Cause::Claims(status)))
            }
        }
    }

    /// After a refusal of the token as expired: another attempt at once, if
    /// the application has a new one. Asked for once until media flow again,
    /// so that two who disagree about the time don't go round in a circle.
    pub(super) async fn after_refusal(&mut self, outcome: Outcome) -> Outcome {
        let is_expired = matches!(&outcome, Outcome::Failed(failure) if failure.ivs_code() == Some(EXPIRED_TOKEN));
        if !is_expired || self.driver.asked_for_token_since_publishing {
            return outcome;
        }
        self.driver.asked_for_token_since_publishing = true;
        match self.renew().await {
            Ok(true) => Outcome::Replaced,
            Ok(false) => outcome,
            Err(other) => other,
        }
    }

    async fn status(&mut self) -> Result<TokenStatus, Outcome> {
        let token = self.driver.config.tokens.newest().await;
        let token = token.map_err(|problem| self.failed(Cause::Token(problem)))?;
        // One that is no JWT is left to the server.
        let claims = token.as_ref().and_then(Claims::read);
        let status = claims
            .as_ref()
            .map(|claims| claims.status(SystemTime::now()));
        self.driver.emit(Event::Claims(claims));
        Ok(status.unwrap_or(TokenStatus::Fine))
    }

    /// Asks the application for a new token; whether there is one.
    async fn renew(&mut self) -> Result<bool, Outcome> {
        self.driver.token_answer = None;
        self.driver.emit(Event::TokenWanted);
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(has_token) = self.driver.token_answer {
                return Ok(has_token);
            }
            tokio::select! {
                () = sleep_until(until) => return Ok(false),
                input = self.driver.next_news() => {
                    let interruption = input.and_then(|input| self.interruption(input));
                    interruption.map_or(Ok(()), Err)?;
                }
            }
        }
    }
}
