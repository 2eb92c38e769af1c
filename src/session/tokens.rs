//! The tokens of a publisher, shared by all its requests.
//!
//! In: a token from the application, a file or the environment. Out: the newest
//! token for a POST, and the token of a session for its PATCH and DELETE.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use crate::whip::{Token, TokenError};

/// In bytes, far above any token: IVS's hold 1 KB of attributes at most
/// (documented).
const MAX_FILE: u64 = 64 * 1024;

/// Limit for reading the file, which can be a pipe or on a lost network mount.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

/// The sources of a token, in the order in which they are tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSource {
    /// A token that the application gave.
    pub given: Option<Token>,
    /// A file that contains only the token.
    pub file: Option<PathBuf>,
    /// A token from the environment.
    pub environment: Option<Token>,
}

impl TokenSource {
    /// Whether no source is set.
    pub fn is_empty(&self) -> bool {
        self.given.is_none() && self.file.is_none() && self.environment.is_none()
    }

    /// The current token; `None` if no source is set. It may read a file, so do
    /// not call it on a thread that must not block.
    ///
    /// # Errors
    /// [`TokenProblem`] if the file gives no token.
    pub fn read(&self) -> Result<Option<Token>, TokenProblem> {
        if let Some(token) = &self.given {
            return Ok(Some(token.clone()));
        }
        match &self.file {
            Some(path) => read_file(path).map(Some),
            None => Ok(self.environment.clone()),
        }
    }
}

/// A publisher's tokens. Clones share one value, so a new token of the
/// application applies to every request from the next one on.
#[derive(Clone, Debug)]
pub struct Tokens(Arc<Mutex<TokenSource>>);

impl Tokens {
    /// Takes tokens from these sources.
    pub fn new(source: TokenSource) -> Self {
        Self(Arc::new(Mutex::new(source)))
    }

    /// Replaces the token that the application gave. With `None` the other
    /// sources apply.
    pub fn give(&self, token: Option<Token>) {
        self.lock().given = token;
    }

    /// Whether no source is set.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// The current token; `None` if no source is set. Reads the file on the
    /// runtime's pool of blocking threads.
    ///
    /// # Errors
    /// [`TokenProblem`] if the file gives no token, or not within 2 s.
    pub(super) async fn newest(&self) -> Result<Option<Token>, TokenProblem> {
        let source = self.lock().clone();
        if source.given.is_some() {
            return source.read();
        }
        let Some(path) = source.file.clone() else {
            return source.read();
        };
        let read = tokio::task::spawn_blocking(move || source.read());
        let unreadable = |kind| TokenProblem::Unreadable { path, kind };
        match timeout(FILE_TIMEOUT, read).await {
            Ok(Ok(read)) => read,
            // The task is only cancelled when the runtime shuts down.
            Ok(Err(_)) => Err(unreadable(io::ErrorKind::Interrupted)),
            Err(_) => Err(unreadable(io::ErrorKind::TimedOut)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, TokenSource> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The token that a session was made with, for the requests to its resource.
#[derive(Clone, Debug)]
pub(super) struct SessionToken {
    tokens: Tokens,
    /// `None` if the resource's host may not receive it.
    used: Option<Token>,
}

impl SessionToken {
    pub(super) fn new(tokens: &Tokens, used: Option<Token>) -> Self {
        Self {
            tokens: tokens.clone(),
            used,
        }
    }

    /// The token that the session was made with.
    pub(super) fn used(&self) -> Option<&Token> {
        self.used.as_ref()
    }

    /// The publisher's newest token, or the session's own if there is no newer
    /// one: a deleted token file must not prevent the DELETE. `None` if the
    /// host may not receive a token.
    pub(super) async fn newest(&self) -> Option<Token> {
        let used = self.used.clone()?;
        let newest = self.tokens.newest().await.ok().flatten();
        Some(newest.unwrap_or(used))
    }
}

fn read_file(path: &PathBuf) -> Result<Token, TokenProblem> {
    let unreadable = |error: io::Error| TokenProblem::Unreadable {
        path: path.clone(),
        kind: error.kind(),
    };
    let mut text = String::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    // Editors and `aws … --output text` end the file with a line break.
    Token::parse(text.trim()).map_err(|error| TokenProblem::NoToken {
        path: path.clone(),
        error,
    })
}

/// Why the configured token source gives no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenProblem {
    /// The file can't be read.
    Unreadable {
        /// Path of the file.
        path: PathBuf,
        /// The kind of I/O error.
        kind: io::ErrorKind,
    },
    /// The file does not contain a token.
    NoToken {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with its text.
        error: TokenError,
    },
}

impl fmt::Display for TokenProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { path, kind } => {
                write!(f, "auth-token-file {} can't be read: ", path.display())?;
                match kind {
                    io::ErrorKind::NotFound => f.write_str("there is no such file"),
                    kind => write!(f, "{kind}"),
                }
            }
            Self::NoToken { path, error } => {
                write!(
                    f,
                    "auth-token-file {} holds no token: {error}",
                    path.display()
                )
            }
        }
    }
}

impl std::error::Error for TokenProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &[u8]) -> PathBuf {
        let path = std::env::temp_dir().join(format!("ivs-token-{}-{name}", std::process::id()));
        std::fs::write(&path, text).unwrap();
        path
    }

    fn token(text: &str) -> Option<Token> {
        Some(Token::parse(text).unwrap())
    }

    #[test]
    fn given_before_file_before_environment() {
        let path = file("order", b"from-file\n");
        let mut source = TokenSource {
            given: token("given"),
            file: Some(path.clone()),
            environment: token("environment"),
        };
        assert_eq!(source.read(), Ok(token("given")));
        source.given = None;
        assert_eq!(source.read(), Ok(token("from-file")));
        source.file = None;
        assert_eq!(source.read(), Ok(token("environment")));
        source.environment = None;
        assert_eq!(source.read(), Ok(None));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn file_is_read_anew() {
        let path = file("anew", b"one");
        let source = TokenSource {
            file: Some(path.clone()),
            ..TokenSource::default()
        };
        assert_eq!(source.read(), Ok(token("one")));
        std::fs::write(&path, "two").unwrap();
        assert_eq!(source.read(), Ok(token("two")));
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn unreadable() {
        for path in ["/nowhere/token", "/"] {
            let source = TokenSource {
                file: Some(path.into()),
                ..TokenSource::default()
            };
            assert!(
                matches!(source.read(), Err(TokenProblem::Unreadable { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn no_token() {
        let path = file("none", b"two\nlines");
        let source = TokenSource {
            file: Some(path.clone()),
            ..TokenSource::default()
        };
        let error = source.read().unwrap_err();
        assert!(matches!(
            &error,
            TokenProblem::NoToken {
                error: TokenError::LineBreak { .. },
                ..
            }
        ));
        assert!(!error.to_string().contains("lines"));
        std::fs::remove_file(path).unwrap();
    }
}
