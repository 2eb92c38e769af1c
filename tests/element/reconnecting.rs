//! Whatever happens to the far end, the publisher comes back, or says why it can't.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{
    Certificate, Happening, KeySource, Kind, Refusal, Rules, SessionReport, SigningKey, Stage,
};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, init, stage, wait_packets_of};

/// The first wait of the back-off with its jitter, plus a second.
const BACK_OFF_AND_A_SECOND: Duration = Duration::from_millis(2_400 + 1_000);

/// A stage that can be restarted on its ports with the same tokens, and the path of
/// its key.
fn lasting_stage(name: &str) -> (Stage, std::path::PathBuf) {
    let path = std::env::temp_dir().join(format!("ivswhipsink-{name}-{}.pem", std::process::id()));
    SigningKey::from_file(&path).unwrap();
    let rules = Rules {
        key: KeySource::File(path.clone()),
        ..Rules::default()
    };
    (Stage::start(rules).unwrap(), path)
}

fn retry_reason(publisher: &mut Publisher) -> String {
    publisher.wait("retry", |message| {
        let structure = message.structure()?;
        let is_retry = structure.name() == "ivswhipsink-retry";
        is_retry.then(|| structure.get::<String>("reason").unwrap())
    })
}

#[test]
fn a_close_by_the_server_is_noticed_at_once_and_the_session_replaced() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    let before = Instant::now();
    stage.close_sessions();
    publisher.wait_state("retrying");
    assert!(
        before.elapsed() < Duration::from_secs(1),
        "{:?}",
        before.elapsed()
    );
    publisher.wait_state("publishing");
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    wait_packets_of(&stage, 1);
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn a_killed_stage_that_comes_back_is_published_to_again() {
    let (stage, key) = lasting_stage("killed");
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("silence-timeout", 1u32);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    let rules = stage.rules();
    drop(stage);
    publisher.wait_state("retrying");
    let stage = Stage::start(rules).unwrap();
    let back = Instant::now();
    publisher.wait_state("publishing");
    assert!(
        back.elapsed() < BACK_OFF_AND_A_SECOND,
        "{:?}",
        back.elapsed()
    );
    wait_packets_of(&stage, 0);
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
    std::fs::remove_file(key).unwrap();
}

#[test]
fn a_frozen_stage_is_noticed_within_the_bound_and_two_seconds() {
    let stage = Stage::start(Rules {
        report_interval: Some(Duration::from_secs(1)),
        ..Rules::default()
    });
    let stage = stage.unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("silence-timeout", 5u32);
    publisher.play();
    publisher.wait_state("publishing");
    // Silence is noticed only after the far end's first report.
    std::thread::sleep(Duration::from_millis(2_500));
    let frozen = Instant::now();
    stage.freeze();
    publisher.wait_state("retrying");
    let noticed = frozen.elapsed();
    stage.thaw();
    assert!(
        noticed < Duration::from_secs(7),
        "noticed after {noticed:?}"
    );
    assert!(
        noticed > Duration::from_secs(3),
        "noticed after {noticed:?}"
    );
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 1);
}

#[test]
fn the_network_gone_and_back() {
    let rules = Rules {
        report_interval: Some(Duration::from_secs(1)),
        ..Rules::default()
    };
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("silence-timeout", 3u32);
    publisher.whip.set_property("connect-timeout", 2u32);
    publisher.play();
    publisher.wait_state("publishing");
    let reported =
        |sessions: &[SessionReport]| (sessions[0].packets(Kind::Audio) >= 100).then_some(());
    stage
        .wait_for_sessions(BOUND, reported)
        .expect("two seconds of audio");
    stage.drop_media();
    let reason = retry_reason(&mut publisher);
    assert!(reason.contains("nothing was received from it"), "{reason}");
    let reason = retry_reason(&mut publisher);
    assert!(reason.contains("no media connection came up"), "{reason}");
    stage.restore_media();
    publisher.wait_state("publishing");
    publisher.stop();
    let deleted = |_: &[SessionReport]| (stage.live_sessions() == 0).then_some(());
    stage
        .wait_for_sessions(BOUND, deleted)
        .expect("every session deleted");
}

#[test]
fn a_short_freeze_is_no_loss() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("silence-timeout", 4u32);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    stage.freeze();
    std::thread::sleep(Duration::from_secs(2));
    stage.thaw();
    // Longer than silence-timeout; reports come only every 5 s.
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(publisher.session_state(), "publishing");
    assert_eq!(stage.sessions().len(), 1);
}

#[test]
fn a_quiet_link_that_lives_is_no_loss() {
    // Nothing is sent after the first packets, and the stage reports every 5 s.
    let stage = stage();
    let launch = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! valve name=mute ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.whip.set_property("silence-timeout", 2u32);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    publisher
        .pipeline
        .by_name("mute")
        .unwrap()
        .set_property("drop", true);
    std::thread::sleep(Duration::from_secs(9));
    assert_eq!(publisher.session_state(), "publishing");
    assert_eq!(stage.sessions().len(), 1);
}

#[test]
fn a_pause_is_no_loss() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("silence-timeout", 2u32);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    publisher.pipeline.set_state(gst::State::Paused).unwrap();
    std::thread::sleep(Duration::from_secs(6));
    publisher.play();
    let before = stage.sessions()[0].packets(Kind::Audio);
    let more =
        |sessions: &[SessionReport]| (sessions[0].packets(Kind::Audio) > before + 10).then_some(());
    stage
        .wait_for_sessions(BOUND, more)
        .expect("packets after the pause");
    assert_eq!(stage.sessions().len(), 1);
    assert_eq!(publisher.session_state(), "publishing");
}

#[test]
fn busy_servers_are_asked_again_when_they_say() {
    for refusal in [
        Refusal::status(503).header("Retry-After", "3"),
        Refusal::status(429).header("Retry-After", "3"),
    ] {
        let stage = Stage::start(Rules {
            refusals: vec![refusal],
            ..Rules::default()
        })
        .unwrap();
        let mut publisher = Publisher::to_stage(AUDIO, &stage);
        publisher.play();
        assert!(retry_reason(&mut publisher).contains("busy"));
        let before = Instant::now();
        publisher.wait_state("publishing");
        assert!(
            before.elapsed() > Duration::from_millis(2_800),
            "{:?}",
            before.elapsed()
        );
    }
}

#[test]
fn an_answer_that_breaks_off_is_tried_again_and_nothing_stays_behind() {
    let stage = Stage::start(Rules {
        cut_answers: 1,
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    assert!(retry_reason(&mut publisher).contains("ended in the middle"));
    publisher.wait_state("publishing");
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
    assert_eq!(stage.sessions().len(), 2);
}

#[test]
fn retries_before_the_first_success_are_bounded() {
    let rules = Rules {
        refusals: vec![Refusal::status(503); 9],
        ..Rules::default()
    };
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("retries", 1);
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::Busy));
    assert_eq!(error.detail::<u32>("attempt"), Some(2));
    assert_eq!(error.detail::<u32>("http-status"), Some(503));
}

#[test]
fn stopping_while_waiting_for_another_attempt_takes_no_time() {
    let rules = Rules {
        refusals: vec![Refusal::status(503); 9],
        ..Rules::default()
    };
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("retrying");
    let took = publisher.stop();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_wrong_certificate_gets_not_one_media_packet() {
    let mut rules = Rules::default();
    rules.answer.certificate = Certificate::Other;
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::NotAuthorized), "{error:?}");
    assert!(
        error.text().contains("no media was sent"),
        "{}",
        error.text()
    );
    publisher.stop();
    assert_eq!(stage.sessions()[0].packets(Kind::Audio), 0);
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn the_other_branch_of_a_tee_loses_nothing_through_restarts() {
    init();
    let (mut stage, key) = lasting_stage("tee");
    let launch = "audiotestsrc is-live=true num-buffers=900 samplesperbuffer=480 \
                  ! audio/x-raw,rate=48000 ! opusenc frame-size=10 ! rtpopuspay ! tee name=t \
                  t. ! queue ! whip. t. ! queue ! fakesink name=recording sync=false async=false ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.whip.set_property("silence-timeout", 1u32);
    let recorded = Arc::new(AtomicU64::new(0));
    let counter = recorded.clone();
    let pad = publisher
        .pipeline
        .by_name("recording")
        .unwrap()
        .static_pad("sink")
        .unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        gst::PadProbeReturn::Ok
    });
    publisher.play();
    publisher.wait_state("publishing");
    let rules = stage.rules();
    drop(stage);
    publisher.wait_state("retrying");
    stage = Stage::start(rules).unwrap();
    publisher.wait_eos();
    drop(stage);
    // One packet of 10 ms per buffer, and one more when opusenc is drained.
    let recorded = recorded.load(Ordering::SeqCst);
    assert!(
        (900..=901).contains(&recorded),
        "{recorded} of 900 packets recorded"
    );
    std::fs::remove_file(key).unwrap();
}

#[test]
fn video_begins_with_a_key_frame_after_every_connect() {
    let stage = stage();
    let mut publisher =
        Publisher::to_stage(&VIDEO.replace("key-int-max=30", "key-int-max=3000"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    for session in 0..2 {
        let key_frame = |sessions: &[SessionReport]| {
            let video = sessions.get(session)?.section(Kind::Video)?;
            (video.key_frames > 0).then_some(())
        };
        // Without a request the next key frame would come after 100 s.
        stage
            .wait_for_sessions(BOUND, key_frame)
            .expect("a key frame");
        stage.close_sessions();
    }
}

#[test]
fn a_token_set_while_running_is_used_for_the_next_session() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    publisher.whip.set_property("auth-token", stage.token());
    assert_eq!(stage.sessions().len(), 1, "the running session stays");
    stage.close_sessions();
    publisher.wait_state("retrying");
    publisher.wait_state("publishing");
    let participants: Vec<String> = stage
        .sessions()
        .iter()
        .map(|session| session.participant.clone())
        .collect();
    assert_ne!(participants[0], participants[1]);
}

#[test]
fn video_added_while_publishing_makes_a_session_with_both() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    let video = gst::parse::bin_from_description(VIDEO.trim_end_matches("! whip. "), true).unwrap();
    publisher.pipeline.add(&video).unwrap();
    video.link(&publisher.whip).unwrap();
    video.sync_state_with_parent().unwrap();
    publisher.wait_state("connecting");
    publisher.wait_state("publishing");
    let both = |sessions: &[SessionReport]| {
        let session = sessions.get(1)?;
        (session.packets(Kind::Audio) > 10 && session.packets(Kind::Video) > 10).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, both)
        .expect("audio and video");
    let offers: Vec<usize> = stage
        .events()
        .iter()
        .filter_map(|event| match &event.what {
            Happening::Offer { sections, .. } => Some(sections.len()),
            _ => None,
        })
        .collect();
    assert_eq!(offers, [2, 2]);
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn audio_released_while_publishing_leaves_video() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{AUDIO} {VIDEO}"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    let source = publisher
        .pipeline
        .by_name("audio-pay")
        .unwrap()
        .static_pad("src")
        .unwrap();
    let pad = source.peer().unwrap();
    let (sender, released) = std::sync::mpsc::channel();
    let whip = publisher.whip.clone();
    source.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, move |source, _| {
        let _ = source.unlink(&pad);
        whip.release_request_pad(&pad);
        let _ = sender.send(());
        gst::PadProbeReturn::Remove
    });
    released.recv_timeout(BOUND).unwrap();
    let video_only = |sessions: &[SessionReport]| {
        let session = sessions.get(1)?;
        (session.sections.len() == 1 && session.packets(Kind::Video) > 10).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, video_only)
        .expect("video only");
}

#[test]
fn the_start_of_the_stream_is_told_once_through_reconnects() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    for _ in 0..2 {
        publisher.wait_state("publishing");
        stage.close_sessions();
        publisher.wait_state("retrying");
    }
    publisher.wait_state("publishing");
    let messages = publisher.messages().iter();
    let starts = messages.filter(|message| message.type_() == gst::MessageType::StreamStart);
    assert_eq!(starts.count(), 1);
}

/// A webrtcbin that does not take one packet, once the first flag is set. Returns that
/// flag and the number of packets that it took.
fn fail_one_packet(publisher: &Publisher) -> (Arc<AtomicBool>, Arc<AtomicU64>) {
    let fails = Arc::new(AtomicBool::new(false));
    let taken = Arc::new(AtomicU64::new(0));
    let both = (fails.clone(), taken.clone());
    publisher
        .whip
        .connect("webrtcbin-ready", false, move |values| {
            let webrtcbin: gst::Element = values[1].get().unwrap();
            let (failing, taken) = both.clone();
            webrtcbin.connect_pad_added(move |_, pad| {
                let (failing, taken) = (failing.clone(), taken.clone());
                pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
                    if !failing.swap(false, Ordering::SeqCst) {
                        taken.fetch_add(1, Ordering::SeqCst);
                        return gst::PadProbeReturn::Ok;
                    }
                    info.flow_res = Err(gst::FlowError::Error);
                    gst::PadProbeReturn::Handled
                });
            });
            None
        });
    (fails, taken)
}

#[test]
fn a_packet_that_webrtcbin_does_not_take_is_a_lost_session() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let (fails, _) = fail_one_packet(&publisher);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    fails.store(true, Ordering::SeqCst);
    let reason = retry_reason(&mut publisher);
    assert!(reason.contains("did not take a packet"), "{reason}");
    wait_packets_of(&stage, 1);
}

#[test]
fn a_packet_that_webrtcbin_does_not_take_is_not_counted() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("retries", 0);
    let (fails, taken) = fail_one_packet(&publisher);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets_of(&stage, 0);
    fails.store(true, Ordering::SeqCst);
    publisher.wait_error();
    let stats: gst::Structure = publisher.whip.property("stats");
    let counted = stats.get::<u64>("audio-packets").unwrap();
    assert_eq!(counted, taken.load(Ordering::SeqCst));
}
