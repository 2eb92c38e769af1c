//! Checks the token before a POST, and asks the application for a newer one.
//!
//! The claims are read, not verified: they only save a request that would be
//! refused. The server decides.

use std::pin::pin;
use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::driver::{Driver, Outcome};
use super::event::{Event, Warning};
use super::failure::Cause;
use super::tokens::TokenProblem;
use crate::ivs::{Claims, EXPIRED_TOKEN, TokenStatus};
use crate::whip::Token;

/// How long the application may take to give a new token. It may have to ask
/// its own server for one.
const NEW_TOKEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Fails if IVS needs a token and there is none, or if the claims rule out
/// publishing, also after asking for a new token.
pub(super) async fn check_token(driver: &mut Driver) -> Result<(), Outcome> {
    if driver.config.check().is_err() && !renew(driver).await? {
        return Err(driver.failed(Cause::NoToken));
    }
    let mut status = token_status(driver).await?;
    if matches!(status, TokenStatus::Expired { .. } | TokenStatus::NoPublish)
        && renew(driver).await?
    {
        status = token_status(driver).await?;
    }
    match status {
        TokenStatus::Usable => Ok(()),
        TokenStatus::ExpiringSoon { .. } => {
            driver.emit(Event::Warning(Warning::Token(status)));
            Ok(())
        }
        TokenStatus::Expired { .. } | TokenStatus::NoPublish => {
            Err(driver.failed(Cause::Claims(status)))
        }
    }
}

/// If the server refused the token as expired, asks the application for a new
/// one, and starts another attempt at once if it has one.
///
/// Asks only once until media flows again: if the clocks of server and
/// application differ, both would repeat this forever.
pub(super) async fn renew_after_refusal(driver: &mut Driver, outcome: Outcome) -> Outcome {
    let is_expired =
        matches!(&outcome, Outcome::Failed(failure) if failure.ivs_code() == Some(EXPIRED_TOKEN));
    if !is_expired || driver.asked_for_token_since_publishing {
        return outcome;
    }
    driver.asked_for_token_since_publishing = true;
    match renew(driver).await {
        Ok(true) => Outcome::Replaced,
        Ok(false) => outcome,
        Err(other) => other,
    }
}

async fn token_status(driver: &mut Driver) -> Result<TokenStatus, Outcome> {
    let token = newest(driver).await?;
    let token = token.map_err(|problem| driver.failed(Cause::Token(problem)))?;
    // Only the server can check a token that is no JWT.
    let claims = token.as_ref().and_then(Claims::read);
    let status = claims
        .as_ref()
        .map(|claims| claims.status(SystemTime::now()));
    driver.emit(Event::Claims(claims));
    Ok(status.unwrap_or(TokenStatus::Usable))
}

/// Reads the newest token, which can take a while from a file.
async fn newest(driver: &mut Driver) -> Result<Result<Option<Token>, TokenProblem>, Outcome> {
    let tokens = driver.config.tokens.clone();
    let mut newest = pin!(tokens.newest());
    loop {
        tokio::select! {
            token = &mut newest => return Ok(token),
            input = driver.poll_input() => {
                let outcome_of = input.and_then(|input| driver.outcome_of(input));
                outcome_of.map_or(Ok(()), Err)?;
            }
        }
    }
}

/// Asks the application for a new token. Returns whether it gave one.
async fn renew(driver: &mut Driver) -> Result<bool, Outcome> {
    driver.token_answer = None;
    driver.emit(Event::NewTokenWanted);
    let until = Instant::now() + NEW_TOKEN_TIMEOUT;
    loop {
        if let Some(has_token) = driver.token_answer {
            return Ok(has_token);
        }
        tokio::select! {
            () = sleep_until(until) => return Ok(false),
            input = driver.poll_input() => {
                let outcome_of = input.and_then(|input| driver.outcome_of(input));
                outcome_of.map_or(Ok(()), Err)?;
            }
        }
    }
}
