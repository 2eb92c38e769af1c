//! Rules about what a request does. The defaults are those of IVS.

use std::time::Duration;

/// What a PATCH to a session does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatchRule {
    /// Nothing; it gets [`Rules::patch_status`](crate::Rules::patch_status).
    #[default]
    Status,
    /// Its candidates are given to the far end.
    Trickle(TrickleRule),
    /// Nothing, and no reply ever comes.
    NoAnswer,
    /// Nothing; the connection ends without a reply, as where a server stumbles
    /// over a body that is no offer.
    Dropped,
}

/// What is asked of a PATCH that trickles. The default is RFC 9725.
///
/// A PATCH with other ICE credentials than the offer's asks for an ICE restart.
/// The stage can't do one, and answers 422, as the RFC has it for servers that
/// only trickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrickleRule {
    /// Status where there is no `If-Match`; unset, it isn't missed.
    pub without_if_match: Option<u16>,
    /// Status where `If-Match` isn't the session's ETag, byte for byte; unset,
    /// it isn't looked at.
    pub other_if_match: Option<u16>,
    /// Which sections candidates may be of.
    pub mid: MidRule,
    /// Whether the 204 has the ETag, which RFC 9725 4.3.2 forbids.
    pub etag: PatchEtag,
}

impl TrickleRule {
    /// No `If-Match` is asked for, and none looked at.
    pub const UNCHECKED: Self = Self {
        without_if_match: None,
        other_if_match: None,
        mid: MidRule::Any,
        etag: PatchEtag::Absent,
    };
}

impl Default for TrickleRule {
    fn default() -> Self {
        Self {
            without_if_match: Some(428),
            other_if_match: Some(412),
            ..Self::UNCHECKED
        }
    }
}

/// Which sections trickled candidates may be of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MidRule {
    /// Any.
    #[default]
    Any,
    /// Only the offer's first one, or it's 400.
    FirstOnly,
}

/// Whether the reply to a PATCH that trickles has the ETag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatchEtag {
    /// It hasn't.
    #[default]
    Absent,
    /// It has.
    Present,
}

/// What a DELETE of a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRule {
    /// Ends the session, and gets this status.
    Status(u16),
    /// The same, but 412 and nothing ended where it has an `If-Match` that
    /// isn't the session's ETag (RFC 9725 4.3.1 has it ignored).
    IfMatch(u16),
    /// Nothing, as there is no such route: it gets
    /// [`Rules::unknown_session_status`](crate::Rules::unknown_session_status).
    NoRoute,
    /// Nothing, and no reply ever comes.
    NoAnswer,
    /// Nothing; the connection ends without a reply.
    Dropped,
}

impl Default for DeleteRule {
    fn default() -> Self {
        Self::Status(200)
    }
}

/// How many POSTs the regional host takes. One too many gets 429, IVS's code
/// 2013 and `Retry-After`, and doesn't count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many POSTs …
    pub posts: usize,
    /// … in so much time.
    pub within: Duration,
}

/// What becomes of a connected session whose sections bring no media. It ends
/// with [`Ending::Silent`](crate::Ending::Silent).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SilenceRule {
    /// Nothing.
    #[default]
    Allowed,
    /// It ends if no video packet came in time, video section or not.
    NoVideo {
        /// Time since it connected.
        within: Duration,
    },
    /// It ends if some section had no packet in time, whatever its direction:
    /// the server counts sections.
    AnySection {
        /// Time since it connected.
        within: Duration,
    },
}
