//! The limits as numbers.

// Documented (Amazon IVS Real-Time guide, "Stream ingest"): H.264 baseline
// with a key frame every 1 to 2 s and no B-frames, 10 to 60 frames a second,
// 160p to 720p, 8.5 Mbit/s at most; Opus of 160 kbit/s at most.
/// The most that a publisher may send, in bit/s: IVS disconnects above it.
pub const VIDEO_BIT_RATE: u64 = 8_500_000;
pub(super) const AUDIO_BIT_RATE: u64 = 160_000;
/// The lowest frame rate, in frames a second.
pub const MIN_FRAME_RATE: u32 = 10;
pub(super) const FRAME_RATES: (f64, f64) = (MIN_FRAME_RATE as f64, 60.0);
/// The longest time between two key frames, in seconds.
pub const KEY_FRAME_DISTANCE: u32 = 2;
pub(super) const KEY_FRAME_SECONDS: f64 = KEY_FRAME_DISTANCE as f64;
pub(in super::super) const MIN_SHORT_SIDE: u32 = 160;
/// 720p. Portrait counts as 720p too, which is not documented (inferred).
pub(in super::super) const SHORT_SIDE: u32 = 720;
pub(in super::super) const LONG_SIDE: u32 = 1280;

/// From this bit rate on, video is near its limit. Documented ("RTMP publishing"): an
/// encoder set to the limit overshoots it, 6 Mbit/s is safe.
pub(super) const NEAR_VIDEO_BIT_RATE: u64 = VIDEO_BIT_RATE * 85 / 100;

/// How far a measurement may exceed a limit, as a fraction: encoders and live sources
/// are not exact, and a window can hold one frame more or less.
pub(super) const RATE_TOLERANCE: f64 = 0.05;
/// The same for key frames: one may come some frames late, and the network delays it.
pub(super) const KEY_FRAME_TOLERANCE: f64 = 0.25;
