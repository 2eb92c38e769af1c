//! What an audio-only publisher offers as video, and what it does when the
//! stage refuses that.

use std::time::Duration;

use gst::prelude::*;
use ivs_stage::{Direction, Happening, Kind, OfferSection, Rules, SectionReport, Stage, VideoRule};

use crate::harness::{AUDIO, BOUND, Publisher};

fn stage(video: VideoRule) -> Stage {
    let rules = Rules {
        video,
        ..Rules::default()
    };
    Stage::start(rules).unwrap()
}

fn publisher(stage: &Stage, filler: &str) -> Publisher {
    let publisher = Publisher::to_stage(AUDIO, stage);
    publisher.whip.set_property_from_str("video-filler", filler);
    publisher
}

/// The video section of each offer, which has to follow the audio section.
fn offered(stage: &Stage) -> Vec<OfferSection> {
    let events = stage.events();
    let offers = events.iter().filter_map(|event| match &event.what {
        Happening::Offer { sections, .. } => Some(sections),
        _ => None,
    });
    let video = |sections: &Vec<OfferSection>| {
        let [audio, video] = &sections[..] else {
            panic!("two sections: {sections:?}")
        };
        assert_eq!((audio.kind, video.kind), (Kind::Audio, Kind::Video));
        video.clone()
    };
    offers.map(video).collect()
}

fn directions(stage: &Stage) -> Vec<Direction> {
    offered(stage)
        .iter()
        .map(|section| section.direction)
        .collect()
}

/// Waits for the message with the filler mode.
fn mode(publisher: &mut Publisher) -> String {
    publisher.wait("filler", |message| match message.view() {
        gst::MessageView::Error(error) => panic!("a filler expected, found {error:?}"),
        gst::MessageView::Element(element) => {
            let structure = element.structure()?;
            let is = structure.name() == "ivswhipsink-video-filler";
            is.then(|| structure.get("mode").unwrap())
        }
        _ => None,
    })
}

fn infos(publisher: &mut Publisher) -> Vec<String> {
    let text = |message: &gst::Message| match message.view() {
        // The part that gst-launch-1.0 prints.
        gst::MessageView::Info(info) => info.debug().map(Into::into),
        _ => None,
    };
    publisher.messages().iter().filter_map(text).collect()
}

/// Waits until `told` is true for a section of the newest session.
fn wait_section(stage: &Stage, kind: Kind, told: impl Fn(&SectionReport) -> bool) {
    let found = stage.wait_for_sessions(BOUND, |sessions| {
        let section = sessions.last()?.section(kind)?;
        told(section).then_some(())
    });
    assert!(found.is_some(), "{:#?}", stage.sessions());
}

fn wait_audio(stage: &Stage) {
    wait_section(stage, Kind::Audio, |audio| audio.packets >= 50);
}

#[test]
fn a_refused_audio_codec_is_told_after_one_offer() {
    let stage = stage(VideoRule::Any);
    let audio = AUDIO.replace("opusenc ! rtpopuspay", "mulawenc ! rtppcmupay");
    let mut publisher = Publisher::to_stage(&audio, &stage);
    publisher.play();
    let text = publisher.wait_error().text();
    assert!(
        text.contains("IVS code 2014") && text.ends_with("use opusenc with rtpopuspay."),
        "{text}"
    );
    assert!(!text.contains("video"), "{text}");
    assert_eq!(directions(&stage), [Direction::Inactive]);
}

#[test]
fn sendonly_announces_its_source_and_sends_nothing() {
    let stage = stage(VideoRule::RefuseSilent);
    let mut publisher = publisher(&stage, "sendonly");
    publisher.play();
    assert_eq!(mode(&mut publisher), "sendonly");
    publisher.wait_state("publishing");
    wait_audio(&stage);
    let [video] = &offered(&stage)[..] else {
        panic!("one offer")
    };
    assert_eq!(video.direction, Direction::SendOnly);
    assert!(video.ssrc && video.msid && video.port == 9, "{video:?}");
    let video = stage.sessions()[0].packets(Kind::Video);
    assert_eq!(video, 0);
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn black_sends_a_small_key_frame_every_second() {
    let within = Duration::from_secs(3);
    let stage = stage(VideoRule::NeedsFrames { within });
    let mut publisher = publisher(&stage, "black");
    publisher.play();
    assert_eq!(mode(&mut publisher), "black");
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 4);
    let [video] = &offered(&stage)[..] else {
        panic!("one offer")
    };
    assert!(video.ssrc && video.msid && video.port == 9, "{video:?}");
    let session = stage.sessions().remove(0);
    let video = session.section(Kind::Video).unwrap();
    assert_eq!(video.size, Some((288, 160)));
    // Pictures come at the clock's rate: one for each second of audio that came.
    let seconds = session.packets(Kind::Audio) as f64 / 50.0;
    let expected = seconds - 1.0..=seconds + 2.0;
    assert!(expected.contains(&(video.key_frames as f64)), "{session:?}");
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn black_goes_on_after_a_pause_and_in_another_session() {
    let stage = stage(VideoRule::RefuseInactive);
    let mut publisher = publisher(&stage, "black");
    publisher.play();
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 1);
    publisher.pipeline.set_state(gst::State::Paused).unwrap();
    let _ = publisher.pipeline.state(gst::ClockTime::from_seconds(5));
    publisher.play();
    let before = stage.sessions()[0]
        .section(Kind::Video)
        .map_or(0, |video| video.key_frames);
    wait_section(&stage, Kind::Video, |video| video.key_frames >= before + 2);
    stage.close_sessions();
    publisher.wait_state("retrying");
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 1);
    assert_eq!(stage.sessions().len(), 2);
}

#[test]
fn black_keeps_its_time_without_a_clock_in_the_pipeline() {
    let stage = stage(VideoRule::RefuseInactive);
    let mut publisher = publisher(&stage, "black");
    publisher.pipeline.use_clock(gst::Clock::NONE);
    publisher.play();
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 3);
    let session = stage.sessions().remove(0);
    let video = session.section(Kind::Video).unwrap();
    assert!(video.seconds > 1.5 && video.packets < 30, "{session:?}");
    let took = publisher.stop();
    assert!(took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn black_is_stopped_at_any_moment_of_its_start() {
    let stage = stage(VideoRule::RefuseInactive);
    for wait in 0..12 {
        let mut publisher = publisher(&stage, "black");
        publisher.play();
        match wait % 3 {
            0 => assert_eq!(mode(&mut publisher), "black"),
            1 => drop(publisher.wait_state("connecting")),
            _ => drop(publisher.wait_state("publishing")),
        }
        let took = publisher.stop();
        assert!(took < Duration::from_secs(2), "{took:?}");
        let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
        let names: Vec<_> = bin.children().iter().map(|child| child.name()).collect();
        assert_eq!(names, ["sink_0-rtp", "sink_0-sync"]);
    }
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn an_error_of_the_black_source_is_the_sessions_and_not_the_pipelines() {
    let stage = stage(VideoRule::RefuseInactive);
    let mut publisher = publisher(&stage, "black");
    publisher.play();
    publisher.wait_state("publishing");
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let payloader = bin
        .iterate_all_by_element_factory_name("rtph264pay")
        .next()
        .unwrap()
        .unwrap();
    gst::element_error!(payloader, gst::StreamError::Failed, ["made by the test"]);
    publisher.wait_state("retrying");
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 1);
}

#[test]
fn inactive_refused_auto_publishes_with_sendonly_and_starts_with_it_again() {
    for rule in [VideoRule::RefuseInactive, VideoRule::RefuseSilent] {
        let stage = stage(rule);
        let mut first = publisher(&stage, "auto");
        first.play();
        assert_eq!(mode(&mut first), "sendonly");
        first.wait_state("publishing");
        wait_audio(&stage);
        let modes = [Direction::Inactive, Direction::SendOnly];
        assert_eq!(directions(&stage), modes);
        let [info] = &infos(&mut first)[..] else {
            panic!("one info")
        };
        assert!(info.contains("IVS code 2001"), "{info}");
        assert!(info.ends_with("trying video-filler=sendonly."), "{info}");
        first.stop();

        let mut second = publisher(&stage, "auto");
        second.play();
        assert_eq!(mode(&mut second), "sendonly");
        second.wait_state("publishing");
        assert_eq!(offered(&stage).len(), 3);
        assert_eq!(infos(&mut second), [""; 0]);
    }
}

#[test]
fn silence_refused_too_auto_publishes_with_black_and_starts_with_it_again() {
    let stage = stage(VideoRule::RefuseSilentBefore(1));
    let mut first = publisher(&stage, "auto");
    first.play();
    assert_eq!(mode(&mut first), "black");
    first.wait_state("publishing");
    wait_audio(&stage);
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 1);
    let modes = [
        Direction::Inactive,
        Direction::SendOnly,
        Direction::SendOnly,
    ];
    assert_eq!(directions(&stage), modes);
    first.stop();

    let mut second = publisher(&stage, "auto");
    second.play();
    assert_eq!(mode(&mut second), "black");
    second.wait_state("publishing");
    assert_eq!(offered(&stage).len(), 4);
    second.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn silence_taken_but_closed_soon_auto_falls_back_to_black_and_stays() {
    let within = Duration::from_millis(500);
    let stage = stage(VideoRule::NeedsFrames { within });
    let mut publisher = publisher(&stage, "auto");
    publisher.play();
    assert_eq!(mode(&mut publisher), "sendonly");
    assert_eq!(mode(&mut publisher), "black");
    publisher.wait_state("publishing");
    // One offer is refused, two sessions are cut, and one stays.
    wait_section(&stage, Kind::Video, |video| video.key_frames >= 3);
    assert_eq!(offered(&stage).len(), 4);
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn every_mode_refused_is_one_error_after_three_offers() {
    let stage = stage(VideoRule::RefuseSilentBefore(u32::MAX));
    let mut publisher = publisher(&stage, "auto");
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::OpenWrite), "{error:?}");
    assert!(error.text().contains("every form"), "{error:?}");
    assert_eq!(offered(&stage).len(), 3);
}

#[test]
fn a_pinned_mode_refused_is_one_error_that_names_the_property() {
    let stage = stage(VideoRule::RefuseInactive);
    let mut publisher = publisher(&stage, "inactive");
    publisher.play();
    let error = publisher.wait_error();
    assert!(
        error.text().contains("video-filler=inactive is set"),
        "{error:?}"
    );
    assert_eq!(offered(&stage).len(), 1);
}
