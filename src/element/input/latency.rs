//! The latency of what comes in on several pads.

use gst::prelude::*;

/// An answer to a latency query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) is_live: bool,
    pub(crate) min: gst::ClockTime,
    /// `None` without a limit.
    pub(crate) max: Option<gst::ClockTime>,
}

impl Latency {
    /// Of both together: only live sources count, the slowest of them sets the
    /// minimum, and the one that can wait least the maximum.
    pub(crate) fn with(self, other: Self) -> Self {
        match (self.is_live, other.is_live) {
            (true, true) => Self {
                is_live: true,
                min: self.min.max(other.min),
                max: match (self.max, other.max) {
                    (Some(one), Some(other)) => Some(one.min(other)),
                    (one, other) => one.or(other),
                },
            },
            (false, true) => other,
            (_, false) => self,
        }
    }
}

/// What upstream of a pad says of its latency; `None` if nobody answers.
pub(super) fn upstream_latency(pad: &gst::GhostPad) -> Option<Latency> {
    let mut query = gst::query::Latency::new();
    let answered = pad.peer_query(&mut query);
    let (is_live, min, max) = query.result();
    answered.then_some(Latency { is_live, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn live_sources_count() {
        let ms = gst::ClockTime::from_mseconds;
        let live = |min, max: Option<u64>| Latency {
            is_live: true,
            min: ms(min),
            max: max.map(ms),
        };
        let not_live = Latency::default();
        assert_eq!(not_live.with(not_live), not_live);
        assert_eq!(not_live.with(live(20, None)), live(20, None));
        assert_eq!(live(20, None).with(not_live), live(20, None));
        assert_eq!(live(20, Some(90)).with(live(40, None)), live(40, Some(90)));
        assert_eq!(
            live(20, Some(90)).with(live(5, Some(70))),
            live(20, Some(70))
        );
    }
}
