//! Finds key frames, starts of pictures and the picture size in H.264 RTP
//! payloads (RFC 6184).

/// NAL unit types: of H.264 up to 23, of RFC 6184 from 24 on.
const SLICE: u8 = 1;
const IDR: u8 = 5;
const SEI: u8 = 6;
const SPS: u8 = 7;
const PPS: u8 = 8;
const DELIMITER: u8 = 9;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// Bytes of an SEI unit that is put together.
const SEI_LIMIT: usize = 8192;

/// What was found in one payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadInfo {
    /// A key frame begins here, or its parameter sets.
    pub(crate) key_frame: bool,
    /// A slice of a key frame begins here.
    pub(crate) idr: bool,
    /// There is a sequence parameter set.
    pub(crate) sequence_set: bool,
    /// There is a picture parameter set.
    pub(crate) picture_set: bool,
    /// A picture begins here, or what precedes its first slice (H.264 7.4.1.2.3).
    pub(crate) begins_picture: bool,
    /// Width and height in pixels, if there is a sequence parameter set.
    pub(crate) size: Option<(u32, u32)>,
    /// Bits of `frame_num`, if there is a sequence parameter set, and one that
    /// forbids gaps.
    pub(crate) frame_num_bits: Option<u32>,
    /// The slice that begins here; of several, the first one.
    pub(crate) slice: Option<SliceHead>,
    /// Number of slices that begin here.
    pub(crate) slices: u64,
    /// Whether one of them is of type B.
    pub(crate) b_slice: bool,
    /// Empty without a sequence parameter set.
    pub(crate) profile_level: ProfileLevel,
}

/// Profile, constraints and level, if there is a sequence parameter set (H.264
/// 7.3.2.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProfileLevel(Option<[u8; 3]>);

impl ProfileLevel {
    /// The profile's name (H.264 A.2).
    pub(crate) fn profile(self) -> Option<String> {
        let [profile, constraints, _] = self.0?;
        let name = match profile {
            66 if constraints & 0x40 != 0 => "constrained baseline",
            66 => "baseline",
            77 => "main",
            88 => "extended",
            100 if constraints & 0x0c == 0x0c => "constrained high",
            100 => "high",
            other => return Some(format!("profile {other}")),
        };
        Some(name.to_owned())
    }

    /// The level's name (H.264 A.3).
    pub(crate) fn level(self) -> Option<String> {
        let [profile, constraints, level] = self.0?;
        let is_1b = level == 11 && constraints & 0x10 != 0 && matches!(profile, 66 | 77 | 88);
        Some(match is_1b {
            true => "1b".to_owned(),
            false => format!("{}.{}", level / 10, level % 10),
        })
    }
}

/// The first bytes of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SliceHead {
    /// Whether later frames may need its frame.
    pub(crate) reference: bool,
    /// Enough for `frame_num`.
    bytes: [u8; 8],
}

impl SliceHead {
    fn new(nal_header: u8, body: &[u8]) -> Self {
        let mut bytes = [0; 8];
        let length = body.len().min(bytes.len());
        bytes[..length].copy_from_slice(&body[..length]);
        Self {
            reference: nal_header & 0x60 != 0,
            bytes,
        }
    }

    /// Whether it is of type B (H.264 table 7-6).
    pub(crate) fn is_bidirectional(&self) -> bool {
        let mut bits = Bits::new(&self.bytes);
        let kind = bits.golomb().and_then(|_| bits.golomb());
        kind.is_some_and(|kind| kind % 5 == 1)
    }

    /// `frame_num` (H.264 7.3.3), which has this many bits.
    pub(crate) fn frame_num(&self, length: u32) -> Option<u32> {
        let mut bits = Bits::new(&self.bytes);
        bits.golomb()?; // first_mb_in_slice
        bits.golomb()?; // slice_type
        bits.golomb()?; // pic_parameter_set_id
        (0..length).try_fold(0, |value, _| Some(value << 1 | bits.bit()?))
    }
}

pub(crate) fn inspect(payload: &[u8]) -> PayloadInfo {
    let Some((&first, rest)) = payload.split_first() else {
        return PayloadInfo::default();
    };
    match first & 0x1f {
        STAP_A => inspect_stap_a(rest),
        FU_A => inspect_fu_a(first, rest),
        _ => inspect_unit(payload),
    }
}

/// Puts together SEI units that come in fragments (RFC 6184 5.8), if these come in order.
#[derive(Debug, Default)]
pub(crate) struct SeiFragments {
    unit: Vec<u8>,
    /// The sequence number of the next fragment.
    next: u64,
}

impl SeiFragments {
    /// Takes a payload. Returns the unit that ends with it.
    pub(crate) fn add(&mut self, sequence: u64, payload: &[u8]) -> Option<Vec<u8>> {
        let [indicator, fu, fragment @ ..] = payload else {
            return None;
        };
        if (indicator & 0x1f, fu & 0x1f) != (FU_A, SEI) {
            return None;
        }
        if fu & 0x80 != 0 {
            self.unit = vec![SEI];
            self.next = sequence;
        }
        let is_next = !self.unit.is_empty() && self.next == sequence;
        if !is_next || self.unit.len() + fragment.len() > SEI_LIMIT {
            self.unit.clear();
            return None;
        }
        self.unit.extend_from_slice(fragment);
        self.next += 1;
        (fu & 0x40 != 0).then(|| std::mem::take(&mut self.unit))
    }
}

/// The SEI units in a payload, without fragments.
pub(crate) fn sei_units(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (single, aggregated) = match payload.split_first() {
        Some((first, rest)) if first & 0x1f == STAP_A => (None, rest),
        _ => (Some(payload), &[][..]),
    };
    let all = single.into_iter().chain(units(aggregated));
    all.filter(|unit| unit.first().is_some_and(|first| first & 0x1f == SEI))
}

/// The NAL units of a STAP-A, each after its 16-bit length.
fn units(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, tail) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (unit, tail) = tail.split_at_checked(length)?;
        rest = tail;
        Some(unit)
    })
}

fn inspect_stap_a(rest: &[u8]) -> PayloadInfo {
    let mut found = PayloadInfo::default();
    let mut first = true;
    for unit in units(rest) {
        let one = inspect_unit(unit);
        found = PayloadInfo {
            key_frame: found.key_frame | one.key_frame,
            idr: found.idr | one.idr,
            sequence_set: found.sequence_set | one.sequence_set,
            picture_set: found.picture_set | one.picture_set,
            begins_picture: found.begins_picture | (first && one.begins_picture),
            size: one.size.or(found.size),
            frame_num_bits: one.frame_num_bits.or(found.frame_num_bits),
            slice: found.slice.or(one.slice),
            slices: found.slices + one.slices,
            b_slice: found.b_slice | one.b_slice,
            profile_level: match one.profile_level.0 {
                Some(_) => one.profile_level,
                None => found.profile_level,
            },
        };
        first = false;
    }
    found
}

/// An FU-A: the start bit and the type of the unit, then a fragment of it. Only
/// slices and SEI are long enough for one.
fn inspect_fu_a(indicator: u8, rest: &[u8]) -> PayloadInfo {
    match rest {
        [fu, ..] if fu & 0x80 != 0 && fu & 0x1f == SEI => PayloadInfo {
            begins_picture: true,
            ..PayloadInfo::default()
        },
        [fu, fragment @ ..] if fu & 0x80 != 0 => {
            inspect_slice(indicator & 0xe0 | fu & 0x1f, fragment)
        }
        _ => PayloadInfo::default(),
    }
}

fn inspect_unit(nal: &[u8]) -> PayloadInfo {
    let Some((&first, body)) = nal.split_first() else {
        return PayloadInfo::default();
    };
    let set = PayloadInfo {
        begins_picture: true,
        ..PayloadInfo::default()
    };
    match first & 0x1f {
        // A parameter set is not a picture, but senders put it right before a
        // key frame, with the same timestamp.
        SPS => {
            let found = read_sequence_set(body);
            PayloadInfo {
                key_frame: true,
                sequence_set: true,
                size: found.map(|found| found.size),
                frame_num_bits: found.and_then(|found| found.frame_num_bits),
                profile_level: ProfileLevel(body.first_chunk().copied()),
                ..set
            }
        }
        PPS => PayloadInfo {
            picture_set: true,
            ..set
        },
        SEI | DELIMITER => set,
        SLICE | IDR => inspect_slice(first, body),
        _ => PayloadInfo::default(),
    }
}

/// `first_mb_in_slice` comes first in a slice, and as an Exp-Golomb number 0 is
/// a single 1.
fn inspect_slice(nal_header: u8, body: &[u8]) -> PayloadInfo {
    let kind = nal_header & 0x1f;
    if kind != SLICE && kind != IDR {
        return PayloadInfo::default();
    }
    let slice = SliceHead::new(nal_header, body);
    PayloadInfo {
        key_frame: kind == IDR,
        idr: kind == IDR,
        begins_picture: body.first().is_some_and(|byte| byte & 0x80 != 0),
        slice: Some(slice),
        slices: 1,
        b_slice: slice.is_bidirectional(),
        ..PayloadInfo::default()
    }
}

/// What a sequence parameter set has.
#[derive(Clone, Copy)]
struct SequenceSet {
    size: (u32, u32),
    frame_num_bits: Option<u32>,
}

/// Reads a sequence parameter set (H.264 7.3.2.1.1). Assumes 4:2:0, as always in
/// WebRTC.
fn read_sequence_set(sps: &[u8]) -> Option<SequenceSet> {
    let profile = *sps.first()?;
    let mut bits = Bits::new(sps.get(3..)?);
    bits.golomb()?; // seq_parameter_set_id
    if !matches!(profile, 66 | 77 | 88) {
        skip_high(&mut bits)?;
    }
    let frame_num_bits = bits.golomb()? + 4;
    skip_order_count(&mut bits)?;
    bits.golomb()?; // max_num_ref_frames
    let gaps_allowed = bits.bit()? == 1;
    let width = (bits.golomb()? + 1).checked_mul(16)?;
    let map_units = bits.golomb()? + 1;
    let frame_only = bits.bit()?;
    if frame_only == 0 {
        bits.bit()?; // mb_adaptive_frame_field_flag
    }
    let height = map_units.checked_mul(16 * (2 - frame_only))?;
    bits.bit()?; // direct_8x8_inference_flag
    let (cut_width, cut_height) = cropping(&mut bits, frame_only)?;
    Some(SequenceSet {
        size: (
            width.checked_sub(cut_width)?,
            height.checked_sub(cut_height)?,
        ),
        // The standard's range is 4 to 16.
        frame_num_bits: (!gaps_allowed && frame_num_bits <= 16).then_some(frame_num_bits),
    })
}

/// Skips the fields that only High and the profiles above it have.
fn skip_high(bits: &mut Bits<'_>) -> Option<()> {
    bits.golomb()?; // chroma_format_idc
    bits.golomb()?; // bit_depth_luma_minus8
    bits.golomb()?; // bit_depth_chroma_minus8
    bits.bit()?; // qpprime_y_zero_transform_bypass_flag
    let scaling_matrix = bits.bit()?;
    // Matrices are not parsed: no live encoder is known to send them.
    (scaling_matrix == 0).then_some(())
}

fn skip_order_count(bits: &mut Bits<'_>) -> Option<()> {
    match bits.golomb()? {
        0 => {
            bits.golomb()?; // log2_max_pic_order_cnt_lsb_minus4
        }
        1 => {
            bits.bit()?; // delta_pic_order_always_zero_flag
            bits.golomb()?; // offset_for_non_ref_pic
            bits.golomb()?; // offset_for_top_to_bottom_field
            let cycle = bits.golomb()?;
            for _ in 0..cycle.min(255) {
                bits.golomb()?; // offset_for_ref_frame
            }
        }
        _ => {}
    }
    Some(())
}

/// The cropping of width and height in pixels, by the units of 4:2:0.
fn cropping(bits: &mut Bits<'_>, frame_only: u32) -> Option<(u32, u32)> {
    if bits.bit()? == 0 {
        return Some((0, 0));
    }
    let (left, right) = (bits.golomb()?, bits.golomb()?);
    let (top, bottom) = (bits.golomb()?, bits.golomb()?);
    let width = left.checked_add(right)?.checked_mul(2)?;
    let height = top.checked_add(bottom)?.checked_mul(2 * (2 - frame_only))?;
    Some((width, height))
}

/// Reads the bits of a NAL unit without its emulation prevention bytes.
struct Bits<'a> {
    bytes: &'a [u8],
    zeros: u8,
    byte: u8,
    left: u8,
}

impl<'a> Bits<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            zeros: 0,
            byte: 0,
            left: 0,
        }
    }

    fn bit(&mut self) -> Option<u32> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Some(u32::from(self.byte >> self.left & 1))
    }

    fn next_byte(&mut self) -> Option<u8> {
        let (mut byte, mut rest) = self.bytes.split_first()?;
        if self.zeros >= 2 && *byte == 3 {
            self.zeros = 0;
            (byte, rest) = rest.split_first()?;
        }
        self.bytes = rest;
        self.zeros = if *byte == 0 { self.zeros + 1 } else { 0 };
        Some(*byte)
    }

    /// An Exp-Golomb number. Reads signed ones as unsigned, since they are only
    /// skipped.
    fn golomb(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > 16 {
                return None;
            }
        }
        let mut value = 1;
        for _ in 0..zeros {
            value = value << 1 | self.bit()?;
        }
        Some(value - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b_slices_are_known_by_their_type() {
        // first_mb_in_slice 0 and slice_type 5 (P), 6 (B), 1 (B), 7 (I).
        for (bytes, is_b) in [
            ([0x41, 0b1001_1000], false),
            ([0x01, 0b1001_1100], true),
            ([0x01, 0b1010_0000], true),
            ([0x65, 0b1000_1000], false),
        ] {
            let slice = inspect(&bytes).slice.unwrap();
            assert_eq!(slice.is_bidirectional(), is_b, "{bytes:?}");
        }
    }

    /// Parameter sets from x264, in constrained Baseline and High.
    const SPS_320X240: &[u8] = &[
        0x67, 0x42, 0xc0, 0x15, 0xd9, 0x01, 0x41, 0xfb, 0x01, 0x6a, 0x0c, 0x0c, 0x0d, 0x4a, 0x00,
        0x00, 0x03, 0x00, 0x02, 0x00, 0x00, 0x03, 0x00, 0x79, 0x1e, 0x2c, 0x5c, 0x90,
    ];
    const SPS_640X360: &[u8] = &[
        0x67, 0x42, 0xc0, 0x1e, 0xd9, 0x00, 0xa0, 0x2f, 0xf9, 0x70, 0x16, 0xa0, 0xc0, 0xc0, 0xd4,
        0xa0, 0x00, 0x00, 0x03, 0x00, 0x20, 0x00, 0x00, 0x07, 0x91, 0xe2, 0xc5, 0xc9,
    ];
    const SPS_1280X720_HIGH: &[u8] = &[
        0x67, 0x64, 0x00, 0x1f, 0xac, 0xd9, 0x40, 0x50, 0x05, 0xbb, 0x01, 0x6a, 0x02, 0x02, 0x02,
        0x80, 0x00, 0x00, 0x03, 0x00, 0x80, 0x00, 0x00, 0x1e, 0x47, 0x8c, 0x18, 0xcb,
    ];

    #[test]
    fn single_units() {
        assert!(inspect(&[0x65, 0x88]).key_frame);
        assert!(!inspect(&[0x41, 0x9a]).key_frame);
        assert!(!inspect(&[0x68, 0xce]).key_frame);
        assert!(inspect(&[0x67, 66, 0, 31]).key_frame);
        assert_eq!(inspect(&[]), PayloadInfo::default());
    }

    #[test]
    fn fragments_count_at_their_start() {
        assert!(inspect(&[0x7c, 0x85, 0x88]).key_frame);
        assert!(!inspect(&[0x7c, 0x05, 0x88]).key_frame);
        assert!(!inspect(&[0x7c, 0x81, 0x88]).key_frame);
        assert!(!inspect(&[0x7c]).key_frame);
    }

    #[test]
    fn aggregates_are_searched() {
        assert!(inspect(&[0x78, 0, 1, 0x68, 0, 2, 0x65, 1]).key_frame);
        assert!(!inspect(&[0x78, 0, 1, 0x68, 0, 2, 0x41, 1]).key_frame);
        assert!(!inspect(&[0x78, 0, 9, 0x65]).key_frame);
    }

    #[test]
    fn the_start_of_a_picture_is_known_without_what_precedes_it() {
        let starts = |payload: &[u8]| inspect(payload).begins_picture;
        for payload in [&[0x41, 0x9a][..], &[0x65, 0x88], &[0x68, 0xce], &[0x06, 5]] {
            assert!(starts(payload), "{payload:x?}");
        }
        assert!(starts(&[0x7c, 0x81, 0x9a]) && starts(&[0x78, 0, 2, 0x41, 0x9a]));
        // A later slice, a later fragment, the start of a later slice.
        assert!(!starts(&[0x41, 0x1a]) && !starts(&[0x7c, 0x01, 0x9a]));
        assert!(!starts(&[0x7c, 0x81, 0x1a]) && !starts(&[0x78, 0, 2, 0x41, 0x1a]));
    }

    #[test]
    fn parameter_sets_are_told_from_the_key_frame() {
        let found = inspect(&[0x78, 0, 2, 0x67, 66, 0, 1, 0x68]);
        assert!(found.sequence_set && found.picture_set && !found.idr);
        let found = inspect(&[0x65, 0x88]);
        assert!(found.idr && !found.sequence_set && !found.picture_set);
    }

    #[test]
    fn the_number_of_a_frame_is_read() {
        // 4 bits, no gaps.
        let set = inspect(&[0x67, 66, 0, 30, 0xda, 0x70]);
        assert_eq!((set.frame_num_bits, set.size), (Some(4), Some((16, 16))));
        // With gaps.
        assert_eq!(inspect(&[0x67, 66, 0, 30, 0xda, 0xf0]).frame_num_bits, None);
        let slice = |payload: &[u8]| inspect(payload).slice.unwrap();
        assert_eq!(slice(&[0x41, 0xf6]).frame_num(4), Some(11));
        assert!(slice(&[0x41, 0xf6]).reference && !slice(&[0x01, 0xf6]).reference);
        assert_eq!(slice(&[0x7c, 0x81, 0xf6]).frame_num(4), Some(11));
        assert!(slice(&[0x5c, 0x81, 0xf6]).reference && !slice(&[0x1c, 0x81]).reference);
        assert_eq!(slice(&[0x41]).frame_num(4), None);
    }

    #[test]
    fn slices_are_counted_and_those_of_type_b_are_known() {
        let count = |payload: &[u8]| {
            let found = inspect(payload);
            (found.slices, found.b_slice)
        };
        assert_eq!(count(&[0x41, 0x9a]), (1, false));
        // `first_mb_in_slice` 0, `slice_type` 6 and 1.
        assert_eq!(count(&[0x01, 0x9e]), (1, true));
        assert_eq!(count(&[0x01, 0xa0]), (1, true));
        assert_eq!(
            count(&[0x78, 0, 2, 0x41, 0x9a, 0, 2, 0x01, 0x9e]),
            (2, true)
        );
        // The first fragment of a slice, and another.
        assert_eq!(count(&[0x7c, 0x81, 0x9a]), (1, false));
        assert_eq!(count(&[0x7c, 0x01, 0x9e]), (0, false));
    }

    #[test]
    fn profile_and_level_are_named() {
        let names = |payload: &[u8]| {
            let found = inspect(payload).profile_level;
            Some((found.profile()?, found.level()?))
        };
        let expect = |profile: &str, level: &str| Some((profile.to_owned(), level.to_owned()));
        assert_eq!(names(SPS_320X240), expect("constrained baseline", "2.1"));
        assert_eq!(names(SPS_1280X720_HIGH), expect("high", "3.1"));
        assert_eq!(names(&[0x67, 66, 0x10, 11]), expect("baseline", "1b"));
        let aggregate = [&[0x78, 0, 4, 0x67, 77, 0, 31][..], &[0, 1, 0x68]].concat();
        assert_eq!(names(&aggregate), expect("main", "3.1"));
        assert_eq!(names(&[0x67, 66, 0]), None);
        assert_eq!(names(&[0x65, 0x88]), None);
    }

    #[test]
    fn sei_units_in_fragments_are_put_together() {
        let mut fragments = SeiFragments::default();
        let mut add = |sequence, payload: &[u8]| fragments.add(sequence, payload);
        let (first, middle, last) = ([0x1c, 0x86, 5], [0x1c, 0x06, 6], [0x1c, 0x46, 7]);
        assert_eq!(add(1, &first), None);
        assert_eq!(add(2, &middle), None);
        assert_eq!(add(3, &last), Some(vec![6, 5, 6, 7]));
        // An end without a start, a gap, other units.
        assert_eq!(add(4, &last), None);
        assert_eq!((add(5, &first), add(7, &last)), (None, None));
        assert_eq!((add(8, &[0x7c, 0x85, 1]), add(9, &[6, 5, 1])), (None, None));
        assert_eq!(add(10, &first), None);
        let long = [&[0x1c, 0x06][..], &[1; 1200]].concat();
        assert!((11..20).all(|sequence| add(sequence, &long).is_none()));
        assert_eq!(add(20, &last), None);
        assert!(inspect(&first).begins_picture && !inspect(&middle).begins_picture);
    }

    #[test]
    fn sei_units_are_found_alone_and_among_others() {
        let found = |payload| sei_units(payload).map(<[u8]>::to_vec).collect::<Vec<_>>();
        assert_eq!(found(&[6, 5, 1]), [[6, 5, 1]]);
        assert_eq!(
            found(&[0x78, 0, 1, 0x68, 0, 2, 6, 5, 0, 1, 0x65, 0, 1, 6]),
            [vec![6, 5], vec![6]]
        );
        assert_eq!(found(&[0x65, 0x88]), [[0u8; 0]; 0]);
        assert_eq!(found(&[0x78, 0, 9, 6]), [[0u8; 0]; 0]);
    }

    #[test]
    fn the_picture_size_is_read() {
        assert_eq!(inspect(SPS_320X240).size, Some((320, 240)));
        assert_eq!(inspect(SPS_640X360).size, Some((640, 360)));
        assert_eq!(inspect(SPS_1280X720_HIGH).size, Some((1280, 720)));
        assert_eq!(inspect(&[0x67, 66, 0, 31]).size, None);
        assert_eq!(inspect(&[0x67]).size, None);
    }
}
