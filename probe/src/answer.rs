//! Describes an SDP answer without its addresses and secrets.

use std::collections::BTreeMap;

/// A line about the session level, and one about each media section.
pub(crate) fn describe(answer: &str) -> Vec<String> {
    let mut parts: Vec<Vec<&str>> = vec![Vec::new()];
    for line in answer.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            parts.push(Vec::new());
        }
        if let Some(part) = parts.last_mut() {
            part.push(line);
        }
    }
    let mut parts = parts.iter();
    let session = parts.next().map(|part| session(part));
    session
        .into_iter()
        .chain(parts.map(|part| section(part)))
        .collect()
}

/// Which sections were accepted, in one line.
pub(crate) fn summary(answer: &str) -> String {
    let sections = answer.lines().filter(|line| line.starts_with("m="));
    let sections: Vec<String> = sections
        .map(|line| {
            let mut words = line.split(' ');
            let kind = words.next().unwrap_or_default().trim_start_matches("m=");
            match words.next() {
                Some("0") => format!("{kind} rejected"),
                _ => format!("{kind} accepted"),
            }
        })
        .collect();
    sections.join(", ")
}

/// Attributes whose values are the same in all sessions of a service.
const SHOWN: [&str; 13] = [
    "group",
    "mid",
    "setup",
    "rtpmap",
    "fmtp",
    "rtcp-fb",
    "extmap",
    "ice-options",
    "rid",
    "simulcast",
    "max-message-size",
    "ptime",
    "maxptime",
];

/// The answer line by line. Values that could be a secret or an address are left
/// out.
pub(crate) fn outline(answer: &str) -> Vec<String> {
    let lines = answer.lines().map(str::trim_end);
    lines
        .filter(|line| !line.is_empty())
        .map(outline_line)
        .collect()
}

fn outline_line(line: &str) -> String {
    let Some(attribute) = line.strip_prefix("a=") else {
        return match line.split_once(['=', ' ']) {
            Some(("v" | "t", _)) => line.to_owned(),
            Some(("m", _)) => media_without_port(line),
            _ => format!("{}=…", line.split('=').next().unwrap_or_default()),
        };
    };
    match attribute.split_once(':') {
        Some((name, _)) if !SHOWN.contains(&name) => format!("a={name}:…"),
        _ => line.to_owned(),
    }
}

/// Keeps ports 9 and 0, which have a meaning of their own in WebRTC's SDP.
fn media_without_port(line: &str) -> String {
    let words = line
        .split(' ')
        .enumerate()
        .map(|(at, word)| match (at, word) {
            (1, "0" | "9") => word,
            (1, _) => "…",
            _ => word,
        });
    words.collect::<Vec<_>>().join(" ")
}

fn session(lines: &[&str]) -> String {
    let group = lines.iter().find_map(|line| line.strip_prefix("a=group:"));
    let group = match group {
        Some(group) if group.starts_with("BUNDLE") => {
            format!("bundle group of {}", group.split(' ').skip(1).count())
        }
        Some(_) => "a group other than a bundle".to_owned(),
        None => "no bundle group".to_owned(),
    };
    let lite = match has(lines, "ice-lite") {
        true => "ICE lite",
        false => "full ICE",
    };
    format!("session: {group}, {lite}{}", attributes(lines))
}

fn section(lines: &[&str]) -> String {
    let mut media = lines.first().copied().unwrap_or_default().split(' ');
    let kind = media.next().unwrap_or_default().trim_start_matches("m=");
    let port = match media.next() {
        Some("0") => "port 0 (rejected)",
        _ => "port not 0",
    };
    let directions = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let direction = directions.into_iter().find(|name| has(lines, name));
    let codecs: Vec<&str> = values(lines, "rtpmap")
        .filter_map(|value| value.split(' ').nth(1))
        .collect();
    format!(
        "{kind}: {port}, {}, codecs {}{}; {}",
        direction.unwrap_or("no direction written"),
        if codecs.is_empty() {
            "none".to_owned()
        } else {
            codecs.join(" ")
        },
        attributes(lines),
        candidates(lines),
    )
}

/// The important attributes that are present, of `setup` the value too.
fn attributes(lines: &[&str]) -> String {
    let names = [
        "mid",
        "msid",
        "ssrc",
        "ice-ufrag",
        "ice-pwd",
        "fingerprint",
        "rtcp-mux",
    ];
    let mut found: Vec<String> = names
        .into_iter()
        .filter(|name| has(lines, name))
        .map(str::to_owned)
        .collect();
    found.extend(values(lines, "setup").map(|role| format!("setup:{role}")));
    let extensions = values(lines, "extmap").count();
    if extensions > 0 {
        found.push(format!("extmap ({extensions})"));
    }
    match found.is_empty() {
        true => String::new(),
        false => format!(", with {}", found.join(", ")),
    }
}

/// The number of candidates of each kind, and their ports.
fn candidates(lines: &[&str]) -> String {
    let mut kinds: BTreeMap<String, (usize, Vec<&str>)> = BTreeMap::new();
    for candidate in values(lines, "candidate") {
        let words: Vec<&str> = candidate.split(' ').collect();
        let [_, _, protocol, _, address, port, ..] = words[..] else {
            continue;
        };
        let kind = words.iter().position(|word| *word == "typ");
        let kind = kind.and_then(|at| words.get(at + 1)).unwrap_or(&"untyped");
        let family = match address {
            _ if address.contains(':') => "IPv6",
            _ if address.ends_with(".local") => "mDNS",
            _ => "IPv4",
        };
        let key = format!("{} {family} {kind}", protocol.to_ascii_lowercase());
        let (count, ports) = kinds.entry(key).or_default();
        *count += 1;
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    let told: Vec<String> = kinds
        .iter()
        .map(|(kind, (count, ports))| format!("{count} {kind} (port {})", ports.join(", ")))
        .collect();
    let end = match has(lines, "end-of-candidates") {
        true => ", end-of-candidates",
        false => "",
    };
    match told.is_empty() {
        true => format!("no candidates{end}"),
        false => format!("candidates: {}{end}", told.join(", ")),
    }
}

fn has(lines: &[&str], name: &str) -> bool {
    let mut attributes = lines.iter().filter_map(|line| line.strip_prefix("a="));
    attributes.any(|attribute| attribute.split(':').next() == Some(name))
}

fn values<'a>(lines: &'a [&str], name: &'a str) -> impl Iterator<Item = &'a str> {
    lines.iter().filter_map(move |line| {
        let (found, value) = line.strip_prefix("a=")?.split_once(':')?;
        (found == name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\na=group:BUNDLE 0 1\r\n\
        a=ice-lite\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=recvonly\r\n\
        a=ice-ufrag:secret1\r\na=ice-pwd:secret2\r\na=setup:passive\r\n\
        a=rtpmap:111 opus/48000/2\r\n\
        a=candidate:1 1 UDP 7 192.0.2.1 443 typ host\r\n\
        a=candidate:2 1 udp 6 192.0.2.1 3478 typ host\r\n\
        a=candidate:3 1 udp 6 2001:db8::1 443 typ host\r\na=end-of-candidates\r\n\
        m=video 0 UDP/TLS/RTP/SAVPF 102\r\na=inactive\r\n";

    #[test]
    fn a_description_has_no_private_value() {
        let told = describe(ANSWER);
        assert_eq!(
            told,
            [
                "session: bundle group of 2, ICE lite",
                "audio: port not 0, recvonly, codecs opus/48000/2, with mid, ice-ufrag, ice-pwd, \
                 setup:passive; candidates: 2 udp IPv4 host (port 443, 3478), 1 udp IPv6 host \
                 (port 443), end-of-candidates",
                "video: port 0 (rejected), inactive, codecs none; no candidates",
            ]
        );
        assert_eq!(summary(ANSWER), "audio accepted, video rejected");
    }

    #[test]
    fn the_outline_has_no_private_value() {
        let lines = outline(ANSWER);
        for line in [
            "v=0",
            "o=…",
            "a=group:BUNDLE 0 1",
            "a=ice-lite",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111",
            "a=ice-pwd:…",
            "a=setup:passive",
            "a=candidate:…",
            "m=video 0 UDP/TLS/RTP/SAVPF 102",
        ] {
            assert!(lines.contains(&line.to_owned()), "{line}: {lines:?}");
        }
        let text = lines.join(" ");
        assert!(
            !text.contains("secret") && !text.contains("192.0.2"),
            "{text}"
        );
        assert_eq!(
            outline_line("m=audio 50123 RTP/AVP 0"),
            "m=audio … RTP/AVP 0"
        );
    }

    #[test]
    fn text_that_is_no_sdp_gives_no_section() {
        assert_eq!(describe("<html>"), ["session: no bundle group, full ICE"]);
        assert_eq!(summary(""), "");
    }
}
