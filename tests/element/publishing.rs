//! Audio and video reach the stage: offers, redirects, pacing, and the end.

use std::sync::atomic::Ordering;

use gst::prelude::*;
use ivs_stage::{Direction, Happening, Kind, OfferSection, Rules, SessionReport, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, stage};

fn offer(stage: &Stage) -> Vec<OfferSection> {
    let offer = |what: &Happening| match what {
        Happening::Offer { sections, .. } => Some(sections.clone()),
        _ => None,
    };
    stage
        .events()
        .iter()
        .find_map(|event| offer(&event.what))
        .expect("an offer")
}

fn wait_packets(stage: &Stage, kind: Kind, packets: u64) {
    let enough = |sessions: &[SessionReport]| {
        sessions
            .iter()
            .any(|session| session.packets(kind) >= packets)
            .then_some(())
    };
    stage
        .wait_for_sessions(BOUND, enough)
        .expect("packets at the stage");
}

fn delete_on_regional_host(stage: &Stage) -> bool {
    stage.events().iter().any(|event| match &event.what {
        Happening::Delete {
            host,
            status,
            authorization,
            ..
        } => *host == stage.regional_host() && *status == 200 && *authorization,
        _ => false,
    })
}

#[test]
fn audio_only_publishes_through_the_redirect_with_an_inactive_video_section() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    assert_eq!(publisher.session_state(), "publishing");
    wait_packets(&stage, Kind::Audio, 50);

    let sections = offer(&stage);
    let [audio, video] = &sections[..] else {
        panic!("two sections: {sections:?}")
    };
    assert_eq!(
        (audio.kind, audio.direction),
        (Kind::Audio, Direction::SendOnly)
    );
    assert_eq!(
        (video.kind, video.direction),
        (Kind::Video, Direction::Inactive)
    );
    for section in &sections {
        assert_eq!(section.port, 9);
        assert!(section.msid && !section.bundle_only, "{section:?}");
    }
    assert!(audio.ssrc, "an audio section with its SSRC");

    publisher.stop();
    assert!(delete_on_regional_host(&stage), "{:#?}", stage.events());
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn at_least_98_percent_of_the_packets_after_publishing_arrive() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let sent = publisher.count_packets("audio-pay");
    wait_packets(&stage, Kind::Audio, 250);
    publisher.pipeline.send_event(gst::event::Eos::new());
    publisher.wait_eos();
    let (sent, arrived) = (
        sent.load(Ordering::SeqCst),
        stage.sessions()[0].packets(Kind::Audio),
    );
    assert!(
        arrived * 100 >= sent * 98,
        "{arrived} of {sent} packets arrived"
    );
}

#[test]
fn audio_and_video_publish_with_audio_first() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{VIDEO} {AUDIO}"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets(&stage, Kind::Audio, 25);
    wait_packets(&stage, Kind::Video, 25);
    let kinds: Vec<Kind> = offer(&stage).iter().map(|section| section.kind).collect();
    assert_eq!(kinds, [Kind::Audio, Kind::Video]);
    let key_frames = |sessions: &[SessionReport]| {
        (sessions[0].section(Kind::Video)?.key_frames > 0).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, key_frames)
        .expect("a key frame");
    publisher.stop();
    assert!(delete_on_regional_host(&stage));
}

#[test]
fn video_only_publishes_without_a_filler() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(VIDEO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets(&stage, Kind::Video, 25);
    assert_eq!(offer(&stage).len(), 1);
}

#[test]
fn whipsinks_pipeline_runs_with_the_factory_name_as_the_only_change() {
    let stage = stage();
    let token = stage.token();
    let endpoint = stage.endpoint();
    let launch = format!(
        "ivswhipsink name=whip auth-token={token} whip-endpoint={endpoint} \
         videotestsrc is-live=true ! video/x-raw,width=320,height=240 ! videoconvert \
         ! x264enc tune=zerolatency key-int-max=30 ! video/x-h264,profile=constrained-baseline \
         ! rtph264pay ! application/x-rtp,media=video,encoding-name=H264,payload=97,clock-rate=90000 \
         ! whip.sink_0 \
         audiotestsrc is-live=true ! audioconvert ! opusenc ! rtpopuspay \
         ! application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000,encoding-params=(string)2 \
         ! whip.sink_1"
    );
    let mut publisher = Publisher::parsed(&launch);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets(&stage, Kind::Audio, 25);
    wait_packets(&stage, Kind::Video, 25);
}

#[test]
fn several_redirects_and_a_path_only_location_are_followed() {
    let rules = Rules {
        hops: 3,
        last_redirect: ivs_stage::LastRedirect::PathOnly,
        location: ivs_stage::LocationForm::PathOnly,
        ..Rules::default()
    };
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_packets(&stage, Kind::Audio, 10);
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn end_of_stream_deletes_the_session_and_then_ends_the_pipeline() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(
        &AUDIO.replace("is-live=true", "is-live=true num-buffers=60"),
        &stage,
    );
    publisher.play();
    publisher.wait_state("publishing");
    publisher.wait_state("ended");
    assert!(
        delete_on_regional_host(&stage),
        "DELETE before end of stream"
    );
    publisher.wait_eos();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn a_file_is_sent_at_its_own_pace() {
    let stage = stage();
    // Not live: without pacing these 6 s would be sent at once.
    let launch = "audiotestsrc num-buffers=300 samplesperbuffer=960 ! audio/x-raw,rate=48000 \
                  ! opusenc ! rtpopuspay ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    publisher.wait_eos();
    let session = &stage.sessions()[0];
    let audio = session.section(Kind::Audio).unwrap();
    let (first, last) = (audio.first_ms.unwrap(), audio.last_ms.unwrap());
    assert!(
        last - first > 1_000,
        "{} packets within {} ms",
        audio.packets,
        last - first
    );
}

#[test]
fn offer_is_posted_without_waiting_for_candidates() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    assert!(offer(&stage).iter().all(|section| section.candidates == 0));
}

#[test]
fn without_filler_the_stage_refuses_and_the_error_says_what_to_do() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property_from_str("video-filler", "none");
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::OpenWrite));
    assert!(
        error
            .text()
            .contains("HTTP 400, IVS code 2001: failed to create publisher session")
    );
    assert!(
        error.text().contains("use video-filler=auto"),
        "{}",
        error.text()
    );
    assert_eq!(error.detail::<u32>("http-status"), Some(400));
    assert_eq!(error.detail::<u32>("ivs-code"), Some(2001));
}

#[test]
fn link_headers_are_used_when_asked_for() {
    let rules = Rules {
        links: vec!["<stun:127.0.0.1:9>; rel=\"ice-server\"".to_owned()],
        ..Rules::default()
    };
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("use-link-headers", true);
    let (sender, receiver) = std::sync::mpsc::channel();
    publisher
        .whip
        .connect("webrtcbin-ready", false, move |values| {
            sender
                .send(values[1].get::<gst::Element>().unwrap())
                .unwrap();
            None
        });
    publisher.play();
    let webrtcbin = receiver.recv_timeout(BOUND).unwrap();
    publisher.wait_state("publishing");
    let server = webrtcbin.property::<Option<String>>("stun-server");
    assert_eq!(server.as_deref(), Some("stun://127.0.0.1:9"));
    wait_packets(&stage, Kind::Audio, 10);
}
