//! The proxies that the environment names, and what goes wrong with one.
//!
//! The HTTP client finds its proxies itself. This repeats its search, by the
//! same code, to tell the user which proxy a request went to and which
//! variable names it.

use std::env::{self, VarError};
use std::error::Error;
use std::fmt;
use std::io;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use url::Url;

/// In the order in which the HTTP client looks.
const FOR_HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const FOR_HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
const FOR_ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const NO_PROXY: [&str; 2] = ["NO_PROXY", "no_proxy"];

/// The proxies of the environment, read once as the HTTP client does.
pub(super) struct Proxies {
    matcher: Matcher,
    https: &'static str,
    http: &'static str,
    /// Names a proxy for every host that `NO_PROXY` does not exempt.
    exemptions: Matcher,
    ignored_for_https: Vec<&'static str>,
    ignored_for_http: Vec<&'static str>,
}

impl Proxies {
    pub(super) fn of_the_environment() -> Self {
        Self {
            matcher: Matcher::from_system(),
            https: variable(FOR_HTTPS),
            http: variable(FOR_HTTP),
            exemptions: exemptions(),
            ignored_for_https: ignored(FOR_HTTPS),
            ignored_for_http: ignored(FOR_HTTP),
        }
    }

    /// The variables that are set for a request to this URL but name no proxy, so that
    /// the HTTP client ignores them.
    pub(super) fn ignored_for(&self, url: &Url) -> &[&'static str] {
        let uri: Option<Uri> = url.as_str().parse().ok();
        let is_exempt = uri.is_none_or(|uri| self.exemptions.intercept(&uri).is_none());
        match url.scheme() {
            _ if is_exempt => &[],
            "https" => &self.ignored_for_https,
            _ => &self.ignored_for_http,
        }
    }

    /// The proxy for a request, if any.
    pub(super) fn of(&self, url: &Url) -> Option<Proxy> {
        let uri: Uri = url.as_str().parse().ok()?;
        let proxy = self.matcher.intercept(&uri)?;
        Some(Proxy {
            // Without the password, which the matcher keeps apart.
            address: proxy.uri().to_string().trim_end_matches('/').to_owned(),
            variable: match url.scheme() {
                "https" => self.https,
                _ => self.http,
            },
        })
    }
}

/// The variable that names the proxy of a scheme: one of its own, unless it
/// holds no proxy, or that for all schemes.
fn variable(own: [&'static str; 2]) -> &'static str {
    let first = |names: [&'static str; 2]| {
        names
            .into_iter()
            .find_map(|name| Some((name, env::var(name).ok()?)))
    };
    match first(own) {
        Some((name, value)) if is_proxy(&value) => name,
        _ => first(FOR_ALL).map_or(own[0], |(name, _)| name),
    }
}

fn exemptions() -> Matcher {
    let first = NO_PROXY.into_iter().find_map(|name| env::var(name).ok());
    let any = Matcher::builder().all("http://host.invalid");
    any.no(first.unwrap_or_default()).build()
}

/// The variables of a scheme that are looked at and name no proxy: one of its own, then
/// one for all schemes. An empty one says that there is no proxy.
fn ignored(own: [&'static str; 2]) -> Vec<&'static str> {
    let mut ignored = Vec::new();
    if env::var_os("REQUEST_METHOD").is_some() {
        // As in CGI, where a request's header sets HTTP_PROXY: none counts.
        return ignored;
    }
    for names in [own, FOR_ALL] {
        for name in names {
            match env::var(name) {
                Ok(value) if is_proxy(&value) => return ignored,
                Ok(value) => {
                    ignored.extend(Some(name).filter(|_| !value.is_empty()));
                    break;
                }
                Err(VarError::NotUnicode(_)) => ignored.push(name),
                Err(VarError::NotPresent) => {}
            }
        }
    }
    ignored
}

fn is_proxy(value: &str) -> bool {
    let any = Uri::from_static("http://host.invalid/");
    let matcher = Matcher::builder().all(value).build();
    matcher.intercept(&any).is_some()
}

/// A proxy of the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Scheme, host and port, without its password.
    pub address: String,
    /// The variable that names it.
    pub variable: &'static str,
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy {} (from {})", self.address, self.variable)
    }
}

/// What went wrong with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProblem {
    /// Nothing came in time, from the proxy or from the server behind it.
    Timeout,
    /// The proxy's name does not resolve.
    UnknownHost,
    /// Nothing listens at the proxy's address.
    ConnectionRefused,
    /// The proxy can't be reached, for another reason.
    Unreachable,
    /// The proxy wants a user name and password, or others.
    NotAuthorized,
    /// The proxy answered, but does not connect to the server.
    Refused,
}

impl fmt::Display for ProxyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "brings no reply in time",
            Self::UnknownHost => "has a name that does not resolve",
            Self::ConnectionRefused => "does not listen there (connection refused)",
            Self::Unreachable => "can't be reached",
            Self::NotAuthorized => "does not accept the user name and password (HTTP 407)",
            Self::Refused => "does not connect to the server",
        })
    }
}

/// Finds what a proxy did wrong in the error chain of a request that went to
/// it, outermost error first. `None` if the proxy did its part.
pub(super) fn problem(causes: &[&(dyn Error + 'static)]) -> Option<ProxyProblem> {
    let texts: Vec<String> = causes.iter().map(ToString::to_string).collect();
    let has = |start: &str| texts.iter().any(|text| text.starts_with(start));
    // The only errors of these types are texts: the types are private.
    if has("error resolving for socks proxy") {
        // With socks4 and socks5 we resolve the server's name.
        return None;
    }
    if has("tunnel error: proxy authorization required")
        || has("SOCKS error: credentials not accepted")
    {
        return Some(ProxyProblem::NotAuthorized);
    }
    if has("dns error") {
        return Some(ProxyProblem::UnknownHost);
    }
    let is_refused = causes
        .iter()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    if is_refused {
        return Some(ProxyProblem::ConnectionRefused);
    }
    if has("tunnel error: failed to create") || has("SOCKS error: failed to create") {
        return Some(ProxyProblem::Unreachable);
    }
    (has("tunnel error") || has("SOCKS error")).then_some(ProxyProblem::Refused)
}
