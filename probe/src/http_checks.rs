//! What is asked by HTTP alone: offers that no media follows.

use std::time::Duration;

use gstivs::whip::{Fragment, Token, Trickling};
use http::header::{HeaderValue, IF_MATCH};
use http::{Method, Request};
use url::Url;

use crate::findings::{ABOVE, ConcurrentSessions, OfferOutcome, Offered, SessionChecks};
use crate::offers::{VideoSection, ice_text};
use crate::plan::{CONFLICT_RETRIES, UNCONNECTED_SECONDS, UNCONNECTED_SECONDS_LOCAL};
use crate::probe::{OfferAttempt, Probe, Session};
use crate::reply;
use crate::sessions::Pace;
use crate::stop::Stop;

/// An address for documentation (RFC 5737), where nobody is disturbed.
const NOBODY: &str = "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host";

/// In place of a reply that Ctrl-C was not made to wait for.
const NOT_ASKED: &str = "not asked: the run was cut short";

/// How long an earlier session has to go away.
const REST: Duration = Duration::from_secs(15);
const REST_HERE: Duration = Duration::from_millis(100);

impl Probe {
    /// Offers each form of video section, and looks closely at the first
    /// session that comes of it.
    pub(crate) async fn offer_each_section(&mut self) -> Result<(), Stop> {
        let endpoint = self.arguments.endpoint.url().clone();
        let token = self.arguments.tokens.main.clone();
        self.findings.endpoint_options = Some(self.options(&endpoint, Some(&token)).await);
        for section in VideoSection::ALL {
            let attempt = self.post_offer_despite_conflict(section, &token).await?;
            let mut posted = attempt.posted;
            if attempt.stop.is_some() && !posted.outcome.is_accepted() {
                // Whatever ends the run is no verdict on the form, and is told
                // as the run's end.
                posted.outcome = OfferOutcome::Inconclusive(ABOVE.to_owned());
            }
            self.findings.offers.push(Offered { section, posted });
            match attempt.session {
                Some(session) if self.findings.session_checks.is_none() => {
                    self.check_session(section, session).await?;
                }
                Some(session) => {
                    self.delete(&session).await;
                }
                None => {}
            }
            attempt.stop.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Asks again after a rest where an earlier session was in the way, since
    /// that is no verdict on the form.
    async fn post_offer_despite_conflict(
        &mut self,
        section: VideoSection,
        token: &Token,
    ) -> Result<OfferAttempt, Stop> {
        loop {
            let attempt = self.post_offer(section, token, Pace::Paused).await?;
            let OfferOutcome::Conflict(told) = &attempt.posted.outcome else {
                return Ok(attempt);
            };
            if self.conflict_retries == CONFLICT_RETRIES {
                return Err(Stop::Hopeless(format!(
                    "an earlier session stays in the way: {told}"
                )));
            }
            self.conflict_retries += 1;
            let rest = match self.arguments.is_local() {
                true => REST_HERE,
                false => REST,
            };
            self.interrupt.wait(rest).await?;
        }
    }

    /// Asks one session all that can be asked of one, ends it, and makes
    /// another at once.
    async fn check_session(&mut self, section: VideoSection, session: Session) -> Result<(), Stop> {
        let token = session.token.clone();
        let (mut options, mut trickle, mut restart) = (String::new(), String::new(), String::new());
        if let (Some(url), Some(trickling)) = (&session.url, &session.trickling) {
            options = self.options(url, token.as_ref()).await;
            trickle = self.trickle(&session, trickling).await;
            restart = self.restart(&session, trickling).await;
        }
        self.findings.session_checks = Some(SessionChecks {
            section,
            options,
            trickle,
            restart,
            delete: self.delete(&session).await,
            delete_again: self.delete(&session).await,
        });
        let main = self.arguments.tokens.main.clone();
        let attempt = self.post_offer(section, &main, Pace::Immediate).await?;
        self.findings.after_delete = Some(attempt.posted);
        if let Some(session) = attempt.session {
            self.delete(&session).await;
        }
        attempt.stop.map_or(Ok(()), Err)
    }

    async fn options(&self, url: &Url, token: Option<&Token>) -> String {
        if self.interrupt.check().is_err() {
            return NOT_ASKED.to_owned();
        }
        let mut request = Request::new(String::new());
        *request.method_mut() = Method::OPTIONS;
        *request.uri_mut() = url.as_str().parse().unwrap_or_default();
        if let Some(token) = token {
            let headers = request.headers_mut();
            headers.insert(http::header::AUTHORIZATION, token.authorization());
        }
        reply::describe(&self.client.send(request).await, &self.redactor)
    }

    async fn trickle(&self, session: &Session, trickling: &Trickling) -> String {
        let fragment = Fragment::of_offer(&session.offer, &[NOBODY.to_owned()], true);
        let (Some(fragment), Ok(())) = (fragment, self.interrupt.check()) else {
            return NOT_ASKED.to_owned();
        };
        let request = trickling.patch(session.token.as_ref(), &fragment);
        reply::describe(&self.client.send(request).await, &self.redactor)
    }

    /// Other credentials than the offer's ask for an ICE restart, with a star
    /// for `If-Match` (RFC 9725 4.3.3).
    async fn restart(&mut self, session: &Session, trickling: &Trickling) -> String {
        let credentials = (ice_text(6), ice_text(24), self.interrupt.check());
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
            self.redactor.add_ice_credentials(&body);
        }
        reply::describe(&reply, &self.redactor)
    }

    /// How long a session stays that nobody connects to. A session whose
    /// publisher was there and vanished would be the better question, but
    /// nobody could delete it then.
    pub(crate) async fn unconnected(&mut self) -> Result<(), Stop> {
        let Some(section) = self.findings.accepted_section() else {
            return Ok(());
        };
        let times: &[u64] = match self.arguments.is_local() {
            true => &UNCONNECTED_SECONDS_LOCAL,
            false => &UNCONNECTED_SECONDS,
        };
        let tokens = &self.arguments.tokens;
        let token = tokens.spare.as_ref().unwrap_or(&tokens.main).clone();
        for time in times.iter().map(|seconds| Duration::from_secs(*seconds)) {
            let attempt = self.post_offer(section, &token, Pace::Paused).await?;
            let Some(session) = attempt.session else {
                return attempt.stop.map_or(Ok(()), Err);
            };
            let waited = self.interrupt.wait(time).await;
            let told = self.delete(&session).await;
            waited?;
            let is_gone = ["HTTP 404", "HTTP 410"].contains(&told.as_str());
            self.findings.unconnected.push((time, told));
            if is_gone {
                break;
            }
        }
        Ok(())
    }

    /// A second session while the first one stands, with one token. It may cost
    /// that token its good name, so it comes last and takes the spare one.
    pub(crate) async fn concurrent(&mut self) -> Result<(), Stop> {
        let Some(section) = self.findings.accepted_section() else {
            return Ok(());
        };
        let spare = self.arguments.tokens.spare.clone();
        let with_spare = spare.is_some();
        let token = spare.unwrap_or_else(|| self.arguments.tokens.main.clone());
        let first = self.post_offer(section, &token, Pace::Paused).await?;
        let Some(standing) = first.session else {
            return first.stop.map_or(Ok(()), Err);
        };
        let second = self.post_offer(section, &token, Pace::Immediate).await?;
        let told = self.delete(&standing).await;
        if let Some(session) = &second.session {
            self.delete(session).await;
        }
        self.findings.concurrent = Some(ConcurrentSessions {
            second: second.posted.outcome,
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
    pub(crate) async fn expired_token(&mut self, token: &Token) -> Result<(), Stop> {
        let section = self
            .findings
            .accepted_section()
            .unwrap_or(VideoSection::Inactive);
        let attempt = self.post_offer(section, token, Pace::Paused).await?;
        if let Some(session) = &attempt.session {
            self.delete(session).await;
        }
        self.findings.expired_token = Some(attempt.posted);
        attempt
            .stop
            .filter(|stop| matches!(stop, Stop::Throttled(_)))
            .map_or(Ok(()), Err)
    }
}
