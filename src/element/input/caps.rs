//! What a pad's caps say about its stream.

use std::fmt;

use crate::whip::Track;

/// The stream on a pad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::element) struct Media {
    pub(in crate::element) track: Track,
    pub(in crate::element) payload: u8,
    pub(in crate::element) caps: gst::Caps,
}

impl Media {
    /// Reads RTP caps. Without a payload type webrtcbin would drop the
    /// stream from the offer without a word.
    pub(in crate::element) fn read(caps: &gst::CapsRef) -> Result<Self, MediaError> {
        let structure = caps.structure(0).ok_or(MediaError::NotRtp)?;
        if structure.name() != "application/x-rtp" {
            return Err(MediaError::NotRtp);
        }
        let media = structure.get::<&str>("media").unwrap_or_default();
        let track = Track::named(media).ok_or_else(|| MediaError::Kind(media.to_owned()))?;
        let payload = structure.get::<i32>("payload").ok();
        let payload = payload.and_then(|payload| u8::try_from(payload).ok());
        Ok(Self {
            track,
            payload: payload
                .filter(|payload| *payload < 128)
                .ok_or(MediaError::NoPayload)?,
            caps: caps.to_owned(),
        })
    }
}

impl Media {
    /// A field of the caps that holds text; empty without it.
    pub(in crate::element) fn text(&self, name: &str) -> String {
        let structure = self.caps.structure(0);
        let text = structure.and_then(|structure| structure.get(name).ok());
        text.unwrap_or_default()
    }

    /// Of RTP's timestamps, in Hz.
    pub(in crate::element) fn clock_rate(&self) -> Option<i32> {
        self.caps.structure(0)?.get("clock-rate").ok()
    }

    /// Whether a session that was made for this stream can carry the other in
    /// its place. New parameter sets count where both are in the caps: a
    /// payloader that does not repeat them in the stream has them nowhere else.
    pub(in crate::element) fn fits_session_of(&self, other: &Self) -> bool {
        let text = |media: &Self, name| {
            let structure = media.caps.structure(0)?;
            structure.get::<String>(name).ok()
        };
        let parameters = [self, other].map(|media| text(media, "sprop-parameter-sets"));
        let same_parameters = match &parameters {
            [Some(old), Some(new)] => old == new,
            _ => true,
        };
        (self.track, self.payload) == (other.track, other.payload)
            && text(self, "encoding-name") == text(other, "encoding-name")
            && self.clock_rate() == other.clock_rate()
            && same_parameters
    }
}

/// Why a pad's caps can't be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::element) enum MediaError {
    /// Not `application/x-rtp`.
    NotRtp,
    /// Neither audio nor video.
    Kind(String),
    /// No RTP payload type.
    NoPayload,
}

impl fmt::Display for MediaError {
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
            Self::NoPayload => f.write_str(
                "expected RTP caps with a payload type (payload=0 to 127); add it with a capsfilter",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(caps: &str) -> Result<Media, MediaError> {
        gst::init().unwrap();
        Media::read(&caps.parse::<gst::Caps>().unwrap())
    }

    #[test]
    fn audio_and_video() {
        let audio = read("application/x-rtp,media=audio,encoding-name=OPUS,payload=96").unwrap();
        assert_eq!((audio.track, audio.payload), (Track::Audio, 96));
        let video = read("application/x-rtp,media=video,encoding-name=H264,payload=97").unwrap();
        assert_eq!((video.track, video.payload), (Track::Video, 97));
    }

    #[test]
    fn what_makes_another_session() {
        let video = |rest: &str| {
            read(&format!(
                "application/x-rtp,media=video,encoding-name=H264,{rest}"
            ))
            .unwrap()
        };
        let first = video("payload=96,clock-rate=90000");
        let with_parameters =
            video("payload=96,clock-rate=90000,sprop-parameter-sets=(string)A,ssrc=(uint)7");
        assert!(first.fits_session_of(&with_parameters));
        assert!(!first.fits_session_of(&video("payload=97,clock-rate=90000")));
        assert!(!first.fits_session_of(&video("payload=96,clock-rate=48000")));
        let other_parameters = video("payload=96,clock-rate=90000,sprop-parameter-sets=(string)B");
        assert!(!with_parameters.fits_session_of(&other_parameters));
    }

    #[test]
    fn not_rtp() {
        assert_eq!(read("audio/x-raw"), Err(MediaError::NotRtp));
    }

    #[test]
    fn kind() {
        for (caps, media) in [
            ("application/x-rtp,media=application", "application"),
            ("application/x-rtp", ""),
        ] {
            assert_eq!(read(caps), Err(MediaError::Kind(media.into())));
        }
    }

    #[test]
    fn no_payload() {
        for caps in [
            "application/x-rtp,media=audio",
            "application/x-rtp,media=audio,payload=128",
        ] {
            assert_eq!(read(caps), Err(MediaError::NoPayload));
        }
    }
}
