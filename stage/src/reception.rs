//! What one session receives: RTP packets and the sizes of datagrams come in,
//! the reports of its sections go out.

use crate::counter::{Counter, Packet, SectionReport};
use crate::offer::{Kind, OfferSection};
use crate::remb::Arrived;

/// The counts of a session's sections.
#[derive(Debug)]
pub(crate) struct Reception {
    counters: Vec<Counter>,
    /// Bytes of all RTP datagrams.
    bytes: u64,
}

impl Reception {
    pub(crate) fn new(sections: &[OfferSection]) -> Self {
        Self {
            counters: sections.iter().map(Counter::new).collect(),
            bytes: 0,
        }
    }

    pub(crate) fn add_datagram(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// Counts a datagram with a retransmission for the section with this `mid`.
    pub(crate) fn add_retransmission(&mut self, mid: &str, bytes: usize) {
        if let Some(counter) = self.counter(mid) {
            counter.add_retransmission(bytes);
        }
    }

    /// Counts a packet of the section with this `mid`. Returns the section's
    /// report, or `None` without such a section.
    pub(crate) fn add(&mut self, mid: &str, packet: &Packet<'_>) -> Option<SectionReport> {
        let counter = self.counter(mid)?;
        counter.add(packet);
        Some(counter.report().clone())
    }

    pub(crate) fn sections(&self) -> impl Iterator<Item = &SectionReport> {
        self.counters.iter().map(Counter::report)
    }

    /// The `mid` of each video section.
    pub(crate) fn video(&self) -> Vec<String> {
        let video = self.sections().filter(|one| one.kind == Kind::Video);
        video.map(|section| section.mid.clone()).collect()
    }

    /// The reports as of now.
    pub(crate) fn reports(&self, at_ms: u64) -> Vec<SectionReport> {
        let counters = self.counters.iter();
        counters.map(|counter| counter.report_at(at_ms)).collect()
    }

    /// See [`FrameReport::recent_gap_ms`](crate::FrameReport::recent_gap_ms).
    pub(crate) fn begin_interval(&mut self) {
        self.counters.iter_mut().for_each(Counter::begin_interval);
    }

    pub(crate) fn arrived(&self) -> Arrived {
        let sum = |count: fn(&SectionReport) -> u64| self.sections().map(count).sum();
        Arrived {
            bytes: self.bytes,
            packets: sum(|section| section.packets),
            repaired: sum(|section| section.repaired),
            lost: sum(|section| section.lost),
        }
    }

    fn counter(&mut self, mid: &str) -> Option<&mut Counter> {
        self.counters.iter_mut().find(|one| one.report().mid == mid)
    }
}
