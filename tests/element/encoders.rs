//! Encoders that do not work. Fake ones have the name of the encoder that the element
//! tries first, each in a process of its own, since factories are the process's.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use ivs_stage::{Kind, SessionReport, Stage};

use crate::harness::{BOUND, Publisher, decodable, init, stage, wait_section};

const CHILD: &str = "encoders::child";
const CASE: &str = "IVSWHIPSINK_TEST_ENCODER";
/// The first one that the element tries.
const FIRST: &str = "nvh264enc";
const VIDEO: &str = "videotestsrc is-live=true ! capsfilter name=form \
     caps=video/x-raw,width=320,height=240,framerate=30/1 ! whip. ";

fn run_child(case: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(CASE, case)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{complaints}"
    );
    assert!(!complaints.contains("CRITICAL"), "{complaints}");
}

#[test]
fn one_that_does_not_open_is_passed_over_and_told() {
    run_child("closed");
}

#[test]
fn one_that_makes_no_picture_is_replaced() {
    run_child("silent");
}

#[test]
fn one_that_makes_no_more_pictures_is_replaced_in_the_session() {
    run_child("stalling");
}

#[test]
fn one_that_fails_on_air_is_replaced_in_the_session() {
    run_child("failing");
}

#[test]
fn one_that_makes_avc_is_used() {
    run_child("avc");
}

#[test]
fn one_that_failed_is_tried_again_with_media_of_another_kind() {
    run_child("busy");
}

#[test]
fn without_any_the_error_says_what_to_install() {
    run_child("none");
}

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn child() {
    let Ok(case) = std::env::var(CASE) else {
        return;
    };
    init();
    if case == "none" {
        return without_any();
    }
    gst::Element::register(None, FIRST, gst::Rank::NONE, FakeEncoder::static_type()).unwrap();
    let stage = stage();
    let mut publisher = Publisher::to_stage(VIDEO, &stage);
    publisher.play();
    if case == "avc" {
        return makes_pictures(&mut publisher, &stage);
    }
    let does = if case == "closed" { "open" } else { "work" };
    let warning = publisher.wait_warning();
    let words = [
        &format!("The video encoder nvh264enc does not {does}"),
        "x264enc is used",
    ];
    assert!(
        words.iter().all(|words| warning.contains(words)),
        "{warning}"
    );
    assert_eq!(encoder_warnings(&mut publisher), [FIRST]);
    wait_pictures(&stage);
    if case == "closed" {
        is_told_once(&mut publisher, &stage);
    }
    if case == "busy" {
        return is_tried_again(&mut publisher);
    }
    // One that the user names is not replaced.
    named(if case == "failing" { "silent" } else { &case });
}

fn wait_pictures(stage: &Stage) {
    let pictures = |sessions: &[SessionReport]| {
        let video = sessions.first()?.section(Kind::Video)?;
        (video.frames?.decodable >= 60 && video.lost == 0).then_some(())
    };
    let arrived = stage.wait_for_sessions(BOUND, pictures);
    assert!(arrived.is_some(), "{:#?}", stage.sessions());
    assert_eq!(stage.sessions().len(), 1);
}

/// The first encoder is used, and no warning comes.
fn makes_pictures(publisher: &mut Publisher, stage: &Stage) {
    wait_pictures(stage);
    let stats: gst::Structure = publisher.whip.property("stats");
    assert_eq!(stats.get("video-encoder"), Ok(FIRST), "{stats}");
    let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
    assert!(!publisher.messages().iter().any(is_warning));
}

/// The encoders of which warnings tell.
fn encoder_warnings(publisher: &mut Publisher) -> Vec<String> {
    let told = |message: &gst::Message| {
        let gst::MessageView::Warning(warning) = message.view() else {
            return None;
        };
        let details = warning.details()?;
        assert_eq!(details.get("warning"), Ok("encoder"));
        details.get::<String>("encoder").ok()
    };
    publisher.messages().iter().filter_map(told).collect()
}

/// Media of another kind, for which all encoders are tried again.
fn interlace(publisher: &Publisher) {
    let form = publisher.pipeline.by_name("form").unwrap();
    let interlaced = "video/x-raw,width=320,height=240,framerate=30/1,interlace-mode=interleaved";
    form.set_property("caps", interlaced.parse::<gst::Caps>().unwrap());
}

fn is_told_once(publisher: &mut Publisher, stage: &Stage) {
    let pictures = || stage.sessions()[0].section(Kind::Video).unwrap().frames;
    let more = pictures().unwrap().decodable + 60;
    interlace(publisher);
    let arrived = |sessions: &[SessionReport]| {
        let video = sessions.first()?.section(Kind::Video)?;
        (video.frames?.decodable >= more).then_some(())
    };
    let arrived = stage.wait_for_sessions(BOUND, arrived);
    assert!(arrived.is_some(), "{:#?}", stage.sessions());
    assert_eq!(encoder_warnings(publisher), [FIRST]);
}

fn is_tried_again(publisher: &mut Publisher) {
    interlace(publisher);
    let deadline = Instant::now() + BOUND;
    loop {
        let stats: gst::Structure = publisher.whip.property("stats");
        if stats.get("video-encoder") == Ok(FIRST) {
            return;
        }
        assert!(Instant::now() < deadline, "{stats}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn named(case: &str) {
    // Read by the fake encoder.
    let stage = stage();
    let mut publisher = Publisher::to_stage(VIDEO, &stage);
    publisher.whip.set_property("video-encoder", FIRST);
    publisher.play();
    let told = publisher.wait("cure", |message| {
        let text = match message.view() {
            gst::MessageView::Error(error) => error.error().message().to_owned(),
            gst::MessageView::Warning(warning) => warning.error().message().to_owned(),
            _ => return None,
        };
        text.contains("leave video-encoder empty").then_some(text)
    });
    assert!(told.contains(FIRST), "{case}: {told}");
}

fn without_any() {
    let registry = gst::Registry::get();
    for name in ["x264enc", "openh264enc"] {
        let feature = registry.find_feature(name, gst::ElementFactory::static_type());
        registry.remove_feature(&feature.unwrap());
    }
    let stage = stage();
    let mut publisher = Publisher::to_stage(VIDEO, &stage);
    publisher.play();
    let error = publisher.wait_error();
    assert!(
        error.text().contains("gstreamer1.0-plugins-ugly"),
        "{error:?}"
    );
}

#[test]
fn a_named_one_that_is_missing_or_makes_something_else_is_an_error() {
    for (name, words) in [
        ("nosuchenc", "is not installed"),
        ("identity", "makes no H.264"),
        ("x265enc", "makes no H.264"),
        ("opusenc", "makes no H.264"),
        ("fakesink", "makes no H.264"),
    ] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(VIDEO, &stage);
        publisher.whip.set_property("video-encoder", name);
        publisher.play();
        let error = publisher.wait_error();
        let words = [name, words, "leave video-encoder empty"];
        assert!(
            words.iter().all(|words| error.text().contains(words)),
            "{error:?}"
        );
        assert_eq!(error.source, "whip");
    }
}

#[test]
fn an_application_sets_the_encoder_up_or_leaves_it() {
    for handled in [true, false] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(VIDEO, &stage);
        let (sender, made) = std::sync::mpsc::channel();
        publisher
            .whip
            .connect("encoder-setup", false, move |values| {
                let encoder = values[1].get::<gst::Element>().unwrap();
                if encoder.has_property("key-int-max") {
                    encoder.set_property("key-int-max", 17_u32);
                }
                sender.send(encoder).unwrap();
                Some(handled.to_value())
            });
        publisher.play();
        publisher.wait_state("publishing");
        let encoder = made.recv_timeout(BOUND).unwrap();
        let interval: u32 = encoder.property("key-int-max");
        assert_eq!(interval == 17, handled, "{interval}");
        wait_section(&stage, Kind::Video, |video| decodable(video) >= 5);
        let stats: gst::Structure = publisher.whip.property("stats");
        assert_eq!(stats.get("video-encoder"), Ok("x264enc"), "{stats}");
        // As a launch line has them: of a handler's encoder the element knows none.
        let settings = stats.get::<String>("video-encoder-settings").ok();
        assert_eq!(settings.is_none(), handled, "{stats}");
        for setting in settings.iter().flat_map(|settings| settings.split(' ')) {
            let (name, value) = setting.split_once('=').unwrap();
            let property = encoder.find_property(name).expect(name);
            let expected = glib::Value::deserialize_with_pspec(value, &property).unwrap();
            let found = encoder.property_value(name);
            assert_eq!(
                found.serialize().unwrap(),
                expected.serialize().unwrap(),
                "{settings:?}"
            );
        }
        assert!(settings.is_none_or(|settings| settings.split(' ').count() > 5));
    }
}

glib::wrapper! {
    struct FakeEncoder(ObjectSubclass<FakeEncoderImp>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

/// openh264enc in a bin, that does not open, makes nothing, or fails.
#[derive(Default)]
struct FakeEncoderImp {
    /// How many there were before it.
    number: AtomicU64,
    made: AtomicU64,
}

impl FakeEncoderImp {
    /// What becomes of a picture that was made.
    fn pass(&self, info: &mut gst::PadProbeInfo<'_>) -> gst::PadProbeReturn {
        let made = self.made.fetch_add(1, Ordering::SeqCst);
        match std::env::var(CASE).as_deref() {
            Ok("avc") => gst::PadProbeReturn::Ok,
            Ok("busy") if self.number.load(Ordering::SeqCst) > 0 => gst::PadProbeReturn::Ok,
            Ok("failing" | "stalling") if made < 30 => gst::PadProbeReturn::Ok,
            Ok("failing") => {
                let bin = self.obj();
                gst::element_error!(bin, gst::StreamError::Encode, ("the device is gone"));
                info.flow_res = Err(gst::FlowError::Error);
                drop(info.data.take());
                gst::PadProbeReturn::Handled
            }
            _ => {
                drop(info.data.take());
                gst::PadProbeReturn::Handled
            }
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for FakeEncoderImp {
    const NAME: &'static str = "TestFakeEncoder";
    type Type = FakeEncoder;
    type ParentType = gst::Bin;
}

impl ObjectImpl for FakeEncoderImp {
    fn constructed(&self) {
        self.parent_constructed();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        self.number.store(number, Ordering::SeqCst);
        let bin = self.obj();
        let encoder = gst::ElementFactory::make("openh264enc").build().unwrap();
        bin.add(&encoder).unwrap();
        let mut last = encoder.clone();
        if std::env::var(CASE).as_deref() == Ok("avc") {
            let parser = gst::ElementFactory::make("h264parse").build().unwrap();
            let caps = "video/x-h264,stream-format=avc,alignment=au";
            let avc = gst::ElementFactory::make("capsfilter");
            let avc = avc.property("caps", caps.parse::<gst::Caps>().unwrap());
            let avc = avc.build().unwrap();
            bin.add_many([&parser, &avc]).unwrap();
            gst::Element::link_many([&encoder, &parser, &avc]).unwrap();
            last = avc;
        }
        for (element, name) in [(&encoder, "sink"), (&last, "src")] {
            let pad = element.static_pad(name).unwrap();
            let ghost = gst::GhostPad::with_target(&pad).unwrap();
            bin.add_pad(&ghost).unwrap();
        }
        let fake = bin.downgrade();
        let source = encoder.static_pad("src").unwrap();
        source.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            match fake.upgrade() {
                Some(fake) => fake.imp().pass(info),
                None => gst::PadProbeReturn::Ok,
            }
        });
    }
}

impl GstObjectImpl for FakeEncoderImp {}

impl ElementImpl for FakeEncoderImp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> =
            std::sync::LazyLock::new(|| {
                gst::subclass::ElementMetadata::new("Fake", "Codec/Encoder/Video", "Fails", "Test")
            });
        Some(&METADATA)
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let is_closed = std::env::var(CASE).as_deref() == Ok("closed");
        match transition {
            gst::StateChange::NullToReady if is_closed => Err(gst::StateChangeError),
            _ => self.parent_change_state(transition),
        }
    }
}

impl BinImpl for FakeEncoderImp {}
