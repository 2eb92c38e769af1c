//! The results so far. Their texts are redacted already.

use std::time::Duration;

use crate::offers::VideoSection;

/// Stands for the reason of the stop, which the report gives once, at its top.
pub(crate) const SEE_ABOVE: &str = "see above";

#[derive(Default)]
pub(crate) struct Findings {
    /// The endpoint's reply to OPTIONS.
    pub(crate) endpoint_options: Option<String>,
    pub(crate) offers: Vec<Offered>,
    pub(crate) session_checks: Option<SessionChecks>,
    pub(crate) after_delete: Option<Posted>,
    pub(crate) concurrent: Option<ConcurrentSessions>,
    pub(crate) expired_token: Option<Posted>,
    pub(crate) streams: Vec<Stream>,
    /// How long a session was left, and the reply to its DELETE.
    pub(crate) unconnected: Vec<(Duration, String)>,
    pub(crate) past_expiry: Option<PastExpiry>,
    /// Why the run is incomplete.
    pub(crate) stop: Option<String>,
}

pub(crate) struct Offered {
    pub(crate) section: VideoSection,
    pub(crate) posted: Posted,
}

/// A POST, its redirects and its outcome.
pub(crate) struct Posted {
    pub(crate) hops: Vec<Hop>,
    pub(crate) took: Duration,
    pub(crate) outcome: OfferOutcome,
}

pub(crate) struct Hop {
    pub(crate) host: String,
    pub(crate) status: u16,
    pub(crate) took: Duration,
}

pub(crate) enum OfferOutcome {
    Accepted(Box<SessionReply>),
    /// Holds the status, IVS's code and the server's message.
    Refused(String),
    /// Refused because of another session of the participant. Holds the same.
    Conflict(String),
    /// The reply says nothing about the offer. Holds the reason.
    Inconclusive(String),
}

/// The reply that made a session, without its secrets.
pub(crate) struct SessionReply {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) etag: Option<String>,
    pub(crate) accept_patch: Option<String>,
    pub(crate) links: Vec<String>,
    pub(crate) answer: Vec<String>,
    pub(crate) summary: String,
    /// The answer line by line, without private values.
    pub(crate) outline: Vec<String>,
    /// Why the element can't use the answer, if it can't.
    pub(crate) unusable: Option<String>,
}

/// Requests about one session, and the reply to each.
pub(crate) struct SessionChecks {
    pub(crate) section: VideoSection,
    pub(crate) options: String,
    pub(crate) trickle: String,
    pub(crate) restart: String,
    pub(crate) delete: String,
    pub(crate) delete_again: String,
}

/// A second session with a token, while the first one is open.
pub(crate) struct ConcurrentSessions {
    pub(crate) second: OfferOutcome,
    /// The reply to the DELETE of the first session, sent after the second POST.
    pub(crate) first_delete: String,
    pub(crate) with_spare: bool,
}

/// A stream through the element.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) outcome: StreamOutcome,
    /// Each session state, with the time since PLAYING.
    pub(crate) states: Vec<(String, Duration)>,
    /// The numbers of the element's property `stats`.
    pub(crate) statistics: Vec<String>,
}

pub(crate) enum StreamOutcome {
    /// It was on the stage for this long, and the probe ended it.
    Stayed(Duration),
    /// It failed. `published` is how long it was on the stage before, if at all.
    Failed {
        reason: String,
        published: Option<Duration>,
    },
    /// It was not sent. Holds the reason.
    NotSent(String),
}

impl StreamOutcome {
    fn was_on_the_stage(&self) -> bool {
        match self {
            Self::Stayed(_) => true,
            Self::Failed { published, .. } => published.is_some(),
            Self::NotSent(_) => false,
        }
    }
}

/// A stream that goes on after its token expires.
pub(crate) enum PastExpiry {
    Sent(Stream),
    NotSent(String),
}

impl OfferOutcome {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

impl Findings {
    /// Whether at least one question has an answer.
    pub(crate) fn has_answers(&self) -> bool {
        let is_answer = |outcome: &OfferOutcome| {
            matches!(
                outcome,
                OfferOutcome::Accepted(_) | OfferOutcome::Refused(_)
            )
        };
        let mut offers = self.offers.iter();
        let mut streams = self.streams.iter();
        offers.any(|offered| is_answer(&offered.posted.outcome))
            || streams.any(|stream| stream.outcome.was_on_the_stage())
    }

    /// The first reply that made a session.
    pub(crate) fn session_reply(&self) -> Option<&SessionReply> {
        self.offers
            .iter()
            .find_map(|offered| match &offered.posted.outcome {
                OfferOutcome::Accepted(reply) => Some(&**reply),
                _ => None,
            })
    }

    /// The video section for checks of something else.
    pub(crate) fn accepted_section(&self) -> Option<VideoSection> {
        let accepted = |offered: &&Offered| offered.posted.outcome.is_accepted();
        self.offers
            .iter()
            .find(accepted)
            .map(|offered| offered.section)
    }

    pub(crate) fn outcome(&self, section: VideoSection) -> Option<&OfferOutcome> {
        let offered = self
            .offers
            .iter()
            .find(|offered| offered.section == section)?;
        Some(&offered.posted.outcome)
    }
}
