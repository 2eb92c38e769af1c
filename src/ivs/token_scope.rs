//! Which hosts may have the participant token.

use std::fmt;

use url::Url;

use super::hosts::is_ivs;
use crate::whip::{is_loopback, origin};

/// Checks whether a token that `from` may have may also go to `to`: the target of a
/// redirect, or the session's resource.
///
/// IVS's regional hosts refuse a POST without the token (403, seen), so the token must
/// go to other hosts than the endpoint's. A wrong host could publish with it.
///
/// # Errors
/// [`TokenDenied`] unless the URLs have the same origin, `to` is the same host over https
/// after http, both are IVS's, both are this machine, or the user listed the host of
/// `to`. Always from https to http.
pub fn may_have_token(from: &Url, to: &Url, listed: &RedirectHosts) -> Result<(), TokenDenied> {
    if from.scheme() == "https" && to.scheme() == "http" {
        return Err(TokenDenied::Downgrade { host: origin(to) });
    }
    let allowed = from.origin() == to.origin()
        || is_upgrade(from, to)
        || (is_ivs(from) && is_ivs(to))
        || (is_loopback(from) && is_loopback(to))
        || listed.contains(to);
    if allowed {
        Ok(())
    } else {
        Err(TokenDenied::Host { host: origin(to) })
    }
}

/// Whether the host stays the same and http becomes https, on whatever port. That makes
/// nothing worse: who can forge the unencrypted redirect has read the token, and the
/// target must show a certificate for the host's name.
fn is_upgrade(from: &Url, to: &Url) -> bool {
    from.scheme() == "http" && to.scheme() == "https" && from.host() == to.host()
}

/// Why the token may not be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenDenied {
    /// From https to http, where anybody on the network path could read it.
    Downgrade {
        /// Scheme, host and port.
        host: String,
    },
    /// To a host whose name shows the token. A look-up would tell it to name servers.
    InHostName,
    /// To a host that neither a rule nor the user allows.
    Host {
        /// Scheme, host and port.
        host: String,
    },
}

impl fmt::Display for TokenDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Downgrade { host } => write!(
                f,
                "the server redirects from https to {host}, where the token would be \
                 sent unencrypted, so the element does not follow"
            ),
            Self::InHostName => f.write_str(
                "the server redirects to a host whose name repeats the token, so the element \
                 does not follow",
            ),
            Self::Host { host } => write!(
                f,
                "the server redirects to {host}, which may not get the token; \
                 if you trust that host, name it in the property redirect-hosts"
            ),
        }
    }
}

impl std::error::Error for TokenDenied {}

/// The hosts that the user allows to have the token: names, `*.` patterns and
/// addresses, each with one port or for every port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedirectHosts(Vec<(String, Option<u16>)>);

impl RedirectHosts {
    /// Reads a comma-separated list.
    ///
    /// # Errors
    /// [`RedirectHostsError`] names the first entry that is not a host.
    ///
    /// ```
    /// use gstivs::ivs::RedirectHosts;
    ///
    /// assert!(RedirectHosts::parse("media.example.net, *.example.com:8443, [::1]").is_ok());
    /// assert!(RedirectHosts::parse("https://example.com/whip").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, RedirectHostsError> {
        text.split(',')
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
            .map(|entry| {
                parse_entry(entry).ok_or_else(|| RedirectHostsError {
                    entry: entry.to_owned(),
                })
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    fn contains(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        self.0.iter().any(|(pattern, port)| {
            let named = match pattern.strip_prefix("*.") {
                Some(domain) => host
                    .strip_suffix(domain)
                    .is_some_and(|label| label.ends_with('.')),
                None => host == pattern,
            };
            named && (port.is_none() || *port == url.port_or_known_default())
        })
    }
}

/// Parses an entry. `Url` normalises the host (case, IDNA, address forms), so that it
/// can be compared with the host of a redirect's URL.
fn parse_entry(entry: &str) -> Option<(String, Option<u16>)> {
    let (wildcard, rest) = match entry.strip_prefix("*.") {
        Some(rest) => ("*.", rest),
        None => ("", entry),
    };
    // `Url` takes a backslash for a slash, and skips line breaks and tabs: a port that
    // ends in one would be none.
    let is_foreign =
        |letter: char| letter.is_whitespace() || letter.is_control() || "/\\@?#*".contains(letter);
    if rest.contains(is_foreign) {
        return None;
    }
    // The port is parsed separately, because `Url` drops a scheme's default port.
    let url = Url::parse(&format!("http://{rest}/")).ok()?;
    let port = rest
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    Some((format!("{wildcard}{}", url.host_str()?), port))
}

/// An entry of a host list that is not a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectHostsError {
    /// The entry as given.
    pub entry: String,
}

impl fmt::Display for RedirectHostsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected hosts such as 'media.example.net, *.example.com:8443', found '{}'",
            self.entry
        )
    }
}

impl std::error::Error for RedirectHostsError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn check(from: &str, to: &str, listed: &str) -> Result<(), TokenDenied> {
        let url = |text| Url::parse(text).unwrap();
        may_have_token(&url(from), &url(to), &RedirectHosts::parse(listed).unwrap())
    }

    #[test]
    fn same_origin_may_have_it() {
        assert!(check("https://a.example/x", "https://a.example:443/y", "").is_ok());
        assert!(check("http://a.example/x", "http://a.example/y", "").is_ok());
    }

    #[test]
    fn ivs_to_ivs_may_have_it() {
        assert!(
            check(
                "https://global.whip.live-video.net",
                "https://x.y.live-video.net:8443/",
                ""
            )
            .is_ok()
        );
    }

    #[test]
    fn loopback_to_loopback_may_have_it() {
        assert!(check("http://127.0.0.1:1/", "http://localhost:2/", "").is_ok());
        assert!(check("http://127.0.0.1:1/", "http://[::1]:2/", "").is_ok());
    }

    #[test]
    fn listed_hosts_may_have_it() {
        assert!(check("https://a.example/", "https://B.example/", "b.example").is_ok());
        assert!(
            check(
                "https://a.example/",
                "https://x.b.example:8443/",
                "*.b.example:8443"
            )
            .is_ok()
        );
        assert!(
            check(
                "http://a.example/",
                "http://[2001:db8::1]:8080/",
                "[2001:DB8::1]:8080"
            )
            .is_ok()
        );
    }

    #[test]
    fn same_host_over_https_may_have_it() {
        for to in ["https://A.example/x", "https://a.example:8443/"] {
            assert!(check("http://a.example:8080/", to, "").is_ok(), "{to}");
        }
        for (from, to) in [
            ("http://a.example/", "https://b.example/"),
            ("http://a.example/", "https://x.a.example/"),
            ("http://a.example/", "http://a.example:8080/"),
            ("https://a.example/", "https://a.example:8443/"),
        ] {
            assert!(check(from, to, "").is_err(), "{from} {to}");
        }
    }

    #[test]
    fn https_to_http_never_has_it() {
        for listed in ["", "a.example", "localhost"] {
            for to in ["http://a.example/", "http://localhost/"] {
                assert!(
                    matches!(
                        check("https://a.example/", to, listed),
                        Err(TokenDenied::Downgrade { .. })
                    ),
                    "{to} {listed}"
                );
            }
        }
    }

    #[test]
    fn https_to_http_never_has_it_whatever_the_hosts() {
        const HOSTS: [&str; 8] = [
            "a.example",
            "b.example",
            "x.live-video.net",
            "live-video.net",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "192.0.2.1",
        ];
        const LISTS: [&str; 4] = ["", "a.example", "*.live-video.net,127.0.0.1", "[::1]:80"];
        const PORTS: [&str; 4] = ["", ":80", ":443", ":8443"];
        let mut random = Random::new(1);
        for _ in 0..2000 {
            let mut url = |scheme| {
                let (host, port) = (random.one_of(&HOSTS), random.one_of(&PORTS));
                format!("{scheme}://{host}{port}/")
            };
            let (from, to) = (url("https"), url("http"));
            let listed = random.one_of(&LISTS);
            let denied = check(&from, &to, listed).unwrap_err();
            assert!(
                matches!(denied, TokenDenied::Downgrade { .. }),
                "{from} {to} {listed}"
            );
        }
    }

    #[test]
    fn anybody_else_does_not_have_it() {
        for (from, to, listed) in [
            (
                "https://global.whip.live-video.net",
                "https://live-video.net.evil.example/",
                "",
            ),
            ("https://a.example/", "https://b.example/", "c.example"),
            (
                "https://a.example/",
                "https://b.example:444/",
                "b.example:443",
            ),
            (
                "https://a.example/",
                "https://evilb.example/",
                "*.b.example",
            ),
            ("https://a.example/", "https://b.example/", "*.b.example"),
            ("http://a.example/", "http://127.0.0.1/", ""),
        ] {
            let denied = check(from, to, listed).unwrap_err();
            assert!(matches!(&denied, TokenDenied::Host { .. }), "{to}");
            assert!(denied.to_string().contains("redirect-hosts"));
        }
    }

    #[test]
    fn entry_that_is_no_host() {
        for bad in [
            "https://b.example",
            "b.example/path",
            "u@b.example",
            "b.*.example",
            "b.example:port",
            "b.example:8443\\x",
            "b.example:84\t43",
        ] {
            let error = RedirectHosts::parse(&format!("a.example,{bad}")).unwrap_err();
            assert_eq!(error.entry, bad);
        }
    }
}
