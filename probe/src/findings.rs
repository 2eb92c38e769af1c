//! What has been learnt so far. Every text in it is redacted already.

use std::time::Duration;

use crate::offers::VideoSection;

/// In place of the reason for the run's end, which the report tells once, at its
/// beginning.
pub(crate) const ABOVE: &str = "see above";

#[derive(Default)]
pub(crate) struct Findings {
    /// What the endpoint said to OPTIONS.
    pub(crate) endpoint_options: Option<String>,
    pub(crate) offers: Vec<Offered>,
    pub(crate) session_checks: Option<SessionChecks>,
    pub(crate) after_delete: Option<Posted>,
    pub(crate) concurrent: Option<ConcurrentSessions>,
    pub(crate) expired_token: Option<Posted>,
    pub(crate) streams: Vec<Stream>,
    /// How long a session had been alone, and what its DELETE was answered.
    pub(crate) unconnected: Vec<(Duration, String)>,
    pub(crate) past_expiry: Option<PastExpiry>,
    /// Why not everything was asked.
    pub(crate) stop: Option<String>,
}

pub(crate) struct Offered {
    pub(crate) section: VideoSection,
    pub(crate) posted: Posted,
}

/// A POST and what came of it.
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
    /// Status, IVS's code and the server's words.
    Refused(String),
    /// Another session of the participant is in the way, in the same words.
    Conflict(String),
    /// No verdict on the offer, told in words.
    Inconclusive(String),
}

/// What the reply that made a session says, apart from its secrets.
pub(crate) struct SessionReply {
    pub(crate) status: u16,
    pub(crate) location: String,
    pub(crate) etag: Option<String>,
    pub(crate) accept_patch: Option<String>,
    pub(crate) links: Vec<String>,
    pub(crate) answer: Vec<String>,
    pub(crate) summary: String,
    /// The answer without its private values.
    pub(crate) outline: Vec<String>,
    /// Why the element could not use the answer, if so.
    pub(crate) unusable: Option<String>,
}

/// What was asked about one session.
pub(crate) struct SessionChecks {
    pub(crate) section: VideoSection,
    pub(crate) options: String,
    pub(crate) trickle: String,
    pub(crate) restart: String,
    pub(crate) delete: String,
    pub(crate) delete_again: String,
}

/// A second POST with the token of a session that stands.
pub(crate) struct ConcurrentSessions {
    pub(crate) second: OfferOutcome,
    /// What the DELETE of the first session was answered afterwards.
    pub(crate) first: Option<String>,
    pub(crate) with_spare: bool,
}

/// A stream that was sent by the element, or was to be.
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) outcome: StreamOutcome,
    /// Each state of the session with the time since PLAYING.
    pub(crate) states: Vec<(String, Duration)>,
    /// Numbers that this build's element counts, if it does.
    pub(crate) statistics: Vec<String>,
}

pub(crate) enum StreamOutcome {
    /// It was on the stage for so long and ended by our will.
    Stayed(Duration),
    /// It failed, after having been on the stage for so long.
    Failed {
        words: String,
        published: Option<Duration>,
    },
    /// It could not be tried.
    NotTried(String),
}

impl StreamOutcome {
    fn was_on_the_stage(&self) -> bool {
        match self {
            Self::Stayed(_) => true,
            Self::Failed { published, .. } => published.is_some(),
            Self::NotTried(_) => false,
        }
    }
}

/// A publish beyond the end of its token.
pub(crate) enum PastExpiry {
    Asked(Stream),
    NotAsked(String),
}

impl OfferOutcome {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self, Self::Accepted(_))
    }
}

impl Findings {
    /// Whether there is anything that was not known before.
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
    pub(crate) fn head(&self) -> Option<&SessionReply> {
        self.offers
            .iter()
            .find_map(|offered| match &offered.posted.outcome {
                OfferOutcome::Accepted(head) => Some(&**head),
                _ => None,
            })
    }

    /// The form to offer where the form is not the question.
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
