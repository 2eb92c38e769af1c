//! The far end: decodes, asks again for what is missing, and reports.

use std::collections::BTreeMap;

use super::network::{Arrival, Conditions, Media};
use super::random::Random;

/// From one transport-wide feedback to the next, in µs.
const FEEDBACK: i64 = 70_000;
/// How long a missing packet is asked for, in µs.
const ASKS: i64 = 1_000_000;
/// The far end's clock is this far from ours, in µs.
const CLOCK: i64 = 1_000_000_000;

/// Which reports it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reports {
    TransportWide,
    /// Receiver reports alone, so many µs apart.
    Receiver(i64),
}

/// What it sends.
#[derive(Clone, Debug)]
pub(super) enum Message {
    /// Transport-wide numbers, and when they arrived by its clock, in µs.
    TransportWide(Vec<(usize, Option<i64>)>),
    /// Numbers of video packets.
    Nack(Vec<usize>),
    /// Share lost, round trip in µs.
    Receiver(f64, i64),
}

/// The frames that are sent: the first packet's number of each, and whether it is a key
/// frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) first: usize,
    pub(super) packets: usize,
    pub(super) key: bool,
}

#[derive(Debug)]
pub(super) struct FarEnd {
    reports: Reports,
    random: Random,
    conditions: Conditions,
    /// By transport-wide number, from the first unreported one on.
    arrived: BTreeMap<usize, i64>,
    next_to_report: usize,
    next_feedback: i64,
    video: Vec<bool>,
    /// Missing video packets: missed since, asked last.
    missing: BTreeMap<usize, (i64, i64)>,
    next_frame: usize,
    expected: u32,
    received: u32,
    last_delay: i64,
    next_report: i64,
}

impl FarEnd {
    pub(super) fn new(reports: Reports, conditions: Conditions, seed: u64) -> Self {
        Self {
            reports,
            random: Random::new(seed),
            conditions,
            arrived: BTreeMap::new(),
            next_to_report: 0,
            next_feedback: FEEDBACK,
            video: Vec::new(),
            missing: BTreeMap::new(),
            next_frame: 0,
            expected: 0,
            received: 0,
            last_delay: 0,
            next_report: 1_000_000,
        }
    }

    pub(super) fn receive(&mut self, arrival: &Arrival) {
        let Arrival { packet, at, queued } = *arrival;
        let clock = at + at * self.conditions.drift / 1_000_000 + CLOCK;
        self.arrived.insert(packet.sequence, clock / 250 * 250);
        let Media::Video { number, again } = packet.media else {
            return;
        };
        self.last_delay = queued;
        self.missing.remove(&number);
        if number >= self.video.len() {
            for missing in self.video.len()..number {
                self.missing.insert(missing, (at, i64::MIN / 2));
            }
            self.expected += (number + 1 - self.video.len()) as u32;
            self.video.resize(number + 1, false);
        }
        self.received += u32::from(!again);
        self.video[number] = true;
    }

    /// The number of frames that can be decoded now.
    pub(super) fn decode(&mut self, frames: &[Frame]) -> usize {
        let before = self.next_frame;
        let mut decoded = 0;
        while self.next_frame < frames.len() && self.is_whole(&frames[self.next_frame]) {
            self.next_frame += 1;
            decoded += 1;
        }
        let rest = frames.iter().enumerate().skip(self.next_frame);
        let key = rest
            .rev()
            .take(90)
            .find(|(_, it)| it.key && self.is_whole(it));
        if let Some((key, _)) = key {
            self.next_frame = key + 1;
            decoded += 1;
        }
        debug_assert!(before <= self.next_frame);
        decoded
    }

    fn is_whole(&self, frame: &Frame) -> bool {
        let packets = frame.first..frame.first + frame.packets;
        self.video
            .get(packets)
            .is_some_and(|it| it.iter().all(|it| *it))
    }

    /// What it sends at `now`.
    pub(super) fn send(&mut self, now: i64) -> Vec<Message> {
        let mut messages = Vec::new();
        if self.reports == Reports::TransportWide && now >= self.next_feedback {
            self.next_feedback += FEEDBACK;
            messages.extend(self.transport_wide());
        }
        if let Reports::Receiver(interval) = self.reports
            && now >= self.next_report
        {
            self.next_report += interval;
            messages.push(self.receiver_report());
        }
        messages.extend(self.nack(now));
        let loss = self.conditions.feedback_loss;
        messages.retain(|_| !self.random.happens(loss));
        messages
    }

    fn transport_wide(&mut self) -> Option<Message> {
        let (last, _) = self.arrived.last_key_value()?;
        let numbers = self.next_to_report..=*last;
        let packets: Vec<_> = numbers
            .map(|it| (it, self.arrived.get(&it).copied()))
            .collect();
        self.next_to_report = last + 1;
        self.arrived.clear();
        Some(Message::TransportWide(packets))
    }

    fn receiver_report(&mut self) -> Message {
        let lost = self.expected.saturating_sub(self.received);
        let fraction = f64::from(lost) / f64::from(self.expected.max(1));
        (self.expected, self.received) = (0, 0);
        Message::Receiver(fraction, self.conditions.round_trip + self.last_delay)
    }

    fn nack(&mut self, now: i64) -> Option<Message> {
        self.missing.retain(|_, (since, _)| now - *since < ASKS);
        let repeat = self.conditions.round_trip + 10_000;
        let due = self
            .missing
            .iter_mut()
            .filter(|(_, (_, asked))| now - *asked >= repeat);
        let numbers: Vec<_> = due
            .map(|(number, (_, asked))| {
                *asked = now;
                *number
            })
            .collect();
        (!numbers.is_empty()).then_some(Message::Nack(numbers))
    }
}
