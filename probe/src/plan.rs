//! What is asked, and how many sessions that takes at most.

/// More than any run opens. It is held where sessions are opened, whatever the
/// plan says.
pub(crate) const MAX_SESSIONS: usize = 28;

/// One offer for each form of video section.
pub(crate) const VIDEO_SECTIONS: usize = 8;

/// The filler modes that are tried, as values of `video-filler`.
pub(crate) const FILLER_MODES: [&str; 3] = ["inactive", "sendonly", "black"];

/// Streams beyond the documented limits: another profile, another shape.
pub(crate) const STREAMS_OUTSIDE_LIMITS: usize = 2;

/// Offers that may be repeated because an earlier session was in the way.
pub(crate) const CONFLICT_RETRIES: usize = 3;

/// A session right after a DELETE.
const AFTER_DELETE: usize = 1;

/// Two sessions at once with one token.
const CONCURRENT: usize = 2;

/// An offer with an expired token.
const EXPIRED: usize = 1;

/// After how many seconds a session that nobody connected to is looked for,
/// each time a new one: a look is a DELETE, and ends it.
pub(crate) const UNCONNECTED_SECONDS: [u64; 6] = [10, 20, 40, 80, 160, 320];

/// The same on this machine's own stage.
pub(crate) const UNCONNECTED_SECONDS_LOCAL: [u64; 3] = [1, 2, 4];

/// A publish beyond the end of its token.
const PAST_EXPIRY: usize = 1;

const _: () = assert!(sessions(true, true) <= MAX_SESSIONS);

/// The number of sessions that a run opens at most.
pub(crate) const fn sessions(streams: bool, slow: bool) -> usize {
    let mut number = VIDEO_SECTIONS + CONFLICT_RETRIES + AFTER_DELETE + CONCURRENT + EXPIRED;
    if streams {
        number += FILLER_MODES.len() + STREAMS_OUTSIDE_LIMITS;
    }
    if slow {
        number += UNCONNECTED_SECONDS.len();
    }
    if streams && slow {
        number += PAST_EXPIRY;
    }
    number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_plan_is_above_the_bound() {
        assert_eq!(sessions(false, false), 15);
        assert_eq!(sessions(true, false), 20);
        assert_eq!(sessions(true, true), 27);
        assert!(UNCONNECTED_SECONDS_LOCAL.len() <= UNCONNECTED_SECONDS.len());
    }
}
