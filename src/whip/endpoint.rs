//! The WHIP endpoint: the URL of the first POST.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

/// The longest URL that is used, in bytes. RFC 9110 4.1 asks servers for 8000 at least;
/// the HTTP client gives up at 64 KB.
pub(super) const MAX_URL: usize = 8 * 1024;

/// A valid WHIP endpoint URL: http or https, with a host, without user name and
/// password.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

impl Endpoint {
    /// Checks an endpoint that a user gave. White space around it is dropped.
    ///
    /// # Errors
    /// [`EndpointError`] if it is not a URL, is longer than 8 KB, has another scheme than
    /// http or https, or holds a user name or password.
    ///
    /// ```
    /// use gstivs::whip::{Endpoint, EndpointError};
    ///
    /// assert!(Endpoint::parse("https://global.whip.live-video.net").is_ok());
    /// assert_eq!(Endpoint::parse("ftp://example.com"),
    ///            Err(EndpointError::Scheme("ftp".to_owned())));
    /// ```
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let url = Url::parse(text.trim()).map_err(EndpointError::NotAUrl)?;
        if url.as_str().len() > MAX_URL {
            return Err(EndpointError::TooLong);
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EndpointError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EndpointError::Credentials);
        }
        Ok(Self(url))
    }

    /// The URL. On other servers its path or query may hold a secret, so messages show
    /// only [`Endpoint::host`].
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Scheme, host and port, the part of the URL that a message may show.
    pub fn host(&self) -> String {
        origin(&self.0)
    }

    /// Whether requests leave this machine unencrypted.
    pub fn is_unencrypted(&self) -> bool {
        self.0.scheme() == "http" && !is_loopback(&self.0)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.host())
    }
}

/// Scheme, host and port of a URL. Log lines and messages show no more of it, since
/// path and query can be secrets (RFC 9725 5).
pub fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether the URL's host is this machine: `localhost`, 127.0.0.0/8 or `[::1]`.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address).is_loopback(),
        Some(Host::Ipv6(address)) => IpAddr::V6(address).is_loopback(),
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost")
        }
        None => false,
    }
}

/// Why a text can't be a WHIP endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointError {
    /// The text does not parse as a URL.
    NotAUrl(url::ParseError),
    /// The URL has more than 8 KB.
    TooLong,
    /// The scheme is not http or https.
    Scheme(String),
    /// The URL holds a user name or password. WHIP uses a bearer token.
    Credentials,
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAUrl(error) => write!(
                f,
                "expected a URL such as https://global.whip.live-video.net, found something \
                 that does not parse ({error}); it has to begin with https:// or http://"
            ),
            Self::TooLong => write!(
                f,
                "expected a URL of at most {} KB, found a longer one",
                MAX_URL / 1024
            ),
            Self::Scheme(scheme) => {
                write!(f, "expected an https (or http) URL, found scheme {scheme}")
            }
            Self::Credentials => f.write_str(
                "the URL holds a user name or password; WHIP takes a bearer token: \
                 remove them and set auth-token",
            ),
        }
    }
}

impl std::error::Error for EndpointError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_a_url() {
        for bad in ["", "global.whip.live-video.net", "https://", "not a url"] {
            assert!(
                matches!(Endpoint::parse(bad), Err(EndpointError::NotAUrl(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn scheme() {
        assert_eq!(
            Endpoint::parse("rtmp://example.com/app"),
            Err(EndpointError::Scheme("rtmp".into()))
        );
    }

    #[test]
    fn credentials() {
        for credentials in ["user:pass", "user", ":pass"] {
            assert_eq!(
                Endpoint::parse(&format!("https://{credentials}@example.com/")),
                Err(EndpointError::Credentials),
                "{credentials}"
            );
        }
    }

    #[test]
    fn too_long() {
        let url = |length: usize| format!("https://a.example/{}", "x".repeat(length - 18));
        assert!(Endpoint::parse(&url(MAX_URL)).is_ok());
        assert_eq!(
            Endpoint::parse(&url(MAX_URL + 1)),
            Err(EndpointError::TooLong)
        );
    }

    #[test]
    fn debug_and_host_hide_path_and_query() {
        let endpoint = Endpoint::parse("https://example.com:8443/key/secret?k=secret").unwrap();
        assert_eq!(endpoint.host(), "https://example.com:8443");
        assert!(!format!("{endpoint:?}").contains("secret"));
    }

    #[test]
    fn plain_http_is_open_to_listeners_unless_it_stays_on_this_machine() {
        let open = |text: &str| Endpoint::parse(text).unwrap().is_unencrypted();
        assert!(open("http://192.0.2.7/whip"));
        assert!(open("http://localhost.example.com/"));
        for local in [
            "http://127.0.0.2:80",
            "http://localhost/",
            "http://[::1]:9/",
        ] {
            assert!(!open(local), "{local}");
        }
        assert!(!open("https://192.0.2.7/whip"));
    }
}
