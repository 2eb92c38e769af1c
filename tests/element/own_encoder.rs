//! The bit rate of the element's own encoder while what comes in changes.

use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Feedback, Kind, Rules, SessionReport, Stage};

use crate::harness::{BOUND, Publisher, lose};

/// More than what is left when half of the packets are lost, and less than what is set at
/// the start, in kbit/s.
const TOO_MUCH: u32 = 600;

/// Two sources, of which the first is on air.
const TWO_SOURCES: &str = "input-selector name=selector ! whip. \
     videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=30/1 \
     ! selector. ";

/// The encoders that can be tried.
const ENCODERS: [&str; 2] = ["x264enc", "openh264enc"];

/// Publishes on a network that has become narrow, and returns the encoder that the element
/// made, and those that it makes from then on.
fn publish_on_narrow_network(
    factory: &str,
    other: &str,
    stage: &Stage,
) -> (Publisher, gst::Element, Receiver<gst::Element>) {
    let mut publisher = Publisher::to_stage(&format!("{TWO_SOURCES} {other}"), stage);
    let selector = publisher.pipeline.by_name("selector").unwrap();
    selector.set_property("active-pad", selector.static_pad("sink_0"));
    let made = own_encoder(&publisher, factory);
    publisher.play();
    publisher.wait_state("publishing");
    let encoder = made.recv_timeout(BOUND).unwrap();
    lose(&publisher, 5);
    wait(
        || bit_rate(&encoder) <= 200,
        "the encoder follows the network",
    );
    (publisher, encoder, made)
}

/// Lets the element encode by one of these, and returns those that it makes.
fn own_encoder(publisher: &Publisher, factory: &str) -> Receiver<gst::Element> {
    publisher.whip.set_property("video-encoder", factory);
    let (sender, made) = channel();
    publisher
        .whip
        .connect("encoder-setup", false, move |values| {
            let _ = sender.send(values[1].get::<gst::Element>().unwrap());
            Some(false.to_value())
        });
    made
}

fn stage() -> Stage {
    Stage::start(Rules {
        feedback: Feedback::ReceiverReports,
        report_interval: Some(Duration::from_millis(200)),
        ..Rules::default()
    })
    .unwrap()
}

/// In kbit/s.
fn bit_rate(encoder: &gst::Element) -> u32 {
    let is_x264 = encoder
        .factory()
        .is_some_and(|factory| factory.name() == "x264enc");
    encoder.property::<u32>("bitrate") / if is_x264 { 1 } else { 1000 }
}

fn wait(is: impl Fn() -> bool, what: &str) {
    let until = Instant::now() + BOUND;
    while !is() {
        assert!(Instant::now() < until, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What an encoder is set to from now on.
fn watch(encoder: &gst::Element) -> Receiver<u32> {
    let (sender, values) = channel();
    encoder.connect_notify(Some("bitrate"), move |encoder, _| {
        let _ = sender.send(bit_rate(encoder));
    });
    values
}

/// Lets the other source pass, and waits for two seconds of its pictures.
fn change_source(publisher: &Publisher) {
    let selector = publisher.pipeline.by_name("selector").unwrap();
    selector.set_property("active-pad", selector.static_pad("sink_1"));
    let (sender, pictures) = channel();
    let source = selector.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let _ = sender.send(());
        gst::PadProbeReturn::Ok
    });
    for _ in 0..60 {
        pictures.recv_timeout(BOUND).expect("a picture");
    }
}

#[test]
fn a_larger_picture_keeps_what_the_network_allows() {
    ENCODERS.into_iter().for_each(larger_picture);
}

fn larger_picture(factory: &str) {
    let stage = stage();
    let larger = "videotestsrc is-live=true pattern=snow \
                  ! video/x-raw,width=640,height=480,framerate=30/1 ! selector. ";
    let (publisher, encoder, made) = publish_on_narrow_network(factory, larger, &stage);
    let set = watch(&encoder);
    change_source(&publisher);
    let seen: Vec<u32> = set.try_iter().collect();
    assert!(seen.iter().all(|&rate| rate < TOO_MUCH), "{seen:?}");
    assert_eq!(made.try_iter().count(), 0, "the encoder is the same");
    drop(publisher);
    let restored = bit_rate(&encoder);
    assert!(restored > TOO_MUCH, "{restored} is not the picture's own");
}

#[test]
fn an_encoder_of_a_new_chain_begins_with_what_the_network_allows() {
    ENCODERS.into_iter().for_each(encoder_of_new_chain);
}

fn encoder_of_new_chain(factory: &str) {
    let stage = stage();
    let interlaced = "videotestsrc is-live=true pattern=snow \
                      ! video/x-raw,width=640,height=480,framerate=60/1 ! interlace \
                      ! selector. ";
    let (publisher, _, made) = publish_on_narrow_network(factory, interlaced, &stage);
    let watched = std::thread::spawn(move || {
        let encoder = made.recv_timeout(BOUND).expect("a new encoder");
        (watch(&encoder), encoder)
    });
    change_source(&publisher);
    let (set, encoder) = watched.join().unwrap();
    let seen: Vec<u32> = set.try_iter().collect();
    assert!(
        !seen.is_empty() && seen.iter().all(|&rate| rate < TOO_MUCH),
        "{seen:?}"
    );
    assert!(bit_rate(&encoder) < TOO_MUCH);
}

#[test]
fn it_rises_from_a_low_start_and_the_picture_gets_smaller_while_the_network_is_narrow() {
    let tries = ENCODERS.map(|factory| std::thread::spawn(move || rises_and_gets_smaller(factory)));
    assert!(tries.into_iter().all(|tried| tried.join().is_ok()));
}

fn rises_and_gets_smaller(factory: &str) {
    let stage = Stage::start(Rules {
        feedback: Feedback::Remb,
        ..Rules::default()
    });
    let stage = stage.unwrap();
    let source = "videotestsrc is-live=true pattern=snow \
                  ! video/x-raw,width=640,height=480,framerate=15/1 ! whip. ";
    let mut publisher = Publisher::to_stage(source, &stage);
    for (name, bits) in [("start-bitrate", 300_000_u32), ("min-bitrate", 40_000)] {
        publisher.whip.set_property(name, bits);
    }
    let made = own_encoder(&publisher, factory);
    publisher.play();
    publisher.wait_state("publishing");
    let encoder = made.recv_timeout(BOUND).unwrap();
    wait(|| bit_rate(&encoder) == 300, "it begins with start-bitrate");
    wait(|| bit_rate(&encoder) > 350, "it rises");
    let stats: gst::Structure = publisher.whip.property("stats");
    assert_eq!(stats.get("bitrate-control"), Ok(factory));
    let loss = lose(&publisher, 5);
    wait_size(&stage, (320, 240));
    loss.end();
    wait_size(&stage, (640, 480));
    assert_eq!(stage.sessions().len(), 1);
}

fn wait_size(stage: &Stage, size: (u32, u32)) {
    let has_size = |sessions: &[SessionReport]| {
        let video = sessions.last()?.section(Kind::Video)?;
        (video.size == Some(size)).then_some(())
    };
    // On a busy machine packets are lost on the way up, too, and each loss sets it back.
    let seen = stage.wait_for_sessions(4 * BOUND, has_size);
    assert!(seen.is_some(), "{size:?}: {:#?}", stage.sessions());
}
