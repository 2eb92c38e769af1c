//! The setting that fixes a violation, for GStreamer's encoders.
//!
//! In: a violation and the factory name of the encoder. Out: a sentence.

use super::violation::LimitViolation;
use crate::whip::Track;

/// The whole warning: what is wrong, what IVS does about it, and what to change.
/// `encoder` is the encoder's factory name, such as `x264enc`, if it is known.
pub fn limit_warning(violation: &LimitViolation, encoder: Option<&str>) -> String {
    let (found, cure) = (violation.to_string(), violation.cure(encoder));
    format!("{}. {}.", capitalized(&found), capitalized(&cure))
}

/// The same for video that the element encodes: what is wrong is not a setting of the
/// encoder, unless the application chose or set it.
pub fn own_limit_warning(violation: &LimitViolation) -> String {
    let (found, cure) = (violation.to_string(), violation.own_cure());
    format!("{}. {}.", capitalized(&found), capitalized(cure))
}

impl LimitViolation {
    /// What a user can change of the element's own encoder.
    fn own_cure(&self) -> &'static str {
        match self {
            Self::FrameRateLow { .. } | Self::KeyFrames { .. } => {
                "the source or this machine is too slow: check that the source keeps its frame \
                 rate, lower its size or frame rate, or name a faster encoder with video-encoder"
            }
            Self::FrameRateHigh { .. } => "set max-framerate to 60 or less",
            Self::VideoBitRate { .. } | Self::VideoBitRateNear { .. } => {
                "set max-bitrate to 6000000 (bit/s) or less"
            }
            _ => {
                "leave video-encoder empty, and the encoder as it is in handlers of encoder-setup, \
                 to let the element set it"
            }
        }
    }

    /// What to change, with the encoder's own properties if it is a known one.
    fn cure(&self, encoder: Option<&str>) -> String {
        let settings = encoder.and_then(Settings::of);
        match self {
            Self::Codec { .. } if self.is_surround_opus() => {
                "put audioconvert ! audio/x-raw,channels=2 ahead of opusenc".to_owned()
            }
            Self::Codec { track, .. } => encoder_for(*track).to_owned(),
            Self::Profile { .. } => {
                let encoder = encoder.unwrap_or("the encoder");
                format!("put the caps video/x-h264,profile=constrained-baseline after {encoder}")
            }
            Self::BFrames { .. } => match settings.and_then(|settings| settings.b_frames) {
                Some(setting) => set(encoder, setting),
                None => {
                    "switch B-frames off in the encoder, or ask it for the constrained-baseline \
                     profile, which has none"
                        .to_owned()
                }
            },
            Self::TooLarge { width, height } => scale(1280, 720, Shape::of(*width, *height)),
            Self::TooSmall { width, height } => scale(640, 360, Shape::of(*width, *height)),
            Self::FrameRateLow { .. } | Self::FrameRateHigh { .. } => {
                "put videorate ! video/x-raw,framerate=30/1 ahead of the encoder".to_owned()
            }
            Self::KeyFrames { frame_rate, .. } => {
                let frames = two_seconds(*frame_rate);
                match settings.map(|settings| settings.key_frames) {
                    Some(setting) => set(encoder, &setting.replace("{}", &frames)),
                    None => {
                        format!("make the encoder send a key frame every {frames} frames (2 s)")
                    }
                }
            }
            Self::VideoBitRate { .. } | Self::VideoBitRateNear { .. } => {
                video_bit_rate(encoder, settings)
            }
            Self::AudioBitRate { .. } => match encoder {
                Some("opusenc") => set(encoder, "bitrate=128000 (bit/s)"),
                _ => "set the encoder's bit rate to 128 kbit/s".to_owned(),
            },
        }
    }
}

/// Makes the first letter a capital. All of our sentences begin in ASCII.
fn capitalized(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// Documented ("RTMP publishing"): 6 Mbit/s is safe even where encoders overshoot.
/// Documented ("WHIP support"): 2.5 Mbit/s where viewers' networks matter.
fn video_bit_rate(encoder: Option<&str>, settings: Option<Settings>) -> String {
    let setting = match settings.map(|settings| (settings.bit_rate, settings.unit)) {
        Some((setting, Unit::Bits)) => set(encoder, &setting.replace("{}", "6000000")) + " (bit/s)",
        Some((setting, Unit::Kilobits)) => {
            set(encoder, &setting.replace("{}", "6000")) + " (kbit/s)"
        }
        None => "set the encoder's bit rate to 6 Mbit/s".to_owned(),
    };
    setting + " or less; AWS recommends 2.5 Mbit/s for viewers on slow networks"
}

fn set(encoder: Option<&str>, setting: &str) -> String {
    format!("set {} {setting}", encoder.unwrap_or("the encoder's"))
}

fn encoder_for(track: Track) -> &'static str {
    match track {
        Track::Audio => "link raw audio, which the element encodes, or Opus of opusenc",
        Track::Video => {
            "link raw video, which the element encodes, or H.264 of x264enc or another encoder"
        }
    }
}

/// Keeps the orientation.
fn scale(long: u32, short: u32, shape: Shape) -> String {
    let (width, height) = match shape {
        Shape::Landscape => (long, short),
        Shape::Portrait => (short, long),
    };
    format!(
        "put videoscale ! video/x-raw,width={width},height={height} ahead of the encoder, or \
         another size of the same shape within the limits"
    )
}

#[derive(Clone, Copy)]
enum Shape {
    Landscape,
    Portrait,
}

impl Shape {
    fn of(width: u32, height: u32) -> Self {
        if width < height {
            Self::Portrait
        } else {
            Self::Landscape
        }
    }
}

/// The number of frames in two seconds, rounded down; at 30 frames a second if the rate
/// is unknown.
fn two_seconds(frame_rate: f64) -> String {
    let frame_rate = if frame_rate >= 1.0 { frame_rate } else { 30.0 };
    format!("{:.0}", (2.0 * frame_rate).floor())
}

/// An encoder's property settings, with `{}` in place of the number.
#[derive(Clone, Copy)]
struct Settings {
    /// `None` if the encoder makes no B-frames, or has no property for them.
    b_frames: Option<&'static str>,
    key_frames: &'static str,
    bit_rate: &'static str,
    unit: Unit,
}

#[derive(Clone, Copy)]
enum Unit {
    Bits,
    Kilobits,
}

impl Settings {
    /// For most encoders: `bitrate` is in kbit/s.
    fn kilobits(b_frames: &'static str, key_frames: &'static str) -> Self {
        Self {
            b_frames: Some(b_frames),
            key_frames,
            bit_rate: "bitrate={}",
            unit: Unit::Kilobits,
        }
    }

    /// For several encoders: `bitrate` is in bit/s.
    fn bits(b_frames: Option<&'static str>, key_frames: &'static str) -> Self {
        Self {
            b_frames,
            key_frames,
            bit_rate: "bitrate={}",
            unit: Unit::Bits,
        }
    }

    /// The settings by factory name, from the elements' sources. Those of x264enc and
    /// openh264enc are also as GStreamer 1.22 lists them.
    fn of(encoder: &str) -> Option<Self> {
        Some(match encoder {
            "x264enc" => Self::kilobits("bframes=0 (or tune=zerolatency)", "key-int-max={}"),
            "openh264enc" => Self::bits(None, "gop-size={}"),
            "vah264enc" | "vah264lpenc" => Self::kilobits("b-frames=0", "key-int-max={}"),
            "vaapih264enc" => Self::kilobits("max-bframes=0", "keyframe-period={}"),
            "nvh264enc" | "mfh264enc" => Self::kilobits("bframes=0", "gop-size={}"),
            "nvcudah264enc" | "qsvh264enc" => Self::kilobits("b-frames=0", "gop-size={}"),
            // Has no property for B-frames in 1.22.
            "amfh264enc" => Self {
                b_frames: None,
                ..Self::kilobits("", "gop-size={}")
            },
            "nvv4l2h264enc" => Self::bits(Some("num-B-Frames=0"), "idrinterval={}"),
            "vtenc_h264" | "vtenc_h264_hw" => {
                Self::kilobits("allow-frame-reordering=false", "max-keyframe-interval={}")
            }
            "v4l2h264enc" => Self {
                b_frames: Some(r#"extra-controls="controls,video_b_frames=0""#),
                key_frames: r#"extra-controls="controls,h264_i_frame_period={}" (on some devices video_gop_size={})"#,
                bit_rate: r#"extra-controls="controls,video_bitrate={}""#,
                unit: Unit::Bits,
            },
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::violation::tests::all;
    use super::*;

    const ENCODERS: [&str; 14] = [
        "x264enc",
        "openh264enc",
        "vah264enc",
        "vah264lpenc",
        "vaapih264enc",
        "nvh264enc",
        "nvcudah264enc",
        "qsvh264enc",
        "mfh264enc",
        "amfh264enc",
        "nvv4l2h264enc",
        "vtenc_h264",
        "v4l2h264enc",
        "someenc",
    ];

    #[test]
    fn every_violation_has_a_cure_for_every_encoder() {
        for violation in all() {
            for encoder in ENCODERS.map(Some).into_iter().chain([None]) {
                let cure = violation.cure(encoder);
                assert!(cure.len() > 20 && !cure.contains("{}"), "{cure}");
            }
        }
    }

    /// Its settings are not the user's.
    #[test]
    fn the_elements_own_encoder_has_cures_of_its_own() {
        for violation in all() {
            let warning = own_limit_warning(&violation);
            assert!(warning.starts_with(&capitalized(&violation.to_string())));
            assert!(warning.ends_with('.') && !warning.contains("key-int-max"));
        }
        for (violation, setting) in [
            (
                LimitViolation::FrameRateHigh { frame_rate: 90.0 },
                "max-framerate",
            ),
            (
                LimitViolation::VideoBitRate {
                    bit_rate: 9_000_000,
                },
                "max-bitrate",
            ),
        ] {
            let warning = own_limit_warning(&violation);
            assert!(warning.contains(setting), "{warning}");
        }
        let slow = LimitViolation::KeyFrames {
            seconds: 4.5,
            frame_rate: 3.0,
        };
        let words = "This machine is too slow";
        let warning = own_limit_warning(&slow);
        assert!(warning.contains(&words.to_lowercase()), "{warning}");
    }

    #[test]
    fn b_frames() {
        let cure = |encoder| {
            LimitViolation::BFrames {
                count: 1,
                frames: 2,
            }
            .cure(encoder)
        };
        for (encoder, setting) in [
            ("x264enc", "set x264enc bframes=0 (or tune=zerolatency)"),
            ("vah264enc", "set vah264enc b-frames=0"),
            ("vaapih264enc", "set vaapih264enc max-bframes=0"),
            ("nvh264enc", "set nvh264enc bframes=0"),
            ("nvcudah264enc", "set nvcudah264enc b-frames=0"),
            ("mfh264enc", "set mfh264enc bframes=0"),
            ("vtenc_h264", "set vtenc_h264 allow-frame-reordering=false"),
            (
                "v4l2h264enc",
                r#"set v4l2h264enc extra-controls="controls,video_b_frames=0""#,
            ),
        ] {
            assert_eq!(cure(Some(encoder)), setting);
        }
        for none in [Some("openh264enc"), Some("amfh264enc"), None] {
            assert!(cure(none).contains("constrained-baseline"));
        }
    }

    #[test]
    fn key_frames() {
        let violation = |frame_rate| LimitViolation::KeyFrames {
            seconds: 10.0,
            frame_rate,
        };
        for (encoder, setting) in [
            ("x264enc", "set x264enc key-int-max=59"),
            ("openh264enc", "set openh264enc gop-size=59"),
            ("vaapih264enc", "set vaapih264enc keyframe-period=59"),
            ("vtenc_h264", "set vtenc_h264 max-keyframe-interval=59"),
            ("amfh264enc", "set amfh264enc gop-size=59"),
            ("nvv4l2h264enc", "set nvv4l2h264enc idrinterval=59"),
        ] {
            assert_eq!(violation(29.97).cure(Some(encoder)), setting);
        }
        assert!(violation(25.0).cure(None).contains("every 50 frames"));
        assert!(violation(0.0).cure(None).contains("every 60 frames"));
    }

    #[test]
    fn bit_rates_have_the_unit_of_the_encoder() {
        let video = LimitViolation::VideoBitRate {
            bit_rate: 9_000_000,
        };
        assert!(
            video
                .cure(Some("x264enc"))
                .starts_with("set x264enc bitrate=6000 (kbit/s)")
        );
        assert!(
            video
                .cure(Some("openh264enc"))
                .starts_with("set openh264enc bitrate=6000000 (bit/s)")
        );
        let audio = LimitViolation::AudioBitRate { bit_rate: 200_000 };
        assert_eq!(
            audio.cure(Some("opusenc")),
            "set opusenc bitrate=128000 (bit/s)"
        );
        assert!(audio.cure(None).contains("128 kbit/s"));
    }

    #[test]
    fn surround_opus_needs_fewer_channels() {
        let violation = LimitViolation::Codec {
            track: Track::Audio,
            encoding: "multiopus".into(),
        };
        assert_eq!(
            limit_warning(&violation, Some("opusenc")),
            "The audio is Opus of more than two channels (multiopus), and IVS accepts only Opus \
             of one or two: expect a refusal. Put audioconvert ! audio/x-raw,channels=2 ahead of \
             opusenc."
        );
    }

    #[test]
    fn another_audio_codec_needs_another_encoder() {
        let violation = LimitViolation::Codec {
            track: Track::Audio,
            encoding: "PCMU".into(),
        };
        let warning = limit_warning(&violation, None);
        assert!(warning.contains("only Opus: expect"), "{warning}");
        assert!(warning.contains("Link raw audio"), "{warning}");
    }

    #[test]
    fn sizes_keep_their_orientation() {
        let cure = |width, height| LimitViolation::TooLarge { width, height }.cure(None);
        assert!(cure(1920, 1080).contains("width=1280,height=720"));
        assert!(cure(1080, 1920).contains("width=720,height=1280"));
        let small = LimitViolation::TooSmall {
            width: 96,
            height: 128,
        };
        assert!(small.cure(None).contains("width=360,height=640"));
    }

    #[test]
    fn warning_of_each_limit_says_what_to_change() {
        let x264 = "x264enc";
        let size = |width, height| match height {
            ..160 => LimitViolation::TooSmall { width, height },
            _ => LimitViolation::TooLarge { width, height },
        };
        for (violation, words) in [
            (
                LimitViolation::Profile {
                    profile: "high",
                    idc: 100,
                },
                "Put the caps video/x-h264,profile=constrained-baseline after x264enc.",
            ),
            (
                LimitViolation::BFrames {
                    count: 2,
                    frames: 3,
                },
                "disconnects RTMP publishers for them, so expect the same. Set x264enc bframes=0 \
                 (or tune=zerolatency).",
            ),
            (
                size(1920, 1080),
                "disconnects publishers above 720p (1280x720). Put videoscale ! \
                 video/x-raw,width=1280,height=720 ahead of the encoder",
            ),
            (size(160, 120), "width=640,height=360 ahead of the encoder"),
            (
                LimitViolation::FrameRateLow { frame_rate: 5.0 },
                "Put videorate ! video/x-raw,framerate=30/1",
            ),
            (
                LimitViolation::FrameRateHigh { frame_rate: 75.0 },
                "Put videorate ! video/x-raw,framerate=30/1",
            ),
            (
                LimitViolation::KeyFrames {
                    seconds: 10.0,
                    frame_rate: 20.0,
                },
                "asks for one every 1 to 2 s: viewers who join see nothing until one comes. Set \
                 x264enc key-int-max=40.",
            ),
            (
                LimitViolation::VideoBitRate {
                    bit_rate: 10_000_000,
                },
                "disconnects publishers above 8.5 Mbit/s. Set x264enc bitrate=6000 (kbit/s) or \
                 less",
            ),
            (
                LimitViolation::VideoBitRateNear {
                    bit_rate: 7_850_000,
                },
                "and an encoder set to less can overshoot that. Set x264enc bitrate=6000 (kbit/s)",
            ),
        ] {
            let warning = limit_warning(&violation, Some(x264));
            assert!(warning.contains(words), "{warning}");
        }
    }

    #[test]
    fn warnings_are_whole_sentences() {
        assert_eq!(
            limit_warning(
                &LimitViolation::AudioBitRate { bit_rate: 256_000 },
                Some("opusenc")
            ),
            "The audio has 256 kbit/s, and IVS asks for 160 kbit/s at most: what it does with \
             others is not known. Set opusenc bitrate=128000 (bit/s)."
        );
        for violation in all() {
            let warning = limit_warning(&violation, None);
            assert!(!warning.starts_with(char::is_lowercase), "{warning}");
            assert!(warning.ends_with('.') && !warning.ends_with(".."));
        }
    }
}
