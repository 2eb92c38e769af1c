//! Metadata that travel with the video, as the SDKs of AWS send them.
//!
//! In: messages, and the time of each; frames. Out: the NAL units that go into a frame,
//! or why a message is not taken.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use crate::media::{ByteRate, user_data_unit};

/// The UUID of the web SDK's messages (seen). Its receivers take any.
const UUID: [u8; 16] = [
    0x9e, 0x50, 0x4e, 0xa5, 0xee, 0x5a, 0x4f, 0x02, 0x94, 0x9f, 0xb0, 0x33, 0xa3, 0x76, 0x8d, 0xa2,
];

/// The largest message in bytes: less than 1 KB (documented). The web SDK takes 1024
/// (seen).
const MAX_SIZE: usize = 1023;

/// Bytes of messages in any second, with their repeats: 10 KB (documented), which the web
/// SDK reads as 10240 (seen).
const MAX_RATE: usize = 10_240;

/// How often a message is repeated at most (documented).
const MAX_REPEAT: u32 = 30;

/// How many messages wait for a frame. None do for long while video leaves.
const MAX_WAITING: usize = 64;

/// Before each unit of a byte stream (H.264 Annex B).
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// Messages that wait for frames.
#[derive(Debug)]
pub struct MetadataQueue {
    waiting: VecDeque<Waiting>,
    /// What was taken, with all repeats.
    accepted: ByteRate,
    /// What went into frames. Messages may have waited, and then come at once.
    sent: ByteRate,
}

#[derive(Debug)]
struct Waiting {
    unit: Vec<u8>,
    /// The size of its payload.
    size: usize,
    /// The number of frames that are to carry it.
    frames: u32,
}

impl Default for MetadataQueue {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            accepted: ByteRate::new(MAX_RATE),
            sent: ByteRate::new(MAX_RATE),
        }
    }
}

impl MetadataQueue {
    /// Takes a message for the next frame, and for `repeat` frames after it.
    ///
    /// # Errors
    /// [`MetadataError`] if it is out of bounds.
    pub fn push(&mut self, data: &[u8], repeat: u32, now: Duration) -> Result<(), MetadataError> {
        let size = data.len();
        if size == 0 || size > MAX_SIZE {
            return Err(MetadataError::Size(size));
        }
        if repeat > MAX_REPEAT {
            return Err(MetadataError::Repeat(repeat));
        }
        if self.waiting.len() >= MAX_WAITING {
            return Err(MetadataError::Waiting);
        }
        let frames = repeat + 1;
        // At most 31 KB.
        let bytes = size * frames as usize;
        if !self.accepted.take(bytes, now) {
            return Err(MetadataError::Rate(bytes));
        }
        self.waiting.push_back(Waiting {
            unit: user_data_unit(&UUID, data),
            size,
            frames,
        });
        Ok(())
    }

    /// The units for a frame, as a byte stream: one for each message that is due.
    pub fn next_frame(&mut self, now: Duration) -> Vec<u8> {
        let mut units = Vec::new();
        for waiting in &mut self.waiting {
            if !self.sent.take(waiting.size, now) {
                break;
            }
            waiting.frames -= 1;
            units.extend(START_CODE);
            units.extend(&waiting.unit);
        }
        self.waiting.retain(|waiting| waiting.frames > 0);
        units
    }

    /// Whether no message waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataError {
    /// It is empty, or has too many bytes.
    Size(usize),
    /// It is to be repeated too often.
    Repeat(u32),
    /// With its repeats, these bytes are too many for one second.
    Rate(usize),
    /// Too many wait for a frame.
    Waiting,
}

impl MetadataError {
    /// The bound's name.
    #[must_use]
    pub fn bound(&self) -> &'static str {
        match self {
            Self::Size(_) => "size",
            Self::Repeat(_) => "repeat",
            Self::Rate(_) => "rate",
            Self::Waiting => "waiting",
        }
    }
}

impl fmt::Display for MetadataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Size(size) => write!(
                f,
                "a message has 1 to {MAX_SIZE} bytes, and this one {size}; split it"
            ),
            Self::Repeat(repeat) => write!(
                f,
                "a message is repeated in 0 to {MAX_REPEAT} frames, and this one in {repeat}; set \
                 repeat lower"
            ),
            Self::Rate(bytes) => write!(
                f,
                "messages have at most {MAX_RATE} bytes a second, repeats included, and this one \
                 would add {bytes} to those of the last second; send less, or repeat less often"
            ),
            Self::Waiting => write!(
                f,
                "{MAX_WAITING} messages wait for a frame; send them while video leaves, that is \
                 in the session state publishing"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(5);

    /// The number of units.
    fn units(frame: &[u8]) -> usize {
        let codes = frame.windows(5).filter(|bytes| *bytes == [0, 0, 0, 1, 6]);
        codes.count()
    }

    #[test]
    fn a_message_goes_into_the_next_frame_and_its_repeats_into_those_that_follow() {
        let mut queue = MetadataQueue::default();
        assert!(queue.is_empty() && queue.next_frame(NOW).is_empty());
        queue.push(b"once", 0, NOW).unwrap();
        queue.push(b"thrice", 2, NOW).unwrap();
        assert!(!queue.is_empty());
        let frames: Vec<usize> = (0..5).map(|_| units(&queue.next_frame(NOW))).collect();
        assert_eq!(frames, [2, 1, 1, 0, 0]);
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let mut queue = MetadataQueue::default();
        let mut push = |size: usize, repeat| queue.push(&vec![7; size], repeat, NOW);
        assert_eq!(push(0, 0), Err(MetadataError::Size(0)));
        assert_eq!(push(1024, 0), Err(MetadataError::Size(1024)));
        assert_eq!(push(1, 31), Err(MetadataError::Repeat(31)));
        assert_eq!(push(1000, 30), Err(MetadataError::Rate(31_000)));
        assert_eq!(push(1023, 9), Ok(()));
        assert_eq!(push(11, 0), Err(MetadataError::Rate(11)));
        assert_eq!(push(10, 0), Ok(()));
    }

    #[test]
    fn a_second_later_there_is_room_again() {
        let mut queue = MetadataQueue::default();
        queue.push(&[7; 1000], 9, NOW).unwrap();
        assert!(
            queue
                .push(&[7; 1000], 0, NOW + Duration::from_millis(999))
                .is_err()
        );
        assert!(
            queue
                .push(&[7; 1000], 0, NOW + Duration::from_secs(1))
                .is_ok()
        );
    }

    #[test]
    fn those_that_waited_go_at_the_rate_too() {
        let mut queue = MetadataQueue::default();
        for second in 0..5 {
            for _ in 0..10 {
                queue
                    .push(&[7; 1000], 0, Duration::from_secs(second))
                    .unwrap();
            }
        }
        let later = Duration::from_secs(60);
        assert_eq!(units(&queue.next_frame(later)), 10);
        assert_eq!(
            units(&queue.next_frame(later + Duration::from_millis(33))),
            0
        );
        assert_eq!(units(&queue.next_frame(later + Duration::from_secs(1))), 10);
    }

    #[test]
    fn few_wait() {
        let mut queue = MetadataQueue::default();
        (0..MAX_WAITING).for_each(|_| queue.push(b"a", 0, NOW).unwrap());
        assert_eq!(queue.push(b"a", 0, NOW), Err(MetadataError::Waiting));
        queue.next_frame(NOW);
        assert_eq!(queue.push(b"a", 0, NOW), Ok(()));
    }

    #[test]
    fn each_bound_is_told_with_its_number() {
        for (error, bound, number) in [
            (MetadataError::Size(0), "size", "1023"),
            (MetadataError::Repeat(31), "repeat", "30"),
            (MetadataError::Rate(31_000), "rate", "10240"),
            (MetadataError::Waiting, "waiting", "64"),
        ] {
            assert_eq!(error.bound(), bound);
            assert!(error.to_string().contains(number), "{error}");
        }
    }
}
