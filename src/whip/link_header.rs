//! ICE servers from `Link` headers (RFC 9725 4.6, RFC 8288 3).

use std::fmt;

use http::HeaderMap;
use http::header::LINK;

/// The most servers that are used. ICE gathers candidates from each of them.
const MAX_SERVERS: usize = 8;

/// A STUN or TURN server that the WHIP server names.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// `stun:`, `stuns:`, `turn:` or `turns:` with host, port and
    /// `?transport=` as written (RFC 7064, RFC 7065).
    pub url: String,
    /// The `username` attribute.
    pub username: Option<String>,
    /// The `credential` attribute, a secret.
    pub credential: Option<String>,
}

impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IceServer({})", self.url)
    }
}

/// Reads the `rel="ice-server"` links of one header or several, each once, and 8 at
/// most. Ignores links of other relations.
pub(super) fn ice_servers(headers: &HeaderMap) -> Vec<IceServer> {
    let mut servers = Vec::new();
    let values = headers.get_all(LINK).iter();
    let links = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| split_outside_quotes(value, ','));
    for server in links.filter_map(|link| ice_server(&link)) {
        if servers.len() < MAX_SERVERS && !servers.contains(&server) {
            servers.push(server);
        }
    }
    servers
}

fn ice_server(link: &str) -> Option<IceServer> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let mut server = IceServer {
        url: unescape_query(target),
        username: None,
        credential: None,
    };
    let mut is_ice_server = false;
    for parameter in split_outside_quotes(parameters, ';') {
        let (name, value) = parameter.split_once('=').unwrap_or((&parameter, ""));
        let value = unquote(value.trim());
        match name.trim().to_ascii_lowercase().as_str() {
            "rel" => is_ice_server = value.split(' ').any(|rel| rel == "ice-server"),
            "username" => server.username = Some(value),
            "credential" => server.credential = Some(value),
            _ => {}
        }
    }
    let scheme = server.url.split(':').next().unwrap_or_default();
    let known = matches!(scheme, "stun" | "stuns" | "turn" | "turns");
    (is_ice_server && known).then_some(server)
}

/// LiveKit's server escapes the `?` before `transport=`.
fn unescape_query(target: &str) -> String {
    target.replace("%3F", "?").replace("%3f", "?")
}

/// Splits at a separator outside quoted strings and `<…>`.
fn split_outside_quotes(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut part) = (Vec::new(), String::new());
    let (mut quoted, mut escaped, mut in_target) = (false, false, false);
    for character in text.chars() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if !in_target => quoted = !quoted,
            '<' if !quoted => in_target = true,
            '>' => in_target = false,
            _ if character == separator && !quoted && !in_target => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(character);
    }
    parts.push(part);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

fn unquote(value: &str) -> String {
    let Some(inner) = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return value.to_owned();
    };
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        let next = if character == '\\' {
            characters.next()
        } else {
            Some(character)
        };
        text.extend(next);
    }
    text
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Vec<IceServer> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, HeaderValue::from_str(value).unwrap());
        }
        ice_servers(&headers)
    }

    #[test]
    fn several_links_in_one_header_and_in_several() {
        let servers = read(&[
            "<stun:stun.example.net>; rel=\"ice-server\", \
             <turn:turn.example.net?transport=tcp>; rel=\"ice-server\"; username=\"a,b;c\"; \
             credential=\"p\\\"w\"; credential-type=\"password\"",
            "<turns:turn.example.net:443>; rel=ice-server; username=u; credential=c",
        ]);
        let urls: Vec<_> = servers.iter().map(|server| server.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "stun:stun.example.net",
                "turn:turn.example.net?transport=tcp",
                "turns:turn.example.net:443"
            ]
        );
        assert_eq!(servers[1].username.as_deref(), Some("a,b;c"));
        assert_eq!(servers[1].credential.as_deref(), Some("p\"w"));
        assert!(!format!("{servers:?}").contains("p\"w"));
    }

    #[test]
    fn splits_outside_quotes_and_targets() {
        for (text, parts) in [
            ("a, b", vec!["a", " b"]),
            ("a,, b, ", vec!["a", " b"]),
            ("", vec![]),
            (r#"a="x, y", b"#, vec![r#"a="x, y""#, " b"]),
            (r#"a="x\", y", b"#, vec![r#"a="x\", y""#, " b"]),
            (r#"a="x\\", b"#, vec![r#"a="x\\""#, " b"]),
            // Only within quotes a backslash escapes.
            (r"a\, b", vec![r"a\", " b"]),
            ("<a,b>, c", vec!["<a,b>", " c"]),
            (r#"<a"b>, c, d"#, vec![r#"<a"b>"#, " c", " d"]),
            (r#"a="<", b"#, vec![r#"a="<""#, " b"]),
            (r#"a=">", b"#, vec![r#"a=">""#, " b"]),
        ] {
            assert_eq!(split_outside_quotes(text, ','), parts, "{text}");
        }
    }

    #[test]
    fn quotes_and_escapes_are_taken_off() {
        for (value, text) in [
            (r#""a b""#, "a b"),
            (r#""a\"b""#, r#"a"b"#),
            (r#""a\\""#, r"a\"),
            (r#""a\"#, r#""a\"#),
            (r#""""#, ""),
            (r"a\b", r"a\b"),
        ] {
            assert_eq!(unquote(value), text, "{value}");
        }
    }

    #[test]
    fn parameters_are_found_in_any_case_and_among_several_relations() {
        let servers = read(&[
            "<stuns:s.example>; REL = \"next ice-server\" ; UserName=u",
            "<turn:t.example>; rel=\"ice-server-of-others\"",
            "<turn:t.example>; username=\"ice-server\"",
        ]);
        assert_eq!(servers.len(), 1);
        assert_eq!(servers[0].url, "stuns:s.example");
        assert_eq!(servers[0].username.as_deref(), Some("u"));
        assert_eq!(servers[0].credential, None);
    }

    #[test]
    fn other_relations_and_schemes_are_left_out() {
        assert_eq!(
            read(&[
                "<https://example.net/events>; rel=\"urn:ietf:params:whip:ivs-stages:session-delete\"",
                "<https://example.net>; rel=\"ice-server\"",
                "stun:no.brackets; rel=ice-server",
            ]),
            []
        );
    }

    #[test]
    fn many_servers_are_a_handful() {
        let link = |n| format!("<stun:s.example:{n}>; rel=\"ice-server\"");
        let links = |port: fn(usize) -> usize| {
            let links: Vec<String> = (1..=500).map(|n| link(port(n))).collect();
            read(&[&links.join(", ")]).len()
        };
        assert_eq!(links(|_| 1), 1);
        assert_eq!(links(|n| n), 8);
    }

    #[test]
    fn escaped_question_mark_of_livekit() {
        let servers = read(&["<turn:t.example.net%3Ftransport=udp>; rel=\"ice-server\""]);
        assert_eq!(servers[0].url, "turn:t.example.net?transport=udp");
    }
}
