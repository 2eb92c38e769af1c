//! The picture and bit rate of video that the element encodes itself.

use super::limits::{LONG_SIDE, MIN_SHORT_SIDE, SHORT_SIDE};
use crate::media::{PictureSize, SideBounds};

/// The sizes that a stage accepts, portrait too.
pub const PICTURE_BOUNDS: SideBounds = SideBounds {
    min: MIN_SHORT_SIDE,
    max_long: LONG_SIDE,
    max_short: SHORT_SIDE,
};

/// The bit rate of AWS's web SDK for 1280x720 with 30 frames a second (seen). Its
/// smaller layers fit the exponents below.
const BIT_RATE_OF_720P: f64 = 2_500_000.0;
const SIZE_EXPONENT: f64 = 0.75;
const RATE_EXPONENT: f64 = 0.5;

/// The bit rate for a picture of this size, in bit/s: what shows no flaws, and no more.
/// `frame_rate` is in frames a second.
#[must_use]
pub fn suggested_bit_rate(size: PictureSize, frame_rate: f64) -> u64 {
    let full = f64::from(LONG_SIDE) * f64::from(SHORT_SIDE);
    let pixels = f64::from(size.width) * f64::from(size.height) / full;
    let frames = frame_rate.clamp(1.0, 60.0) / 30.0;
    let rate = BIT_RATE_OF_720P * pixels.powf(SIZE_EXPONENT) * frames.powf(RATE_EXPONENT);
    // Bounded by the sides of a picture, so nothing is cut off.
    rate.clamp(0.0, f64::from(u32::MAX)) as u64
}

/// The most frames a second of 720p in level 3.1, of 108,000 macroblocks a second (H.264
/// table A-1).
const FRAME_RATE_OF_LEVEL_3_1: u32 = 30;

/// The `profile-level-id` to offer (RFC 6184 8.1): constrained baseline, as browsers offer
/// it, of the level that 720p needs with this many frames a second.
#[must_use]
pub const fn own_profile_level_id(max_frame_rate: u32) -> &'static str {
    match max_frame_rate <= FRAME_RATE_OF_LEVEL_3_1 {
        true => "42e01f",
        false => "42e020",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_layers_of_the_web_sdk() {
        for (width, height, frames, expected) in [
            (1280, 720, 30.0, 2_500_000),
            (640, 360, 20.0, 700_000),
            (320, 180, 15.0, 200_000),
        ] {
            let rate = suggested_bit_rate(PictureSize { width, height }, frames);
            let tolerance = expected / 6;
            assert!(rate.abs_diff(expected) <= tolerance, "{width}: {rate}");
        }
    }

    #[test]
    fn more_than_30_frames_a_second_need_level_3_2() {
        let offered = [1, 30, 31, 60].map(own_profile_level_id);
        assert_eq!(offered, ["42e01f", "42e01f", "42e020", "42e020"]);
    }

    #[test]
    fn no_rate_is_out_of_range() {
        let huge = PictureSize {
            width: u32::MAX,
            height: u32::MAX,
        };
        assert_eq!(suggested_bit_rate(huge, f64::INFINITY), u64::from(u32::MAX));
        let none = PictureSize {
            width: 0,
            height: 0,
        };
        assert_eq!(suggested_bit_rate(none, f64::NAN), 0);
    }
}
