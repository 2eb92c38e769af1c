//! The user's list of hosts that may have the token, and a redirect.

use gstivs::ivs::{RedirectHosts, may_have_token};
use url::Url;

/// Where the redirects come from. Its own redirects need no entry.
const FROM: &str = "from.invalid";

/// The first line is the list, the second is where the server redirects to.
pub fn hosts(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (list, to) = text.split_once('\n').unwrap_or((text, ""));
    let entries = list.split(',').map(str::trim);
    let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
    let hosts = match RedirectHosts::parse(list) {
        Ok(hosts) => hosts,
        Err(error) => {
            assert!(entries.contains(&error.entry.as_str()), "{error}");
            assert_eq!(RedirectHosts::parse(&error.entry), Err(error));
            return;
        }
    };
    entries.iter().for_each(|entry| allows_what_it_names(entry));
    if let Ok(to) = Url::parse(to) {
        let allows = |entry: &&str| is_allowed(&to, &RedirectHosts::parse(entry).unwrap());
        assert_eq!(is_allowed(&to, &hosts), entries.iter().any(allows), "{to}");
    }
}

/// From a host whose redirects only the list can allow.
fn is_allowed(to: &Url, hosts: &RedirectHosts) -> bool {
    let from = Url::parse(&format!("https://{FROM}/")).unwrap();
    let is_allowed = to.host_str() != Some(FROM) && may_have_token(&from, to, hosts).is_ok();
    assert!(!is_allowed || to.scheme() != "http", "{to}");
    is_allowed
}

/// A host as in the entry, and none beside it.
fn allows_what_it_names(entry: &str) {
    let no_part_of_a_host =
        |letter: char| letter.is_whitespace() || letter.is_control() || "/\\@?#*".contains(letter);
    let (is_pattern, named) = match entry.strip_prefix("*.") {
        Some(named) => (true, named),
        None => (false, entry),
    };
    assert!(!named.contains(no_part_of_a_host), "{entry:?}");
    let hosts = RedirectHosts::parse(entry).unwrap();
    let is = |url: String| Url::parse(&url).is_ok_and(|url| is_allowed(&url, &hosts));
    let (name, port) = match named.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port.parse::<u16>().ok()),
        _ => (named, None),
    };
    let other = port.map_or(1234, |port| port ^ 1);
    let prefix = if is_pattern { "x." } else { "" };
    // A label before an address makes no host, and one can make a name too long.
    let url = Url::parse(&format!("https://{prefix}{name}"));
    let is_another = url.is_ok_and(|url| url.host_str() != Some(FROM));
    let expected = is_another && !name.is_empty();
    assert_eq!(
        is(format!("https://{prefix}{name}:{}/", port.unwrap_or(1234))),
        expected,
        "{entry:?}"
    );
    assert_eq!(
        is(format!("https://{prefix}{name}:{other}/")),
        expected && port.is_none(),
        "{entry:?}"
    );
    let besides = match is_pattern {
        true => [
            name.to_owned(),
            format!("x{name}"),
            format!("{name}.beside"),
        ],
        false => [
            format!("x.{name}"),
            format!("x{name}"),
            format!("{name}.beside"),
        ],
    };
    let below = format!(".{name}");
    for beside in besides {
        let is_named = is_pattern && beside.ends_with(&below);
        assert!(
            is_named || !is(format!("https://{beside}:{}/", port.unwrap_or(1234))),
            "{beside} by {entry:?}"
        );
    }
}
