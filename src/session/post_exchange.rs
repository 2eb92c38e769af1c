//! The POST and its redirects, as one operation to wait for.

use tokio::sync::watch;
use tokio::time::Instant;

use super::candidate_names::look_up_candidates;
use super::config::Config;
use super::event::{Event, Warning};
use super::failure::{Cause, Failure, Phase};
use super::http_io::send;
use super::process::Process;
use super::tokens::SessionToken;
use crate::ivs::{OfferedMedia, TokenDenied, may_have_token};
use crate::whip::{Created, Offer, Post, PostError, Reply, Token, origin};

/// A session that the server has made, with what its DELETE needs.
pub(super) struct CreatedSession {
    pub(super) created: Created,
    /// The server that answered the POST: scheme, host and port.
    pub(super) host: String,
    pub(super) token: SessionToken,
}

pub(super) struct Exchange {
    pub(super) process: &'static Process,
    pub(super) config: Config,
    pub(super) offered: OfferedMedia,
    pub(super) attempt: u32,
    pub(super) stop: watch::Receiver<bool>,
}

impl Exchange {
    /// Sends the offer and follows redirects, up to a session or a failure.
    /// `None` if a stop came before a session was made.
    pub(super) async fn run(
        mut self,
        offer: Offer,
        mut emit: impl FnMut(Event) + Send + 'static,
    ) -> Option<Result<CreatedSession, Failure>> {
        let deadline = self.config.http_timeout.map(|bound| Instant::now() + bound);
        let mut post = Post::new(&self.config.endpoint, offer);
        loop {
            let host = origin(post.url());
            let step = self.step(post, deadline, &mut emit).await;
            match step {
                Ok(Step::Again(next)) => post = next,
                Ok(Step::Done(established)) => return Some(Ok(*established)),
                Ok(Step::Stopped) => return None,
                Err(cause) => return Some(Err(self.failure(host, cause))),
            }
        }
    }

    async fn step(
        &mut self,
        post: Post,
        deadline: Option<Instant>,
        emit: &mut (impl FnMut(Event) + Send),
    ) -> Result<Step, Cause> {
        let tokens = &self.config.tokens;
        let token = tokio::select! {
            biased;
            _ = self.stop.wait_for(|stop| *stop) => return Ok(Step::Stopped),
            token = tokens.newest() => token.map_err(Cause::Token)?,
        };
        let request = post.request(token.as_ref());
        let reply = send(self.process, request, deadline, &mut self.stop).await;
        let asked = post.url().clone();
        let read = post.read(&reply.map_err(Cause::Send)?);
        match read.map_err(|error| refused(error, self.offered.clone(), token.as_ref(), &asked))? {
            Reply::Redirect(redirect) => {
                self.check_token_scope(&token, &redirect.from, redirect.to.url())
                    .map_err(Cause::TokenDenied)?;
                let (from, to) = (origin(&redirect.from), origin(redirect.to.url()));
                emit(Event::Redirected { from, to });
                Ok(Step::Again(redirect.to))
            }
            Reply::Created(mut created) => {
                for deviation in &created.deviations {
                    emit(Event::Warning(Warning::Deviation(deviation.clone())));
                }
                let mut token = token;
                if let Some(resource) = &created.resource
                    && let Err(denied) = self.check_token_scope(&token, &asked, resource.url())
                {
                    token = None;
                    if denied == TokenDenied::InHostName {
                        created.resource = None;
                    }
                    emit(Event::Warning(Warning::ResourceElsewhere(denied)));
                }
                if let Ok(answer) = &mut created.answer {
                    tokio::select! {
                        biased;
                        _ = self.stop.wait_for(|stop| *stop) => {}
                        () = look_up_candidates(answer, token.as_ref(), emit) => {}
                    }
                }
                let host = origin(&asked);
                Ok(Step::Done(Box::new(CreatedSession {
                    created,
                    host,
                    token: SessionToken::new(&self.config.tokens, token),
                })))
            }
        }
    }

    /// Checks whether the token may go to the next URL. Without a token any host
    /// is allowed, but a downgrade to http is still refused: the offer contains
    /// an ICE password.
    fn check_token_scope(
        &self,
        token: &Option<Token>,
        from: &url::Url,
        to: &url::Url,
    ) -> Result<(), TokenDenied> {
        let host = to.host_str().unwrap_or_default();
        if token.as_ref().is_some_and(|token| token.is_shown_by(host)) {
            return Err(TokenDenied::InHostName);
        }
        match may_have_token(from, to, &self.config.redirect_hosts) {
            Err(TokenDenied::Host { .. }) if token.is_none() => Ok(()),
            verdict => verdict,
        }
    }

    fn failure(&self, host: String, cause: Cause) -> Failure {
        Failure {
            phase: Phase::Post,
            host,
            attempt: self.attempt,
            cause,
        }
    }
}

enum Step {
    Again(Post),
    Done(Box<CreatedSession>),
    /// A stop came before the request was sent.
    Stopped,
}

fn refused(
    mut error: PostError,
    offered: OfferedMedia,
    token: Option<&Token>,
    asked: &url::Url,
) -> Cause {
    if let PostError::Refused(refusal) = &mut error {
        refusal.redact_request(token, asked);
    }
    Cause::Post {
        error,
        offered: Box::new(offered),
        with_token: token.is_some(),
    }
}
