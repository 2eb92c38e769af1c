//! A run's state, and what the checks share: to POST an offer and to delete the
//! session that comes of it.

use std::error::Error;

use gstivs::whip::{Offer, Token, Trickling};
use url::Url;

use crate::arguments::Arguments;
use crate::client::{Client, CreatedSession, PostEnd, PostExchange};
use crate::findings::{Findings, Hop, OfferOutcome, Posted, SessionReply};
use crate::no_reply::NoReply;
use crate::offers::{TestOffer, VideoSection};
use crate::redaction::Redactor;
use crate::reply;
use crate::sessions::{Pace, SessionHandle, Sessions};
use crate::stop::{Interrupt, Stop};
use crate::terminal::tell;

pub(crate) struct Probe {
    pub(crate) arguments: Arguments,
    pub(crate) client: Client,
    pub(crate) sessions: Sessions,
    pub(crate) redactor: Redactor,
    pub(crate) interrupt: Interrupt,
    pub(crate) findings: Findings,
    /// How many offers were repeated because of an earlier session.
    pub(crate) conflict_retries: usize,
}

/// What came of POSTing one offer.
pub(crate) struct OfferAttempt {
    pub(crate) posted: Posted,
    /// The session that it made. The caller deletes it.
    pub(crate) session: Option<Session>,
    /// Why no further offer makes sense, if so.
    pub(crate) stop: Option<Stop>,
}

pub(crate) struct Session {
    /// `None` if the server gave no URL to delete.
    pub(crate) handle: Option<SessionHandle>,
    pub(crate) url: Option<Url>,
    pub(crate) token: Option<Token>,
    pub(crate) trickling: Option<Trickling>,
    pub(crate) offer: Offer,
}

impl Probe {
    pub(crate) fn new(arguments: Arguments, interrupt: Interrupt) -> Result<Self, Box<dyn Error>> {
        let mut redactor = Redactor::default();
        for token in &arguments.tokens.all {
            redactor.add_token(token);
        }
        redactor.add_url(arguments.endpoint.url());
        let sessions = match arguments.is_local() {
            true => Sessions::for_local_stage(),
            false => Sessions::for_service(),
        };
        Ok(Self {
            client: Client::new()?,
            sessions,
            redactor,
            interrupt,
            findings: Findings::default(),
            conflict_retries: 0,
            arguments,
        })
    }

    /// POSTs one offer. `sessions` has the session that it made when this returns.
    pub(crate) async fn post_offer(
        &mut self,
        section: VideoSection,
        token: &Token,
        pace: Pace,
    ) -> Result<OfferAttempt, Stop> {
        self.sessions
            .wait_for_turn(&mut self.interrupt, pace)
            .await?;
        tell(&format!("offering: {}", section.name()));
        let test_offer =
            TestOffer::new(section).map_err(|error| Stop::Hopeless(error.to_string()))?;
        self.redactor.add_ice_credentials(&test_offer.body);
        let offer = test_offer.offer.clone();
        let endpoint = &self.arguments.endpoint;
        // Ctrl-C does not cut this short, as the reply may name a session to delete.
        let exchange = self
            .client
            .post(endpoint, token, test_offer.offer, &test_offer.body)
            .await;
        self.sessions.offer_sent();
        Ok(self.attempt(exchange, offer))
    }

    fn attempt(&mut self, exchange: PostExchange, offer: Offer) -> OfferAttempt {
        for hop in &exchange.hops {
            self.redactor.add_url(&hop.url);
        }
        let (outcome, session, stop) = match exchange.end {
            PostEnd::Created(created) => {
                let (reply, session) = self.created(*created, offer);
                (OfferOutcome::Accepted(Box::new(reply)), Some(session), None)
            }
            PostEnd::Refused(mut refusal) => {
                // Before the text is shortened, which could cut a secret in two.
                refusal.hide(&self.redactor.long_secrets());
                let (outcome, stop) = reply::refusal(&refusal, &self.redactor);
                (outcome, None, stop)
            }
            PostEnd::Other(reason) => {
                let reason = self.redactor.redact_server_text(&reason);
                let stop = Stop::Hopeless(reason.clone());
                (OfferOutcome::Inconclusive(reason), None, Some(stop))
            }
            PostEnd::NoReply(no_reply) => {
                let reason = self.no_reply(&no_reply);
                let stop = Stop::Hopeless(format!("an offer got {reason}"));
                (OfferOutcome::Inconclusive(reason), None, Some(stop))
            }
        };
        let hops = exchange.hops.iter().map(|hop| Hop {
            host: reply::host(&hop.url, &self.redactor),
            status: hop.status.as_u16(),
            took: hop.took,
        });
        let posted = Posted {
            hops: hops.collect(),
            took: exchange.took,
            outcome,
        };
        OfferAttempt {
            posted,
            session,
            stop,
        }
    }

    fn no_reply(&mut self, no_reply: &NoReply) -> String {
        if no_reply.may_have_arrived() {
            self.sessions.add_problem(
                "an offer got no reply; if it made a session, it could not be deleted",
            );
        }
        reply::missing(no_reply, &self.redactor)
    }

    fn created(&mut self, mut made: CreatedSession, offer: Offer) -> (SessionReply, Session) {
        let resource = made.created.resource.take();
        let url = resource.as_ref().map(|resource| resource.url().clone());
        if let Some(url) = &url {
            self.redactor.add_url(url);
            for segment in url.path_segments().into_iter().flatten() {
                // Not "session", which is a word of the report.
                if segment.len() >= 8 {
                    self.redactor.add(segment, "[resource]");
                }
            }
        }
        self.redactor.add_ice_credentials(&made.answer);
        let reply = reply::session_reply(&made, url.as_ref(), &self.redactor);
        let trickling = resource.as_ref().map(|resource| resource.trickling());
        let session = Session {
            handle: self.sessions.add(resource, made.token.as_ref()),
            url,
            token: made.token,
            trickling,
            offer,
        };
        (reply, session)
    }

    /// Sends a DELETE, also for a session that is deleted already. Describes the
    /// reply.
    pub(crate) async fn delete(&mut self, session: &Session) -> String {
        let Some(handle) = &session.handle else {
            return "not possible without a `Location`".to_owned();
        };
        match self.sessions.delete(&self.client, handle).await {
            Ok(status) => format!("HTTP {status}"),
            Err(no_reply) => reply::missing(&no_reply, &self.redactor),
        }
    }
}
