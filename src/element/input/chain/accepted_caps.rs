//! The caps that pads take, for templates and for upstream's caps queries.

use super::super::stream_format::payload_type;
use super::kind::FOREIGN_CODECS;
use super::memory::raw_memories;
use crate::whip::Track;

/// What a pad takes, what costs least first: RTP of the two codecs that IVS accepts, with
/// the payload types that browsers use; encoded media; raw media in the form that needs
/// no conversion; then all others. Last come media that are refused with a word.
pub(in super::super) fn advised_caps() -> gst::Caps {
    let mut caps = rtp_caps();
    for track in [Track::Audio, Track::Video] {
        caps.merge(media_caps(track));
    }
    let caps = caps.make_mut();
    for codec in &FOREIGN_CODECS {
        caps.append_structure(gst::Structure::new_empty(codec.media_type));
    }
    caps.to_owned()
}

/// What a pad of one track takes.
pub(crate) fn accepted_caps(track: Track) -> gst::Caps {
    let rtp = gst::Caps::builder("application/x-rtp")
        .field("media", track.name())
        .build();
    let mut caps = rtp;
    caps.merge(media_caps(track));
    caps
}

/// Encoded and raw media.
fn media_caps(track: Track) -> gst::Caps {
    let memories = raw_memories();
    let raw = |features: Option<&str>| match features {
        Some(feature) => format!("; video/x-raw({feature})"),
        None => String::new(),
    };
    let text = match track {
        Track::Audio => AUDIO_CAPS.to_owned(),
        Track::Video => {
            let memories = memories.map(|feature| raw(Some(feature)));
            VIDEO_CAPS.to_owned() + &memories.collect::<String>()
        }
    };
    // The texts parse: a test reads them.
    text.parse().unwrap_or_else(|_| gst::Caps::new_empty())
}

const AUDIO_CAPS: &str = "audio/x-opus,channel-mapping-family=0,channels=[1,2]; audio/x-opus; \
     audio/x-raw,rate=48000,channels=[1,2],layout=interleaved; audio/x-raw";

const VIDEO_CAPS: &str = "video/x-h264,profile={constrained-baseline,baseline}; video/x-h264; \
     video/x-raw,format=I420,width=[160,1280],height=[160,720],framerate=[10/1,30/1]; \
     video/x-raw";

fn rtp_caps() -> gst::Caps {
    let codec = |track: Track, encoding: &str, clock_rate: i32| {
        gst::Structure::builder("application/x-rtp")
            .field("media", track.name())
            .field("encoding-name", encoding)
            .field("clock-rate", clock_rate)
            .field("payload", i32::from(payload_type(track)))
            .build()
    };
    gst::Caps::builder_full()
        .structure(codec(Track::Audio, "OPUS", 48_000))
        .structure(codec(Track::Video, "H264", 90_000))
        .structure(gst::Structure::new_empty("application/x-rtp"))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_costs_least_comes_first() {
        gst::init().unwrap();
        let advised = advised_caps();
        let names: Vec<_> = advised.iter().map(|caps| caps.name().as_str()).collect();
        let first = |name| names.iter().position(|other| *other == name).unwrap();
        assert_eq!(first("application/x-rtp"), 0);
        assert!(first("audio/x-opus") < first("audio/x-raw"));
        assert!(first("video/x-h264") < first("video/x-raw"));
        assert!(first("video/x-raw") < first("video/x-h265"));
    }

    #[test]
    fn a_pad_of_one_track_takes_no_other() {
        gst::init().unwrap();
        let takes = |track, caps: &str| {
            let caps = caps.parse::<gst::Caps>().unwrap();
            accepted_caps(track).can_intersect(&caps)
        };
        for (caps, is_audio) in [
            ("application/x-rtp,media=audio", true),
            ("audio/x-opus,channels=6,channel-mapping-family=1", true),
            ("audio/x-raw,rate=8000,channels=32", true),
            ("application/x-rtp,media=video", false),
            ("video/x-h264,profile=high", false),
            (
                "video/x-raw,format=RGBA,width=1,height=1,framerate=0/1",
                false,
            ),
        ] {
            assert_eq!(takes(Track::Audio, caps), is_audio, "{caps}");
            assert_eq!(takes(Track::Video, caps), !is_audio, "{caps}");
        }
    }
}
