//! Makes one stream of what a viewer gets: a publisher's sequence numbers and
//! timestamps come in, those of the viewer's stream go out. They go on when the
//! publisher's SSRC or session changes, and have no gap where packets were
//! dropped for the viewer.

use std::time::Instant;

use crate::subscribe::audience::Media;

/// First sequence number. Far from 0, so that a receiver that counts backwards
/// from it doesn't wrap, and below 65536, since str0m needs a rollover counter
/// of 0 at the start.
const FIRST: u64 = 1000;

/// The numbers of one of a viewer's streams.
#[derive(Debug)]
pub(crate) struct Renumbering {
    clock_rate: u32,
    from: Option<From>,
}

/// Where the publisher's numbers and the viewer's meet.
#[derive(Debug)]
struct From {
    session: u32,
    ssrc: u32,
    /// The same packet's number at the publisher and at the viewer.
    sequence: (u64, u64),
    /// Viewer's timestamp minus publisher's.
    shift: u32,
    /// The last packet of the viewer's stream.
    last: (u64, u32, Instant),
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
            self.from = Some(From {
                session: media.session,
                ssrc: media.ssrc,
                sequence: (media.sequence, FIRST),
                shift: 0,
                last: (FIRST, media.timestamp, media.arrived),
            });
            return Some((FIRST, media.timestamp));
        };
        if (from.session, from.ssrc) != (media.session, media.ssrc) {
            from.change(media, self.clock_rate);
        } else if media.after_gap {
            from.sequence = (media.sequence, from.last.0 + 1);
        }
        from.number(media)
    }
}

impl From {
    /// Goes on with another source, as much later as it is.
    fn change(&mut self, media: &Media, clock_rate: u32) {
        let (sequence, timestamp, at) = self.last;
        let passed = media.arrived.saturating_duration_since(at).as_secs_f64();
        let passed = (passed * f64::from(clock_rate)) as u64 as u32;
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
