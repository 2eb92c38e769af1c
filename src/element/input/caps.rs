//! A pad's caps: reads those of a stream, and makes those that are advised to
//! upstream.

use super::stream_format::{CapsError, StreamFormat};
use crate::whip::Track;

/// Reads RTP caps.
///
/// # Errors
/// [`CapsError`] if the caps are not RTP audio or video with a payload type. Without
/// a payload type webrtcbin silently leaves the stream out of the offer.
pub(super) fn read_caps(caps: &gst::CapsRef) -> Result<StreamFormat, CapsError> {
    let structure = caps.structure(0).ok_or(CapsError::NotRtp)?;
    if structure.name() != "application/x-rtp" {
        return Err(CapsError::NotRtp);
    }
    let media = structure.get::<&str>("media").unwrap_or_default();
    let track = Track::named(media).ok_or_else(|| CapsError::Kind(media.to_owned()))?;
    let payload_type = structure.get::<i32>("payload").ok();
    let payload_type = payload_type.and_then(|payload| u8::try_from(payload).ok());
    let clock_rate = structure.get::<i32>("clock-rate").ok();
    let text = |name| structure.get::<String>(name).ok();
    Ok(StreamFormat {
        track,
        payload_type: payload_type
            .filter(|payload| *payload < 128)
            .ok_or(CapsError::NoPayloadType)?,
        encoding: text("encoding-name").filter(|name| !name.is_empty()),
        clock_rate: clock_rate.and_then(|rate| u32::try_from(rate).ok()),
        parameter_sets: text("sprop-parameter-sets"),
    })
}

/// The two codecs that IVS accepts, with the payload types that browsers use; then
/// any RTP.
pub(super) fn advised_caps() -> gst::Caps {
    let codec = |media: &str, encoding: &str, clock_rate: i32, payload: i32| {
        gst::Structure::builder("application/x-rtp")
            .field("media", media)
            .field("encoding-name", encoding)
            .field("clock-rate", clock_rate)
            .field("payload", payload)
            .build()
    };
    gst::Caps::builder_full()
        .structure(codec("audio", "OPUS", 48_000, 111))
        .structure(codec("video", "H264", 90_000, 102))
        .structure(gst::Structure::new_empty("application/x-rtp"))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(caps: &str) -> Result<StreamFormat, CapsError> {
        gst::init().unwrap();
        read_caps(&caps.parse::<gst::Caps>().unwrap())
    }

    #[test]
    fn audio_and_video() {
        let audio = read("application/x-rtp,media=audio,encoding-name=OPUS,payload=96").unwrap();
        assert_eq!((audio.track, audio.payload_type), (Track::Audio, 96));
        assert_eq!(audio.encoding.as_deref(), Some("OPUS"));
        let caps = "application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000,\
                    sprop-parameter-sets=(string)A,ssrc=(uint)7";
        let video = read(caps).unwrap();
        assert_eq!((video.track, video.payload_type), (Track::Video, 97));
        assert_eq!(video.clock_rate, Some(90_000));
        assert_eq!(video.parameter_sets.as_deref(), Some("A"));
    }

    #[test]
    fn not_rtp() {
        assert_eq!(read("audio/x-raw"), Err(CapsError::NotRtp));
    }

    #[test]
    fn kind() {
        for (caps, media) in [
            ("application/x-rtp,media=application", "application"),
            ("application/x-rtp", ""),
        ] {
            assert_eq!(read(caps), Err(CapsError::Kind(media.into())));
        }
    }

    #[test]
    fn no_payload() {
        for caps in [
            "application/x-rtp,media=audio",
            "application/x-rtp,media=audio,payload=128",
        ] {
            assert_eq!(read(caps), Err(CapsError::NoPayloadType));
        }
    }
}
