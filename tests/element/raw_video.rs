//! What leaves for raw video: a stream as IVS asks for, whatever the encoder.

use std::sync::mpsc::channel;

use gst::prelude::*;
use ivs_stage::{Kind, SectionReport, SessionReport, Stage};

use crate::harness::{BOUND, Publisher, stage};

fn publisher(video: &str, encoder: &str, stage: &Stage) -> Publisher {
    let publisher = Publisher::to_stage(
        &format!("videotestsrc is-live=true ! {video} ! whip. "),
        stage,
    );
    publisher.whip.set_property("video-encoder", encoder);
    publisher
}

/// A pause of so long is one of a machine that is busy.
const PAUSE_MS: u64 = 500;

/// What arrives of four key frames, while the machine keeps up with the source.
fn received(video: &str, encoder: &str) -> SectionReport {
    for _ in 0..10 {
        let stage = stage();
        let mut publisher = publisher(video, encoder, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        let find = |sessions: &[SessionReport]| {
            let section = sessions.first()?.section(Kind::Video)?;
            (section.key_frames >= 4).then(|| section.clone())
        };
        let Some(section) = stage.wait_for_sessions(BOUND, find) else {
            continue;
        };
        let pause = section.frames.unwrap().longest_gap_ms;
        if pause < PAUSE_MS && !publisher.messages().iter().any(is_shift) {
            return section;
        }
    }
    panic!("{video} of {encoder} has pauses each time");
}

/// Whether a message tells that the source was late, and its timestamps were shifted.
fn is_shift(message: &gst::Message) -> bool {
    match message.view() {
        gst::MessageView::Info(info) => info.details().is_some_and(|one| one.has_field("shift")),
        _ => false,
    }
}

fn is_as_ivs_asks(encoder: &str) {
    // Much wider than IVS accepts, with few lines for a machine that is busy.
    for (video, size) in [
        (
            "video/x-raw,width=1920,height=240,framerate=10/1",
            (1280, 160),
        ),
        (
            "video/x-raw,width=640,height=360,framerate=30/1",
            (640, 360),
        ),
    ] {
        let section = received(video, encoder);
        assert_eq!(section.size, Some(size));
        let report = section.video.unwrap();
        assert_eq!(report.profile.as_deref(), Some("constrained baseline"));
        let slices = report.slices.unwrap();
        assert_eq!((slices.min, slices.max), (1, 1));
        assert_eq!(report.b_frames, 0);
        let distance = report.key_frame_distance_ms.unwrap();
        assert!(distance.max <= 2000, "{encoder}, {video}: {distance:?}");
    }
}

#[test]
fn of_x264enc_is_as_ivs_asks() {
    is_as_ivs_asks("x264enc");
}

#[test]
fn of_openh264enc_is_as_ivs_asks() {
    is_as_ivs_asks("openh264enc");
}

/// What is offered and what leaves name the level of 720p with 60 frames a second.
#[test]
fn the_level_is_that_of_the_frame_rate() {
    for (encoder, max_frame_rate, profile_level_id, level) in [
        ("x264enc", 60_u32, "42e020", "3.2"),
        ("openh264enc", 60, "42e020", "3.2"),
        ("x264enc", 30, "42e01f", "3.1"),
        ("openh264enc", 30, "42e01f", "3.1"),
    ] {
        let stage = stage();
        let black = format!(
            "videotestsrc is-live=true pattern=black \
             ! video/x-raw,width=1280,height=720,framerate={max_frame_rate}/1 ! whip. "
        );
        let mut publisher = Publisher::to_stage(&black, &stage);
        publisher.whip.set_property("video-encoder", encoder);
        publisher.whip.set_property("max-framerate", max_frame_rate);
        let (sender, peers) = channel();
        publisher
            .whip
            .connect("webrtcbin-ready", false, move |values| {
                sender
                    .send(values[1].get::<gst::Element>().unwrap())
                    .unwrap();
                None
            });
        publisher.play();
        publisher.wait_state("publishing");
        let find = |sessions: &[SessionReport]| {
            let section = sessions.first()?.section(Kind::Video)?;
            section.video.as_ref()?.level.clone()
        };
        let found = stage.wait_for_sessions(BOUND, find);
        assert_eq!(found.as_deref(), Some(level), "{encoder}");
        let peer = peers.recv().unwrap();
        let offer: gst_webrtc::WebRTCSessionDescription = peer.property("local-description");
        let offer = offer.sdp().as_text().unwrap();
        assert!(offer.contains(profile_level_id), "{offer}");
    }
}
