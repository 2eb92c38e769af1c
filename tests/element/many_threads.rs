//! An application may call from several threads at once.

use std::thread;
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::harness::{AUDIO, Publisher, stage, wait_packets_of};

/// How long the threads go on.
const TIME: Duration = Duration::from_secs(4);

/// Repeats a call, with pauses that differ from thread to thread, so that the calls
/// meet a session at all its moments.
fn repeat(pause: Duration, mut call: impl FnMut(usize)) {
    let began = Instant::now();
    let mut round = 0;
    while began.elapsed() < TIME {
        call(round);
        round += 1;
        thread::sleep(pause);
    }
}

#[test]
fn starts_stops_ends_and_flushes_leave_no_session_and_an_element_that_publishes() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let pipeline = publisher.pipeline.clone();
    let whip = publisher.whip.clone();
    let states = [
        gst::State::Playing,
        gst::State::Ready,
        gst::State::Playing,
        gst::State::Paused,
        gst::State::Playing,
        gst::State::Null,
    ];
    thread::scope(|scope| {
        for pause in [37, 61] {
            let pipeline = &pipeline;
            scope.spawn(move || {
                repeat(Duration::from_millis(pause), |round| {
                    // Another thread may have asked for another state meanwhile.
                    let _ = pipeline.set_state(states[round % states.len()]);
                });
            });
        }
        scope.spawn(|| {
            repeat(Duration::from_millis(83), |_| {
                // Not to the pipeline: a source keeps it for its next start.
                for pad in whip.sink_pads() {
                    pad.send_event(gst::event::Eos::new());
                }
            });
        });
        scope.spawn(|| {
            repeat(Duration::from_millis(29), |_| {
                let start = gst::ClockTime::ZERO;
                // Fails while upstream is not started.
                let _ = whip.seek_simple(gst::SeekFlags::FLUSH, start);
            });
        });
    });
    publisher.stop();
    assert_eq!(publisher.session_state(), "idle");
    assert!(!stage.sessions().is_empty(), "the calls met no session");
    assert_eq!(stage.live_sessions(), 0);
    publisher.messages();
    let before = stage.sessions().len();
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, before);
}
