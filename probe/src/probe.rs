//! The half that is HTTP only: offers without anybody behind them.

use std::error::Error;
use std::time::Duration;

use gstivs::whip::{Fragment, Offer, Token, Trickling};
use http::header::{HeaderValue, IF_MATCH};
use http::{Method, Request};
use url::Url;

use crate::arguments::Arguments;
use crate::client::{Client, End, Made, Way};
use crate::findings::{ABOVE, Asked, AtOnce, Findings, Hop, Look, Offered, Verdict};
use crate::no_reply::Silence;
use crate::offers::{Draft, Form, ice_text};
use crate::plan::AGAIN;
use crate::redaction::Mask;
use crate::reply;
use crate::sessions::{Ledger, Pace, Ticket};
use crate::stop::{Halt, Stop};
use crate::terminal::tell;

/// An address for documentation (RFC 5737), where nobody is disturbed.
const NOBODY: &str = "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host";

/// In place of a reply that Ctrl-C was not made to wait for.
const NOT_ASKED: &str = "not asked: the run was cut short";

/// How long an earlier session has to go away.
const REST: Duration = Duration::from_secs(15);
const REST_HERE: Duration = Duration::from_millis(100);

pub(crate) struct Probe {
    pub(crate) arguments: Arguments,
    pub(crate) client: Client,
    pub(crate) ledger: Ledger,
    pub(crate) mask: Mask,
    pub(crate) halt: Halt,
    pub(crate) findings: Findings,
    /// How often something was asked again.
    again: usize,
}

/// What came of one offer.
pub(crate) struct Outcome {
    pub(crate) asked: Asked,
    /// The session that it made, which has to be deleted.
    pub(crate) session: Option<Session>,
    pub(crate) stop: Option<Stop>,
}

pub(crate) struct Session {
    /// None where the server named no URL.
    pub(crate) ticket: Option<Ticket>,
    url: Option<Url>,
    token: Option<Token>,
    trickling: Option<Trickling>,
    offer: Offer,
}

impl Probe {
    pub(crate) fn new(arguments: Arguments, halt: Halt) -> Result<Self, Box<dyn Error>> {
        let mut mask = Mask::default();
        for token in &arguments.tokens.all {
            mask.learn_token(token);
        }
        // Of another server's endpoint the path can be the stream key.
        for secret in [
            arguments.endpoint.url().path(),
            arguments.endpoint.url().query().unwrap_or(""),
        ] {
            mask.learn(secret, "/…");
        }
        let ledger = match arguments.is_local() {
            true => Ledger::of_this_machine(),
            false => Ledger::of_service(),
        };
        Ok(Self {
            client: Client::new()?,
            ledger,
            mask,
            halt,
            findings: Findings::default(),
            again: 0,
            arguments,
        })
    }

    /// Offers each form of video section, and looks closely at the first
    /// session that comes of it.
    pub(crate) async fn offers(&mut self) -> Result<(), Stop> {
        let endpoint = self.arguments.endpoint.url().clone();
        let token = self.arguments.tokens.main.clone();
        self.findings.endpoint_options = Some(self.options(&endpoint, Some(&token)).await);
        for form in Form::ALL {
            let outcome = self.ask_patiently(form, &token).await?;
            let mut asked = outcome.asked;
            if outcome.stop.is_some() && !asked.verdict.is_accepted() {
                // Whatever ends the run is no verdict on the form, and is told
                // as the run's end.
                asked.verdict = Verdict::Unknown(ABOVE.to_owned());
            }
            self.findings.offers.push(Offered { form, asked });
            match outcome.session {
                Some(session) if self.findings.look.is_none() => {
                    self.look(form, session).await?;
                }
                Some(session) => {
                    self.delete(&session).await;
                }
                None => {}
            }
            outcome.stop.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Asks again after a rest where an earlier session was in the way, since
    /// that is no verdict on the form.
    async fn ask_patiently(&mut self, form: Form, token: &Token) -> Result<Outcome, Stop> {
        loop {
            let outcome = self.ask(form, token, Pace::Gentle).await?;
            let Verdict::InTheWay(told) = &outcome.asked.verdict else {
                return Ok(outcome);
            };
            if self.again == AGAIN {
                return Err(Stop::Hopeless(format!(
                    "an earlier session stays in the way: {told}"
                )));
            }
            self.again += 1;
            let rest = match self.arguments.is_local() {
                true => REST_HERE,
                false => REST,
            };
            self.halt.wait(rest).await?;
        }
    }

    /// POSTs one offer. The session is in the ledger when this returns.
    pub(crate) async fn ask(
        &mut self,
        form: Form,
        token: &Token,
        pace: Pace,
    ) -> Result<Outcome, Stop> {
        self.ledger.may_open(&mut self.halt, pace).await?;
        tell(&format!("offering: {}", form.name()));
        let draft = Draft::new(form).map_err(|error| Stop::Hopeless(error.to_string()))?;
        self.learn_credentials(&draft.body);
        let offer = draft.offer.clone();
        let endpoint = &self.arguments.endpoint;
        // Not cut short by Ctrl-C: the reply may name a session to delete.
        let way = self
            .client
            .post(endpoint, token, draft.offer, &draft.body)
            .await;
        self.ledger.offered();
        Ok(self.outcome(way, offer))
    }

    fn outcome(&mut self, way: Way, offer: Offer) -> Outcome {
        let (mut session, mut stop) = (None, None);
        for hop in &way.hops {
            self.mask.learn(hop.url.path(), "/…");
            self.mask.learn(hop.url.query().unwrap_or(""), "[query]");
        }
        let verdict = match way.end {
            End::Created(made) => {
                let (head, made) = self.created(*made, offer);
                session = Some(made);
                Verdict::Accepted(Box::new(head))
            }
            End::Refused(mut refusal) => {
                // Ahead of the excerpt, which could cut one of them in two.
                refusal.hide(&self.mask.long());
                let (verdict, reason) = reply::refused(&refusal, &self.mask);
                stop = reason;
                verdict
            }
            End::Other(words) => {
                let words = self.mask.foreign(&words);
                stop = Some(Stop::Hopeless(words.clone()));
                Verdict::Unknown(words)
            }
            End::Silence(silence) => {
                let words = self.silent(&silence);
                stop = Some(Stop::Hopeless(format!("an offer got {words}")));
                Verdict::Unknown(words)
            }
        };
        let hops = way.hops.iter().map(|hop| Hop {
            host: reply::host(&hop.url, &self.mask),
            status: hop.status.as_u16(),
            took: hop.took,
        });
        let asked = Asked {
            hops: hops.collect(),
            took: way.took,
            verdict,
        };
        Outcome {
            asked,
            session,
            stop,
        }
    }

    fn silent(&mut self, silence: &Silence) -> String {
        if silence.may_have_arrived() {
            self.ledger
                .trouble("an offer got no reply; if it made a session, it could not be deleted");
        }
        format!("no reply: {}", self.mask.foreign(&silence.to_string()))
    }

    fn created(&mut self, mut made: Made, offer: Offer) -> (crate::findings::Head, Session) {
        let resource = made.created.resource.take();
        let url = resource.as_ref().map(|resource| resource.url().clone());
        if let Some(url) = &url {
            self.mask.learn(url.path(), "/…");
            self.mask.learn(url.query().unwrap_or(""), "[query]");
            for segment in url.path_segments().into_iter().flatten() {
                // "session" itself is a word of the report.
                if segment.len() >= 8 {
                    self.mask.learn(segment, "[resource]");
                }
            }
        }
        self.learn_credentials(&made.answer);
        let head = reply::head(&made, url.as_ref(), &self.mask);
        let trickling = resource.as_ref().map(|resource| resource.trickling());
        let session = Session {
            ticket: self.ledger.opened(resource, made.token.as_ref()),
            url,
            token: made.token,
            trickling,
            offer,
        };
        (head, session)
    }

    fn learn_credentials(&mut self, sdp: &str) {
        for line in sdp.lines() {
            let names = ["a=ice-ufrag:", "a=ice-pwd:"];
            for value in names.iter().filter_map(|name| line.strip_prefix(name)) {
                self.mask.learn(value.trim(), "[secret]");
            }
        }
    }

    /// Asks one session all that can be asked of one, ends it, and makes
    /// another at once.
    async fn look(&mut self, form: Form, session: Session) -> Result<(), Stop> {
        let token = session.token.clone();
        let (mut options, mut trickle, mut restart) = (String::new(), String::new(), String::new());
        if let (Some(url), Some(trickling)) = (&session.url, &session.trickling) {
            options = self.options(url, token.as_ref()).await;
            trickle = self.trickle(&session, trickling).await;
            restart = self.restart(&session, trickling).await;
        }
        self.findings.look = Some(Look {
            form,
            options,
            trickle,
            restart,
            delete: self.delete(&session).await,
            delete_again: self.delete(&session).await,
        });
        let main = self.arguments.tokens.main.clone();
        let outcome = self.ask(form, &main, Pace::AtOnce).await?;
        self.findings.after_delete = Some(outcome.asked);
        if let Some(session) = outcome.session {
            self.delete(&session).await;
        }
        outcome.stop.map_or(Ok(()), Err)
    }

    async fn options(&self, url: &Url, token: Option<&Token>) -> String {
        if self.halt.check().is_err() {
            return NOT_ASKED.to_owned();
        }
        let mut request = Request::new(String::new());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = url.as_str().parse().unwrap_or_default();
        if let Some(token) = token {
            let headers = request.headers_mut();
            headers.insert(http::header::AUTHORIZATION, token.authorization());
        }
        reply::told(&self.client.send(request).await, &self.mask)
    }

    async fn trickle(&self, session: &Session, trickling: &Trickling) -> String {
        let fragment = Fragment::of_offer(&session.offer, &[NOBODY.to_owned()], true);
        let (Some(fragment), Ok(())) = (fragment, self.halt.check()) else {
            return NOT_ASKED.to_owned();
        };
        let request = trickling.patch(session.token.as_ref(), &fragment);
        reply::told(&self.client.send(request).await, &self.mask)
    }

    /// Other credentials than the offer's ask for an ICE restart, with a star
    /// for `If-Match` (RFC 9725 4.3.3).
    async fn restart(&mut self, session: &Session, trickling: &Trickling) -> String {
        let credentials = (ice_text(6), ice_text(24), self.halt.check());
        let (Ok(ufrag), Ok(pwd), Ok(())) = credentials else {
            return NOT_ASKED.to_owned();
        };
        let fragment = Fragment::new(&ufrag, &pwd, "0", &[], false);
        let mut request = trickling.patch(session.token.as_ref(), &fragment);
        let star = HeaderValue::from_static("*");
        request.headers_mut().insert(IF_MATCH, star);
        let reply = self.client.send(request).await;
        if let Ok(reply) = &reply {
            let body = String::from_utf8_lossy(reply.body().bytes()).into_owned();
            self.learn_credentials(&body);
        }
        reply::told(&reply, &self.mask)
    }

    /// Deletes a session, or asks for it once more, and says what came back.
    pub(crate) async fn delete(&mut self, session: &Session) -> String {
        let Some(ticket) = &session.ticket else {
            return "not possible without a `Location`".to_owned();
        };
        match self.ledger.delete(&self.client, ticket).await {
            Ok(status) => format!("HTTP {status}"),
            Err(silence) => format!("no reply: {}", self.mask.foreign(&silence.to_string())),
        }
    }

    /// A second session while the first one stands, with one token. It may cost
    /// that token its good name, so it comes last and takes the spare one.
    pub(crate) async fn at_once(&mut self) -> Result<(), Stop> {
        let Some(form) = self.findings.accepted_form() else {
            return Ok(());
        };
        let spare = self.arguments.tokens.spare.clone();
        let with_spare = spare.is_some();
        let token = spare.unwrap_or_else(|| self.arguments.tokens.main.clone());
        let first = self.ask(form, &token, Pace::Gentle).await?;
        let Some(standing) = first.session else {
            return first.stop.map_or(Ok(()), Err);
        };
        let second = self.ask(form, &token, Pace::AtOnce).await?;
        let told = self.delete(&standing).await;
        if let Some(session) = &second.session {
            self.delete(session).await;
        }
        self.findings.at_once = Some(AtOnce {
            second: second.asked.verdict,
            first: Some(told),
            with_spare,
        });
        // A conflict was to be expected and is no reason to stop.
        second
            .stop
            .filter(|stop| matches!(stop, Stop::Throttled(_)))
            .map_or(Ok(()), Err)
    }

    /// What an expired token gets.
    pub(crate) async fn expired(&mut self, token: &Token) -> Result<(), Stop> {
        let form = self.findings.accepted_form().unwrap_or(Form::Inactive);
        let outcome = self.ask(form, token, Pace::Gentle).await?;
        if let Some(session) = &outcome.session {
            self.delete(session).await;
        }
        self.findings.expired = Some(outcome.asked);
        outcome
            .stop
            .filter(|stop| matches!(stop, Stop::Throttled(_)))
            .map_or(Ok(()), Err)
    }
}
