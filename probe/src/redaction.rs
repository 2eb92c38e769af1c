//! What is taken out of a text before it may be published.
//!
//! Two nets, one behind the other: texts that are known to be private, such as
//! the tokens and what is in them, and forms that private texts have, for those
//! that only the service knows.

use std::net::IpAddr;

use gstivs::whip::Token;
use serde_json::Value;

/// A shorter text is part of ordinary words. It is still hidden in what a
/// server says, where words don't matter.
const LONG: usize = 8;

/// An unbroken text of this length with a digit in it is no word.
const ID: usize = 20;

/// As many hexadecimal digits are an id. An AWS account number has 12 too.
const HEX: usize = 12;

/// Private texts, and what stands in their place.
#[derive(Default)]
pub(crate) struct Redactor {
    secrets: Vec<(String, &'static str)>,
}

impl Redactor {
    /// Learns a token and all that its claims hold.
    pub(crate) fn add_token(&mut self, token: &Token) {
        self.add(token.reveal(), "[token]");
        let mut parts = token.reveal().split('.');
        for part in token.reveal().split('.').filter(|part| part.len() >= LONG) {
            self.add(part, "[token]");
        }
        let claims = parts.nth(1).and_then(decode);
        if let Some(Value::Object(claims)) = claims {
            // Dates and versions are numbers like any others.
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

    /// An ARN's account and stage id, and an endpoint's label, can stand alone.
    /// The rest of a URL is the service's name, which the report has to tell.
    fn add_ids(&mut self, text: &str) {
        for part in text.split([':', '/', '.']).filter(|part| is_id(part)) {
            self.add(part, "[claim]");
        }
    }

    /// Learns one private text.
    pub(crate) fn add(&mut self, text: &str, place: &'static str) {
        let is_known = self.secrets.iter().any(|(known, _)| known == text);
        if text.len() > 1 && !is_known {
            self.secrets.push((text.to_owned(), place));
            // The longer ones first, which hold the shorter ones.
            self.secrets
                .sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        }
    }

    /// The texts that can be blotted out of a body without harm to its form.
    pub(crate) fn long_secrets(&self) -> Vec<&str> {
        let long = self.secrets.iter().filter(|(known, _)| known.len() >= LONG);
        long.map(|(known, _)| known.as_str()).collect()
    }

    /// Masks what a server said, and leaves no tag to whoever renders the report.
    pub(crate) fn redact_server_text(&self, text: &str) -> String {
        self.redact(text, 2).replace('<', "&lt;")
    }

    /// Masks a whole report, whose own words have to survive.
    pub(crate) fn redact_report(&self, text: &str) -> String {
        self.redact(text, LONG)
    }

    fn redact(&self, text: &str, shortest: usize) -> String {
        let mut text = text.to_owned();
        for (known, place) in &self.secrets {
            if known.len() >= shortest {
                text = text.replace(known.as_str(), place);
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

/// Masks word by word, where a word is what could be a URL.
fn redact_patterns(text: &str) -> String {
    let (mut redacted, mut word) = (String::new(), String::new());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || "-._~:/?#[]@!$&+;=%".contains(character) {
            word.push(character);
        } else {
            // What was cut has lost the form to know it by.
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
        // User name and password come before an at sign.
        let host = host.rsplit('@').next().unwrap_or(host);
        let path = if path.len() > 1 { "/…" } else { path };
        return format!("{scheme}://{}{path}", redact_host(host));
    }
    if word.starts_with('/') && word.len() > 1 {
        return "/…".to_owned();
    }
    redact_host(word)
}

/// Masks an address, with or without a port, and ids in anything else.
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
    // "::" alone is punctuation more often than an address.
    text.len() > 2 && text.parse::<IpAddr>().is_ok()
}

/// Masks what is too long, or too hexadecimal, to be a word.
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
    fn forms_of_private_texts() {
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
    fn words_of_the_report_survive() {
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
    fn what_a_token_holds_is_hidden() {
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
        // In the report's own words a short claim is a syllable.
        assert_eq!(redactor.redact_report("also allow"), "also allow");
        assert_eq!(redactor.redact_server_text("<b>no"), "&lt;b>no");
        assert!(!redactor.redact_report(&said).contains("L0cAl"));
    }

    #[test]
    fn texts_learnt_on_the_way() {
        let mut redactor = Redactor::default();
        redactor.add("p4ssword", "[secret]");
        assert_eq!(
            redactor.redact_report("a=ice-pwd:p4ssword"),
            "a=ice-pwd:[secret]"
        );
    }
}
