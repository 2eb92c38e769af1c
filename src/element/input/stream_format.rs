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
    /// The encoding name, such as `OPUS`.
    pub(crate) encoding: Option<String>,
    /// The clock rate of the RTP timestamps in Hz, if the caps name it.
    pub(crate) named_clock_rate: Option<u32>,
    /// `sprop-parameter-sets` (RFC 6184 8.1).
    pub(crate) parameter_sets: Option<String>,
    /// Format parameters that a receiver needs, by their SDP names.
    pub(crate) parameters: Vec<(&'static str, String)>,
}

impl StreamFormat {
    /// Whether a session that was made for this stream can carry `other` instead.
    pub(crate) fn fits_session_of(&self, other: &Self) -> bool {
        self.track == other.track
            && self.encoding == other.encoding
            && self.clock_rate() == other.clock_rate()
    }

    /// The payload type with which the stream leaves: the one that browsers use. In a
    /// bundle it tells the receiver which stream a packet belongs to (RFC 9143 9.1).
    pub(crate) fn payload_type(&self) -> u8 {
        payload_type(self.track)
    }

    /// The clock rate of the RTP timestamps, in Hz: the named one, or that of the codec.
    pub(crate) fn clock_rate(&self) -> u32 {
        let usual = match self.track {
            Track::Video => 90_000,
            Track::Audio => 48_000,
        };
        self.named_clock_rate.unwrap_or(usual)
    }

    pub(crate) fn is_h264(&self) -> bool {
        let encoding = self.encoding.as_deref();
        self.track == Track::Video && encoding.is_some_and(|name| name.eq_ignore_ascii_case("H264"))
    }
}

/// The payload type of a track, as in the offers of browsers.
pub(super) fn payload_type(track: Track) -> u8 {
    match track {
        Track::Audio => 111,
        Track::Video => 102,
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
    /// No media that the element takes: the media type of the caps.
    Media(String),
    /// Media of the other track than that of the pad.
    Track(Track),
    /// RTP of media that is neither audio nor video.
    Kind(String),
    /// Media of a codec that IVS does not accept.
    Codec(&'static ForeignCodec),
    /// Opus of more than two channels, or of another channel mapping family than 0.
    OpusChannels,
    /// Raw media whose caps lack some of these fields.
    Incomplete(&'static str, &'static str),
    /// An element that these media need is not installed.
    Missing(MissingElement),
    /// No encoder that is installed works.
    NoEncoder(String),
    /// The elements behind the pad failed.
    Chain(String),
}

/// A codec that IVS does not accept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ForeignCodec {
    /// The media type of its caps.
    pub(crate) media_type: &'static str,
    pub(crate) name: &'static str,
    /// An element that decodes it.
    pub(crate) decoder: &'static str,
}

/// An element that is not installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingElement {
    /// The factory's name.
    pub(crate) name: &'static str,
    /// The package that has it in Debian.
    pub(crate) package: &'static str,
}

impl fmt::Display for CapsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Media(media) => write!(
                f,
                "expected raw audio or video, Opus, H.264, or RTP, found {media}; put decodebin \
                 before the pad"
            ),
            Self::Track(found) => {
                let (found, other) = (found.name(), found.other().name());
                write!(
                    f,
                    "a pad {other}_%u takes {other}, found {found}; link it to a pad {found}_%u, \
                     or to sink_%u, which takes either"
                )
            }
            Self::Kind(media) if media.is_empty() => f.write_str(
                "expected RTP caps with media=audio or media=video, found none; add them with a \
                 capsfilter",
            ),
            Self::Kind(media) => {
                write!(
                    f,
                    "expected RTP caps with media=audio or media=video, found media={media}"
                )
            }
            Self::Codec(codec) => write!(
                f,
                "a stage accepts Opus and H.264, found {}; put {} before the pad, and the element \
                 encodes it anew",
                codec.name, codec.decoder
            ),
            Self::OpusChannels => f.write_str(
                "a stage accepts Opus of one or two channels, found more (channel mapping family \
                 1 or 255); put opusdec before the pad, and the element encodes it as stereo",
            ),
            Self::Incomplete(media, fields) => write!(
                f,
                "raw {media} needs caps with {fields}, found some missing or unknown; set them \
                 upstream, with a capsfilter for example"
            ),
            Self::Missing(MissingElement { name, package }) => write!(
                f,
                "GStreamer's element {name} is not installed, and these media need it (Debian: \
                 apt install {package})"
            ),
            Self::NoEncoder(text) | Self::Chain(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_codec_makes_another_session() {
        let first = StreamFormat {
            track: Track::Video,
            encoding: Some("H264".into()),
            named_clock_rate: None,
            parameter_sets: None,
            parameters: Vec::new(),
        };
        let same = StreamFormat {
            named_clock_rate: Some(90_000),
            parameter_sets: Some("A".into()),
            parameters: vec![("profile-level-id", "42e01f".into())],
            ..first.clone()
        };
        assert!(first.fits_session_of(&same));
        let others = [
            StreamFormat {
                named_clock_rate: Some(48_000),
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
