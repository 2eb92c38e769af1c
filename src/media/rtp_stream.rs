//! One outgoing RTP stream, whatever sources its packets come from.
//!
//! In: the headers of packets as they come. Out: the sequence numbers and timestamps
//! with which they leave. A source is an SSRC whose numbers go on; a change of source
//! leaves no gap in the numbers, and a gap upstream stays a gap of the same size. What is
//! left out makes none, unless something that followed it has left before.

use std::collections::VecDeque;
use std::time::Duration;

use rtp_types::RtpPacket;

/// How far a sequence number may jump within a source (RFC 3550 A.1: `MAX_DROPOUT`,
/// `MAX_MISORDER`).
const MAX_DROPOUT: u16 = 3000;
const MAX_MISORDER: u16 = 100;

/// How far timestamps of one source may run back: more than B-frames need.
const MAX_STEP_BACK: Duration = Duration::from_secs(2);

/// How far timestamps of one source may run ahead of the time that has passed.
const MAX_STEP_AHEAD: Duration = Duration::from_secs(5);

/// The least time between the packets of two sources.
const LEAST_STEP: Duration = Duration::from_millis(10);

/// For how many numbers the numbering is remembered: more than a packet may be late.
const REMEMBERED: u16 = 1 << 13;

/// How many changes of the numbering are remembered for packets that come late.
const MAX_SEGMENTS: usize = 64;

/// What identifies a packet upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RtpHeader {
    /// The source.
    pub ssrc: u32,
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp, in units of the stream's clock rate.
    pub timestamp: u32,
}

impl From<&RtpPacket<'_>> for RtpHeader {
    fn from(packet: &RtpPacket<'_>) -> Self {
        Self {
            ssrc: packet.ssrc(),
            sequence: packet.sequence_number(),
            timestamp: packet.timestamp(),
        }
    }
}

/// When a packet came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// By a clock that never runs backwards.
    pub arrival: Duration,
    /// The running time of its media, if known.
    pub media: Option<Duration>,
}

/// The sequence number and timestamp with which a packet leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The sequence number.
    pub sequence: u16,
    /// The timestamp.
    pub timestamp: u32,
}

/// What is missing between two packets that are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Packets that would have been left out too: they make no gap.
    LeftOut,
    /// Packets that were lost: they stay a gap.
    Lost,
}

/// An outgoing stream, in constant memory and constant time per packet.
#[derive(Clone, Debug)]
pub struct RtpStream {
    clock_rate: u32,
    source: Option<Source>,
    /// The number of the next packet in order.
    next_sequence: u16,
    /// The highest timestamp so far, and when its packet came.
    newest: Option<(u32, Moment)>,
    first_timestamp: u32,
}

/// The source at this time.
#[derive(Clone, Debug)]
struct Source {
    ssrc: u32,
    /// The newest packet.
    sequence: u16,
    timestamp: u32,
    at: Moment,
    /// The newest packet that has left. All behind it that came were left out.
    placed: u16,
    timestamp_offset: u32,
    /// Changes of the offset between incoming and outgoing numbers, oldest first; never
    /// empty.
    segments: VecDeque<Segment>,
}

/// From the incoming number `from` on, `offset` is added.
#[derive(Clone, Copy, Debug)]
struct Segment {
    from: u16,
    offset: u16,
    /// The first outgoing number that no packet before `from` has: that of the packet
    /// `from`, or of the first one that was inserted before it.
    first: u16,
}

impl RtpStream {
    /// A stream with timestamps of this rate in Hz, from 1 on, and these first numbers,
    /// which should be random (RFC 3550 5.1).
    pub fn new(clock_rate: u32, first: Place) -> Self {
        Self {
            clock_rate: clock_rate.max(1),
            source: None,
            next_sequence: first.sequence,
            newest: None,
            first_timestamp: first.timestamp,
        }
    }

    /// Lets the next packet begin a new source.
    pub fn change_source(&mut self) {
        self.source = None;
    }

    /// Whether a packet belongs to the source at this time: its SSRC is the same, and its
    /// numbers go on.
    pub fn continues(&self, header: RtpHeader, at: Moment) -> bool {
        self.source
            .as_ref()
            .is_some_and(|source| source.continues(header, at, self.clock_rate))
    }

    /// The numbers with which a packet leaves. `None` for one that comes too late for a
    /// place to be left.
    pub fn place(&mut self, header: RtpHeader, at: Moment) -> Option<Place> {
        if !self.continues(header, at) {
            self.begin(header, at);
        }
        let source = self.source.as_mut()?;
        let sequence = source.number(header.sequence)?;
        if source.is_newest(header.sequence) {
            source.advance(header, at);
            self.next_sequence = sequence.wrapping_add(1);
        }
        source.left(header.sequence);
        let timestamp = header.timestamp.wrapping_add(source.timestamp_offset);
        if self
            .newest
            .is_none_or(|(newest, _)| is_ahead(timestamp, newest))
        {
            self.newest = Some((timestamp, at));
        }
        Some(Place {
            sequence,
            timestamp,
        })
    }

    /// Whether a packet of the source comes behind one that followed it.
    pub fn is_late(&self, header: RtpHeader, at: Moment) -> bool {
        let source = self.source.as_ref();
        self.continues(header, at) && source.is_some_and(|it| !it.is_newest(header.sequence))
    }

    /// Leaves out a packet of the source: those after it close up. `missing` is what is
    /// missing ahead of it, if the packet before was left out too.
    pub fn skip(&mut self, header: RtpHeader, at: Moment, missing: Missing) {
        if !self.continues(header, at) {
            return;
        }
        let Some(source) = self.source.as_mut() else {
            return;
        };
        if !source.is_newest(header.sequence) {
            if source.close_up_over(header.sequence) {
                self.next_sequence = self.next_sequence.wrapping_sub(1);
            }
            return;
        }
        let lost = header
            .sequence
            .wrapping_sub(source.sequence)
            .wrapping_sub(1);
        if source.skips() && (lost == 0 || missing == Missing::LeftOut) {
            source.segments.pop_back();
        } else {
            self.next_sequence = self.next_sequence.wrapping_add(lost);
        }
        let from = header.sequence.wrapping_add(1);
        source.begin_segment(Segment {
            from,
            offset: self.next_sequence.wrapping_sub(from),
            first: self.next_sequence,
        });
        source.advance(header, at);
    }

    /// Makes room for a packet of our own before one of the source, which is to be placed
    /// next. `None` if that one comes late.
    pub fn insert(&mut self, before: RtpHeader, at: Moment) -> Option<Place> {
        if !self.continues(before, at) {
            self.begin(before, at);
        }
        let source = self.source.as_mut()?;
        if !source.is_newest(before.sequence) {
            return None;
        }
        let sequence = source.number(before.sequence)?;
        source.begin_segment(Segment {
            from: before.sequence,
            offset: sequence.wrapping_add(1).wrapping_sub(before.sequence),
            first: sequence,
        });
        Some(Place {
            sequence,
            timestamp: before.timestamp.wrapping_add(source.timestamp_offset),
        })
    }

    /// Maps a new source to the numbers that follow.
    fn begin(&mut self, header: RtpHeader, at: Moment) {
        let timestamp = match self.newest {
            None => self.first_timestamp,
            Some((newest, before)) => {
                let step = elapsed(before, at).max(LEAST_STEP);
                newest.wrapping_add(ticks(step, self.clock_rate))
            }
        };
        self.source = Some(Source {
            ssrc: header.ssrc,
            sequence: header.sequence.wrapping_sub(1),
            timestamp: header.timestamp,
            at,
            placed: header.sequence.wrapping_sub(1),
            timestamp_offset: timestamp.wrapping_sub(header.timestamp),
            segments: VecDeque::from([Segment {
                from: header.sequence,
                offset: self.next_sequence.wrapping_sub(header.sequence),
                first: self.next_sequence,
            }]),
        });
    }
}

impl Source {
    fn continues(&self, header: RtpHeader, at: Moment, clock_rate: u32) -> bool {
        let ahead = header.sequence.wrapping_sub(self.sequence);
        let goes_on = ahead <= MAX_DROPOUT || ahead.wrapping_neg() <= MAX_MISORDER;
        self.ssrc == header.ssrc && goes_on && self.times_go_on(header, at, clock_rate)
    }

    /// A pipeline that seeks, or a sender that starts anew, sets timestamps back or ahead.
    fn times_go_on(&self, header: RtpHeader, at: Moment, clock_rate: u32) -> bool {
        let step = header.timestamp.wrapping_sub(self.timestamp).cast_signed();
        if step < 0 {
            return step.unsigned_abs() <= ticks(MAX_STEP_BACK, clock_rate);
        }
        let media = at.media.zip(self.at.media);
        let media = media.map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        let passed = media.max(at.arrival.saturating_sub(self.at.arrival));
        let passed = passed.saturating_add(MAX_STEP_AHEAD);
        u128::from(step.unsigned_abs())
            <= passed.as_nanos() * u128::from(clock_rate) / 1_000_000_000
    }

    fn is_newest(&self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.sequence);
        ahead != 0 && ahead <= MAX_DROPOUT
    }

    /// Whether the newest packet was left out.
    fn skips(&self) -> bool {
        self.sequence != self.placed
    }

    fn advance(&mut self, header: RtpHeader, at: Moment) {
        let oldest = header.sequence.wrapping_sub(REMEMBERED);
        self.forget_before(oldest);
        (self.sequence, self.timestamp, self.at) = (header.sequence, header.timestamp, at);
        self.left(oldest);
    }

    fn left(&mut self, sequence: u16) {
        if is_ahead_16(sequence, self.placed) {
            self.placed = sequence;
        }
    }

    /// Closes up over a late packet that is left out. Returns whether it had a place, and
    /// nothing that followed it has left.
    fn close_up_over(&mut self, sequence: u16) -> bool {
        let number = self.number(sequence);
        let Some(number) = number.filter(|_| is_ahead_16(sequence, self.placed)) else {
            return false;
        };
        let is_from = |segment: &Segment| !is_ahead_16(segment.from, sequence);
        let after = self.segments.partition_point(is_from);
        for segment in self.segments.range_mut(after..) {
            segment.offset = segment.offset.wrapping_sub(1);
            segment.first = segment.first.wrapping_sub(1);
        }
        let from = sequence.wrapping_add(1);
        let segment = Segment {
            from,
            offset: number.wrapping_sub(from),
            first: number,
        };
        self.segments.insert(after, segment);
        if self.segments.len() > MAX_SEGMENTS {
            self.segments.pop_front();
        }
        true
    }

    /// The outgoing number of an incoming one. `None` if numbers closed up over its place.
    fn number(&self, sequence: u16) -> Option<u16> {
        let newest = self.segments.back()?;
        let is_from = |segment: &Segment| sequence.wrapping_sub(segment.from) < 1 << 15;
        if is_from(newest) {
            return Some(sequence.wrapping_add(newest.offset));
        }
        let after = self.segments.iter().position(|segment| !is_from(segment))?;
        let segment = self.segments.get(after.checked_sub(1)?)?;
        let next = self.segments.get(after)?;
        let number = sequence.wrapping_add(segment.offset);
        is_ahead_16(next.first, number).then_some(number)
    }

    /// Forgets the numbering before a number, so that no segment begins so long ago that
    /// numbers since then have wrapped.
    fn forget_before(&mut self, sequence: u16) {
        let is_before = |segment: &Segment| is_ahead_16(sequence, segment.from);
        while self.segments.get(1).is_some_and(is_before) {
            self.segments.pop_front();
        }
        if let Some(first) = self.segments.front_mut()
            && is_before(first)
        {
            first.from = sequence;
        }
    }

    fn begin_segment(&mut self, mut segment: Segment) {
        // No packet has left by a segment that begins only with the next one.
        if let Some(unused) = self.segments.back()
            && unused.from == segment.from
        {
            segment.first = unused.first;
            self.segments.pop_back();
        }
        if self.segments.len() >= MAX_SEGMENTS {
            self.segments.pop_front();
        }
        self.segments.push_back(segment);
    }
}

/// The time between two packets. Their media say it exactly; where that differs much from
/// the time of arrival, running time has begun anew.
fn elapsed(from: Moment, to: Moment) -> Duration {
    let arrival = to.arrival.saturating_sub(from.arrival);
    let media = from.media.zip(to.media);
    let media = media.and_then(|(from, to)| to.checked_sub(from));
    media
        .filter(|media| media.abs_diff(arrival) < MAX_STEP_AHEAD)
        .unwrap_or(arrival)
}

fn ticks(time: Duration, clock_rate: u32) -> u32 {
    // Timestamps wrap (RFC 3550 5.1).
    (time.as_nanos() * u128::from(clock_rate) / 1_000_000_000) as u32
}

fn is_ahead(timestamp: u32, of: u32) -> bool {
    timestamp.wrapping_sub(of).cast_signed() > 0
}

fn is_ahead_16(sequence: u16, of: u16) -> bool {
    sequence.wrapping_sub(of).cast_signed() > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 90_000;

    /// Packets of a frame rate of 100, one a frame.
    struct Upstream {
        stream: RtpStream,
        ssrc: u32,
        timestamp_base: u32,
        now: Duration,
        has_media_time: bool,
    }

    impl Upstream {
        /// Numbers and timestamps are about to wrap.
        fn new() -> Self {
            let first = Place {
                sequence: 65_533,
                timestamp: u32::MAX - 1000,
            };
            Self {
                stream: RtpStream::new(RATE, first),
                ssrc: 1,
                timestamp_base: 5000,
                now: Duration::from_secs(50),
                has_media_time: true,
            }
        }

        fn header(&self, sequence: u16) -> RtpHeader {
            RtpHeader {
                ssrc: self.ssrc,
                sequence,
                timestamp: self
                    .timestamp_base
                    .wrapping_add(u32::from(sequence).wrapping_mul(900)),
            }
        }

        fn tick(&mut self) -> Moment {
            self.now += Duration::from_millis(10);
            Moment {
                arrival: self.now,
                media: self.has_media_time.then_some(self.now),
            }
        }

        /// The number that a packet leaves with, counted from the stream's first.
        fn send(&mut self, sequence: u16) -> Option<i16> {
            let at = self.tick();
            let place = self.stream.place(self.header(sequence), at)?;
            Some(place.sequence.wrapping_sub(65_533).cast_signed())
        }

        /// The timestamp that a packet leaves with, from the stream's first.
        fn timestamp(&mut self, sequence: u16) -> i32 {
            let at = self.tick();
            let place = self.stream.place(self.header(sequence), at).unwrap();
            place.timestamp.wrapping_sub(u32::MAX - 1000).cast_signed()
        }

        fn skip(&mut self, sequence: u16) {
            let at = self.tick();
            let header = self.header(sequence);
            self.stream.skip(header, at, Missing::LeftOut);
        }

        /// Leaves out a packet, with which nothing else is.
        fn skip_padding(&mut self, sequence: u16) {
            let at = self.tick();
            let header = self.header(sequence);
            self.stream.skip(header, at, Missing::Lost);
        }

        fn insert(&mut self, before: u16) -> Option<i16> {
            let at = self.tick();
            let header = self.header(before);
            let place = self.stream.insert(header, at)?;
            Some(place.sequence.wrapping_sub(65_533).cast_signed())
        }
    }

    #[test]
    fn numbers_go_on_gaps_stay_and_late_packets_find_their_place() {
        let mut upstream = Upstream::new();
        for (sequence, number) in [(10, 0), (11, 1), (14, 4), (13, 3), (11, 1), (15, 5)] {
            assert_eq!(upstream.send(sequence), Some(number), "{sequence}");
        }
        assert_eq!(upstream.timestamp(16), 6 * 900);
    }

    #[test]
    fn a_change_of_source_makes_no_gap_and_its_timestamps_go_on_with_time() {
        let mut upstream = Upstream::new();
        upstream.send(10);
        let first = upstream.timestamp(11);
        assert_eq!(first, 900);
        upstream.ssrc = 2;
        upstream.timestamp_base = 77;
        upstream.now += Duration::from_millis(490);
        assert_eq!(upstream.timestamp(40_000), first + 45_000, "after 500 ms");
        assert_eq!(upstream.send(40_001), Some(3));
        // The first source again: its old numbers mean nothing any more.
        upstream.ssrc = 1;
        assert_eq!(upstream.send(12), Some(4));
    }

    #[test]
    fn two_sources_at_one_moment_differ_in_their_timestamps() {
        let mut upstream = Upstream::new();
        let first = upstream.timestamp(1);
        upstream.ssrc = 2;
        upstream.now -= Duration::from_millis(10);
        assert_eq!(upstream.timestamp(9), first + 900);
    }

    #[test]
    fn a_sender_that_restarts_with_its_ssrc_is_another_source() {
        for restart in [5000, 10u16.wrapping_sub(200)] {
            let mut upstream = Upstream::new();
            upstream.send(9);
            assert_eq!(upstream.send(10), Some(1));
            let at = upstream.tick();
            assert!(!upstream.stream.continues(upstream.header(restart), at));
            assert_eq!(upstream.send(restart), Some(2));
        }
    }

    #[test]
    fn timestamps_that_jump_make_another_source_but_not_those_of_a_pause() {
        for has_media_time in [true, false] {
            let mut upstream = Upstream::new();
            upstream.has_media_time = has_media_time;
            let first = upstream.timestamp(10);
            // Back to the beginning of a file, by a seek.
            upstream.timestamp_base = upstream.timestamp_base.wrapping_sub(RATE * 60);
            assert_eq!(upstream.timestamp(11), first + 900);
            // A minute without media.
            upstream.now += Duration::from_secs(60);
            upstream.timestamp_base = upstream.timestamp_base.wrapping_add(RATE * 60);
            let at = upstream.tick();
            assert!(upstream.stream.continues(upstream.header(12), at));
            // An hour ahead.
            upstream.timestamp_base = upstream.timestamp_base.wrapping_add(RATE * 3600);
            assert!(!upstream.stream.continues(upstream.header(12), at));
        }
    }

    #[test]
    fn running_time_that_begins_anew_takes_the_time_of_arrival() {
        let mut upstream = Upstream::new();
        let first = upstream.timestamp(10);
        upstream.stream.change_source();
        let at = Moment {
            arrival: upstream.now + Duration::from_millis(20),
            media: Some(Duration::ZERO),
        };
        let place = upstream.stream.place(upstream.header(11), at).unwrap();
        let timestamp = place.timestamp.wrapping_sub(u32::MAX - 1000).cast_signed();
        assert_eq!(timestamp, first + 1800);
    }

    #[test]
    fn timestamps_may_run_back_by_two_seconds_and_ahead_by_five() {
        let mut upstream = Upstream::new();
        let at = upstream.tick();
        upstream.stream.place(upstream.header(10), at).unwrap();
        let continues_after = |ticks: i64| {
            let mut header = upstream.header(10);
            header.timestamp = header.timestamp.wrapping_add(ticks as u32);
            upstream.stream.continues(header, at)
        };
        let rate = i64::from(RATE);
        assert!(continues_after(-2 * rate));
        assert!(!continues_after(-2 * rate - 1));
        assert!(continues_after(5 * rate));
        assert!(!continues_after(5 * rate + 1));
    }

    #[test]
    fn the_time_between_two_sources_is_that_of_their_media() {
        // Media that differ by so much from the time of arrival have begun anew.
        for (media, passed) in [(40, 40), (5019, 5019), (5020, 20)] {
            let mut upstream = Upstream::new();
            let first = upstream.timestamp(10);
            upstream.stream.change_source();
            let at = Moment {
                arrival: upstream.now + Duration::from_millis(20),
                media: Some(upstream.now + Duration::from_millis(media)),
            };
            let place = upstream.stream.place(upstream.header(11), at).unwrap();
            let timestamp = place.timestamp.wrapping_sub(u32::MAX - 1000).cast_signed();
            assert_eq!(timestamp, first + 90 * passed);
        }
    }

    #[test]
    fn a_new_source_begins_after_the_highest_timestamp_and_its_first_packet() {
        let mut upstream = Upstream::new();
        let mut send = |sequence, timestamp| {
            let at = upstream.tick();
            let header = RtpHeader {
                ssrc: 1,
                sequence,
                timestamp,
            };
            upstream.stream.place(header, at).unwrap().timestamp
        };
        send(1, 0);
        let highest = send(2, 9000);
        send(3, 9000);
        send(4, 3000);
        upstream.stream.change_source();
        let at = upstream.tick();
        let place = upstream.stream.place(upstream.header(5), at).unwrap();
        assert_eq!(place.timestamp.wrapping_sub(highest), 3 * 900);
    }

    #[test]
    fn b_frames_keep_their_timestamps() {
        let mut upstream = Upstream::new();
        let at = upstream.tick();
        let mut send = |sequence, timestamp| {
            let header = RtpHeader {
                ssrc: 1,
                sequence,
                timestamp,
            };
            upstream.stream.place(header, at).unwrap().timestamp
        };
        let first = send(1, 0);
        assert_eq!(send(2, 9000).wrapping_sub(first), 9000);
        assert_eq!(send(3, 3000).wrapping_sub(first), 3000);
        assert_eq!(send(4, 6000).wrapping_sub(first), 6000);
    }

    #[test]
    fn skipped_packets_close_up() {
        let mut upstream = Upstream::new();
        assert_eq!(upstream.send(10), Some(0));
        // 11 is lost, and 14 among skipped ones.
        upstream.skip(12);
        upstream.skip(13);
        upstream.skip(15);
        assert_eq!(upstream.send(16), Some(2), "the gap of 11 stays");
        assert_eq!(upstream.send(11), Some(1));
        assert_eq!(upstream.send(14), None, "its place is taken");
        assert_eq!(upstream.send(17), Some(3));
        upstream.skip(18);
        assert_eq!(upstream.send(19), Some(4));
        assert_eq!(upstream.send(17), Some(3), "late");
    }

    #[test]
    fn what_is_lost_between_padding_stays_a_gap() {
        let mut upstream = Upstream::new();
        assert_eq!(upstream.send(10), Some(0));
        upstream.skip_padding(11);
        upstream.skip_padding(13);
        assert_eq!(upstream.send(12), Some(1), "late");
        upstream.skip_padding(15);
        upstream.skip_padding(16);
        assert_eq!(upstream.send(17), Some(3), "14 is missing");
        assert_eq!(upstream.send(14), Some(2));
    }

    #[test]
    fn padding_that_comes_late_closes_up_before_what_has_not_left() {
        let mut upstream = Upstream::new();
        assert_eq!(upstream.send(10), Some(0));
        upstream.skip_padding(15);
        upstream.skip_padding(13);
        upstream.skip_padding(13);
        upstream.skip_padding(12);
        assert_eq!(upstream.send(11), Some(1));
        assert_eq!(upstream.send(16), Some(3));
        assert_eq!(upstream.send(14), Some(2));
        // The place of 17 is a gap once 18 has left.
        assert_eq!(upstream.send(18), Some(5));
        upstream.skip_padding(17);
        assert_eq!(upstream.send(19), Some(6));
        // So is that of 20, behind the padding that is late.
        upstream.skip_padding(23);
        assert_eq!(upstream.send(21), Some(8));
        upstream.skip_padding(20);
        upstream.skip_padding(22);
        assert_eq!(upstream.send(24), Some(9));
    }

    /// A sender that probes with padding, over a way that changes its order.
    #[test]
    fn padding_in_any_order_makes_no_gap() {
        let mut random = crate::random::Random::new(11);
        let mut upstream = Upstream::new();
        let mut sequence = 0u16;
        let mut number = 0i16;
        for _ in 0..20_000 {
            assert_eq!(upstream.send(sequence), Some(number));
            let mut padding: Vec<u16> = (1..=random.below(8) as u16).collect();
            let count = padding.len() as u16;
            while !padding.is_empty() {
                let next = padding.swap_remove(random.below(padding.len()));
                upstream.skip_padding(sequence.wrapping_add(next));
            }
            sequence = sequence.wrapping_add(count).wrapping_add(1);
            number = number.wrapping_add(1);
        }
    }

    #[test]
    fn an_own_packet_takes_a_number_of_its_own() {
        let mut upstream = Upstream::new();
        assert_eq!(upstream.insert(10), Some(0), "before the first");
        assert_eq!(upstream.send(10), Some(1));
        assert_eq!(upstream.send(11), Some(2));
        assert_eq!(upstream.insert(14), Some(5), "12 and 13 are missing");
        assert_eq!(upstream.send(14), Some(6));
        assert_eq!(upstream.send(13), Some(4));
        upstream.skip(15);
        assert_eq!(upstream.insert(16), Some(7));
        assert_eq!(upstream.send(16), Some(8));
        assert_eq!(upstream.insert(12), None, "late");
        assert_eq!(upstream.send(15), None, "skipped, and its place is taken");
        assert_eq!(upstream.insert(17), Some(9));
        assert_eq!(upstream.insert(17), Some(10), "another one before it");
        assert_eq!(upstream.send(17), Some(11));
        assert_eq!(upstream.send(16), Some(8), "late");
    }

    #[test]
    fn a_long_stream_without_changes_goes_on() {
        let mut upstream = Upstream::new();
        for count in 0..200_000u32 {
            let number = upstream.send(count as u16);
            assert_eq!(number, Some((count as u16).cast_signed()), "packet {count}");
        }
        assert_eq!(
            upstream.send(199_950u32 as u16),
            Some((199_950u32 as u16).cast_signed())
        );
        upstream.skip(200_000u32 as u16);
        for count in 200_001..300_000u32 {
            let number = upstream.send(count as u16);
            let expected = (count - 1) as u16;
            assert_eq!(number, Some(expected.cast_signed()), "{count}");
        }
    }

    #[test]
    fn long_streams_with_many_changes_stay_in_order_and_bounded() {
        let mut upstream = Upstream::new();
        let mut random = crate::random::Random::new(7);
        let (mut sequence, mut last) = (0u16, None::<u16>);
        for _ in 0..200_000 {
            sequence = sequence.wrapping_add(1);
            let at = upstream.tick();
            let header = upstream.header(sequence);
            match random.below(10) {
                0 => upstream.stream.skip(header, at, Missing::LeftOut),
                1 => {
                    upstream.ssrc = upstream.ssrc.wrapping_add(1);
                    sequence = random.below(65_536) as u16;
                }
                kind => {
                    let own = (kind == 2).then(|| upstream.stream.insert(header, at).unwrap());
                    let place = upstream.stream.place(header, at).unwrap();
                    for place in own.into_iter().chain([place]) {
                        let expected = last.map(|last| last.wrapping_add(1));
                        assert_eq!(place.sequence, expected.unwrap_or(place.sequence));
                        last = Some(place.sequence);
                    }
                }
            }
            let source = upstream.stream.source.as_ref();
            assert!(source.is_none_or(|source| source.segments.len() <= MAX_SEGMENTS));
        }
    }
}
