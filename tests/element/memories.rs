//! Pictures that are not in system memory, and converters that do not start.

use std::process::Command;

use gst::prelude::*;
use gst::subclass::prelude::*;

use crate::harness::{Publisher, init, stage};

const CHILD: &str = "memories::child";
const CASE: &str = "IVSWHIPSINK_TEST_CONVERTER";

/// Runs [`child`] in a process of its own, whose registry has the fake converter.
fn run(case: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(CASE, case)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_converter_that_does_not_start_is_named_and_no_encoder_is_blamed() {
    run("quiet");
}

#[test]
fn so_is_one_that_posts_an_error() {
    run("loud");
}

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn child() {
    if std::env::var(CASE).is_err() {
        return;
    }
    init();
    gst::Element::register(
        None,
        "vapostproc",
        gst::Rank::NONE,
        FakeConverter::static_type(),
    )
    .unwrap();
    let stage = stage();
    let launch = "fakesrc is-live=true format=time ! capsfilter caps=video/x-raw(memory:VAMemory),\
         format=NV12,width=320,height=240,framerate=30/1 ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    let error = publisher.wait_error();
    let text = error.text();
    assert!(text.contains("vapostproc"), "{text}");
    assert!(text.contains("check its device and driver"), "{text}");
    assert!(!text.contains("x264enc"), "{text}");
    publisher.stop();
    let warnings = publisher.messages().iter();
    let warnings = warnings.filter(|message| message.type_() == gst::MessageType::Warning);
    assert_eq!(warnings.count(), 0);
    assert!(stage.sessions().is_empty());
}

glib::wrapper! {
    struct FakeConverter(ObjectSubclass<FakeConverterImp>)
        @extends gst::Element, gst::Object;
}

/// It has pads, and does not reach PAUSED.
#[derive(Default)]
struct FakeConverterImp;

#[glib::object_subclass]
impl ObjectSubclass for FakeConverterImp {
    const NAME: &'static str = "TestFakeConverter";
    type Type = FakeConverter;
    type ParentType = gst::Element;
}

impl ObjectImpl for FakeConverterImp {
    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        for name in ["sink", "src"] {
            let template = element.pad_template(name).unwrap();
            let pad = gst::Pad::from_template(&template);
            element.add_pad(&pad).unwrap();
        }
    }
}

impl GstObjectImpl for FakeConverterImp {}

impl ElementImpl for FakeConverterImp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: std::sync::LazyLock<gst::subclass::ElementMetadata> =
            std::sync::LazyLock::new(|| {
                gst::subclass::ElementMetadata::new("Fake", "Filter/Video", "Fails", "Test")
            });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: std::sync::LazyLock<Vec<gst::PadTemplate>> =
            std::sync::LazyLock::new(|| {
                let any = gst::Caps::builder("video/x-raw").any_features().build();
                let pads = [
                    ("sink", gst::PadDirection::Sink),
                    ("src", gst::PadDirection::Src),
                ];
                pads.into_iter()
                    .map(|(name, direction)| {
                        gst::PadTemplate::new(name, direction, gst::PadPresence::Always, &any)
                    })
                    .collect::<Result<_, _>>()
                    .unwrap()
            });
        &TEMPLATES
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        if transition == gst::StateChange::ReadyToPaused {
            if std::env::var(CASE).as_deref() == Ok("loud") {
                let element = self.obj();
                gst::element_error!(element, gst::ResourceError::Failed, ("no device"));
            }
            return Err(gst::StateChangeError);
        }
        self.parent_change_state(transition)
    }
}
