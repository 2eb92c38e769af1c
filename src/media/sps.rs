//! H.264 sequence parameter sets (ITU-T H.264 7.3.2.1.1).

use h264_reader::nal::sps::SeqParameterSet;
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

/// The longest side that any level allows (H.264 A.3: 16,880 samples in level 6.2).
const MAX_SIDE: u32 = 16_880;

/// Profile and picture size of a sequence parameter set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sps {
    /// `profile_idc`: 66 baseline, 77 main, 100 high …
    pub profile_idc: u8,
    /// The six `constraint_set` flags, flag 0 in the highest bit.
    pub constraints: u8,
    /// Width in pixels, after cropping.
    pub width: u32,
    /// Height in pixels, after cropping, of both fields together.
    pub height: u32,
}

impl Sps {
    /// Parses a NAL unit, with its header and without a start code. `None` if it is not
    /// a sequence parameter set, is truncated, or has invalid values.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        if nal.first()? & 0x1f != 7 {
            return None;
        }
        // Encoders pad units with zeros, which are not part of any syntax element.
        let end = nal.iter().rposition(|byte| *byte != 0)? + 1;
        let bits = BitReader::new(ByteReader::skipping_h264_header(nal.get(..end)?));
        let set = SeqParameterSet::from_bits(bits).ok()?;
        let (width, height) = set.pixel_dimensions().ok()?;
        let is_sane = |side| (1..=MAX_SIDE).contains(&side);
        (is_sane(width) && is_sane(height)).then_some(Self {
            profile_idc: set.profile_idc.into(),
            constraints: set.constraint_flags.into(),
            width,
            height,
        })
    }

    /// Whether every baseline decoder can play the stream: its profile is baseline, or
    /// it declares that it conforms to baseline too (`constraint_set0_flag`,
    /// H.264 A.2.1).
    pub fn is_baseline(&self) -> bool {
        self.profile_idc == 66 || self.constraints & 0x80 != 0
    }

    /// The profile's name (H.264 A.2).
    pub fn profile(&self) -> &'static str {
        let set1 = self.constraints & 0x40 != 0;
        match self.profile_idc {
            66 if set1 => "constrained baseline",
            66 => "baseline",
            77 => "main",
            88 => "extended",
            100 => "high",
            110 => "high 10",
            122 => "high 4:2:2",
            244 => "high 4:4:4",
            _ => "unknown",
        }
    }
}

/// Whether a coded slice is of a B-frame: `slice_type` 1 or 6 (H.264 7.3.3, table 7-6).
/// `body` is the slice without the header of its NAL unit.
pub(super) fn is_b_slice(body: &[u8]) -> bool {
    let mut bits = BitReader::new(ByteReader::without_skip(body));
    bits.read_ue("first_mb_in_slice")
        .and_then(|_| bits.read_ue("slice_type"))
        .is_ok_and(|kind| kind == 1 || kind == 6)
}

/// Real parameter sets: the first NAL unit of type 7 from this pipeline in GStreamer
/// 1.22:
///
/// ```text
/// videotestsrc ! video/x-raw,… ! ENCODER ! video/x-h264,profile=…,stream-format=byte-stream
/// ```
#[cfg(test)]
pub(crate) mod samples {
    /// 640x360 at 30/1, x264enc, constrained-baseline.
    pub(crate) const BASELINE: &str = "6742c01ed900a02ff97016a0c0c0d4a0000003002000000791e2c5c9";
    /// 640x360 at 30/1, openh264enc, constrained-baseline; no timing.
    pub(crate) const OPENH264: &str = "6742c01e8c8d405017fcb00f08846a";
    /// 1280x720 at 30000/1001, x264enc bframes=2, main.
    pub(crate) const MAIN: &str = "674d401feca02802dd80b5010101400000fa40003a9823c60c6580";
    /// 1920x1080 at 60/1, x264enc, high.
    pub(crate) const HIGH: &str = "6764002aacd940780227e5c05a808080a0000003002000000f11e30632c0";
    /// 1920x1080 at 25/1 interleaved, x264enc interlaced=true, high.
    pub(crate) const INTERLACED: &str =
        "67640028acd94078044fde02d4040405000003000100000300329f162d96";
    /// 720x576 at 25/1 with a pixel aspect ratio of 12/11, x264enc, main.
    pub(crate) const WIDE_PIXELS: &str =
        "674d401eeca05a0936049418181a94000003000400000300ca3c58b658";
    /// 641x361 at 30/1 in Y444, x264enc, high-4:4:4.
    pub(crate) const ODD_444: &str =
        "67f4001e919b281485fc211180b506060640000003004000000f23c58b6580";

    pub(crate) fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::samples::*;
    use super::*;

    fn sps(hex: &str) -> Sps {
        Sps::parse(&bytes(hex)).unwrap()
    }

    #[test]
    fn real_parameter_sets() {
        for (hex, profile, size) in [
            (BASELINE, "constrained baseline", (640, 360)),
            (OPENH264, "constrained baseline", (640, 360)),
            (MAIN, "main", (1280, 720)),
            (HIGH, "high", (1920, 1080)),
            (INTERLACED, "high", (1920, 1080)),
            (WIDE_PIXELS, "main", (720, 576)),
            (ODD_444, "high 4:4:4", (641, 361)),
        ] {
            let sps = sps(hex);
            assert_eq!(sps.profile(), profile);
            assert_eq!((sps.width, sps.height), size, "{profile}");
        }
    }

    #[test]
    fn zeros_behind_a_parameter_set_are_padding() {
        let mut padded = bytes(BASELINE);
        padded.extend([0; 5]);
        assert_eq!(Sps::parse(&padded), Some(sps(BASELINE)));
    }

    #[test]
    fn baseline_by_profile_or_constraint_flag() {
        assert!(sps(BASELINE).is_baseline());
        assert!(!sps(MAIN).is_baseline());
        let mut promise = bytes(MAIN);
        promise[2] |= 0x80;
        assert!(Sps::parse(&promise).unwrap().is_baseline());
    }

    #[test]
    fn cut_off_anywhere() {
        for hex in [BASELINE, OPENH264, MAIN, HIGH, INTERLACED, ODD_444] {
            let whole = bytes(hex);
            for end in 0..whole.len() {
                // A truncated set can still parse if only zeros are missing.
                if let Some(cut) = Sps::parse(&whole[..end]) {
                    assert_eq!(cut.width, sps(hex).width);
                }
            }
            assert_eq!(Sps::parse(&whole[..5]), None);
        }
    }

    #[test]
    fn other_units_and_garbage() {
        assert_eq!(Sps::parse(&[]), None);
        assert_eq!(Sps::parse(&[0x67]), None);
        let mut pps = bytes(BASELINE);
        pps[0] = 0x68;
        assert_eq!(Sps::parse(&pps), None);
        for byte in 0..=255 {
            for length in 0..64 {
                let mut nal = vec![byte; length];
                nal.insert(0, 0x67);
                Sps::parse(&nal);
                nal.insert(1, 100);
                Sps::parse(&nal);
            }
        }
    }

    /// The library computes with the values it parses. No damaged set may make it
    /// panic.
    #[test]
    fn damaged_sets_do_no_harm() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        for hex in [
            BASELINE,
            OPENH264,
            MAIN,
            HIGH,
            INTERLACED,
            WIDE_PIXELS,
            ODD_444,
        ] {
            let whole = bytes(hex);
            for _ in 0..20_000 {
                let mut damaged = whole.clone();
                for _ in 0..3 {
                    let [place, value, ..] = random();
                    let place = 1 + usize::from(place) % (damaged.len() - 1);
                    damaged[place] = value;
                }
                Sps::parse(&damaged);
                is_b_slice(&damaged[1..]);
            }
        }
    }

    #[test]
    fn slices() {
        // first_mb_in_slice 0, slice_type 5 (P), 6 (B), 7 (I), 1 (B).
        assert!(!is_b_slice(&[0b1001_1000]));
        assert!(is_b_slice(&[0b1001_1100]));
        assert!(!is_b_slice(&[0b1000_1000]));
        assert!(is_b_slice(&[0b1010_0000]));
        assert!(!is_b_slice(&[]));
    }
}
