//! Makes one stream of what a viewer gets: a publisher's sequence numbers and
//! timestamps come in, those of the viewer's stream go out. They go on when the
//! publisher's SSRC or session changes, and have no gap where packets were
//! dropped for the viewer.

use std::time::{Duration, Instant};

use crate::subscribe::audience::Media;

/// First sequence number. Far from 0, so that a receiver that counts backwards
/// from it doesn't wrap, and below 65536, since str0m needs a rollover counter
/// of 0 at the start.
const FIRST: u64 = 1000;

/// How long packets of a source come after those of the next one.
const LATE: Duration = Duration::from_secs(1);

/// The numbers of one of a viewer's streams.
#[derive(Debug)]
pub(crate) struct Renumbering {
    clock_rate: u32,
    from: Option<Joint>,
}

/// Where the publisher's numbers and the viewer's meet.
#[derive(Debug)]
struct Joint {
    session: u32,
    ssrc: u32,
    /// The same packet's number at the publisher and at the viewer.
    sequence: (u64, u64),
    /// Viewer's timestamp minus publisher's.
    shift: u32,
    /// The last packet of the viewer's stream.
    last: (u64, u32, Instant),
    /// Session and SSRC before these, and until when their packets are late ones.
    before: Option<((u32, u32), Instant)>,
}

impl Renumbering {
    pub(crate) fn new(clock_rate: u32) -> Self {
        Self {
            clock_rate,
            from: None,
        }
    }

    /// The packet's sequence number and timestamp; `None` for a late one from
    /// before the viewer's stream, or before a gap that was closed.
    pub(crate) fn number(&mut self, media: &Media) -> Option<(u64, u32)> {
        let Some(from) = &mut self.from else {
            self.from = Some(Joint {
                session: media.session,
                ssrc: media.ssrc,
                sequence: (media.sequence, FIRST),
                shift: 0,
                last: (FIRST, media.timestamp, media.arrived),
                before: None,
            });
            return Some((FIRST, media.timestamp));
        };
        let source = (media.session, media.ssrc);
        if (from.session, from.ssrc) != source {
            let late = |(before, until)| before == source && media.arrived < until;
            if from.before.is_some_and(late) {
                return None;
            }
            from.change(media, self.clock_rate);
        } else if media.after_gap {
            from.sequence = (media.sequence, from.last.0 + 1);
        }
        from.number(media)
    }
}

impl Joint {
    /// Goes on with another source, as much later as it is.
    fn change(&mut self, media: &Media, clock_rate: u32) {
        let (sequence, timestamp, at) = self.last;
        let passed = media.arrived.saturating_duration_since(at).as_secs_f64();
        let passed = (passed * f64::from(clock_rate)) as u64 as u32;
        self.before = Some(((self.session, self.ssrc), media.arrived + LATE));
        self.session = media.session;
        self.ssrc = media.ssrc;
        self.sequence = (media.sequence, sequence + 1);
        self.shift = timestamp
            .wrapping_add(passed.max(1))
            .wrapping_sub(media.timestamp);
    }

    fn number(&mut self, media: &Media) -> Option<(u64, u32)> {
        let (theirs, ours) = self.sequence;
        let sequence = ours + media.sequence.checked_sub(theirs)?;
        let timestamp = media.timestamp.wrapping_add(self.shift);
        if sequence >= self.last.0 {
            self.last = (sequence, timestamp, media.arrived);
        }
        Some((sequence, timestamp))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::Kind;
    use crate::subscribe::audience::tests::media as any;

    fn media(session: u32, sequence: u64, timestamp: u32, arrived: Instant) -> Media {
        Media {
            timestamp,
            arrived,
            ..any(session, sequence, Kind::Video)
        }
    }

    #[test]
    fn a_stream_begins_low_and_keeps_its_gaps_and_order() {
        let (mut numbers, now) = (Renumbering::new(90_000), Instant::now());
        let mut number = |sequence| numbers.number(&media(1, sequence, sequence as u32, now));
        // Far above 65536: the publisher's stream is old.
        let first = 900_000;
        let found = [0, 1, 4, 3].map(|offset| number(first + offset));
        let expected = [
            (1000, 900_000),
            (1001, 900_001),
            (1004, 900_004),
            (1003, 900_003),
        ];
        assert_eq!(found, expected.map(Some));
        assert_eq!(number(first - 1), None);
    }

    #[test]
    fn what_was_dropped_for_a_viewer_is_no_gap() {
        let (mut numbers, now) = (Renumbering::new(90_000), Instant::now());
        assert_eq!(numbers.number(&media(1, 5, 0, now)), Some((1000, 0)));
        let after = Media {
            after_gap: true,
            ..media(1, 50, 9000, now)
        };
        assert_eq!(numbers.number(&after), Some((1001, 9000)));
        assert_eq!(numbers.number(&media(1, 51, 9000, now)), Some((1002, 9000)));
        assert_eq!(numbers.number(&media(1, 40, 8000, now)), None);
    }

    #[test]
    fn another_source_goes_on_as_much_later_as_it_comes() {
        let (mut numbers, start) = (Renumbering::new(90_000), Instant::now());
        let after = |ms| start + Duration::from_millis(ms);
        numbers.number(&media(1, 5, u32::MAX - 10, start));
        let second = numbers.number(&media(2, 70_000, 123, after(100)));
        assert_eq!(second, Some((1001, 8989)));
        // A late packet of the first one doesn't bring it back; it can come back.
        assert_eq!(numbers.number(&media(1, 6, 0, after(200))), None);
        let third = numbers.number(&media(2, 70_001, 3123, after(133)));
        assert_eq!(third, Some((1002, 11_989)));
        let back = numbers.number(&media(1, 300, 77, after(1233)));
        assert_eq!(back, Some((1003, 11_989 + 99_000)));
    }
}
