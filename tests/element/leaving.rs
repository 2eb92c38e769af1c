//! What leaves webrtcbin's RTP session: numbers, and retransmissions.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::Feedback;

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, lose, stage};
use crate::uplink::{TRANSPORT_WIDE, offered_extensions, stage_with};

/// A packet without a number would count as lost. So would one that is sent again.
#[test]
fn every_packet_has_its_number_whatever_comes_in() {
    let raw = "videotestsrc is-live=true ! whip. audiotestsrc is-live=true ! whip. ";
    for media in [raw.to_owned(), format!("{VIDEO} {AUDIO}")] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(&media, &stage);
        let packets = watch_leaving(&publisher);
        publisher.play();
        publisher.wait_state("publishing");
        lose(&publisher, 3);
        let again = payload_type(&publisher, "rtx");
        let (mut sent_again, mut last) = (0, None);
        while sent_again < 20 {
            let packet = packets.recv_timeout(BOUND).unwrap();
            let number = packet.number.expect("a number");
            let expected = last.map_or(number, |last: u16| last.wrapping_add(1));
            assert_eq!(number, expected, "{packet:?} of {media}");
            last = Some(number);
            sent_again += u32::from(packet.payload_type == again);
        }
    }
}

#[test]
fn where_the_answer_refuses_them_no_packet_has_a_number() {
    for feedback in [Feedback::Remb, Feedback::ReceiverReports] {
        let stage = stage_with(feedback);
        let mut publisher = Publisher::to_stage(&format!("{VIDEO} {AUDIO}"), &stage);
        let packets = watch_leaving(&publisher);
        publisher.play();
        publisher.wait_state("publishing");
        lose(&publisher, 3);
        let again = payload_type(&publisher, "rtx");
        let kinds = [
            payload_type(&publisher, "OPUS"),
            payload_type(&publisher, "H264"),
            again,
        ];
        let mut left = [0; 3];
        while left.iter().any(|count| *count < 20) {
            let packet = packets.recv_timeout(BOUND).unwrap();
            assert!(packet.number.is_none(), "{packet:?} with {feedback:?}");
            let kind = kinds.iter().position(|kind| *kind == packet.payload_type);
            left[kind.expect("a payload type of the answer")] += 1;
        }
        assert_eq!(offered_extensions(&stage), [[TRANSPORT_WIDE]; 2]);
        // By which webrtcbin's RTP session would keep each packet until it is reported on.
        for caps in caps_within(&publisher) {
            assert!(!caps.to_string().contains("extmap"), "{caps}");
        }
    }
}

/// The far end asks five times for each packet.
#[test]
fn a_far_end_that_asks_for_everything_gets_its_share() {
    let stage = stage();
    let video = VIDEO.replace("videotestsrc", "videotestsrc pattern=snow");
    let video = video.replace("bitrate=500", "bitrate=1000");
    let mut publisher = Publisher::to_stage(&format!("{video} {AUDIO}"), &stage);
    let packets = watch_leaving(&publisher);
    publisher.play();
    publisher.wait_state("publishing");
    let video = payload_type(&publisher, "H264");
    let begun = Instant::now();
    let mut asked = VecDeque::new();
    let mut left = Vec::new();
    while begun.elapsed() < Duration::from_secs(8) {
        let packet = packets.recv_timeout(BOUND).unwrap();
        if packet.payload_type == video {
            let times = (1..=5).map(|time| packet.at + Duration::from_millis(33 * time));
            asked.extend(times.map(|at| (at, packet.sequence)));
            asked.make_contiguous().sort_unstable();
        }
        while asked.front().is_some_and(|(at, _)| *at <= packet.at) {
            let (_, sequence) = asked.pop_front().unwrap();
            ask_for(&publisher, sequence);
        }
        left.push(packet);
    }
    let stats: gst::Structure = publisher.whip.property("stats");
    let count = |field| stats.get::<u64>(field).unwrap();
    assert!(count("retransmissions") > 50, "{stats}");
    assert!(count("retransmissions-refused") > 1000, "{stats}");
    // What the network carries as far as is known, which is more than is sent.
    let most = 1.2 * count("bandwidth-estimate") as f64 * 2.0;
    let later = |packet: &&LeavingPacket| packet.at - begun >= Duration::from_secs(3);
    for from in left.iter().filter(later) {
        let within = |packet: &&LeavingPacket| {
            packet.at >= from.at && packet.at - from.at < Duration::from_secs(2)
        };
        let bits: usize = left
            .iter()
            .filter(within)
            .map(|packet| 8 * (packet.size + 38))
            .sum();
        assert!((bits as f64) < most, "{bits} of {most}: {stats}");
    }
}

/// As webrtcbin's RTP session does for each packet in a NACK.
fn ask_for(publisher: &Publisher, sequence: u16) {
    let mut senders = webrtcbin(publisher).iterate_all_by_element_factory_name("rtprtxsend");
    let sender = senders.next().unwrap().unwrap();
    let video = publisher.whip.property::<gst::Structure>("stats");
    let request = gst::Structure::builder("GstRTPRetransmissionRequest")
        .field("seqnum", u32::from(sequence))
        .field("ssrc", video.get::<u32>("video-ssrc").unwrap())
        .build();
    let pad = sender.static_pad("src").unwrap();
    pad.send_event(gst::event::CustomUpstream::new(request));
}

/// A packet on its way out of webrtcbin's RTP session.
#[derive(Debug)]
struct LeavingPacket {
    payload_type: u8,
    sequence: u16,
    size: usize,
    at: Instant,
    /// The transport-wide one: the only header extension.
    number: Option<u16>,
}

fn watch_leaving(publisher: &Publisher) -> Receiver<LeavingPacket> {
    let (sender, packets) = channel();
    publisher
        .whip
        .connect("webrtcbin-ready", false, move |values| {
            let webrtcbin = values[1].get::<gst::Bin>().unwrap();
            let sender = sender.clone();
            let rtpbin = webrtcbin.by_name("rtpbin").unwrap();
            rtpbin.connect_pad_added(move |_, pad| watch_pad(pad, &sender));
            None
        });
    packets
}

fn watch_pad(pad: &gst::Pad, leaving: &Sender<LeavingPacket>) {
    if !pad.name().starts_with("send_rtp_src") {
        return;
    }
    let leaving = leaving.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        let tell = |buffer: &gst::BufferRef| {
            let rtp = buffer.map_readable().unwrap();
            let has_extension = rtp[0] & 0x10 != 0;
            let _ = leaving.send(LeavingPacket {
                payload_type: rtp[1] & 0x7f,
                sequence: u16::from_be_bytes([rtp[2], rtp[3]]),
                size: rtp.len(),
                at: Instant::now(),
                number: has_extension.then(|| u16::from_be_bytes([rtp[17], rtp[18]])),
            });
        };
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => tell(buffer),
            Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(tell),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn webrtcbin(publisher: &Publisher) -> gst::Bin {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let mut found = bin.iterate_all_by_element_factory_name("webrtcbin");
    found.next().unwrap().unwrap().downcast().unwrap()
}

/// The payload type that the answer has for a codec first.
fn payload_type(publisher: &Publisher, codec: &str) -> u8 {
    let answer =
        webrtcbin(publisher).property::<gst_webrtc::WebRTCSessionDescription>("remote-description");
    let answer = answer.sdp().as_text().unwrap();
    let maps = answer
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:"));
    let number = |map: &str| {
        let (number, name) = map.split_once(' ')?;
        let (name, _) = name.split_once('/')?;
        name.eq_ignore_ascii_case(codec)
            .then(|| number.parse().unwrap())
    };
    maps.filter_map(number).next().expect(codec)
}

/// The caps on all pads in webrtcbin.
fn caps_within(publisher: &Publisher) -> Vec<gst::Caps> {
    let elements = webrtcbin(publisher).iterate_recurse().into_iter().flatten();
    let pads = elements.flat_map(|element| element.pads());
    pads.filter_map(|pad| pad.current_caps()).collect()
}
