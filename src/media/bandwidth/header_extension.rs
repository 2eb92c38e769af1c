//! The transport-wide sequence number in an RTP packet: a header extension with a
//! one-byte header (RFC 8285 4.2), of two bytes
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 2).

use rtp_types::RtpPacketMut;

/// What marks a block of extensions with one-byte headers.
const ONE_BYTE_HEADERS: u16 = 0xbede;

/// The number of an extension, by which offer and answer name it (`a=extmap`): 1 to 14.
/// 0 is padding, and 15 is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionId(u8);

impl ExtensionId {
    /// `None` if the number is not from 1 to 14.
    pub fn new(id: u8) -> Option<Self> {
        (1..=14).contains(&id).then_some(Self(id))
    }
}

/// The whole extension block of a packet that has no other extension. It belongs right
/// after the CSRCs, and the header's X bit has to be set.
pub fn transport_sequence_block(id: ExtensionId, number: u16) -> [u8; 8] {
    let [profile_0, profile_1] = ONE_BYTE_HEADERS.to_be_bytes();
    let [high, low] = number.to_be_bytes();
    // One word; the element's length is counted from one byte. The last byte is padding.
    [profile_0, profile_1, 0, 1, id.0 << 4 | 1, high, low, 0]
}

/// Writes the number into an RTP packet that has room for it. Returns whether it has: an
/// element with this number and two bytes.
pub fn set_transport_sequence(packet: &mut [u8], id: ExtensionId, number: u16) -> bool {
    let Ok(mut packet) = RtpPacketMut::parse(packet) else {
        return false;
    };
    if packet.extension().map(|(profile, _)| profile) != Some(ONE_BYTE_HEADERS) {
        return false;
    }
    let elements = packet.extension_mut().unwrap_or_default();
    let Some(data) = find(elements, id) else {
        return false;
    };
    data.copy_from_slice(&number.to_be_bytes());
    true
}

/// The two bytes of the element with this number.
fn find(mut elements: &mut [u8], id: ExtensionId) -> Option<&mut [u8]> {
    while let Some((header, rest)) = elements.split_first_mut() {
        let length = match *header >> 4 {
            0 => 0,
            15 => return None,
            _ => usize::from(*header & 15) + 1,
        };
        let (data, rest) = rest.split_at_mut_checked(length)?;
        if *header >> 4 == id.0 {
            return (length == 2).then_some(data);
        }
        elements = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use rtp_types::RtpPacket;

    use super::*;
    use crate::media::bandwidth::test_feedback::random;

    const ID: ExtensionId = ExtensionId(5);

    /// A packet with a CSRC, these extensions and four bytes of payload.
    fn packet(block: &[u8]) -> Vec<u8> {
        let header = [0x91, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4];
        [&header, block, &[9; 4]].concat()
    }

    #[test]
    fn ids_are_from_1_to_14() {
        assert!((1..=14).all(|id| ExtensionId::new(id).is_some()));
        assert!([0, 15, 255].map(ExtensionId::new) == [None; 3]);
    }

    #[test]
    fn the_block_has_room_for_the_number() {
        let mut bytes = packet(&transport_sequence_block(ID, 0x0102));
        let parsed = RtpPacket::parse(&bytes).unwrap();
        assert_eq!(parsed.extension(), Some((0xbede, &[0x51, 1, 2, 0][..])));
        assert_eq!(parsed.payload(), [9; 4]);
        assert!(set_transport_sequence(&mut bytes, ID, 0xfffe));
        assert_eq!(bytes, packet(&transport_sequence_block(ID, 0xfffe)));
    }

    #[test]
    fn among_other_elements() {
        // One byte with number 1, padding, then ours.
        let elements = [0xbe, 0xde, 0, 2, 0x10, 7, 0, 0x51, 0, 0, 0, 0];
        let mut bytes = packet(&elements);
        assert!(set_transport_sequence(&mut bytes, ID, 0x0304));
        let mut expected = packet(&elements);
        expected[24..26].copy_from_slice(&[3, 4]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn packets_without_room_stay_as_they_are() {
        let blocks: [&[u8]; 6] = [
            // Another number.
            &[0xbe, 0xde, 0, 1, 0x41, 0, 0, 0],
            // Another length.
            &[0xbe, 0xde, 0, 1, 0x52, 0, 0, 0],
            // Behind the end.
            &[0xbe, 0xde, 0, 1, 0, 0, 0x51, 0],
            // Behind the number that ends the list.
            &[0xbe, 0xde, 0, 2, 0xf0, 0, 0x51, 0, 0, 0, 0, 0],
            // Two-byte headers.
            &[0x10, 0x00, 0, 1, 0x51, 0, 0, 0],
            &[0xbe, 0xde, 0, 0],
        ];
        for block in blocks {
            let mut bytes = packet(block);
            assert!(!set_transport_sequence(&mut bytes, ID, 1), "{block:x?}");
            assert_eq!(bytes, packet(block));
        }
        let mut plain = [0x80, 96, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3];
        assert!(!set_transport_sequence(&mut plain, ID, 1));
    }

    #[test]
    fn garbage_does_no_harm() {
        let mut random = random();
        for round in 0..100_000 {
            let mut bytes: Vec<u8> = (0..round % 48).map(|_| random()).collect();
            if bytes.len() > 16 {
                bytes[0] = 0x90 | (bytes[0] & 0x23);
                bytes[12..15].copy_from_slice(&[0xbe, 0xde, 0]);
                bytes[15] %= 8;
            }
            set_transport_sequence(&mut bytes, ID, 7);
        }
    }
}
