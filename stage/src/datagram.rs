//! Reads what SRTP leaves in the clear: a datagram comes in, what it is goes
//! out.

/// Whether it is SRTCP (RFC 5761 4, RFC 7983 7).
pub(crate) fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [128..=191, 192..=223, ..])
}

/// Payload type and SSRC of an SRTP packet.
pub(crate) fn rtp_stream(datagram: &[u8]) -> Option<(u8, u32)> {
    let [128..=191, second, _, _, _, _, _, _, ssrc @ ..] = datagram else {
        return None;
    };
    if is_rtcp(datagram) {
        return None;
    }
    let (ssrc, _) = ssrc.split_first_chunk()?;
    Some((second & 0x7f, u32::from_be_bytes(*ssrc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTP: [u8; 13] = [0x80, 0xe6, 0, 1, 0, 0, 0, 2, 0, 0, 0, 7, 0x65];

    #[test]
    fn rtp_is_told_from_rtcp_stun_and_dtls() {
        assert_eq!(rtp_stream(&RTP), Some((0x66, 7)));
        assert_eq!(rtp_stream(&RTP[..11]), None);
        assert!(!is_rtcp(&RTP));
        let report = [0x81, 201, 0, 7, 0, 0, 0, 1, 0, 0, 0, 7];
        assert!(is_rtcp(&report));
        assert_eq!(rtp_stream(&report), None);
        let (stun, dtls) = ([0, 1, 0, 0], [22, 254, 253, 0]);
        assert!(!is_rtcp(&stun) && !is_rtcp(&dtls));
        assert_eq!((rtp_stream(&stun), rtp_stream(&dtls)), (None, None));
    }
}
