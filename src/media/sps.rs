//! H.264 sequence parameter sets (ITU-T H.264 7.3.2.1.1).

use h264_reader::nal::sps::{ChromaFormat, ChromaInfo, SpsError};
use h264_reader::rbsp::{BitRead, BitReader, BitReaderError, ByteReader};

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
    /// a sequence parameter set, is truncated before its size ends, or has invalid
    /// values up to there.
    ///
    /// A set that contradicts its level, or is damaged behind the size, does parse.
    pub fn parse(nal: &[u8]) -> Option<Self> {
        let (header, body) = nal.split_first()?;
        if header & 0x1f != 7 {
            return None;
        }
        let mut bits = BitReader::new(ByteReader::without_skip(legal(body)));
        read(&mut bits).ok().flatten()
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

/// Reads a set up to its size. The library's own `SeqParameterSet` refuses sets whose
/// picture exceeds their level, and those with any fault in their VUI.
fn read(bits: &mut impl BitRead) -> Result<Option<Sps>, SpsError> {
    let profile_idc: u8 = bits.read::<8, _>("profile_idc")?;
    let constraints: u8 = bits.read::<8, _>("constraint_set_flags")?;
    bits.skip(8, "level_idc")?;
    if bits.read_ue("seq_parameter_set_id")? > 31 {
        return Ok(None);
    }
    let chroma = ChromaInfo::read(bits, profile_idc.into())?;
    if bits.read_ue("log2_max_frame_num_minus4")? > 12 || !skip_picture_order(bits)? {
        return Ok(None);
    }
    bits.read_ue("max_num_ref_frames")?;
    bits.skip(1, "gaps_in_frame_num_value_allowed_flag")?;
    let size = read_size(bits, chroma.chroma_format)?;
    Ok(size.map(|(width, height)| Sps {
        profile_idc,
        constraints,
        width,
        height,
    }))
}

/// Skips the syntax of picture order counts. `false` if it is invalid.
fn skip_picture_order(bits: &mut impl BitRead) -> Result<bool, BitReaderError> {
    match bits.read_ue("pic_order_cnt_type")? {
        0 => Ok(bits.read_ue("log2_max_pic_order_cnt_lsb_minus4")? <= 12),
        1 => {
            bits.skip(1, "delta_pic_order_always_zero_flag")?;
            bits.read_se("offset_for_non_ref_pic")?;
            bits.read_se("offset_for_top_to_bottom_field")?;
            let cycle = bits.read_ue("num_ref_frames_in_pic_order_cnt_cycle")?;
            if cycle > 255 {
                return Ok(false);
            }
            for _ in 0..cycle {
                bits.read_se("offset_for_ref_frame")?;
            }
            Ok(true)
        }
        kind => Ok(kind == 2),
    }
}

/// Reads width and height in pixels, after cropping. `None` if no level allows them.
fn read_size(
    bits: &mut impl BitRead,
    chroma: ChromaFormat,
) -> Result<Option<(u32, u32)>, BitReaderError> {
    let columns = bits.read_ue("pic_width_in_mbs_minus1")?;
    let rows = bits.read_ue("pic_height_in_map_units_minus1")?;
    // Without frame_mbs_only_flag, rows are those of one field.
    let fields = if bits.read_bit("frame_mbs_only_flag")? {
        1
    } else {
        bits.skip(1, "mb_adaptive_frame_field_flag")?;
        2
    };
    bits.skip(1, "direct_8x8_inference_flag")?;
    let mut crop = [0; 4];
    if bits.read_bit("frame_cropping_flag")? {
        for offset in &mut crop {
            *offset = bits.read_ue("frame_crop_offset")?;
        }
    }
    let [left, right, top, bottom] = crop;
    // H.264 table 6-1 and equations 7-19 to 7-22.
    let (unit_x, unit_y) = match chroma {
        ChromaFormat::YUV420 => (2, 2),
        ChromaFormat::YUV422 => (2, 1),
        ChromaFormat::Monochrome | ChromaFormat::YUV444 => (1, 1),
        ChromaFormat::Invalid(_) => return Ok(None),
    };
    let width = side(columns, 16, [left, right], unit_x);
    let height = side(rows, 16 * fields, [top, bottom], unit_y * fields);
    Ok(width.zip(height))
}

/// The length of a side in pixels: a number of blocks, minus 1, of `block` pixels each,
/// less what is cropped from its ends, in units of `unit` pixels.
fn side(blocks_minus1: u32, block: u32, [first, last]: [u32; 2], unit: u32) -> Option<u32> {
    let coded = blocks_minus1.checked_add(1)?.checked_mul(block)?;
    let cropped = first.checked_add(last)?.checked_mul(unit)?;
    let side = coded.checked_sub(cropped)?;
    (1..=MAX_SIDE).contains(&side).then_some(side)
}

/// The part of a unit ahead of bytes that no unit may contain (H.264 7.4.1), and ahead
/// of zeros at its end. `ByteReader` refuses to read the bytes before them as well.
fn legal(body: &[u8]) -> &[u8] {
    let illegal = body
        .windows(3)
        .position(|bytes| matches!(bytes, [0, 0, 0..=2]));
    let body = body.get(..illegal.unwrap_or(body.len())).unwrap_or(body);
    let end = body.iter().rposition(|byte| *byte != 0);
    body.get(..end.map_or(0, |last| last + 1)).unwrap_or(body)
}

/// Whether a coded slice is of a B-frame: `slice_type` 1 or 6 (H.264 7.3.3, table 7-6).
/// `body` is the slice without the header of its NAL unit.
pub(super) fn is_b_slice(body: &[u8]) -> bool {
    // Two numbers of at most 35 and 7 bits, and emulation prevention bytes.
    let start = body.get(..16).unwrap_or(body);
    let mut bits = BitReader::new(ByteReader::without_skip(legal(start)));
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
    use h264_reader::nal::sps::{
        PicOrderCntType, ScalingLists4x4, ScalingLists8x8, SeqParameterSet, SeqScalingMatrix,
    };
    use h264_reader::nal::{NalHeader, WritableNal as _};

    use super::samples::*;
    use super::*;

    const SAMPLES: [&str; 7] = [
        BASELINE,
        OPENH264,
        MAIN,
        HIGH,
        INTERLACED,
        WIDE_PIXELS,
        ODD_444,
    ];

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
    fn each_profile() {
        for (profile_idc, constraints, name) in [
            (66, 0x40, "constrained baseline"),
            (66, 0xbf, "baseline"),
            (77, 0xff, "main"),
            (88, 0, "extended"),
            (100, 0, "high"),
            (110, 0, "high 10"),
            (122, 0, "high 4:2:2"),
            (244, 0, "high 4:4:4"),
            (1, 0xff, "unknown"),
        ] {
            let sps = Sps {
                profile_idc,
                constraints,
                width: 16,
                height: 16,
            };
            assert_eq!(sps.profile(), name);
        }
    }

    /// A number as `ue(v)` (H.264 9.1).
    fn ue(number: u32) -> String {
        let bits = format!("{:b}", number + 1);
        "0".repeat(bits.len() - 1) + &bits
    }

    #[test]
    fn numbers_out_of_their_range_are_refused() {
        let is_set = |id, frame_num, order: &str| {
            let (columns, rows) = (ue(17), ue(9));
            let bits = ue(id) + &ue(frame_num) + order + &ue(1) + "0" + &columns + &rows + "11001";
            let mut set = vec![0x67, 66, 0xe0, 31];
            set.extend(bits.as_bytes().chunks(8).map(|bits| {
                let bits = bits.iter().zip((0..8).rev());
                bits.fold(0, |byte, (bit, place)| byte | (bit & 1) << place)
            }));
            Sps::parse(&set).is_some()
        };
        let as_sent = ue(2);
        assert!(is_set(31, 12, &as_sent));
        assert!(!is_set(32, 12, &as_sent));
        assert!(!is_set(31, 13, &as_sent));
        let by_number = |bits| ue(0) + &ue(bits);
        assert!(is_set(0, 0, &by_number(12)));
        assert!(!is_set(0, 0, &by_number(13)));
        let by_cycle = |length| ue(1) + "0" + "11" + &ue(length) + &"1".repeat(length as usize);
        assert!(is_set(0, 0, &by_cycle(255)));
        assert!(!is_set(0, 0, &by_cycle(256)));
        assert!(!is_set(0, 0, &ue(3)));
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
        for hex in SAMPLES {
            let whole = bytes(hex);
            for end in 0..whole.len() {
                // Behind the cropping, nothing is read.
                let cut = Sps::parse(&whole[..end]);
                assert!(cut.is_none() || cut == Some(sps(hex)), "{hex} cut to {end}");
            }
            assert_eq!(Sps::parse(&whole[..5]), None);
        }
    }

    /// Such a stream is to be warned about, so its size has to be known.
    #[test]
    fn picture_above_the_stated_level() {
        let mut set = bytes(HIGH);
        set[3] = 31;
        assert_eq!(Sps::parse(&set), Some(sps(HIGH)));
    }

    #[test]
    fn set_that_is_damaged_behind_its_size() {
        for (hex, vui) in [(BASELINE, 10), (HIGH, 11), (INTERLACED, 11), (ODD_444, 12)] {
            let (whole, expected) = (bytes(hex), Some(sps(hex)));
            for end in vui..whole.len() {
                assert_eq!(Sps::parse(&whole[..end]), expected, "{hex} cut to {end}");
            }
            for tail in [&[0xff; 40][..], &[0; 40], &[0, 0, 1, 0x68, 0xce]] {
                for end in [vui, whole.len()] {
                    let damaged = [&whole[..end], tail].concat();
                    assert_eq!(Sps::parse(&damaged), expected, "{hex} {end} {tail:?}");
                }
            }
        }
    }

    /// Syntax that the samples lack.
    #[test]
    fn sets_that_the_library_writes() {
        type Change<'a> = &'a dyn Fn(&mut SeqParameterSet);
        let lists = |lists8x8| {
            let mut frozen = [16; 16];
            frozen[5..].fill(0);
            let lists4x4 = [Some(frozen), None, Some([9; 16]), None, Some([0; 16]), None];
            Some(Box::new(SeqScalingMatrix {
                scaling_lists4x4: ScalingLists4x4(lists4x4),
                scaling_lists8x8: lists8x8,
            }))
        };
        let cases: [(&str, Change<'_>); 6] = [
            (HIGH, &|set| {
                let luma = ScalingLists8x8::Y([Some([30; 64]), Some([0; 64])]);
                set.chroma_info.scaling_matrix = lists(luma);
            }),
            (ODD_444, &|set| {
                let all = ScalingLists8x8::YCbCr([None, Some([30; 64]), None, None, None, None]);
                set.chroma_info.scaling_matrix = lists(all);
            }),
            (HIGH, &|set| {
                set.pic_order_cnt = PicOrderCntType::TypeOne {
                    delta_pic_order_always_zero_flag: true,
                    offset_for_non_ref_pic: -3,
                    offset_for_top_to_bottom_field: 70_000,
                    offsets_for_ref_frame: vec![1, -2, 300],
                };
            }),
            (HIGH, &|set| {
                set.chroma_info.chroma_format = ChromaFormat::YUV422
            }),
            (INTERLACED, &|set| {
                set.chroma_info.chroma_format = ChromaFormat::Monochrome
            }),
            (ODD_444, &|set| {
                set.chroma_info.separate_colour_plane_flag = true
            }),
        ];
        for (number, (hex, change)) in cases.into_iter().enumerate() {
            let mut set = library(&bytes(hex)).unwrap();
            change(&mut set);
            let nal = set.to_vec_with_header(NalHeader::new(0x67).unwrap());
            let sps = Sps::parse(&nal).map(|sps| (sps.width, sps.height));
            assert_eq!(sps, set.pixel_dimensions().ok(), "case {number}");
        }
    }

    fn library(nal: &[u8]) -> Option<SeqParameterSet> {
        SeqParameterSet::from_bits(BitReader::new(ByteReader::skipping_h264_header(nal))).ok()
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
    fn damaged_sets_do_no_harm() {
        let check = |damaged: &[u8]| {
            let parsed = Sps::parse(damaged);
            is_b_slice(&damaged[1..]);
            if let Some(Sps { width, height, .. }) = parsed {
                assert!((1..=MAX_SIDE).contains(&width.max(height)));
            }
            // The library reads on, and so may refuse more.
            let Some(set) = library(damaged) else { return };
            let is_sane = |(width, height)| {
                [width, height]
                    .iter()
                    .all(|side| (1..=MAX_SIDE).contains(side))
                    && !matches!(set.chroma_info.chroma_format, ChromaFormat::Invalid(_))
            };
            let size = set.pixel_dimensions().ok().filter(|size| is_sane(*size));
            assert_eq!(parsed.map(|sps| (sps.width, sps.height)), size);
        };
        for hex in SAMPLES {
            let whole = bytes(hex);
            for (place, value) in (1..whole.len()).flat_map(|at| (0..=255).map(move |to| (at, to)))
            {
                let mut damaged = whole.clone();
                damaged[place] = value;
                check(&damaged);
                check(&damaged[..=place]);
                damaged[place..].fill(value);
                check(&damaged);
            }
        }
    }

    /// Damage in several places, the same each time (xorshift).
    #[test]
    fn sets_damaged_at_random_do_no_harm() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        };
        for hex in SAMPLES {
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

    #[test]
    fn zeros_behind_a_slice_are_padding() {
        for (slice, is_b) in [(0x9e, true), (0x9a, false)] {
            for tail in [&[0x80, 0, 0, 0][..], &[0x80, 0, 0, 3, 0, 0, 3], &[0; 30]] {
                let body = [&[slice], tail].concat();
                assert_eq!(is_b_slice(&body), is_b, "{body:02x?}");
                // Illegal bytes later in a slice do not matter either.
                let long = [&[slice; 50], tail].concat();
                assert_eq!(is_b_slice(&long), is_b, "{long:02x?}");
            }
        }
    }
}
