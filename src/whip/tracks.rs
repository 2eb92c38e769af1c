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

    /// The kind with this SDP name, if it is `audio` or `video`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Audio, Self::Video]
            .into_iter()
            .find(|track| track.name() == name)
    }
}

/// Checks a session's tracks, each with its RTP payload type.
///
/// # Errors
/// [`TracksError`] if two tracks have the same kind or payload type. In a bundle, the
/// payload type tells the receiver which track a packet belongs to (RFC 9143 9.1).
pub fn check_tracks(tracks: &[(Track, u8)]) -> Result<(), TracksError> {
    for (index, (track, payload)) in tracks.iter().enumerate() {
        for (other, taken) in &tracks[..index] {
            if other == track {
                return Err(TracksError::DuplicateKind { track: *track });
            }
            if taken == payload {
                return Err(TracksError::SamePayloadType { payload: *payload });
            }
        }
    }
    Ok(())
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
    /// Both tracks have the same payload type.
    SamePayloadType {
        /// The payload type.
        payload: u8,
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
            Self::SamePayloadType { payload } => write!(
                f,
                "audio and video both use RTP payload type {payload}; give one of the payloaders \
                 another, such as pt=97"
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
        assert_eq!(
            check_tracks(&[(Track::Video, 96), (Track::Audio, 97)]),
            Ok(())
        );
        assert_eq!(check_tracks(&[]), Ok(()));
    }

    #[test]
    fn twice() {
        let track = Track::Audio;
        let tracks = [(track, 96), (track, 97)];
        assert_eq!(
            check_tracks(&tracks),
            Err(TracksError::DuplicateKind { track })
        );
    }

    #[test]
    fn payload() {
        let tracks = [(Track::Audio, 96), (Track::Video, 96)];
        assert_eq!(
            check_tracks(&tracks),
            Err(TracksError::SamePayloadType { payload: 96 })
        );
    }
}
