//! The tracks that a session may have.

use std::fmt;

/// The most tracks of a session: one audio and one video (RFC 9725 4.4.2).
pub const MAX_TRACKS: usize = 2;

/// The kind of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Track {
    /// Audio.
    Audio,
    /// Video.
    Video,
}

impl Track {
    /// `audio` or `video`, as SDP writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    /// The other kind.
    pub fn other(self) -> Self {
        match self {
            Self::Audio => Self::Video,
            Self::Video => Self::Audio,
        }
    }

    /// The kind with this SDP name, if it is `audio` or `video`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Audio, Self::Video]
            .into_iter()
            .find(|track| track.name() == name)
    }
}

/// Checks a session's tracks.
///
/// # Errors
/// [`TracksError`] if two tracks have the same kind.
pub fn check_tracks(tracks: &[Track]) -> Result<(), TracksError> {
    let mut seen = tracks.iter().enumerate();
    let twice = seen.find(|(index, track)| tracks.iter().take(*index).any(|other| other == *track));
    twice.map_or(Ok(()), |(_, track)| {
        Err(TracksError::DuplicateKind { track: *track })
    })
}

/// Why tracks can't form a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TracksError {
    /// More than [`MAX_TRACKS`] tracks, of whatever kind.
    TooMany,
    /// Two tracks of one kind.
    DuplicateKind {
        /// The kind of both.
        track: Track,
    },
}

impl fmt::Display for TracksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany => f.write_str(
                "a third pad was requested; WHIP takes one audio and one video stream at most",
            ),
            Self::DuplicateKind { track } => write!(
                f,
                "a second {} stream is linked; WHIP takes one audio and one video at most",
                track.name()
            ),
        }
    }
}

impl std::error::Error for TracksError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_each_is_fine() {
        assert_eq!(check_tracks(&[Track::Video, Track::Audio]), Ok(()));
        assert_eq!(check_tracks(&[]), Ok(()));
    }

    #[test]
    fn two_of_a_kind_are_not() {
        let track = Track::Audio;
        assert_eq!(
            check_tracks(&[track, Track::Video, track]),
            Err(TracksError::DuplicateKind { track })
        );
    }
}
