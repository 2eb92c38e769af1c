//! Whether a request comes from the page itself, or from a user who opens it:
//! the page gives out tokens, which no other site may read.

use std::net::IpAddr;

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName, Method};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Why a request is refused.
///
/// - Its `Host` is a name other than localhost. Another site's name can be made
///   to point to this machine (DNS rebinding), an address can't.
/// - Its `Origin` is not the page's.
/// - The browser says that another site made it (Fetch Metadata), and not to
///   open the page.
pub(crate) fn refusal(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    let Some(host) = host.filter(|host| is_local(host)) else {
        return Some("open the page by an address of this machine, or as localhost");
    };
    if hosts.next().is_some() {
        return Some("more than one Host");
    }
    let own = format!("http://{host}");
    if headers
        .get(ORIGIN)
        .is_some_and(|origin| origin != own.as_str())
    {
        return Some("the request comes from a page of another origin");
    }
    let says = |name, value: &str| headers.get(name).is_some_and(|found| found == value);
    let opens = method == Method::GET && says(FETCH_MODE, "navigate");
    let elsewhere = says(FETCH_SITE, "cross-site") || says(FETCH_SITE, "same-site");
    (elsewhere && !opens).then_some("the request comes from another site")
}

/// Whether a `Host` is an address or localhost, with any port: a tunnel's end
/// has another one.
fn is_local(host: &str) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.to_ascii_lowercase();
    address.parse::<IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &Method, headers: &[(&str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            map.append(name, value.parse().unwrap());
        }
        refusal(method, &map).is_some()
    }

    #[test]
    fn only_addresses_and_localhost_are_hosts() {
        let get = &Method::GET;
        for host in [
            "127.0.0.1:80",
            "192.0.2.1",
            "[::1]:80",
            "localhost:1",
            "LOCALHOST",
            "a.localhost",
        ] {
            assert!(!refused(get, &[("Host", host)]), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "a@127.0.0.1",
            "127.1:x",
        ] {
            assert!(refused(get, &[("Host", host)]), "{host}");
        }
        assert!(refused(get, &[]));
        assert!(refused(
            get,
            &[("Host", "localhost"), ("Host", "localhost")]
        ));
    }

    #[test]
    fn other_origins_may_only_open_the_page() {
        let host = ("Host", "localhost:8080");
        let (get, post) = (&Method::GET, &Method::POST);
        assert!(!refused(post, &[host, ("Origin", "http://localhost:8080")]));
        for origin in [
            "null",
            "https://localhost:8080",
            "http://localhost:8081",
            "http://evil.example",
        ] {
            assert!(refused(post, &[host, ("Origin", origin)]), "{origin}");
        }
        let (cross, navigate) = (
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", "navigate"),
        );
        assert!(refused(get, &[host, cross]));
        assert!(!refused(get, &[host, cross, navigate]));
        assert!(refused(post, &[host, cross, navigate]));
        assert!(refused(get, &[host, ("Sec-Fetch-Site", "same-site")]));
        assert!(!refused(get, &[host, ("Sec-Fetch-Site", "same-origin")]));
    }
}
