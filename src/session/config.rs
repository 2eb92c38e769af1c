//! The settings of a session, checked once.

use std::time::Duration;

use super::backoff::Retries;
use super::tokens::{NoToken, Tokens};
use crate::ivs::{Filler, RedirectHosts, is_ivs};
use crate::whip::Endpoint;

/// The settings of a session, already parsed. [`Config::check`] checks their
/// combination.
#[derive(Clone, Debug)]
pub struct Config {
    /// URL of the first POST.
    pub endpoint: Endpoint,
    /// Tokens for the requests.
    pub tokens: Tokens,
    /// Hosts that may receive the token, besides the endpoint's own and IVS's.
    pub redirect_hosts: RedirectHosts,
    /// Limit for the whole HTTP exchange, redirects and bodies included; `None`
    /// for no limit.
    pub http_timeout: Option<Duration>,
    /// Limit from the answer to a connected media transport.
    pub connect_timeout: Duration,
    /// Silence after which the far end counts as lost; `None` leaves the
    /// detection to ICE and DTLS.
    pub silence_timeout: Option<Duration>,
    /// How long the POST waits for candidates in the offer. Zero for servers
    /// that learn our address from our checks, as IVS does.
    pub gathering_timeout: Duration,
    /// How many retries follow a failed attempt.
    pub retries: Retries,
    /// The video section to offer when there is no video.
    pub filler: Filler,
}

impl Config {
    /// Checks the combination of the settings.
    ///
    /// # Errors
    /// [`NoToken`] if no token source is set and the endpoint is IVS's, which
    /// refuses every request without a token (documented: "WHIP support").
    pub fn check(&self) -> Result<(), NoToken> {
        if self.tokens.is_empty() && is_ivs(self.endpoint.url()) {
            return Err(NoToken);
        }
        Ok(())
    }
}

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
