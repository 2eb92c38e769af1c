//! A reply that refuses the POST: its status, `Retry-After`, and the server's message.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::bearer_token::Token;
use super::body::Body;

/// The longest excerpt of a server's message that is shown, in characters.
const EXCERPT: usize = 200;

/// The longest body that is kept, in bytes. It is searched for secrets, and IVS's errors
/// have less than 1 KB.
const MAX_BODY: usize = 64 * 1024;

/// A reply with a 4xx or 5xx status, or with one that has no meaning for a POST.
///
/// It holds only what the server sent, because RFC 9725 4.1 forbids clients to infer
/// one cause from one status. [`crate::ivs`] knows what IVS means by a refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// When the server accepts another request.
    pub retry_after: Option<RetryAfter>,
    /// The beginning of the body, as sent.
    pub body: Bytes,
}

impl Refusal {
    pub(super) fn read(response: &Response<Body>) -> Self {
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok());
        Self {
            status: response.status(),
            retry_after: retry_after.and_then(RetryAfter::read),
            body: beginning(response.body().bytes()),
        }
    }

    /// Replaces with `…` what the server may have repeated from the request: the token
    /// and long pieces of it, and the URL's path and query, which hold the stream key on
    /// other servers.
    pub fn redact_request(&mut self, token: Option<&Token>, asked: &Url) {
        let parts = secret_parts(asked);
        let whole = token.map(Token::reveal).into_iter();
        let secrets: Vec<&str> = parts.iter().map(String::as_str).chain(whole).collect();
        self.hide(&secrets);
        if let Some(token) = token {
            self.rewrite(&|text| token.hidden_in(text));
        }
    }

    /// Replaces these texts with `…`.
    pub fn hide(&mut self, secrets: &[&str]) {
        let mut secrets: Vec<&str> = secrets.to_vec();
        secrets.retain(|secret| !secret.is_empty());
        // A short secret may be part of a longer one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        self.rewrite(&|text| redact_text(text, &secrets));
    }

    fn rewrite(&mut self, redact: &dyn Fn(&str) -> String) {
        // JSON can escape a character in several ways, so its strings are decoded
        // first.
        self.body = match serde_json::from_slice::<Value>(&self.body) {
            Ok(mut json) => {
                redact_json(&mut json, redact);
                json.to_string().into()
            }
            Err(_) => redact(&String::from_utf8_lossy(&self.body)).into(),
        };
    }

    /// The server's message: `message`, `detail`, `error` or `title` of a JSON body
    /// (`detail` and `title` by RFC 9457), else the body itself. Cut to 200 characters
    /// and without control characters, since it may be shown on a terminal.
    pub fn message(&self) -> Option<String> {
        let text = match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => ["message", "detail", "error", "title"]
                .iter()
                .find_map(|name| json.get(name)?.as_str().map(str::to_owned))?,
            Err(_) => String::from_utf8_lossy(&self.body).into_owned(),
        };
        excerpt(&text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTP {}", self.status.as_u16())?;
        match self.message() {
            Some(message) => write!(f, ": {message}"),
            None => self
                .status
                .canonical_reason()
                .map_or(Ok(()), |reason| write!(f, " {reason}")),
        }
    }
}

impl std::error::Error for Refusal {}

/// A `Retry-After` value (RFC 9110 10.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Wait for this long.
    Delay(Duration),
    /// Wait until this time.
    At(SystemTime),
}

impl RetryAfter {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.parse() {
            Ok(seconds) => Some(Self::Delay(Duration::from_secs(seconds))),
            Err(_) => httpdate::parse_http_date(text).ok().map(Self::At),
        }
    }

    /// How long to wait from `now` on; zero if the time has passed.
    pub fn wait(self, now: SystemTime) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(moment) => moment.duration_since(now).unwrap_or_default(),
        }
    }
}

fn beginning(body: &Bytes) -> Bytes {
    body.slice(..body.len().min(MAX_BODY))
}

/// Shorter parts of a path or query are words like `whip`, not secrets.
const MIN_SECRET_LENGTH: usize = 8;

/// The parts of a URL that may be secret, as written and decoded.
fn secret_parts(url: &Url) -> Vec<String> {
    let whole = [url.path(), url.query().unwrap_or_default()];
    let whole = whole.into_iter().filter(|text| text.len() > 1);
    let keys = [
        url.path().split('/'),
        url.query().unwrap_or_default().split('&'),
    ]
    .into_iter()
    .flatten()
    .filter(|text| text.len() >= MIN_SECRET_LENGTH);
    whole
        .chain(keys)
        .flat_map(|text| {
            let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
            [text.to_owned(), decoded.into_owned()]
        })
        .collect()
}

fn redact_text(text: &str, secrets: &[&str]) -> String {
    secrets
        .iter()
        .fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}

fn redact_json(json: &mut Value, redact: &dyn Fn(&str) -> String) {
    match json {
        Value::String(text) => *text = redact(text),
        Value::Array(items) => items.iter_mut().for_each(|item| redact_json(item, redact)),
        Value::Object(fields) => {
            let all = std::mem::take(fields).into_iter();
            fields.extend(all.map(|(name, mut value)| {
                redact_json(&mut value, redact);
                (redact(&name), value)
            }));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Invisible characters that can change how others are shown: control characters, and
/// those that change the direction of text or have no width.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn excerpt(text: &str) -> Option<String> {
    let clean: String = text
        .chars()
        .map(|c| if is_invisible(c) { ' ' } else { c })
        .collect();
    let words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        return None;
    }
    let mut cut: String = words.chars().take(EXCERPT).collect();
    if cut.len() < words.len() {
        cut.push('…');
    }
    Some(cut)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(body: &'static str) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            retry_after: None,
            body: Bytes::from_static(body.as_bytes()),
        }
    }

    #[test]
    fn words_of_json_of_problem_documents_and_of_plain_text() {
        for (body, words) in [
            (
                r#"{"code":2001,"message":"failed to create publisher session"}"#,
                "failed to create publisher session",
            ),
            (r#"{"title":"Bad","detail":"no audio"}"#, "no audio"),
            (r#"{"error":"stream in use"}"#, "stream in use"),
            ("invalid  token\r\n", "invalid token"),
        ] {
            assert_eq!(refusal(body).message().as_deref(), Some(words));
        }
    }

    #[test]
    fn secrets_that_the_server_repeats_are_redacted() {
        let token = Token::parse("eyJ0").unwrap();
        let asked = Url::parse("https://h.example/app/s3cret%20Key?k=anotherKey").unwrap();
        for (body, shown) in [
            ("POST /app/s3cret%20Key with eyJ0", "POST … with …"),
            ("no key s3cret Key", "no key …"),
            ("no s3cret%20Key, k=anotherKey", "no …, …"),
            (r#"{"message":"no \/app\/s3cret%20Key"}"#, "no …"),
            (r#"{"message":"no \u0065yJ0"}"#, "no …"),
            (r#"{"code":2003,"message":"an app"}"#, "an app"),
        ] {
            let mut refusal = refusal(body);
            refusal.redact_request(Some(&token), &asked);
            assert_eq!(refusal.message().as_deref(), Some(shown), "{body}");
        }
        let mut root = refusal("a/b");
        root.redact_request(None, &Url::parse("https://h.example/").unwrap());
        assert_eq!(root.message().as_deref(), Some("a/b"));
    }

    #[test]
    fn pieces_of_the_token_are_redacted() {
        const JWT: &str = "eyJhbGciOiJFUzM4NCJ9.eyJyb29tIjoiNDIiLCJleHAiOjF9.MEUCIQDx-y_z01";
        let token = Token::parse(JWT).unwrap();
        let asked = Url::parse("https://h.example/").unwrap();
        for (body, shown) in [
            (
                format!("bad token {}", &JWT[..40]),
                "bad token …".to_owned(),
            ),
            (format!("bad {}", JWT.to_lowercase()), "bad …".to_owned()),
            (
                format!(r#"{{"message":"sig {}","code":1}}"#, &JWT[45..]),
                "sig …".to_owned(),
            ),
        ] {
            let mut refusal = Refusal {
                body: body.clone().into(),
                ..refusal("")
            };
            refusal.redact_request(Some(&token), &asked);
            assert_eq!(refusal.message(), Some(shown), "{body}");
        }
        let mut keys = Refusal {
            body: format!(r#"{{"a":[{{"{JWT}":1}}]}}"#).into(),
            ..refusal("")
        };
        keys.redact_request(Some(&token), &asked);
        assert_eq!(keys.body, r#"{"a":[{"…":1}]}"#);
    }

    #[test]
    fn only_the_beginning_of_a_long_body_is_kept() {
        let response = Response::builder().status(400);
        let body = Body::Whole("x".repeat(MAX_BODY + 1).into());
        let refusal = Refusal::read(&response.body(body).unwrap());
        assert_eq!(refusal.body.len(), MAX_BODY);
    }

    #[test]
    fn no_words() {
        for body in ["", "  \n", "{}", "[1]", "17"] {
            assert_eq!(refusal(body).message(), None, "{body:?}");
        }
        assert_eq!(refusal("").to_string(), "HTTP 400 Bad Request");
    }

    #[test]
    fn control_characters_and_length_are_cut() {
        assert_eq!(
            refusal("a\u{1b}[31mb").message().as_deref(),
            Some("a [31mb")
        );
        assert_eq!(
            refusal("a\u{202e}b\u{200b}c").message().as_deref(),
            Some("a b c")
        );
        let long = Refusal {
            body: Bytes::from("ä".repeat(5000)),
            ..refusal("")
        };
        assert_eq!(long.message().unwrap().chars().count(), EXCERPT + 1);
    }

    #[test]
    fn parts_of_the_url_are_secret_from_eight_characters_on() {
        let asked = Url::parse("https://h.example/7letter/8letters?k=abcd&k=abcdef").unwrap();
        for (body, shown) in [
            ("7letter", "7letter"),
            ("8letters", "…"),
            ("k=abcd", "k=abcd"),
            ("k=abcdef", "…"),
        ] {
            let mut refusal = refusal(body);
            refusal.redact_request(None, &asked);
            assert_eq!(refusal.message().as_deref(), Some(shown), "{body}");
        }
    }

    #[test]
    fn what_is_hidden_may_hold_another_and_may_be_empty() {
        let mut refusal = refusal("key key-of-mine");
        refusal.hide(&["key", "", "key-of-mine"]);
        assert_eq!(refusal.message().as_deref(), Some("… …"));
    }

    #[test]
    fn an_excerpt_of_just_the_limit_is_whole() {
        for (length, shown) in [(EXCERPT, EXCERPT), (EXCERPT + 1, EXCERPT + 1)] {
            let message = Refusal {
                body: Bytes::from("x".repeat(length)),
                ..refusal("")
            }
            .message();
            assert_eq!(message.unwrap().chars().count(), shown);
        }
        let long = Refusal {
            body: Bytes::from("x".repeat(EXCERPT + 1)),
            ..refusal("")
        };
        assert!(long.message().unwrap().ends_with('…'));
    }

    #[test]
    fn retry_after_in_seconds_and_as_a_date() {
        assert_eq!(
            RetryAfter::read(" 7 "),
            Some(RetryAfter::Delay(Duration::from_secs(7)))
        );
        let date = RetryAfter::read("Thu, 01 Jan 1970 00:01:00 GMT").unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date.wait(at(20)), Duration::from_secs(40));
        assert_eq!(date.wait(at(90)), Duration::ZERO);
        assert_eq!(RetryAfter::read("soon"), None);
    }
}
