//! Whether the token is still good, and where a newer one comes from.
//!
//! What a token says of itself is read, not verified: it saves a request that
//! is sure to be refused. The server's word counts more.

use std::time::{Duration, SystemTime};

use tokio::time::{Instant, sleep_until};

use super::driver::{Driver, Outcome};
use super::event::{Event, Warning};
use super::failure::Cause;
use crate::ivs::{Claims, EXPIRED_TOKEN, TokenStatus};

/// How long an application may take to give a new token: it may have to ask
/// its own server for one.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes sure that the token is worth a POST, with a new one if need be.
pub(super) async fn check_token(driver: &mut Driver) -> Result<(), Outcome> {
    let mut status = token_status(driver).await?;
    if matches!(status, TokenStatus::Expired { .. } | TokenStatus::NoPublish)
        && renew(driver).await?
    {
        status = token_status(driver).await?;
    }
    match status {
        TokenStatus::Fine => Ok(()),
        TokenStatus::ExpiringSoon { .. } => {
            driver.emit(Event::Warning(Warning::Token(status)));
            Ok(())
        }
        TokenStatus::Expired { .. } | TokenStatus::NoPublish => {
            Err(driver.failed(Cause::Claims(status)))
        }
    }
}

/// After a refusal of the token as expired: another attempt at once, if
/// the application has a new one. Asked for once until media flow again,
/// so that two who disagree about the time don't go round in a circle.
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
    let token = driver.config.tokens.newest().await;
    let token = token.map_err(|problem| driver.failed(Cause::Token(problem)))?;
    // One that is no JWT is left to the server.
    let claims = token.as_ref().and_then(Claims::read);
    let status = claims
        .as_ref()
        .map(|claims| claims.status(SystemTime::now()));
    driver.emit(Event::Claims(claims));
    Ok(status.unwrap_or(TokenStatus::Fine))
}

/// Asks the application for a new token; whether there is one.
async fn renew(driver: &mut Driver) -> Result<bool, Outcome> {
    driver.token_answer = None;
    driver.emit(Event::TokenWanted);
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(has_token) = driver.token_answer {
            return Ok(has_token);
        }
        tokio::select! {
            () = sleep_until(until) => return Ok(false),
            input = driver.next_news() => {
                let interruption = input.and_then(|input| driver.interruption(input));
                interruption.map_or(Ok(()), Err)?;
            }
        }
    }
}
