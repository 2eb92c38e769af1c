//! Takes private data out of a text before it is published.
//!
//! It does so twice: by value, for what is known to be private, such as tokens
//! and their claims; and by pattern, for what only the service knows, such as
//! addresses and ids.

use std::net::IpAddr;

use gstivs::whip::Token;
use serde_json::Value;
use url::Url;

/// Shorter secrets are replaced in the server's texts only: in the report's own
/// text they could be part of a word.
const LONG: usize = 8;

/// A word of this length that has a digit is an id.
const ID: usize = 20;

/// A word of this many hexadecimal digits is an id. AWS account numbers have 12.
const HEX: usize = 12;

/// Secrets, and what replaces each.
#[derive(Default)]
pub(crate) struct Redactor {
    secrets: Vec<(String, &'static str)>,
}

impl Redactor {
    /// Adds a token and the values of its claims.
    pub(crate) fn add_token(&mut self, token: &Token) {
        self.add(token.reveal(), "[token]");
        let mut parts = token.reveal().split('.');
        for part in token.reveal().split('.').filter(|part| part.len() >= LONG) {
            self.add(part, "[token]");
        }
        let claims = parts.nth(1).and_then(decode);
        if let Some(Value::Object(claims)) = claims {
            // A version such as "1.0" is no secret, and occurs elsewhere.
            for (name, claim) in claims.iter().filter(|(name, _)| *name != "version") {
                if name.ends_with("_url") {
                    self.add_ids(claim.as_str().unwrap_or_default());
                } else if name == "attributes" || !claim.is_object() {
                    self.add_claim(claim);
                }
            }
        }
    }

    fn add_claim(&mut self, claim: &Value) {
        match claim {
            Value::String(text) => {
                self.add(text, "[claim]");
                self.add_ids(text);
            }
            Value::Number(number) => self.add(&number.to_string(), "[claim]"),
            Value::Array(all) => all.iter().for_each(|claim| self.add_claim(claim)),
            Value::Object(all) => {
                for (name, claim) in all {
                    self.add(name, "[claim]");
                    self.add_claim(claim);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// Adds the ids in an ARN or a host name, since a server may give them alone.
    /// The rest of a host name stays: the report needs the service's name.
    fn add_ids(&mut self, text: &str) {
        for part in text.split([':', '/', '.']).filter(|part| is_id(part)) {
            self.add(part, "[claim]");
        }
    }

    /// Adds a URL's path and query. The path can be a stream key, or a session's.
    pub(crate) fn add_url(&mut self, url: &Url) {
        self.add(url.path(), "/…");
        self.add(url.query().unwrap_or_default(), "[query]");
    }

    /// Adds the ICE credentials of an offer, an answer or a fragment.
    pub(crate) fn add_ice_credentials(&mut self, sdp: &str) {
        for line in sdp.lines() {
            let names = ["a=ice-ufrag:", "a=ice-pwd:"];
            for value in names.iter().filter_map(|name| line.strip_prefix(name)) {
                self.add(value.trim(), "[secret]");
            }
        }
    }

    /// Adds one secret.
    pub(crate) fn add(&mut self, text: &str, replacement: &'static str) {
        let is_known = self.secrets.iter().any(|(secret, _)| secret == text);
        if text.len() > 1 && !is_known {
            self.secrets.push((text.to_owned(), replacement));
            // Longest first, since a long secret can contain a shorter one.
            self.secrets
                .sort_by_key(|(secret, _)| std::cmp::Reverse(secret.len()));
        }
    }

    /// The secrets that can be cut out of JSON without breaking its syntax.
    pub(crate) fn long_secrets(&self) -> Vec<&str> {
        let secrets = self.secrets.iter().map(|(secret, _)| secret.as_str());
        secrets.filter(|secret| secret.len() >= LONG).collect()
    }

    /// Redacts a server's text, and escapes HTML tags, since it goes into Markdown.
    pub(crate) fn redact_server_text(&self, text: &str) -> String {
        self.redact(text, 2).replace('<', "&lt;")
    }

    /// Redacts a whole report, and leaves its own words alone.
    pub(crate) fn redact_report(&self, text: &str) -> String {
        self.redact(text, LONG)
    }

    fn redact(&self, text: &str, shortest: usize) -> String {
        let mut text = text.to_owned();
        for (secret, replacement) in &self.secrets {
            if secret.len() >= shortest {
                text = text.replace(secret.as_str(), replacement);
            }
        }
        redact_patterns(&text)
    }
}

fn decode(part: &str) -> Option<Value> {
    use base64::Engine as _;
    let part = part.trim_end_matches('=');
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part);
    serde_json::from_slice(&bytes.ok()?).ok()
}

fn is_id(part: &str) -> bool {
    part.len() >= LONG && part.bytes().any(|byte| byte.is_ascii_digit())
}

/// Redacts word by word, where a word has the characters of a URL.
fn redact_patterns(text: &str) -> String {
    let (mut redacted, mut word) = (String::new(), String::new());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || "-._~:/?#[]@!$&+;=%".contains(character) {
            word.push(character);
        } else {
            // An excerpt ends in the middle of this word: it may be a secret's first
            // part, which no pattern would match.
            let is_cut = character == '…' && !word.ends_with(['/', ']', ':', '=']);
            if !is_cut {
                redacted.push_str(&redact_word(&word));
            }
            redacted.push(character);
            word.clear();
        }
    }
    redacted + &redact_word(&word)
}

fn redact_word(word: &str) -> String {
    if word.contains("arn:") {
        return "[arn]".to_owned();
    }
    if let Some((scheme, rest)) = word.split_once("://") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        // Drops a user name and password.
        let host = host.rsplit('@').next().unwrap_or(host);
        let path = if path.len() > 1 { "/…" } else { path };
        return format!("{scheme}://{}{path}", redact_host(host));
    }
    if word.starts_with('/') && word.len() > 1 {
        return "/…".to_owned();
    }
    redact_host(word)
}

/// Redacts an address, with or without a port, or the ids in other words.
fn redact_host(host: &str) -> String {
    let trimmed = host.trim_end_matches(['.', ';', '?', '!', ':']);
    let end = &host[trimmed.len()..];
    let (address, port) = match trimmed.rsplit_once(':') {
        Some((address, port)) if port.parse::<u16>().is_ok() && !is_address(trimmed) => {
            (address, &trimmed[address.len()..])
        }
        _ => (trimmed, ""),
    };
    if is_address(address) {
        return format!("[address]{port}{end}");
    }
    redact_ids(host)
}

fn is_address(text: &str) -> bool {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    // "::" alone is more likely punctuation.
    text.len() > 2 && text.parse::<IpAddr>().is_ok()
}

/// Redacts the parts of a word that are ids.
fn redact_ids(text: &str) -> String {
    let (mut redacted, mut run) = (String::new(), String::new());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') {
            run.push(character);
        } else {
            redacted.push_str(redact_run(&run));
            redacted.push(character);
            run.clear();
        }
    }
    redacted + redact_run(&run)
}

fn redact_run(run: &str) -> &str {
    let digits = run.bytes().any(|byte| byte.is_ascii_digit());
    let jwt = run.starts_with("eyJ");
    let hex = |part: &str| part.len() >= HEX && part.bytes().all(|b| b.is_ascii_hexdigit());
    if jwt || (digits && run.len() >= ID) || run.split(['-', '_']).any(hex) {
        "[id]"
    } else {
        run
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn redacted(text: &str) -> String {
        Redactor::default().redact_report(text)
    }

    #[test]
    fn private_data_is_found_by_pattern() {
        for (text, wanted) in [
            ("at 192.0.2.7:443.", "at [address]:443."),
            (
                "from [2001:db8::1]:443, fe80::1",
                "from [address]:443, [address]",
            ),
            ("https://192.0.2.7:8443/x", "https://[address]:8443/…"),
            ("(127.0.0.1)", "([address])"),
            (
                "POST https://a.live-video.net/publish/x?y=1 failed",
                "POST https://a.live-video.net/… failed",
            ),
            ("https://u:p@example.net/", "https://example.net/"),
            ("no route for /session/7", "no route for /…"),
            ("id 8f14e45f-ceea-467f-a1d2-91c3a7b2c3d4", "id [id]"),
            (
                "0123456789ab.global-bm.whip.live-video.net",
                "[id].global-bm.whip.live-video.net",
            ),
            ("in arn:aws:ivs:eu-west-1:1:stage/a", "in [arn]"),
            ("no such session 8f14e45…", "no such session …"),
            ("see https://example.net/…", "see https://example.net/…"),
            ("account 123456789012;", "account [id];"),
            (
                "bad token eyJhbGciOiJFUzM4NCJ9.eyJqdGki.c2ln",
                "bad token [id].[id].c2ln",
            ),
            ("W/\"Q2hhcmFjdGVyc0FuZDEy\"", "W/\"[id]\""),
        ] {
            assert_eq!(redacted(text), wanted);
        }
    }

    #[test]
    fn the_reports_own_words_stay() {
        for text in [
            "| `sendonly`, with ssrc and msid | accepted | 0.123 s |",
            "https://global.whip.live-video.net answered 307 after 0.2 s",
            "https://global.whip.live-video.net/",
            "urn:ietf:params:whip:ivs-stages:session-delete, ice-server",
            "a=ice-pwd:…, o=…, a=fmtp:102 profile-level-id=42e01f;packetization-mode=1",
            "application/trickle-ice-sdpfrag; audio/opus at 12:34:56 GMT",
            "candidates: 2 udp host (443, 3478), GStreamer 1.22.0, stage_probe 0.1.0",
            "failed to create publisher session (HTTP 400, IVS code 2001)",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn a_tokens_claims_are_redacted() {
        let claims = r#"{"jti":"bob7","exp":1700000000,"user_id":"al","version":"1.0",
            "whip_url":"https://0a1b2c3d4e5f.whip.live-video.net",
            "resource":"arn:aws:ivs:us-west-2:123456789012:stage/L0cAlSt4gE00",
            "topic":"L0cAlSt4gE00","capabilities":{"allow_publish":true},
            "attributes":{"team":"the blue ones"}}"#;
        let token = format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims));
        let mut redactor = Redactor::default();
        redactor.add_token(&Token::parse(&token).unwrap());

        let said = format!(
            "bob7 (al) of team, the blue ones, 1700000000, L0cAlSt4gE00, 123456789012, {token} 1.0"
        );
        let redacted = redactor.redact_server_text(&said);
        assert_eq!(
            redacted,
            "[claim] ([claim]) of [claim], [claim], [claim], [claim], [claim], [token] 1.0"
        );
        assert_eq!(
            redactor.redact_report(
                "https://global.whip.live-video.net → https://0a1b2c3d4e5f.whip.live-video.net"
            ),
            "https://global.whip.live-video.net → https://[claim].whip.live-video.net"
        );
        // "al" is a claim too, but in the report's own words part of others.
        assert_eq!(redactor.redact_report("also allow"), "also allow");
        assert_eq!(redactor.redact_server_text("<b>no"), "&lt;b>no");
        assert!(!redactor.redact_report(&said).contains("L0cAl"));
    }

    #[test]
    fn added_secrets_are_redacted() {
        let mut redactor = Redactor::default();
        redactor.add("p4ssword", "[secret]");
        assert_eq!(
            redactor.redact_report("a=ice-pwd:p4ssword"),
            "a=ice-pwd:[secret]"
        );
    }
}
