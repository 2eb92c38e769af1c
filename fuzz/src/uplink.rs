//! What a far end can make the estimate and the retransmissions do.

use std::time::Duration;

use gstivs::media::bandwidth::{
    Estimation, Limits, ReceiverReport, Streams, TransportWide, Uplink,
};

use super::cursor::Cursor;

const LIMITS: Limits = Limits {
    min_video: 150_000,
    start_video: 1_000_000,
    max_video: 2_500_000,
    max_repaired_video: 8_000_000,
    max_total: 8_500_000,
};

/// The bytes are steps: packets that leave, RTCP that comes, time that passes.
pub fn uplink(data: &[u8]) {
    let mut steps = Cursor(data);
    let mut uplink = Uplink::new(
        Streams {
            audio: Some(1),
            video: Some(2),
        },
        8_500_000,
    );
    let wide = match steps.byte() {
        Some(first) if first & 1 == 0 => TransportWide::Refused,
        _ => TransportWide::Negotiated,
    };
    let mut estimation = Estimation::new(LIMITS, true, wide);
    let (mut now, mut sequence, mut sent) = (Duration::ZERO, 0_u16, 0_u64);
    while let Some(step) = steps.byte() {
        match step >> 5 {
            // A burst of the stream that the lowest bits name.
            0..=2 => {
                for _ in 0..=(step & 31) >> 2 {
                    sequence = sequence.wrapping_add(1);
                    let size = 12 + 4 * usize::from(steps.byte().unwrap_or(200));
                    let left = uplink
                        .leaves(&packet(step & 3, sequence, size), now)
                        .unwrap();
                    assert_eq!(left.number, Some(sent as u16));
                    sent += 1;
                }
            }
            3 | 4 => {
                let length = usize::from(steps.byte().unwrap_or_default());
                uplink.rtcp(steps.take(length), now);
            }
            5 => {
                let report = ReceiverReport {
                    fraction_lost: f64::from(steps.byte().unwrap_or_default()) / 256.0,
                    round_trip: steps.u16().map(|ms| Duration::from_millis(ms.into())),
                };
                uplink.report(u32::from(step & 3), report, now);
            }
            6 => {
                for back in 0..=u16::from(step & 31) {
                    uplink.allows_retransmission(sequence.wrapping_sub(back), now);
                }
            }
            _ => now += Duration::from_millis(1 << (step & 15)),
        }
        look(&mut uplink, &mut estimation, now);
    }
}

fn look(uplink: &mut Uplink, estimation: &mut Estimation, now: Duration) {
    let target = estimation.target();
    assert!(target.is_none_or(|target| (10_000..=LIMITS.max_total).contains(&target)));
    let Some(allocation) = estimation.take(uplink.observe(target, now)) else {
        return;
    };
    assert!(allocation.encoder <= LIMITS.max_video, "{allocation:?}");
    let sum = allocation.audio + allocation.retransmissions;
    assert!(sum <= LIMITS.max_total, "{allocation:?}");
    // Audio alone can leave less than the lowest for video.
    let room = LIMITS.max_total - sum;
    assert!(
        allocation.encoder >= LIMITS.min_video.min(room * 93 / 100),
        "{allocation:?}"
    );
    assert!(estimation.pace().is_none_or(|pace| pace > 0));
}

fn packet(ssrc: u8, sequence: u16, size: usize) -> Vec<u8> {
    let [high, low] = sequence.to_be_bytes();
    let mut packet = vec![0x80, 96, high, low, 0, 0, high, low, 0, 0, 0, ssrc];
    packet.resize(size, 0);
    packet
}
