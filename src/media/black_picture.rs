//! A black picture in 215 bytes of precomputed H.264. Every bit is explained here.

/// A black key frame of 288x160 pixels with its parameter sets, as a byte stream. Pass
/// consecutive numbers: two key frames in a row must differ in `idr_pic_id`.
pub fn black_picture(number: u64) -> Vec<u8> {
    let mut head = KEY_FRAME_HEAD;
    if number % 2 == 1 {
        let (index, bit) = IDR_PIC_ID_BIT;
        head[index] |= bit;
    }
    let mut bytes = Vec::new();
    for unit in [&SEQUENCE_PARAMETERS[..], &PICTURE_PARAMETERS, &head] {
        bytes.extend(START_CODE);
        bytes.extend(unit);
    }
    bytes.resize(bytes.len() + MACROBLOCKS - 1, REPEAT_MACROBLOCK);
    bytes.push(STOP);
    bytes
}

/// Before each unit of a byte stream (H.264 Annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Sequence parameter set (H.264 7.3.2.1.1). First its NAL header 67, profile 66 with
/// constraint flags e0 (constrained baseline), and level 31 (3.1, as in the offer).
/// Then bit by bit:
///
/// ```text
/// 1          seq_parameter_set_id = 0
/// 00100      log2_max_frame_num_minus4 = 3, so frame_num has 7 bits
/// 011        pic_order_cnt_type = 2: shown in the order they are sent
/// 010        max_num_ref_frames = 1
/// 0          no gaps in frame_num
/// 000010010  pic_width_in_mbs_minus1 = 17: 18 × 16 = 288
/// 0001010    pic_height_in_map_units_minus1 = 9: 10 × 16 = 160
/// 1          frame_mbs_only_flag: not interlaced
/// 1          direct_8x8_inference_flag
/// 0 0        no cropping, no VUI
/// 1 000000   stop bit, and zeros up to the byte's end
/// ```
const SEQUENCE_PARAMETERS: [u8; 9] = [0x67, 0x42, 0xe0, 0x1f, 0x91, 0xa0, 0x48, 0x56, 0x40];

/// Picture parameter set (H.264 7.3.2.2) after its NAL header 68:
///
/// ```text
/// 1 1        its own id = 0, for sequence parameter set 0
/// 0          entropy_coding_mode_flag = 0: CAVLC, as baseline has to
/// 0          no picture order in slices
/// 1          one slice group
/// 1 1        one reference picture in either list
/// 0 00       no weighted prediction
/// 000011100  pic_init_qp_minus26 = 14: QP 40
/// 1 1        pic_init_qs_minus26 = 0, chroma_qp_index_offset = 0
/// 0 0 0      no deblocking control, no constrained prediction, nothing twice
/// 1 0000000  stop bit, and zeros up to the byte's end
/// ```
const PICTURE_PARAMETERS: [u8; 5] = [0x68, 0xce, 0x03, 0x98, 0x80];

/// Key frame slice (H.264 7.3.3) after its NAL header 65, up to and including the first
/// macroblock (7.3.5), which sets the black that all others repeat:
///
/// ```text
/// 1                 first_mb_in_slice = 0
/// 0001000           slice_type = 7: only I slices in the picture
/// 1                 picture parameter set 0
/// 0000000           frame_num = 0
/// 010               idr_pic_id = 1; see [`IDR_PIC_ID_BIT`]
/// 0 0               dec_ref_pic_marking: nothing kept
/// 1                 slice_qp_delta = 0
///
/// 00100             mb_type = 3: Intra 16×16, predicted by the mean of its
///                   neighbours (it has none: 128), no further coefficients
/// 1                 chroma likewise: black has 128
/// 1                 mb_qp_delta = 0
/// 000101            one coefficient, the mean, and
/// 0000000000000001  level_prefix = 15 with
/// 000000010111      suffix 23: its level is -28. At QP 40 it darkens by
///                   28 × 16 × 16 / 64 = 112, from 128 to 16, the black of video
/// 1                 no zeros before it
/// ```
///
/// These are 64 bits, so the next macroblock begins on a byte.
const KEY_FRAME_HEAD: [u8; 9] = [0x65, 0x88, 0x80, 0x44, 0x98, 0xa0, 0x00, 0x20, 0x2f];

/// Two key frames in a row must differ in `idr_pic_id` (H.264 7.4.3). This bit, in the
/// third byte after the header, turns its `010` into `011`.
const IDR_PIC_ID_BIT: (usize, u8) = (3, 0x20);

/// Every other macroblock: `00100 1 1` as above, and `1` for no coefficient. So it is
/// the mean of its neighbours, which are black.
const REPEAT_MACROBLOCK: u8 = 0b0010_0111;
const MACROBLOCKS: usize = 18 * 10;

/// The stop bit that ends a slice.
const STOP: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_pictures_in_a_row_differ_in_one_bit() {
        let pictures: Vec<_> = (0..4).map(black_picture).collect();
        let differences = |other: &[u8]| -> Vec<u8> {
            let pairs = pictures[0].iter().zip(other);
            pairs
                .map(|(a, b)| a ^ b)
                .filter(|bits| *bits != 0)
                .collect()
        };
        assert_eq!(differences(&pictures[1]), [0x20]);
        assert_eq!(pictures[2..], pictures[..2]);
    }

    #[test]
    fn every_macroblock_is_there_and_the_slice_ends() {
        let bytes = black_picture(0);
        assert_eq!(bytes.len(), 215);
        assert_eq!(bytes[bytes.len() - 2..], [REPEAT_MACROBLOCK, STOP]);
    }

    #[test]
    fn no_unit_needs_emulation_prevention() {
        for number in 0..2 {
            let bytes = black_picture(number);
            let zeros = bytes
                .windows(3)
                .filter(|bytes| bytes[..2] == [0, 0] && bytes[2] <= 3);
            // Only those of the start codes: 00 00 00 and 00 00 01, three times.
            assert_eq!(zeros.count(), 6);
        }
    }
}
