//! The half that is HTTP only: offers without anybody behind them.

use std::error::Error;

use gstivs::whip::{Offer, Token, Trickling};
use url::Url;

use crate::arguments::Arguments;
use crate::client::{Client, CreatedSession, PostEnd, PostExchange};
use crate::findings::{Findings, Hop, OfferOutcome, Posted};
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
    /// How often something was asked again.
    pub(crate) conflict_retries: usize,
}

/// What came of one offer.
pub(crate) struct OfferAttempt {
    pub(crate) posted: Posted,
    /// The session that it made, which has to be deleted.
    pub(crate) session: Option<Session>,
    pub(crate) stop: Option<Stop>,
}

pub(crate) struct Session {
    /// None where the server named no URL.
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
        // Of another server's endpoint the path can be the stream key.
        for secret in [
            arguments.endpoint.url().path(),
            arguments.endpoint.url().query().unwrap_or(""),
        ] {
            redactor.add(secret, "/…");
        }
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

    /// POSTs one offer. The session that it makes is counted when this returns.
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
        self.add_ice_credentials(&test_offer.body);
        let offer = test_offer.offer.clone();
        let endpoint = &self.arguments.endpoint;
        // Not cut short by Ctrl-C: the reply may name a session to delete.
        let exchange = self
            .client
            .post(endpoint, token, test_offer.offer, &test_offer.body)
            .await;
        self.sessions.offer_sent();
        Ok(self.attempt(exchange, offer))
    }

    fn attempt(&mut self, exchange: PostExchange, offer: Offer) -> OfferAttempt {
        let (mut session, mut stop) = (None, None);
        for hop in &exchange.hops {
            self.redactor.add(hop.url.path(), "/…");
            self.redactor.add(hop.url.query().unwrap_or(""), "[query]");
        }
        let outcome = match exchange.end {
            PostEnd::Created(made) => {
                let (head, made) = self.created(*made, offer);
                session = Some(made);
                OfferOutcome::Accepted(Box::new(head))
            }
            PostEnd::Refused(mut refusal) => {
                // Ahead of the excerpt, which could cut one of them in two.
                refusal.hide(&self.redactor.long_secrets());
                let (outcome, reason) = reply::refusal(&refusal, &self.redactor);
                stop = reason;
                outcome
            }
            PostEnd::Other(words) => {
                let words = self.redactor.redact_server_text(&words);
                stop = Some(Stop::Hopeless(words.clone()));
                OfferOutcome::Inconclusive(words)
            }
            PostEnd::NoReply(no_reply) => {
                let words = self.no_reply(&no_reply);
                stop = Some(Stop::Hopeless(format!("an offer got {words}")));
                OfferOutcome::Inconclusive(words)
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

    fn created(
        &mut self,
        mut made: CreatedSession,
        offer: Offer,
    ) -> (crate::findings::SessionReply, Session) {
        let resource = made.created.resource.take();
        let url = resource.as_ref().map(|resource| resource.url().clone());
        if let Some(url) = &url {
            self.redactor.add(url.path(), "/…");
            self.redactor.add(url.query().unwrap_or(""), "[query]");
            for segment in url.path_segments().into_iter().flatten() {
                // "session" itself is a word of the report.
                if segment.len() >= 8 {
                    self.redactor.add(segment, "[resource]");
                }
            }
        }
        self.add_ice_credentials(&made.answer);
        let head = reply::session_reply(&made, url.as_ref(), &self.redactor);
        let trickling = resource.as_ref().map(|resource| resource.trickling());
        let session = Session {
            handle: self.sessions.add(resource, made.token.as_ref()),
            url,
            token: made.token,
            trickling,
            offer,
        };
        (head, session)
    }

    pub(crate) fn add_ice_credentials(&mut self, sdp: &str) {
        for line in sdp.lines() {
            let names = ["a=ice-ufrag:", "a=ice-pwd:"];
            for value in names.iter().filter_map(|name| line.strip_prefix(name)) {
                self.redactor.add(value.trim(), "[secret]");
            }
        }
    }

    /// Deletes a session, or asks for it once more, and says what came back.
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
