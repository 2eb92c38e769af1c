//! Limit violations: their names and texts.

use std::fmt;

use super::thresholds::VIDEO_BIT_RATE;
use crate::whip::Track;

/// An IVS limit that the stream violates.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LimitViolation {
    /// The track is neither H.264 video nor Opus audio.
    Codec {
        /// The track's kind.
        track: Track,
        /// The encoding name of its codec.
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
    /// Video with fewer than 10 frames a second.
    FrameRateLow {
        /// Frames a second.
        frame_rate: f64,
    },
    /// Video with more than 60 frames a second.
    FrameRateHigh {
        /// Frames a second.
        frame_rate: f64,
    },
    /// Video with more than 2 s from one key frame to the next.
    KeyFrames {
        /// The distance in seconds, as far as it is known.
        seconds: f64,
        /// Frames a second, to convert 2 s to frames; 0 if unknown.
        frame_rate: f64,
    },
    /// Video above 8.5 Mbit/s.
    VideoBitRate {
        /// Bits a second.
        bit_rate: u64,
    },
    /// Video at most 15 % below 8.5 Mbit/s.
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
    /// Whether frames that are left out on a narrow network violate the limit too.
    #[must_use]
    pub fn may_come_of_thinning(&self) -> bool {
        matches!(self, Self::FrameRateLow { .. } | Self::KeyFrames { .. })
    }

    /// A stable name, for programs.
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
            Self::FrameRateLow { .. } => "frame-rate-low",
            Self::FrameRateHigh { .. } => "frame-rate-high",
            Self::KeyFrames { .. } => "key-frame-distance",
            Self::VideoBitRate { .. } => "video-bit-rate",
            Self::VideoBitRateNear { .. } => "video-bit-rate-near",
            Self::AudioBitRate { .. } => "audio-bit-rate",
        }
    }
}

impl LimitViolation {
    /// Whether the audio is Opus with more channels than RFC 7587 has. GStreamer and
    /// Chromium call that format MULTIOPUS.
    pub(super) fn is_surround_opus(&self) -> bool {
        matches!(self, Self::Codec { track: Track::Audio, encoding }
            if encoding.eq_ignore_ascii_case("MULTIOPUS"))
    }
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
            Self::Codec { encoding, .. } if self.is_surround_opus() => {
                write!(
                    f,
                    "the audio is Opus of more than two channels ({encoding})"
                )
            }
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
            Self::FrameRateLow { frame_rate } | Self::FrameRateHigh { frame_rate } => {
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

    /// What IVS asks for, and what it does on a violation, as far as that is known.
    /// Disconnects for size and bit rate are documented ("WHIP support"). For B-frames
    /// only the disconnect of RTMP publishers is ("RTMP publishing"). AWS's own browser
    /// SDK offers higher profiles (seen), so IVS may accept them.
    fn rule(&self) -> &'static str {
        match self {
            Self::Codec { track, .. } => match track {
                Track::Audio if self.is_surround_opus() => {
                    "accepts only Opus of one or two: expect a refusal"
                }
                Track::Audio => "accepts only Opus: expect a refusal",
                Track::Video => "accepts only H.264: expect a refusal",
            },
            Self::Profile { .. } => "asks for baseline: what it does with others is not known",
            Self::BFrames { .. } => {
                "accepts none: it disconnects RTMP publishers for them, so expect the same"
            }
            Self::TooLarge { .. } => "disconnects publishers above 720p (1280x720)",
            Self::TooSmall { .. } => {
                "asks for 160 lines at least: what it does with others is not known"
            }
            Self::FrameRateLow { .. } | Self::FrameRateHigh { .. } => {
                "asks for 10 to 60: what it does with others is not known"
            }
            Self::KeyFrames { .. } => {
                "asks for one every 1 to 2 s: viewers who join see nothing until one comes"
            }
            Self::VideoBitRate { .. } => "disconnects publishers above 8.5 Mbit/s",
            Self::VideoBitRateNear { .. } => {
                "disconnects publishers above 8.5 Mbit/s, and an encoder set to less can overshoot that"
            }
            Self::AudioBitRate { .. } => {
                "asks for 160 kbit/s at most: what it does with others is not known"
            }
        }
    }
}

/// A bit rate in Mbit/s with one decimal. Up to the limit it is rounded down, so that
/// 8,499,999 does not show as 8.5; above the limit it is rounded up.
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

    /// One violation of each kind.
    pub(in crate::ivs::limits) fn all() -> Vec<LimitViolation> {
        vec![
            LimitViolation::Codec {
                track: Track::Audio,
                encoding: "PCMU".into(),
            },
            LimitViolation::Codec {
                track: Track::Video,
                encoding: "VP8".into(),
            },
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
            LimitViolation::FrameRateLow { frame_rate: 5.0 },
            LimitViolation::FrameRateHigh { frame_rate: 90.0 },
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
    fn frames_that_are_left_out_lower_the_frame_rate_and_spread_key_frames() {
        let of_thinning = all()
            .into_iter()
            .filter(LimitViolation::may_come_of_thinning);
        let names: Vec<_> = of_thinning.map(|violation| violation.name()).collect();
        assert_eq!(names, ["frame-rate-low", "key-frame-distance"]);
    }

    #[test]
    fn names_and_sentences() {
        for (violation, (name, words)) in all().iter().zip([
            (
                "audio-codec",
                "the audio is PCMU, and IVS accepts only Opus",
            ),
            (
                "video-codec",
                "the video is VP8, and IVS accepts only H.264",
            ),
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
}
