//! Which limits a stream violates.
//!
//! In: a stream's meter, or its codec. Out: the violations.

use std::time::Duration;

use super::thresholds::{
    AUDIO_BIT_RATE, FRAME_RATES, KEY_FRAME_SECONDS, KEY_FRAME_TOLERANCE, LONG_SIDE, MIN_SHORT_SIDE,
    NEAR_VIDEO_BIT_RATE, RATE_TOLERANCE, SHORT_SIDE, VIDEO_BIT_RATE,
};
use super::violation::LimitViolation;
use crate::media::{AudioMeter, BFrames, Sps, VideoMeter};
use crate::whip::Track;

/// Checks a track's codec by the encoding name in its RTP caps. `None` if IVS accepts
/// it. Documented ("Stream ingest"): H.264 and Opus. Without a common codec IVS refuses
/// the offer with code 2014 (seen: AWS's browser SDK).
pub fn check_codec(track: Track, encoding_name: &str) -> Option<LimitViolation> {
    let taken = match track {
        Track::Audio => "OPUS",
        Track::Video => "H264",
    };
    // Encoding names are case-insensitive (RFC 4855 3).
    (!encoding_name.eq_ignore_ascii_case(taken)).then(|| LimitViolation::Codec {
        track,
        encoding: encoding_name.to_owned(),
    })
}

/// The limits that an H.264 stream violates as of `now`.
///
/// Profile and size are always checked, everything else only while the stream is not
/// paused. Rates must have been measured for some seconds.
pub fn video_violations(meter: &VideoMeter, now: Duration) -> Vec<LimitViolation> {
    let mut violations = Vec::new();
    if let Some(sps) = meter.sps() {
        violations.extend(check_profile(sps));
        violations.extend(check_size(sps));
    }
    if meter.is_paused(now) {
        return violations;
    }
    violations.extend(check_b_frames(meter.b_frames()));
    let frame_rate = meter.steady_frame_rate();
    violations.extend(frame_rate.and_then(check_frame_rate));
    let seconds = meter.key_frame_distance().as_secs_f64();
    // Distances are too long before frame rates are steady.
    let frame_rate = frame_rate.unwrap_or_else(|| meter.frame_rate(now));
    violations.extend(check_key_frames(seconds, frame_rate));
    violations.extend(meter.steady_bit_rate().and_then(check_video_bit_rate));
    violations
}

/// The limits that an Opus stream violates as of `now`.
pub fn audio_violations(meter: &AudioMeter, now: Duration) -> Vec<LimitViolation> {
    if meter.is_paused(now) {
        return Vec::new();
    }
    let bit_rate = meter.steady_bit_rate();
    bit_rate
        .and_then(check_audio_bit_rate)
        .into_iter()
        .collect()
}

fn check_b_frames(BFrames { count, frames }: BFrames) -> Option<LimitViolation> {
    (count > 0).then_some(LimitViolation::BFrames { count, frames })
}

fn check_profile(sps: &Sps) -> Option<LimitViolation> {
    (!sps.is_baseline()).then(|| LimitViolation::Profile {
        profile: sps.profile(),
        idc: sps.profile_idc,
    })
}

fn check_size(sps: &Sps) -> Option<LimitViolation> {
    let (width, height) = (sps.width, sps.height);
    let (short, long) = (width.min(height), width.max(height));
    if short > SHORT_SIDE || long > LONG_SIDE {
        Some(LimitViolation::TooLarge { width, height })
    } else {
        (short < MIN_SHORT_SIDE).then_some(LimitViolation::TooSmall { width, height })
    }
}

fn check_frame_rate(frame_rate: f64) -> Option<LimitViolation> {
    if frame_rate < FRAME_RATES.0 * (1.0 - RATE_TOLERANCE) {
        Some(LimitViolation::FrameRateLow { frame_rate })
    } else if frame_rate > FRAME_RATES.1 * (1.0 + RATE_TOLERANCE) {
        Some(LimitViolation::FrameRateHigh { frame_rate })
    } else {
        None
    }
}

fn check_key_frames(seconds: f64, frame_rate: f64) -> Option<LimitViolation> {
    (seconds > KEY_FRAME_SECONDS * (1.0 + KEY_FRAME_TOLERANCE)).then_some(
        LimitViolation::KeyFrames {
            seconds,
            frame_rate,
        },
    )
}

fn check_video_bit_rate(bit_rate: u64) -> Option<LimitViolation> {
    if bit_rate > VIDEO_BIT_RATE {
        Some(LimitViolation::VideoBitRate { bit_rate })
    } else {
        (bit_rate >= NEAR_VIDEO_BIT_RATE).then_some(LimitViolation::VideoBitRateNear { bit_rate })
    }
}

fn check_audio_bit_rate(bit_rate: u64) -> Option<LimitViolation> {
    // 5 % tolerance, as above: a variable bit rate meets its setting only on average.
    (bit_rate > AUDIO_BIT_RATE + AUDIO_BIT_RATE / 20)
        .then_some(LimitViolation::AudioBitRate { bit_rate })
}

#[cfg(test)]
mod tests {
    use super::super::encoder_advice::limit_warning;
    use super::*;
    use crate::media::sample_stream::{B, KEY, P, SampleStream, parameter_set};
    use crate::media::sps::samples;

    trait Violations {
        fn names(&self) -> Vec<&'static str>;
    }

    impl Violations for SampleStream {
        fn names(&self) -> Vec<&'static str> {
            let violations = video_violations(&self.meter, self.now);
            violations.iter().map(LimitViolation::name).collect()
        }
    }

    fn sized(width: u32, height: u32) -> Sps {
        let sps = Sps::parse(&samples::bytes(samples::BASELINE)).unwrap();
        Sps {
            width,
            height,
            ..sps
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
            let violation = check_size(&sized(width, height));
            assert_eq!(
                violation.map(|violation| violation.name()),
                name,
                "{width}x{height}"
            );
        }
    }

    #[test]
    fn rates_with_their_tolerance() {
        let rate = |rate| check_frame_rate(rate).map(|violation| violation.name());
        assert_eq!(rate(9.4), Some("frame-rate-low"));
        assert_eq!([9.5, 10.0, 59.94, 60.0, 63.0].map(rate), [None; 5]);
        assert_eq!(rate(63.1), Some("frame-rate-high"));
        assert_eq!(check_key_frames(2.5, 30.0), None);
        assert!(check_key_frames(2.6, 30.0).is_some());
    }

    #[test]
    fn bit_rates() {
        let video = |rate| check_video_bit_rate(rate).map(|violation| violation.name());
        assert_eq!(video(7_224_999), None);
        assert_eq!(video(7_225_000), Some("video-bit-rate-near"));
        assert_eq!(video(8_500_000), Some("video-bit-rate-near"));
        assert_eq!(video(8_500_001), Some("video-bit-rate"));
        assert_eq!(check_audio_bit_rate(168_000), None);
        assert!(check_audio_bit_rate(168_001).is_some());
    }

    #[test]
    fn compliant_stream_violates_nothing() {
        let mut stream = parameter_set(samples::BASELINE);
        stream.run(20, 30, 60, 10_000);
        assert_eq!(stream.names(), [""; 0]);
        let watch = &stream.meter;
        assert_eq!((watch.packets(), watch.frames()), (601, 600));
        assert_eq!(watch.key_frames(), 10);
        assert_eq!(watch.bytes(), 600 * 10_000 + 28);
        assert_eq!(watch.size(), Some((640, 360)));
        assert_eq!(watch.sps().unwrap().profile(), "constrained baseline");
        let rate = watch.frame_rate(stream.now);
        assert!((29.5..=30.5).contains(&rate), "{rate}");
        let rate = watch.bit_rate(stream.now);
        assert!((2_360_000..=2_440_000).contains(&rate), "{rate}");
    }

    #[test]
    fn profile() {
        assert_eq!(parameter_set(samples::MAIN).names(), ["profile"]);
    }

    #[test]
    fn size_large() {
        let stream = parameter_set(samples::HIGH);
        assert_eq!(stream.names(), ["profile", "size-large"]);
        assert_eq!(stream.meter.size(), Some((1920, 1080)));
    }

    #[test]
    fn sps_that_changes() {
        let mut stream = parameter_set(samples::HIGH);
        stream.send(&samples::bytes(samples::BASELINE), 0);
        assert_eq!(stream.names(), [""; 0]);
        // Garbage changes nothing.
        stream.send(&[0x67, 0xff], 0);
        assert_eq!(stream.meter.size(), Some((640, 360)));
    }

    #[test]
    fn b_frames() {
        let mut stream = SampleStream::new();
        stream.frame(KEY, 100, 30);
        // In sending order, a P-frame precedes the two B-frames shown before it.
        for unit in [P, B, B, P, B, B] {
            stream.frame(unit, 100, 30);
        }
        assert_eq!(
            video_violations(&stream.meter, stream.now),
            [LimitViolation::BFrames {
                count: 4,
                frames: 7
            }]
        );
        stream.run(6, 30, 60, 100);
        assert_eq!(stream.names(), [""; 0]);
    }

    #[test]
    fn b_frame_of_many_slices_counts_once() {
        let mut stream = SampleStream::new();
        for _ in 0..4 {
            stream.send(B, 100);
        }
        assert_eq!(
            video_violations(&stream.meter, stream.now),
            [LimitViolation::BFrames {
                count: 1,
                frames: 1
            }]
        );
    }

    #[test]
    fn frame_rate_low() {
        let mut stream = SampleStream::new();
        stream.run(3, 5, 5, 100);
        assert_eq!(stream.names(), [""; 0], "too early to tell");
        stream.run(3, 5, 5, 100);
        assert_eq!(
            video_violations(&stream.meter, stream.now),
            [LimitViolation::FrameRateLow { frame_rate: 5.0 }]
        );
    }

    #[test]
    fn frame_rate_high() {
        let mut stream = SampleStream::new();
        assert_eq!(stream.run(6, 75, 75, 100).names(), ["frame-rate-high"]);
    }

    #[test]
    fn frame_rate_at_its_limits() {
        for rate in [10, 60] {
            assert_eq!(
                SampleStream::new().run(10, rate, rate, 100).names(),
                [""; 0]
            );
        }
    }

    #[test]
    fn key_frame_distance() {
        let mut stream = SampleStream::new();
        stream.run(2, 30, 1000, 100);
        assert_eq!(stream.names(), [""; 0]);
        stream.run(8, 30, 300, 100);
        assert_eq!(stream.names(), ["key-frame-distance"]);
        let text = video_violations(&stream.meter, stream.now)[0].to_string();
        assert!(text.contains("8.0 s"), "{text}");
        // It stays a violation right after a key frame, and ends after a good distance.
        stream.run(1, 30, 30, 100);
        assert_eq!(stream.names(), ["key-frame-distance"]);
        stream.run(1, 30, 30, 100);
        assert_eq!(stream.names(), [""; 0]);
    }

    /// Two seconds in frames. The distance is too long before the frame rate is steady.
    #[test]
    fn key_frame_advice_has_the_frame_rate_measured_so_far() {
        let advice = |stream: &SampleStream| {
            let violations = video_violations(&stream.meter, stream.now);
            assert_eq!(violations.len(), 1);
            limit_warning(&violations[0], Some("x264enc"))
        };
        for (rate, setting) in [(15, "key-int-max=30."), (60, "key-int-max=120.")] {
            let mut stream = SampleStream::new();
            stream.frame(KEY, 100, rate);
            while stream.names().is_empty() {
                stream.frame(P, 100, rate);
            }
            assert_eq!(stream.meter.steady_frame_rate(), None);
            let early = advice(&stream);
            assert!(early.ends_with(setting), "{rate} fps, early: {early}");
            stream.run(8, rate, 4 * rate, 100);
            let late = advice(&stream);
            assert!(late.ends_with(setting), "{rate} fps, late: {late}");
        }
    }

    #[test]
    fn no_key_frame_at_all() {
        let mut stream = SampleStream::new();
        for _ in 0..90 {
            stream.frame(P, 100, 30);
        }
        assert_eq!(stream.names(), ["key-frame-distance"]);
    }

    #[test]
    fn video_bit_rate() {
        let mut stream = SampleStream::new();
        assert_eq!(
            stream.run(4, 30, 30, 36_000).names(),
            ["video-bit-rate"],
            "8.64 Mbit/s"
        );
    }

    #[test]
    fn video_bit_rate_near() {
        let mut stream = SampleStream::new();
        assert_eq!(
            stream.run(4, 30, 30, 33_000).names(),
            ["video-bit-rate-near"],
            "7.92 Mbit/s"
        );
    }

    #[test]
    fn video_bit_rate_with_large_key_frames() {
        let mut stream = SampleStream::new();
        for number in 0..300 {
            let (unit, size) = if number % 60 == 0 {
                (KEY, 300_000)
            } else {
                (P, 20_000)
            };
            stream.frame(unit, size, 30);
            // 5.92 Mbit/s on average.
            assert_eq!(stream.names(), [""; 0], "frame {number}");
        }
    }

    #[test]
    fn pause_is_no_violation() {
        let mut stream = SampleStream::new();
        stream.run(6, 30, 30, 100);
        stream.now += Duration::from_secs(60);
        assert_eq!(stream.names(), [""; 0]);
        assert_eq!(stream.meter.bit_rate(stream.now), 0);
        for _ in 0..3 {
            stream.run(1, 30, 30, 100);
            assert_eq!(stream.names(), [""; 0]);
        }
    }

    #[test]
    fn stall_is_no_distance_of_key_frames() {
        let mut stream = SampleStream::new();
        for _ in 0..4 {
            stream.run(1, 30, 60, 100);
            stream.now += Duration::from_millis(1700);
            stream.run(1, 30, 30, 100);
            assert_eq!(stream.names(), [""; 0]);
        }
    }

    #[test]
    fn gap_that_was_not_shown_is_no_distance_of_key_frames() {
        let mut stream = parameter_set(samples::BASELINE);
        stream.run(1, 30, 60, 100);
        stream.now += Duration::from_millis(1800);
        stream.meter.resume();
        stream.run(2, 30, 60, 100);
        assert_eq!(stream.names(), [""; 0]);
        let watch = &stream.meter;
        assert_eq!((watch.frames(), watch.key_frames()), (90, 2));
        assert_eq!(watch.size(), Some((640, 360)));
    }

    #[test]
    fn audio_bit_rate() {
        let mut audio = AudioMeter::default();
        let mut stream = SampleStream::new();
        // 50 packets a second of 600 bytes: 240 kbit/s.
        for _ in 0..300 {
            audio.packet(&stream.rtp(&[], 600), stream.now);
            stream.now += Duration::from_millis(20);
        }
        assert_eq!((audio.packets(), audio.bytes()), (300, 180_000));
        assert_eq!(audio.bit_rate(stream.now), 240_000);
        assert_eq!(
            audio_violations(&audio, stream.now),
            [LimitViolation::AudioBitRate { bit_rate: 240_000 }]
        );
        // Exactly 160 kbit/s is fine, and so is silence.
        for _ in 0..300 {
            audio.packet(&stream.rtp(&[], 400), stream.now);
            stream.now += Duration::from_millis(20);
        }
        assert_eq!(audio_violations(&audio, stream.now), []);
        assert_eq!(audio.bit_rate(stream.now), 160_000);
        assert_eq!(
            audio_violations(&audio, stream.now + Duration::from_secs(9)),
            []
        );
    }
}
