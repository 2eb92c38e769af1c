//! Whatever RTP comes in, one clean stream leaves.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use ivs_stage::{Kind, SectionReport, SessionReport};
use rtp_types::RtpPacket;

use crate::common::{Reply, Server};
use crate::harness::{
    AUDIO, BOUND, Publisher, VIDEO, add_source, remove_source, stage, wait_section,
};
use crate::viewer::Viewer;

/// An H.264 stream of this size, with a key frame every half second.
fn h264(encoder: &str, size: &str) -> String {
    let encoder = match encoder {
        "x264enc" => "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=500",
        _ => "openh264enc gop-size=15 bitrate=500000",
    };
    format!(
        "videotestsrc is-live=true ! capsfilter name=size \
         caps=video/x-raw,{size},framerate=30/1 ! {encoder} "
    )
}

const SIZE: &str = "width=320,height=240";

/// The section of a kind in the only session.
fn section(sessions: &[SessionReport], kind: Kind) -> Option<&SectionReport> {
    sessions.first()?.section(kind)
}

/// Publishes, and checks that the far end gets all of it in one session.
fn arrives_whole(launch: &str, kind: Kind) -> SectionReport {
    let stage = stage();
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let section = wait_section(&stage, kind, |section| section.packets >= 60);
    assert_eq!(section.lost, 0, "{section:?}");
    assert_eq!(stage.sessions().len(), 1);
    section
}

/// Caps in place of the payloader's.
fn caps(caps: &str) -> String {
    format!("! capssetter replace=true join=false caps=\"application/x-rtp,{caps}\"")
}

#[test]
fn caps_without_ssrc_as_udpsrc_has_them() {
    let audio = "media=audio,clock-rate=48000,encoding-name=OPUS,payload=96";
    let video = "media=video,clock-rate=90000,encoding-name=H264,payload=96";
    for jitterbuffer in ["", "! rtpjitterbuffer"] {
        let after = |text: &str| format!("{} {jitterbuffer} ! whip.", caps(text));
        arrives_whole(&AUDIO.replace("! whip.", &after(audio)), Kind::Audio);
        arrives_whole(&VIDEO.replace("! whip.", &after(video)), Kind::Video);
    }
}

#[test]
fn caps_without_payload_type_clock_rate_or_channels() {
    let after = caps("media=audio,encoding-name=OPUS");
    let launch = AUDIO.replace("! whip.", &format!("{after} ! whip."));
    arrives_whole(&launch, Kind::Audio);
}

#[test]
fn payload_types_that_differ_from_the_caps_or_are_the_same_for_both() {
    let after = caps("media=audio,clock-rate=48000,encoding-name=OPUS,payload=97,ssrc=(uint)5");
    let launch = AUDIO.replace("rtpopuspay", "rtpopuspay pt=120");
    let launch = launch.replace("! whip.", &format!("{after} ! whip."));
    arrives_whole(&launch, Kind::Audio);
    let audio = AUDIO.replace("rtpopuspay", "rtpopuspay pt=96");
    let video = VIDEO.replace("rtph264pay", "rtph264pay pt=96");
    arrives_whole(&format!("{audio} {video}"), Kind::Video);
}

#[test]
fn a_cameras_attributes_stay_behind() {
    for direction in ["recvonly", "sendrecv"] {
        let after = caps(&format!(
            "media=video,clock-rate=90000,encoding-name=H264,payload=96,\
             packetization-mode=(string)1,a-{direction}=(string)\\\"\\\",a-tool=(string)camera-tool,\
             a-Media_header=(string)camera-header,ssrc-99-cname=(string)camera-name,\
             x-dimensions=(string)\\\"1,2\\\""
        ));
        let launch = VIDEO.replace("! whip.", &format!("{after} ! whip."));
        let offer = offer_of(&launch);
        assert!(offer.contains("a=sendonly"), "{offer}");
        for left in [
            "recvonly",
            "sendrecv",
            "camera",
            "edia_header",
            "dimensions",
            "ssrc:99 ",
        ] {
            assert!(!offer.contains(left), "{left} in {offer}");
        }
        arrives_whole(&launch, Kind::Video);
    }
}

/// The offer that is posted.
fn offer_of(launch: &str) -> String {
    let server = Server::in_order("127.0.0.1", vec![Reply::new(400).into()]);
    let publisher = Publisher::to_endpoint(launch, &server.url("/whip"));
    publisher.play();
    let offer = server.wait_for_line(BOUND, "POST /whip").unwrap().body;
    publisher.stop();
    offer
}

#[test]
fn key_frames_get_their_parameter_sets() {
    let parsed = "! video/x-h264,profile=constrained-baseline ! h264parse config-interval=0 \
                  ! video/x-h264,stream-format=avc ! rtph264pay config-interval=0 ! whip.";
    let launch = h264("x264enc", SIZE) + parsed;
    let section = arrives_whole(&launch, Kind::Video);
    // The far end reads it from the stream.
    assert_eq!(section.size, Some((320, 240)));
}

/// Gets the packets that leave the element's first pad.
fn tap(publisher: &Publisher) -> Receiver<gst::Buffer> {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let pad = bin
        .by_name("sink_0-rtp")
        .unwrap()
        .static_pad("src")
        .unwrap();
    let (sender, packets) = channel();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => drop(sender.send(buffer.clone())),
            Some(gst::PadProbeData::BufferList(list)) => {
                list.iter_owned()
                    .for_each(|buffer| drop(sender.send(buffer)));
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    packets
}

#[test]
fn pass_through_begins_with_a_key_frame_though_the_source_began_before() {
    let stage = stage();
    // Flags that say nothing: each buffer seems to be a key frame.
    let launch = h264("x264enc", SIZE)
        + "! video/x-h264,profile=constrained-baseline ! rtph264pay \
           ! identity name=flags ! whip.";
    let mut publisher = Publisher::to_stage(&launch, &stage);
    let flags = publisher.pipeline.by_name("flags").unwrap();
    flags
        .static_pad("src")
        .unwrap()
        .add_probe(gst::PadProbeType::BUFFER, |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &mut info.data {
                buffer.make_mut().unset_flags(gst::BufferFlags::DELTA_UNIT);
            }
            gst::PadProbeReturn::Ok
        });
    // Its key frames come when it likes.
    let deaf = flags.static_pad("sink").unwrap();
    deaf.add_probe(gst::PadProbeType::EVENT_UPSTREAM, |_, _| {
        gst::PadProbeReturn::Handled
    });
    let packets = tap(&publisher);
    publisher.play();
    publisher.wait_state("publishing");
    let first = packets.recv_timeout(BOUND).unwrap();
    assert!(begins_with_parameter_sets(&first), "{first:?}");
}

/// Whether a packet has a sequence parameter set, alone or in an aggregate.
fn begins_with_parameter_sets(packet: &gst::Buffer) -> bool {
    matches!(payload(packet)[0] & 0x1f, 7 | 24)
}

/// Whether a packet has a slice of a key frame, whole or in part.
fn is_of_key_frame(packet: &gst::Buffer) -> bool {
    let payload = payload(packet);
    let kind = payload[usize::from(payload[0] & 0x1f == 28)] & 0x1f;
    kind == 5
}

fn payload(packet: &gst::Buffer) -> Vec<u8> {
    let packet = packet.map_readable().unwrap();
    RtpPacket::parse(&packet).unwrap().payload().to_vec()
}

#[test]
fn a_change_of_size_goes_on_in_the_session() {
    for (encoder, format) in [("x264enc", "avc"), ("openh264enc", "byte-stream")] {
        let stage = stage();
        let launch = h264(encoder, SIZE)
            + &format!("! video/x-h264,stream-format={format} ! rtph264pay ! whip.");
        let mut publisher = Publisher::to_stage(&launch, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        wait_section(&stage, Kind::Video, |video| video.size == Some((320, 240)));
        let size = publisher.pipeline.by_name("size").unwrap();
        let caps = "video/x-raw,width=640,height=360,framerate=30/1";
        size.set_property("caps", caps.parse::<gst::Caps>().unwrap());
        let video = wait_section(&stage, Kind::Video, |video| video.size == Some((640, 360)));
        let more = video.packets + 30;
        let video = wait_section(&stage, Kind::Video, |video| video.packets > more);
        assert_eq!((video.lost, stage.sessions().len()), (0, 1), "{encoder}");
    }
}

/// Decodes the packets, and returns the number of pictures.
fn pictures(packets: Vec<gst::Buffer>) -> usize {
    let launch = "appsrc name=in format=time caps=application/x-rtp,media=video,clock-rate=90000,\
                  encoding-name=H264 ! rtph264depay ! h264parse ! openh264dec \
                  ! fakesink name=out signal-handoffs=true sync=false";
    let pipeline = gst::parse::launch(launch).unwrap();
    let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
    let (sender, decoded) = channel();
    let out = pipeline.by_name("out").unwrap();
    out.connect("handoff", false, move |_| {
        let _ = sender.send(());
        None
    });
    pipeline.set_state(gst::State::Playing).unwrap();
    let source = pipeline.by_name("in").unwrap();
    for packet in packets {
        let flow: gst::FlowReturn = source.emit_by_name("push-buffer", &[&packet]);
        assert_eq!(flow, gst::FlowReturn::Ok);
    }
    let _: gst::FlowReturn = source.emit_by_name("end-of-stream", &[]);
    let bus = pipeline.bus().unwrap();
    let wanted = [
        gst::MessageType::Eos,
        gst::MessageType::Error,
        gst::MessageType::Warning,
    ];
    let message = bus
        .timed_pop_filtered(gst::ClockTime::from_seconds(20), &wanted)
        .unwrap();
    assert_eq!(message.type_(), gst::MessageType::Eos, "{message:?}");
    pipeline.set_state(gst::State::Null).unwrap();
    decoded.try_iter().count()
}

/// The numbers of frames in the packets that are whole and that are not.
fn count_frames(packets: &[gst::Buffer]) -> (usize, usize) {
    let timestamp = |packet: &gst::Buffer| place(packet).1;
    let frames = packets.chunk_by(|one, other| timestamp(one) == timestamp(other));
    let (whole, cut): (Vec<_>, Vec<_>) = frames.partition(|frame| is_whole(frame));
    (whole.len(), cut.len())
}

fn is_whole(frame: &[gst::Buffer]) -> bool {
    frame.last().unwrap().map_readable().unwrap()[1] & 0x80 != 0
}

#[test]
fn ten_switches_between_two_payloaders_are_one_stream_that_decodes_at_the_far_end() {
    let stage = stage();
    let launch = format!(
        "{} ! rtph264pay ! either. {} ! rtph264pay ! either. \
         input-selector name=either sync-streams=false ! whip.",
        h264("x264enc", SIZE),
        h264("openh264enc", "width=640,height=360").replace("name=size", ""),
    );
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let viewer = Viewer::watch(&stage);
    let first = viewer.packets().recv_timeout(BOUND).unwrap();
    let either = publisher.pipeline.by_name("either").unwrap();
    for number in 0..=10 {
        let (name, size) = [("sink_0", (320, 240)), ("sink_1", (640, 360))][number % 2];
        either.set_property("active-pad", either.static_pad(name).unwrap());
        let video = wait_section(&stage, Kind::Video, |video| video.size == Some(size));
        let more = video.packets + 20;
        wait_section(&stage, Kind::Video, |video| video.packets >= more);
    }
    let video = wait_section(&stage, Kind::Video, |_| true);
    assert_eq!((video.lost, stage.sessions().len()), (0, 1));
    let seen = [first].into_iter().chain(viewer.packets().try_iter());
    // It joins in mid-frame.
    let seen: Vec<_> = seen
        .skip_while(|packet| !begins_with_parameter_sets(packet))
        .collect();
    // The selector may switch within a frame, whose begin has left by then. The last one may
    // not be whole yet.
    let (whole, cut) = count_frames(&seen);
    assert!(whole > 30 && cut <= 11, "{whole}, {cut}");
    // The decoder conceals what is missing, or leaves out the frame at which it notices.
    let decoded = pictures(seen);
    assert!(
        (whole - cut..=whole + cut).contains(&decoded),
        "{decoded} of {whole} + {cut}"
    );
}

#[test]
fn a_source_that_is_removed_is_followed_by_another_on_the_same_pad() {
    let stage = stage();
    let mut publisher = Publisher::to_stage("fakesrc num-buffers=0 ! fakesink ", &stage);
    let pad = publisher.whip.request_pad_simple("sink_%u").unwrap();
    let launch = AUDIO.replace("! whip. ", "");
    let mut source = add_source(&publisher, &launch, &pad);
    publisher.play();
    publisher.wait_state("publishing");
    for _ in 0..3 {
        let before = wait_section(&stage, Kind::Audio, |audio| audio.packets >= 10).packets;
        remove_source(&publisher, &source, &pad);
        source = add_source(&publisher, &launch, &pad);
        wait_section(&stage, Kind::Audio, |audio| audio.packets >= before + 20);
    }
    let audio = wait_section(&stage, Kind::Audio, |_| true);
    assert_eq!((audio.lost, stage.sessions().len()), (0, 1));
}

#[test]
fn video_of_a_source_on_the_pad_of_a_removed_one_begins_with_a_key_frame() {
    let stage = stage();
    let mut publisher = Publisher::to_stage("fakesrc num-buffers=0 ! fakesink ", &stage);
    let pad = publisher.whip.request_pad_simple("sink_%u").unwrap();
    let sources = note_payloads(&pad);
    let packets = tap(&publisher);
    publisher.play();
    for (number, (width, height)) in SIZES.into_iter().enumerate() {
        let launch = h264("x264enc", &format!("width={width},height={height}"));
        let source = add_source(&publisher, &(launch + "! rtph264pay"), &pad);
        let is_new = |video: &SectionReport| video.size == Some((width, height));
        let more = wait_section(&stage, Kind::Video, is_new).packets + 20;
        wait_section(&stage, Kind::Video, |video| video.packets >= more);
        remove_source(&publisher, &source, &pad);
        sources.lock().unwrap().number = number + 1;
    }
    publisher.wait_state("publishing");
    let left: Vec<_> = packets.try_iter().collect();
    let count = left.len() as u64;
    let video = wait_section(&stage, Kind::Video, |video| video.packets >= count);
    assert_eq!((video.lost, stage.sessions().len()), (0, 1));
    let sources = sources.lock().unwrap();
    let of_each: Vec<_> = left
        .iter()
        .filter_map(|packet| Some((sources.of_payload.get(&payload(packet))?, packet)))
        .collect();
    let changes = of_each.chunk_by(|(one, _), (other, _)| one == other);
    let first: Vec<_> = changes
        .map(|packets| is_of_key_frame(packets[0].1))
        .collect();
    assert_eq!(first, [true; SIZES.len()]);
    // The sources are cut off, perhaps within a frame. The decoder conceals what is missing,
    // or leaves out the frame at which it notices.
    let (whole, cut) = count_frames(&left);
    assert!(cut <= SIZES.len(), "{cut}");
    let decoded = pictures(left);
    assert!(
        (whole - cut..=whole + cut).contains(&decoded),
        "{decoded} of {whole} + {cut}"
    );
}

/// Of one source each.
const SIZES: [(u32, u32); 4] = [(320, 240), (640, 360), (480, 270), (256, 144)];

/// The sources of a pad one after the other, and which of them a slice is from.
#[derive(Default)]
struct Sources {
    number: usize,
    of_payload: HashMap<Vec<u8>, usize>,
}

fn note_payloads(pad: &gst::Pad) -> Arc<Mutex<Sources>> {
    let sources: Arc<Mutex<Sources>> = Arc::default();
    let noted = sources.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        let mut noted = noted.lock().unwrap();
        let number = noted.number;
        let mut note = |packet: gst::Buffer| {
            let payload = payload(&packet);
            // Slices, whole or in parts. A short one may say no more than that nothing moves,
            // in each size.
            if matches!(payload[0] & 0x1f, 1 | 5 | 28) && payload.len() > 50 {
                noted.of_payload.insert(payload, number);
            }
        };
        match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => note(buffer.clone()),
            Some(gst::PadProbeData::BufferList(list)) => list.iter_owned().for_each(note),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    sources
}

/// Sequence number and timestamp.
fn place(packet: &gst::Buffer) -> (u16, u32) {
    let bytes = packet.map_readable().unwrap();
    let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
    let timestamp = u32::from_be_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
    (sequence, timestamp)
}

/// A sender over UDP is started anew with other numbers, and with these SSRCs.
fn starts_anew(kind: Kind, ssrcs: [u32; 3]) {
    let (caps, sender, clock_rate) = match kind {
        Kind::Audio => (
            "media=audio,clock-rate=48000,encoding-name=OPUS,payload=96",
            "audiotestsrc is-live=true ! opusenc ! rtpopuspay".to_owned(),
            48_000,
        ),
        _ => (
            "media=video,clock-rate=90000,encoding-name=H264,payload=96",
            h264("x264enc", SIZE) + "! rtph264pay",
            90_000,
        ),
    };
    let stage = stage();
    let launch = format!("udpsrc name=in port=0 caps=\"application/x-rtp,{caps}\" ! whip. ");
    let publisher = Publisher::to_stage(&launch, &stage);
    let packets = tap(&publisher);
    publisher.play();
    let port: i32 = publisher.pipeline.by_name("in").unwrap().property("port");
    let launch = format!("{sender} name=pay ! udpsink host=127.0.0.1 port={port}");
    let sender = Publisher::parsed(&format!(
        "{launch} fakesrc num-buffers=0 ! fakesink name=whip"
    ));
    let payloader = sender.pipeline.by_name("pay").unwrap();
    let numbers = [(100, 1_000), (40_000, 3_000_000_000), (20_000, 5_000_u32)];
    for (ssrc, (sequence, timestamp)) in ssrcs.into_iter().zip(numbers) {
        payloader.set_property("ssrc", ssrc);
        payloader.set_property("seqnum-offset", sequence);
        payloader.set_property("timestamp-offset", timestamp);
        let before = section(&stage.sessions(), kind).map_or(0, |section| section.packets);
        sender.play();
        wait_section(&stage, kind, |section| section.packets >= before + 30);
        sender.stop();
    }
    let left: Vec<_> = packets.try_iter().map(|packet| place(&packet)).collect();
    for pair in left.windows(2) {
        let [(sequence, timestamp), (next_sequence, next_timestamp)] = pair else {
            continue;
        };
        assert_eq!(next_sequence.wrapping_sub(*sequence), 1, "{left:?}");
        let step = next_timestamp.wrapping_sub(*timestamp);
        assert!(step < 10 * clock_rate, "{step} in {left:?}");
    }
    let section = wait_section(&stage, kind, |_| true);
    assert_eq!((section.lost, stage.sessions().len()), (0, 1));
}

#[test]
fn a_sender_that_starts_anew_with_the_same_ssrc_goes_on() {
    starts_anew(Kind::Audio, [77; 3]);
    starts_anew(Kind::Video, [77; 3]);
}

#[test]
fn a_sender_that_starts_anew_with_another_ssrc_goes_on() {
    starts_anew(Kind::Audio, [77, 78, 79]);
    starts_anew(Kind::Video, [77, 78, 79]);
}
