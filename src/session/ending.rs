//! The end of a session: DELETE, and something to wait on.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::exchange::read_token;
use super::http_io::{SendError, send};
use super::process::Process;
use super::token::TokenSource;
use crate::whip::{DeleteError, Deleted, Resource, Token, read_delete};

/// Bounds the DELETE: three round trips of a new TLS connection to a far
/// region fit in several times over.
const DELETE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a stop waits for a POST that is still unanswered. When the answer
/// comes later, its session is deleted all the same, in the background.
const UNANSWERED_WAIT: Duration = Duration::from_millis(800);

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
    source: &TokenSource,
    used: Option<Token>,
) -> Ended {
    // A token that was used and may go there is replaced by a newer one of the
    // same source; a file that has gone since is no reason not to delete.
    let token = match used {
        Some(used) => Some(read_token(source).await.ok().flatten().unwrap_or(used)),
        None => None,
    };
    let request = resource.delete(token.as_ref());
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
    let (sender, receiver) = channel();
    (EndingTeller(sender), Ending(receiver))
}

/// The driver's side.
#[derive(Clone)]
pub(super) struct EndingTeller(Sender<Progress>);

impl EndingTeller {
    /// The POST is answered; what is left to wait for is the DELETE.
    pub(super) fn deleting(&self) {
        // Nobody listens after a stop that did not wait.
        let _ = self.0.send(Progress::Deleting);
    }
}

enum Progress {
    Deleting,
}

/// The caller's side: lets a thread wait for the session's end.
///
/// A plain channel, so that it works on every thread; blocking on the async
/// runtime would panic on an application's own tokio thread.
#[derive(Debug)]
pub struct Ending(Receiver<Progress>);

impl Ending {
    /// Waits for the end: at most 0.8 s while the POST is unanswered, and
    /// at most 3 s (the DELETE's own bound) and a little from its answer on.
    /// Whether it ended; if not, it goes on ending in the background.
    pub fn wait(&self) -> bool {
        use std::sync::mpsc::RecvTimeoutError::Disconnected;

        let mut bound = UNANSWERED_WAIT;
        loop {
            match self.0.recv_timeout(bound) {
                Ok(Progress::Deleting) => bound = DELETE_TIMEOUT + Duration::from_millis(200),
                // The driver drops its side as its last act.
                Err(error) => return error == Disconnected,
            }
        }
    }
}
