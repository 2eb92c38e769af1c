//! What is checked, and how many sessions that opens at most.

use crate::arguments::{SlowChecks, TestStreams};

/// The limit that is enforced where sessions are opened, whatever is planned.
pub(crate) const MAX_SESSIONS: usize = 28;

/// One offer for each kind of video section.
pub(crate) const VIDEO_SECTIONS: usize = 8;

/// The filler modes that are tried, as values of `video-filler`.
pub(crate) const FILLER_MODES: [&str; 3] = ["inactive", "sendonly", "black"];

/// Streams outside the documented limits: H.264 High, and portrait video.
pub(crate) const STREAMS_OUTSIDE_LIMITS: usize = 2;

/// Offers that are repeated because an earlier session was in the way.
pub(crate) const CONFLICT_RETRIES: usize = 3;

/// An offer right after a DELETE.
const AFTER_DELETE: usize = 1;

/// Two sessions at once with one token.
const CONCURRENT: usize = 2;

/// An offer with an expired token.
const EXPIRED_TOKEN: usize = 1;

/// How long a session is left that no client connects to, in seconds. Each time
/// takes a new session, since the DELETE that looks for it also ends it.
pub(crate) const UNCONNECTED_SECONDS: [u64; 6] = [10, 20, 40, 80, 160, 320];

/// The same for a stage on this machine.
pub(crate) const UNCONNECTED_SECONDS_LOCAL: [u64; 3] = [1, 2, 4];

/// A stream that goes on after its token expires.
const PAST_EXPIRY: usize = 1;

const _: () = assert!(session_count(TestStreams::Sent, SlowChecks::Included) <= MAX_SESSIONS);

/// The most sessions that a run opens.
pub(crate) const fn session_count(streams: TestStreams, slow: SlowChecks) -> usize {
    let has_streams = matches!(streams, TestStreams::Sent);
    let is_slow = matches!(slow, SlowChecks::Included);
    let mut count = VIDEO_SECTIONS + CONFLICT_RETRIES + AFTER_DELETE + CONCURRENT + EXPIRED_TOKEN;
    if has_streams {
        count += FILLER_MODES.len() + STREAMS_OUTSIDE_LIMITS;
    }
    if is_slow {
        count += UNCONNECTED_SECONDS.len();
    }
    if has_streams && is_slow {
        count += PAST_EXPIRY;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_counts_as_the_readme_has_them() {
        for (streams, slow, count) in [
            (TestStreams::Skipped, SlowChecks::Skipped, 15),
            (TestStreams::Sent, SlowChecks::Skipped, 20),
            (TestStreams::Sent, SlowChecks::Included, 27),
        ] {
            assert_eq!(session_count(streams, slow), count);
        }
        assert!(UNCONNECTED_SECONDS_LOCAL.len() <= UNCONNECTED_SECONDS.len());
    }
}
