//! The sessions of this run: how many may be opened, the pause between two, and
//! the DELETE of each.

use std::time::Duration;

use gstivs::whip::{Resource, Token, read_delete};
use http::Request;
use tokio::time::Instant;

use crate::client::Client;
use crate::no_reply::NoReply;
use crate::plan::MAX_SESSIONS;
use crate::stop::{Interrupt, Stop};

/// The pause after each offer to a service.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon an offer may follow the one before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Paused,
    /// For checks of what happens without a pause.
    Immediate,
}

#[derive(Default)]
pub(crate) struct Sessions {
    pause: Duration,
    last_request: Option<Instant>,
    /// Offers sent. Each may have made a session.
    pub(crate) offers: usize,
    pub(crate) opened: usize,
    pub(crate) deleted: usize,
    /// Sessions that may be left on the stage, and why.
    pub(crate) problems: Vec<String>,
    open: Vec<SessionHandle>,
    /// Whether a session is left that this run can't delete.
    has_undeletable: bool,
}

/// What deleting a session takes.
#[derive(Clone, Debug)]
pub(crate) struct SessionHandle {
    number: usize,
    delete: Request<String>,
    /// Whether a DELETE was sent and failed.
    delete_failed: bool,
}

impl Sessions {
    pub(crate) fn for_service() -> Self {
        Self {
            pause: PAUSE,
            ..Self::default()
        }
    }

    /// Without a pause, for a stage on this machine.
    pub(crate) fn for_local_stage() -> Self {
        Self::default()
    }

    /// Waits until another offer may be sent, and counts it.
    pub(crate) async fn wait_for_turn(
        &mut self,
        interrupt: &mut Interrupt,
        pace: Pace,
    ) -> Result<(), Stop> {
        interrupt.check()?;
        if self.offers >= MAX_SESSIONS {
            return Err(Stop::SessionLimit);
        }
        if self.has_undeletable || self.open.iter().any(|handle| handle.delete_failed) {
            let words = "a session could not be deleted, so no more are opened";
            return Err(Stop::Hopeless(words.to_owned()));
        }
        if let Some(last) = self.last_request.filter(|_| pace == Pace::Paused) {
            interrupt
                .wait(self.pause.saturating_sub(last.elapsed()))
                .await?;
        }
        self.offers += 1;
        Ok(())
    }

    /// Starts the pause before the next offer.
    pub(crate) fn offer_sent(&mut self) {
        self.last_request = Some(Instant::now());
    }

    /// Adds a session that the server made.
    pub(crate) fn add(
        &mut self,
        resource: Option<Resource>,
        token: Option<&Token>,
    ) -> Option<SessionHandle> {
        self.opened += 1;
        let Some(resource) = resource else {
            self.has_undeletable = true;
            self.add_problem("a session could not be deleted: the server gave no URL for it");
            return None;
        };
        let handle = SessionHandle {
            number: self.opened,
            delete: resource.delete(token),
            delete_failed: false,
        };
        self.open.push(handle.clone());
        Some(handle)
    }

    /// Adds a session that the element made and deleted, unless there is a problem.
    pub(crate) fn add_from_element(&mut self, problem: Option<String>) {
        self.opened += 1;
        match problem {
            None => self.deleted += 1,
            Some(problem) => {
                self.has_undeletable = true;
                self.problems.push(problem);
            }
        }
    }

    pub(crate) fn add_problem(&mut self, words: &str) {
        self.problems.push(words.to_owned());
    }

    /// Deletes a session, in a second try if the first gets no reply. Returns the
    /// status of the last reply.
    pub(crate) async fn delete(
        &mut self,
        client: &Client,
        handle: &SessionHandle,
    ) -> Result<u16, NoReply> {
        let mut reply = client.send(handle.delete.clone()).await;
        if reply.is_err() {
            reply = client.send(handle.delete.clone()).await;
        }
        self.last_request = Some(Instant::now());
        let status = reply.map(|reply| reply.status());
        let is_gone = matches!(status, Ok(status) if read_delete(status).is_ok());
        let same = |other: &SessionHandle| other.number == handle.number;
        if let Some(at) = self.open.iter().position(same) {
            if is_gone {
                self.open.remove(at);
                self.deleted += 1;
            } else {
                self.open[at].delete_failed = true;
            }
        }
        status.map(|status| status.as_u16())
    }

    /// Deletes all sessions that are still open.
    pub(crate) async fn delete_all(&mut self, client: &Client) {
        for handle in self.open.clone() {
            let reply = self.delete(client, &handle).await;
            let stays = self.open.iter().any(|other| other.number == handle.number);
            match reply {
                Ok(status) if stays => self.add_problem(&format!("a DELETE got HTTP {status}")),
                Err(no_reply) if stays => {
                    self.add_problem(&format!("a DELETE got no reply: {no_reply}"))
                }
                _ => {}
            }
        }
    }
}
