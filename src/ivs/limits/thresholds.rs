//! The limits' numbers.

// Documented (Amazon IVS Real-Time guide, "Stream ingest"): H.264 baseline
// with a key frame every 1 to 2 s and no B-frames, 10 to 60 frames a second,
// 160p to 720p, 8.5 Mbit/s at most; Opus of 160 kbit/s at most.
pub(super) const VIDEO_BIT_RATE: u64 = 8_500_000;
pub(super) const AUDIO_BIT_RATE: u64 = 160_000;
pub(super) const FRAME_RATES: (f64, f64) = (10.0, 60.0);
pub(super) const KEY_FRAME_SECONDS: f64 = 2.0;
pub(super) const FEWEST_LINES: u32 = 160;
/// 720p; on its side it counts as that too, which is not known (inferred).
pub(super) const SHORT_SIDE: u32 = 720;
pub(super) const LONG_SIDE: u32 = 1280;

/// From here on the bit rate is near its limit. Documented ("RTMP
/// publishing"): an encoder set to the limit overshoots it, 6 Mbit/s is safe.
pub(super) const NEAR_BIT_RATE: u64 = VIDEO_BIT_RATE * 85 / 100;

/// What a measurement may be beyond a limit: encoders and live sources are
/// not exact, and a frame more or less falls into a window.
pub(super) const RATE_TOLERANCE: f64 = 0.05;
/// A key frame that is due may be late: by some frames, and by the network.
pub(super) const KEY_FRAME_TOLERANCE: f64 = 0.25;
