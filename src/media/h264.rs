//! What a video packet carries: the RTP header (RFC 3550 5.1) and which H.264
//! units begin in it (RFC 6184 5). Nothing is copied.

use super::sps::is_b_slice;

/// H.264 table 7-1, and RFC 6184 table 1.
const SLICE: u8 = 1;
const IDR: u8 = 5;
const SPS: u8 = 7;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// An RTP packet's header fields, and its payload without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// `None` when it is no RTP of version 2, or cut off.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<12>()?;
        let [first, _, s0, s1, t0, t1, t2, t3, i0, i1, i2, i3] = *header;
        if first >> 6 != 2 {
            return None;
        }
        let mut payload = rest.get(usize::from(first & 0x0f) * 4..)?;
        if first & 0x10 != 0 {
            let ([_, _, high, low], rest) = payload.split_first_chunk::<4>()?;
            let words = usize::from(u16::from_be_bytes([*high, *low]));
            payload = rest.get(words * 4..)?;
        }
        if first & 0x20 != 0 {
            let padding = usize::from(*payload.last()?);
            let end = payload.len().checked_sub(padding)?;
            payload = (padding > 0).then(|| &payload[..end])?;
        }
        Some(Self {
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([i0, i1, i2, i3]),
            payload,
        })
    }
}

/// What begins in one packet's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Begins<'a> {
    /// A slice of a key frame (IDR).
    pub(crate) key_frame: bool,
    /// A slice of a B-frame.
    pub(crate) b_frame: bool,
    /// A whole sequence parameter set.
    pub(crate) sps: Option<&'a [u8]>,
}

impl<'a> Begins<'a> {
    /// Looks through a payload of packetization mode 0 or 1, which are the
    /// ones that WebRTC has (RFC 7742 6.2). Anything else begins nothing.
    pub(crate) fn in_payload(payload: &'a [u8]) -> Self {
        let mut begins = Self::default();
        let Some((&header, body)) = payload.split_first() else {
            return begins;
        };
        match header & 0x1f {
            STAP_A => units(body).for_each(|unit| begins.unit(unit)),
            FU_A => {
                if let Some((&header, body)) = body.split_first()
                    && header & 0x80 != 0
                {
                    begins.slice(header & 0x1f, body);
                }
            }
            _ => begins.unit(payload),
        }
        begins
    }

    fn unit(&mut self, unit: &'a [u8]) {
        match unit.split_first() {
            Some((&header, _)) if header & 0x1f == SPS => self.sps = Some(unit),
            Some((&header, body)) => self.slice(header & 0x1f, body),
            None => {}
        }
    }

    fn slice(&mut self, kind: u8, body: &[u8]) {
        match kind {
            IDR => self.key_frame = true,
            SLICE => self.b_frame |= is_b_slice(body),
            _ => {}
        }
    }
}

/// The units of an aggregation packet, each behind its size (RFC 6184 5.7.1).
/// A cut-off one ends it.
fn units(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (size, rest) = body.split_first_chunk::<2>()?;
        let (unit, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*size)))?;
        body = rest;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(first: u8, tail: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0xe0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
        bytes.extend_from_slice(tail);
        bytes
    }

    fn payload(first: u8, tail: &[u8]) -> Option<Vec<u8>> {
        Packet::parse(&packet(first, tail)).map(|packet| packet.payload.to_vec())
    }

    #[test]
    fn header() {
        let bytes = packet(0x80, b"abc");
        let expected = Packet {
            sequence: 0x0102,
            timestamp: 0x0304_0506,
            ssrc: 0x0708_090a,
            payload: b"abc",
        };
        assert_eq!(Packet::parse(&bytes), Some(expected));
    }

    #[test]
    fn sources_extension_and_padding_are_no_payload() {
        assert_eq!(payload(0x81, b"csrcabc").unwrap(), b"abc");
        assert_eq!(payload(0x90, b"\xbe\xde\0\x01extnabc").unwrap(), b"abc");
        assert_eq!(payload(0x90, b"\xbe\xde\0\0abc").unwrap(), b"abc");
        assert_eq!(payload(0xa0, b"abc\0\0\x03").unwrap(), b"abc");
        assert_eq!(payload(0xb1, b"csrc\0\0\0\x01extnabc\x01").unwrap(), b"abc");
        assert_eq!(payload(0xa0, b"\x01").unwrap(), b"");
    }

    #[test]
    fn what_is_no_rtp() {
        for (first, tail) in [
            (0x40, &b"abc"[..]),
            (0x82, b"csrc"),
            (0x90, b"\xbe\xde\0"),
            (0x90, b"\xbe\xde\0\x02extn"),
            (0xa0, b""),
            (0xa0, b"abc\0"),
            (0xa0, b"abc\x05"),
        ] {
            assert_eq!(payload(first, tail), None, "{first:x} {tail:?}");
        }
        assert_eq!(Packet::parse(&packet(0x80, b"")[..11]), None);
    }

    const NOTHING: Begins<'_> = Begins {
        key_frame: false,
        b_frame: false,
        sps: None,
    };
    const KEY: Begins<'_> = Begins {
        key_frame: true,
        ..NOTHING
    };
    const B: Begins<'_> = Begins {
        b_frame: true,
        ..NOTHING
    };

    #[test]
    fn single_units() {
        assert_eq!(Begins::in_payload(&[0x65, 0x88]), KEY);
        assert_eq!(Begins::in_payload(&[0x41, 0x9a]), NOTHING);
        assert_eq!(Begins::in_payload(&[0x01, 0x9e]), B);
        assert_eq!(Begins::in_payload(&[0x68, 1]), NOTHING);
        assert_eq!(Begins::in_payload(&[0x67, 1]).sps, Some(&[0x67, 1][..]));
        assert_eq!(Begins::in_payload(&[]), NOTHING);
    }

    #[test]
    fn fragments_begin_something_with_the_first_one_only() {
        assert_eq!(Begins::in_payload(&[0x7c, 0x85, 0x88]), KEY);
        assert_eq!(Begins::in_payload(&[0x7c, 0x05, 0x88]), NOTHING);
        assert_eq!(Begins::in_payload(&[0x7c, 0x45, 0x88]), NOTHING);
        assert_eq!(Begins::in_payload(&[0x1c, 0x81, 0x9e]), B);
        assert_eq!(Begins::in_payload(&[0x1c, 0x01, 0x9e]), NOTHING);
        assert_eq!(Begins::in_payload(&[0x7c]), NOTHING);
    }

    #[test]
    fn aggregates() {
        let whole = [0x78, 0, 2, 0x67, 7, 0, 1, 0x68, 0, 2, 0x65, 0x88];
        let begins = Begins::in_payload(&whole);
        assert_eq!(begins.sps, Some(&[0x67, 7][..]));
        assert!(begins.key_frame && !begins.b_frame);
        // Cut off, empty, and with an empty unit.
        assert!(!Begins::in_payload(&whole[..11]).key_frame);
        assert_eq!(Begins::in_payload(&[0x78]), NOTHING);
        assert_eq!(Begins::in_payload(&[0x78, 0, 0, 0, 1, 0x65]), KEY);
    }
}
