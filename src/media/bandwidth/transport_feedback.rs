//! Transport-wide congestion control feedback, as the far end sends it
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01 3.1).

use rtcp_types::{Compound, Packet, Twcc, TwccPacketStatus};

/// Feedback on packets that were numbered across all streams: which of them arrived, and
/// when.
///
/// It is read from the far end's bytes, which may be anything, without allocating.
#[derive(Debug)]
pub struct TransportFeedback<'a> {
    fci: Twcc<'a>,
}

impl<'a> TransportFeedback<'a> {
    /// The feedback in a compound RTCP packet. What can't be parsed is left out, as a
    /// whole: after a wrong chunk or a missing delta all times would be wrong.
    pub fn read(rtcp: &'a [u8]) -> impl Iterator<Item = Self> + 'a {
        let packets = Compound::parse(rtcp).into_iter().flatten().flatten();
        packets.filter_map(|packet| {
            let Packet::TransportFeedback(packet) = packet else {
                return None;
            };
            let fci = packet.parse_fci::<Twcc<'a>>().ok()?;
            let valid = fci.packets().all(|status| status.is_ok());
            valid.then_some(Self { fci })
        })
    }

    /// The time that the arrivals count from, in 64 ms since a start that only the far
    /// end knows: 24 bits, which wrap after twelve days.
    pub fn reference_time(&self) -> u32 {
        self.fci.reference_time()
    }

    /// The packets that this is about, 65,535 at most, in the order of their numbers.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival> + '_ {
        let mut received_at = 0;
        let statuses = self.fci.packets().map_while(Result::ok);
        statuses.map(move |(number, status)| Arrival {
            number,
            received_at: match status {
                TwccPacketStatus::NotReceived => None,
                TwccPacketStatus::Received { delta } => {
                    received_at += i64::from(delta);
                    Some(received_at)
                }
            },
        })
    }
}

/// A compound RTCP packet without this feedback; empty if there is nothing else in it.
/// `None` if it has no such feedback, or is no compound packet.
pub fn without_transport_feedback(rtcp: &[u8]) -> Option<Vec<u8>> {
    let mut kept = Vec::with_capacity(rtcp.len());
    let mut rest = rtcp;
    while let Some([first, kind, high, low]) = rest.first_chunk() {
        let words = usize::from(u16::from_be_bytes([*high, *low]));
        let (packet, after) = rest.split_at_checked(4 * (words + 1))?;
        // RTPFB, and the format of this feedback.
        if (*kind, first & 0x1f) != (205, 15) {
            kept.extend_from_slice(packet);
        }
        rest = after;
    }
    (rest.is_empty() && kept.len() < rtcp.len()).then_some(kept)
}

/// What the far end says about one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The packet's number in its header extension, modulo 2^16.
    pub number: u16,
    /// When it arrived, in 250 µs since the reference time. `None` if it did not.
    pub received_at: Option<i64>,
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_is_taken_out_of_a_compound_packet() {
        let other = [0x81, 206, 0, 2, 0, 0, 0, 9, 0, 0, 0, 2];
        let this = feedback(1, 2, &[received(4)]);
        assert_eq!(without_transport_feedback(&this), Some(Vec::new()));
        assert_eq!(without_transport_feedback(&other), None);
        let both = [&other[..], &this, &other].concat();
        let kept = [other, other].concat();
        assert_eq!(without_transport_feedback(&both), Some(kept));
        for wrong in [&both[..both.len() - 1], &both[..3], &[]] {
            assert_eq!(without_transport_feedback(wrong), None);
        }
    }

    use rtcp_types::{Pli, TransportFeedback as Feedback, prelude::*};

    use super::*;
    use crate::media::bandwidth::test_feedback::{feedback, received};

    const LOST: TwccPacketStatus = TwccPacketStatus::NotReceived;

    fn read(rtcp: &[u8]) -> Vec<(u16, Option<i64>)> {
        TransportFeedback::read(rtcp)
            .flat_map(|feedback| feedback.arrivals().collect::<Vec<_>>())
            .map(|arrival| (arrival.number, arrival.received_at))
            .collect()
    }

    /// A feedback packet from its words after the two SSRCs.
    fn rtcp(fci: &[u8]) -> Vec<u8> {
        let words = (fci.len() / 4 + 2) as u8;
        [&[0x8f, 205, 0, words, 0, 0, 0, 9, 0, 0, 0, 0], fci].concat()
    }

    #[test]
    fn both_kinds_of_chunk_and_of_delta() {
        let bytes = rtcp(&[
            0xff, 0xfe, 0x00, 0x19, // From number 65,534, 25 packets.
            0x00, 0x00, 0x01, 0x07, // 64 ms, the seventh feedback.
            0x20, 0x02, // A run of two with small deltas.
            0xb0, 0x01, // One bit each: yes, yes, ten missing, no, yes.
            0xd8, 0x00, // Two bits each: small, large, missing ones.
            0x00, 0x02, // A run of two that are missing.
            0x01, 0x02, 0x03, 0x04, 0x05, 0x06, // Small ones.
            0xff, 0xfc, // Back by a millisecond.
        ]);
        let arrivals = read(&bytes);
        let expected = [
            (65_534, 1),
            (65_535, 3),
            (0, 6),
            (1, 10),
            (13, 15),
            (14, 21),
            (15, 17),
        ];
        assert!(
            arrivals
                .iter()
                .filter_map(|(number, at)| Some((*number, (*at)?)))
                .eq(expected)
        );
        assert_eq!(arrivals.len(), 25);
        let feedback = TransportFeedback::read(&bytes).next();
        assert_eq!(feedback.map(|feedback| feedback.reference_time()), Some(1));
    }

    #[test]
    fn the_same_as_another_writer() {
        let statuses = [
            received(0),
            LOST,
            received(255),
            received(-300),
            received(256),
        ];
        let arrivals = read(&feedback(7, 5, &statuses));
        let times = [Some(0), None, Some(255), Some(-45), Some(211)];
        assert!(arrivals.into_iter().eq((7..).zip(times)));
    }

    #[test]
    fn a_missing_delta_spoils_the_packet() {
        // A run of nine with large deltas, and two deltas.
        assert_eq!(
            read(&rtcp(&[0, 1, 0, 9, 0, 0, 0, 0, 0x40, 9, 0, 1, 0, 2, 0, 0])),
            []
        );
        // The reserved status.
        assert_eq!(read(&rtcp(&[0, 1, 0, 1, 0, 0, 0, 0, 0x60, 1, 0, 0])), []);
        // No chunk.
        assert_eq!(read(&rtcp(&[0, 1, 0, 9, 0, 0, 0, 0])), []);
        assert_eq!(read(&rtcp(&[0, 1, 0, 9])), []);
    }

    #[test]
    fn the_largest_count() {
        // Nine runs of missing packets, of 8,191 each at most.
        let fci = [
            &[0, 0, 0xff, 0xff, 0, 0, 0, 0][..],
            &[0x1f, 0xff].repeat(9),
            &[0, 0],
        ]
        .concat();
        let arrivals = read(&rtcp(&fci));
        assert_eq!(arrivals.len(), 65_535);
        assert!(arrivals.iter().all(|(_, at)| at.is_none()));
    }

    #[test]
    fn other_feedback_is_ignored() {
        let pli = Pli::builder();
        let packet = rtcp_types::PayloadFeedback::builder(&pli);
        let mut bytes = vec![0; packet.calculate_size().unwrap()];
        packet.write_into(&mut bytes).unwrap();
        assert_eq!(read(&bytes), []);
        let nack = rtcp_types::Nack::builder().add_rtp_sequence(3);
        let packet = Feedback::builder(&nack);
        let mut bytes = vec![0; packet.calculate_size().unwrap()];
        packet.write_into(&mut bytes).unwrap();
        assert_eq!(read(&bytes), []);
        bytes.extend(feedback(7, 5, &[received(4)]));
        assert_eq!(read(&bytes), [(7, Some(4))]);
    }
}
