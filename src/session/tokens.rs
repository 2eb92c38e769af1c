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

use super::file_reads::FileReads;
use crate::whip::{Token, TokenError};

/// In bytes, far above any token: IVS's hold 1 KB of attributes at most
/// (documented).
const MAX_FILE: u64 = 64 * 1024;

/// Limit for reading the file, which can be a pipe or on a lost network mount.
const FILE_TIMEOUT: Duration = Duration::from_secs(2);

static FILE_READS: FileReads<Result<Option<Token>, TokenProblem>> = FileReads::new();

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
    /// runtime's pool of blocking threads, or waits for the read of it that is
    /// under way.
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
        let read = FILE_READS.read(&path, move || source.read());
        let kind = match timeout(FILE_TIMEOUT, read).await {
            Ok(Some(read)) => return read,
            Ok(None) => io::ErrorKind::Interrupted,
            Err(_) => io::ErrorKind::TimedOut,
        };
        Err(TokenProblem::Unreadable { path, kind })
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

    /// The publisher's newest token, if it is another one. `None` if the host may
    /// not receive a token.
    pub(super) async fn newer(&self) -> Option<Token> {
        let used = self.used.as_ref()?;
        let newest = self.tokens.newest().await.ok().flatten();
        newest.filter(|newest| newest != used)
    }
}

fn read_file(path: &PathBuf) -> Result<Token, TokenProblem> {
    let unreadable = |error: io::Error| TokenProblem::Unreadable {
        path: path.clone(),
        kind: error.kind(),
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(TokenProblem::TooLong { path: path.clone() });
    }
    // PowerShell's `>` writes UTF-16.
    if bytes.contains(&0) || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(TokenProblem::Utf16 { path: path.clone() });
    }
    let text = String::from_utf8_lossy(&bytes);
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
    /// The file is longer than any token.
    TooLong {
        /// Path of the file.
        path: PathBuf,
    },
    /// The file is UTF-16, or has zero bytes as such text has.
    Utf16 {
        /// Path of the file.
        path: PathBuf,
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
            Self::TooLong { path } => write!(
                f,
                "auth-token-file {} has more than {} KB; it should hold the token alone",
                path.display(),
                MAX_FILE / 1024
            ),
            Self::Utf16 { path } => write!(
                f,
                "auth-token-file {} is UTF-16 text; write the token as UTF-8 or ASCII",
                path.display()
            ),
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

/// IVS needs a token, and no token source is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoToken;

impl fmt::Display for NoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "Amazon IVS needs a participant token: set the environment variable IVS_STAGE_TOKEN, \
             or the property auth-token-file or auth-token",
        )
    }
}

impl std::error::Error for NoToken {}

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

    /// A named pipe that nobody writes to: to open it blocks, as a file on a lost
    /// network mount does.
    #[cfg(unix)]
    struct Pipe(PathBuf);

    #[cfg(unix)]
    impl Pipe {
        fn new(name: &str) -> Self {
            let name = format!("ivs-token-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            let made = std::process::Command::new("mkfifo").arg(&path).status();
            assert!(made.unwrap().success());
            Self(path)
        }

        fn tokens(&self) -> Tokens {
            Tokens::new(TokenSource {
                file: Some(self.0.clone()),
                ..TokenSource::default()
            })
        }

        /// Lets every read end.
        fn write(&self, text: &str) {
            std::fs::write(&self.0, text).unwrap();
        }
    }

    #[cfg(unix)]
    impl Drop for Pipe {
        fn drop(&mut self) {
            std::fs::remove_file(&self.0).unwrap();
        }
    }

    /// A runtime with a clock that stands still, and this many blocking threads.
    #[cfg(unix)]
    fn runtime(blocking_threads: usize) -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .max_blocking_threads(blocking_threads)
            .build()
            .unwrap()
    }

    /// A request for a token, while the clock moves by its limit.
    #[cfg(unix)]
    async fn outwaited(tokens: &Tokens) -> Result<Option<Token>, TokenProblem> {
        let wait = async {
            tokio::task::yield_now().await;
            tokio::time::advance(FILE_TIMEOUT * 2).await;
        };
        tokio::join!(tokens.newest(), wait).0
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_blocks_takes_one_thread_of_the_runtime_however_often_it_is_read() {
        let pipe = Pipe::new("blocks");
        let runtime = runtime(2);
        let (free, told) = std::sync::mpsc::channel();
        runtime.block_on(async {
            for _ in 0..3 {
                // As after a restart of the element.
                let tokens = pipe.tokens();
                assert!(matches!(
                    outwaited(&tokens).await,
                    Err(TokenProblem::Unreadable {
                        kind: io::ErrorKind::TimedOut,
                        ..
                    })
                ));
            }
            drop(tokio::task::spawn_blocking(move || free.send(())));
        });
        let is_free = told.recv_timeout(Duration::from_secs(5));
        // Before the assertion, or the runtime would wait for ever.
        pipe.write("late");
        assert_eq!(is_free, Ok(()));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_blocked_is_read_for_all_that_wait_and_then_anew() {
        let pipe = Pipe::new("shared");
        let tokens = pipe.tokens();
        runtime(2).block_on(async {
            assert!(outwaited(&tokens).await.is_err());
            let write = async {
                tokio::task::yield_now().await;
                pipe.write("late");
            };
            let other = pipe.tokens();
            let (one, other, ()) = tokio::join!(tokens.newest(), other.newest(), write);
            assert_eq!((one, other), (Ok(token("late")), Ok(token("late"))));
            let write = async {
                tokio::task::yield_now().await;
                pipe.write("later");
            };
            let (anew, ()) = tokio::join!(tokens.newest(), write);
            assert_eq!(anew, Ok(token("later")));
        });
    }

    fn read(name: &str, bytes: &[u8]) -> Result<Option<Token>, TokenProblem> {
        let path = file(name, bytes);
        let source = TokenSource {
            file: Some(path.clone()),
            ..TokenSource::default()
        };
        let read = source.read();
        std::fs::remove_file(path).unwrap();
        read
    }

    #[test]
    fn too_long() {
        let longest = "t".repeat(MAX_FILE as usize);
        assert_eq!(read("longest", longest.as_bytes()), Ok(token(&longest)));
        for length in [MAX_FILE as usize + 1, 70_000] {
            let error = read("long", "t".repeat(length).as_bytes()).unwrap_err();
            assert!(matches!(error, TokenProblem::TooLong { .. }), "{length}");
            assert!(error.to_string().contains("64 KB"), "{error}");
        }
    }

    #[test]
    fn byte_order_mark_is_dropped() {
        assert_eq!(read("mark", "\u{feff}abc\r\n".as_bytes()), Ok(token("abc")));
    }

    #[test]
    fn utf_16_is_named() {
        for bytes in [
            &b"\xff\xfea\0b\0"[..],
            b"\xfe\xff\0a\0b",
            b"a\0b\0\r\0\n\0",
            b"\0a\0b",
        ] {
            let error = read("utf16", bytes).unwrap_err();
            assert!(matches!(error, TokenProblem::Utf16 { .. }), "{bytes:?}");
            assert!(error.to_string().contains("UTF-16"), "{error}");
        }
    }

    #[test]
    fn bytes_that_are_no_text() {
        let error = read("binary", b"ab\xffc").unwrap_err();
        let invalid = TokenError::InvalidCharacter { position: 2 };
        assert!(
            matches!(&error, TokenProblem::NoToken { error, .. } if *error == invalid),
            "{error:?}"
        );
    }
}
