//! Trouble in the session does not harm the pipeline, and the reverse.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Kind, SessionReport, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, plugin_folder, stage};

fn wait_sessions(stage: &Stage, count: usize, kind: Kind) {
    let enough = |sessions: &[SessionReport]| {
        let session = sessions.get(count - 1)?;
        (session.packets(kind) >= 10).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, enough)
        .unwrap_or_else(|| panic!("no session {count}"));
}

#[test]
fn sources_run_on_while_sessions_are_replaced_under_them() {
    let stage = stage();
    // So many packets that some are always inside webrtcbin.
    let video = VIDEO.replace("bitrate=500", "bitrate=4000");
    let audio = AUDIO.replace("! whip.", "! queue name=audio-queue ! whip.");
    let mut publisher = Publisher::to_stage(&format!("{video} {audio}"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let queue = publisher.pipeline.by_name("audio-queue").unwrap();
    let source = queue.static_pad("src").unwrap();
    for round in 1..=4 {
        let pad = source.peer().unwrap();
        // Nothing is pushed while the source has no peer.
        let block = source.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| {
            gst::PadProbeReturn::Ok
        });
        source.unlink(&pad).unwrap();
        publisher.whip.release_request_pad(&pad);
        wait_sessions(&stage, 2 * round, Kind::Video);
        let pad = publisher.whip.request_pad_simple("sink_%u").unwrap();
        source.link(&pad).unwrap();
        source.remove_probe(block.unwrap());
        wait_sessions(&stage, 2 * round + 1, Kind::Video);
        wait_sessions(&stage, 2 * round + 1, Kind::Audio);
    }
    let (audio, video) = (
        publisher.count_packets("audio-pay"),
        publisher.count_packets("video-pay"),
    );
    std::thread::sleep(Duration::from_secs(1));
    assert!(audio.load(Ordering::SeqCst) > 20 && video.load(Ordering::SeqCst) > 20);
}

#[test]
fn a_pad_is_released_in_paused_without_a_wait() {
    let stage = stage();
    let launch = AUDIO.replace("is-live=true", "");
    let publisher = Publisher::to_stage(&launch, &stage);
    publisher.pipeline.set_state(gst::State::Paused).unwrap();
    let (changed, ..) = publisher.pipeline.state(gst::ClockTime::from_seconds(5));
    changed.unwrap();
    let pad = publisher.whip.static_pad("sink_0").unwrap();
    // By now the streaming thread should wait for PLAYING behind the pad.
    std::thread::sleep(Duration::from_millis(200));
    let before = Instant::now();
    publisher.whip.release_request_pad(&pad);
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn end_of_stream_ends_the_pipeline_though_the_session_failed() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("auth-token", "not-the-stages");
    publisher.play();
    publisher.wait_error();
    publisher.pipeline.send_event(gst::event::Eos::new());
    publisher.wait_eos();
}

/// Seeks to the start, to play this many seconds.
fn seek(publisher: &Publisher, seconds: u64) {
    let seek = publisher.pipeline.seek(
        1.0,
        gst::SeekFlags::FLUSH,
        gst::SeekType::Set,
        gst::ClockTime::ZERO,
        gst::SeekType::Set,
        gst::ClockTime::from_seconds(seconds),
    );
    seek.unwrap();
}

#[test]
fn a_seek_after_the_end_publishes_again() {
    let stage = stage();
    let launch = "audiotestsrc samplesperbuffer=960 ! audio/x-raw,rate=48000 \
                  ! opusenc ! rtpopuspay ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    seek(&publisher, 2);
    publisher.wait_eos();
    let before = Instant::now();
    seek(&publisher, 4);
    publisher.wait_state("publishing");
    wait_sessions(&stage, 2, Kind::Audio);
    publisher.wait_eos();
    assert!(
        before.elapsed() > Duration::from_secs(3),
        "at its own pace: {:?}",
        before.elapsed()
    );
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn a_seek_while_publishing_goes_on_in_the_same_session() {
    let stage = stage();
    let launch = "audiotestsrc samplesperbuffer=960 ! audio/x-raw,rate=48000 \
                  ! opusenc ! rtpopuspay ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_sessions(&stage, 1, Kind::Audio);
    publisher
        .pipeline
        .seek_simple(gst::SeekFlags::FLUSH, gst::ClockTime::ZERO)
        .unwrap();
    let before = stage.sessions()[0].packets(Kind::Audio);
    let more =
        |sessions: &[SessionReport]| (sessions[0].packets(Kind::Audio) > before + 50).then_some(());
    stage
        .wait_for_sessions(BOUND, more)
        .expect("packets after the seek");
    assert_eq!(stage.sessions().len(), 1);
}

#[test]
fn an_error_inside_webrtcbin_is_a_loss_and_no_end() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let receiver = publisher.webrtcbins();
    publisher.play();
    publisher.wait_state("publishing");
    let webrtcbin = receiver.recv().unwrap();
    gst::element_error!(webrtcbin, gst::LibraryError::Failed, ("Fatal SSL error"));
    publisher.wait_state("retrying");
    publisher.wait_state("publishing");
}

/// A handler of the application that does not return holds the thread on which webrtcbin
/// would make the offer.
#[test]
fn an_offer_that_never_comes_is_an_error() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("retries", 0);
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    publisher
        .whip
        .connect("webrtcbin-ready", false, move |values| {
            let webrtcbin = values[1].get::<gst::Element>().unwrap();
            let released = released.clone();
            webrtcbin.connect("on-negotiation-needed", false, move |_| {
                let _ = released.lock().unwrap().recv_timeout(2 * BOUND);
                None
            });
            None
        });
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::OpenWrite), "{error:?}");
    assert!(
        error.text().contains("made no offer within 10 s"),
        "{error:?}"
    );
    drop(release);
    let took = publisher.stop();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(stage.sessions().len(), 0);
}

#[test]
fn a_process_that_ends_at_once_does_not_crash() {
    // At exit OpenSSL is torn down, while a thread may still make a key with it.
    let folder = plugin_folder("exit");
    let pipeline = format!("{AUDIO} {AUDIO} ivswhipsink name=whip").replace("name=audio-pay", "");
    for _ in 0..10 {
        let output = Command::new("gst-launch-1.0")
            .args(pipeline.split_whitespace())
            .arg("whip-endpoint=http://127.0.0.1:9/")
            .env("GST_PLUGIN_PATH", &folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("a second audio stream"), "{said}");
        assert_eq!(output.status.code(), Some(1), "{said}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}
