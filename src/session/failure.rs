//! Why an attempt failed, as an application and its user need to know it.

use std::fmt;
use std::time::Duration;

use super::http_io::SendError;
use super::panics::Panicked;
use super::proxy::ProxyProblem;
use super::tokens::{NoToken, TokenProblem};
use crate::ivs::{
    CANNOT_PUBLISH, EXPIRED_TOKEN, OfferedMedia, RefusalKind, Retry, TokenDenied, TokenStatus,
    UDP_ADVICE, explain_refusal, is_final_for_ivs, ivs_code,
};
use crate::whip::{AnswerError, PostError, RetryAfter};

/// Why an attempt failed. Displays as one sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the session was doing.
    pub phase: Phase,
    /// The server: scheme, host and port.
    pub host: String,
    /// Number of the attempt, from 1, counted since the last good session.
    pub attempt: u32,
    /// What went wrong.
    pub cause: Cause,
}

impl Failure {
    /// The kind of error, which decides the error code on the bus.
    pub fn kind(&self) -> ErrorKind {
        match &self.cause {
            Cause::Token(_) | Cause::NoToken => ErrorKind::Settings,
            Cause::Claims(_) => ErrorKind::NotAuthorized,
            Cause::TokenDenied(_) | Cause::Certificate => ErrorKind::NotAuthorized,
            Cause::Post { error, offered, .. } => match error {
                PostError::Refused(refusal) => explain_refusal(refusal, offered).kind.into(),
                _ => ErrorKind::OpenWrite,
            },
            Cause::Send(SendError::UnknownHost) => ErrorKind::NotFound,
            Cause::Send(_) | Cause::Answer(_) | Cause::NotConnected { .. } => ErrorKind::OpenWrite,
            Cause::Peer(_) | Cause::NoOffer { .. } => ErrorKind::OpenWrite,
            Cause::Lost(_) | Cause::Closed | Cause::Panicked(_) if !self.was_publishing() => {
                ErrorKind::OpenWrite
            }
            Cause::Lost(_) | Cause::Closed | Cause::Silent { .. } | Cause::Panicked(_) => {
                ErrorKind::Write
            }
        }
    }

    /// Whether another attempt can succeed without a change by the user.
    pub fn is_retryable(&self) -> bool {
        match &self.cause {
            Cause::Post {
                error: PostError::Refused(refusal),
                offered,
                ..
            } => explain_refusal(refusal, offered).retry == Retry::Later,
            Cause::Send(
                SendError::NoCertificates
                | SendError::Tls(_)
                | SendError::Proxy {
                    problem: ProxyProblem::NotAuthorized,
                    ..
                },
            ) => false,
            Cause::Send(_)
            | Cause::NoOffer { .. }
            | Cause::NotConnected { .. }
            | Cause::Lost(_)
            | Cause::Closed
            | Cause::Silent { .. }
            | Cause::Panicked(_) => true,
            Cause::Answer(error) => *error == AnswerError::Broken,
            Cause::Token(_)
            | Cause::NoToken
            | Cause::Claims(_)
            | Cause::TokenDenied(_)
            | Cause::Post { .. }
            | Cause::Peer(_)
            | Cause::Certificate => false,
        }
    }

    /// Whether a publisher that was on air must give up: only if IVS itself
    /// refuses for good. Anything else may pass: a maintenance page, a token
    /// file that is renewed late, a fault of this machine.
    pub fn is_final_on_air(&self) -> bool {
        match &self.cause {
            // IVS's code for unexplained refusals can be temporary if IVS accepted
            // the same offer before.
            Cause::Post {
                error: PostError::Refused(refusal),
                ..
            } => {
                is_final_for_ivs(refusal)
                    && !matches!(ivs_code(refusal), Some(EXPIRED_TOKEN | CANNOT_PUBLISH))
            }
            _ => false,
        }
    }

    /// When the server accepts another attempt (its `Retry-After`).
    pub fn retry_after(&self) -> Option<RetryAfter> {
        match &self.cause {
            Cause::Post {
                error: PostError::Refused(refusal),
                ..
            } => refusal.retry_after,
            _ => None,
        }
    }

    /// Whether the session was publishing when it failed.
    pub fn was_publishing(&self) -> bool {
        self.phase == Phase::Publish
    }

    /// The HTTP status of the reply that caused the failure.
    pub fn http_status(&self) -> Option<u16> {
        match &self.cause {
            Cause::Post { error, .. } => error.status().map(|status| status.as_u16()),
            _ => None,
        }
    }

    /// The code in IVS's JSON error body.
    pub fn ivs_code(&self) -> Option<u32> {
        match &self.cause {
            Cause::Post {
                error: PostError::Refused(refusal),
                ..
            } => ivs_code(refusal),
            _ => None,
        }
    }

    /// What was tried, where, and what came back: the start of a sentence,
    /// without the advice.
    pub fn what_happened(&self) -> impl fmt::Display {
        WithoutAdvice(self)
    }

    fn advice(&self) -> Option<String> {
        Some(match &self.cause {
            Cause::Post {
                error: PostError::Refused(refusal),
                offered,
                with_token,
            } => {
                let explanation = explain_refusal(refusal, offered);
                if explanation.kind == RefusalKind::NotAuthorized && !with_token {
                    "there was no token: set the environment variable IVS_STAGE_TOKEN, or the \
                     property auth-token-file or auth-token"
                        .to_owned()
                } else {
                    explanation.advice
                }
            }
            Cause::Post { .. } => "check whip-endpoint".to_owned(),
            Cause::Send(SendError::UnknownHost | SendError::ConnectionRefused) => {
                "check whip-endpoint and the network".to_owned()
            }
            Cause::Send(SendError::Timeout) => {
                "check the network; the property timeout sets how long to wait".to_owned()
            }
            Cause::Send(SendError::Proxy { proxy, .. }) => {
                format!("check {}, or name the host in no_proxy", proxy.variable)
            }
            Cause::Send(SendError::Tls(_)) => {
                "check that the server speaks https, and that its certificate is trusted here"
                    .to_owned()
            }
            Cause::Answer(AnswerError::Refused { kind }) if kind == "audio" => {
                "the server does not accept this audio: use opusenc with rtpopuspay".to_owned()
            }
            Cause::Answer(AnswerError::Refused { .. }) => {
                "the server does not accept this video: use H.264 with rtph264pay".to_owned()
            }
            Cause::Answer(AnswerError::WebPage) => {
                "check that whip-endpoint is a WHIP server, and that the network does not redirect \
                 to a log-in page"
                    .to_owned()
            }
            Cause::Answer(_) => "check that whip-endpoint is a WHIP server".to_owned(),
            Cause::Panicked(_) => "please report it".to_owned(),
            Cause::Lost(_) | Cause::Closed if self.was_publishing() => return None,
            Cause::NotConnected { .. } | Cause::Lost(_) | Cause::Closed => UDP_ADVICE.to_owned(),
            _ => return None,
        })
    }
}

/// One sentence for the user: what was tried, where, what came back, and what
/// to do next.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_cause(f)?;
        match self.advice() {
            Some(advice) => write!(f, "; {advice}."),
            None => f.write_str("."),
        }
    }
}

/// Displays a failure without its advice.
struct WithoutAdvice<'a>(&'a Failure);

impl fmt::Display for WithoutAdvice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write_cause(f)
    }
}

impl Failure {
    fn write_loss(&self, f: &mut fmt::Formatter<'_>, reason: &str) -> fmt::Result {
        let host = &self.host;
        match self.was_publishing() {
            false => write!(f, "no media connection with {host}: {reason}"),
            true => write!(f, "the media connection with {host} was lost: {reason}"),
        }
    }

    fn write_cause(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = &self.host;
        match &self.cause {
            Cause::Token(problem) => write!(f, "{problem}")?,
            Cause::NoToken => write!(f, "{NoToken}")?,
            Cause::Claims(status) => write!(f, "{status}")?,
            Cause::Send(error) => write!(f, "POST to {host} failed: {error}")?,
            Cause::Post {
                error: PostError::Refused(refusal),
                ..
            } => {
                write!(
                    f,
                    "{host} refused the offer (HTTP {}",
                    refusal.status.as_u16()
                )?;
                if let Some(code) = self.ivs_code() {
                    write!(f, ", IVS code {code}")?;
                }
                match refusal.message() {
                    Some(message) => write!(f, ": {message})")?,
                    None => f.write_str(")")?,
                }
            }
            Cause::Post { error, .. } => write!(f, "POST to {host} failed: {error}")?,
            Cause::TokenDenied(denied) => write!(f, "{denied}")?,
            Cause::Answer(error) => write!(f, "the answer of {host} can't be used: {error}")?,
            Cause::Peer(reason) => write!(f, "no media session with {host}: {reason}")?,
            Cause::NoOffer { after } => {
                write!(f, "webrtcbin made no offer within {} s", after.as_secs())?;
            }
            Cause::NotConnected { after } => write!(
                f,
                "{host} answered, but no media connection came up within {} s",
                after.as_secs()
            )?,
            Cause::Certificate => write!(
                f,
                "the media server of {host} has a certificate that does not match the \
                 fingerprint in its answer; no media was sent"
            )?,
            Cause::Silent { after } => write!(
                f,
                "the media connection with {host} was lost: nothing was received from it for {} s",
                after.as_secs()
            )?,
            Cause::Lost(reason) => self.write_loss(f, reason)?,
            Cause::Closed => self.write_loss(f, "the server closed it")?,
            Cause::Panicked(panicked) => write!(f, "the session with {host} failed: {panicked}")?,
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// What a session was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Making the offer.
    Offer,
    /// The POST and its redirects.
    Post,
    /// Reading and applying the answer.
    Answer,
    /// ICE and DTLS.
    Connect,
    /// Sending media.
    Publish,
}

impl Phase {
    /// The name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Post => "post",
            Self::Answer => "answer",
            Self::Connect => "connect",
            Self::Publish => "publish",
        }
    }
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The configured token source gives no token.
    Token(TokenProblem),
    /// IVS needs a token, none is configured, and the application gave none.
    NoToken,
    /// The token's claims rule out publishing.
    Claims(TokenStatus),
    /// The POST got no reply.
    Send(SendError),
    /// The reply to the POST made no session.
    Post {
        /// What came back.
        error: PostError,
        /// The media in the offer.
        offered: Box<OfferedMedia>,
        /// Whether the request carried a token.
        with_token: bool,
    },
    /// The server redirects to a host that may not receive the token.
    TokenDenied(TokenDenied),
    /// The answer can't be used.
    Answer(AnswerError),
    /// The peer connection reported this error.
    Peer(String),
    /// The peer connection made no offer.
    NoOffer {
        /// The time limit.
        after: Duration,
    },
    /// ICE or DTLS did not finish in time.
    NotConnected {
        /// The time limit.
        after: Duration,
    },
    /// Nothing was received from the far end.
    Silent {
        /// Length of the silence.
        after: Duration,
    },
    /// The far end's certificate does not match the answer's fingerprint.
    Certificate,
    /// The media connection failed or was lost, for this reason.
    Lost(String),
    /// The server closed the media connection.
    Closed,
    /// A task of the session panicked.
    Panicked(Panicked),
}

/// The kind of error, named after GStreamer's resource and library errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A property must be changed.
    Settings,
    /// The token, its rights or the far end's certificate is not accepted.
    NotAuthorized,
    /// There is nothing to publish to at this host or URL.
    NotFound,
    /// The server or the stage is full, throttled or in use.
    Busy,
    /// The session could not be opened.
    OpenWrite,
    /// An open session failed.
    Write,
}

impl From<RefusalKind> for ErrorKind {
    fn from(kind: RefusalKind) -> Self {
        match kind {
            RefusalKind::NotAuthorized => Self::NotAuthorized,
            RefusalKind::NotFound => Self::NotFound,
            RefusalKind::Busy => Self::Busy,
            RefusalKind::OpenWrite => Self::OpenWrite,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use http::StatusCode;

    use super::*;
    use crate::ivs::{FillerMode, OfferedVideo};
    use crate::session::Proxy;
    use crate::whip::Refusal;

    fn failure(cause: Cause) -> Failure {
        Failure {
            phase: Phase::Post,
            host: "https://a.example".into(),
            attempt: 1,
            cause,
        }
    }

    fn refused(status: u16, body: &'static str) -> Failure {
        let refusal = Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            retry_after: None,
            body: body.into(),
        };
        failure(Cause::Post {
            error: PostError::Refused(refusal),
            offered: Box::new(OfferedMedia::accepted(OfferedVideo::Nothing)),
            with_token: true,
        })
    }

    #[test]
    fn refusal_without_video_is_one_helpful_sentence() {
        let failure = refused(
            400,
            r#"{"code":2001,"message":"failed to create publisher session"}"#,
        );
        assert_eq!(
            failure.to_string(),
            "https://a.example refused the offer (HTTP 400, IVS code 2001: failed to create \
             publisher session); IVS says this when an offer has no H.264 video section; \
             video-filler=none is set: use video-filler=auto."
        );
        assert_eq!(
            (failure.http_status(), failure.ivs_code()),
            (Some(400), Some(2001))
        );
        assert_eq!(failure.kind(), ErrorKind::OpenWrite);
    }

    #[test]
    fn retryable_as_the_table_says() {
        assert!(refused(503, "").is_retryable());
        assert!(!refused(403, "").is_retryable());
        assert!(failure(Cause::Send(SendError::Timeout)).is_retryable());
        assert!(failure(Cause::Answer(AnswerError::Broken)).is_retryable());
        assert!(!failure(Cause::Answer(AnswerError::NotSdp)).is_retryable());
        assert!(!failure(Cause::Certificate).is_retryable());
    }

    #[test]
    fn every_cause_has_a_sentence_of_its_own() {
        let causes = [
            Cause::Token(TokenProblem::Unreadable {
                path: "/t".into(),
                kind: std::io::ErrorKind::NotFound,
            }),
            Cause::Claims(TokenStatus::NoPublish),
            Cause::Send(SendError::Timeout),
            Cause::Send(SendError::UnknownHost),
            Cause::Send(SendError::ConnectionRefused),
            Cause::Send(SendError::NoCertificates),
            Cause::Send(SendError::Tls("bad".into())),
            Cause::Send(SendError::Closed),
            Cause::Send(SendError::Proxy {
                proxy: Proxy {
                    address: "http://p".into(),
                    variable: "http_proxy",
                },
                problem: ProxyProblem::Refused,
            }),
            Cause::Post {
                error: PostError::TooManyHops,
                offered: Box::new(OfferedMedia::accepted(OfferedVideo::Filler(
                    FillerMode::Inactive,
                ))),
                with_token: true,
            },
            Cause::TokenDenied(TokenDenied::Host {
                host: "https://b.example".into(),
            }),
            Cause::Answer(AnswerError::Empty),
            Cause::Answer(AnswerError::Refused {
                kind: "audio".into(),
            }),
            Cause::Answer(AnswerError::Refused {
                kind: "video".into(),
            }),
            Cause::Peer("no".into()),
            Cause::NoOffer {
                after: Duration::from_secs(10),
            },
            Cause::NotConnected {
                after: Duration::from_secs(10),
            },
            Cause::Certificate,
            Cause::Silent {
                after: Duration::from_secs(10),
            },
            Cause::Lost("silence".into()),
            Cause::Closed,
            Cause::Panicked(Panicked { task: "waits" }),
        ];
        let count = causes.len();
        let sentences: HashSet<_> = causes
            .into_iter()
            .map(|cause| failure(cause).to_string())
            .collect();
        assert_eq!(sentences.len(), count);
        for sentence in sentences {
            assert!(
                sentence.ends_with('.') && !sentence.contains(".."),
                "{sentence}"
            );
        }
    }
}
