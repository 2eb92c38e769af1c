//! User data in H.264: supplemental enhancement information (SEI) that travels with a
//! frame.
//!
//! In: bytes and their UUID, a frame as a byte stream. Out: a NAL unit, and the place in
//! the frame where it goes.

use std::collections::VecDeque;
use std::time::Duration;

/// NAL unit types (H.264 table 7-1).
const SLICE: u8 = 1;
const PARTITION_A: u8 = 2;
const IDR: u8 = 5;
const SEI: u8 = 6;

/// `payloadType` of `user_data_unregistered` (H.264 D.1.1).
const USER_DATA_UNREGISTERED: u8 = 5;

/// `rbsp_trailing_bits` at a byte's begin (H.264 7.3.2.11).
const TRAILING_BITS: u8 = 0x80;

/// Between units of a byte stream (H.264 B.1.1).
const START_CODE: [u8; 3] = [0, 0, 1];

/// A NAL unit with one message of user data (H.264 7.3.2.3, D.1.7), without a start code.
#[must_use]
pub fn user_data_unit(uuid: &[u8; 16], data: &[u8]) -> Vec<u8> {
    let mut message = vec![USER_DATA_UNREGISTERED];
    let size = uuid.len() + data.len();
    message.resize(message.len() + size / 255, 255);
    // Less than 255.
    message.push((size % 255) as u8);
    message.extend(uuid);
    message.extend(data);
    message.push(TRAILING_BITS);
    let mut unit = vec![SEI];
    escape(&message, &mut unit);
    unit
}

/// Puts an emulation prevention byte before each byte that would make a start code of
/// two zeros (H.264 7.4.1.1).
fn escape(message: &[u8], unit: &mut Vec<u8>) {
    let mut zeros = 0;
    for &byte in message {
        if zeros == 2 && byte <= 3 {
            unit.push(3);
            zeros = 0;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        unit.push(byte);
    }
}

/// The first slice of a picture in a byte stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstSlice {
    /// Where its start code begins.
    pub offset: usize,
    /// It is one of a key frame (IDR).
    pub is_key_frame: bool,
}

impl FirstSlice {
    /// Finds it. `None` if no picture begins in these bytes.
    #[must_use]
    pub fn find(byte_stream: &[u8]) -> Option<Self> {
        let mut searched = 0;
        loop {
            let rest = byte_stream.get(searched..)?;
            let code = rest.windows(3).position(|bytes| bytes == START_CODE)?;
            let unit = searched + code + START_CODE.len();
            let (&header, body) = byte_stream.get(unit..)?.split_first()?;
            let kind = header & 0x1f;
            // `first_mb_in_slice` is 0, which is a single 1 (H.264 7.3.3, 9.1).
            let begins = body.first().is_some_and(|byte| byte & 0x80 != 0);
            if begins && [SLICE, PARTITION_A, IDR].contains(&kind) {
                let before = searched + code;
                let is_long = before > searched && byte_stream.get(before - 1) == Some(&0);
                return Some(Self {
                    offset: before - usize::from(is_long),
                    is_key_frame: kind == IDR,
                });
            }
            searched = unit;
        }
    }
}

/// Bytes, of which no second may have more than a number.
#[derive(Clone, Debug)]
pub struct ByteRate {
    limit: usize,
    /// When bytes were taken in the last second, and how many.
    taken: VecDeque<(Duration, usize)>,
}

impl ByteRate {
    /// `limit` is in bytes a second.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: VecDeque::new(),
        }
    }

    /// Takes bytes, if the second up to `now` has room for them. Returns whether it has.
    pub fn take(&mut self, bytes: usize, now: Duration) -> bool {
        let is_past = |at: Duration| now.saturating_sub(at) >= Duration::from_secs(1);
        while self.taken.front().is_some_and(|&(at, _)| is_past(at)) {
            self.taken.pop_front();
        }
        let sum: usize = self.taken.iter().map(|&(_, bytes)| bytes).sum();
        let fits = sum.saturating_add(bytes) <= self.limit;
        if fits {
            self.taken.push_back((now, bytes));
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: [u8; 16] = [
        0x9e, 0x50, 0x4e, 0xa5, 0xee, 0x5a, 0x4f, 0x02, 0x94, 0x9f, 0xb0, 0x33, 0xa3, 0x76, 0x8d,
        0xa2,
    ];

    /// Reads a unit back (H.264 7.3.1, 7.3.2.3).
    fn read(unit: &[u8]) -> ([u8; 16], Vec<u8>) {
        let (mut bytes, mut zeros) = (Vec::new(), 0);
        for &byte in unit {
            if zeros == 2 && byte == 3 {
                zeros = 0;
                continue;
            }
            assert!(zeros < 2 || byte > 3, "a start code in {unit:x?}");
            zeros = if byte == 0 { zeros + 1 } else { 0 };
            bytes.push(byte);
        }
        assert_eq!(bytes[..2], [6, 5]);
        let full = bytes[2..].iter().take_while(|&&byte| byte == 255).count();
        let size = full * 255 + usize::from(bytes[2 + full]);
        let message = &bytes[3 + full..];
        assert_eq!((message.len(), message[size]), (size + 1, 0x80));
        (
            message[..16].try_into().unwrap(),
            message[16..size].to_vec(),
        )
    }

    #[test]
    fn a_unit_says_what_was_put_in() {
        for data in [
            &b"goal"[..],
            &[0],
            &[0, 0, 1, 0x65, 0x88],
            &[0, 0, 0, 0, 0, 0],
            &[0, 0, 3, 0, 0, 2, 0, 0],
            &[],
        ] {
            assert_eq!(read(&user_data_unit(&UUID, data)), (UUID, data.to_vec()));
        }
    }

    #[test]
    fn the_bytes_of_a_unit() {
        let unit = user_data_unit(&UUID, &[0, 0, 1]);
        assert_eq!(unit[..3], [6, 5, 19]);
        assert_eq!(unit[3..19], UUID);
        assert_eq!(unit[19..], [0, 0, 3, 1, 0x80]);
    }

    #[test]
    fn sizes_around_those_that_take_another_byte() {
        for (size, expected) in [
            (254, &[254, 0x9e][..]),
            (255, &[255, 0, 0x9e]),
            (256, &[255, 1, 0x9e]),
            (510, &[255, 255, 0, 0x9e]),
            (1039, &[255, 255, 255, 255, 19, 0x9e]),
        ] {
            let data: Vec<u8> = (0..size - 16).map(|index| (index % 5) as u8).collect();
            let unit = user_data_unit(&UUID, &data);
            assert!(unit[2..].starts_with(expected), "{size}");
            assert_eq!(read(&unit).1, data);
        }
    }

    #[test]
    fn messages_of_any_bytes_are_read_back() {
        let mut random = crate::random::Random::new(1);
        for _ in 0..2000 {
            let size = random.below(600);
            let data: Vec<u8> = (0..size).map(|_| random.below(5) as u8).collect();
            assert_eq!(read(&user_data_unit(&UUID, &data)).1, data);
        }
    }

    #[test]
    fn the_first_slice_is_found_behind_what_is_ahead_of_it() {
        let find = |bytes: &[u8]| {
            let first = FirstSlice::find(bytes)?;
            Some((first.offset, first.is_key_frame))
        };
        let sets = [
            0, 0, 0, 1, 9, 0x10, 0, 0, 0, 1, 0x67, 0x42, 0, 0, 1, 0x68, 0xce,
        ];
        let key = [&sets[..], &[0, 0, 0, 1, 0x65, 0x88, 0, 0, 1, 0x65, 0x40]].concat();
        assert_eq!(find(&key), Some((17, true)));
        let short = [&sets[..], &[0, 0, 1, 0x65, 0x88]].concat();
        assert_eq!(find(&short), Some((17, true)));
        assert_eq!(find(&[0, 0, 0, 1, 0x41, 0x9a]), Some((0, false)));
        assert_eq!(find(&[0, 0, 1, 0x01, 0x9a]), Some((0, false)));
        // A later slice of a picture, sets alone, and what is no byte stream.
        assert_eq!(find(&[0, 0, 0, 1, 0x41, 0x1a]), None);
        assert_eq!(find(&sets), None);
        for bytes in [
            &[][..],
            &[0, 0, 1],
            &[0, 0, 1, 0x65],
            &[0, 0, 0, 2, 0x65, 0x88],
        ] {
            assert_eq!(find(bytes), None, "{bytes:x?}");
        }
    }

    #[test]
    fn no_second_has_more_than_the_limit() {
        let at = Duration::from_millis;
        let mut rate = ByteRate::new(1000);
        assert!(rate.take(600, at(0)));
        assert!(!rate.take(401, at(500)));
        assert!(rate.take(400, at(500)));
        assert!(!rate.take(1, at(999)));
        // The first 600 are a second ago.
        assert!(rate.take(600, at(1000)));
        assert!(!rate.take(1, at(1499)));
        assert!(rate.take(400, at(1500)));
        assert!(!rate.take(usize::MAX, at(9000)));
    }
}
