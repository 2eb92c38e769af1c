//! Accepts connections. When the system has no descriptor for one, it waits
//! until one is free, and says so once.

use std::io;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};

use crate::event::Happening;
use crate::state::StageState;

/// Time until the next try after a failure. A connection that can't be accepted
/// keeps the listener ready, so without a pause the tries would take a core.
const PAUSE: Duration = Duration::from_millis(100);

/// Time without a failure after which the next one is an event again.
const QUIET: Duration = Duration::from_secs(60);

/// A listener, and its host and port.
pub(crate) struct Acceptor {
    listener: TcpListener,
    host: String,
    failures: Failures,
}

impl Acceptor {
    /// Call it on the stage's runtime.
    pub(crate) fn new(listener: std::net::TcpListener, host: &str) -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            host: host.to_owned(),
            failures: Failures::default(),
        })
    }

    /// The next connection.
    pub(crate) async fn accept(&mut self, state: &StageState) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if self.failures.is_news(Instant::now()) {
                        state.record.add(Happening::AcceptFailed {
                            host: self.host.clone(),
                            reason: error.to_string(),
                        });
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Whether only this connection failed, before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// Tells a new failure from one that lasts.
#[derive(Default)]
struct Failures {
    last: Option<Instant>,
}

impl Failures {
    fn is_news(&mut self, now: Instant) -> bool {
        let last = self.last.replace(now);
        last.is_none_or(|last| now.saturating_duration_since(last) > QUIET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_lasts_or_comes_back_soon_is_no_news() {
        let mut failures = Failures::default();
        let start = Instant::now();
        assert!(failures.is_news(start));
        assert!(!failures.is_news(start + PAUSE));
        assert!(!failures.is_news(start + QUIET));
        assert!(!failures.is_news(start + QUIET * 2));
        assert!(failures.is_news(start + QUIET * 3 + PAUSE));
    }
}
