//! Rules on requests and sessions: PATCH, DELETE, the rate of POSTs, and
//! sessions without media. The defaults are those of IVS.

use std::time::Duration;

/// What a PATCH to a session does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatchRule {
    /// Nothing. The reply is [`Rules::patch_status`](crate::Rules::patch_status).
    #[default]
    Status,
    /// It gives its candidates to the far end.
    Trickle(TrickleRule),
    /// Nothing, and there is never a reply.
    NoAnswer,
    /// Nothing. The connection ends without a reply, as on a server that fails
    /// on a body that is not an offer.
    Dropped,
}

/// What a PATCH with candidates must be. The default is RFC 9725.
///
/// A PATCH with ICE credentials other than the offer's requests an ICE restart.
/// The stage can't restart ICE and answers 422, as the RFC demands of servers
/// that only trickle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrickleRule {
    /// Status for a PATCH without `If-Match`; `None` accepts it. Default: 428.
    pub without_if_match: Option<u16>,
    /// Status for an `If-Match` that is neither the session's ETag, byte for
    /// byte, nor a star; `None` accepts any. Default: 412.
    pub other_if_match: Option<u16>,
    /// The sections that candidates may belong to. Default: any.
    pub mid: MidRule,
    /// Whether the 204 has the ETag, which RFC 9725 4.3.2 forbids. Default: no.
    pub etag: PatchEtag,
}

impl TrickleRule {
    /// Accepts a PATCH with any `If-Match` or without one.
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

/// The sections that trickled candidates may belong to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MidRule {
    /// Any.
    #[default]
    Any,
    /// Only the offer's first one. Another one gets 400.
    FirstOnly,
}

/// Whether the 204 to a PATCH with candidates has the ETag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PatchEtag {
    /// It has not.
    #[default]
    Absent,
    /// It has.
    Present,
}

/// What a DELETE of a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteRule {
    /// It ends the session. The reply has this status.
    Status(u16),
    /// The same. But with an `If-Match` other than the session's ETag or a star
    /// it does nothing and gets 412 (RFC 9725 4.3.1 says to ignore it).
    IfMatch(u16),
    /// Nothing, as on a server without this route. The reply is
    /// [`Rules::unknown_session_status`](crate::Rules::unknown_session_status).
    NoRoute,
    /// Nothing, and there is never a reply.
    NoAnswer,
    /// Nothing. The connection ends without a reply.
    Dropped,
}

impl Default for DeleteRule {
    fn default() -> Self {
        Self::Status(200)
    }
}

/// What a second session with one token does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TokenReuse {
    /// Nothing: the older one goes on.
    #[default]
    Allowed,
    /// It ends the older one with
    /// [`Ending::TokenReused`](crate::Ending::TokenReused). IVS documents this for
    /// stage joins (`TOKEN_REUSED`); that it holds for two POSTs is inferred.
    EndsOlder,
}

/// How many POSTs the regional host takes. Any more get 429 with IVS's code
/// 2013 and `Retry-After`, and are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Number of POSTs in any period of this length.
    pub posts: usize,
    /// Length of the period.
    pub within: Duration,
}

/// When a connected session without media ends, with
/// [`Ending::Silent`](crate::Ending::Silent).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SilenceRule {
    /// Never.
    #[default]
    Allowed,
    /// If no video packet arrives in time, even without a video section.
    NoVideo {
        /// Time from the connection to the first packet.
        within: Duration,
    },
    /// If any section has no packet in time, whatever its direction: such a
    /// server counts sections.
    AnySection {
        /// Time from the connection to each section's first packet.
        within: Duration,
    },
}
