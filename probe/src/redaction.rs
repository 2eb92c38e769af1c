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
pub(crate) struct Mask {
    known: Vec<(String, &'static str)>,
}

impl Mask {
    /// Learns a token and all that its claims hold.
    pub(crate) fn learn_token(&mut self, token: &Token) {
        self.learn(token.reveal(), "[token]");
        let mut parts = token.reveal().split('.');
        for part in token.reveal().split('.').filter(|part| part.len() >= LONG) {
            self.learn(part, "[token]");
        }
        let claims = parts.nth(1).and_then(decode);
        if let Some(Value::Object(claims)) = claims {
            // Dates and versions are numbers like any others.
            for (name, claim) in claims.iter().filter(|(name, _)| *name != "version") {
                if name.ends_with("_url") {
                    self.learn_ids(claim.as_str().unwrap_or_default());
                } else if name == "attributes" || !claim.is_object() {
                    self.learn_claim(claim);
                }
            }
        }
    }

    fn learn_claim(&mut self, claim: &Value) {
        match claim {
            Value::String(text) => {
                self.learn(text, "[claim]");
                self.learn_ids(text);
            }
            Value::Number(number) => self.learn(&number.to_string(), "[claim]"),
            Value::Array(all) => all.iter().for_each(|claim| self.learn_claim(claim)),
            Value::Object(all) => {
                for (name, claim) in all {
                    self.learn(name, "[claim]");
                    self.learn_claim(claim);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    /// An ARN's account and stage id, and an endpoint's label, can stand alone.
    /// The rest of a URL is the service's name, which the report has to tell.
    fn learn_ids(&mut self, text: &str) {
        for part in text.split([':', '/', '.']).filter(|part| is_id(part)) {
            self.learn(part, "[claim]");
        }
    }

    /// Learns one private text.
    pub(crate) fn learn(&mut self, text: &str, place: &'static str) {
        let known = self.known.iter().any(|(known, _)| known == text);
        if text.len() > 1 && !known {
            self.known.push((text.to_owned(), place));
            // The longer ones first, which hold the shorter ones.
            self.known
                .sort_by_key(|(known, _)| std::cmp::Reverse(known.len()));
        }
    }

    /// The texts that can be blotted out of a body without harm to its form.
    pub(crate) fn long(&self) -> Vec<&str> {
        let long = self.known.iter().filter(|(known, _)| known.len() >= LONG);
        long.map(|(known, _)| known.as_str()).collect()
    }

    /// Masks what a server said, and leaves no tag to whoever renders the report.
    pub(crate) fn foreign(&self, text: &str) -> String {
        self.mask(text, 2).replace('<', "&lt;")
    }

    /// Masks a whole report, whose own words have to survive.
    pub(crate) fn report(&self, text: &str) -> String {
        self.mask(text, LONG)
    }

    fn mask(&self, text: &str, shortest: usize) -> String {
        let mut text = text.to_owned();
        for (known, place) in &self.known {
            if known.len() >= shortest {
                text = text.replace(known.as_str(), place);
            }
        }
        mask_forms(&text)
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
fn mask_forms(text: &str) -> String {
    let (mut masked, mut word) = (String::new(), String::new());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || "-._~:/?#[]@!$&+;=%".contains(character) {
            word.push(character);
        } else {
            // What was cut has lost the form to know it by.
            let is_cut = character == '…' && !word.ends_with(['/', ']', ':', '=']);
            if !is_cut {
                masked.push_str(&mask_word(&word));
            }
            masked.push(character);
            word.clear();
        }
    }
    masked + &mask_word(&word)
}

fn mask_word(word: &str) -> String {
    if word.contains("arn:") {
        return "[arn]".to_owned();
    }
    if let Some((scheme, rest)) = word.split_once("://") {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        // User name and password come before an at sign.
        let host = host.rsplit('@').next().unwrap_or(host);
        let path = if path.len() > 1 { "/…" } else { path };
        return format!("{scheme}://{}{path}", mask_host(host));
    }
    if word.starts_with('/') && word.len() > 1 {
        return "/…".to_owned();
    }
    mask_host(word)
}

/// Masks an address, with or without a port, and ids in anything else.
fn mask_host(host: &str) -> String {
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
    mask_ids(host)
}

fn is_address(text: &str) -> bool {
    let text = text.trim_start_matches('[').trim_end_matches(']');
    // "::" alone is punctuation more often than an address.
    text.len() > 2 && text.parse::<IpAddr>().is_ok()
}

/// Masks what is too long, or too hexadecimal, to be a word.
fn mask_ids(text: &str) -> String {
    let (mut masked, mut run) = (String::new(), String::new());
    for character in text.chars() {
        if character.is_ascii_alphanumeric() || matches!(character, '-' | '_') {
            run.push(character);
        } else {
            masked.push_str(mask_run(&run));
            masked.push(character);
            run.clear();
        }
    }
    masked + mask_run(&run)
}

fn mask_run(run: &str) -> &str {
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

    fn masked(text: &str) -> String {
        Mask::default().report(text)
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
            assert_eq!(masked(text), wanted);
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
            assert_eq!(masked(text), text);
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
        let mut mask = Mask::default();
        mask.learn_token(&Token::parse(&token).unwrap());

        let said = format!(
            "bob7 (al) of team, the blue ones, 1700000000, L0cAlSt4gE00, 123456789012, {token} 1.0"
        );
        let masked = mask.foreign(&said);
        assert_eq!(
            masked,
            "[claim] ([claim]) of [claim], [claim], [claim], [claim], [claim], [token] 1.0"
        );
        assert_eq!(
            mask.report(
                "https://global.whip.live-video.net → https://0a1b2c3d4e5f.whip.live-video.net"
            ),
            "https://global.whip.live-video.net → https://[claim].whip.live-video.net"
        );
        // In the report's own words a short claim is a syllable.
        assert_eq!(mask.report("also allow"), "also allow");
        assert_eq!(mask.foreign("<b>no"), "&lt;b>no");
        assert!(!mask.report(&said).contains("L0cAl"));
    }

    #[test]
    fn texts_learnt_on_the_way() {
        let mut mask = Mask::default();
        mask.learn("p4ssword", "[secret]");
        assert_eq!(mask.report("a=ice-pwd:p4ssword"), "a=ice-pwd:[secret]");
    }
}
