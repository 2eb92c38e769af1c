//! RTP caps: reads those of a stream, and makes those with which it leaves.

use super::stream_format::{CapsError, StreamFormat};
use crate::whip::Track;

/// The format parameters that go into the offer (RFC 6184 8.1, RFC 7587 6.1, and those of
/// the codecs of other servers). Everything else in a stream's caps, such as the
/// attributes of a camera's session description, is about the source.
const PARAMETERS: [&str; 15] = [
    "packetization-mode",
    "profile-level-id",
    "level-asymmetry-allowed",
    "minptime",
    "useinbandfec",
    "usedtx",
    "cbr",
    "stereo",
    "sprop-stereo",
    "maxaveragebitrate",
    "maxplaybackrate",
    "sprop-maxcapturerate",
    "profile-id",
    "profile",
    "level-idx",
];

/// Reads RTP caps.
///
/// # Errors
/// [`CapsError`] if the caps are not RTP audio or video.
pub(super) fn read_caps(caps: &gst::CapsRef) -> Result<StreamFormat, CapsError> {
    let name = |caps: &gst::CapsRef| caps.structure(0).map(|caps| caps.name().to_string());
    let not_rtp = || CapsError::Media(name(caps).unwrap_or_default());
    let is_rtp = |caps: &&gst::StructureRef| caps.name() == "application/x-rtp";
    let structure = caps.structure(0).filter(is_rtp).ok_or_else(not_rtp)?;
    let media = structure.get::<&str>("media").unwrap_or_default();
    let track = Track::named(media).ok_or_else(|| CapsError::Kind(media.to_owned()))?;
    let clock_rate = structure.get::<i32>("clock-rate").ok();
    let text = |name| structure.get::<String>(name).ok();
    Ok(StreamFormat {
        track,
        encoding: text("encoding-name").filter(|name| !name.is_empty()),
        named_clock_rate: clock_rate
            .and_then(|rate| u32::try_from(rate).ok())
            .filter(|rate| *rate > 0),
        parameter_sets: text("sprop-parameter-sets"),
        parameters: PARAMETERS
            .into_iter()
            .filter_map(|name| Some((name, text(name)?)))
            .collect(),
    })
}

/// The caps of a stream as it leaves.
pub(super) fn sent_caps(format: &StreamFormat, ssrc: u32) -> gst::Caps {
    let is_opus = format.track == Track::Audio
        && (format.encoding.as_deref()).is_some_and(|name| name.eq_ignore_ascii_case("OPUS"));
    let mut caps = gst::Structure::builder("application/x-rtp")
        .field("media", format.track.name())
        .field("payload", i32::from(format.payload_type()))
        .field(
            "clock-rate",
            i32::try_from(format.clock_rate()).unwrap_or(i32::MAX),
        )
        .field("ssrc", ssrc)
        .field_if_some("encoding-name", format.encoding.as_deref());
    if is_opus {
        // Always two channels (RFC 7587 7).
        caps = caps.field("encoding-params", "2");
    }
    for (name, value) in &format.parameters {
        caps = caps.field(*name, value);
    }
    gst::Caps::builder_full().structure(caps.build()).build()
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
        let audio = read("application/x-rtp,media=audio,encoding-name=OPUS").unwrap();
        assert_eq!((audio.track, audio.clock_rate()), (Track::Audio, 48_000));
        assert_eq!(audio.encoding.as_deref(), Some("OPUS"));
        let caps = "application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000,\
                    sprop-parameter-sets=(string)A,ssrc=(uint)7";
        let video = read(caps).unwrap();
        assert!(video.is_h264());
        assert_eq!(video.named_clock_rate, Some(90_000));
        assert_eq!(video.parameter_sets.as_deref(), Some("A"));
    }

    #[test]
    fn what_leaves_has_known_fields_only() {
        let camera = "application/x-rtp,media=video,encoding-name=H264,payload=96,\
                      clock-rate=90000,packetization-mode=(string)1,ssrc=(uint)7,\
                      profile-level-id=(string)42e01f,sprop-parameter-sets=(string)A,\
                      a-recvonly=(string)\"\",a-tool=(string)x,a-Media_header=(string)y,\
                      ssrc-7-cname=(string)z,x-dimensions=(string)w,\
                      extmap-1=(string)urn:ietf:params:rtp-hdrext:sdes:mid";
        let sent = sent_caps(&read(camera).unwrap(), 9);
        let expected = "application/x-rtp,media=video,payload=102,clock-rate=90000,ssrc=(uint)9,\
                        encoding-name=H264,packetization-mode=(string)1,\
                        profile-level-id=(string)42e01f";
        assert_eq!(sent, expected.parse::<gst::Caps>().unwrap());
        let opus = read("application/x-rtp,media=audio,encoding-name=opus").unwrap();
        let expected = "application/x-rtp,media=audio,payload=111,clock-rate=48000,ssrc=(uint)9,\
                        encoding-name=opus,encoding-params=(string)2";
        assert_eq!(sent_caps(&opus, 9), expected.parse::<gst::Caps>().unwrap());
    }

    #[test]
    fn not_rtp() {
        let error = Err(CapsError::Media("audio/x-raw".into()));
        assert_eq!(read("audio/x-raw"), error);
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
}
