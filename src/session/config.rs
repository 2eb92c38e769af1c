//! What a session needs to know, checked once.

use std::fmt;
use std::time::Duration;

use super::backoff::Retries;
use super::tokens::Tokens;
use crate::ivs::{Filler, RedirectHosts, is_ivs};
use crate::whip::Endpoint;

/// A session's settings in a form that can't be wrong any more.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the first POST goes.
    pub endpoint: Endpoint,
    /// The tokens that requests go with.
    pub tokens: Tokens,
    /// The hosts that may have the token besides the obvious ones.
    pub redirect_hosts: RedirectHosts,
    /// Bounds the HTTP exchange, redirects and bodies included; `None` is
    /// without bound.
    pub http_timeout: Option<Duration>,
    /// Bounds the time from the answer to connected media.
    pub connect_timeout: Duration,
    /// After how long without a sign of life the far end counts as lost;
    /// `None` leaves that to ICE and DTLS.
    pub silence_timeout: Option<Duration>,
    /// How long the POST waits for candidates to be in the offer; zero for
    /// servers that learn of us by our checks, as IVS does.
    pub gathering_timeout: Duration,
    /// How often to try again.
    pub retries: Retries,
    /// What is offered as video when there is none.
    pub filler: Filler,
}

impl Config {
    /// Checks what only shows in the settings' combination.
    ///
    /// # Errors
    /// [`NoToken`] when nothing names a token and the endpoint is IVS's, which
    /// takes nobody without one (documented: "WHIP support").
    pub fn check(&self) -> Result<(), NoToken> {
        if self.tokens.is_empty() && is_ivs(self.endpoint.url()) {
            return Err(NoToken);
        }
        Ok(())
    }
}

/// IVS takes nobody without a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "Amazon IVS needs a participant token: set the environment's IVS_STAGE_TOKEN, \
             auth-token-file or auth-token",
        )
    }
}

impl std::error::Error for NoToken {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::TokenSource;
    use crate::whip::Token;

    fn config(endpoint: &str, token: Option<&str>) -> Config {
        Config {
            endpoint: Endpoint::parse(endpoint).unwrap(),
            tokens: Tokens::new(TokenSource {
                given: token.map(|token| Token::parse(token).unwrap()),
                ..TokenSource::default()
            }),
            redirect_hosts: RedirectHosts::default(),
            http_timeout: None,
            connect_timeout: Duration::from_secs(10),
            silence_timeout: None,
            gathering_timeout: Duration::ZERO,
            retries: Retries::Default,
            filler: Filler::Auto,
        }
    }

    #[test]
    fn ivs_needs_a_token_and_other_servers_may_not() {
        assert_eq!(
            config("https://global.whip.live-video.net", None).check(),
            Err(NoToken)
        );
        assert_eq!(
            config("https://global.whip.live-video.net", Some("t")).check(),
            Ok(())
        );
        assert_eq!(config("http://127.0.0.1:1/whip", None).check(), Ok(()));
    }
}
