//! Who is on the stage because of us: a bound before each session, a pause
//! between two, and a DELETE for every one.

use std::time::Duration;

use gstivs::whip::{Resource, Token, read_delete};
use http::Request;
use tokio::time::Instant;

use crate::client::Client;
use crate::no_reply::Silence;
use crate::plan::MAX_SESSIONS;
use crate::stop::{Halt, Stop};

/// How long a service is left alone after each offer.
const PAUSE: Duration = Duration::from_secs(1);

/// How soon a session may follow another.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Gentle,
    /// Where just that is the question.
    AtOnce,
}

#[derive(Default)]
pub(crate) struct Ledger {
    pause: Duration,
    last: Option<Instant>,
    /// Offers that were sent, each of which could have made a session.
    pub(crate) offers: usize,
    pub(crate) opened: usize,
    pub(crate) deleted: usize,
    /// What went wrong with a session's end, in words.
    pub(crate) troubles: Vec<String>,
    standing: Vec<Ticket>,
    /// Whether a session stays whose end is not in our hands.
    left_behind: bool,
}

/// What a session's end needs.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    number: usize,
    delete: Request<String>,
    /// Whether a DELETE was sent and did not end it.
    is_stuck: bool,
}

impl Ledger {
    pub(crate) fn of_service() -> Self {
        Self {
            pause: PAUSE,
            ..Self::default()
        }
    }

    /// For a stage on this machine, which nobody has to spare.
    pub(crate) fn of_this_machine() -> Self {
        Self::default()
    }

    /// Waits until another offer may go out, and counts it.
    pub(crate) async fn may_open(&mut self, halt: &mut Halt, pace: Pace) -> Result<(), Stop> {
        halt.check()?;
        if self.offers >= MAX_SESSIONS {
            return Err(Stop::Bound);
        }
        if self.left_behind || self.standing.iter().any(|ticket| ticket.is_stuck) {
            let words = "a session could not be deleted, so that no more are opened";
            return Err(Stop::Hopeless(words.to_owned()));
        }
        if let Some(last) = self.last.filter(|_| pace == Pace::Gentle) {
            halt.wait(self.pause.saturating_sub(last.elapsed())).await?;
        }
        self.offers += 1;
        Ok(())
    }

    /// Notes the time from which the next pause counts.
    pub(crate) fn offered(&mut self) {
        self.last = Some(Instant::now());
    }

    /// Notes a session that was made.
    pub(crate) fn opened(
        &mut self,
        resource: Option<Resource>,
        token: Option<&Token>,
    ) -> Option<Ticket> {
        self.opened += 1;
        let Some(resource) = resource else {
            self.left_behind = true;
            self.trouble("a session could not be deleted: the server named no URL for it");
            return None;
        };
        let ticket = Ticket {
            number: self.opened,
            delete: resource.delete(token),
            is_stuck: false,
        };
        self.standing.push(ticket.clone());
        Some(ticket)
    }

    /// Notes a session that the element made and has to end by itself.
    pub(crate) fn of_element(&mut self, trouble: Option<String>) {
        self.opened += 1;
        match trouble {
            None => self.deleted += 1,
            Some(trouble) => {
                self.left_behind = true;
                self.troubles.push(trouble);
            }
        }
    }

    pub(crate) fn trouble(&mut self, words: &str) {
        self.troubles.push(words.to_owned());
    }

    /// Deletes a session; once more where no reply came. The status of the last
    /// reply, or why there is none.
    pub(crate) async fn delete(
        &mut self,
        client: &Client,
        ticket: &Ticket,
    ) -> Result<u16, Silence> {
        let mut reply = client.send(ticket.delete.clone()).await;
        if reply.is_err() {
            reply = client.send(ticket.delete.clone()).await;
        }
        self.last = Some(Instant::now());
        let status = reply.map(|reply| reply.status());
        let is_gone = matches!(status, Ok(status) if read_delete(status).is_ok());
        let same = |other: &Ticket| other.number == ticket.number;
        if let Some(at) = self.standing.iter().position(same) {
            if is_gone {
                self.standing.remove(at);
                self.deleted += 1;
            } else {
                self.standing[at].is_stuck = true;
            }
        }
        status.map(|status| status.as_u16())
    }

    /// Deletes whatever still stands, on whatever way out.
    pub(crate) async fn clear(&mut self, client: &Client) {
        for ticket in self.standing.clone() {
            let told = self.delete(client, &ticket).await;
            let stays = self
                .standing
                .iter()
                .any(|other| other.number == ticket.number);
            match told {
                Ok(status) if stays => self.trouble(&format!("a DELETE was answered {status}")),
                Err(silence) if stays => self.trouble(&format!("a DELETE got no reply: {silence}")),
                _ => {}
            }
        }
    }
}
