//! The command line, and the tokens from the environment and from files.

use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use gstivs::ivs::{Claims, GLOBAL_ENDPOINT};
use gstivs::session::{TokenProblem, TokenSource};
use gstivs::whip::{Endpoint, EndpointError, Token, TokenError, is_loopback};

pub(crate) const USAGE: &str = "\
Asks a stage what its documentation leaves open, and prints a report in Markdown
that is safe to publish.

    stage_probe [--endpoint URL] [--token-file PATH]... [--seconds N]
                [--http-only] [--patient]

  --endpoint URL     the WHIP endpoint; default: Amazon IVS's global one
  --token-file PATH  a file that holds one participant token and nothing else;
                     may be given more than once
  --seconds N        how long each test stream is sent, 1 to 120; default: 12
  --http-only        skip the test streams
  --patient          add the slow checks: how long a session stays that no client
                     connects to (up to 11 minutes), and, with a token that
                     expires within 15 minutes, whether a stream outlives it
  --help             print this

The first token comes from the environment's IVS_STAGE_TOKEN, if it is set, the
others from the files. A second token is used for what could get a token into
trouble: two sessions at once, and sessions that no client connects to. An
expired token shows what the service replies to one.

Every session is deleted, also after Ctrl-C. Exit codes:
  0    the report answers at least one question
  1    no question was answered, or there is no report; stderr says why
  2    wrong arguments
  130  Ctrl-C; the report has what was found until then
";

const TOKEN_VARIABLE: &str = "IVS_STAGE_TOKEN";

/// Servers are known to drop a session without media after 5 or 10 seconds.
const STREAM_SECONDS: u64 = 12;
const MAX_STREAM_SECONDS: u64 = 120;

/// The longest time to wait for a token to expire.
const EXPIRING_WITHIN: Duration = Duration::from_secs(15 * 60);

/// The command line, validated.
pub(crate) struct Arguments {
    pub(crate) endpoint: Endpoint,
    pub(crate) tokens: Tokens,
    pub(crate) stream_time: Duration,
    pub(crate) test_streams: TestStreams,
    pub(crate) slow_checks: SlowChecks,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestStreams {
    Sent,
    Skipped,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum SlowChecks {
    Included,
    Skipped,
}

/// The tokens, by what they are used for.
pub(crate) struct Tokens {
    pub(crate) main: Token,
    /// Used for what could get the main token into trouble.
    pub(crate) spare: Option<Token>,
    /// A token that expires within `EXPIRING_WITHIN`, and when.
    pub(crate) expiring: Option<(Token, SystemTime)>,
    pub(crate) expired: Option<Token>,
    /// All tokens, for the redaction.
    pub(crate) all: Vec<Token>,
}

impl Arguments {
    /// Parses the arguments after the program's name. Returns `None` for `--help`.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = String>,
    ) -> Result<Option<Self>, UsageError> {
        let mut endpoint = GLOBAL_ENDPOINT.to_owned();
        let (mut files, mut seconds) = (Vec::new(), STREAM_SECONDS);
        let (mut test_streams, mut slow_checks) = (TestStreams::Sent, SlowChecks::Skipped);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let mut value = |name| arguments.next().ok_or(UsageError::NoValue(name));
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--endpoint" => endpoint = value("--endpoint")?,
                "--token-file" => files.push(PathBuf::from(value("--token-file")?)),
                "--seconds" => seconds = read_seconds(&value("--seconds")?)?,
                "--http-only" => test_streams = TestStreams::Skipped,
                "--patient" => slow_checks = SlowChecks::Included,
                // Not repeated, since it may be a token in the wrong place.
                _ => return Err(UsageError::Unknown),
            }
        }
        Ok(Some(Self {
            endpoint: Endpoint::parse(&endpoint).map_err(UsageError::Endpoint)?,
            tokens: sort_by_use(read_tokens(files)?, SystemTime::now())?,
            stream_time: Duration::from_secs(seconds),
            test_streams,
            slow_checks,
        }))
    }

    /// Whether the stage is on this machine, where shorter waits do.
    pub(crate) fn is_local(&self) -> bool {
        is_loopback(self.endpoint.url())
    }
}

fn read_seconds(text: &str) -> Result<u64, UsageError> {
    let number = text.parse().ok();
    number
        .filter(|seconds| (1..=MAX_STREAM_SECONDS).contains(seconds))
        .ok_or(UsageError::Seconds)
}

fn read_tokens(files: Vec<PathBuf>) -> Result<Vec<Token>, UsageError> {
    let mut tokens = Vec::new();
    let variable = std::env::var(TOKEN_VARIABLE).unwrap_or_default();
    if !variable.trim().is_empty() {
        tokens.push(Token::parse(variable.trim()).map_err(UsageError::Variable)?);
    }
    for (index, path) in files.into_iter().enumerate() {
        let source = TokenSource {
            file: Some(path),
            ..TokenSource::default()
        };
        tokens.extend(
            source
                .read()
                .map_err(|problem| UsageError::File(index + 1, problem))?,
        );
    }
    // A token given twice would be its own spare.
    let mut unique: Vec<Token> = Vec::new();
    for token in tokens {
        if !unique.contains(&token) {
            unique.push(token);
        }
    }
    Ok(unique)
}

/// Sorts tokens by their expiry. One without a readable expiry counts as valid.
fn sort_by_use(tokens: Vec<Token>, now: SystemTime) -> Result<Tokens, UsageError> {
    let end = |token: &Token| Claims::read(token).and_then(|claims| claims.expiry);
    let all = tokens.clone();
    let (expired, good): (Vec<_>, Vec<_>) = tokens
        .into_iter()
        .partition(|token| end(token).is_some_and(|end| end <= now));
    if good.is_empty() {
        return Err(match expired.is_empty() {
            true => UsageError::NoToken,
            false => UsageError::AllExpired,
        });
    }
    let soon = |token: &Token| {
        let end = end(token)?;
        (end <= now + EXPIRING_WITHIN).then(|| (token.clone(), end))
    };
    let expiring = good.iter().find_map(soon);
    // A token that expires soon is the main one only if there is no other.
    let mut lasting = good.iter().filter(|token| soon(token).is_none());
    let main = lasting.next().unwrap_or(&good[0]).clone();
    Ok(Tokens {
        spare: lasting.next().cloned(),
        main,
        expiring,
        expired: expired.into_iter().next(),
        all,
    })
}

/// What is wrong with the arguments. Its text never holds a token.
#[derive(Debug)]
pub(crate) enum UsageError {
    Unknown,
    NoValue(&'static str),
    Seconds,
    Endpoint(EndpointError),
    Variable(TokenError),
    /// The number of the `--token-file`, from 1. Its name is not shown, since it may
    /// be a token.
    File(usize, TokenProblem),
    NoToken,
    AllExpired,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str(
                "unknown argument (not shown, as it may be a token: tokens come from the \
                 environment or from files)",
            ),
            Self::NoValue(name) => write!(f, "{name} needs a value"),
            Self::Seconds => write!(
                f,
                "--seconds: expected a whole number from 1 to {MAX_STREAM_SECONDS}"
            ),
            Self::Endpoint(error) => write!(f, "--endpoint: {error}"),
            Self::Variable(error) => write!(f, "{TOKEN_VARIABLE}: {error}"),
            Self::File(number, TokenProblem::Unreadable { kind, .. }) => {
                let file = format!("the file of --token-file number {number}");
                match kind {
                    ErrorKind::NotFound => write!(f, "{file} can't be read: there is no such file"),
                    kind => write!(f, "{file} can't be read: {kind}"),
                }
            }
            Self::File(number, TokenProblem::NoToken { error, .. }) => {
                write!(
                    f,
                    "the file of --token-file number {number} holds no token: {error}"
                )
            }
            Self::File(number, TokenProblem::TooLong { .. }) => write!(
                f,
                "the file of --token-file number {number} is longer than any token"
            ),
            Self::File(number, TokenProblem::Utf16 { .. }) => write!(
                f,
                "the file of --token-file number {number} is UTF-16 text; write the token as UTF-8"
            ),
            Self::NoToken => write!(
                f,
                "there is no participant token: set {TOKEN_VARIABLE} in the environment, or name \
                 a file that holds one with --token-file"
            ),
            Self::AllExpired => f.write_str(
                "every participant token has expired by this computer's clock: create a new one",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::time::UNIX_EPOCH;

    use super::*;

    fn token(name: &str, expiry: u64) -> Token {
        let claims = format!(r#"{{"jti":"{name}","exp":{expiry}}}"#);
        Token::parse(&format!("e30.{}.x", URL_SAFE_NO_PAD.encode(claims))).unwrap()
    }

    #[test]
    fn tokens_are_sorted_by_expiry() {
        let now = UNIX_EPOCH + Duration::from_secs(10_000);
        let (old, expiring) = (token("a", 9_000), token("b", 10_300));
        let (main, spare) = (token("c", 20_000), token("d", 20_000));
        let all = vec![old.clone(), expiring.clone(), main.clone(), spare.clone()];
        let tokens = sort_by_use(all, now).unwrap();
        assert!(tokens.main == main && tokens.spare == Some(spare));
        assert!(tokens.expired == Some(old.clone()));
        assert!(tokens.expiring.unwrap().0 == expiring);
        assert_eq!(tokens.all.len(), 4);

        assert!(sort_by_use(vec![expiring.clone()], now).unwrap().main == expiring);
        assert!(matches!(
            sort_by_use(vec![old], now),
            Err(UsageError::AllExpired)
        ));
        assert!(matches!(sort_by_use(vec![], now), Err(UsageError::NoToken)));
    }

    #[test]
    fn an_argument_that_may_be_a_token_is_not_repeated() {
        let mistake = Arguments::read(["eyJhbGciOi".to_owned()]).err().unwrap();
        assert!(!mistake.to_string().contains("eyJ"));
    }
}
