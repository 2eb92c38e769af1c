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
    /// and on GStreamer's version. Of several values of a property, the first that it takes.
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
            // From 1.26 on it is what nvcudah264enc was, without `cbr-ld-hq`.
            ("preset", "p4"),
            ("preset", "low-latency-hq"),
            ("tune", "ultra-low-latency"),
            ("rc-mode", "cbr-ld-hq"),
            ("rc-mode", "cbr"),
            ("zerolatency", "true"),
            ("bframes", "0"),
            ("strict-gop", "true"),
            ("repeat-sequence-header", "true"),
        ],
        key_interval: Some("gop-size"),
    },
    VideoEncoder {
        factory: "nvcudah264enc",
        package: BAD,
        settings: &[
            // `p4` and `tune` from 1.24 on. From 1.26 on it is nvh264enc.
            ("preset", "p4"),
            ("preset", "low-latency-hq"),
            ("tune", "ultra-low-latency"),
            ("rate-control", "cbr"),
            ("zero-reorder-delay", "true"),
            ("b-frames", "0"),
            ("strict-gop", "true"),
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
        settings: &[
            ("usage", "ultra-low-latency"),
            ("rate-control", "cbr"),
            // From 1.24 on.
            ("b-frames", "0"),
        ],
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
    let settings: Vec<_> = known.settings.iter().copied().chain(interval).collect();
    let mut applied: Vec<(&str, &str)> = Vec::new();
    for &(name, value) in &settings {
        if !has(&applied, name) && set(encoder, name, value) {
            applied.push((name, value));
        }
    }
    for (name, value) in settings {
        if !has(&applied, name) && encoder.has_property(name) {
            gst::warning!(CAT, obj = encoder, "{name} does not take {value}");
        }
    }
    let applied = applied
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    applied.collect::<Vec<_>>().join(" ")
}

fn has(settings: &[(&str, &str)], name: &str) -> bool {
    settings.iter().any(|(known, _)| *known == name)
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
        None => false,
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

    /// What a property is that decides about the bit rate or the delay, and its values, by
    /// the version that has them first: from GStreamer's sources of 1.22, 1.24, 1.26 and 1.28.
    const OF_VERSIONS: [(&str, &str, &str, &[&str]); 17] = [
        ("nvh264enc", "1.22", "rc-mode", &NV_OLD_RATES),
        ("nvh264enc", "1.22", "preset", &NV_OLD_PRESETS),
        ("nvh264enc", "1.26", "rc-mode", &["constqp", "cbr", "vbr"]),
        ("nvh264enc", "1.26", "preset", &["p1", "p4", "p7"]),
        ("nvh264enc", "1.26", "tune", &NV_TUNES),
        ("nvcudah264enc", "1.22", "rate-control", &NV_CUDA_RATES),
        ("nvcudah264enc", "1.22", "preset", &NV_OLD_PRESETS),
        ("nvcudah264enc", "1.24", "preset", &["p1", "p4", "p7"]),
        ("nvcudah264enc", "1.24", "tune", &NV_TUNES),
        ("vah264enc", "1.22", "rate-control", &["cbr", "vbr", "cqp"]),
        (
            "vah264lpenc",
            "1.22",
            "rate-control",
            &["cbr", "vbr", "cqp"],
        ),
        ("qsvh264enc", "1.22", "rate-control", &["cbr", "vbr", "cqp"]),
        ("mfh264enc", "1.22", "rc-mode", &["cbr", "qvbr"]),
        ("amfh264enc", "1.22", "rate-control", &["cqp", "cbr", "vbr"]),
        ("amfh264enc", "1.22", "usage", &["ultra-low-latency"]),
        ("x264enc", "1.22", "tune", &["zerolatency"]),
        ("openh264enc", "1.22", "rate-control", &["bitrate"]),
    ];
    const NV_OLD_RATES: [&str; 4] = ["cbr", "vbr", "cbr-ld-hq", "cbr-hq"];
    const NV_CUDA_RATES: [&str; 4] = ["cqp", "cbr", "vbr", "cbr-hq"];
    const NV_OLD_PRESETS: [&str; 4] = ["hp", "hq", "low-latency", "low-latency-hq"];
    const NV_TUNES: [&str; 3] = ["high-quality", "low-latency", "ultra-low-latency"];

    /// Otherwise its default stays, such as a bit rate that varies.
    #[test]
    fn each_version_takes_one_value_of_a_property_that_matters() {
        for (factory, version, property, values) in OF_VERSIONS {
            let known = known(factory).unwrap();
            let taken = known
                .settings
                .iter()
                .find(|(name, value)| *name == property && values.contains(value));
            assert!(taken.is_some(), "{factory} {version}: {property}");
        }
    }

    /// B-frames are no constrained baseline, but an encoder may fail for them.
    #[test]
    fn no_row_leaves_b_frames_on_where_they_can_be_on() {
        let names = ["bframes", "b-frames", "max-bframes", "num-B-Frames"];
        let without = ["vtenc_h264", "vtenc_h264_hw", "v4l2h264enc", "openh264enc"];
        for known in &VIDEO_ENCODERS {
            let is_off = known
                .settings
                .iter()
                .any(|(name, value)| names.contains(name) && *value == "0");
            assert!(
                is_off || without.contains(&known.factory),
                "{}",
                known.factory
            );
        }
    }

    #[test]
    fn of_several_values_the_first_that_is_taken_is_set() {
        gst::init().unwrap();
        let encoder = gst::ElementFactory::make("x264enc").build().unwrap();
        let row = VideoEncoder {
            factory: "x264enc",
            package: UGLY,
            settings: &[
                ("speed-preset", "p4"),
                ("speed-preset", "fast"),
                ("speed-preset", "veryfast"),
                ("nosuch", "1"),
            ],
            key_interval: None,
        };
        assert_eq!(set_up(&encoder, &row, 60), "speed-preset=fast");
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
