//! Finds the pictures that a decoder could show: the packets of an H.264 section
//! come in, counts of whole frames and of the gaps between them go out. It
//! decodes nothing.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::h264::{PayloadInfo, SliceHead};
use crate::video::Picture;

/// Longest gap in milliseconds that is not a freeze.
const FREEZE_MS: u64 = 200;

/// Number of packets that wait for missing ones before them.
const WINDOW: usize = 2048;

/// The decodable frames of a video section.
///
/// A key frame is decodable if all its packets have arrived, and parameter sets
/// in it or before; others if so was each frame since the key frame, and
/// `frame_num` shows that the publisher left out none that they may need. They
/// count when that is so: a packet that is sent again may complete several frames
/// at once. Parameter sets in the offer don't count. Of several SSRCs, the last
/// one counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameReport {
    /// How many there were.
    pub decodable: u64,
    /// Longest time without one in milliseconds, from the first packet on.
    pub longest_gap_ms: u64,
    /// The same for gaps that are open or have ended since the last
    /// [`Media`](crate::Happening::Media) event. They count in full length.
    pub recent_gap_ms: u64,
    /// Sum of the gaps of more than 200 ms, in milliseconds.
    pub frozen_ms: u64,
}

impl FrameReport {
    fn add_gap(&mut self, gap: u64) {
        self.longest_gap_ms = self.longest_gap_ms.max(gap);
        self.recent_gap_ms = self.recent_gap_ms.max(gap);
        if gap > FREEZE_MS {
            self.frozen_ms += gap;
        }
    }
}

/// What a packet has of a frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) ssrc: u32,
    /// Extended, so it never wraps.
    pub(crate) sequence: u64,
    /// Extended RTP timestamp.
    pub(crate) timestamp: u64,
    /// The marker bit: the frame ends here.
    pub(crate) marker: bool,
    pub(crate) payload: PayloadInfo,
}

/// The frames of one section so far.
#[derive(Debug)]
pub(crate) struct Frames {
    /// The last SSRC, and the one before it.
    ssrcs: (u32, Option<u32>),
    /// The packets of frames that are not decodable yet, by sequence number.
    waiting: BTreeMap<u64, Piece>,
    /// Whether there was a sequence and a picture parameter set.
    parameters: (bool, bool),
    /// Bits of `frame_num`; `None` if it can't be checked.
    frame_num_bits: Option<u32>,
    /// `frame_num` of the last reference frame.
    frame_num: u32,
    /// The packet with which the next frame begins; `None` if only a key frame
    /// can be next.
    next: Option<u64>,
    /// When the last decodable frame or, before it, the first packet came.
    gap_since_ms: u64,
    /// Without the open gap.
    report: FrameReport,
    /// The frames that have become decodable since they were taken last.
    pictures: Vec<Picture>,
}

impl Frames {
    /// Of a section whose first packet is this one.
    pub(crate) fn new(first: &Piece, at_ms: u64) -> Self {
        Self {
            ssrcs: (first.ssrc, None),
            waiting: BTreeMap::new(),
            parameters: (false, false),
            frame_num_bits: None,
            frame_num: 0,
            next: None,
            gap_since_ms: at_ms,
            report: FrameReport::default(),
            pictures: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, piece: &Piece, at_ms: u64) {
        if !self.is_of_last_ssrc(piece) || self.next.is_some_and(|next| piece.sequence < next) {
            return;
        }
        self.parameters.0 |= piece.payload.sequence_set;
        self.parameters.1 |= piece.payload.picture_set;
        self.waiting.insert(piece.sequence, *piece);
        if self.waiting.len() > WINDOW {
            self.waiting.pop_first();
        }
        if piece.payload.sequence_set {
            self.frame_num_bits = piece.payload.frame_num_bits;
        }
        if let Some(frame) = self.key_frame_at(piece.sequence) {
            self.show(&frame, at_ms);
        }
        while let Some(frame) = self.next.and_then(|next| self.frame_from(next)) {
            if frame.picture.key || self.follows(&frame) {
                self.show(&frame, at_ms);
            } else {
                self.next = None;
            }
        }
    }

    /// The frames that have become decodable since the last call.
    pub(crate) fn take_pictures(&mut self) -> Vec<Picture> {
        std::mem::take(&mut self.pictures)
    }

    /// The SSRC whose frames count.
    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrcs.0
    }

    /// The frames so far, with the gap that is open.
    pub(crate) fn report(&self, at_ms: u64) -> FrameReport {
        let mut report = self.report;
        report.add_gap(at_ms.saturating_sub(self.gap_since_ms));
        report
    }

    /// From now on [`FrameReport::recent_gap_ms`] is for another interval.
    pub(crate) fn begin_interval(&mut self) {
        self.report.recent_gap_ms = 0;
    }

    /// A packet with a new SSRC replaces the stream, unless it is a late one.
    fn is_of_last_ssrc(&mut self, piece: &Piece) -> bool {
        let (last, before) = self.ssrcs;
        if piece.ssrc == last {
            return true;
        }
        if before == Some(piece.ssrc) {
            return false;
        }
        self.ssrcs = (piece.ssrc, Some(last));
        self.waiting.clear();
        self.parameters = (false, false);
        self.frame_num_bits = None;
        self.next = None;
        true
    }

    /// The key frame that this packet has made decodable, whatever is missing
    /// before it.
    fn key_frame_at(&self, sequence: u64) -> Option<Frame> {
        let frame = self.frame_from(self.first_of_frame(sequence)?)?;
        (frame.picture.key && self.parameters == (true, true)).then_some(frame)
    }

    fn first_of_frame(&self, sequence: u64) -> Option<u64> {
        let piece = |sequence| self.waiting.get(&sequence);
        let timestamp = piece(sequence)?.timestamp;
        let mut first = sequence;
        while let Some(before) = first.checked_sub(1).and_then(piece) {
            if before.marker || before.timestamp != timestamp {
                return Some(first);
            }
            first -= 1;
        }
        piece(first)?.payload.begins_picture.then_some(first)
    }

    /// The frame that begins with this packet, if all its packets are there.
    fn frame_from(&self, first: u64) -> Option<Frame> {
        let timestamp = self.waiting.get(&first)?.timestamp;
        let mut frame = Frame {
            last: first,
            picture: Picture {
                timestamp,
                key: false,
                slices: 0,
                b_slice: false,
            },
            slice: None,
        };
        loop {
            let piece = self.waiting.get(&frame.last)?;
            if piece.timestamp != timestamp {
                return None;
            }
            frame.picture.key |= piece.payload.idr;
            frame.picture.slices += piece.payload.slices;
            frame.picture.b_slice |= piece.payload.b_slice;
            frame.slice = frame.slice.or(piece.payload.slice);
            if piece.marker {
                return Some(frame);
            }
            frame.last += 1;
        }
    }

    /// Whether no reference frame is missing between the last one and this one
    /// (H.264 7.4.3), as far as that can be told.
    fn follows(&self, frame: &Frame) -> bool {
        let number = self.number_of(frame);
        number.is_none_or(|(number, bits)| number == (self.frame_num + 1) % (1 << bits))
    }

    fn number_of(&self, frame: &Frame) -> Option<(u32, u32)> {
        let bits = self.frame_num_bits?;
        Some((frame.slice?.frame_num(bits)?, bits))
    }

    fn show(&mut self, frame: &Frame, at_ms: u64) {
        self.report.decodable += 1;
        self.pictures.push(frame.picture);
        self.report.add_gap(at_ms.saturating_sub(self.gap_since_ms));
        self.gap_since_ms = at_ms;
        self.next = Some(frame.last + 1);
        self.waiting = self.waiting.split_off(&(frame.last + 1));
        if frame.slice.is_some_and(|slice| slice.reference)
            && let Some((number, _)) = self.number_of(frame)
        {
            self.frame_num = number;
        }
    }
}

/// A frame whose packets are all there.
#[derive(Debug)]
struct Frame {
    /// Its last packet.
    last: u64,
    picture: Picture,
    /// Its first slice.
    slice: Option<SliceHead>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h264;

    const SETS: &[u8] = &[0x78, 0, 2, 0x67, 66, 0, 2, 0x68, 0xce];
    const KEY: &[u8] = &[0x65, 0x88];
    const DELTA: &[u8] = &[0x41, 0x9a];
    /// A slice of a picture that has begun before.
    const MORE: &[u8] = &[0x41, 0x1a];

    fn piece(sequence: u64, frame: u64, marker: bool, payload: &[u8]) -> Piece {
        Piece {
            ssrc: 7,
            sequence,
            timestamp: frame * 3000,
            marker,
            payload: h264::inspect(payload),
        }
    }

    /// Frames of two packets each, in order: a key frame with parameter sets,
    /// then others. The packets of frame `n` are `2n` and `2n + 1`.
    fn stream(frames: u64) -> Vec<Piece> {
        let pieces = (0..frames).flat_map(|frame| {
            let payloads = if frame == 0 {
                [SETS, KEY]
            } else {
                [DELTA, MORE]
            };
            [
                piece(2 * frame, frame, false, payloads[0]),
                piece(2 * frame + 1, frame, true, payloads[1]),
            ]
        });
        pieces.collect()
    }

    /// The report after packets that come every 10 ms.
    fn report(pieces: &[Piece]) -> FrameReport {
        let mut frames = Frames::new(&pieces[0], 0);
        let mut at = 0;
        for piece in pieces {
            frames.add(piece, at);
            at += 10;
        }
        frames.report(at)
    }

    #[test]
    fn whole_frames_count() {
        assert_eq!(
            report(&stream(5)),
            FrameReport {
                decodable: 5,
                longest_gap_ms: 20,
                recent_gap_ms: 20,
                frozen_ms: 0
            }
        );
    }

    #[test]
    fn nothing_counts_before_a_key_frame_with_parameter_sets() {
        assert_eq!(report(&stream(5)[2..]).decodable, 0);
        let mut bare = stream(5);
        bare[0] = piece(0, 0, false, KEY);
        assert_eq!(report(&bare).decodable, 0);
        let mut later = stream(5);
        later.push(piece(10, 5, true, KEY));
        assert_eq!(report(&later[1..]).decodable, 0);
    }

    #[test]
    fn a_missing_packet_stops_the_picture_until_it_comes() {
        let mut pieces = stream(5);
        let missing = pieces.remove(3);
        assert_eq!(report(&pieces).decodable, 1);
        pieces.push(missing);
        assert_eq!(report(&pieces).decodable, 5);
    }

    #[test]
    fn a_missing_packet_stops_the_picture_until_the_next_key_frame() {
        let mut pieces = stream(30);
        pieces.remove(3);
        pieces.push(piece(60, 30, true, KEY));
        pieces.push(piece(61, 31, true, DELTA));
        let report = report(&pieces);
        assert_eq!(report.decodable, 3);
        // From the first key frame to the second one.
        assert_eq!(report.longest_gap_ms, 580);
        assert_eq!(report.frozen_ms, 580);
    }

    #[test]
    fn a_key_frame_without_its_start_does_not_count() {
        let mut pieces = stream(2);
        // 4 is missing, with the start of the slice.
        pieces.push(piece(5, 2, true, &[0x7c, 0x45, 1]));
        assert_eq!(report(&pieces).decodable, 2);
        pieces.push(piece(4, 2, false, &[0x7c, 0x85, 0x88]));
        assert_eq!(report(&pieces).decodable, 3);
    }

    /// Frames of a packet each, numbered by 4 bits. Every third one is needed by
    /// no other.
    fn numbered(frames: u64) -> Vec<Piece> {
        let mut number = 0;
        let pieces = (0..frames).map(|frame| {
            let reference = frame % 3 != 2;
            let slice = [0xe0 | number << 1, 0];
            let sets = &[0x78, 0, 6, 0x67, 66, 0, 30, 0xda, 0x70, 0, 1, 0x68];
            let payload = match (frame, reference) {
                (0, _) => [&sets[..], &[0, 2, 0x65, slice[0]]].concat(),
                (_, true) => vec![0x41, slice[0]],
                (_, false) => vec![0x01, slice[0]],
            };
            number = (number + u8::from(reference)) % 16;
            piece(frame, frame, true, &payload)
        });
        pieces.collect()
    }

    /// Gives the packets sequence numbers without gaps.
    fn renumbered(mut pieces: Vec<Piece>) -> Vec<Piece> {
        let numbers = 0..;
        let both = pieces.iter_mut().zip(numbers);
        both.for_each(|(piece, number)| piece.sequence = number);
        pieces
    }

    #[test]
    fn a_publisher_may_leave_out_only_what_no_frame_needs() {
        assert_eq!(report(&numbered(50)).decodable, 50);
        let needed = |left_out: usize| {
            let mut pieces = numbered(50);
            pieces.remove(left_out);
            report(&renumbered(pieces)).decodable
        };
        assert_eq!([needed(20), needed(22)], [49, 22]);
    }

    #[test]
    fn the_end_of_a_group_of_pictures_may_be_left_out() {
        let mut pieces = numbered(20);
        pieces.extend(numbered(20));
        pieces.drain(14..20);
        let group = |(index, piece): (usize, Piece)| Piece {
            timestamp: piece.timestamp + if index < 14 { 0 } else { 60_000 },
            ..piece
        };
        let pieces = pieces.into_iter().enumerate().map(group).collect();
        assert_eq!(report(&renumbered(pieces)).decodable, 34);
    }

    #[test]
    fn packets_may_change_places_and_come_twice() {
        let mut pieces = stream(6);
        pieces.swap(4, 5);
        pieces.swap(7, 8);
        pieces.push(pieces[2]);
        assert_eq!(report(&pieces).decodable, 6);
    }

    #[test]
    fn an_open_gap_counts_as_it_grows_and_in_each_interval() {
        let pieces = stream(2);
        let mut frames = Frames::new(&pieces[0], 1000);
        pieces.iter().for_each(|piece| frames.add(piece, 1000));
        assert_eq!(frames.report(1200).frozen_ms, 0);
        frames.begin_interval();
        let report = frames.report(2000);
        assert_eq!((report.recent_gap_ms, report.frozen_ms), (1000, 1000));
        frames.add(&piece(4, 2, true, DELTA), 3000);
        assert_eq!(frames.report(3010).recent_gap_ms, 2000);
        frames.begin_interval();
        assert_eq!(frames.report(3010).recent_gap_ms, 10);
        assert_eq!(frames.report(3010).longest_gap_ms, 2000);
    }

    #[test]
    fn a_new_ssrc_starts_with_a_key_frame_of_its_own() {
        let mut pieces = stream(3);
        let other = |piece: &Piece| Piece { ssrc: 8, ..*piece };
        let restarted: Vec<Piece> = stream(3).iter().map(other).collect();
        pieces.extend_from_slice(&restarted[2..]);
        assert_eq!(report(&pieces).decodable, 3);
        pieces.extend_from_slice(&restarted);
        // Late, from the first one.
        pieces.push(piece(6, 3, true, DELTA));
        assert_eq!(report(&pieces).decodable, 6);
    }

    #[test]
    fn few_packets_wait() {
        let first = piece(0, 0, false, DELTA);
        let mut frames = Frames::new(&first, 0);
        for sequence in 0..10_000 {
            frames.add(&piece(sequence, sequence, true, DELTA), sequence);
        }
        assert_eq!(frames.waiting.len(), WINDOW);
    }
}
