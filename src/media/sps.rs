//! The head of an H.264 stream: size, profile and frame rate (ITU-T H.264
//! 7.3.2.1.1 and E.1.1).

/// Above anything that a level allows (H.264 A.3: level 6.2 ends at 16,880
/// samples a side), so a larger one is garbage.
const MAX_SIDE: u32 = 16_880;

/// What a sequence parameter set tells.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sps {
    /// `profile_idc`: 66 baseline, 77 main, 100 high …
    pub profile_idc: u8,
    /// The six `constraint_set` flags, set 0 in the highest bit.
    pub constraints: u8,
    /// `level_idc`: ten times the level.
    pub level_idc: u8,
    /// Width in pixels, after cropping.
    pub width: u32,
    /// Height in pixels, after cropping, of both fields together.
    pub height: u32,
    /// Whether frames may consist of two fields.
    pub interlaced: bool,
    /// Frames a second, if the stream states a fixed rate.
    pub frame_rate: Option<f64>,
}

impl Sps {
    /// Reads a NAL unit, its header included and with no start code. `None`
    /// when it is none, is cut off, or makes no sense.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let (&header, body) = nal.split_first()?;
        if header & 0x1f != 7 {
            return None;
        }
        let mut bits = Bits::new(body);
        let profile_idc = bits.byte()?;
        let constraints = bits.byte()?;
        let level_idc = bits.byte()?;
        bits.golomb()?; // seq_parameter_set_id
        let chroma = Chroma::read(&mut bits, profile_idc)?;
        skip_picture_order(&mut bits)?;
        let (width, height, interlaced) = read_size(&mut bits, chroma)?;
        Some(Self {
            profile_idc,
            constraints,
            level_idc,
            width,
            height,
            interlaced,
            frame_rate: read_frame_rate(&mut bits),
        })
    }

    /// Whether every baseline decoder plays it: by its profile, or by the
    /// promise to keep to baseline as well (`constraint_set0_flag`, H.264 A.2.1).
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

/// How many pixels one step of cropping is: horizontally, and vertically per field.
#[derive(Clone, Copy)]
struct Chroma {
    horizontal: u32,
    vertical: u32,
}

impl Chroma {
    /// Reads what only the high profiles have, up to the scaling matrices.
    fn read(bits: &mut Bits<'_>, profile_idc: u8) -> Option<Self> {
        let high = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];
        if !high.contains(&profile_idc) {
            return Some(Self::of(1));
        }
        let format = bits.golomb()?;
        let separate = format == 3 && bits.flag()?;
        bits.golomb()?; // bit_depth_luma_minus8
        bits.golomb()?; // bit_depth_chroma_minus8
        bits.flag()?; // qpprime_y_zero_transform_bypass_flag
        if bits.flag()? {
            let lists = if format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.flag()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Some(Self::of(if separate { 0 } else { format }))
    }

    /// H.264 table 6-1, by `ChromaArrayType`.
    fn of(format: u32) -> Self {
        let (horizontal, vertical) = match format {
            1 => (2, 2),
            2 => (2, 1),
            _ => (1, 1),
        };
        Self {
            horizontal,
            vertical,
        }
    }
}

/// H.264 7.3.2.1.1.1.
fn skip_scaling_list(bits: &mut Bits<'_>, size: usize) -> Option<()> {
    let (mut last, mut next) = (8i64, 8i64);
    for _ in 0..size {
        if next != 0 {
            next = (last + bits.signed_golomb()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Some(())
}

/// From `log2_max_frame_num_minus4` to `gaps_in_frame_num_value_allowed_flag`.
fn skip_picture_order(bits: &mut Bits<'_>) -> Option<()> {
    bits.golomb()?; // log2_max_frame_num_minus4
    match bits.golomb()? {
        0 => {
            bits.golomb()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.flag()?; // delta_pic_order_always_zero_flag
            bits.golomb()?; // offset_for_non_ref_pic
            bits.golomb()?; // offset_for_top_to_bottom_field
            let cycle = bits.golomb()?;
            for _ in 0..(cycle <= 255).then_some(cycle)? {
                bits.golomb()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    bits.golomb()?; // max_num_ref_frames
    bits.flag()?; // gaps_in_frame_num_value_allowed_flag
    Some(())
}

/// Width, height and whether interlaced, cropping taken off (H.264 7.4.2.1.1).
fn read_size(bits: &mut Bits<'_>, chroma: Chroma) -> Option<(u32, u32, bool)> {
    let columns = bits.golomb()?.checked_add(1)?;
    let rows = bits.golomb()?.checked_add(1)?;
    let interlaced = !bits.flag()?;
    if interlaced {
        bits.flag()?; // mb_adaptive_frame_field_flag
    }
    let fields = if interlaced { 2 } else { 1 };
    bits.flag()?; // direct_8x8_inference_flag
    let (mut across, mut down) = (0, 0);
    if bits.flag()? {
        across = bits.golomb()?.checked_add(bits.golomb()?)?;
        down = bits.golomb()?.checked_add(bits.golomb()?)?;
    }
    let side = |blocks: u32, step: u32, crop: u32| {
        let side = blocks
            .checked_mul(16)?
            .checked_sub(crop.checked_mul(step)?)?;
        (1..=MAX_SIDE).contains(&side).then_some(side)
    };
    let width = side(columns, chroma.horizontal, across)?;
    let height = side(rows.checked_mul(fields)?, chroma.vertical * fields, down)?;
    Some((width, height, interlaced))
}

/// The VUI's timing (H.264 E.1.1), if it has one, is whole and fixed.
fn read_frame_rate(bits: &mut Bits<'_>) -> Option<f64> {
    if !bits.flag()? {
        return None; // vui_parameters_present_flag
    }
    if bits.flag()? && bits.byte()? == 255 {
        bits.read(32)?; // sar_width, sar_height
    }
    if bits.flag()? {
        bits.flag()?; // overscan_appropriate_flag
    }
    if bits.flag()? {
        bits.read(4)?; // video_format, video_full_range_flag
        if bits.flag()? {
            bits.read(24)?; // colour description
        }
    }
    if bits.flag()? {
        bits.golomb()?; // chroma_sample_loc_type_top_field
        bits.golomb()?; // chroma_sample_loc_type_bottom_field
    }
    if !bits.flag()? {
        return None; // timing_info_present_flag
    }
    let units = bits.read(32)?;
    let scale = bits.read(32)?;
    let fixed = bits.flag()?;
    // A tick is a field's time, so a frame takes two (H.264 E.2.1).
    (fixed && units > 0 && scale > 0).then(|| f64::from(scale) / (2.0 * f64::from(units)))
}

/// Whether a coded slice, from behind its NAL unit's header, is of a B-frame:
/// `slice_type` 1 or 6 (H.264 7.3.3, table 7-6).
pub(crate) fn is_b_slice(body: &[u8]) -> bool {
    let mut bits = Bits::new(body);
    bits.golomb() // first_mb_in_slice
        .and_then(|_| bits.golomb())
        .is_some_and(|kind| kind == 1 || kind == 6)
}

/// Reads bits, passing over the emulation prevention bytes (H.264 7.4.1.1)
/// instead of copying the unit without them.
struct Bits<'a> {
    bytes: &'a [u8],
    /// The byte being read, and how many of its bits are left.
    current: u8,
    left: u8,
    /// Zero bytes in a row so far.
    zeros: u8,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            current: 0,
            left: 0,
            zeros: 0,
        }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            self.refill()?;
        }
        self.left -= 1;
        Some(u32::from(self.current >> self.left & 1))
    }

    fn refill(&mut self) -> Option<()> {
        let (mut byte, mut rest) = self.bytes.split_first()?;
        if self.zeros >= 2 && *byte == 3 {
            self.zeros = 0;
            (byte, rest) = rest.split_first()?;
        }
        self.zeros = if *byte == 0 {
            self.zeros.saturating_add(1)
        } else {
            0
        };
        self.bytes = rest;
        self.current = *byte;
        self.left = 8;
        Some(())
    }

    fn flag(&mut self) -> Option<bool> {
        self.bit().map(|bit| bit == 1)
    }

    /// An unsigned number of up to 32 bits.
    fn read(&mut self, bits: u32) -> Option<u32> {
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | self.bit()?;
        }
        Some(value)
    }

    fn byte(&mut self) -> Option<u8> {
        self.read(8).and_then(|value| u8::try_from(value).ok())
    }

    /// `ue(v)` (H.264 9.1): as many bits behind the first one as zeros ahead of it.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 31 {
                return None;
            }
        }
        Some(((1 << zeros) - 1) + self.read(zeros)?)
    }

    /// `se(v)` (H.264 9.1.1).
    fn signed_golomb(&mut self) -> Option<i64> {
        let code = i64::from(self.golomb()?);
        Some(if code % 2 == 0 {
            -(code / 2)
        } else {
            (code + 1) / 2
        })
    }
}

/// Real parameter sets, the first NAL unit of type 7 out of
/// `videotestsrc ! video/x-raw,… ! ENCODER ! video/x-h264,profile=…,stream-format=byte-stream`
/// with GStreamer 1.22.
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
    /// 720x576 at 25/1 with pixels of 12/11, x264enc, main.
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
        for (hex, profile, level, size, rate, interlaced) in [
            (
                BASELINE,
                "constrained baseline",
                30,
                (640, 360),
                Some(30.0),
                false,
            ),
            (
                OPENH264,
                "constrained baseline",
                30,
                (640, 360),
                None,
                false,
            ),
            (MAIN, "main", 31, (1280, 720), Some(30000.0 / 1001.0), false),
            (HIGH, "high", 42, (1920, 1080), Some(60.0), false),
            (INTERLACED, "high", 40, (1920, 1080), Some(25.0), true),
            (WIDE_PIXELS, "main", 30, (720, 576), Some(25.0), false),
            (ODD_444, "high 4:4:4", 30, (641, 361), Some(30.0), false),
        ] {
            let sps = sps(hex);
            assert_eq!(sps.profile(), profile);
            assert_eq!(sps.level_idc, level, "{profile}");
            assert_eq!((sps.width, sps.height), size, "{profile}");
            assert_eq!(sps.frame_rate, rate, "{profile} {size:?}");
            assert_eq!(sps.interlaced, interlaced, "{profile} {size:?}");
        }
    }

    #[test]
    fn baseline_by_profile_or_by_promise() {
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
                // The size is known long before the end; then only the rate is lost.
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

    #[test]
    fn emulation_prevention_is_passed_over() {
        let mut bits = Bits::new(&[0, 0, 3, 1, 0, 0, 3, 0, 0, 3]);
        let read: Vec<_> = std::iter::from_fn(|| bits.byte()).collect();
        assert_eq!(read, [0, 0, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn golomb_codes() {
        // 1, 010, 011, 00100, then zeros without end.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0000, 0, 1, 0, 1, 0]);
        for number in 0..4 {
            assert_eq!(bits.golomb(), Some(number));
        }
        assert_eq!(Bits::new(&[0, 1, 0, 0]).golomb(), Some((1 << 15) - 1));
        assert_eq!(
            Bits::new(&[0, 0, 3, 0, 1, 0xff, 0xff, 0xff, 0xfe]).golomb(),
            Some(u32::MAX - 1)
        );
        assert_eq!(Bits::new(&[]).golomb(), None);
        assert_eq!(Bits::new(&[0, 0, 0, 0, 0, 0, 0, 0, 0]).golomb(), None);
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        for number in [0, 1, -1, 2, -2] {
            assert_eq!(bits.signed_golomb(), Some(number));
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
