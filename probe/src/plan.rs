//! What is asked, and how many sessions that takes at most.

/// More than any run opens. It is held where sessions are opened, whatever the
/// plan says.
pub(crate) const MAX_SESSIONS: usize = 28;

/// One offer for each form of video section.
pub(crate) const FORMS: usize = 8;

/// The filler modes that are tried, as values of `video-filler`.
pub(crate) const FILLER_MODES: [&str; 3] = ["inactive", "sendonly", "black"];

/// Streams beyond the documented limits: another profile, another shape.
pub(crate) const STREAMS: usize = 2;

/// Offers that may be repeated because an earlier session was in the way.
pub(crate) const AGAIN: usize = 3;

/// A session right after a DELETE.
const AFTER_DELETE: usize = 1;

/// Two sessions at once with one token.
const AT_ONCE: usize = 2;

/// An offer with an expired token.
const EXPIRED: usize = 1;

/// After how many seconds a session that nobody connected to is looked for,
/// each time a new one: a look is a DELETE, and ends it.
pub(crate) const LONELY: [u64; 6] = [10, 20, 40, 80, 160, 320];

/// The same on this machine's own stage.
pub(crate) const LONELY_HERE: [u64; 3] = [1, 2, 4];

/// A publish beyond the end of its token.
const OUTLIVED: usize = 1;

const _: () = assert!(sessions(true, true) <= MAX_SESSIONS);

/// The number of sessions that a run opens at most.
pub(crate) const fn sessions(media: bool, patient: bool) -> usize {
    let mut number = FORMS + AGAIN + AFTER_DELETE + AT_ONCE + EXPIRED;
    if media {
        number += FILLER_MODES.len() + STREAMS;
    }
    if patient {
        number += LONELY.len();
    }
    if media && patient {
        number += OUTLIVED;
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
        assert!(LONELY_HERE.len() <= LONELY.len());
    }
}
