//! RTP from upstream, and its numbers on the way out.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use gstivs::media::bandwidth::{ExtensionId, set_transport_sequence};
use gstivs::media::{AudioMeter, Missing, Moment, Place, RtpHeader, RtpStream, VideoMeter};
use rtp_types::RtpPacket;

use super::cursor::Cursor;

/// How far back a number may not come again.
const WINDOW: usize = 500;

/// The bytes are steps of an upstream, and a packet.
pub fn rtp(data: &[u8]) {
    let (steps, packet) = data.split_at(data.len() / 2);
    no_number_leaves_twice(Cursor(steps));
    packets(packet);
}

/// Of two packets of one source only a repeated one has the number of another.
fn no_number_leaves_twice(mut steps: Cursor<'_>) {
    let first = Place {
        sequence: 65_500,
        timestamp: 4_294_900_000,
    };
    let mut stream = RtpStream::new(90_000, first);
    let mut header = RtpHeader {
        ssrc: 1,
        sequence: 0,
        timestamp: 0,
    };
    let mut at = Moment::default();
    // The numbers that have left, newest last, and the incoming packet of each.
    let mut left: VecDeque<(u16, Option<RtpHeader>)> = VecDeque::new();
    let mut of_source = HashMap::new();
    while let Some(step) = steps.byte() {
        match step >> 4 {
            0 => header.ssrc = u32::from(steps.byte().unwrap_or_default() & 3),
            1 => header.sequence = steps.u16().unwrap_or_default(),
            2 => header.timestamp = steps.u32().unwrap_or_default(),
            3 => stream.change_source(),
            // A late packet: a few back.
            4 => header.sequence = header.sequence.wrapping_sub(u16::from(step & 15)),
            5 => header.sequence = header.sequence.wrapping_add(u16::from(step & 15)),
            _ => header.sequence = header.sequence.wrapping_add(1),
        }
        header.timestamp = header.timestamp.wrapping_add(3000);
        at.arrival += Duration::from_millis(33);
        let is_skip = step & 15 < 2;
        // What does not go on begins a source, unless it is skipped.
        if !is_skip && !stream.continues(header, at) {
            of_source.clear();
        }
        if is_skip {
            let missing = if step & 1 == 0 {
                Missing::LeftOut
            } else {
                Missing::Lost
            };
            stream.skip(header, at, missing);
            continue;
        }
        // A packet of our own, and then the one that it belongs to.
        if step & 15 == 2
            && let Some(place) = stream.insert(header, at)
        {
            leaves(&mut left, place, None);
        }
        if let Some(place) = stream.place(header, at)
            && of_source.insert(header.sequence, place.sequence) != Some(place.sequence)
        {
            leaves(&mut left, place, Some(header));
        }
    }
}

fn leaves(left: &mut VecDeque<(u16, Option<RtpHeader>)>, place: Place, header: Option<RtpHeader>) {
    let twice = left.iter().find(|(number, _)| *number == place.sequence);
    assert!(
        twice.is_none(),
        "{place:?} of {header:?} left before: {twice:?}"
    );
    left.push_back((place.sequence, header));
    if left.len() > WINDOW {
        left.pop_front();
    }
}

fn packets(packet: &[u8]) {
    let (mut video, mut audio) = (VideoMeter::default(), AudioMeter::default());
    for at in [0, 20, 40] {
        video.packet(packet, Duration::from_millis(at));
        audio.packet(packet, Duration::from_millis(at));
    }
    assert!(video.frames() <= video.packets() && video.key_frames() <= video.frames());
    let mut numbered = packet.to_vec();
    let id = ExtensionId::new(packet.first().map_or(1, |byte| byte % 14 + 1)).unwrap();
    let has_room = set_transport_sequence(&mut numbered, id, 0xabcd);
    let changed = numbered
        .iter()
        .zip(packet)
        .filter(|(one, other)| one != other);
    assert!(changed.count() <= if has_room { 2 } else { 0 });
    if let (Ok(before), Ok(after)) = (RtpPacket::parse(packet), RtpPacket::parse(&numbered)) {
        assert_eq!(before.payload(), after.payload());
        assert_eq!(before.sequence_number(), after.sequence_number());
    }
}
