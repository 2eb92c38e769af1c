//! Refusals of a POST: a reason comes in, the reply and what the record says
//! of it go out.

use std::time::Duration;

use http::StatusCode;

use crate::negotiation::AnswerError;
use crate::reply::{Reply, pairs, reply};
use crate::rules::Refusal;

/// A refused POST: what the stage sends and records.
pub(crate) struct RefusedPost {
    refusal: Refusal,
    pub(crate) code: Option<u32>,
    pub(crate) reason: String,
}

impl RefusedPost {
    /// A refusal without an IVS code.
    pub(crate) fn plain(status: u16, message: &str) -> Self {
        Self {
            refusal: Refusal::message(status, message),
            code: None,
            reason: message.to_owned(),
        }
    }

    /// The rules' refusal of a POST without a token.
    pub(crate) fn without_token(refusal: Refusal) -> Self {
        Self {
            reason: "missing bearer token".to_owned(),
            ..Self::by_rule(refusal)
        }
    }

    /// A POST above the rate, which allows the next one after `wait`.
    pub(crate) fn throttled(wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let reason = "more POSTs than the stage's rate allows";
        let refused = Self::ivs(StatusCode::TOO_MANY_REQUESTS, 2013, "throttled", reason);
        let refusal = refused.refusal.header("Retry-After", &seconds.to_string());
        Self { refusal, ..refused }
    }

    /// A POST while there are as many sessions as the stage takes.
    pub(crate) fn at_capacity() -> Self {
        let reason = "the stage has as many live sessions as its limit allows";
        Self::ivs(StatusCode::BAD_REQUEST, 2005, "stage at capacity", reason)
    }

    /// A subscription while there are as many viewers as the stage takes.
    pub(crate) fn too_many_viewers(limit: usize) -> Self {
        let reason = format!("the stage has {limit} viewers, as many as its limit allows");
        Self::ivs(StatusCode::BAD_REQUEST, 2005, &reason, &reason)
    }

    /// A subscription to somebody who doesn't publish.
    pub(crate) fn nobody_publishes() -> Self {
        let reason = "no participant with this id publishes";
        Self::ivs(
            StatusCode::NOT_FOUND,
            2004,
            "remote stream not found",
            reason,
        )
    }

    /// The same refusal as a subscriber gets it.
    pub(crate) fn of_subscriber(self) -> Self {
        if self.code != Some(2001) {
            return self;
        }
        let status = self.refusal.status;
        Self {
            refusal: Refusal::ivs(status, 2001, "failed to create subscriber session"),
            ..self
        }
    }

    /// A refusal with an IVS error code.
    pub(crate) fn ivs(status: StatusCode, code: u32, message: &str, reason: &str) -> Self {
        Self {
            refusal: Refusal::ivs(status.as_u16(), code, message),
            code: Some(code),
            reason: reason.to_owned(),
        }
    }

    /// A valid token without this capability.
    pub(crate) fn without_capability(name: &str) -> Self {
        let reason = format!("the token lacks {name}");
        let message = "insufficient capabilities";
        Self::ivs(StatusCode::FORBIDDEN, 2003, message, &reason)
    }

    /// Code 2001 with the message that IVS sends.
    pub(crate) fn code_2001(reason: &str) -> Self {
        let message = "failed to create publisher session";
        Self::ivs(StatusCode::BAD_REQUEST, 2001, message, reason)
    }

    pub(crate) fn no_answer(error: &AnswerError) -> Self {
        let reason = error.to_string();
        match error {
            AnswerError::Codec => {
                Self::ivs(StatusCode::BAD_REQUEST, 2014, "no matching codec", &reason)
            }
            AnswerError::Offer(_) => Self::code_2001(&reason),
            // For example too many open files: the next POST may succeed.
            AnswerError::Socket(_) => {
                Self::plain(StatusCode::SERVICE_UNAVAILABLE.as_u16(), &reason)
            }
        }
    }

    pub(crate) fn by_rule(refusal: Refusal) -> Self {
        let body: Option<serde_json::Value> = serde_json::from_str(&refusal.body).ok();
        let code = body.and_then(|body| body.get("code")?.as_u64());
        Self {
            refusal,
            code: code.and_then(|code| u32::try_from(code).ok()),
            reason: "a refusal of the stage's rules".to_owned(),
        }
    }

    pub(crate) fn reply(&self) -> Reply {
        let status = StatusCode::from_u16(self.refusal.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers: Vec<_> = pairs(&self.refusal.headers).collect();
        reply(status, &headers, &self.refusal.body)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_socket_that_the_system_denies_is_no_fault_of_the_offer() {
        let denied = io::Error::from(io::ErrorKind::QuotaExceeded);
        let refused = RefusedPost::no_answer(&AnswerError::Socket(denied));
        assert_eq!(
            (refused.reply().status().as_u16(), refused.code),
            (503, None)
        );
    }
}
