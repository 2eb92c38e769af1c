//! The messages between a session and its owner.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::connect_times::Times;
use super::deletion::Ended;
use super::failure::{Cause, Failure};
use crate::ivs::{Claims, FillerMode, OfferedVideo, TokenDenied, TokenStatus};
use crate::whip::{Answer, Deviation, IceServer, Offer};

/// A message to the driver.
#[derive(Debug)]
pub enum Input {
    /// News of a peer connection.
    Peer {
        /// Its number, from [`Event::MakeOffer`].
        peer: u64,
        /// What happened.
        event: PeerEvent,
    },
    /// [`Config::tokens`](super::Config::tokens) has a new token.
    NewToken,
    /// The application has no new token; a reply to [`Event::NewTokenWanted`].
    NoNewToken,
    /// The media has changed: replace the session by one for the new media.
    Replace,
    /// End the session.
    Stop,
}

/// What happened to a peer connection.
#[derive(Debug)]
pub enum PeerEvent {
    /// The peer connection is being made; its offer must follow within 10 s.
    Making,
    /// The offer is ready to be published.
    Offer {
        /// The offer for the POST.
        offer: Offer,
        /// The video in the offer; decides the fallback after a refusal.
        video: OfferedVideo,
        /// Number of packets received from the far end, of any kind.
        heard: Arc<AtomicU64>,
        /// How long it took to make the peer connection and the offer.
        took: Duration,
    },
    /// A local ICE candidate, as `candidate:…`.
    Candidate(String),
    /// No more candidates will follow.
    GatheringComplete,
    /// The media connection is up, and its certificate is the announced one.
    Connected,
    /// The peer connection can't continue.
    Broken(Cause),
}

/// A message from the driver.
#[derive(Debug)]
pub enum Event {
    /// Make a new peer connection and its offer.
    MakeOffer {
        /// The number of the peer connection, for [`Input::Peer`].
        peer: u64,
        /// The video section to offer if there is no video.
        without_video: OfferedVideo,
    },
    /// The filler falls back to another mode, after a refusal or after the far
    /// end closed short sessions. The next [`Event::MakeOffer`] follows at once.
    FillerFallback {
        /// The failure that led to the fallback.
        failure: Failure,
        /// The next filler mode.
        to: FillerMode,
    },
    /// Nothing has come since [`Event::MakeOffer`], so there is no media yet.
    /// Repeated every 10 s.
    NoOffer {
        /// Time since the request.
        after: Duration,
    },
    /// The session's state has changed.
    State(State),
    /// The claims of the token in use; `None` if there are none to read.
    Claims(Option<Claims>),
    /// IVS needs a token and there is none, or the one in use has expired or does not
    /// allow publishing. Reply with [`Input::NewToken`] or [`Input::NoNewToken`]; no
    /// reply within 10 s counts as the latter.
    NewTokenWanted,
    /// The server redirected the POST.
    Redirected {
        /// Scheme, host and port that redirected.
        from: String,
        /// Scheme, host and port of the next POST.
        to: String,
    },
    /// A candidate of the answer has a host name: its addresses, or why none was found.
    CandidateName {
        /// The name.
        name: String,
        /// What the name server said.
        found: Result<Vec<IpAddr>, String>,
    },
    /// Set these ICE servers, then apply the answer.
    Answer {
        /// The number of the peer connection that made the offer.
        peer: u64,
        /// The SDP answer.
        answer: Answer,
        /// The STUN and TURN servers that the WHIP server names.
        ice_servers: Vec<IceServer>,
    },
    /// How long each step to publishing took. Repeated once all candidates are
    /// known, if that is later.
    Times(Times),
    /// Result of the PATCH: how many candidates were sent, or why it failed.
    CandidatesSent(Result<usize, String>),
    /// The attempt failed; another one follows after the wait.
    Retry {
        /// Why it failed.
        failure: Failure,
        /// Number of the next attempt, from 1.
        attempt: u32,
        /// Time until the next attempt.
        wait: Duration,
    },
    /// A problem that does not end the session.
    Warning(Warning),
    /// The session failed and is not retried; [`Event::Ended`] follows.
    Failed(Failure),
    /// The last event: how the session ended on its server.
    Ended(Ended),
}

/// The state of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The offer is ready; the media connection is not up yet.
    Connecting,
    /// Media flows.
    Publishing,
    /// The session is ending.
    Stopping,
}

/// A problem that does not end the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// A reply that deviates from RFC 9725.
    Deviation(Deviation),
    /// The session's resource is on a host that may not receive the token, so
    /// the DELETE is sent without it; or not at all if the host's name shows it.
    ResourceElsewhere(TokenDenied),
    /// The DELETE failed; the session may still be on the server.
    NotDeleted(Ended),
    /// The token expires soon.
    Token(TokenStatus),
    /// A variable of the environment that should name a proxy does not, so requests go
    /// without it.
    ProxyIgnored {
        /// The variable's name. Its value can have a password.
        variable: &'static str,
    },
}

impl Warning {
    /// A fixed name for programs, such as `odd-reply`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Deviation(_) => "odd-reply",
            Self::ResourceElsewhere(_) => "resource-elsewhere",
            Self::NotDeleted(_) => "not-deleted",
            Self::Token(_) => "token",
            Self::ProxyIgnored { .. } => "proxy-ignored",
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deviation(deviation) => write!(f, "{deviation}."),
            Self::ResourceElsewhere(TokenDenied::InHostName) => f.write_str(
                "The host name of the session's URL repeats the token, so no DELETE is sent; the \
                 session ends when the server notices that media has stopped.",
            ),
            Self::ResourceElsewhere(denied) => write!(
                f,
                "The session's URL is on a host that may not have the token, so the DELETE goes \
                 without it: {denied}."
            ),
            Self::Token(status) => write!(f, "{status}."),
            Self::ProxyIgnored { variable } => write!(
                f,
                "The environment variable {variable} names no proxy that can be used, so requests \
                 go without it. Set it to http://, https://, socks4://, socks4a://, socks5:// or \
                 socks5h:// and a host, or unset it."
            ),
            Self::NotDeleted(ended) => {
                let reason = match ended {
                    Ended::Refused(error) => error.to_string(),
                    Ended::Unanswered(error) => error.to_string(),
                    Ended::NothingToDelete | Ended::Deleted(_) => return Ok(()),
                };
                write!(
                    f,
                    "The session could not be deleted ({reason}); it ends when the server \
                     notices that media has stopped."
                )
            }
        }
    }
}
