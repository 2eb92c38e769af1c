//! The limits, and how a stream violates each of them.

use std::fmt;

use super::encoder_advice;
use crate::media::Sps;
use crate::whip::Track;

// Documented (Amazon IVS Real-Time guide, "Stream ingest"): H.264 baseline
// with a key frame every 1 to 2 s and no B-frames, 10 to 60 frames a second,
// 160p to 720p, 8.5 Mbit/s at most; Opus of 160 kbit/s at most.
const VIDEO_BIT_RATE: u64 = 8_500_000;
const AUDIO_BIT_RATE: u64 = 160_000;
const FRAME_RATES: (f64, f64) = (10.0, 60.0);
const KEY_FRAME_SECONDS: f64 = 2.0;
const FEWEST_LINES: u32 = 160;
/// 720p; on its side it counts as that too, which is not known (inferred).
const SHORT_SIDE: u32 = 720;
const LONG_SIDE: u32 = 1280;

/// From here on the bit rate is near its limit. Documented ("RTMP
/// publishing"): an encoder set to the limit overshoots it, 6 Mbit/s is safe.
const NEAR_BIT_RATE: u64 = VIDEO_BIT_RATE * 85 / 100;

/// What a measurement may be beyond a limit: encoders and live sources are
/// not exact, and a frame more or less falls into a window.
const RATE_TOLERANCE: f64 = 0.05;
/// A key frame that is due may be late: by some frames, and by the network.
const KEY_FRAME_TOLERANCE: f64 = 0.25;

/// An IVS limit that the stream violates.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LimitViolation {
    /// The track is neither H.264 video nor Opus audio.
    Codec {
        /// The track's kind.
        track: Track,
        /// The encoding name that it has instead.
        encoding: String,
    },
    /// Video of a profile above baseline.
    Profile {
        /// The profile's name.
        profile: &'static str,
        /// `profile_idc`.
        idc: u8,
    },
    /// Video with B-frames.
    BFrames {
        /// B-frames in the last seconds.
        count: u64,
        /// Frames of all kinds in that time.
        frames: u64,
    },
    /// Video above 720p.
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Video with fewer than 160 lines.
    TooSmall {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// Fewer than 10 frames a second.
    TooSlow {
        /// Frames a second.
        frame_rate: f64,
    },
    /// More than 60 frames a second.
    TooFast {
        /// Frames a second.
        frame_rate: f64,
    },
    /// More than 2 s from one key frame to the next.
    KeyFrames {
        /// The distance, in seconds, as far as it is known.
        seconds: f64,
        /// Frames a second, to tell how many frames 2 s are.
        frame_rate: f64,
    },
    /// Video above 8.5 Mbit/s.
    VideoBitRate {
        /// Bits a second.
        bit_rate: u64,
    },
    /// Video within 15 % of 8.5 Mbit/s.
    VideoBitRateNear {
        /// Bits a second.
        bit_rate: u64,
    },
    /// Audio above 160 kbit/s.
    AudioBitRate {
        /// Bits a second.
        bit_rate: u64,
    },
}

impl LimitViolation {
    /// A name that stays, for machines.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Codec {
                track: Track::Audio,
                ..
            } => "audio-codec",
            Self::Codec {
                track: Track::Video,
                ..
            } => "video-codec",
            Self::Profile { .. } => "profile",
            Self::BFrames { .. } => "b-frames",
            Self::TooLarge { .. } => "size-large",
            Self::TooSmall { .. } => "size-small",
            Self::TooSlow { .. } => "frame-rate-low",
            Self::TooFast { .. } => "frame-rate-high",
            Self::KeyFrames { .. } => "key-frame-distance",
            Self::VideoBitRate { .. } => "video-bit-rate",
            Self::VideoBitRateNear { .. } => "video-bit-rate-near",
            Self::AudioBitRate { .. } => "audio-bit-rate",
        }
    }

    /// What to change. `encoder` is the encoder's factory name, such as
    /// `x264enc`, if it is known; the advice then names its setting.
    pub fn cure(&self, encoder: Option<&str>) -> String {
        encoder_advice::cure(self, encoder)
    }

    /// The whole sentence for whoever publishes: what is wrong, what IVS does
    /// about it, and what to change.
    pub fn warning(&self, encoder: Option<&str>) -> String {
        let (found, cure) = (self.to_string(), self.cure(encoder));
        format!("{}. {}.", capitalized(&found), capitalized(&cure))
    }

    pub(super) fn of_profile(sps: &Sps) -> Option<Self> {
        (!sps.is_baseline()).then(|| Self::Profile {
            profile: sps.profile(),
            idc: sps.profile_idc,
        })
    }

    pub(super) fn of_size(sps: &Sps) -> Option<Self> {
        let (width, height) = (sps.width, sps.height);
        let (short, long) = (width.min(height), width.max(height));
        if short > SHORT_SIDE || long > LONG_SIDE {
            Some(Self::TooLarge { width, height })
        } else {
            (short < FEWEST_LINES).then_some(Self::TooSmall { width, height })
        }
    }

    pub(super) fn of_frame_rate(frame_rate: f64) -> Option<Self> {
        if frame_rate < FRAME_RATES.0 * (1.0 - RATE_TOLERANCE) {
            Some(Self::TooSlow { frame_rate })
        } else if frame_rate > FRAME_RATES.1 * (1.0 + RATE_TOLERANCE) {
            Some(Self::TooFast { frame_rate })
        } else {
            None
        }
    }

    pub(super) fn of_key_frames(seconds: f64, frame_rate: f64) -> Option<Self> {
        (seconds > KEY_FRAME_SECONDS * (1.0 + KEY_FRAME_TOLERANCE)).then_some(Self::KeyFrames {
            seconds,
            frame_rate,
        })
    }

    pub(super) fn of_video_bit_rate(bit_rate: u64) -> Option<Self> {
        if bit_rate > VIDEO_BIT_RATE {
            Some(Self::VideoBitRate { bit_rate })
        } else {
            (bit_rate >= NEAR_BIT_RATE).then_some(Self::VideoBitRateNear { bit_rate })
        }
    }

    pub(super) fn of_audio_bit_rate(bit_rate: u64) -> Option<Self> {
        // A twentieth more, as above: a variable bit rate is met on average only.
        (bit_rate > AUDIO_BIT_RATE + AUDIO_BIT_RATE / 20).then_some(Self::AudioBitRate { bit_rate })
    }
}

/// Checks a track's codec by the encoding name that its RTP caps have.
/// Documented ("Stream ingest"): H.264 and Opus; refused with code 2014 when
/// there is no common codec (seen: AWS's browser SDK).
pub fn check_codec(track: Track, encoding_name: &str) -> Option<LimitViolation> {
    let taken = match track {
        Track::Audio => "OPUS",
        Track::Video => "H264",
    };
    // Encoding names know no case (RFC 4855 3).
    (!encoding_name.eq_ignore_ascii_case(taken)).then(|| LimitViolation::Codec {
        track,
        encoding: encoding_name.to_owned(),
    })
}

impl fmt::Display for LimitViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_found(f)?;
        write!(f, ", and IVS {}", self.rule())
    }
}

impl LimitViolation {
    fn write_found(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codec { track, encoding } => {
                write!(f, "the {} is {encoding}", track.name())
            }
            Self::Profile { profile, idc } => {
                write!(f, "the video's profile is {profile} (profile_idc {idc})")
            }
            Self::BFrames { count, frames } => {
                write!(f, "{count} of the last {frames} video frames are B-frames")
            }
            Self::TooLarge { width, height } | Self::TooSmall { width, height } => {
                write!(f, "the video has {width}x{height} pixels")
            }
            Self::TooSlow { frame_rate } | Self::TooFast { frame_rate } => {
                write!(f, "the video has {frame_rate:.1} frames a second")
            }
            Self::KeyFrames { seconds, .. } => {
                write!(f, "the video goes {seconds:.1} s without a key frame")
            }
            Self::VideoBitRate { bit_rate } | Self::VideoBitRateNear { bit_rate } => {
                write!(f, "the video has {} Mbit/s", Mega(*bit_rate))
            }
            Self::AudioBitRate { bit_rate } => {
                write!(f, "the audio has {} kbit/s", bit_rate / 1000)
            }
        }
    }

    /// What IVS asks for and what it does otherwise, as far as that is known.
    /// The disconnects of size and bit rate are documented ("WHIP support");
    /// for B-frames one is, but of RTMP publishers ("RTMP publishing"). Higher
    /// profiles are offered by AWS's own browser SDK (seen), so they may pass.
    fn rule(&self) -> &'static str {
        match self {
            Self::Codec { track, .. } => match track {
                Track::Audio => "takes Opus only: expect a refusal",
                Track::Video => "takes H.264 only: expect a refusal",
            },
            Self::Profile { .. } => "asks for baseline: what it does otherwise is not known",
            Self::BFrames { .. } => {
                "takes none: it disconnects RTMP publishers for them, so expect the same"
            }
            Self::TooLarge { .. } => "disconnects publishers above 720p (1280x720)",
            Self::TooSmall { .. } => {
                "asks for 160 lines at least: what it does otherwise is not known"
            }
            Self::TooSlow { .. } | Self::TooFast { .. } => {
                "asks for 10 to 60: what it does otherwise is not known"
            }
            Self::KeyFrames { .. } => {
                "asks for one every 1 to 2 s: viewers who join see nothing until one comes"
            }
            Self::VideoBitRate { .. } => "disconnects publishers above 8.5 Mbit/s",
            Self::VideoBitRateNear { .. } => {
                "disconnects publishers above 8.5 Mbit/s, which encoders set to less can overshoot"
            }
            Self::AudioBitRate { .. } => {
                "asks for 160 kbit/s at most: what it does otherwise is not known"
            }
        }
    }
}

/// Begins a sentence; all of ours begin in ASCII.
fn capitalized(text: &str) -> String {
    let mut text = text.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// Bits a second in millions, with one digit behind the point, cut and not
/// rounded: 8,499,999 is not 8.5 yet; rounded up above the limit.
struct Mega(u64);

impl fmt::Display for Mega {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = if self.0 > VIDEO_BIT_RATE {
            self.0.div_ceil(100_000)
        } else {
            self.0 / 100_000
        };
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::media::sps::samples;

    fn sized(width: u32, height: u32) -> Sps {
        let sps = Sps::parse(&samples::bytes(samples::BASELINE)).unwrap();
        Sps {
            width,
            height,
            ..sps
        }
    }

    /// One of each.
    pub(in crate::ivs::limits) fn all() -> Vec<LimitViolation> {
        vec![
            check_codec(Track::Audio, "PCMU").unwrap(),
            check_codec(Track::Video, "VP8").unwrap(),
            LimitViolation::Profile {
                profile: "high",
                idc: 100,
            },
            LimitViolation::BFrames {
                count: 60,
                frames: 90,
            },
            LimitViolation::TooLarge {
                width: 1920,
                height: 1080,
            },
            LimitViolation::TooSmall {
                width: 128,
                height: 96,
            },
            LimitViolation::TooSlow { frame_rate: 5.0 },
            LimitViolation::TooFast { frame_rate: 90.0 },
            LimitViolation::KeyFrames {
                seconds: 10.0,
                frame_rate: 29.97,
            },
            LimitViolation::VideoBitRate {
                bit_rate: 8_500_001,
            },
            LimitViolation::VideoBitRateNear {
                bit_rate: 8_499_999,
            },
            LimitViolation::AudioBitRate { bit_rate: 256_000 },
        ]
    }

    #[test]
    fn names_and_sentences() {
        for (violation, (name, words)) in all().iter().zip([
            ("audio-codec", "the audio is PCMU, and IVS takes Opus only"),
            ("video-codec", "the video is VP8, and IVS takes H.264 only"),
            ("profile", "profile is high (profile_idc 100)"),
            ("b-frames", "60 of the last 90 video frames are B-frames"),
            ("size-large", "1920x1080 pixels, and IVS disconnects"),
            ("size-small", "128x96 pixels, and IVS asks for 160 lines"),
            ("frame-rate-low", "5.0 frames a second"),
            ("frame-rate-high", "90.0 frames a second"),
            ("key-frame-distance", "10.0 s without a key frame"),
            ("video-bit-rate", "8.6 Mbit/s, and IVS disconnects"),
            (
                "video-bit-rate-near",
                "8.4 Mbit/s, and IVS disconnects publishers above",
            ),
            ("audio-bit-rate", "256 kbit/s, and IVS asks for 160"),
        ]) {
            assert_eq!(violation.name(), name);
            let text = violation.to_string();
            assert!(text.contains(words), "{text}");
        }
    }

    #[test]
    fn warnings_are_whole_sentences() {
        assert_eq!(
            LimitViolation::AudioBitRate { bit_rate: 256_000 }.warning(Some("opusenc")),
            "The audio has 256 kbit/s, and IVS asks for 160 kbit/s at most: what it does \
             otherwise is not known. Set opusenc bitrate=128000 (bit/s)."
        );
        for violation in all() {
            let warning = violation.warning(None);
            assert!(!warning.starts_with(char::is_lowercase), "{warning}");
            assert!(warning.ends_with('.') && !warning.ends_with(".."));
        }
    }

    #[test]
    fn codecs() {
        assert_eq!(check_codec(Track::Audio, "OPUS"), None);
        assert_eq!(check_codec(Track::Audio, "opus"), None);
        assert_eq!(check_codec(Track::Video, "H264"), None);
        assert!(check_codec(Track::Audio, "MULTIOPUS").is_some());
        assert!(check_codec(Track::Video, "H265").is_some());
        assert!(check_codec(Track::Video, "OPUS").is_some());
    }

    #[test]
    fn sizes() {
        for (width, height, name) in [
            (1280, 720, None),
            (720, 1280, None),
            (960, 720, None),
            (284, 160, None),
            (1282, 720, Some("size-large")),
            (1280, 722, Some("size-large")),
            (1080, 1920, Some("size-large")),
            (730, 730, Some("size-large")),
            (280, 158, Some("size-small")),
        ] {
            let violation = LimitViolation::of_size(&sized(width, height));
            assert_eq!(
                violation.map(|violation| violation.name()),
                name,
                "{width}x{height}"
            );
        }
    }

    #[test]
    fn rates_with_their_tolerance() {
        let rate = |rate| LimitViolation::of_frame_rate(rate).map(|violation| violation.name());
        assert_eq!(rate(9.4), Some("frame-rate-low"));
        assert_eq!([9.6, 10.0, 59.94, 60.0, 62.9].map(rate), [None; 5]);
        assert_eq!(rate(63.1), Some("frame-rate-high"));
        assert_eq!(LimitViolation::of_key_frames(2.5, 30.0), None);
        assert!(LimitViolation::of_key_frames(2.6, 30.0).is_some());
    }

    #[test]
    fn bit_rates() {
        let video =
            |rate| LimitViolation::of_video_bit_rate(rate).map(|violation| violation.name());
        assert_eq!(video(7_224_999), None);
        assert_eq!(video(7_225_000), Some("video-bit-rate-near"));
        assert_eq!(video(8_500_000), Some("video-bit-rate-near"));
        assert_eq!(video(8_500_001), Some("video-bit-rate"));
        assert_eq!(LimitViolation::of_audio_bit_rate(168_000), None);
        assert!(LimitViolation::of_audio_bit_rate(168_001).is_some());
    }
}
