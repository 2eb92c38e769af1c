//! Which pads and caps are accepted, and the errors for all others.

use gst::prelude::*;

use ivs_stage::{Kind, SessionReport};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, decodable, stage, wait_section};

/// A live source with these RTP caps.
fn source(caps: &str) -> String {
    format!(
        "fakesrc is-live=true sizetype=fixed sizemax=100 datarate=10000 format=time \
             ! capsfilter caps=\"{caps}\" ! whip. "
    )
}

fn settings_error(launch: &str) -> String {
    let stage = stage();
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::Settings), "{error:?}");
    assert_eq!(error.source, "whip");
    assert_eq!(publisher.session_state(), "failed");
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
    error.text()
}

#[test]
fn a_third_pad_is_refused() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{AUDIO} {VIDEO}"), &stage);
    assert!(publisher.whip.request_pad_simple("sink_%u").is_none());
    let warning = publisher.wait_warning();
    assert!(warning.contains("one audio and one video"), "{warning}");
    assert_eq!(publisher.whip.num_sink_pads(), 2);
}

#[test]
fn a_second_audio_is_refused() {
    let second = AUDIO.replace("audio-pay", "audio-pay-2");
    let text = settings_error(&format!("{AUDIO} {second}"));
    assert!(text.contains("a second audio stream"), "{text}");
}

/// Links a second source to an element that is on air.
fn link_while_on_air(publisher: &Publisher, description: &str) {
    let source = gst::parse::bin_from_description(description, true).unwrap();
    publisher.pipeline.add(&source).unwrap();
    source.link(&publisher.whip).unwrap();
    source.sync_state_with_parent().unwrap();
}

#[test]
fn on_air_a_pad_that_can_not_be_published_is_a_warning_and_hurts_nothing() {
    for (description, words) in [
        (
            "audiotestsrc is-live=true ! opusenc ! rtpopuspay",
            "Pad sink_1 is not published. These pads can't be published together: a second audio",
        ),
        (
            "fakesrc is-live=true format=time ! capsfilter caps=application/x-rtp",
            "Pad sink_1 is not published. A pad's caps can't be published: expected RTP caps with",
        ),
    ] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(AUDIO, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        link_while_on_air(&publisher, description);
        let warning = publisher.wait_warning();
        assert!(warning.contains(words), "{warning}");
        let before = stage.sessions()[0].packets(Kind::Audio);
        let more = |sessions: &[SessionReport]| {
            (sessions[0].packets(Kind::Audio) > before + 25).then_some(())
        };
        stage.wait_for_sessions(BOUND, more).expect("packets");
        assert_eq!(publisher.session_state(), "publishing");
        publisher.stop();
        assert_eq!(stage.sessions().len(), 1);
    }
}

#[test]
fn rtp_that_is_neither_audio_nor_video_is_refused() {
    let text = settings_error(&source(
        "application/x-rtp,media=application,encoding-name=X,clock-rate=90000,payload=100",
    ));
    assert!(text.contains("found media=application"), "{text}");
}

#[test]
fn raw_and_encoded_media_link_and_the_pads_of_one_track_take_no_other() {
    crate::harness::init();
    for (launch, links) in [
        ("audiotestsrc ! ivswhipsink", true),
        ("videotestsrc ! ivswhipsink", true),
        ("audiotestsrc ! voaacenc ! ivswhipsink", true),
        ("videotestsrc ! whip.video_0 ivswhipsink name=whip", true),
        ("audiotestsrc ! whip.audio_0 ivswhipsink name=whip", true),
        ("videotestsrc ! whip.audio_0 ivswhipsink name=whip", false),
        ("audiotestsrc ! whip.video_0 ivswhipsink name=whip", false),
        ("fakesrc ! text/x-raw ! ivswhipsink", false),
    ] {
        assert_eq!(gst::parse::launch(launch).is_ok(), links, "{launch}");
    }
}

/// Of a source that does not ask before it sends its caps.
#[test]
fn media_of_the_other_track_are_refused_with_the_pad_to_use() {
    for (caps, pad, right) in [
        (
            "video/x-raw,format=I420,width=160,height=160,framerate=30/1",
            "audio_0",
            "a pad video_%u",
        ),
        (
            "audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved",
            "video_0",
            "a pad audio_%u",
        ),
        (
            "video/x-h264,stream-format=byte-stream,alignment=au",
            "audio_0",
            "a pad video_%u",
        ),
        (
            "audio/x-opus,channel-mapping-family=0",
            "video_0",
            "a pad audio_%u",
        ),
        (
            "application/x-rtp,media=audio,encoding-name=OPUS,clock-rate=48000",
            "video_0",
            "a pad audio_%u",
        ),
    ] {
        crate::harness::init();
        let stage = stage();
        let launch = "appsrc name=source is-live=true format=time \
                      fakesrc num-buffers=0 ! fakesink ";
        let mut publisher = Publisher::to_stage(launch, &stage);
        let source = publisher.pipeline.by_name("source").unwrap();
        let taken = publisher.whip.request_pad_simple(pad).unwrap();
        source.static_pad("src").unwrap().link(&taken).unwrap();
        publisher.play();
        let caps: gst::Caps = caps.parse().unwrap();
        let buffer = gst::Buffer::from_slice([0; 160]);
        let sample = gst::Sample::builder().buffer(&buffer).caps(&caps).build();
        let _: gst::FlowReturn = source.emit_by_name("push-sample", &[&sample]);
        let error = publisher.wait_error();
        assert!(error.text().contains(right), "{error:?}");
        let named = format!("Pad {pad} can't be published: ");
        assert!(error.text().starts_with(&named), "{error:?}");
        assert!(error.is(gst::ResourceError::Settings), "{error:?}");
        publisher.stop();
        assert_eq!(stage.sessions().len(), 0);
    }
}

#[test]
fn encoded_media_and_rtp_are_published_on_the_pads_of_their_track() {
    let h264 = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
                ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 \
                ! video/x-h264,profile=constrained-baseline";
    let opus = "audiotestsrc is-live=true ! opusenc";
    for (video, audio) in [("", ""), ("! rtph264pay", "! rtpopuspay")] {
        let stage = stage();
        let launch = format!("{h264} {video} ! whip.video_0 {opus} {audio} ! whip.audio_0 ");
        let mut publisher = Publisher::to_stage(&launch, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 20);
        let audio = wait_section(&stage, Kind::Audio, |audio| audio.packets >= 20);
        assert_eq!((video.lost, audio.lost), (0, 0));
        let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
        assert!(!publisher.messages().iter().any(is_warning));
        assert_eq!(stage.sessions().len(), 1);
    }
}

#[test]
fn no_inner_pad_is_ghosted_by_a_bin_around_the_element() {
    crate::harness::init();
    let stage = stage();
    let description = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! ivswhipsink name=whip";
    let bin = gst::parse::bin_from_description(description, true).unwrap();
    assert_eq!(bin.num_pads(), 0);
    let whip = bin.by_name("whip").unwrap();
    whip.set_property("whip-endpoint", stage.endpoint());
    whip.set_property("auth-token", stage.token());
    let pipeline = gst::Pipeline::new();
    pipeline.add(&bin).unwrap();
    let mut publisher = Publisher::of(pipeline, whip);
    publisher.play();
    publisher.wait_state("publishing");
    publisher.stop();
}

#[test]
fn names_count_for_the_pad_only() {
    let stage = stage();
    let launch = AUDIO.replace("whip. ", "whip.sink_1 ");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    assert!(publisher.whip.static_pad("sink_1").is_some());
}

#[test]
fn payload_types_are_chosen_apart_without_capsfilters() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{AUDIO} {VIDEO}"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let payload = |name: &str| {
        let pad = publisher
            .pipeline
            .by_name(name)
            .unwrap()
            .static_pad("src")
            .unwrap();
        pad.current_caps()
            .unwrap()
            .structure(0)
            .unwrap()
            .get::<i32>("payload")
            .unwrap()
    };
    assert_ne!(payload("audio-pay"), payload("video-pay"));
}

#[test]
fn a_payloaders_own_payload_type_is_kept() {
    let stage = stage();
    let launch = "audiotestsrc is-live=true ! opusenc ! rtpopuspay pt=120 name=audio-pay ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let pad = publisher
        .pipeline
        .by_name("audio-pay")
        .unwrap()
        .static_pad("src")
        .unwrap();
    let caps = pad.current_caps().unwrap();
    assert_eq!(caps.structure(0).unwrap().get::<i32>("payload"), Ok(120));
}

#[test]
fn what_is_waited_for_is_told_after_a_while() {
    let stage = stage();
    let silent = "appsrc is-live=true format=time caps=audio/x-raw,format=S16LE,rate=48000,\
         channels=2,layout=interleaved ! opusenc ! rtpopuspay ! whip. ";
    let mut nothing_comes = Publisher::to_stage(silent, &stage);
    let mut nothing_linked = Publisher::to_stage("audiotestsrc is-live=true ! fakesink ", &stage);
    let untyped = "appsrc name=source is-live=true format=time ! whip. ";
    let mut no_caps = Publisher::to_stage(untyped, &stage);
    nothing_comes.play();
    nothing_linked.play();
    no_caps.play();
    let source = no_caps.pipeline.by_name("source").unwrap();
    let buffer = gst::Buffer::from_slice([0; 20]);
    let flow: gst::FlowReturn = source.emit_by_name("push-buffer", &[&buffer]);
    assert_eq!(flow, gst::FlowReturn::Ok);
    let warning = nothing_comes.wait_warning();
    assert!(
        warning.contains("no media has arrived at sink_0 for 10 s"),
        "{warning}"
    );
    let warning = nothing_linked.wait_warning();
    assert!(warning.contains("no pad is linked"), "{warning}");
    let warning = no_caps.wait_warning();
    assert!(
        warning.contains("media at sink_0 have no caps"),
        "{warning}"
    );
}

#[test]
fn a_source_that_falls_silent_is_told_and_gaps_are_no_silence() {
    let stage = stage();
    let valve = |mode: &str| {
        let valve = format!("! valve name=valve drop-mode={mode} ! whip.");
        Publisher::to_stage(&AUDIO.replace("! whip.", &valve), &stage)
    };
    let drop = |publisher: &Publisher, drop: bool| {
        let valve = publisher.pipeline.by_name("valve").unwrap();
        valve.set_property("drop", drop);
    };
    let (mut silent, mut muted) = (valve("drop-all"), valve("transform-to-gap"));
    for publisher in [&mut silent, &mut muted] {
        publisher.play();
        publisher.wait_state("publishing");
        drop(publisher, true);
    }
    let warning = silent.wait_warning();
    assert!(
        warning.contains("No media have arrived at sink_0 for 1"),
        "{warning}"
    );
    drop(&silent, false);
    let warning = silent.wait_warning();
    assert!(warning.contains("arrive at sink_0 again"), "{warning}");
    let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
    assert!(!muted.messages().iter().any(is_warning));
}
