//! The receiver's estimate of the bit rate (draft-alvestrand-rmcat-remb-03 2.2).

use rtcp_types::{Compound, FciFeedbackPacketType, FciParser, Packet, RtcpParseError};

/// The estimate in a compound RTCP packet: the most that all streams together may use, in
/// bit/s. `None` if there is none. Of several the last one counts.
pub fn receiver_estimate(rtcp: &[u8]) -> Option<u64> {
    let packets = Compound::parse(rtcp).into_iter().flatten().flatten();
    let estimates = packets.filter_map(|packet| match packet {
        Packet::PayloadFeedback(feedback) => feedback.parse_fci::<Remb>().ok(),
        _ => None,
    });
    estimates.last().map(|remb| remb.bit_rate)
}

struct Remb {
    bit_rate: u64,
}

impl FciParser<'_> for Remb {
    const PACKET_TYPE: FciFeedbackPacketType = FciFeedbackPacketType::PAYLOAD;
    /// Application layer feedback (RFC 4585 6.4), so that the identifier decides.
    const FCI_FORMAT: u8 = 15;

    fn parse(data: &[u8]) -> Result<Self, RtcpParseError> {
        let [b'R', b'E', b'M', b'B', count, a, b, c, sources @ ..] = data else {
            return Err(RtcpParseError::WrongImplementation);
        };
        let expected = usize::from(*count) * 4;
        if sources.len() < expected {
            return Err(RtcpParseError::Truncated {
                expected,
                actual: sources.len(),
            });
        }
        // Six bits of exponent, 18 of mantissa. A rate that needs more than 64 bits is
        // no bound.
        let bits = u32::from_be_bytes([0, *a, *b, *c]);
        let mantissa = u128::from(bits & 0x3_ffff);
        let bit_rate = u64::try_from(mantissa << (bits >> 18)).unwrap_or(u64::MAX);
        Ok(Self { bit_rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::bandwidth::test_feedback::{garbage, random};

    fn rtcp(fci: &[u8]) -> Vec<u8> {
        let words = (fci.len() / 4 + 2) as u8;
        [&[0x8f, 206, 0, words, 0, 0, 0, 9, 0, 0, 0, 0], fci].concat()
    }

    #[test]
    fn mantissa_and_exponent() {
        for (bytes, bit_rate) in [
            ([0x00, 0x00, 0x00], 0),
            ([0x03, 0xff, 0xff], 262_143),
            // 250,000 << 2.
            ([0x0b, 0xd0, 0x90], 1_000_000),
            ([0xff, 0xff, 0xff], u64::MAX),
        ] {
            let fci = [b"REMB\x01", &bytes[..], &[0, 0, 0, 2]].concat();
            assert_eq!(receiver_estimate(&rtcp(&fci)), Some(bit_rate));
        }
    }

    #[test]
    fn the_last_of_several_counts() {
        let first = rtcp(b"REMB\x00\x00\x00\x05");
        let second = rtcp(b"REMB\x00\x00\x00\x07");
        assert_eq!(receiver_estimate(&[first, second].concat()), Some(7));
    }

    #[test]
    fn other_feedback_is_none() {
        // Another identifier, too few sources, too short, another format.
        let others = [
            rtcp(b"REMA\x00\x00\x00\x05"),
            rtcp(b"REMB\x02\x00\x00\x05\x00\x00\x00\x01"),
            rtcp(b"REMB"),
            vec![0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 2],
            vec![],
        ];
        for other in others {
            assert_eq!(receiver_estimate(&other), None, "{other:x?}");
        }
    }

    #[test]
    fn garbage_does_no_harm() {
        let mut random = random();
        let mut read = 0;
        for round in 0..100_000 {
            let mut bytes = garbage(round, [0x8f, 206], &mut random);
            if let Some(identifier) = bytes.get_mut(12..16) {
                identifier.copy_from_slice(b"REMB");
            }
            read += usize::from(receiver_estimate(&bytes).is_some());
        }
        assert!(read > 1000, "{read}");
    }
}
