//! The division of one budget: audio first, retransmissions second, video the rest.

use super::estimator::RateRange;

/// The part of the estimate that retransmissions may take, in percent. Below it a
/// shallow queue is not repaired; above it a narrow link is kept full.
const RETRANSMISSIONS: u64 = 15;

/// What an encoder's bit rate is of the rate on the wire, in percent: RTP, SRTP, UDP and
/// IP headers, and peaks of the encoder.
const ENCODED: u64 = 93;

/// The room that the estimate has above what is sent at the highest bit rate, in
/// percent: without it no estimate shows that the highest is possible.
const ROOM: u64 = 108;

/// The bounds of what is sent, in bit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The lowest bit rate of the video encoder.
    pub min_video: u64,
    /// The bit rate of the video encoder at the start.
    pub start_video: u64,
    /// The highest bit rate of the video encoder.
    pub max_video: u64,
    /// The same with what is retransmitted.
    pub max_repaired_video: u64,
    /// What audio, retransmissions and video may be in all, with all headers.
    pub max_total: u64,
}

/// Who may send how much, in bit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// What audio takes, with all headers. It is never cut for congestion.
    pub audio: u64,
    /// The most that retransmissions may take, with all headers.
    pub retransmissions: u64,
    /// What new video packets may take, with all headers.
    pub video: u64,
    /// The bit rate for the video encoder.
    pub encoder: u64,
}

impl Allocation {
    /// Divides an estimate. `audio` is what audio sends, `retransmitted` what was
    /// retransmitted in the last second, both with all headers.
    ///
    /// The encoder never gets less than `min_video` or more than `max_video`; but
    /// `max_total` counts before either. What is retransmitted is taken off
    /// `max_repaired_video`, down to `min_video`.
    #[must_use]
    pub fn of(estimate: u64, audio: u64, retransmitted: u64, limits: &Limits) -> Self {
        let total = estimate.min(limits.max_total);
        let audio = audio.min(limits.max_total);
        let retransmissions = percent(total, RETRANSMISSIONS).min(limits.max_total - audio);
        let retransmitted = retransmitted.min(retransmissions);
        let used = audio.saturating_add(retransmitted);
        let repairs = percent(retransmitted, ENCODED);
        let unrepaired = limits.max_repaired_video.saturating_sub(repairs);
        let room = percent(limits.max_total - audio - retransmissions, ENCODED);
        let encoder = percent(total.saturating_sub(used), ENCODED)
            .min(unrepaired)
            .max(limits.min_video)
            .min(limits.max_video)
            .min(room);
        Self {
            audio,
            retransmissions,
            video: on_the_wire(encoder),
            encoder,
        }
    }
}

impl Limits {
    /// The bounds of the estimate, if audio sends so much, with all headers.
    #[must_use]
    pub fn range(&self, audio: u64) -> RateRange {
        let total = |video| on_the_wire(video).saturating_add(audio).min(self.max_total);
        let max = percent(total(self.max_video), ROOM).min(self.max_total);
        RateRange::new(total(self.min_video), total(self.start_video), max)
    }

    /// The estimate that a stream of so many bit/s has to have to be sent whole beside the
    /// audio, with room for some retransmissions.
    #[must_use]
    pub fn demand(&self, stream: u64, audio: u64) -> u64 {
        let total = on_the_wire(stream).saturating_add(audio);
        percent(total, ROOM).min(self.max_total)
    }
}

fn on_the_wire(encoder: u64) -> u64 {
    encoder.saturating_mul(100) / ENCODED
}

fn percent(of: u64, percent: u64) -> u64 {
    of.saturating_mul(percent) / 100
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        min_video: 150_000,
        start_video: 1_000_000,
        max_video: 2_500_000,
        max_repaired_video: 8_000_000,
        max_total: 8_500_000,
    };

    #[test]
    fn audio_first_then_retransmissions_then_video() {
        let it = Allocation::of(1_000_000, 88_000, 0, &LIMITS);
        assert_eq!((it.audio, it.retransmissions), (88_000, 150_000));
        assert_eq!(it.encoder, 848_160);
        // What is not retransmitted is video's.
        let it = Allocation::of(1_000_000, 88_000, 100_000, &LIMITS);
        assert_eq!(it.encoder, 755_160);
        let it = Allocation::of(1_000_000, 88_000, 10_000_000, &LIMITS);
        assert_eq!((it.retransmissions, it.encoder), (150_000, 708_660));
    }

    #[test]
    fn the_encoders_bounds_hold() {
        assert_eq!(Allocation::of(100_000, 88_000, 0, &LIMITS).encoder, 150_000);
        assert_eq!(Allocation::of(0, 88_000, 0, &LIMITS).encoder, 150_000);
        assert_eq!(
            Allocation::of(5_000_000, 88_000, 0, &LIMITS).encoder,
            2_500_000
        );
    }

    #[test]
    fn what_is_retransmitted_is_part_of_the_highest() {
        let limits = Limits {
            max_repaired_video: 2_500_000,
            ..LIMITS
        };
        let encoder = |again| Allocation::of(5_000_000, 88_000, again, &limits).encoder;
        assert_eq!(encoder(0), 2_500_000);
        assert_eq!(encoder(100_000), 2_407_000);
        // The most that retransmissions may take.
        assert_eq!(encoder(u64::MAX), 2_500_000 - 697_500);
        let limits = Limits {
            min_video: 2_450_000,
            ..limits
        };
        let it = Allocation::of(5_000_000, 88_000, 100_000, &limits);
        assert_eq!(it.encoder, 2_450_000);
    }

    #[test]
    fn nothing_exceeds_the_total() {
        let all = [0, 1, 150_000, 8_400_000, 8_500_000, 9_000_000, u64::MAX];
        for estimate in all {
            for audio in all {
                for max_video in all {
                    let limits = Limits {
                        max_video,
                        min_video: max_video / 2,
                        ..LIMITS
                    };
                    let it = Allocation::of(estimate, audio, u64::MAX, &limits);
                    let sum = it.audio + it.retransmissions + it.video;
                    assert!(sum <= 8_500_000, "{it:?}");
                }
            }
        }
    }

    #[test]
    fn a_stream_demands_room_for_headers_audio_and_retransmissions() {
        assert_eq!(LIMITS.demand(930_000, 100_000), 1_188_000);
        assert_eq!(LIMITS.demand(u64::MAX, 100_000), 8_500_000);
    }

    #[test]
    fn the_estimates_range_has_room_at_the_top() {
        let range = LIMITS.range(88_000);
        assert_eq!(
            (range.min(), range.start(), range.max()),
            (249_290, 1_163_268, 2_998_265)
        );
        let wide = Limits {
            max_video: u64::MAX,
            ..LIMITS
        };
        assert_eq!(wide.range(u64::MAX).max(), 8_500_000);
    }
}
