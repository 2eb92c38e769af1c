//! What happens on a stage, as its users see it. It holds no secret: sessions have
//! numbers here and no URLs, and there are no tokens and no SDP.

use serde::{Deserialize, Serialize};

use crate::counter::SectionReport;
use crate::endings::{Ending, ViewerEnding};
use crate::offer::{Kind, OfferSection};
use crate::trickle::IfMatch;

/// Something that happened, with its time. In JSON the fields of
/// [`what`](Self::what) stand beside `at_ms`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the stage started.
    pub at_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

impl Event {
    /// Whether both are counts of the same session.
    pub(crate) fn replaces(&self, old: &Self) -> bool {
        let counted = |event: &Self| match event.what {
            Happening::Media { session, .. } => Some(session),
            _ => None,
        };
        counted(self).is_some() && counted(self) == counted(old)
    }
}

/// What can happen on a stage. `session` is the number of a POST on the
/// regional host, counted from 1, and of the session that it made, if any.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    /// The stage listens. Always the first event.
    Listening {
        /// URL of the global listener.
        endpoint: String,
        /// Host and port of each listener, from the global to the regional one.
        hosts: Vec<String>,
        /// Address on which the far end receives media.
        media_address: String,
        /// URL of the page that shows the stage, if there is one.
        #[serde(default)]
        page: Option<String>,
    },
    /// A connection could not be accepted, for example because the process has
    /// too many open files. The stage tries again until it can. Further failures
    /// are not events until there was none for a minute.
    AcceptFailed {
        /// Host and port of the listener.
        host: String,
        /// Why, in the system's words.
        reason: String,
    },
    /// A POST was redirected.
    Redirect {
        /// Host and port that answered.
        from: String,
        /// The `Location` of the reply.
        to: String,
        /// The status of the reply.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
    },
    /// A POST with a valid token had a readable offer.
    Offer {
        /// Number of the POST.
        session: u32,
        /// Host and port that got it.
        host: String,
        /// The offer's sections, in order.
        sections: Vec<OfferSection>,
    },
    /// A POST was refused.
    Refused {
        /// Number of the POST.
        session: u32,
        /// Host and port that got it.
        host: String,
        /// The status of the reply.
        status: u16,
        /// The IVS error code of the reply, if it had one.
        code: Option<u32>,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
        /// Why, in words.
        reason: String,
    },
    /// A POST made a session.
    Created {
        /// Number of the session.
        session: u32,
        /// Host and port of its URL.
        host: String,
        /// The participant id (`jti`) of the token.
        participant: String,
    },
    /// ICE and DTLS have connected.
    Connected {
        /// Number of the session.
        session: u32,
        /// Milliseconds since the POST.
        after_ms: u64,
    },
    /// The first RTP packet of a section has arrived.
    FirstPacket {
        /// Number of the session.
        session: u32,
        /// The section's `mid`.
        mid: String,
        /// Audio or video.
        kind: Kind,
        /// Milliseconds since the POST.
        after_ms: u64,
    },
    /// Counts so far, every [`Rules::media_interval`](crate::Rules::media_interval).
    /// The list of events has the last one of each session, so that it doesn't
    /// grow with time; a follower gets all of them.
    Media {
        /// Number of the session.
        session: u32,
        /// What arrived in each section so far.
        sections: Vec<SectionReport>,
    },
    /// The peer closed DTLS or no longer answers. The session stays until
    /// [`Rules::patience`](crate::Rules::patience) is over.
    PeerLost {
        /// Number of the session.
        session: u32,
        /// How the stage noticed.
        reason: String,
    },
    /// A DELETE for a session, known or not.
    Delete {
        /// Number of the session, if the host has it.
        session: Option<u32>,
        /// Host and port that got it.
        host: String,
        /// The status of the reply; 0 without a reply.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
    },
    /// A PATCH for a session, known or not.
    Patch {
        /// Number of the session, if the host has it.
        session: Option<u32>,
        /// Host and port that got it.
        host: String,
        /// The status of the reply; 0 without a reply.
        status: u16,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
        /// Number of candidates in the body, also invalid and refused ones; 0 for
        /// a body that is not read because it is too large.
        #[serde(default)]
        candidates: usize,
        /// Whether the body had `a=end-of-candidates`.
        #[serde(default)]
        end_of_candidates: bool,
        /// How the `If-Match` header compares with the session's ETag.
        #[serde(default)]
        if_match: IfMatch,
    },
    /// A viewer has subscribed to a publisher.
    Subscribed {
        /// Number of the viewer's POST, counted from 1 apart from publishers'.
        viewer: u32,
        /// The participant id of the publisher.
        participant: String,
    },
    /// A viewer's POST was refused.
    SubscribeRefused {
        /// Number of the viewer's POST.
        viewer: u32,
        /// The status of the reply.
        status: u16,
        /// The IVS error code of the reply, if it had one.
        code: Option<u32>,
        /// Whether the request had an `Authorization` header.
        authorization: bool,
        /// Why, in words.
        reason: String,
    },
    /// A viewer has left or was sent away.
    Unsubscribed {
        /// Number of the viewer's POST.
        viewer: u32,
        /// Why it ended.
        reason: ViewerEnding,
        /// RTP packets that it was sent, without retransmissions.
        packets: u64,
        /// RTP packets that it missed because it, or the stage, was too slow.
        dropped: u64,
    },
    /// The follower did not take events in time and has missed some. Only the
    /// follower gets this.
    Missed {
        /// How many.
        events: u64,
    },
    /// A session has ended.
    Ended {
        /// Number of the session.
        session: u32,
        /// Why it ended.
        reason: Ending,
        /// What arrived in each section.
        sections: Vec<SectionReport>,
    },
}
