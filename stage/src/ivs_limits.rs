//! The limits of IVS on media: what was measured comes in, what is beyond a
//! limit goes out. INGEST is AWS's page "Stream ingest", WHIPDOC its page on OBS
//! and WHIP, EVENTS the API reference of stage events.

use crate::endings::Ending;
use crate::watch::Sample;

/// What media beyond the limits of IVS do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MediaLimits {
    /// The page names them.
    #[default]
    Reported,
    /// These end the session, as on IVS:
    ///
    /// - video larger than 1280×720, in either orientation. That IVS disconnects
    ///   is documented (WHIPDOC; EVENTS: `RESOLUTION_EXCEEDED`); that an upright
    ///   720×1280 is allowed is inferred. At once.
    /// - more than 8.5 Mbit/s in all, with retransmissions and RTP headers. That
    ///   IVS disconnects is documented (WHIPDOC; EVENTS: `BITRATE_EXCEEDED`);
    ///   what it counts and over which time is not known. Here: in each of three
    ///   seconds in a row.
    /// - B-frames. The limit is documented (INGEST), and so is the disconnect
    ///   (EVENTS: `B_FRAME_PRESENT`), but in words for RTMP; that WHIP is treated
    ///   alike is inferred. At once.
    Enforced,
}

/// Maximum bit rate of a session in bits per second, of all layers together
/// (INGEST).
const BIT_RATE: u64 = 8_500_000;

/// Seconds in a row above the maximum after which a session ends.
const BIT_RATE_SECONDS: u32 = 3;

/// Maximum of the longer and the shorter side in pixels (INGEST).
const SIZE: (u32, u32) = (1280, 720);

/// Minimum of the shorter side in pixels (INGEST).
const SHORTER_SIDE: u32 = 160;

/// Maximum bit rate of audio (INGEST: 160 kbit/s), and what a second of an encoder
/// with a variable rate may take more.
const AUDIO_BIT_RATE: u64 = 160_000 * 11 / 10;

/// Maximum distance of key frames in milliseconds (INGEST: 1 to 2 s), and what
/// an encoder with a rounded frame rate may take more.
const KEY_FRAME_DISTANCE_MS: u64 = 2000 + 100;

/// Frame rates (INGEST: 10 to 60), and what a second's count may differ.
const FRAME_RATE: (f64, f64) = (10.0 - 1.0, 60.0 + 2.0);

/// A limit that media were beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Excess {
    Size,
    BitRate,
    BFrames,
    KeyFrameDistance,
    FrameRate,
    Profile,
    SmallSize,
    AudioBitRate,
}

impl Excess {
    /// What a second's sample is beyond.
    pub(crate) fn of(sample: &Sample) -> Vec<Self> {
        let mut found = Vec::new();
        if sample.size.is_some_and(is_too_large) {
            found.push(Self::Size);
        }
        if sample.bit_rate > BIT_RATE {
            found.push(Self::BitRate);
        }
        if sample.b_frames > 0 {
            found.push(Self::BFrames);
        }
        if sample
            .key_frame_ms
            .is_some_and(|ms| ms > KEY_FRAME_DISTANCE_MS)
        {
            found.push(Self::KeyFrameDistance);
        }
        let (least, most) = FRAME_RATE;
        if sample
            .frame_rate
            .is_some_and(|rate| rate > most || (rate > 0.0 && rate < least))
        {
            found.push(Self::FrameRate);
        }
        let beyond = [
            (sample.is_above_baseline, Self::Profile),
            (sample.size.is_some_and(is_too_small), Self::SmallSize),
            (sample.audio_bit_rate > AUDIO_BIT_RATE, Self::AudioBitRate),
        ];
        found.extend(
            beyond
                .iter()
                .filter(|(is, _)| *is)
                .map(|(_, excess)| excess),
        );
        found
    }

    /// The measured value beside the limit.
    pub(crate) fn describe(self, sample: &Sample) -> String {
        match self {
            Self::Size => {
                let (width, height) = sample.size.unwrap_or_default();
                format!("{width}×{height}: IVS takes 1280×720 at most and disconnects")
            }
            Self::BitRate => {
                let rate = sample.bit_rate as f64 / 1e6;
                format!("{rate:.1} Mbit/s: IVS takes 8.5 Mbit/s in all and disconnects")
            }
            Self::BFrames => "B-frames: IVS takes none; set bframes=0 or tune=zerolatency".into(),
            Self::KeyFrameDistance => {
                let distance = sample.key_frame_ms.unwrap_or_default() as f64 / 1000.0;
                format!("{distance:.1} s between key frames: IVS wants 1 to 2 s")
            }
            Self::FrameRate => {
                let rate = sample.frame_rate.unwrap_or_default();
                format!("{rate:.0} frames/s: IVS takes 10 to 60")
            }
            Self::Profile => "A profile above baseline: IVS takes baseline".into(),
            Self::SmallSize => {
                let (width, height) = sample.size.unwrap_or_default();
                format!("{width}×{height}: IVS takes 160 lines at least")
            }
            Self::AudioBitRate => {
                let rate = sample.audio_bit_rate / 1000;
                format!("{rate} kbit/s of audio: IVS takes 160 kbit/s")
            }
        }
    }
}

fn is_too_large((width, height): (u32, u32)) -> bool {
    width.max(height) > SIZE.0 || width.min(height) > SIZE.1
}

fn is_too_small((width, height): (u32, u32)) -> bool {
    width.min(height) < SHORTER_SIDE
}

/// When a session's media end it.
#[derive(Debug, Default)]
pub(crate) struct Enforcement {
    seconds_above: u32,
}

impl Enforcement {
    pub(crate) fn ending(&mut self, sample: &Sample) -> Option<Ending> {
        let found = Excess::of(sample);
        let above = found.contains(&Excess::BitRate);
        self.seconds_above = if above { self.seconds_above + 1 } else { 0 };
        if found.contains(&Excess::Size) {
            Some(Ending::ResolutionExceeded)
        } else if found.contains(&Excess::BFrames) {
            Some(Ending::BFramePresent)
        } else {
            (self.seconds_above >= BIT_RATE_SECONDS).then_some(Ending::BitrateExceeded)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fine() -> Sample {
        Sample {
            bit_rate: 8_500_000,
            frame_rate: Some(30.0),
            key_frame_ms: Some(2033),
            size: Some((1280, 720)),
            audio_bit_rate: 162_000,
            ..Sample::default()
        }
    }

    #[test]
    fn each_limit_is_known_by_its_value() {
        assert_eq!(Excess::of(&fine()), []);
        let upright = Some((720, 1280));
        assert_eq!(
            Excess::of(&Sample {
                size: upright,
                ..fine()
            }),
            []
        );
        let beyond = Sample {
            bit_rate: 8_600_000,
            frame_rate: Some(5.0),
            key_frame_ms: Some(4000),
            size: Some((1280, 736)),
            b_frames: 1,
            ..Sample::default()
        };
        let found = Excess::of(&beyond);
        assert_eq!(found.len(), 5);
        let texts: Vec<String> = found.iter().map(|one| one.describe(&beyond)).collect();
        for (text, value) in
            texts
                .iter()
                .zip(["1280×736", "8.6", "B-frames", "4.0 s", "5 frames/s"])
        {
            assert!(text.starts_with(value), "{text}");
        }
    }

    #[test]
    fn limits_that_end_no_session_are_known_too() {
        let beyond = Sample {
            size: Some((240, 136)),
            is_above_baseline: true,
            audio_bit_rate: 200_000,
            ..fine()
        };
        let texts = Excess::of(&beyond).into_iter();
        let texts = texts.map(|one| one.describe(&beyond)).collect::<Vec<_>>();
        let expected = [
            "A profile above baseline: IVS takes baseline",
            "240×136: IVS takes 160 lines at least",
            "200 kbit/s of audio: IVS takes 160 kbit/s",
        ];
        assert_eq!(texts, expected);
        assert_eq!(Enforcement::default().ending(&beyond), None);
    }

    #[test]
    fn a_second_above_the_bit_rate_ends_nothing_and_three_do() {
        let mut enforcement = Enforcement::default();
        let above = Sample {
            bit_rate: 9_000_000,
            ..fine()
        };
        let seconds = [&above, &above, &fine(), &above, &above, &above];
        let endings = seconds.map(|sample| enforcement.ending(sample));
        assert_eq!(endings[..5], [None; 5]);
        assert_eq!(endings[5], Some(Ending::BitrateExceeded));
        let large = Sample {
            size: Some((1920, 1080)),
            ..fine()
        };
        assert_eq!(enforcement.ending(&large), Some(Ending::ResolutionExceeded));
    }
}
