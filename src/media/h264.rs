//! What begins in an RTP payload of H.264 (RFC 6184 5).
//!
//! In: the payload of one packet. Out: whether a slice of a key frame or B-frame begins
//! in it, and the parameter sets that it holds. Nothing is copied.

use super::sps::is_b_slice;

/// NAL unit types (H.264 table 7-1, RFC 6184 table 1).
const SLICE: u8 = 1;
const IDR: u8 = 5;
pub(super) const SPS: u8 = 7;
pub(super) const PPS: u8 = 8;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;

/// The header of an aggregation packet of reference units (RFC 6184 5.7.1).
pub(super) const STAP_A_HEADER: u8 = 0x60 | STAP_A;

/// The type of a NAL unit.
pub(super) fn unit_type(unit: &[u8]) -> Option<u8> {
    unit.first().map(|header| header & 0x1f)
}

/// What begins in one packet's payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PayloadStart<'a> {
    /// A slice of a key frame (IDR).
    pub(super) key_frame: bool,
    /// A slice of a B-frame.
    pub(super) b_frame: bool,
    /// A whole sequence parameter set.
    pub(super) sps: Option<&'a [u8]>,
    /// A whole picture parameter set.
    pub(super) pps: Option<&'a [u8]>,
    /// A slice, or a part of one.
    pub(super) slice: bool,
    /// `nal_ref_idc` of the first unit is not 0: others may refer to its picture.
    pub(super) is_reference: bool,
}

impl<'a> PayloadStart<'a> {
    /// Parses a payload of packetization mode 0 or 1, the modes of WebRTC
    /// (RFC 7742 6.2). In any other payload nothing begins.
    pub(super) fn read(payload: &'a [u8]) -> Self {
        let mut start = Self::default();
        let Some((&header, body)) = payload.split_first() else {
            return start;
        };
        start.is_reference = header & 0x60 != 0;
        match header & 0x1f {
            FU_A => {
                let unit = body.first().map(|header| header & 0x1f);
                start.slice = unit.is_none_or(|kind| (SLICE..=IDR).contains(&kind));
                if let Some((&header, body)) = body.split_first()
                    && header & 0x80 != 0
                {
                    start.slice(header & 0x1f, body);
                }
            }
            _ => units(payload).for_each(|unit| start.unit(unit)),
        }
        start
    }

    fn unit(&mut self, unit: &'a [u8]) {
        match unit.split_first() {
            Some((&header, _)) if header & 0x1f == SPS => self.sps = Some(unit),
            Some((&header, _)) if header & 0x1f == PPS => self.pps = Some(unit),
            Some((&header, body)) => self.slice(header & 0x1f, body),
            None => {}
        }
    }

    fn slice(&mut self, kind: u8, body: &[u8]) {
        self.slice |= (SLICE..=IDR).contains(&kind);
        match kind {
            IDR => self.key_frame = true,
            SLICE => self.b_frame |= is_b_slice(body),
            _ => {}
        }
    }
}

/// The whole units in a payload that is no fragment.
pub(super) fn units(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (aggregated, single) = match payload.split_first() {
        Some((&header, body)) if header & 0x1f == STAP_A => (body, None),
        _ => (&[][..], Some(payload)),
    };
    single.into_iter().chain(aggregated_units(aggregated))
}

/// The units of an aggregation packet, each after its size (RFC 6184 5.7.1). Ends at a
/// truncated unit.
fn aggregated_units(mut body: &[u8]) -> impl Iterator<Item = &[u8]> {
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

    const NOTHING: PayloadStart<'_> = PayloadStart {
        key_frame: false,
        b_frame: false,
        sps: None,
        pps: None,
        slice: false,
        is_reference: false,
    };
    const P: PayloadStart<'_> = PayloadStart {
        slice: true,
        is_reference: true,
        ..NOTHING
    };
    const KEY: PayloadStart<'_> = PayloadStart {
        key_frame: true,
        ..P
    };
    const B: PayloadStart<'_> = PayloadStart {
        b_frame: true,
        is_reference: false,
        ..P
    };

    #[test]
    fn single_units() {
        assert_eq!(PayloadStart::read(&[0x65, 0x88]), KEY);
        assert_eq!(PayloadStart::read(&[0x41, 0x9a]), P);
        assert_eq!(PayloadStart::read(&[0x09, 0x10]), NOTHING);
        assert_eq!(PayloadStart::read(&[0x01, 0x9e]), B);
        assert_eq!(PayloadStart::read(&[0x68, 1]).pps, Some(&[0x68, 1][..]));
        assert_eq!(PayloadStart::read(&[0x67, 1]).sps, Some(&[0x67, 1][..]));
        assert_eq!(PayloadStart::read(&[]), NOTHING);
    }

    #[test]
    fn fragments_begin_something_with_the_first_one_only() {
        assert_eq!(PayloadStart::read(&[0x7c, 0x85, 0x88]), KEY);
        assert_eq!(PayloadStart::read(&[0x7c, 0x05, 0x88]), P);
        assert_eq!(PayloadStart::read(&[0x7c, 0x45, 0x88]), P);
        assert_eq!(PayloadStart::read(&[0x1c, 0x81, 0x9e]), B);
        assert!(!PayloadStart::read(&[0x1c, 0x01, 0x9e]).b_frame);
        assert_eq!(PayloadStart::read(&[0x7c]), P);
    }

    #[test]
    fn fragments_of_other_units_are_no_slices() {
        // Of SEI, which can be larger than a packet.
        assert_eq!(PayloadStart::read(&[0x1c, 0x86, 5]), NOTHING);
        assert_eq!(PayloadStart::read(&[0x1c, 0x06, 5]), NOTHING);
    }

    #[test]
    fn aggregates() {
        let whole = [0x78, 0, 2, 0x67, 7, 0, 1, 0x68, 0, 2, 0x65, 0x88];
        let start = PayloadStart::read(&whole);
        assert_eq!(start.sps, Some(&[0x67, 7][..]));
        assert_eq!(start.pps, Some(&[0x68][..]));
        assert!(start.key_frame && !start.b_frame);
        // Truncated, empty, and with an empty unit.
        assert!(!PayloadStart::read(&whole[..11]).key_frame);
        assert!(!PayloadStart::read(&[0x78]).slice);
        assert_eq!(PayloadStart::read(&[0x78, 0, 0, 0, 1, 0x65]), KEY);
    }
}
