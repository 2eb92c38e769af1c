//! An element publishes again after a stop, an end of stream or a failure.

use gst::prelude::*;
use ivs_stage::{Happening, Stage};

use crate::harness::{AUDIO, Publisher, VIDEO, stage, wait_packets_of};

fn deletes(stage: &Stage) -> usize {
    let is_delete = |what: &Happening| matches!(what, Happening::Delete { status: 200, .. });
    stage
        .events()
        .iter()
        .filter(|event| is_delete(&event.what))
        .count()
}

#[test]
fn playing_null_playing_publishes_again() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{VIDEO} {AUDIO}"), &stage);
    for round in 0..3 {
        publisher.play();
        publisher.wait_state("publishing");
        wait_packets_of(&stage, round);
        publisher.stop();
        assert_eq!(publisher.session_state(), "idle");
        assert_eq!((stage.live_sessions(), deletes(&stage)), (0, round + 1));
        publisher.messages();
    }
}

#[test]
fn playing_ready_playing_publishes_again() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    for round in 0..2 {
        publisher.play();
        publisher.wait_state("publishing");
        wait_packets_of(&stage, round);
        publisher.pipeline.set_state(gst::State::Ready).unwrap();
        assert_eq!(stage.live_sessions(), 0);
    }
}

#[test]
fn end_of_stream_and_then_again() {
    let stage = stage();
    let launch = AUDIO.replace("is-live=true", "is-live=true num-buffers=40");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    for round in 0..2 {
        publisher.play();
        publisher.wait_state("publishing");
        publisher.wait_eos();
        publisher.stop();
        assert_eq!(deletes(&stage), round + 1);
    }
}

#[test]
fn a_failed_session_does_not_spoil_the_next() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("auth-token", "not-the-stages");
    publisher.play();
    publisher.wait_error();
    assert_eq!(publisher.session_state(), "failed");
    publisher.stop();
    publisher.whip.set_property("auth-token", stage.token());
    publisher.play();
    publisher.wait_state("publishing");
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}
