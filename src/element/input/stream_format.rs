//! State and format of a pad's stream, as values.

use std::fmt;

use crate::whip::Track;

/// The state of a pad and its stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct PadState {
    /// Tells the pads of an element apart.
    pub(crate) id: u32,
    pub(crate) is_linked: bool,
    /// What its caps say; `None` before they come.
    pub(crate) format: Option<Result<StreamFormat, CapsError>>,
    /// Whether the stream has ended and was not flushed since.
    pub(crate) has_ended: bool,
}

/// The format of a stream, from its RTP caps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StreamFormat {
    pub(crate) track: Track,
    pub(crate) payload_type: u8,
    /// The encoding name, such as `OPUS`.
    pub(crate) encoding: Option<String>,
    /// The clock rate of the RTP timestamps, in Hz.
    pub(crate) clock_rate: Option<u32>,
    /// `sprop-parameter-sets` (RFC 6184 8.1).
    pub(crate) parameter_sets: Option<String>,
}

impl StreamFormat {
    /// Whether a session that was made for this stream can carry `other` instead.
    /// Parameter sets are compared if both have them: a payloader that does not
    /// repeat them in the stream has them only in its caps.
    pub(crate) fn fits_session_of(&self, other: &Self) -> bool {
        let same_parameter_sets = match (&self.parameter_sets, &other.parameter_sets) {
            (Some(old), Some(new)) => old == new,
            _ => true,
        };
        (self.track, self.payload_type) == (other.track, other.payload_type)
            && self.encoding == other.encoding
            && self.clock_rate == other.clock_rate
            && same_parameter_sets
    }
}

impl PadState {
    /// Why its caps can't be published, if they can't be.
    pub(crate) fn caps_error(&self) -> Option<&CapsError> {
        self.format.as_ref()?.as_ref().err()
    }
}

/// Why a pad's caps can't be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CapsError {
    /// Not `application/x-rtp`.
    NotRtp,
    /// This media is neither audio nor video.
    Kind(String),
    /// No RTP payload type.
    NoPayloadType,
}

impl fmt::Display for CapsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRtp => f.write_str(
                "expected RTP caps; put rtpopuspay after the audio encoder, rtph264pay after \
                 the video encoder",
            ),
            Self::Kind(media) if media.is_empty() => f.write_str(
                "expected RTP caps with media=audio or media=video, found none; add them with a \
                 capsfilter",
            ),
            Self::Kind(media) => {
                write!(f, "expected RTP caps with media=audio or media=video, found media={media}")
            }
            Self::NoPayloadType => f.write_str(
                "expected RTP caps with a payload type (payload=0 to 127); add it with a capsfilter",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_another_session() {
        let first = StreamFormat {
            track: Track::Video,
            payload_type: 96,
            encoding: Some("H264".into()),
            clock_rate: Some(90_000),
            parameter_sets: None,
        };
        let with_sets = |sets: &str| StreamFormat {
            parameter_sets: Some(sets.into()),
            ..first.clone()
        };
        assert!(first.fits_session_of(&with_sets("A")));
        assert!(!with_sets("A").fits_session_of(&with_sets("B")));
        let others = [
            StreamFormat {
                payload_type: 97,
                ..first.clone()
            },
            StreamFormat {
                clock_rate: Some(48_000),
                ..first.clone()
            },
            StreamFormat {
                encoding: Some("VP8".into()),
                ..first.clone()
            },
            StreamFormat {
                track: Track::Audio,
                ..first.clone()
            },
        ];
        for other in others {
            assert!(!first.fits_session_of(&other), "{other:?}");
        }
    }
}
