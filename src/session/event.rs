//! What goes between a session and its owner.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::connect_times::Times;
use super::deletion::Ended;
use super::failure::{Cause, Failure};
use crate::ivs::{Claims, FillerMode, OfferedVideo, TokenDenied, TokenStatus};
use crate::whip::{Answer, IceServer, Oddity, Offer};

/// What the driver is told.
#[derive(Debug)]
pub enum Input {
    /// News of a peer connection.
    Peer {
        /// Which one: the number of the [`Event::MakeOffer`] it was made for.
        peer: u64,
        /// The news.
        news: PeerNews,
    },
    /// [`Config::tokens`](super::Config::tokens) has another token.
    NewToken,
    /// The application has no other token: an answer to [`Event::TokenWanted`].
    NoNewToken,
    /// The media have changed: replace the session by one for the new ones.
    Replace,
    /// End the session.
    Stop,
}

/// What becomes of a peer connection.
#[derive(Debug)]
pub enum PeerNews {
    /// The offer is made: publish it.
    Offer {
        /// What to POST.
        offer: Offer,
        /// What it has as video, for what follows when it is refused.
        video: OfferedVideo,
        /// Counts packets that arrive from the far end, of whatever kind.
        heard: Arc<AtomicU64>,
        /// How long it took to make.
        took: Duration,
    },
    /// A local candidate, as `candidate:…`.
    Candidate(String),
    /// There will be no more candidates.
    GatheringComplete,
    /// The media connection stands, with the certificate that was announced.
    Connected,
    /// It can't go on.
    Broken(Cause),
}

/// What the driver tells.
#[derive(Debug)]
pub enum Event {
    /// Make a fresh peer connection and its offer.
    MakeOffer {
        /// The number that its news carry.
        peer: u64,
        /// What to offer as video if there is none.
        without_video: OfferedVideo,
    },
    /// The filler section was refused; an offer with another follows at once.
    FillerFallback {
        /// The refusal.
        failure: Failure,
        /// The filler section's next form.
        to: FillerMode,
    },
    /// An offer was asked for and has not come for so long; told again each time
    /// that as much has passed.
    NoOffer {
        /// How long.
        after: Duration,
    },
    /// The session's state has changed.
    State(State),
    /// What the token says of itself, if it says anything.
    Claims(Option<Claims>),
    /// Say [`Input::NewToken`] or [`Input::NoNewToken`]: the token in use is expired, or not good enough.
    TokenWanted,
    /// The server sent the POST on to another host.
    Redirected {
        /// Scheme, host and port of the one that redirected.
        from: String,
        /// Scheme, host and port of the next.
        to: String,
    },
    /// Apply this answer, after these ICE servers.
    Answer {
        /// The peer connection whose offer it answers.
        peer: u64,
        /// The SDP answer.
        answer: Answer,
        /// STUN and TURN servers that the WHIP server names.
        ice_servers: Vec<IceServer>,
    },
    /// How long the steps to a session that publishes took; again once all
    /// candidates are known, where that is later.
    Times(Times),
    /// The candidates were sent, or why not.
    Trickled(Result<usize, String>),
    /// The attempt failed; another follows after the wait.
    Retry {
        /// Why it failed.
        failure: Failure,
        /// Which attempt comes next, from 1.
        attempt: u32,
        /// How long until then.
        wait: Duration,
    },
    /// Something to know that is no failure.
    Warning(Warning),
    /// The session failed for good; [`Event::Ended`] follows.
    Failed(Failure),
    /// The last event: nothing is left of the session, or it says what is.
    Ended(Ended),
}

/// The states of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The offer is on its way to becoming a media connection.
    Connecting,
    /// Media flows.
    Publishing,
    /// The session is being ended.
    Stopping,
}

/// Something off that the session lives with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A reply that is off the RFC.
    Oddity(Oddity),
    /// The session's resource is on a host that may not have the token, so
    /// the DELETE goes without.
    ResourceElsewhere(TokenDenied),
    /// The session may still be on the server.
    NotDeleted(Ended),
    /// The token ends soon.
    Token(TokenStatus),
}

impl Warning {
    /// Its name, for a program.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Oddity(_) => "odd-reply",
            Self::ResourceElsewhere(_) => "resource-elsewhere",
            Self::NotDeleted(_) => "not-deleted",
            Self::Token(_) => "token",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oddity(oddity) => write!(f, "{oddity}."),
            Self::ResourceElsewhere(denied) => write!(
                f,
                "The session's URL is on another host, so that it will be deleted without the \
                 token: {denied}."
            ),
            Self::Token(status) => write!(f, "{status}."),
            Self::NotDeleted(ended) => {
                let reason = match ended {
                    Ended::Refused(error) => error.to_string(),
                    Ended::Unanswered(error) => error.to_string(),
                    Ended::NothingToDelete | Ended::Deleted(_) => return Ok(()),
                };
                write!(
                    f,
                    "The session could not be deleted ({reason}); it ends when the server \
                     notices that no media comes."
                )
            }
        }
    }
}
