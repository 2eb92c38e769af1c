//! The H.264 encoders that the element knows how to set, and the choice among them.

use std::fmt;

use gst::prelude::*;

use super::super::property_bounds::{is_writable, takes};
use super::super::stream_format::CapsError;
use super::settings::ChainSettings;
use super::{BAD, GOOD, UGLY};
use crate::element::log::CAT;

/// An encoder's factory, and the settings for a live stream of constrained baseline.
#[derive(Debug)]
pub(super) struct VideoEncoder {
    pub(super) factory: &'static str,
    /// The package that has it in Debian.
    package: &'static str,
    /// Properties and their values. An encoder may lack some: that depends on the device
    /// and on GStreamer's version.
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// The property that has the distance of key frames, in frames.
    pub(super) key_interval: Option<&'static str>,
}

/// Hardware first, in the order in which they are tried. Only x264enc and openh264enc could
/// be tried; the settings of the others are from GStreamer's sources.
pub(super) const VIDEO_ENCODERS: [VideoEncoder; 14] = [
    VideoEncoder {
        factory: "nvh264enc",
        package: BAD,
        settings: &[
            ("preset", "low-latency-hq"),
            ("rc-mode", "cbr-ld-hq"),
            ("zerolatency", "true"),
            ("bframes", "0"),
            ("strict-gop", "true"),
        ],
        key_interval: Some("gop-size"),
    },
    VideoEncoder {
        factory: "nvcudah264enc",
        package: BAD,
        settings: &[
            ("rate-control", "cbr"),
            ("zero-reorder-delay", "true"),
            ("b-frames", "0"),
            ("repeat-sequence-header", "true"),
        ],
        key_interval: Some("gop-size"),
    },
    VideoEncoder {
        factory: "vah264enc",
        package: BAD,
        settings: &VA,
        key_interval: Some("key-int-max"),
    },
    VideoEncoder {
        factory: "vah264lpenc",
        package: BAD,
        settings: &VA,
        key_interval: Some("key-int-max"),
    },
    VideoEncoder {
        factory: "qsvh264enc",
        package: BAD,
        settings: &[
            ("low-latency", "true"),
            ("rc-lookahead", "0"),
            ("rate-control", "cbr"),
            ("disable-hrd-conformance", "true"),
            ("b-frames", "0"),
        ],
        key_interval: Some("gop-size"),
    },
    VideoEncoder {
        factory: "vtenc_h264_hw",
        package: "none; it is part of GStreamer for macOS",
        settings: &VIDEO_TOOLBOX,
        key_interval: Some("max-keyframe-interval"),
    },
    VideoEncoder {
        factory: "vtenc_h264",
        package: "none; it is part of GStreamer for macOS",
        settings: &VIDEO_TOOLBOX,
        key_interval: Some("max-keyframe-interval"),
    },
    VideoEncoder {
        factory: "mfh264enc",
        package: "none; it is part of GStreamer for Windows",
        settings: &[
            ("low-latency", "true"),
            ("rc-mode", "cbr"),
            ("bframes", "0"),
        ],
        key_interval: Some("gop-size"),
    },
    VideoEncoder {
        factory: "amfh264enc",
        package: "none; it is part of GStreamer for Windows",
        settings: &[("usage", "ultra-low-latency"), ("rate-control", "cbr")],
        key_interval: Some("gop-size"),
    },
    VideoEncoder {
        factory: "nvv4l2h264enc",
        package: "none; it is part of NVIDIA's system for Jetson",
        settings: &[
            ("maxperf-enable", "true"),
            ("preset-level", "UltraFastPreset"),
            ("insert-sps-pps", "true"),
            ("num-B-Frames", "0"),
        ],
        key_interval: Some("idrinterval"),
    },
    VideoEncoder {
        factory: "v4l2h264enc",
        package: GOOD,
        settings: &[(
            "extra-controls",
            "controls,repeat_sequence_header=1,video_gop_size=60,h264_i_frame_period=60",
        )],
        key_interval: None,
    },
    VideoEncoder {
        factory: "vaapih264enc",
        package: "gstreamer1.0-vaapi",
        settings: &[("rate-control", "cbr"), ("max-bframes", "0")],
        key_interval: Some("keyframe-period"),
    },
    VideoEncoder {
        factory: "x264enc",
        package: UGLY,
        settings: &[
            ("tune", "zerolatency"),
            ("speed-preset", "veryfast"),
            // Frame threads add delay, sliced ones more slices.
            ("sliced-threads", "false"),
            ("threads", "1"),
            ("bframes", "0"),
            ("b-adapt", "false"),
            ("vbv-buf-capacity", "300"),
            // Without it a noisy picture has a key frame in every third.
            ("option-string", "scenecut=0"),
        ],
        key_interval: Some("key-int-max"),
    },
    VideoEncoder {
        factory: "openh264enc",
        package: BAD,
        settings: &[
            // Its default keeps a quality, not a bit rate.
            ("rate-control", "bitrate"),
            ("complexity", "low"),
            ("background-detection", "false"),
            ("scene-change-detection", "false"),
            // Without it a complex picture has more than the bit rate.
            ("enable-frame-skip", "true"),
            // Without it level 5.1 is written as soon as the bit rate changes. This is what
            // IVS accepts.
            ("max-bitrate", "8500000"),
        ],
        key_interval: Some("gop-size"),
    },
];

const VA: [(&str, &str); 3] = [
    ("rate-control", "cbr"),
    ("target-usage", "7"),
    ("b-frames", "0"),
];

const VIDEO_TOOLBOX: [(&str, &str); 2] =
    [("realtime", "true"), ("allow-frame-reordering", "false")];

/// The encoders to try, in order: the one that the user names, or all that are known.
/// Those that failed are left out.
pub(super) fn candidates<'a>(
    settings: &'a ChainSettings,
    failed: &'a [String],
) -> Vec<(&'a str, Option<&'static VideoEncoder>)> {
    let all = match settings.video_encoder.as_deref() {
        Some(name) => vec![(name, known(name))],
        None => {
            let all = VIDEO_ENCODERS.iter();
            all.map(|known| (known.factory, Some(known))).collect()
        }
    };
    let is_usable = |(name, _): &(&str, Option<&VideoEncoder>)| {
        !failed.iter().any(|failed| failed == name) && gst::ElementFactory::find(name).is_some()
    };
    all.into_iter().filter(is_usable).collect()
}

/// The element that brings pictures from system memory to the one that an encoder takes,
/// and the package that has it. Untried.
pub(super) fn upload(factory: &str) -> Option<(&'static str, &'static str)> {
    match factory {
        "nvv4l2h264enc" => Some((
            "nvvidconv",
            "none; it is part of NVIDIA's system for Jetson",
        )),
        _ => None,
    }
}

fn known(name: &str) -> Option<&'static VideoEncoder> {
    VIDEO_ENCODERS.iter().find(|known| known.factory == name)
}

/// An encoder that can't be used.
pub(super) struct Refusal {
    pub(super) factory: String,
    /// The rest of the sentence that its name begins.
    pub(super) why: String,
}

impl Refusal {
    pub(super) fn new(factory: &str, why: impl Into<String>) -> Self {
        Self {
            factory: factory.to_owned(),
            why: why.into(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.factory, self.why)
    }
}

/// Why there is no encoder. `refused` says what is wrong with each that was tried.
pub(super) fn no_encoder(settings: &ChainSettings, refused: &[Refusal]) -> CapsError {
    let reasons: Vec<_> = refused.iter().map(Refusal::to_string).collect();
    let reasons = reasons.join(", ");
    let text = match (&settings.video_encoder, refused) {
        (Some(name), []) => format!(
            "the video encoder {name}, which video-encoder names, is not installed{}; leave \
             video-encoder empty to let the element choose",
            known(name).map_or_else(String::new, |known| format!(" (Debian: {})", known.package))
        ),
        (None, []) => format!(
            "no H.264 encoder is installed that the element knows; install x264enc (Debian: apt \
             install {UGLY}) or openh264enc ({BAD})"
        ),
        (Some(_), _) => format!(
            "the video encoder that video-encoder names can't be used: {reasons}; leave \
             video-encoder empty to let the element choose"
        ),
        (None, _) => format!(
            "no H.264 encoder that is installed works: {reasons}; install x264enc (Debian: apt \
             install {UGLY}) or openh264enc ({BAD}). All are tried again when other media come, \
             or the pad is linked anew"
        ),
    };
    CapsError::NoEncoder(text)
}

/// Sets an encoder up, and returns what was set, as a launch line has it.
pub(super) fn set_up(
    encoder: &gst::Element,
    known: &VideoEncoder,
    frames_between_keys: u32,
) -> String {
    let interval = frames_between_keys.to_string();
    let interval = known.key_interval.map(|name| (name, interval.as_str()));
    let settings = known.settings.iter().copied().chain(interval);
    let applied = settings.filter(|(name, value)| set(encoder, name, value));
    let applied: Vec<String> = applied
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    applied.join(" ")
}

/// Sets a property from text. Returns whether there is one that takes this value.
pub(super) fn set(element: &gst::Element, name: &str, text: &str) -> bool {
    let Some(property) = element.find_property(name) else {
        return false;
    };
    let value =
        is_writable(&property).then(|| glib::Value::deserialize_with_pspec(text, &property));
    let value = value.and_then(Result::ok);
    match value.filter(|value| takes(&property, value)) {
        Some(value) => {
            element.set_property_from_value(name, &value);
            true
        }
        None => {
            gst::warning!(CAT, obj = element, "{name} does not take {text}");
            false
        }
    }
}

#[cfg(test)]
#[allow(clippy::print_stdout)]
mod tests {
    use super::*;

    fn settings(video_encoder: Option<&str>) -> ChainSettings {
        ChainSettings {
            video_encoder: video_encoder.map(str::to_owned),
            ..ChainSettings::of(None)
        }
    }

    /// Says which encoders could not be tried, and what those that are installed lack: that
    /// depends on GStreamer's version and on the device.
    #[test]
    fn every_property_is_one_of_its_encoder() {
        gst::init().unwrap();
        let mut lacking = Vec::new();
        for known in &VIDEO_ENCODERS {
            let Ok(encoder) = gst::ElementFactory::make(known.factory).build() else {
                println!(
                    "{} is not installed, so its settings are untried",
                    known.factory
                );
                continue;
            };
            println!("{}: {}", known.factory, set_up(&encoder, known, 60));
            let interval = known.key_interval.map(|name| (name, "60"));
            for (name, value) in known.settings.iter().copied().chain(interval) {
                if !set(&encoder, name, value) {
                    println!("{} does not take {name}={value}", known.factory);
                    lacking.push((known.factory, name));
                }
            }
        }
        let is_software = |factory| ["x264enc", "openh264enc"].contains(&factory);
        lacking.retain(|(factory, _)| is_software(*factory));
        assert_eq!(lacking, []);
    }

    #[test]
    fn the_users_encoder_or_all_but_those_that_failed() {
        gst::init().unwrap();
        let names = |settings: &ChainSettings, failed: &[&str]| {
            let failed: Vec<String> = failed.iter().map(|&name| name.to_owned()).collect();
            let found = candidates(settings, &failed);
            let found: Vec<String> = found.into_iter().map(|(name, _)| name.to_owned()).collect();
            found
        };
        let any = settings(None);
        assert!(names(&any, &[]).ends_with(&["x264enc".into(), "openh264enc".into()]));
        assert!(names(&any, &["x264enc"]).ends_with(&["openh264enc".into()]));
        let openh264 = settings(Some("openh264enc"));
        assert_eq!(names(&openh264, &[]), ["openh264enc"]);
        assert!(names(&openh264, &["openh264enc"]).is_empty());
        assert!(names(&settings(Some("nosuchenc")), &[]).is_empty());
    }

    #[test]
    fn errors_say_what_to_do() {
        let text =
            |settings: &ChainSettings, failed: &[Refusal]| no_encoder(settings, failed).to_string();
        assert!(text(&settings(None), &[]).contains("gstreamer1.0-plugins-ugly"));
        assert!(text(&settings(Some("nosuchenc")), &[]).contains("video-encoder"));
        assert!(text(&settings(Some("vaapih264enc")), &[]).contains("gstreamer1.0-vaapi"));
        let failed = [Refusal::new("x264enc", "failed")];
        assert!(text(&settings(None), &failed).contains("x264enc failed"));
        assert!(text(&settings(Some("x264enc")), &failed).contains("leave video-encoder"));
    }

    #[test]
    fn a_value_that_a_property_does_not_take_is_left_out() {
        gst::init().unwrap();
        let identity = gst::ElementFactory::make("identity").build().unwrap();
        assert!(set(&identity, "sync", "true"));
        assert!(!set(&identity, "sync", "perhaps"));
        assert!(!set(&identity, "nosuch", "1"));
        assert!(!set(&identity, "stats", "1"));
        assert!(!set(&identity, "error-after", "-2"));
        assert!(!set(&identity, "error-after", "4000000000"));
        assert!(!set(&identity, "drop-probability", "1.5"));
        assert!(set(&identity, "drop-probability", "0.5"));
        let appsrc = gst::ElementFactory::make("appsrc").build().unwrap();
        assert!(!set(&appsrc, "block", "7"));
        assert!(!set(&appsrc, "min-percent", "101"));
    }
}
