//! What leaves for raw video: a stream as IVS asks for, whatever the encoder.

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

/// Waits for so many key frames.
fn wait_video(stage: &Stage, key_frames: u64) -> SectionReport {
    let find = |sessions: &[SessionReport]| {
        let section = sessions.first()?.section(Kind::Video)?;
        (section.key_frames >= key_frames).then(|| section.clone())
    };
    let found = stage.wait_for_sessions(BOUND, find);
    found.unwrap_or_else(|| panic!("key frames: {:#?}", stage.sessions()))
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
        let stage = stage();
        let mut publisher = publisher(video, encoder, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        let section = wait_video(&stage, 4);
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
