//! What an offer has, as far as a refusal can be about it.

use std::fmt;

use super::filler::OfferedVideo;
use super::limits::check_codec;
use crate::whip::{Offer, Track};

/// The video section of an offer, and the codecs in it that IVS does not accept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OfferedMedia {
    /// The video section.
    pub video: OfferedVideo,
    /// A codec for each section that has none of IVS's.
    pub foreign_codecs: Vec<ForeignCodec>,
}

impl OfferedMedia {
    /// Reads an offer with this video section.
    pub fn of(offer: &Offer, video: OfferedVideo) -> Self {
        let foreign = |(track, encodings): (Track, Vec<&str>)| {
            let is_foreign = |encoding: &&str| check_codec(track, encoding).is_some();
            // A section that names no codec shows none.
            let encoding = (*encodings.first()?).to_owned();
            let codec = ForeignCodec { track, encoding };
            encodings.iter().all(is_foreign).then_some(codec)
        };
        Self {
            video,
            foreign_codecs: offer.codecs().into_iter().filter_map(foreign).collect(),
        }
    }

    /// With this video section, and codecs of IVS only.
    pub fn accepted(video: OfferedVideo) -> Self {
        Self {
            video,
            foreign_codecs: Vec::new(),
        }
    }

    /// With this video section, and audio that is not Opus.
    #[cfg(test)]
    pub(crate) fn with_pcmu(video: OfferedVideo) -> Self {
        let codec = ForeignCodec {
            track: Track::Audio,
            encoding: "PCMU".to_owned(),
        };
        Self {
            video,
            foreign_codecs: vec![codec],
        }
    }
}

/// A codec that IVS does not accept. Displays what it is, what IVS accepts, and which
/// elements make that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignCodec {
    /// The track's kind.
    pub track: Track,
    /// The encoding name, such as `PCMU`.
    pub encoding: String,
}

impl fmt::Display for ForeignCodec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { track, encoding } = self;
        match track {
            // What GStreamer and Chromium call Opus of more than two channels.
            Track::Audio if encoding.eq_ignore_ascii_case("MULTIOPUS") => write!(
                f,
                "the audio is Opus of more than two channels ({encoding}), and IVS takes one or \
                 two: put audioconvert ! audio/x-raw,channels=2 before opusenc"
            ),
            Track::Audio => write!(
                f,
                "the audio is {encoding}, and IVS takes only Opus: use opusenc with rtpopuspay"
            ),
            Track::Video => write!(
                f,
                "the video is {encoding}, and IVS takes only H.264: use x264enc or another H.264 \
                 encoder with rtph264pay"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign(audio: &str, video: &str) -> Vec<String> {
        let text = format!(
            "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=sendonly\r\n{audio}\
             m=video 9 UDP/TLS/RTP/SAVPF 97 98\r\na=inactive\r\n{video}"
        );
        let offer = Offer::new(&text, "s", None).unwrap();
        let offered = OfferedMedia::of(&offer, OfferedVideo::Media);
        let foreign = offered.foreign_codecs.iter();
        foreign.map(ToString::to_string).collect()
    }

    #[test]
    fn codecs_of_ivs_are_not_foreign() {
        let h264 = "a=rtpmap:98 rtx/90000\r\na=rtpmap:97 H264/90000\r\n";
        for audio in ["a=rtpmap:96 OPUS/48000/2\r\n", ""] {
            assert_eq!(foreign(audio, h264), [""; 0]);
        }
    }

    #[test]
    fn others_are_named_with_what_to_use() {
        let found = foreign(
            "a=rtpmap:96 PCMU/8000\r\n",
            "a=rtpmap:97 VP8/90000\r\na=rtpmap:98 rtx/90000\r\n",
        );
        assert_eq!(
            found,
            [
                "the audio is PCMU, and IVS takes only Opus: use opusenc with rtpopuspay",
                "the video is VP8, and IVS takes only H.264: use x264enc or another H.264 \
                 encoder with rtph264pay"
            ]
        );
        let surround = &foreign("a=rtpmap:96 multiopus/48000/6\r\n", "")[0];
        assert!(surround.contains("channels=2"), "{surround}");
    }
}
