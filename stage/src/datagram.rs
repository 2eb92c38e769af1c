//! Reads what SRTP leaves in the clear: a datagram comes in, what it is goes
//! out.

/// Whether it is SRTCP (RFC 5761 4, RFC 7983 7).
pub(crate) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTP: [u8; 13] = [0x80, 0xe6, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 0x65];

    #[test]
    fn rtcp_is_told_from_rtp_stun_and_dtls() {
        assert!(!is_rtcp(&RTP));
        let report = [0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 7];
        assert!(is_rtcp(&report));
        let (stun, dtls) = ([0, 1, 0, 0], [22, 254, 253, 0]);
        assert!(!is_rtcp(&stun) && !is_rtcp(&dtls));
    }
}
