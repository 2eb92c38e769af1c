//! Whatever raw audio and video come in, a stage gets Opus and H.264 that it accepts, or
//! the user is told what to do.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::JoinHandle;
use std::time::Duration;

use gst::prelude::*;
use ivs_stage::{Kind, SectionReport, SessionReport, Stage};

use crate::harness::{BOUND, Publisher, decodable, excess, stage, wait_section};

/// The error before anything was published.
fn error(launch: &str) -> String {
    let stage = stage();
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    let error = publisher.wait_error();
    assert_eq!(error.source, "whip", "{error:?}");
    publisher.stop();
    let is_error = |message: &&gst::Message| message.type_() == gst::MessageType::Error;
    assert_eq!(publisher.messages().iter().filter(is_error).count(), 1);
    error.text()
}

#[test]
fn any_picture_and_any_sound() {
    for (video, size, audio) in [
        ("width=1,height=1,framerate=30/1", (160, 160), "rate=8000"),
        ("width=8,height=8,framerate=30/1", (160, 160), "rate=192000"),
        (
            "width=321,height=241,framerate=30/1",
            (322, 242),
            "format=F64LE",
        ),
        (
            "width=160,height=160,framerate=240/1",
            (160, 160),
            "channels=1",
        ),
        (
            "width=7680,height=4320,framerate=5/1",
            (1280, 720),
            "channels=1",
        ),
        (
            "width=320,height=240,framerate=1/1",
            (320, 240),
            "channels=6,channel-mask=(bitmask)0x3f",
        ),
        (
            "width=320,height=240,framerate=5/1",
            (320, 240),
            "channels=32,channel-mask=(bitmask)0",
        ),
        (
            "width=320,height=240,format=I420_10LE",
            (320, 240),
            "channels=8,channel-mask=(bitmask)0xc3f",
        ),
        (
            "width=320,height=240,format=RGBA",
            (320, 240),
            "format=U8,rate=11025",
        ),
        (
            "width=320,height=240,format=GRAY8",
            (320, 240),
            "rate=44100,channels=2",
        ),
        (
            "width=720,height=576,framerate=25/1,pixel-aspect-ratio=16/15",
            (768, 576),
            "format=S24BE",
        ),
        (
            "width=2000,height=4,framerate=25/1",
            (1280, 160),
            "format=F32LE",
        ),
        (
            "width=320,height=240,framerate=25/1 ! interlace",
            (320, 240),
            "channels=2",
        ),
    ] {
        let stage = stage();
        let launch = format!(
            "videotestsrc is-live=true ! video/x-raw,{video} ! whip. \
             audiotestsrc is-live=true ! audio/x-raw,{audio} ! whip."
        );
        let mut publisher = Publisher::to_stage(&launch, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        let of_video = wait_section(&stage, Kind::Video, |video| {
            decodable(video) >= 5 && video.size == Some(size)
        });
        let of_audio = wait_section(&stage, Kind::Audio, |audio| audio.packets >= 20);
        assert_eq!((of_video.lost, of_audio.lost), (0, 0), "{video}; {audio}");
    }
}

#[test]
fn pads_of_one_track_with_a_pipeline_of_whipclientsink() {
    let stage = stage();
    let launch = "videotestsrc is-live=true ! videoconvert ! queue ! whip.video_0 \
                  audiotestsrc is-live=true ! audioconvert ! queue ! whip.audio_0";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| decodable(video) >= 5);
    wait_section(&stage, Kind::Audio, |audio| audio.packets >= 20);
}

#[test]
fn caps_that_say_too_little_are_an_error() {
    for (caps, words) in [
        ("video/x-raw", "format, width and height"),
        ("audio/x-raw", "format, rate and channels"),
    ] {
        let source = "fakesrc is-live=true format=time do-timestamp=true sizetype=fixed \
                      sizemax=1000 datarate=30000";
        let text = error(&format!("{source} ! {caps} ! whip. "));
        assert!(text.contains(words), "{text}");
        assert!(text.starts_with("Pad sink_0 "), "{text}");
    }
}

/// Pushes buffers of an appsrc named `source`, one every 25 ms, until it is dropped.
struct Pusher(Arc<AtomicBool>, Option<JoinHandle<()>>);

impl Pusher {
    fn new(publisher: &Publisher, buffer: impl Fn(u64) -> gst::Sample + Send + 'static) -> Self {
        let source = publisher.pipeline.by_name("source").unwrap();
        let has_ended = Arc::new(AtomicBool::new(false));
        let end = has_ended.clone();
        let thread = std::thread::spawn(move || {
            let mut number = 0;
            while !end.load(Ordering::SeqCst) {
                let _: gst::FlowReturn = source.emit_by_name("push-sample", &[&buffer(number)]);
                number += 1;
                // The pace of a source.
                std::thread::sleep(Duration::from_millis(25));
            }
        });
        Self(has_ended, Some(thread))
    }
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
        let _ = self.1.take().unwrap().join();
    }
}

const PICTURES: &str = "video/x-raw,format=I420,width=160,height=160,framerate=40/1";
const SOUND: &str = "audio/x-raw,format=S16LE,rate=48000,channels=1,layout=interleaved";
const PICTURE: usize = 160 * 160 * 3 / 2;
const SAMPLES: usize = 1200 * 2;

fn sample(caps: &str, size: usize, pts: Option<u64>) -> gst::Sample {
    let mut buffer = gst::Buffer::from_mut_slice(vec![0; size]);
    let pts = pts.map(gst::ClockTime::from_mseconds);
    buffer.make_mut().set_pts(pts);
    let caps: gst::Caps = caps.parse().unwrap();
    gst::Sample::builder().buffer(&buffer).caps(&caps).build()
}

fn pushed(
    stage: &Stage,
    buffer: impl Fn(u64) -> gst::Sample + Send + 'static,
) -> (Publisher, Pusher) {
    let launch = "appsrc name=source is-live=true format=time ! whip. ";
    let publisher = Publisher::to_stage(launch, stage);
    publisher.play();
    let pusher = Pusher::new(&publisher, buffer);
    (publisher, pusher)
}

#[test]
fn timestamps_that_are_missing_equal_or_running_back() {
    type Times = fn(u64) -> Option<u64>;
    let times: [Times; 3] = [|_| None, |_| Some(0), |number| Some(number % 40 * 25)];
    let caps_of = |caps: &'static str, size: usize| {
        move |times: Times| move |number| sample(caps, size, times(number))
    };
    for times in times {
        let stage = stage();
        let (mut publisher, _pusher) = pushed(&stage, caps_of(PICTURES, PICTURE)(times));
        publisher.wait_state("publishing");
        let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 60);
        let gap = video.frames.unwrap().longest_gap_ms;
        assert!(gap < 2000 && video.lost == 0, "{video:?}");
        drop(publisher);
        let stage = crate::harness::stage();
        let (mut publisher, _pusher) = pushed(&stage, caps_of(SOUND, SAMPLES)(times));
        publisher.wait_state("publishing");
        let audio = wait_section(&stage, Kind::Audio, |audio| audio.packets >= 250);
        assert!(excess(&audio).abs() < 0.3 && audio.lost == 0, "{audio:?}");
    }
}

#[test]
fn pictures_without_a_constant_rate_are_sent_as_they_come() {
    let caps = PICTURES.replace("40/1", "0/1");
    let stage = stage();
    let buffer = move |number: u64| sample(&caps, PICTURE, Some(number * 25));
    let (mut publisher, _pusher) = pushed(&stage, buffer);
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| decodable(video) >= 40);
}

/// Frames a second over the time in which they arrived.
fn frame_rate(video: &SectionReport) -> f64 {
    let time = video.last_ms.unwrap() - video.first_ms.unwrap();
    (decodable(video) - 1) as f64 * 1000.0 / time as f64
}

/// A pause of so long is one of a machine that is busy.
const PAUSE_MS: u64 = 250;

/// The first measurement in which the machine kept up.
fn steady(measure: impl Fn() -> SectionReport) -> SectionReport {
    let mut all = (0..10).map(|_| measure());
    let is_steady = |video: &SectionReport| video.frames.unwrap().longest_gap_ms < PAUSE_MS;
    all.find(is_steady).expect("a run without pauses")
}

/// What arrives of a picture that comes before the session stands, and of one later.
fn stays() -> SectionReport {
    let caps = PICTURES.replace("40/1", "0/1");
    let stage = stage();
    let launch = "appsrc name=source is-live=true format=time do-timestamp=true ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    let source = publisher.pipeline.by_name("source").unwrap();
    let push = || {
        let sample = sample(&caps, PICTURE, None);
        let flow: gst::FlowReturn = source.emit_by_name("push-sample", &[&sample]);
        assert_eq!(flow, gst::FlowReturn::Ok);
    };
    push();
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| decodable(video) >= 30);
    push();
    let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 60);
    assert_eq!((video.lost, stage.sessions().len()), (0, 1));
    video
}

#[test]
fn a_picture_that_stays_is_repeated() {
    let video = steady(stays);
    let rate = frame_rate(&video);
    assert!((9.5..13.0).contains(&rate), "{rate} frames/s: {video:?}");
    // A picture that is repeated keeps its time.
    let excess = excess(&video);
    assert!(excess.abs() < 0.5, "{excess} s, {video:?}");
}

#[test]
fn a_slow_source_is_filled_up() {
    for rate in ["3/1", "7/1"] {
        let video = steady(|| {
            let stage = stage();
            let launch = format!(
                "videotestsrc is-live=true ! video/x-raw,width=160,height=160,framerate={rate} \
                 ! whip. "
            );
            let mut publisher = Publisher::to_stage(&launch, &stage);
            publisher.play();
            publisher.wait_state("publishing");
            wait_section(&stage, Kind::Video, |video| decodable(video) >= 60)
        });
        let measured = frame_rate(&video);
        assert!(
            (9.5..15.0).contains(&measured),
            "{measured} frames/s of {rate}"
        );
    }
}

#[test]
fn buffers_that_are_not_what_their_caps_say_are_left_out() {
    for (caps, good, bad) in [
        (PICTURES, PICTURE, 1000),
        (PICTURES, PICTURE, 0),
        (SOUND, SAMPLES, 1001),
        (SOUND, SAMPLES, 0),
    ] {
        let stage = stage();
        let (mut publisher, _pusher) = pushed(&stage, move |number| {
            let size = if number % 5 == 4 { bad } else { good };
            sample(caps, size, Some(number * 25))
        });
        publisher.wait_state("publishing");
        let kind = match caps == SOUND {
            true => Kind::Audio,
            false => Kind::Video,
        };
        wait_section(&stage, kind, |section| section.packets >= 60);
        let is_warning = |message: &&gst::Message| message.type_() == gst::MessageType::Warning;
        let warnings: Vec<_> = publisher
            .messages()
            .iter()
            .filter(is_warning)
            .cloned()
            .collect();
        let [warning] = warnings.as_slice() else {
            panic!("{warnings:#?}");
        };
        let gst::MessageView::Warning(warning) = warning.view() else {
            panic!();
        };
        let text = warning.error().message().to_owned();
        assert!(text.contains(&format!("sink_0 has {bad} bytes")), "{text}");
        assert_eq!(stage.sessions().len(), 1);
    }
}

/// A list's buffers are looked at one by one.
#[test]
fn lists_of_pictures() {
    let stage = stage();
    let launch = format!("appsrc name=source is-live=true format=time caps={PICTURES} ! whip. ");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    let source = publisher.pipeline.by_name("source").unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let over = is_over.clone();
    let pushing = std::thread::spawn(move || {
        for number in 0_u64.. {
            if over.load(Ordering::SeqCst) {
                return;
            }
            let sizes = [(PICTURE, 0), (1000, 10)];
            let buffers = sizes.map(|(size, later)| {
                let sample = sample(PICTURES, size, Some(number * 25 + later));
                sample.buffer_owned().unwrap()
            });
            let list = buffers.into_iter().collect::<gst::BufferList>();
            let _: gst::FlowReturn = source.emit_by_name("push-buffer-list", &[&list]);
            // The pace of a source.
            std::thread::sleep(Duration::from_millis(25));
        }
    });
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| decodable(video) >= 40);
    is_over.store(true, Ordering::SeqCst);
    pushing.join().unwrap();
}

/// Caps of a picture of zeros, and its size in bytes.
fn form(format: &str, width: usize, rate: &str) -> (String, usize) {
    const HEIGHT: usize = 160;
    let size = match format {
        "I420" => width.next_multiple_of(4) + (width / 2).next_multiple_of(4),
        "NV12" => width.next_multiple_of(4) * 3 / 2,
        "GRAY8" => width.next_multiple_of(4),
        _ => width * 4,
    };
    let caps =
        format!("video/x-raw,format={format},width={width},height={HEIGHT},framerate={rate}");
    (caps, size * HEIGHT)
}

#[test]
fn a_form_that_changes_with_every_picture() {
    type Form = fn(usize) -> (String, usize);
    let forms: [Form; 4] = [
        |number| form("I420", 160 + 2 * (number % 50), "40/1"),
        |number| form(["I420", "NV12", "RGBA", "GRAY8"][number % 4], 160, "40/1"),
        |number| {
            form(
                "I420",
                160,
                ["40/1", "5/1", "240/1", "0/1", "1/1"][number % 5],
            )
        },
        |number| {
            let format = ["I420", "RGBA", "NV12"][number % 3];
            let rate = ["40/1", "25/2"][number % 2];
            form(format, 160 + 2 * (number % 50), rate)
        },
    ];
    for form in forms {
        let stage = stage();
        let (publisher, _pusher) = pushed(&stage, move |number| {
            let (caps, size) = form(number as usize);
            sample(&caps, size, Some(number * 25))
        });
        goes_on_through_changes(publisher, &stage);
    }
}

#[test]
fn a_tag_that_turns_every_picture() {
    let stage = stage();
    let launch = "appsrc name=source is-live=true format=time ! whip. ";
    let publisher = Publisher::to_stage(launch, &stage);
    let source = publisher.pipeline.by_name("source").unwrap();
    let count = AtomicUsize::new(0);
    let pad = source.static_pad("src").unwrap();
    pad.add_probe(gst::PadProbeType::BUFFER, move |pad, _| {
        let turns = ["rotate-0", "rotate-90", "flip-rotate-180", "rotate-270"];
        let turn = turns[count.fetch_add(1, Ordering::SeqCst) % turns.len()];
        let mut tags = gst::TagList::new();
        let orientation = tags.get_mut().unwrap();
        orientation.add::<gst::tags::ImageOrientation>(&turn, gst::TagMergeMode::Replace);
        pad.push_event(gst::event::Tag::new(tags));
        gst::PadProbeReturn::Ok
    });
    publisher.play();
    let (caps, size) = form("I420", 320, "40/1");
    let _pusher = Pusher::new(&publisher, move |number| {
        sample(&caps, size, Some(number * 25))
    });
    goes_on_through_changes(publisher, &stage);
}

/// Pictures arrive, in one session and without complaint.
fn goes_on_through_changes(mut publisher: Publisher, stage: &Stage) {
    publisher.wait_state("publishing");
    wait_section(stage, Kind::Video, |video| decodable(video) >= 40);
    assert_eq!(stage.sessions().len(), 1);
    let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
    assert!(!publisher.messages().iter().any(is_warning));
}

#[test]
fn changes_of_the_picture_on_air_go_on_in_the_session() {
    let stage = stage();
    let first = "video/x-raw,width=1280,height=720,framerate=15/1";
    let launch = format!("videotestsrc is-live=true ! capsfilter name=form caps={first} ! whip. ");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Video, |video| decodable(video) >= 5);
    let form = publisher.pipeline.by_name("form").unwrap();
    for (caps, size) in [
        ("width=720,height=1280,framerate=15/1", (720, 1280)),
        (
            "width=1280,height=720,framerate=15/1,format=RGBA",
            (1280, 720),
        ),
        ("width=320,height=240,framerate=5/1", (320, 240)),
        ("width=321,height=241,framerate=60/1", (322, 242)),
    ] {
        let caps = format!("video/x-raw,{caps}");
        form.set_property("caps", caps.parse::<gst::Caps>().unwrap());
        let video = wait_section(&stage, Kind::Video, |video| video.size == Some(size));
        let more = decodable(&video) + 10;
        wait_section(&stage, Kind::Video, |video| decodable(video) >= more);
    }
    let video = wait_section(&stage, Kind::Video, |_| true);
    assert_eq!((video.lost, stage.sessions().len()), (0, 1));
    // No picture is made up for: the media time is the time.
    assert!(excess(&video) < 2.0, "{video:?}");
}

#[test]
fn changes_of_the_sound_on_air_go_on_in_the_session() {
    let stage = stage();
    let launch = "audiotestsrc is-live=true ! capsfilter name=form \
                  caps=audio/x-raw,channels=1 ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let form = publisher.pipeline.by_name("form").unwrap();
    let mut more = 20;
    for caps in [
        "channels=2,rate=44100",
        "channels=6,channel-mask=(bitmask)0x3f",
        "channels=4,channel-mask=(bitmask)0,format=F64LE",
        "channels=8,channel-mask=(bitmask)0",
        "channels=1,rate=8000",
    ] {
        let caps = format!("audio/x-raw,{caps}");
        form.set_property("caps", caps.parse::<gst::Caps>().unwrap());
        more = wait_section(&stage, Kind::Audio, |audio| audio.packets >= more).packets + 20;
    }
    let audio = wait_section(&stage, Kind::Audio, |audio| audio.packets >= more);
    assert_eq!((audio.lost, stage.sessions().len()), (0, 1));
}

#[test]
fn raw_encoded_and_rtp_take_turns_on_a_pad() {
    let h264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 \
                ! video/x-h264,profile=constrained-baseline";
    let video = |size: &str, then: &str| {
        format!(
            "videotestsrc is-live=true ! video/x-raw,{size},framerate=30/1 {then} ! identity ! either. "
        )
    };
    let launch = [
        video("width=320,height=240", ""),
        video("width=640,height=360", &format!("! {h264}")),
        video("width=480,height=270", &format!("! {h264} ! rtph264pay")),
        "input-selector name=either sync-streams=false ! whip. ".to_owned(),
    ];
    let stage = stage();
    let mut publisher = Publisher::to_stage(&launch.concat(), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let either = publisher.pipeline.by_name("either").unwrap();
    let sizes = [(320, 240), (640, 360), (480, 270)];
    for input in [1, 2, 0, 2, 1, 0] {
        let pad = either.static_pad(&format!("sink_{input}")).unwrap();
        either.set_property("active-pad", pad);
        let size = Some(sizes[input]);
        let video = wait_section(&stage, Kind::Video, |video| video.size == size);
        let more = decodable(&video) + 10;
        wait_section(&stage, Kind::Video, |video| decodable(video) >= more);
    }
    let video = wait_section(&stage, Kind::Video, |_| true);
    assert_eq!((video.lost, stage.sessions().len()), (0, 1));
}

#[test]
fn a_picture_that_a_tag_turns_comes_upright() {
    let stage = stage();
    let launch = "videotestsrc is-live=true ! video/x-raw,width=640,height=360,framerate=15/1 \
                  ! taginject name=tag tags=image-orientation=rotate-90 ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let upright = |size| {
        let video = wait_section(&stage, Kind::Video, |video| video.size == Some(size));
        let more = decodable(&video) + 10;
        wait_section(&stage, Kind::Video, |video| decodable(video) >= more);
    };
    upright((360, 640));
    // The phone is turned.
    let tag = publisher.pipeline.by_name("tag").unwrap();
    let source = tag.static_pad("src").unwrap();
    let mut tags = gst::TagList::new();
    let tag = "rotate-0";
    tags.get_mut()
        .unwrap()
        .add::<gst::tags::ImageOrientation>(&tag, gst::TagMergeMode::Replace);
    source.push_event(gst::event::Tag::new(tags));
    upright((640, 360));
    let video = wait_section(&stage, Kind::Video, |_| true);
    assert_eq!((video.lost, stage.sessions().len()), (0, 1));
}

#[test]
fn a_flushing_seek_goes_on_in_the_session() {
    let stage = stage();
    let launch = "videotestsrc ! video/x-raw,width=320,height=240,framerate=30/1 ! whip. \
                  audiotestsrc ! audio/x-raw,channels=2 ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    for seconds in [100, 10, 0] {
        let video = wait_section(&stage, Kind::Video, |_| true);
        let audio = wait_section(&stage, Kind::Audio, |_| true);
        let start = gst::ClockTime::from_seconds(seconds);
        let sought = publisher.pipeline.seek_simple(gst::SeekFlags::FLUSH, start);
        sought.unwrap();
        let (frames, packets) = (decodable(&video) + 40, audio.packets + 60);
        wait_section(&stage, Kind::Video, |video| decodable(video) >= frames);
        wait_section(&stage, Kind::Audio, |audio| audio.packets >= packets);
    }
    let video = wait_section(&stage, Kind::Video, |_| true);
    assert_eq!((video.lost, stage.sessions().len()), (0, 1));
    assert!(video.frames.unwrap().longest_gap_ms < 2000, "{video:?}");
}

#[test]
fn gaps_in_raw_media_are_no_end_and_no_silence() {
    let stage = stage();
    let valve = "valve drop-mode=transform-to-gap";
    let launch = format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! {valve} name=picture ! whip. audiotestsrc is-live=true ! {valve} name=sound ! whip. "
    );
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let set = |drop: bool| {
        for name in ["picture", "sound"] {
            let valve = publisher.pipeline.by_name(name).unwrap();
            valve.set_property("drop", drop);
        }
    };
    for _ in 0..2 {
        let video = decodable(&wait_section(&stage, Kind::Video, |_| true));
        let audio = wait_section(&stage, Kind::Audio, |_| true).packets;
        wait_section(&stage, Kind::Video, |now| decodable(now) >= video + 20);
        wait_section(&stage, Kind::Audio, |now| now.packets >= audio + 20);
        set(true);
        // What is tested is time without media.
        std::thread::sleep(Duration::from_secs(1));
        set(false);
    }
    let video = decodable(&wait_section(&stage, Kind::Video, |_| true));
    wait_section(&stage, Kind::Video, |now| decodable(now) >= video + 20);
    assert_eq!(stage.sessions().len(), 1);
    let is_warning = |message: &gst::Message| message.type_() == gst::MessageType::Warning;
    assert!(!publisher.messages().iter().any(is_warning));
}

/// As decodebin and playlists do it: another stream with other caps, and a segment that
/// goes on.
#[test]
fn streams_that_follow_each_other_go_on_in_the_session() {
    let stage = stage();
    let video = |size: &str| {
        format!("videotestsrc num-buffers=60 ! video/x-raw,{size},framerate=30/1 ! film. ")
    };
    let audio = |channels: u32| {
        format!("audiotestsrc num-buffers=86 ! audio/x-raw,channels={channels} ! sound. ")
    };
    let launch = [
        video("width=320,height=240"),
        video("width=640,height=360"),
        video("width=240,height=320"),
        [audio(1), audio(2), audio(1)].concat(),
        "concat name=film ! whip. concat name=sound ! whip. ".to_owned(),
    ];
    let mut publisher = Publisher::to_stage(&launch.concat(), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    for size in [(640, 360), (240, 320)] {
        let video = wait_section(&stage, Kind::Video, |video| video.size == Some(size));
        let more = decodable(&video) + 20;
        wait_section(&stage, Kind::Video, |video| decodable(video) >= more);
    }
    publisher.wait_eos();
    let video = wait_section(&stage, Kind::Video, |_| true);
    let audio = wait_section(&stage, Kind::Audio, |_| true);
    assert_eq!((video.lost, audio.lost, stage.sessions().len()), (0, 0, 1));
    assert!(video.frames.unwrap().longest_gap_ms < 1000, "{video:?}");
    assert!(
        (audio.seconds - video.seconds).abs() < 1.0,
        "{audio:?} {video:?}"
    );
}

#[test]
fn another_picture_on_a_narrow_uplink_stays_small() {
    let stage = stage();
    let form = "video/x-raw,width=1280,height=720,framerate=20/1";
    let launch = format!("videotestsrc is-live=true ! capsfilter name=form caps={form} ! whip. ");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    // So little suits 720p as a quarter of it only.
    publisher.whip.set_property("min-bitrate", 50_000_u32);
    publisher.whip.set_property("max-bitrate", 200_000_u32);
    publisher.play();
    publisher.wait_state("publishing");
    let form = publisher.pipeline.by_name("form").unwrap();
    wait_section(&stage, Kind::Video, |video| video.size == Some((640, 360)));
    for (caps, size) in [
        ("width=720,height=1280", (360, 640)),
        ("width=960,height=720,format=RGBA", (480, 360)),
        // Enough for the whole one.
        ("width=320,height=240", (320, 240)),
    ] {
        let caps = format!("video/x-raw,{caps},framerate=20/1");
        form.set_property("caps", caps.parse::<gst::Caps>().unwrap());
        let video = wait_section(&stage, Kind::Video, |video| video.size == Some(size));
        let more = decodable(&video) + 10;
        wait_section(&stage, Kind::Video, |video| decodable(video) >= more);
    }
    assert_eq!(stage.sessions().len(), 1);
}

#[test]
fn a_source_that_ends_is_followed_by_another_on_the_same_pad() {
    let stage = stage();
    let mut publisher = Publisher::to_stage("fakesrc num-buffers=0 ! fakesink ", &stage);
    let pad = publisher.whip.request_pad_simple("sink_%u").unwrap();
    for round in 1..=2 {
        let description = "videotestsrc is-live=true num-buffers=60 \
                           ! video/x-raw,width=320,height=240,framerate=30/1 ! identity";
        let source = gst::parse::bin_from_description(description, true).unwrap();
        publisher.pipeline.add(&source).unwrap();
        let end = source.static_pad("src").unwrap();
        end.link(&pad).unwrap();
        source.sync_state_with_parent().unwrap();
        publisher.play();
        publisher.wait_state("publishing");
        publisher.wait_state("ended");
        let video = stage.sessions()[round - 1].section(Kind::Video).cloned();
        assert!(decodable(&video.unwrap()) > 10);
        end.unlink(&pad).unwrap();
        source.set_state(gst::State::Null).unwrap();
        publisher.pipeline.remove(&source).unwrap();
    }
    assert_eq!(stage.sessions().len(), 2);
}

/// Counts while nothing is built or taken down: the lowest ones of two seconds.
fn threads_and_files() -> [usize; 2] {
    let count = |kind: &str| {
        let folder = format!("/proc/{}/{kind}", std::process::id());
        std::fs::read_dir(folder).unwrap().count()
    };
    let mut fewest = [usize::MAX; 2];
    for _ in 0..40 {
        // Sessions that are replaced end some time later.
        std::thread::sleep(Duration::from_millis(50));
        let now = ["task", "fd"].map(count);
        fewest = [fewest[0].min(now[0]), fewest[1].min(now[1])];
    }
    fewest
}

/// In a process of its own: other tests start and stop threads.
#[test]
fn a_pad_that_is_released_and_taken_again_leaves_nothing() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "raw::released_and_taken_again", "--ignored"])
        .arg("--nocapture")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let has_passed = output.status.success() && text.contains("1 passed");
    assert!(has_passed, "{text}{complaints}");
    assert!(!complaints.contains("CRITICAL"), "{complaints}");
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn released_and_taken_again() {
    const WARM_UP: u64 = 20;
    const ROUNDS: u64 = 60;
    // A leak in each tenth round is one more.
    const ALLOWANCE: usize = 3;
    let stage = stage();
    let launch = "audiotestsrc is-live=true ! whip. fakesrc num-buffers=0 ! fakesink ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    // Messages that nobody reads keep the elements that they come from.
    let bus = publisher.pipeline.bus().unwrap();
    bus.set_sync_handler(|_, _| gst::BusSyncReply::Drop);
    let (sender, made) = channel();
    publisher
        .whip
        .connect("encoder-setup", false, move |values| {
            let encoder = values[1].get::<gst::Element>().unwrap();
            sender.send(encoder.downgrade()).unwrap();
            Some(false.to_value())
        });
    let mut pads = Vec::new();
    let mut before = [0; 2];
    for round in 0..ROUNDS {
        if round == WARM_UP {
            sound_goes_on(&stage);
            before = threads_and_files();
        }
        let description = "videotestsrc is-live=true ! identity";
        let source = gst::parse::bin_from_description(description, true).unwrap();
        publisher.pipeline.add(&source).unwrap();
        let pad = publisher.whip.request_pad_simple("sink_%u").unwrap();
        source.static_pad("src").unwrap().link(&pad).unwrap();
        source.sync_state_with_parent().unwrap();
        // A different moment of the chain's life in each round.
        std::thread::sleep(Duration::from_millis(round * 7 % 60));
        publisher.whip.release_request_pad(&pad);
        pads.push(pad.downgrade());
        source.set_state(gst::State::Null).unwrap();
        publisher.pipeline.remove(&source).unwrap();
    }
    sound_goes_on(&stage);
    let after = threads_and_files();
    let encoders: Vec<_> = made.try_iter().collect();
    let left = encoders
        .iter()
        .filter(|encoder| encoder.upgrade().is_some());
    assert!(encoders.len() > 20, "{} encoders", encoders.len());
    assert_eq!(left.count(), 0, "encoders");
    let left = pads.iter().filter(|pad| pad.upgrade().is_some());
    assert_eq!(left.count(), 0, "pads");
    let is_left = |kind: usize| after[kind] > before[kind] + ALLOWANCE;
    assert!(!is_left(0) && !is_left(1), "{before:?}, then {after:?}");
}

/// In the session that there is, or in one that replaces it.
fn sound_goes_on(stage: &Stage) {
    let before = stage.sessions().len();
    let goes_on = |sessions: &[SessionReport]| {
        let audio = sessions.last()?.section(Kind::Audio)?;
        (sessions.len() >= before && audio.packets >= 50).then_some(())
    };
    let arrived = stage.wait_for_sessions(BOUND, goes_on);
    assert!(arrived.is_some(), "{:#?}", stage.sessions().last());
}

#[test]
fn playbins_audio_sink_gets_raw_media() {
    let stage = stage();
    crate::harness::init();
    let folder = std::env::temp_dir().join(format!("ivswhipsink-playbin-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("sound.ogg");
    let launch = format!(
        "audiotestsrc num-buffers=400 ! vorbisenc ! oggmux ! filesink location={}",
        file.display()
    );
    let made = gst::parse::launch(&launch).unwrap();
    made.set_state(gst::State::Playing).unwrap();
    let bus = made.bus().unwrap();
    let end = [gst::MessageType::Eos, gst::MessageType::Error];
    let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &end);
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    made.set_state(gst::State::Null).unwrap();
    let sink = "queue ! audio/x-raw ! ivswhipsink name=whip";
    let sink = gst::parse::bin_from_description(sink, true).unwrap();
    let whip = sink.by_name("whip").unwrap();
    whip.set_property("whip-endpoint", stage.endpoint());
    whip.set_property("auth-token", stage.token());
    let playbin = gst::ElementFactory::make("playbin").build().unwrap();
    playbin.set_property("uri", format!("file://{}", file.display()));
    playbin.set_property("audio-sink", &sink);
    let mut publisher = Publisher::of(playbin.downcast().unwrap(), whip);
    publisher.play();
    publisher.wait_state("publishing");
    wait_section(&stage, Kind::Audio, |audio| audio.packets >= 50);
    publisher.wait_eos();
    publisher.stop();
    std::fs::remove_dir_all(folder).unwrap();
}
