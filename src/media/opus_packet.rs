//! How long an Opus packet plays.

/// The rate of Opus timestamps in Hz, whatever was encoded (RFC 7587 4.1).
pub const OPUS_CLOCK_RATE: u32 = 48_000;

/// The longest packet, 120 ms (RFC 6716 3.2.5).
const LONGEST: u64 = 5760;

/// The samples at 48 kHz that a packet decodes to (RFC 6716 3.1). `None` for one that is not
/// valid, and for the headers of a container (RFC 7845 5).
pub fn opus_samples(packet: &[u8]) -> Option<u64> {
    if packet.starts_with(b"OpusHead") || packet.starts_with(b"OpusTags") {
        return None;
    }
    let toc = *packet.first()?;
    let frame = match toc >> 3 {
        config @ 0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        config @ 12..16 => [480, 960][usize::from(config & 1)],
        config => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(packet.get(1)? & 63),
    };
    let samples = frame * frames;
    (1..=LONGEST).contains(&samples).then_some(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_first_bytes_say() {
        for (packet, samples) in [
            (&[][..], None),
            (b"OpusHead", None),
            (b"OpusTags", None),
            // SILK, hybrid and CELT of one frame.
            (&[0], Some(480)),
            (&[3 << 3], Some(2880)),
            (&[13 << 3], Some(960)),
            (&[16 << 3], Some(120)),
            (&[31 << 3], Some(960)),
            // Two frames.
            (&[31 << 3 | 1], Some(1920)),
            (&[3 << 3 | 2], Some(5760)),
            // A count of frames, with bits beside it.
            (&[31 << 3 | 3, 0xc6], Some(5760)),
            (&[31 << 3 | 3, 7], None),
            (&[31 << 3 | 3, 0], None),
            (&[31 << 3 | 3], None),
        ] {
            assert_eq!(opus_samples(packet), samples, "{packet:?}");
        }
    }
}
