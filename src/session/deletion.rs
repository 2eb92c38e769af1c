//! The end of a session: the DELETE, and a way for a thread to wait for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use http::StatusCode;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::http_io::{SendError, send};
use super::process::Process;
use super::tokens::SessionToken;
use crate::whip::{DeleteError, Deleted, Resource, Token, read_delete};

/// Limit for the DELETE: several times the three round trips of a new TLS
/// connection to a distant region.
const DELETE_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a session's DELETE is repeated while the server is out of reach. Servers
/// end a session without media by themselves: the local stage after 50 s.
const REPEAT_FOR: Duration = Duration::from_secs(60);

/// The pause before an unanswered DELETE is repeated.
const REPEAT_INTERVAL: Duration = Duration::from_secs(2);

/// How long a stop waits for what is under way: the DELETE's limit and a little
/// more. If a POST is answered later, its session is still deleted, in the
/// background.
const UNDER_WAY_WAIT: Duration = Duration::from_millis(3_200);

/// How long a stop waits for a driver with nothing under way. It ends at once;
/// this is for a loaded machine.
const IDLE_WAIT: Duration = Duration::from_secs(1);

/// How long the news of one end may take behind that of another.
const SLACK: Duration = Duration::from_millis(200);

/// How a session ended on its server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// There was no session, or the server gave no URL to delete.
    NothingToDelete,
    /// The DELETE succeeded.
    Deleted(Deleted),
    /// The server answered the DELETE with an error.
    Refused(DeleteError),
    /// The DELETE got no reply.
    Unanswered(SendError),
}

/// Ends a session on its server. [`DELETE_TIMEOUT`] is the limit for all of it.
async fn delete(process: &'static Process, resource: &Resource, token: &SessionToken) -> Ended {
    let deadline = Instant::now() + DELETE_TIMEOUT;
    // Servers that mind whose session it is know it by the token that made it.
    let ended = delete_with(process, resource, token.used(), deadline).await;
    if !is_refused_for_its_token(&ended) {
        return ended;
    }
    // That token may have expired meanwhile.
    match timeout_at(deadline, token.newer()).await {
        Ok(Some(newer)) => delete_with(process, resource, Some(&newer), deadline).await,
        Ok(None) | Err(_) => ended,
    }
}

/// Like [`delete`], for a session that no longer publishes. While the driver goes on, an
/// unanswered DELETE is repeated for [`REPEAT_FOR`]: the network that broke a session or kept
/// a POST waiting breaks the DELETE too. Once the driver is over, it is sent once.
pub(super) async fn delete_until_over(
    process: &'static Process,
    resource: Resource,
    token: SessionToken,
    mut over: watch::Receiver<bool>,
) -> Ended {
    let until = Instant::now() + REPEAT_FOR;
    loop {
        let ended = delete(process, &resource, &token).await;
        let again = Instant::now() + REPEAT_INTERVAL;
        if !matches!(ended, Ended::Unanswered(_)) || again >= until {
            return ended;
        }
        tokio::select! {
            () = sleep_until(again) => {}
            // Without a sender there is no driver either.
            _ = over.wait_for(|over| *over) => return ended,
        }
    }
}

/// Like [`delete`], for a session whose connection the server has closed: no reply is
/// a failure. Servers that have forgotten the session answer 400, 401, 404 or 500, and
/// one that has shut down answers nothing.
pub(super) async fn delete_closed(
    process: &'static Process,
    resource: Resource,
    token: SessionToken,
) -> Ended {
    match delete(process, &resource, &token).await {
        Ended::Refused(_) | Ended::Unanswered(_) => Ended::Deleted(Deleted::AlreadyGone),
        ended => ended,
    }
}

async fn delete_with(
    process: &'static Process,
    resource: &Resource,
    token: Option<&Token>,
    deadline: Instant,
) -> Ended {
    let request = resource.delete(token);
    let deadline = Some(deadline);
    // The stop is already set, so the reply's body is not read: it is not needed.
    let (_keep, mut stop) = watch::channel(true);
    let mut reply = send(process, request.clone(), deadline, &mut stop).await;
    if matches!(reply, Err(SendError::Closed)) {
        // The server may have closed the connection that was kept from the
        // POST. A DELETE can be repeated (RFC 9110 9.2.2).
        reply = send(process, request, deadline, &mut stop).await;
    }
    match reply.map(|reply| read_delete(reply.status())) {
        Ok(Ok(deleted)) => Ended::Deleted(deleted),
        Ok(Err(error)) => Ended::Refused(error),
        Err(error) => Ended::Unanswered(error),
    }
}

fn is_refused_for_its_token(ended: &Ended) -> bool {
    matches!(ended, Ended::Refused(error)
        if matches!(error.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN))
}

/// Makes the driver's and the caller's side of a session's end.
pub(super) fn ending() -> (EndReporter, Ending) {
    let (sender, changes) = channel();
    let under_way = Arc::new(AtomicUsize::new(0));
    let end_reporter = EndReporter {
        sender,
        under_way: under_way.clone(),
    };
    (end_reporter, Ending { changes, under_way })
}

/// The driver's side. Dropping its last clone reports the end.
#[derive(Clone)]
pub(super) struct EndReporter {
    sender: Sender<()>,
    under_way: Arc<AtomicUsize>,
}

impl EndReporter {
    /// Runs what a stop has to wait for: an abandoned POST, a DELETE.
    pub(super) async fn waited_for(self, work: impl Future<Output = Ended>) -> Ended {
        self.under_way.fetch_add(1, Ordering::SeqCst);
        // Fails if the owner did not wait and dropped its side.
        let _ = self.sender.send(());
        let ended = work.await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let _ = self.sender.send(());
        ended
    }
}

/// The caller's side: lets a thread wait for the session's end.
///
/// It works on every thread, because it is a std channel: blocking on the async
/// runtime would panic on a tokio thread of the application.
#[derive(Debug)]
pub struct Ending {
    changes: Receiver<()>,
    under_way: Arc<AtomicUsize>,
}

impl Ending {
    /// Waits for the end of the session, and returns whether it has ended. If
    /// not, the end goes on in the background.
    ///
    /// Waits at most 3.2 s for an unanswered POST and for a DELETE: a process
    /// that ends right after would leave the participant on the stage. With
    /// nothing under way it returns as soon as the driver has noticed the stop.
    pub fn wait(&self) -> bool {
        use std::sync::mpsc::RecvTimeoutError::{Disconnected, Timeout};

        let since = Instant::now();
        // The disconnect follows the last message at once; allow it SLACK.
        let mut at_least = Duration::ZERO;
        loop {
            let bound = match self.under_way.load(Ordering::SeqCst) {
                0 => IDLE_WAIT,
                _ => UNDER_WAY_WAIT,
            };
            let left = bound.saturating_sub(since.elapsed());
            match self.changes.recv_timeout(left.max(at_least)) {
                // The message may be old, so the limit is chosen again.
                Ok(()) => at_least = SLACK,
                Err(Disconnected) => return true,
                Err(Timeout) => return false,
            }
        }
    }
}
