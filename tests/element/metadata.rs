//! Messages of the application travel with the video, and those that can't are refused.

use std::sync::Arc;

use gst::prelude::*;
use ivs_stage::{Kind, SectionReport, SeiMessage, SessionReport, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, stage};

/// That of the SDKs of AWS.
const UUID: &str = "9e504ea5-ee5a-4f02-949f-b033a3768da2";

const RAW: &str =
    "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 ! whip. ";

/// Video from an encoder, with something behind it.
fn encoded(then: &str) -> String {
    format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=500 \
         ! video/x-h264,profile=constrained-baseline {then} ! whip. "
    )
}

fn send(publisher: &Publisher, data: &[u8], repeat: u32) -> bool {
    let data = glib::Bytes::from(data);
    let whip = &publisher.whip;
    whip.emit_by_name("send-metadata", &[&data, &repeat])
}

fn wait_video(stage: &Stage, what: &str, is: impl Fn(&SectionReport) -> bool) -> SectionReport {
    let find = |sessions: &[SessionReport]| {
        let section = sessions.first()?.section(Kind::Video)?;
        is(section).then(|| section.clone())
    };
    let found = stage.wait_for_sessions(BOUND, find);
    found.unwrap_or_else(|| panic!("{what}: {:#?}", stage.sessions()))
}

/// The element's own messages, whatever the encoder's are.
fn messages(section: &SectionReport) -> Vec<&SeiMessage> {
    let video = section.video.as_ref();
    let all = video.into_iter().flat_map(|video| &video.messages);
    all.filter(|message| message.uuid == UUID).collect()
}

fn count(section: &SectionReport, text: &str) -> u64 {
    let messages = messages(section).into_iter();
    let of_text = messages.filter(|message| message.text.as_deref() == Some(text));
    of_text.map(|message| message.count).sum()
}

fn decodable(section: &SectionReport) -> u64 {
    section.frames.unwrap().decodable
}

fn all_arrive(launch: &str) {
    let stage = stage();
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    // It waits for the first frame that leaves.
    publisher.wait_state("connecting");
    assert!(send(&publisher, b"early", 0));
    publisher.wait_state("publishing");
    wait_video(&stage, "the early one", |video| count(video, "early") == 1);

    let binary: Vec<u8> = [0, 0, 1, 0x65, 0, 0, 0, 0, 3, 0xff].repeat(103);
    let binary = &binary[..1023];
    assert!(send(&publisher, b"thrice", 2));
    assert!(send(&publisher, binary, 0));
    let video = wait_video(&stage, "all", |video| {
        count(video, "thrice") == 3 && messages(video).len() == 3
    });
    let hex: String = binary.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(messages(&video)[2].hex.as_ref(), Some(&hex));

    // None comes again, and the picture goes on.
    let shown = decodable(&video);
    let video = wait_video(&stage, "frames", |video| decodable(video) >= shown + 40);
    let counts: Vec<u64> = messages(&video).iter().map(|one| one.count).collect();
    assert_eq!(counts, [1, 3, 1]);
    assert_eq!(video.lost, 0);
}

#[test]
fn with_raw_video() {
    all_arrive(RAW);
}

#[test]
fn with_encoded_video() {
    all_arrive(&encoded(",stream-format=avc"));
}

#[test]
fn with_encoded_video_whose_frames_come_in_pieces() {
    all_arrive(&encoded(
        "! h264parse ! video/x-h264,stream-format=byte-stream,alignment=nal",
    ));
}

#[test]
fn from_several_threads_at_once() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(RAW, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let publisher = Arc::new(publisher);
    let threads = (0..4).map(|thread| {
        let publisher = publisher.clone();
        std::thread::spawn(move || {
            (0..3).all(|number| send(&publisher, format!("{thread}.{number}").as_bytes(), 1))
        })
    });
    let threads: Vec<_> = threads.collect();
    assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    wait_video(&stage, "all of them", |video| {
        let counts = messages(video).iter().map(|one| one.count).sum::<u64>();
        messages(video).len() == 12 && counts == 24
    });
}

/// Waits for the warning of a refused message. Returns its name and text.
fn refusal(publisher: &mut Publisher) -> (String, String) {
    publisher.wait("warning", |message| match message.view() {
        gst::MessageView::Warning(warning) => {
            let name = warning.details()?.get::<String>("metadata").ok()?;
            Some((name, warning.error().message().to_owned()))
        }
        _ => None,
    })
}

#[track_caller]
fn refused(publisher: &mut Publisher, data: &[u8], repeat: u32, name: &str, says: &str) {
    assert!(!send(publisher, data, repeat), "{name}");
    let (found, text) = refusal(publisher);
    assert_eq!(found, name);
    assert!(text.contains(says), "{text}");
}

#[test]
fn each_bound_is_told() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(RAW, &stage);
    refused(&mut publisher, b"a", 0, "stopped", "publishing");
    publisher.play();
    publisher.wait_state("publishing");
    refused(&mut publisher, b"", 0, "size", "1 to 1023");
    refused(&mut publisher, &[7; 1024], 0, "size", "1024");
    refused(&mut publisher, b"a", 31, "repeat", "0 to 30");
    refused(&mut publisher, &[7; 1000], 30, "rate", "10240");
    // What was refused does not count.
    assert!(send(&publisher, &[7; 1000], 9));
    let null = None::<glib::Bytes>;
    let sent: bool = publisher
        .whip
        .emit_by_name("send-metadata", &[&null, &0u32]);
    assert!(!sent && refusal(&mut publisher).0 == "size");
    // In NULL nothing is on the bus.
    publisher.pipeline.set_state(gst::State::Ready).unwrap();
    refused(&mut publisher, b"a", 0, "stopped", "publishing");
}

#[test]
fn without_video_or_with_rtp_the_warning_says_what_to_link() {
    for (launch, name, says) in [
        (AUDIO, "no-video", "link encoded or raw video"),
        (VIDEO, "rtp-video", "leave out the payloader"),
    ] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(launch, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        refused(&mut publisher, b"a", 0, name, says);
    }
}
