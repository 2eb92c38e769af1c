//! The parameter sets of an H.264 stream, which are to go before each key frame.
//!
//! In: the stream's packets, and the sets that its caps carry. Out: whether a key frame
//! begins without its sets, and packets that hold them (RFC 6184 5.7.1).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use h264_reader::rbsp::{BitRead, BitReader, ByteReader};

use super::bandwidth::FrameKind;
use super::h264::{PPS, PayloadStart, SPS, STAP_A_HEADER, unit_type, units};

/// How many sets of a kind are kept. Streams use one or two.
const MAX_SETS: usize = 8;

/// The largest aggregation packet, in bytes, so that it fits any usual network.
const MAX_AGGREGATE: usize = 1100;

/// What begins with a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameStart {
    /// A decoder can begin here: a key frame or its parameter sets begin.
    pub is_entry: bool,
    /// A key frame begins, and its frame has not carried all sets so far.
    pub lacks_sets: bool,
    /// The frame's kind, in the first packet that shows it: one with a slice, or with the
    /// parameter sets of a key frame.
    pub kind: Option<FrameKind>,
    /// The packet is ahead of the one that shows the frame's kind: an access unit
    /// delimiter, for example.
    pub is_preamble: bool,
    /// No slice of the frame has begun, so it does not end here.
    pub lacks_slices: bool,
}

/// The newest sets of a stream, by their ids.
#[derive(Clone, Debug, Default)]
pub struct ParameterSets {
    sequence: Vec<Set>,
    picture: Vec<Set>,
    frame: Frame,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    id: u32,
    unit: Vec<u8>,
}

/// The frame at this time.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    timestamp: Option<u32>,
    has_sequence: bool,
    has_picture: bool,
    is_key: bool,
    has_kind: bool,
    has_slice: bool,
}

impl ParameterSets {
    /// Replaces all sets by those of `sprop-parameter-sets` (RFC 6184 8.1). Keeps what
    /// there is if that holds none.
    pub fn replace(&mut self, sprop: &str) {
        let units = sprop
            .split(',')
            .filter_map(|set| STANDARD.decode(set.trim()).ok());
        let mut replaced = Self::default();
        units.for_each(|unit| replaced.keep(&unit));
        if !replaced.sequence.is_empty() && !replaced.picture.is_empty() {
            (self.sequence, self.picture) = (replaced.sequence, replaced.picture);
        }
    }

    /// Reads a packet's payload; packets of one frame share their timestamp.
    pub fn packet(&mut self, payload: &[u8], timestamp: u32) -> FrameStart {
        if self.frame.timestamp != Some(timestamp) {
            self.frame = Frame {
                timestamp: Some(timestamp),
                ..Frame::default()
            };
        }
        let start = PayloadStart::read(payload);
        let has_sets = start.sps.is_some() || start.pps.is_some();
        if has_sets {
            units(payload).for_each(|unit| self.keep(unit));
        }
        self.frame.has_sequence |= start.sps.is_some();
        self.frame.has_picture |= start.pps.is_some();
        let begins = start.key_frame && !std::mem::replace(&mut self.frame.is_key, true);
        let has_all = self.frame.has_sequence && self.frame.has_picture;
        let is_entry = start.key_frame || start.sps.is_some();
        let kind = match start.is_reference {
            _ if is_entry => FrameKind::Key,
            true => FrameKind::Reference,
            false => FrameKind::Disposable,
        };
        let shows_kind = is_entry || start.slice;
        let kind = (shows_kind && !self.frame.has_kind).then_some(kind);
        self.frame.has_kind |= shows_kind;
        self.frame.has_slice |= start.slice;
        FrameStart {
            is_entry,
            lacks_sets: begins && !has_all,
            kind,
            is_preamble: !self.frame.has_kind,
            lacks_slices: !self.frame.has_slice,
        }
    }

    /// The timestamp of the frame at this time.
    pub fn timestamp(&self) -> Option<u32> {
        self.frame.timestamp
    }

    /// Reads the payload of a packet that comes late, in another frame than its own. Returns
    /// whether it has a slice.
    pub fn late_packet(&mut self, payload: &[u8]) -> bool {
        units(payload).for_each(|unit| self.keep(unit));
        PayloadStart::read(payload).slice
    }

    /// Payloads that hold all sets, in order. Empty as long as one kind is missing.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        if self.sequence.is_empty() || self.picture.is_empty() {
            return Vec::new();
        }
        let units = self.sequence.iter().chain(&self.picture);
        let units: Vec<&[u8]> = units.map(|set| set.unit.as_slice()).collect();
        let size: usize = 1 + units.iter().map(|unit| 2 + unit.len()).sum::<usize>();
        if size > MAX_AGGREGATE {
            return units.into_iter().map(<[u8]>::to_vec).collect();
        }
        let mut aggregate = vec![STAP_A_HEADER];
        for unit in units {
            // Fits, since the sum does.
            aggregate.extend((unit.len() as u16).to_be_bytes());
            aggregate.extend(unit);
        }
        vec![aggregate]
    }

    fn keep(&mut self, unit: &[u8]) {
        let sets = match unit_type(unit) {
            Some(SPS) => &mut self.sequence,
            Some(PPS) => &mut self.picture,
            _ => return,
        };
        let Some(id) = set_id(unit) else {
            return;
        };
        match sets.iter().position(|set| set.id == id) {
            Some(known) => {
                if let Some(set) = sets.get_mut(known).filter(|set| set.unit != unit) {
                    set.unit = unit.to_vec();
                }
            }
            None if sets.len() < MAX_SETS => sets.push(Set {
                id,
                unit: unit.to_vec(),
            }),
            None => {}
        }
    }
}

/// `seq_parameter_set_id` or `pic_parameter_set_id` (H.264 7.3.2.1.1, 7.3.2.2).
fn set_id(unit: &[u8]) -> Option<u32> {
    // Profile, constraint flags and level come first in a sequence parameter set.
    let ahead = if unit_type(unit) == Some(SPS) { 4 } else { 1 };
    let body = unit.get(ahead..)?;
    // An id below 256 has at most 17 bits.
    let body = body.get(..body.len().min(4))?;
    let mut bits = BitReader::new(ByteReader::without_skip(body));
    bits.read_ue("id").ok().filter(|id| *id < 256)
}

#[cfg(test)]
mod tests {
    use super::super::sps::samples;
    use super::*;

    const PICTURE: &[u8] = &[0x68, 0xce, 0x3c, 0x80];
    const IDR: &[u8] = &[0x65, 0x88, 1];
    const P: &[u8] = &[0x41, 0x9a, 1];

    fn sequence() -> Vec<u8> {
        samples::bytes(samples::BASELINE)
    }

    fn sprop() -> String {
        format!(
            "{},{}",
            STANDARD.encode(sequence()),
            STANDARD.encode(PICTURE)
        )
    }

    fn aggregate(units: &[&[u8]]) -> Vec<u8> {
        let mut payload = vec![0x78];
        for unit in units {
            payload.extend((unit.len() as u16).to_be_bytes());
            payload.extend(*unit);
        }
        payload
    }

    #[test]
    fn sets_of_the_caps_are_for_key_frames_without_any() {
        let mut sets = ParameterSets::default();
        assert!(sets.packet(IDR, 1).lacks_sets);
        assert!(sets.payloads().is_empty(), "none are known");
        sets.replace(&sprop());
        sets.replace("");
        assert_eq!(sets.packet(P, 2).kind, Some(FrameKind::Reference));
        let start = sets.packet(IDR, 3);
        assert!(start.is_entry && start.lacks_sets);
        assert_eq!(sets.payloads(), [aggregate(&[&sequence(), PICTURE])]);
        assert!(!sets.packet(IDR, 3).lacks_sets, "the second slice");
    }

    #[test]
    fn one_kind_alone_replaces_and_helps_nothing() {
        let mut sets = ParameterSets::default();
        sets.packet(&sequence(), 1);
        assert!(sets.payloads().is_empty());
        sets.replace(&sprop());
        let all = sets.payloads();
        sets.replace(&STANDARD.encode(samples::bytes(samples::HIGH)));
        assert_eq!(sets.payloads(), all);
    }

    #[test]
    fn a_frame_that_has_its_sets_lacks_none() {
        for packets in [
            vec![sequence(), PICTURE.to_vec(), IDR.to_vec()],
            vec![aggregate(&[&sequence(), PICTURE]), IDR.to_vec()],
            vec![aggregate(&[&sequence(), PICTURE, IDR])],
        ] {
            let mut sets = ParameterSets::default();
            let starts: Vec<_> = packets
                .iter()
                .map(|packet| sets.packet(packet, 7))
                .collect();
            assert!(starts[0].is_entry);
            assert!(starts.iter().all(|start| !start.lacks_sets), "{starts:?}");
            // They are kept for the next key frame, which comes without.
            assert!(sets.packet(&[0x7c, 0x85, 0x88], 8).lacks_sets);
            assert_eq!(sets.payloads(), [aggregate(&[&sequence(), PICTURE])]);
        }
    }

    #[test]
    fn the_first_packet_that_shows_the_kind_tells_it() {
        let mut sets = ParameterSets::default();
        let mut kinds = |packets: &[&[u8]], timestamp| -> Vec<_> {
            let starts = packets.iter().map(|packet| sets.packet(packet, timestamp));
            starts
                .map(|start| (start.kind, start.is_preamble))
                .collect()
        };
        let delimiter = &[0x09, 0x10][..];
        let (key, reference) = (Some(FrameKind::Key), Some(FrameKind::Reference));
        let expected = [(None, true), (key, false), (None, false), (None, false)];
        assert_eq!(kinds(&[delimiter, &sequence(), PICTURE, IDR], 1), expected);
        let expected = [(None, true), (reference, false), (None, false)];
        assert_eq!(kinds(&[delimiter, P, P], 2), expected);
        assert_eq!(
            kinds(&[&[0x01, 0x9e]], 3),
            [(Some(FrameKind::Disposable), false)]
        );
    }

    #[test]
    fn a_frame_lacks_slices_up_to_its_first() {
        let mut sets = ParameterSets::default();
        let mut lacks = |packet: &[u8], timestamp| sets.packet(packet, timestamp).lacks_slices;
        assert!(lacks(&sequence(), 1));
        assert!(!lacks(IDR, 1));
        assert!(!lacks(PICTURE, 1), "the frame has one");
        assert!(lacks(PICTURE, 2), "another frame");
    }

    #[test]
    fn a_frame_with_half_of_its_sets_lacks_them() {
        let mut sets = ParameterSets::default();
        sets.replace(&sprop());
        assert!(!sets.packet(&sequence(), 7).lacks_sets);
        assert!(sets.packet(IDR, 7).lacks_sets);
    }

    #[test]
    fn newer_sets_replace_those_with_their_ids() {
        let mut sets = ParameterSets::default();
        sets.replace(&sprop());
        let other = samples::bytes(samples::HIGH);
        // `pic_parameter_set_id` 1.
        let second = &[0x68, 0x5c, 0x80][..];
        sets.packet(&aggregate(&[&other, second]), 1);
        assert_eq!(sets.payloads(), [aggregate(&[&other, PICTURE, second])]);
    }

    #[test]
    fn sets_that_are_too_large_for_one_packet_go_in_several() {
        let payloads = |size: usize| {
            let mut sets = ParameterSets::default();
            let mut large = sequence();
            large.resize(size, 0xff);
            sets.packet(&large, 1);
            sets.packet(PICTURE, 1);
            (large, sets.payloads())
        };
        // Beside the header, each set has two bytes with its length.
        let most = MAX_AGGREGATE - 1 - 2 - 2 - PICTURE.len();
        let (large, together) = payloads(most);
        assert_eq!(together, [aggregate(&[&large, PICTURE])]);
        let (large, apart) = payloads(most + 1);
        assert_eq!(apart, [large, PICTURE.to_vec()]);
    }

    #[test]
    fn a_set_with_an_id_that_can_not_be_is_not_kept() {
        let mut sets = ParameterSets::default();
        sets.packet(&sequence(), 1);
        // `pic_parameter_set_id` 256, then 255.
        sets.packet(&[0x68, 0x00, 0x80, 0xc0], 1);
        assert!(sets.payloads().is_empty());
        sets.packet(&[0x68, 0x00, 0x80, 0x40], 1);
        assert!(!sets.payloads().is_empty());
    }

    #[test]
    fn garbage_is_bounded_and_does_no_harm() {
        let mut random = crate::random::Random::new(3);
        let mut sets = ParameterSets::default();
        for timestamp in 0..50_000 {
            let length = random.below(40);
            let mut payload: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
            if let Some(first) = payload.first_mut() {
                *first = [0x67, 0x68, 0x78, 0x7c, *first][random.below(5)];
            }
            sets.packet(&payload, timestamp / 3);
        }
        assert!(sets.sequence.len() <= MAX_SETS && sets.picture.len() <= MAX_SETS);
    }
}
