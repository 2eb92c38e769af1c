//! Reads user data in the supplemental enhancement information (SEI) of H.264: NAL units
//! come in, messages with their UUIDs go out.

use serde::{Deserialize, Serialize};

/// `payloadType` of `user_data_unregistered` (H.264 D.1.1).
const USER_DATA_UNREGISTERED: usize = 5;

/// Number of different messages of a section that are kept.
const MESSAGE_LIMIT: usize = 16;

/// Bytes of a message that are kept.
const BYTE_LIMIT: usize = 1024;

/// A message in the SEI of a video section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeiMessage {
    /// Its UUID, in lower case and with hyphens.
    pub uuid: String,
    /// Number of its bytes, without the UUID.
    pub size: usize,
    /// The first 1024 bytes as text; `None` if the message is not UTF-8.
    pub text: Option<String>,
    /// The first 1024 bytes in hexadecimal digits, if the message is not UTF-8.
    pub hex: Option<String>,
    /// How often it arrived.
    pub count: u64,
    /// When it arrived first, in milliseconds since the stage started.
    pub first_ms: u64,
    /// When it arrived last, in milliseconds since the stage started.
    pub last_ms: u64,
}

impl SeiMessage {
    fn new(uuid: &[u8; 16], data: &[u8], at_ms: u64) -> Self {
        let text = std::str::from_utf8(data).ok();
        let kept = &data[..data.len().min(BYTE_LIMIT)];
        Self {
            uuid: uuid_text(uuid),
            size: data.len(),
            text: text.map(|text| text[..text.floor_char_boundary(BYTE_LIMIT)].to_owned()),
            hex: text.is_none().then(|| hex(kept)),
            count: 1,
            first_ms: at_ms,
            last_ms: at_ms,
        }
    }

    /// Whether both say the same, as far as is kept.
    fn repeats(&self, other: &Self) -> bool {
        (&self.uuid, self.size, &self.text, &self.hex)
            == (&other.uuid, other.size, &other.text, &other.hex)
    }
}

/// Adds the messages of a NAL unit to a list. One that is in it counts once more.
pub(crate) fn add_messages(messages: &mut Vec<SeiMessage>, unit: &[u8], at_ms: u64) {
    for (uuid, data) in user_data(unit) {
        let message = SeiMessage::new(&uuid, &data, at_ms);
        match messages.iter_mut().find(|known| known.repeats(&message)) {
            Some(known) => {
                known.count += 1;
                known.last_ms = at_ms;
            }
            None => {
                if messages.len() >= MESSAGE_LIMIT {
                    messages.remove(0);
                }
                messages.push(message);
            }
        }
    }
}

/// The user data in an SEI unit (H.264 7.3.2.3).
fn user_data(unit: &[u8]) -> Vec<([u8; 16], Vec<u8>)> {
    let bytes = unescape(unit.get(1..).unwrap_or_default());
    let mut rest = &bytes[..];
    let mut found = Vec::new();
    // At least a type and a size; at the end is a byte with the stop bit.
    while rest.len() > 2 {
        let message = number(rest).and_then(|(kind, rest)| {
            let (size, rest) = number(rest)?;
            let (data, rest) = rest.split_at_checked(size)?;
            Some((kind, data, rest))
        });
        let Some((kind, data, tail)) = message else {
            break;
        };
        if kind == USER_DATA_UNREGISTERED
            && let Some((uuid, data)) = data.split_first_chunk::<16>()
        {
            found.push((*uuid, data.to_vec()));
        }
        rest = tail;
    }
    found
}

/// A number in bytes of 255 and one that is less.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let full = bytes.iter().take_while(|byte| **byte == 255).count();
    let (last, rest) = bytes.get(full..)?.split_first()?;
    Some((full * 255 + usize::from(*last), rest))
}

/// Removes emulation prevention bytes (H.264 7.3.1).
fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut raw = Vec::with_capacity(bytes.len());
    let mut zeros = 0;
    for &byte in bytes {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        raw.push(byte);
    }
    raw
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn uuid_text(uuid: &[u8; 16]) -> String {
    let [first, second, third, fourth, fifth] =
        [0..4, 4..6, 6..8, 8..10, 10..16].map(|range| hex(&uuid[range]));
    format!("{first}-{second}-{third}-{fourth}-{fifth}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// UUID, a text with a zero pair and an escaped 1, the stop bit.
    const UNIT: &[u8] = &[
        6, 5, 21, 0x9e, 0x50, 0x4e, 0xa5, 0xee, 0x5a, 0x4f, 0x02, 0x94, 0x9f, 0xb0, 0x33, 0xa3,
        0x76, 0x8d, 0xa2, b'a', 0, 0, 3, 1, b'b', 0x80,
    ];

    fn messages(units: &[&[u8]]) -> Vec<SeiMessage> {
        let mut messages = Vec::new();
        for (unit, at) in units.iter().zip(0..) {
            add_messages(&mut messages, unit, at);
        }
        messages
    }

    #[test]
    fn a_message_is_read_without_its_emulation_prevention() {
        let [message] = &messages(&[UNIT])[..] else {
            panic!();
        };
        assert_eq!(message.uuid, "9e504ea5-ee5a-4f02-949f-b033a3768da2");
        assert_eq!(message.text.as_deref(), Some("a\0\0\u{1}b"));
        assert_eq!((message.size, message.count), (5, 1));
    }

    #[test]
    fn repeats_are_counted_and_others_are_kept_apart() {
        let mut other = UNIT.to_vec();
        other[19] = 0xff;
        let found = messages(&[UNIT, &other, UNIT, UNIT]);
        let counts: Vec<u64> = found.iter().map(|message| message.count).collect();
        assert_eq!(counts, [3, 1]);
        assert_eq!((found[0].first_ms, found[0].last_ms), (0, 3));
        assert_eq!(found[1].hex.as_deref(), Some("ff00000162"));
    }

    #[test]
    fn sizes_of_several_bytes_and_messages_of_other_kinds() {
        // Type 1 with two bytes, then user data of 16 + 300 bytes.
        let mut unit = vec![6, 1, 2, 9, 9, 5, 255, 61];
        unit.extend([7; 16]);
        unit.extend([b'x'; 300]);
        unit.push(0x80);
        let found = messages(&[&unit]);
        assert_eq!((found.len(), found[0].size), (1, 300));
        assert_eq!(found[0].text.as_ref().unwrap().len(), 300);
    }

    #[test]
    fn few_are_kept_and_none_whole_if_it_is_long() {
        let mut long = vec![6, 5];
        long.extend([255; 20]);
        long.push(0);
        long.extend([7; 16]);
        long.extend("ä".repeat(2542).as_bytes());
        long.push(0x80);
        let found = messages(&[&long]);
        assert_eq!(found[0].size, 5084);
        assert_eq!(found[0].text.as_ref().unwrap().len(), 1024);
        let mut many = Vec::new();
        for number in 0..100 {
            let mut unit = UNIT.to_vec();
            unit[19] = number;
            add_messages(&mut many, &unit, 0);
        }
        assert_eq!(many.len(), MESSAGE_LIMIT);
    }

    #[test]
    fn what_is_cut_off_is_left_out() {
        for length in 0..UNIT.len() - 1 {
            assert_eq!(messages(&[&UNIT[..length]]), [], "{length}");
        }
        assert_eq!(messages(&[&[6, 255, 255], &[6, 5, 3, 1, 2, 3, 0x80]]), []);
    }
}
