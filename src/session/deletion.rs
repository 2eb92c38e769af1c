//! The end of a session: DELETE, and something to wait on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::http_io::{SendError, send};
use super::process::Process;
use super::tokens::SessionToken;
use crate::whip::{DeleteError, Deleted, Resource, read_delete};

/// Bounds the DELETE: three round trips of a new TLS connection to a far
/// region fit in several times over.
const DELETE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a stop waits for a POST that is still unanswered. When the answer
/// comes later, its session is deleted all the same, in the background.
const UNANSWERED_WAIT: Duration = Duration::from_millis(800);

/// Between the bound of a DELETE and that of the wait for it.
const SLACK: Duration = Duration::from_millis(200);

/// How a session ended on its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There was none, or it named no URL to delete.
    NothingToDelete,
    /// The DELETE was taken.
    Deleted(Deleted),
    /// The server answered the DELETE with an error.
    Refused(DeleteError),
    /// The DELETE got no reply.
    Unanswered(SendError),
}

/// Ends a session on its server.
pub(super) async fn delete(
    process: &'static Process,
    resource: Resource,
    token: SessionToken,
) -> Ended {
    let request = resource.delete(token.newest().await.as_ref());
    let deadline = Some(Instant::now() + DELETE_TIMEOUT);
    // Only a stop cuts a body short, and this one's is of no interest.
    let (_keep, mut stop) = watch::channel(true);
    let mut reply = send(process, request.clone(), deadline, &mut stop).await;
    if matches!(reply, Err(SendError::Closed)) {
        // A connection that was kept from the POST may have been closed under
        // the request; a DELETE can be repeated (RFC 9110 9.2.2).
        reply = send(process, request, deadline, &mut stop).await;
    }
    match reply.map(|reply| read_delete(reply.status())) {
        Ok(Ok(deleted)) => Ended::Deleted(deleted),
        Ok(Err(error)) => Ended::Refused(error),
        Err(error) => Ended::Unanswered(error),
    }
}

/// Makes the two ends of a session's end.
pub(super) fn ending() -> (EndingTeller, Ending) {
    let (sender, changes) = channel();
    let under_way = Arc::new(AtomicUsize::new(0));
    let teller = EndingTeller {
        sender,
        under_way: under_way.clone(),
    };
    (teller, Ending { changes, under_way })
}

/// The driver's side; its last clone is dropped at the very end.
#[derive(Clone)]
pub(super) struct EndingTeller {
    sender: Sender<()>,
    under_way: Arc<AtomicUsize>,
}

impl EndingTeller {
    /// Runs a DELETE, which a stop waits for longer than for a POST.
    pub(super) async fn deleting(self, delete: impl Future<Output = Ended>) -> Ended {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        // Nobody listens after a stop that did not wait.
        let _ = self.sender.send(());
        let ended = delete.await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        // What is left may be a POST, for which the bound is another.
        let _ = self.sender.send(());
        ended
    }
}

/// The caller's side: lets a thread wait for the session's end.
///
/// A plain channel, so that it works on every thread; blocking on the async
/// runtime would panic on an application's own tokio thread.
#[derive(Debug)]
pub struct Ending {
    changes: Receiver<()>,
    under_way: Arc<AtomicUsize>,
}

impl Ending {
    /// Waits for the end: at most 0.8 s while the POST is unanswered, and
    /// at most 3 s (the DELETE's own bound) and a little while a DELETE is
    /// under way. Whether it ended; if not, it goes on ending in the background.
    pub fn wait(&self) -> bool {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};

        let since = Instant::now();
        // Behind the news that a DELETE is over comes that all is.
        let mut at_least = Duration::ZERO;
        loop {
            let is_deleting = self.under_way.load(Ordering::SeqCst) > 0;
            let bound = if is_deleting {
                DELETE_TIMEOUT + SLACK
            } else {
                UNANSWERED_WAIT
            };
            let left = bound.saturating_sub(since.elapsed());
            match self.changes.recv_timeout(left.max(at_least)) {
                // Old news too come here, so the bound is chosen anew.
                Ok(()) => at_least = SLACK,
                Err(Disconnected) => return true,
                Err(Timeout) => return false,
            }
        }
    }
}
