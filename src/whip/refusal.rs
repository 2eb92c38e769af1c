//! A reply that says no, with what it says about why.

use std::fmt;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

use super::body::Body;

/// The longest excerpt of a server's words that a message repeats, in characters.
const EXCERPT: usize = 200;

/// A status of 4xx or 5xx, or one with no meaning to a POST.
///
/// RFC 9725 4.1 forbids reading one cause into one status, so this is what
/// the server said and no more; [`crate::ivs`] knows what IVS means by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// When the server wants to be asked again.
    pub retry_after: Option<RetryAfter>,
    /// The body's beginning, as sent.
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
            body: response.body().bytes().clone(),
        }
    }

    /// Blots out texts that the server may have repeated from the request: the
    /// token, or the path, which for other servers holds the stream key.
    pub fn hide(&mut self, secrets: &[&str]) {
        let mut text = String::from_utf8_lossy(&self.body).into_owned();
        for secret in secrets.iter().filter(|secret| secret.len() > 1) {
            text = text.replace(secret, "…");
        }
        self.body = Bytes::from(text);
    }

    /// The server's own words, from a JSON body's `message`, `error`, `detail`
    /// or `title` (the last two by RFC 9457), else the body itself. Cut short and
    /// freed of control characters, since the text ends on a terminal.
    pub fn message(&self) -> Option<String> {
        let text = match serde_json::from_slice::<serde_json::Value>(&self.body) {
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
    /// Not before this time has passed.
    Delay(Duration),
    /// Not before this moment.
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

    /// How long to wait from now on.
    pub fn wait(self, now: SystemTime) -> Duration {
        match self {
            Self::Delay(delay) => delay,
            Self::At(moment) => moment.duration_since(now).unwrap_or_default(),
        }
    }
}

fn excerpt(text: &str) -> Option<String> {
    let clean: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
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
    fn secrets_that_the_server_repeats_are_blotted_out() {
        let mut refusal = refusal("Cannot POST /app/key with eyJ0");
        refusal.hide(&["eyJ0", "/app/key", "", "/"]);
        assert_eq!(refusal.message().as_deref(), Some("Cannot POST … with …"));
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
        let long = Refusal {
            body: Bytes::from("ä".repeat(5000)),
            ..refusal("")
        };
        assert_eq!(long.message().unwrap().chars().count(), EXCERPT + 1);
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
