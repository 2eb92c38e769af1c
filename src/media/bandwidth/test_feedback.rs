//! Feedback packets for tests, by rtcp-types' writer.

use rtcp_types::{TransportFeedback, Twcc, TwccPacketStatus, prelude::*};

/// A packet that arrived, this many 250 µs after the one before.
pub(super) fn received(delta: i16) -> TwccPacketStatus {
    TwccPacketStatus::Received { delta }
}

/// An RTCP packet about the packets from `base`; `reference` is in 64 ms.
pub(super) fn feedback(base: u16, reference: u32, statuses: &[TwccPacketStatus]) -> Vec<u8> {
    let twcc = Twcc::builder(base, reference, 0, statuses, None);
    assert_eq!(twcc.packet_status_count(), statuses.len());
    let packet = TransportFeedback::builder(&twcc).sender_ssrc(9);
    let mut bytes = vec![0; packet.calculate_size().unwrap()];
    packet.write_into(&mut bytes).unwrap();
    bytes
}

/// Numbers from a fixed seed.
pub(super) fn random() -> impl FnMut() -> u8 {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    }
}

/// Random bytes that mostly pass the first checks of a feedback packet with this header.
pub(super) fn garbage(round: usize, header: [u8; 2], random: &mut impl FnMut() -> u8) -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..round % 96).map(|_| random()).collect();
    if bytes.len() >= 4 && random() < 250 {
        bytes.truncate(bytes.len() / 4 * 4);
        bytes[..2].copy_from_slice(&header);
        (bytes[2], bytes[3]) = (0, (bytes.len() / 4 - 1) as u8);
    }
    bytes
}
