//! Who is on the stage because of us: a bound before each session, a pause
//! between two, and a DELETE for every one.

use std::time::Duration;

use gstivs::whip::{Resource, Token, read_delete};
use http::Request;
use tokio::time::Instant;

use crate::client::Client;
use crate::no_reply::NoReply;
use crate::plan::MAX_SESSIONS;
use crate::stop::{Interrupt, Stop};

/// How long a service is left alone after each offer.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon a session may follow another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Paused,
    /// Where just that is the question.
    Immediate,
}

#[derive(Default)]
pub(crate) struct Sessions {
    pause: Duration,
    last: Option<Instant>,
    /// Offers that were sent, each of which could have made a session.
    pub(crate) offers: usize,
    pub(crate) opened: usize,
    pub(crate) deleted: usize,
    /// What went wrong with a session's end, in words.
    pub(crate) problems: Vec<String>,
    standing: Vec<SessionHandle>,
    /// Whether a session stays whose end is not in our hands.
    has_undeletable: bool,
}

/// What a session's end needs.
#[derive(Clone, Debug)]
pub(crate) struct SessionHandle {
    number: usize,
    delete: Request<String>,
    /// Whether a DELETE was sent and did not end it.
    delete_failed: bool,
}

impl Sessions {
    pub(crate) fn for_service() -> Self {
        Self {
            pause: PAUSE,
            ..Self::default()
        }
    }

    /// For a stage on this machine, which nobody has to spare.
    pub(crate) fn for_local_stage() -> Self {
        Self::default()
    }

    /// Waits until another offer may go out, and counts it.
    pub(crate) async fn wait_for_turn(
        &mut self,
        interrupt: &mut Interrupt,
        pace: Pace,
    ) -> Result<(), Stop> {
        interrupt.check()?;
        if self.offers >= MAX_SESSIONS {
            return Err(Stop::SessionLimit);
        }
        if self.has_undeletable || self.standing.iter().any(|handle| handle.delete_failed) {
            let words = "a session could not be deleted, so that no more are opened";
            return Err(Stop::Hopeless(words.to_owned()));
        }
        if let Some(last) = self.last.filter(|_| pace == Pace::Paused) {
            interrupt
                .wait(self.pause.saturating_sub(last.elapsed()))
                .await?;
        }
        self.offers += 1;
        Ok(())
    }

    /// Notes the time from which the next pause counts.
    pub(crate) fn offer_sent(&mut self) {
        self.last = Some(Instant::now());
    }

    /// Notes a session that was made.
    pub(crate) fn add(
        &mut self,
        resource: Option<Resource>,
        token: Option<&Token>,
    ) -> Option<SessionHandle> {
        self.opened += 1;
        let Some(resource) = resource else {
            self.has_undeletable = true;
            self.add_problem("a session could not be deleted: the server named no URL for it");
            return None;
        };
        let handle = SessionHandle {
            number: self.opened,
            delete: resource.delete(token),
            delete_failed: false,
        };
        self.standing.push(handle.clone());
        Some(handle)
    }

    /// Notes a session that the element made and has to end by itself.
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

    /// Deletes a session; once more where no reply came. The status of the last
    /// reply, or why there is none.
    pub(crate) async fn delete(
        &mut self,
        client: &Client,
        handle: &SessionHandle,
    ) -> Result<u16, NoReply> {
        let mut reply = client.send(handle.delete.clone()).await;
        if reply.is_err() {
            reply = client.send(handle.delete.clone()).await;
        }
        self.last = Some(Instant::now());
        let status = reply.map(|reply| reply.status());
        let is_gone = matches!(status, Ok(status) if read_delete(status).is_ok());
        let same = |other: &SessionHandle| other.number == handle.number;
        if let Some(at) = self.standing.iter().position(same) {
            if is_gone {
                self.standing.remove(at);
                self.deleted += 1;
            } else {
                self.standing[at].delete_failed = true;
            }
        }
        status.map(|status| status.as_u16())
    }

    /// Deletes whatever still stands, on whatever way out.
    pub(crate) async fn delete_all(&mut self, client: &Client) {
        for handle in self.standing.clone() {
            let told = self.delete(client, &handle).await;
            let stays = self
                .standing
                .iter()
                .any(|other| other.number == handle.number);
            match told {
                Ok(status) if stays => self.add_problem(&format!("a DELETE was answered {status}")),
                Err(no_reply) if stays => {
                    self.add_problem(&format!("a DELETE got no reply: {no_reply}"))
                }
                _ => {}
            }
        }
    }
}
