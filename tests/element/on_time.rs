//! Timestamps far from the pipeline's running time: live media are sent as they come,
//! others at their own pace, and upstream never waits.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gst::prelude::*;
use ivs_stage::{Kind, SessionReport, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, stage};

const MINUTE: i64 = 60_000_000_000;
const HOUR: i64 = 60 * MINUTE;

/// 3 s of audio, as a file has it: not live.
const FILE: &str = "audiotestsrc num-buffers=150 samplesperbuffer=960 ! audio/x-raw,rate=48000 \
                    ! opusenc ! rtpopuspay name=audio-pay ! whip. ";

/// An application that pushes RTP.
const APPLICATION: &str = "appsrc name=source is-live=true format=time \
     caps=application/x-rtp,media=audio,encoding-name=OPUS,payload=96,clock-rate=48000,\
     ssrc=(uint)16909060 ! identity name=audio-pay ! whip. ";

fn time_of_day() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_nanos()).unwrap()
}

/// Moves the timestamps of what leaves an element, from its next packet on.
fn move_timestamps(publisher: &Publisher, element: &str, by: i64) {
    let element = publisher.pipeline.by_name(element).unwrap();
    element.static_pad("src").unwrap().set_offset(by);
}

fn packets(stage: &Stage, kind: Kind) -> u64 {
    let sessions = stage.sessions();
    sessions.last().map_or(0, |session| session.packets(kind))
}

fn wait_for_more(stage: &Stage, kind: Kind, more: u64) {
    let before = packets(stage, kind);
    let enough = |sessions: &[SessionReport]| {
        (sessions.last()?.packets(kind) >= before + more).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, enough)
        .unwrap_or_else(|| panic!("no {more} {kind:?} packets after {before}"));
}

/// What an info message says of a shift of timestamps: the pad, and the shift.
fn shift(message: &gst::Message) -> Option<(String, i64)> {
    let gst::MessageView::Info(info) = message.view() else {
        return None;
    };
    let details = info.details()?;
    Some((details.get("pad").ok()?, details.get("shift").ok()?))
}

/// The shift of the message with this number, counted from 0.
fn wait_shift(publisher: &mut Publisher, number: usize) -> i64 {
    let known = shifts(publisher);
    match known.get(number) {
        Some((_, shift)) => *shift,
        None => publisher.wait("shift of timestamps", shift).1,
    }
}

fn shifts(publisher: &mut Publisher) -> Vec<(String, i64)> {
    publisher.messages().iter().filter_map(shift).collect()
}

fn warnings(publisher: &mut Publisher) -> Vec<String> {
    let text = |message: &gst::Message| match message.view() {
        gst::MessageView::Warning(warning) => Some(warning.error().message().to_owned()),
        _ => None,
    };
    publisher.messages().iter().filter_map(text).collect()
}

/// Waits until this many packets have been counted, for a limited time.
fn wait_count(count: &AtomicU64, enough: u64) -> u64 {
    let end = Instant::now() + BOUND;
    while count.load(Ordering::SeqCst) < enough && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    count.load(Ordering::SeqCst)
}

/// Publishes audio whose timestamps are moved from the start.
fn publish_moved(launch: &str, by: i64) -> (Stage, Publisher) {
    let stage = stage();
    let publisher = Publisher::to_stage(launch, &stage);
    move_timestamps(&publisher, "audio-pay", by);
    publisher.play();
    (stage, publisher)
}

/// Pushes one packet into `source`. Returns whether the pipeline still takes them.
fn push(source: &gst::Element, number: u32, time: Option<u64>) -> bool {
    let mut packet = vec![0x80, 96];
    packet.extend((number as u16).to_be_bytes());
    packet.extend((number * 960).to_be_bytes());
    packet.extend([1, 2, 3, 4, 0xfc, 0xff, 0xfe]);
    let mut buffer = gst::Buffer::from_mut_slice(packet);
    let time = time.map(gst::ClockTime::from_nseconds);
    buffer.get_mut().unwrap().set_pts(time);
    source.emit_by_name::<gst::FlowReturn>("push-buffer", &[&buffer]) == gst::FlowReturn::Ok
}

/// Pushes a packet every 20 ms until the pipeline stops, with the time that `time`
/// makes of the packet's number.
fn push_packets(publisher: &Publisher, time: impl Fn(u32) -> Option<u64> + Send + 'static) {
    let source = publisher.pipeline.by_name("source").unwrap();
    std::thread::spawn(move || {
        let begin = Instant::now();
        for number in 0_u32.. {
            if !push(&source, number, time(number)) {
                break;
            }
            let next = Duration::from_millis(20) * (number + 1);
            std::thread::sleep(next.saturating_sub(begin.elapsed()));
        }
    });
}

fn publish_pushed(time: impl Fn(u32) -> Option<u64> + Send + 'static) -> (Stage, Publisher) {
    let stage = stage();
    let mut publisher = Publisher::to_stage(APPLICATION, &stage);
    publisher.play();
    push_packets(&publisher, time);
    publisher.wait_state("publishing");
    (stage, publisher)
}

/// What the element adds to the running time of what webrtcbin gets from a pad.
fn applied(publisher: &Publisher, pad: &str) -> i64 {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let sync = bin.by_name(&format!("{pad}-sync")).unwrap();
    sync.static_pad("src").unwrap().offset()
}

/// How far the running time of webrtcbin's next packet is ahead of the pipeline's.
fn ahead_at_webrtcbin(publisher: &Publisher, pad: &str) -> i64 {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let sync = bin.by_name(&format!("{pad}-sync")).unwrap();
    let sink = sync.static_pad("src").unwrap().peer().unwrap();
    let whip = publisher.whip.clone();
    let (sender, ahead) = std::sync::mpsc::channel();
    sink.add_probe(
        gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST,
        move |pad, info| {
            let time = match &info.data {
                Some(gst::PadProbeData::BufferList(list)) => {
                    list.get(0).and_then(|first| first.pts())
                }
                _ => info.buffer().and_then(|buffer| buffer.pts()),
            };
            let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap();
            let segment = segment.segment().downcast_ref::<gst::ClockTime>().unwrap();
            let time = segment.to_running_time(time).unwrap().nseconds();
            let now = whip.current_running_time().unwrap().nseconds();
            let _ = sender.send(time.cast_signed() - now.cast_signed());
            gst::PadProbeReturn::Remove
        },
    );
    ahead.recv_timeout(BOUND).expect("a packet")
}

#[test]
fn an_application_pushes_with_the_time_of_day() {
    let (stage, mut publisher) = publish_pushed(|_| Some(time_of_day().cast_unsigned()));
    wait_for_more(&stage, Kind::Audio, 50);
    let shift = wait_shift(&mut publisher, 0);
    assert!(shift < -1_000_000_000_000_000_000, "{shift}");
    assert_eq!(shifts(&mut publisher).len(), 1);
}

#[test]
fn an_application_pushes_with_the_monotonic_clock() {
    // Uptime is that of the machine, and may be short.
    let clock = gst::SystemClock::obtain();
    let time = move |_| Some(clock.time().nseconds() + HOUR.cast_unsigned());
    let (stage, mut publisher) = publish_pushed(time);
    wait_for_more(&stage, Kind::Audio, 50);
    assert!(wait_shift(&mut publisher, 0) < -HOUR);
    assert_eq!(shifts(&mut publisher).len(), 1);
}

#[test]
fn an_application_pushes_without_timestamps() {
    let (stage, mut publisher) = publish_pushed(|_| None);
    wait_for_more(&stage, Kind::Audio, 50);
    assert_eq!(shifts(&mut publisher), []);
}

#[test]
fn a_gap_an_hour_ahead_holds_nothing() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(APPLICATION, &stage);
    let source = publisher.pipeline.by_name("source").unwrap();
    publisher.play();
    let hour = gst::ClockTime::from_nseconds(HOUR.cast_unsigned());
    push(&source, 0, None);
    source.send_event(gst::event::Gap::new(hour, gst::ClockTime::SECOND));
    push_packets(&publisher, |_| None);
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 50);
}

#[test]
fn a_live_application_that_pushes_what_it_has_is_paced() {
    let stage = stage();
    let publisher = Publisher::to_stage(APPLICATION, &stage);
    let source = publisher.pipeline.by_name("source").unwrap();
    let passed = publisher.count_packets("audio-pay");
    publisher.play();
    let (changed, ..) = publisher.pipeline.state(gst::ClockTime::from_seconds(5));
    changed.unwrap();
    let begin = Instant::now();
    let now = source.current_running_time().unwrap().nseconds();
    for number in 0..150_u32 {
        assert!(push(
            &source,
            number,
            Some(now + u64::from(number) * 20_000_000)
        ));
    }
    assert_eq!(wait_count(&passed, 150), 150);
    // It may be a second ahead.
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
}

#[test]
fn another_start_finds_the_other_clock_again() {
    let (stage, mut publisher) = publish_moved(AUDIO, HOUR);
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 25);
    publisher.stop();
    assert_eq!(applied(&publisher, "sink_0"), 0);
    publisher.play();
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 25);
    assert!((applied(&publisher, "sink_0") + HOUR).abs() < 1_500_000_000);
    assert!(ahead_at_webrtcbin(&publisher, "sink_0").abs() < 1_500_000_000);
}

#[test]
fn a_source_that_jumps_with_each_packet_is_told_once_and_sent() {
    let jumping = |number: u32| Some(u64::from(number % 7) * HOUR.cast_unsigned());
    let (stage, mut publisher) = publish_pushed(jumping);
    wait_for_more(&stage, Kind::Audio, 100);
    let warned = warnings(&mut publisher);
    let warning = match warned.first() {
        Some(warning) => warning.clone(),
        None => publisher.wait_warning(),
    };
    assert!(
        warning.contains("sink_0") && warning.contains("jump"),
        "{warning}"
    );
    wait_for_more(&stage, Kind::Audio, 50);
    assert_eq!(warnings(&mut publisher).len(), 1);
    assert!(shifts(&mut publisher).len() <= 5);
}

#[test]
fn an_offset_of_a_minute_ahead_and_behind() {
    for offset in [MINUTE, -MINUTE] {
        let (stage, mut publisher) = publish_moved(AUDIO, offset);
        publisher.wait_state("publishing");
        wait_for_more(&stage, Kind::Audio, 50);
        let shift = wait_shift(&mut publisher, 0);
        let off = shift + offset;
        assert!(off.abs() < 2_000_000_000, "{shift} for {offset}");
        assert_eq!(applied(&publisher, "sink_0"), shift);
        assert_eq!(shifts(&mut publisher).len(), 1);
        wait_for_more(&stage, Kind::Audio, 50);
    }
}

/// Moves segment and timestamps of what leaves `early` by `AWAY`, and some of them before
/// the segment.
fn begin_late(publisher: &Publisher, is_early: impl Fn(u64) -> bool + Send + Sync + 'static) {
    const AWAY: gst::ClockTime = gst::ClockTime::from_seconds(100);
    const EARLY: gst::ClockTime = gst::ClockTime::from_seconds(40);
    let early = publisher.pipeline.by_name("early").unwrap();
    let source = early.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |_, info| {
        if let Some(gst::PadProbeData::Event(event)) = &mut info.data
            && let gst::EventView::Segment(segment) = event.view()
        {
            let mut segment = segment.segment().clone();
            let times = segment.downcast_mut::<gst::ClockTime>().unwrap();
            times.set_start(times.start().unwrap() + AWAY);
            times.set_time(times.start());
            *event = gst::event::Segment::new(&segment);
        }
        gst::PadProbeReturn::Ok
    });
    let count = AtomicU64::new(0);
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    source.add_probe(mask, move |_, info| {
        let by = match is_early(count.fetch_add(1, Ordering::SeqCst)) {
            true => EARLY,
            false => AWAY,
        };
        let moved = |buffer: &mut gst::BufferRef| {
            buffer.set_pts(buffer.pts().map(|pts| pts + by));
            buffer.set_dts(None);
        };
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => moved(buffer.make_mut()),
            Some(gst::PadProbeData::BufferList(list)) => {
                let buffers = list.iter_owned().map(|mut buffer| {
                    moved(buffer.make_mut());
                    buffer
                });
                *list = buffers.collect();
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

#[test]
fn a_gap_before_its_segment_holds_nothing() {
    let stage = stage();
    let launch = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! identity name=early ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    begin_late(&publisher, |_| false);
    publisher.play();
    publisher.wait_state("publishing");
    let early = publisher.pipeline.by_name("early").unwrap();
    let early = early.static_pad("src").unwrap();
    early.push_event(gst::event::Gap::new(
        gst::ClockTime::from_seconds(40),
        gst::ClockTime::SECOND,
    ));
    wait_for_more(&stage, Kind::Audio, 50);
    assert_eq!(shifts(&mut publisher), []);
}

/// Such media have no running time, and most elements drop them or, in GStreamer 1.22, take
/// it for zero.
#[test]
#[allow(clippy::print_stdout)]
fn what_lies_before_its_segment_is_sent_as_it_comes() {
    const PICTURE: &str =
        "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1";
    const X264: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 bitrate=500 \
                        ! video/x-h264,profile=constrained-baseline";
    const EARLY: &str = "identity name=early";
    const SOUND: &str = "audiotestsrc is-live=true";
    for (launch, kind) in [
        (format!("{SOUND} ! {EARLY}"), Kind::Audio),
        (format!("{SOUND} ! opusenc ! {EARLY}"), Kind::Audio),
        (
            format!("{SOUND} ! opusenc ! rtpopuspay ! {EARLY}"),
            Kind::Audio,
        ),
        (format!("{PICTURE} ! {EARLY}"), Kind::Video),
        (
            format!("{PICTURE} ! {EARLY} ! {X264} ! h264parse"),
            Kind::Video,
        ),
        (
            format!("{PICTURE} ! {X264} ! {EARLY} ! h264parse"),
            Kind::Video,
        ),
        (
            format!("{PICTURE} ! {X264} ! h264parse ! {EARLY}"),
            Kind::Video,
        ),
        (
            format!("{PICTURE} ! {X264} ! rtph264pay ! {EARLY}"),
            Kind::Video,
        ),
    ] {
        for all in [false, true] {
            // x264enc and h264parse drop them.
            if all && (launch.contains("early ! x264enc") || launch.ends_with("early ! h264parse"))
            {
                continue;
            }
            let stage = stage();
            let mut publisher = Publisher::to_stage(&format!("{launch} ! whip. "), &stage);
            begin_late(&publisher, move |number| all || number % 10 == 9);
            publisher.play();
            publisher.wait_state("publishing");
            println!("{launch}, all: {all}");
            wait_for_more(&stage, kind, 40);
            wait_for_more(&stage, kind, 40);
            assert_eq!(warnings(&mut publisher), [""; 0]);
            assert_eq!(stage.sessions().len(), 1);
        }
    }
}

#[test]
fn an_offset_of_the_elements_own_pad() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher
        .whip
        .static_pad("sink_0")
        .unwrap()
        .set_offset(HOUR);
    publisher.play();
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 50);
    assert!(wait_shift(&mut publisher, 0) < -HOUR / 2);
}

/// webrtcbin takes caps under a lock that it holds while it makes its first certificate.
#[test]
fn upstream_gives_no_caps_to_a_webrtcbin_that_is_being_made() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let (sender, threads) = std::sync::mpsc::channel();
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    bin.connect_element_added(move |_, element| {
        let is_webrtcbin = |factory: gst::ElementFactory| factory.name() == "webrtcbin";
        if !element.factory().is_some_and(is_webrtcbin) {
            return;
        }
        let sender = sender.clone();
        element.connect_pad_added(move |_, pad| {
            let sender = sender.clone();
            pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
                if info
                    .event()
                    .is_some_and(|event| event.type_() == gst::EventType::Caps)
                {
                    let thread = std::thread::current();
                    let _ = sender.send(thread.name().unwrap_or_default().to_owned());
                }
                gst::PadProbeReturn::Ok
            });
        });
    });
    publisher.play();
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 25);
    let threads: Vec<String> = threads.try_iter().collect();
    assert!(!threads.is_empty());
    let of_upstream: Vec<&String> = threads
        .iter()
        .filter(|thread| !thread.starts_with("ivswhipsink"))
        .collect();
    assert!(of_upstream.is_empty(), "{threads:?}");
}

#[test]
fn the_other_branch_of_a_tee_flows() {
    let launch = "audiotestsrc is-live=true ! opusenc ! rtpopuspay name=audio-pay ! tee name=t \
                  t. ! identity name=other ! fakesink sync=false async=false t. ! identity ! whip. ";
    let (_stage, publisher) = publish_moved(launch, HOUR);
    let other = publisher.count_packets("other");
    assert!(wait_count(&other, 100) >= 100, "{other:?}");
}

#[test]
fn an_hour_ahead_in_mid_stream_and_back() {
    let (stage, mut publisher) = publish_moved(AUDIO, 0);
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 25);
    assert_eq!(shifts(&mut publisher), []);
    move_timestamps(&publisher, "audio-pay", HOUR);
    assert!((wait_shift(&mut publisher, 0) + HOUR).abs() < 1_000_000_000);
    wait_for_more(&stage, Kind::Audio, 50);
    move_timestamps(&publisher, "audio-pay", 0);
    assert_eq!(wait_shift(&mut publisher, 1), 0, "the pipeline's own time");
    wait_for_more(&stage, Kind::Audio, 50);
    assert_eq!(applied(&publisher, "sink_0"), 0);
    assert_eq!(shifts(&mut publisher).len(), 2);
    assert_eq!(stage.sessions().len(), 1);
}

#[test]
fn another_pipeline_that_started_earlier() {
    let stage = stage();
    let mut publisher = Publisher::to_stage("proxysrc name=proxy ! whip. ", &stage);
    let producer = "audiotestsrc is-live=true ! opusenc ! rtpopuspay ! proxysink name=proxy";
    let producer = gst::parse::launch(producer).unwrap();
    let producer = producer.downcast::<gst::Pipeline>().unwrap();
    let sink = producer.by_name("proxy").unwrap();
    let source = publisher.pipeline.by_name("proxy").unwrap();
    source.set_property("proxysink", &sink);
    // As if it ran for an hour.
    let clock = gst::SystemClock::obtain();
    producer.use_clock(Some(&clock));
    producer.set_start_time(gst::ClockTime::NONE);
    let hour = gst::ClockTime::from_nseconds(HOUR.cast_unsigned());
    producer.set_base_time(clock.time().saturating_sub(hour));
    producer.set_state(gst::State::Playing).unwrap();
    publisher.play();
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 50);
    assert!(clock.time() < hour || wait_shift(&mut publisher, 0) < -HOUR / 2);
    producer.set_state(gst::State::Null).unwrap();
}

#[test]
fn audio_and_video_of_another_clock_stay_in_sync() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{VIDEO} {AUDIO}"), &stage);
    for element in ["audio-pay", "video-pay"] {
        move_timestamps(&publisher, element, HOUR);
    }
    publisher.play();
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 50);
    wait_for_more(&stage, Kind::Video, 50);
    let before = applied(&publisher, "sink_0");
    assert!((before + HOUR).abs() < 1_500_000_000, "{before}");
    assert_eq!(before, applied(&publisher, "sink_1"));
    // Sender reports have this time.
    for pad in ["sink_0", "sink_1"] {
        let ahead = ahead_at_webrtcbin(&publisher, pad);
        assert!(ahead.abs() < 1_500_000_000, "{pad}: {ahead}");
    }

    for element in ["video-pay", "audio-pay"] {
        move_timestamps(&publisher, element, 3 * HOUR);
    }
    wait_for_more(&stage, Kind::Audio, 50);
    wait_for_more(&stage, Kind::Video, 50);
    let after = applied(&publisher, "sink_0");
    assert!((after + 3 * HOUR).abs() < 1_500_000_000, "{after}");
    assert_eq!(after, applied(&publisher, "sink_1"));
}

#[test]
fn live_media_on_time_stay_as_they_are() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{VIDEO} {AUDIO}"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 100);
    assert_eq!(shifts(&mut publisher), []);
    for pad in ["sink_0", "sink_1"] {
        assert_eq!(applied(&publisher, pad), 0, "{pad}");
    }
}

/// Plays 3 s of media that are not live, and returns how long that took.
fn play_file(publisher: &mut Publisher) -> Duration {
    let begin = Instant::now();
    publisher.play();
    publisher.wait_eos();
    begin.elapsed()
}

/// The shifts by more than a loaded machine may need: a file that falls behind goes on
/// from there.
fn far_shifts(publisher: &mut Publisher) -> Vec<i64> {
    let is_far = |message: &gst::Message| match message.view() {
        gst::MessageView::Info(info) => {
            let ahead = info.details()?.get::<i64>("ahead").ok()?;
            (ahead.abs() > 10_000_000_000).then_some(ahead)
        }
        _ => None,
    };
    publisher.messages().iter().filter_map(is_far).collect()
}

#[test]
fn a_file_that_begins_at_its_third_hour_is_paced() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(FILE, &stage);
    move_timestamps(&publisher, "audio-pay", 3 * HOUR);
    let took = play_file(&mut publisher);
    assert!(took >= Duration::from_millis(2_900), "{took:?}");
    assert_eq!(far_shifts(&mut publisher).len(), 1);
}

#[test]
fn a_file_that_joins_late_is_paced() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(FILE, &stage);
    let clock = gst::SystemClock::obtain();
    publisher.pipeline.use_clock(Some(&clock));
    publisher.pipeline.set_start_time(gst::ClockTime::NONE);
    // As if the pipeline ran for half a minute.
    let before = gst::ClockTime::from_seconds(30);
    publisher
        .pipeline
        .set_base_time(clock.time().saturating_sub(before));
    let took = play_file(&mut publisher);
    assert!(took >= Duration::from_millis(2_900), "{took:?}");
    assert_eq!(far_shifts(&mut publisher).len(), 1);
}

#[test]
fn a_file_on_time_is_paced_and_stays_as_it_is() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(FILE, &stage);
    let took = play_file(&mut publisher);
    assert!(took >= Duration::from_millis(2_900), "{took:?}");
    assert_eq!(far_shifts(&mut publisher), [0; 0]);
}

#[test]
fn a_source_half_a_second_ahead_is_not_held() {
    let (stage, mut publisher) = publish_moved(AUDIO, 500_000_000);
    publisher.wait_state("publishing");
    wait_for_more(&stage, Kind::Audio, 50);
    assert_eq!(shifts(&mut publisher), []);
    // A packet that is held is no longer ahead.
    let ahead = (0..10).map(|_| ahead_at_webrtcbin(&publisher, "sink_0"));
    let ahead = ahead.max().unwrap();
    assert!(ahead > 200_000_000, "{ahead}");
}
