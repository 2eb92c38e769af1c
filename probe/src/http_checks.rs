//! Checks by HTTP alone. No media follows the offers.

use std::time::Duration;

use gstivs::whip::{Fragment, Token, Trickling};
use http::header::{HeaderValue, IF_MATCH};
use http::{Method, Request};
use url::Url;

use crate::findings::{ConcurrentSessions, OfferOutcome, Offered, SEE_ABOVE, SessionChecks};
use crate::offers::{VideoSection, ice_text};
use crate::plan::{CONFLICT_RETRIES, UNCONNECTED_SECONDS, UNCONNECTED_SECONDS_LOCAL};
use crate::probe::{OfferAttempt, Probe, Session};
use crate::reply;
use crate::sessions::Pace;
use crate::stop::Stop;

/// An address for documentation (RFC 5737): nobody gets the server's checks.
const CANDIDATE: &str = "candidate:1 1 udp 2130706431 192.0.2.1 9 typ host";

/// Stands for a reply, where Ctrl-C came before the request.
const NOT_SENT: &str = "not sent: the run was interrupted";

/// How long to wait for an earlier session to disappear.
const CONFLICT_WAIT: Duration = Duration::from_secs(15);
const CONFLICT_WAIT_LOCAL: Duration = Duration::from_millis(100);

impl Probe {
    /// Offers each kind of video section, and checks the first session that this
    /// makes in detail.
    pub(crate) async fn offer_each_section(&mut self) -> Result<(), Stop> {
        let endpoint = self.arguments.endpoint.url().clone();
        let token = self.arguments.tokens.main.clone();
        self.findings.endpoint_options = Some(self.options(&endpoint, Some(&token)).await);
        for section in VideoSection::ALL {
            let attempt = self.post_offer_despite_conflict(section, &token).await?;
            let mut posted = attempt.posted;
            if attempt.stop.is_some() && !posted.outcome.is_accepted() {
                // What stops the run says nothing about the section.
                posted.outcome = OfferOutcome::Inconclusive(SEE_ABOVE.to_owned());
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

    /// POSTs an offer, and repeats it if an earlier session was in the way, since
    /// that says nothing about the section.
    async fn post_offer_despite_conflict(
        &mut self,
        section: VideoSection,
        token: &Token,
    ) -> Result<OfferAttempt, Stop> {
        loop {
            let attempt = self.post_offer(section, token, Pace::Paused).await?;
            let OfferOutcome::Conflict(reply) = &attempt.posted.outcome else {
                return Ok(attempt);
            };
            if self.conflict_retries == CONFLICT_RETRIES {
                return Err(Stop::Hopeless(format!(
                    "an earlier session stays in the way: {reply}"
                )));
            }
            self.conflict_retries += 1;
            let wait = match self.arguments.is_local() {
                true => CONFLICT_WAIT_LOCAL,
                false => CONFLICT_WAIT,
            };
            self.interrupt.wait(wait).await?;
        }
    }

    /// Sends OPTIONS, PATCH and two DELETEs for a session, and makes another one
    /// without a pause.
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
            return NOT_SENT.to_owned();
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
        let fragment = Fragment::of_offer(&session.offer, &[CANDIDATE.to_owned()], true);
        let (Some(fragment), Ok(())) = (fragment, self.interrupt.check()) else {
            return NOT_SENT.to_owned();
        };
        let request = trickling.patch(session.token.as_ref(), &fragment);
        reply::describe(&self.client.send(request).await, &self.redactor)
    }

    /// Asks for an ICE restart, by new credentials and `If-Match: *`
    /// (RFC 9725 4.3.3).
    async fn restart(&mut self, session: &Session, trickling: &Trickling) -> String {
        let credentials = (ice_text(6), ice_text(24), self.interrupt.check());
        let (Ok(ufrag), Ok(pwd), Ok(())) = credentials else {
            return NOT_SENT.to_owned();
        };
        let fragment = Fragment::new(&ufrag, &pwd, "0", &[], false);
        let mut request = trickling.patch(session.token.as_ref(), &fragment);
        let headers = request.headers_mut();
        headers.insert(IF_MATCH, HeaderValue::from_static("*"));
        let reply = self.client.send(request).await;
        if let Ok(reply) = &reply {
            let body = String::from_utf8_lossy(reply.body().bytes()).into_owned();
            self.redactor.add_ice_credentials(&body);
        }
        reply::describe(&reply, &self.redactor)
    }

    /// How long a session stays that no client connects to. A publisher that
    /// vanishes would tell more, but could not delete its session.
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
            let reply = self.delete(&session).await;
            waited?;
            let is_gone = ["HTTP 404", "HTTP 410"].contains(&reply.as_str());
            self.findings.unconnected.push((time, reply));
            if is_gone {
                break;
            }
        }
        Ok(())
    }

    /// Two sessions at once with one token: the spare one, as the service may
    /// reject the token afterwards.
    pub(crate) async fn concurrent(&mut self) -> Result<(), Stop> {
        let Some(section) = self.findings.accepted_section() else {
            return Ok(());
        };
        let spare = self.arguments.tokens.spare.clone();
        let with_spare = spare.is_some();
        let token = spare.unwrap_or_else(|| self.arguments.tokens.main.clone());
        let first = self.post_offer(section, &token, Pace::Paused).await?;
        let Some(session) = first.session else {
            return first.stop.map_or(Ok(()), Err);
        };
        let second = self.post_offer(section, &token, Pace::Immediate).await?;
        let first_delete = self.delete(&session).await;
        if let Some(session) = &second.session {
            self.delete(session).await;
        }
        self.findings.concurrent = Some(ConcurrentSessions {
            second: second.posted.outcome,
            first_delete,
            with_spare,
        });
        unless_throttled(second.stop)
    }

    /// Offers with an expired token.
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
        unless_throttled(attempt.stop)
    }
}

/// Goes on after a refusal that the check was meant to show.
fn unless_throttled(stop: Option<Stop>) -> Result<(), Stop> {
    match stop {
        Some(stop @ Stop::Throttled(_)) => Err(stop),
        _ => Ok(()),
    }
}
