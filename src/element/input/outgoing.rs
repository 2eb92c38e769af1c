//! What leaves a pad: its packets with the headers of one RTP stream.

use std::time::{Duration, Instant};

use rtp_types::{RtpPacket, RtpPacketBuilder};

use super::gate::Gate;
use super::stream_format::StreamFormat;
use crate::media::bandwidth::{DroppedFrames, ExtensionId, Thinning, transport_sequence_block};
use crate::media::{
    AudioMeter, FrameStart, Missing, Moment, ParameterSets, Place, RtpHeader, RtpStream,
};
use crate::whip::Track;

/// A pad's outgoing stream, from its first caps to the next ones of another codec.
pub(super) struct Outgoing {
    format: StreamFormat,
    ssrc: u32,
    stream: RtpStream,
    /// For H.264.
    sets: Option<ParameterSets>,
    /// What comes in, also while nothing leaves. It counts packets of any kind.
    incoming: AudioMeter,
    thinning: Option<Thinning>,
    dropped: DroppedFrames,
    /// The timestamp of the latest frame, if it was left out.
    left_out: Option<u32>,
    /// Packets ahead of the one that tells whether their frame is left out.
    preamble: Vec<Held>,
    /// By which packets carry their transport-wide numbers.
    extension: Option<ExtensionId>,
    origin: Instant,
    /// A packet of several memories is copied to it.
    copy_buffer: Vec<u8>,
}

/// What becomes of a packet.
#[derive(Debug, Default)]
pub(super) struct Passage {
    /// The packets that leave, in order: none, the packet, or the packet after its
    /// parameter sets.
    pub(super) packets: Vec<gst::Buffer>,
    /// Whether media arrived.
    pub(super) has_media: bool,
    /// Another source begins, whose key frame is awaited.
    pub(super) awaits_key_frame: bool,
    /// The opening of the gate by which they leave.
    pub(super) opening: u64,
}

/// How many packets may be ahead of a frame's first slice.
const MAX_PREAMBLE: usize = 16;

/// How far a packet may be behind those that are held to be a late one of their source
/// (RFC 3550 A.1: `MAX_MISORDER`).
const MOST_LATE: u16 = 100;

/// A packet as it came.
#[derive(Clone, Copy)]
struct Arrived<'a> {
    packet: &'a RtpPacket<'a>,
    header: RtpHeader,
    buffer: &'a gst::BufferRef,
    at: Moment,
}

/// A packet that waits for the fate of its frame.
struct Held {
    header: RtpHeader,
    at: Moment,
    buffer: gst::Buffer,
    payload: Vec<u8>,
}

impl Outgoing {
    pub(super) fn new(format: StreamFormat, ssrc: u32) -> Self {
        let first = Place {
            sequence: glib::random_int() as u16,
            timestamp: glib::random_int(),
        };
        let mut outgoing = Self {
            stream: RtpStream::new(format.clock_rate(), first),
            sets: format.is_h264().then(ParameterSets::default),
            incoming: AudioMeter::default(),
            thinning: None,
            dropped: DroppedFrames::default(),
            left_out: None,
            preamble: Vec::new(),
            extension: None,
            format: format.clone(),
            ssrc,
            origin: Instant::now(),
            copy_buffer: Vec::new(),
        };
        outgoing.set_format(format);
        outgoing
    }

    /// Takes new caps of the same codec.
    pub(super) fn set_format(&mut self, format: StreamFormat) {
        if let (Some(sets), Some(sprop)) = (&mut self.sets, &format.parameter_sets) {
            sets.replace(sprop);
        }
        self.format = format;
    }

    /// Whether a stream of this format can go on in this one.
    pub(super) fn carries(&self, format: &StreamFormat) -> bool {
        self.format.fits_session_of(format)
    }

    /// Lets the next packet begin a new source.
    pub(super) fn change_source(&mut self) {
        self.stream.change_source();
    }

    /// Begins a session, whose packets carry transport-wide numbers if there is an
    /// extension for them.
    pub(super) fn begin_session(&mut self, extension: Option<ExtensionId>) {
        self.extension = extension;
        self.preamble.clear();
        self.set_thinning(None);
        self.change_source();
    }

    /// Leaves out frames of H.264 that do not fit a bit rate.
    pub(super) fn set_thinning(&mut self, target: Option<u64>) {
        match (&mut self.thinning, target) {
            (None, None) => {}
            (Some(thinning), target) => thinning.set_target(target),
            (None, Some(_)) => {
                let thinning = self.thinning.insert(Thinning::default());
                thinning.set_target(target);
            }
        }
    }

    /// The payload that comes in, in bit/s over the last seconds, once that is measured.
    pub(super) fn incoming_rate(&self) -> Option<u64> {
        let bit_rate = self.incoming.bit_rate(self.origin.elapsed());
        (bit_rate > 0).then_some(bit_rate)
    }

    /// What was left out.
    pub(super) fn dropped(&self) -> DroppedFrames {
        self.dropped
    }

    /// Passes a packet, which comes at `now`, through the gate and gives it the stream's
    /// header. `running_time` is that of its media, if known. What leaves is added to
    /// `passage`.
    pub(super) fn pass(
        &mut self,
        buffer: &gst::BufferRef,
        running_time: Option<gst::ClockTime>,
        now: Instant,
        gate: &Gate,
        passage: &mut Passage,
    ) {
        let at = Moment {
            arrival: now.saturating_duration_since(self.origin),
            media: running_time.map(Duration::from),
        };
        let mut bytes = std::mem::take(&mut self.copy_buffer);
        bytes.resize(buffer.size(), 0);
        let copied = buffer.copy_to_slice(0, &mut bytes).ok();
        self.incoming.packet(&bytes, at.arrival);
        if let Some(packet) = copied.and_then(|()| RtpPacket::parse(&bytes).ok()) {
            let arrived = Arrived {
                packet: &packet,
                header: RtpHeader::from(&packet),
                buffer,
                at,
            };
            self.pass_packet(arrived, gate, passage);
        }
        self.copy_buffer = bytes;
    }

    fn pass_packet(&mut self, arrived: Arrived<'_>, gate: &Gate, passage: &mut Passage) {
        let Arrived {
            packet,
            header,
            buffer,
            at,
        } = arrived;
        // Padding, which keeps a way open or probes it. A decoder has no use for it.
        if packet.payload().is_empty() {
            self.stream.skip(header, at, Missing::Lost);
            return;
        }
        passage.has_media = true;
        if self.is_of_earlier_frame(header, at) {
            self.pass_late(arrived, gate, passage);
            return;
        }
        // Also while the gate is closed, since the sets may come only once.
        let frame = self.frame_start(packet, buffer);
        passage.awaits_key_frame |= self.format.track == Track::Video
            && !self.stream.continues(header, at)
            && gate.await_key_frame_again(Instant::now());
        let packets = &mut passage.packets;
        if gate.passes(|| frame.is_entry)
            && !self.holds(arrived, frame)
            && self.fits(arrived, frame, packets)
        {
            if frame.lacks_sets {
                self.insert_sets(arrived, packets);
            }
            if let Some(place) = self.stream.place(header, at) {
                // Some payloaders have one on each unit ahead of a key frame's slices
                // (rtph264pay, if each comes in a buffer of its own). A decoder would take
                // these for a frame.
                let marker = packet.marker_bit() && !frame.lacks_slices;
                packets.extend(self.packet(buffer, place, marker, packet.payload()));
            }
        }
    }

    /// Keeps a packet that is ahead of its frame's first slice, if frames are left out:
    /// it tells nothing of the frame, and shares its fate. Returns whether it did.
    fn holds(&mut self, arrived: Arrived<'_>, frame: FrameStart) -> bool {
        if self.thinning.is_none() || self.sets.is_none() || !frame.is_preamble {
            return false;
        }
        self.skip_preamble_of_others(arrived.header);
        if self.preamble.len() >= MAX_PREAMBLE {
            self.skip_preamble(Missing::Lost);
        }
        self.preamble.push(Held {
            header: arrived.header,
            at: arrived.at,
            buffer: arrived.buffer.to_owned(),
            payload: arrived.packet.payload().to_vec(),
        });
        true
    }

    /// Whether a packet comes behind one of a later frame.
    fn is_of_earlier_frame(&self, header: RtpHeader, at: Moment) -> bool {
        let of_now = self.sets.as_ref().and_then(ParameterSets::timestamp);
        let behind = |held: &Held| held.header.sequence.wrapping_sub(header.sequence);
        let is_behind_held = self.preamble.first().is_some_and(|held| {
            held.header.ssrc == header.ssrc && (1..=MOST_LATE).contains(&behind(held))
        });
        of_now.is_some_and(|of_now| of_now != header.timestamp)
            && (is_behind_held || self.stream.is_late(header, at))
    }

    /// Passes a packet of an earlier frame, whose fate it shares. For the later one it is as
    /// if it had not come.
    fn pass_late(&mut self, arrived: Arrived<'_>, gate: &Gate, passage: &mut Passage) {
        let Arrived {
            packet, header, at, ..
        } = arrived;
        let sets = self.sets.as_mut();
        let has_slice = sets.is_none_or(|sets| sets.late_packet(packet.payload()));
        if !gate.passes(|| false) {
            return;
        }
        if self.left_out == Some(header.timestamp) {
            self.stream.skip(header, at, Missing::LeftOut);
        } else if let Some(place) = self.stream.place(header, at) {
            let marker = packet.marker_bit() && has_slice;
            let packet = self.packet(arrived.buffer, place, marker, packet.payload());
            passage.packets.extend(packet);
        }
    }

    /// Whether thinning lets a packet leave. One that does not leaves no gap. What was held
    /// of its frame leaves ahead of it.
    fn fits(
        &mut self,
        arrived: Arrived<'_>,
        frame: FrameStart,
        packets: &mut Vec<gst::Buffer>,
    ) -> bool {
        let Arrived {
            packet, header, at, ..
        } = arrived;
        self.skip_preamble_of_others(header);
        let missing = self.missing_ahead_of(frame);
        let Some(thinning) = self.thinning.as_mut().filter(|_| self.sets.is_some()) else {
            return true;
        };
        let held = self.preamble.iter().map(|held| held.payload.len());
        let size = packet.payload_len() + held.sum::<usize>();
        let fits = thinning.passes(frame.kind, size, at.arrival);
        self.dropped = thinning.dropped();
        self.left_out = (!fits).then_some(header.timestamp);
        if fits {
            self.release_preamble(packets);
        } else {
            self.skip_preamble(missing);
            self.stream.skip(header, at, missing);
        }
        fits
    }

    /// What is missing between a packet of this frame that is left out and one that was left
    /// out before. As long as the group is whole, it can be a frame that was to leave.
    fn missing_ahead_of(&self, frame: FrameStart) -> Missing {
        let is_broken = self.thinning.as_ref().is_some_and(Thinning::is_broken);
        match is_broken || frame.kind.is_none() {
            true => Missing::LeftOut,
            false => Missing::Lost,
        }
    }

    fn release_preamble(&mut self, packets: &mut Vec<gst::Buffer>) {
        for held in std::mem::take(&mut self.preamble) {
            if let Some(place) = self.stream.place(held.header, held.at) {
                packets.extend(self.packet(&held.buffer, place, false, &held.payload));
            }
        }
    }

    /// Leaves out what was held of another frame than the one of this packet: its slices
    /// are lost.
    fn skip_preamble_of_others(&mut self, header: RtpHeader) {
        let first = self.preamble.first();
        if first.is_some_and(|held| held.header.timestamp != header.timestamp) {
            self.skip_preamble(Missing::Lost);
        }
    }

    fn skip_preamble(&mut self, missing: Missing) {
        for held in std::mem::take(&mut self.preamble) {
            self.stream.skip(held.header, held.at, missing);
        }
    }

    fn frame_start(&mut self, packet: &RtpPacket<'_>, buffer: &gst::BufferRef) -> FrameStart {
        match &mut self.sets {
            Some(sets) => sets.packet(packet.payload(), packet.timestamp()),
            // The flag that encoders and parsers set and payloaders copy.
            None => FrameStart {
                is_entry: !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT),
                ..FrameStart::default()
            },
        }
    }

    /// Makes packets of the parameter sets, ahead of the one that arrived.
    fn insert_sets(&mut self, arrived: Arrived<'_>, packets: &mut Vec<gst::Buffer>) {
        let payloads = self.sets.as_ref().map(ParameterSets::payloads);
        for payload in payloads.unwrap_or_default() {
            let place = self.stream.insert(arrived.header, arrived.at);
            let packet = |place| self.packet(arrived.buffer, place, false, &payload);
            packets.extend(place.and_then(packet));
        }
    }

    /// A packet with the times of `like`. Of the incoming header only the marker stays.
    fn packet(
        &self,
        like: &gst::BufferRef,
        place: Place,
        marker: bool,
        payload: &[u8],
    ) -> Option<gst::Buffer> {
        let mut packet = RtpPacketBuilder::<_, &[u8]>::new()
            .payload_type(self.format.payload_type())
            .ssrc(self.ssrc)
            .sequence_number(place.sequence)
            .timestamp(place.timestamp)
            .marker_bit(marker)
            .payload(payload);
        // The number is written where the packet leaves webrtcbin's RTP session.
        let block = self.extension.map(|id| transport_sequence_block(id, 0));
        if let Some([profile_0, profile_1, _, _, data @ ..]) = &block {
            packet = packet.extension(u16::from_be_bytes([*profile_0, *profile_1]), data);
        }
        let mut buffer = gst::Buffer::from_mut_slice(packet.write_vec().ok()?);
        let writable = buffer.get_mut()?;
        // Of the memory, which is another one.
        writable.set_flags(like.flags() - gst::BufferFlags::TAG_MEMORY);
        writable.set_pts(like.pts());
        writable.set_dts(like.dts());
        writable.set_duration(like.duration());
        Some(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of H.264 through an open gate, and the numbers of what leaves.
    struct Source {
        outgoing: Outgoing,
        gate: Gate,
        sequence: u16,
    }

    impl Source {
        fn new() -> Self {
            gst::init().unwrap();
            let format = StreamFormat {
                track: Track::Video,
                encoding: Some("H264".to_owned()),
                named_clock_rate: None,
                parameter_sets: None,
                parameters: Vec::new(),
            };
            let gate = Gate::default();
            gate.open();
            Self {
                outgoing: Outgoing::new(format, 7),
                gate,
                sequence: 0,
            }
        }

        /// Sends the next packet, one of a frame, with a marker. Returns what leaves.
        fn send(&mut self, frame: u32, payload: &[u8]) -> Vec<Left> {
            self.sequence += 1;
            self.send_as(self.sequence, frame, payload)
        }

        fn send_as(&mut self, sequence: u16, frame: u32, payload: &[u8]) -> Vec<Left> {
            let packet = RtpPacketBuilder::<_, &[u8]>::new()
                .payload_type(96)
                .ssrc(1)
                .sequence_number(sequence)
                .timestamp(frame * 3000)
                .marker_bit(true)
                .payload(payload);
            let buffer = gst::Buffer::from_slice(packet.write_vec().unwrap());
            let time = gst::ClockTime::from_mseconds(u64::from(frame) * 33);
            let mut passage = Passage::default();
            let now = Instant::now();
            self.outgoing
                .pass(&buffer, Some(time), now, &self.gate, &mut passage);
            let left = passage.packets.iter().map(|buffer| {
                let bytes = buffer.map_readable().unwrap();
                let packet = RtpPacket::parse(&bytes).unwrap();
                Left {
                    sequence: packet.sequence_number(),
                    timestamp: packet.timestamp(),
                    marker: packet.marker_bit(),
                    payload: packet.payload().to_vec(),
                }
            });
            left.collect()
        }
    }

    /// A source whose frames are left out from the second on, and the number of its first.
    fn thinned() -> (Source, u16) {
        let mut source = Source::new();
        source.send(0, SETS);
        source.outgoing.set_thinning(Some(1));
        let key = source.send(0, KEY);
        (source, key[0].sequence)
    }

    /// A packet that left.
    #[derive(Debug, PartialEq)]
    struct Left {
        sequence: u16,
        timestamp: u32,
        marker: bool,
        payload: Vec<u8>,
    }

    /// The numbers of what leaves, counted from `last`.
    fn numbers(left: &[Left], last: u16) -> Vec<u16> {
        let numbers = left.iter().map(|left| left.sequence.wrapping_sub(last));
        numbers.collect()
    }

    const KEY: &[u8] = &[0x65, 0x88];
    const SETS: &[u8] = &[0x78, 0, 5, 0x67, 0x42, 0xe0, 0x1f, 0x8c, 0, 2, 0x68, 0xce];
    const MESSAGE: &[u8] = &[6, 5, 17];
    const FRAME: &[u8] = &[0x41, 0x9a];
    /// A frame in three packets.
    const BEGIN: &[u8] = &[0x5c, 0x81, 0x9a];
    const INSIDE: &[u8] = &[0x5c, 0x01, 0x9a];
    const END: &[u8] = &[0x5c, 0x41, 0x9a];

    #[test]
    fn what_is_ahead_of_a_frame_shares_its_fate_while_frames_are_left_out() {
        let mut source = Source::new();
        source.send(0, SETS);
        source.outgoing.set_thinning(Some(1_000_000));
        let key = source.send(0, KEY);
        assert_eq!(key.len(), 1);
        // Frame 1 fits, and its message leaves with it.
        assert_eq!(source.send(1, MESSAGE), []);
        let large = [&[0x41, 0x9a][..], &vec![0; 200_000]].concat();
        let [message, frame] = &source.send(1, &large)[..] else {
            panic!();
        };
        assert_eq!(message.payload, MESSAGE);
        assert_eq!(message.sequence, key[0].sequence.wrapping_add(1));
        assert_eq!(frame.sequence, key[0].sequence.wrapping_add(2));
        assert_eq!(frame.timestamp, message.timestamp);
        // Frame 2 does not, and neither does its message, nor one without a frame.
        assert_eq!(source.send(2, MESSAGE), []);
        assert_eq!(source.send(2, &[0x41, 0x9a]), []);
        assert_eq!(source.send(3, MESSAGE), []);
        assert_eq!(source.send(4, &[0x41, 0x9a]), []);
        // Nothing is missing before what follows.
        source.outgoing.set_thinning(None);
        assert_eq!(source.send(5, SETS).len(), 1);
        let next = source.send(5, KEY);
        assert_eq!(next[0].sequence, frame.sequence.wrapping_add(2));
    }

    #[test]
    fn a_frame_does_not_end_before_its_first_slice() {
        let mut source = Source::new();
        let mut marker = |payload| source.send(0, payload)[0].marker;
        let all = [SETS, MESSAGE, KEY, &[0x41, 0x1a]];
        assert_eq!(all.map(&mut marker), [false, false, true, true]);
    }

    #[test]
    fn a_packet_without_payload_leaves_no_gap() {
        let mut source = Source::new();
        source.send(0, SETS);
        let key = source.send(0, KEY);
        assert_eq!(source.send(0, &[]), []);
        assert_eq!(source.send(1, &[]), []);
        let next = source.send(1, &[0x41, 0x9a]);
        assert_eq!(next[0].sequence, key[0].sequence.wrapping_add(1));
    }

    #[test]
    fn padding_ahead_of_a_frame_makes_no_gap_whatever_becomes_of_the_frame() {
        let (mut source, last) = thinned();
        for frame in 2..5 {
            assert_eq!(source.send(frame, MESSAGE), []);
            assert_eq!(source.send(frame - 1, &[]), []);
            assert_eq!(source.send(frame, FRAME), []);
        }
        source.outgoing.set_thinning(None);
        source.send(5, MESSAGE);
        source.send(4, &[]);
        // The message, the sets and the key frame.
        assert_eq!(numbers(&source.send(5, KEY), last), [1, 2, 3]);
    }

    #[test]
    fn a_frame_that_is_lost_between_two_that_are_left_out_stays_a_gap() {
        let (mut source, last) = thinned();
        let disposable = &[0x01, 0x9e];
        assert_eq!(source.send(2, disposable), []);
        source.sequence += 1;
        assert_eq!(source.send(4, disposable), []);
        source.outgoing.set_thinning(None);
        assert_eq!(numbers(&source.send(5, FRAME), last), [2]);
    }

    #[test]
    fn what_is_lost_of_a_group_that_is_left_out_makes_no_gap() {
        let (mut source, last) = thinned();
        assert_eq!(source.send(2, FRAME), []);
        source.sequence += 3;
        assert_eq!(source.send(5, FRAME), []);
        source.outgoing.set_thinning(None);
        assert_eq!(numbers(&source.send(6, KEY), last), [1, 2]);
    }

    /// It would begin that frame anew, whose slices would have parameter sets among them.
    #[test]
    fn a_late_packet_of_the_frame_before_is_nothing_to_the_frame_it_comes_in() {
        let mut source = Source::new();
        source.send(0, SETS);
        let last = source.send(0, KEY)[0].sequence;
        assert_eq!(numbers(&source.send(1, BEGIN), last), [1]);
        source.sequence += 1;
        assert_eq!(numbers(&source.send(1, END), last), [3]);
        assert_eq!(numbers(&source.send(2, KEY), last), [4, 5]);
        let late = source.send_as(4, 1, INSIDE);
        assert_eq!(numbers(&late, last), [2]);
        assert_eq!(numbers(&source.send(2, KEY), last), [6], "its second slice");
    }

    #[test]
    fn a_late_packet_costs_nothing_that_is_held() {
        let (mut source, last) = thinned();
        source.outgoing.set_thinning(None);
        assert_eq!(numbers(&source.send(2, BEGIN), last), [1]);
        source.sequence += 1;
        assert_eq!(source.send(3, MESSAGE), []);
        let late = source.send_as(source.sequence - 1, 2, END);
        assert_eq!(numbers(&late, last), [2]);
        assert!(late[0].marker);
        assert_eq!(numbers(&source.send(3, FRAME), last), [3, 4]);
    }

    #[test]
    fn a_late_packet_of_a_frame_that_is_left_out_is_left_out_too() {
        let (mut source, last) = thinned();
        source.sequence += 1;
        assert_eq!(source.send(2, END), []);
        source.outgoing.set_thinning(None);
        assert_eq!(source.send(3, MESSAGE), []);
        let late = source.send_as(source.sequence - 2, 2, INSIDE);
        assert_eq!(late, []);
        assert_eq!(numbers(&source.send(3, KEY), last), [1, 2, 3]);
    }

    #[test]
    fn without_thinning_nothing_is_held() {
        let mut source = Source::new();
        source.send(0, SETS);
        source.send(0, KEY);
        assert_eq!(source.send(1, MESSAGE).len(), 1);
    }
}
