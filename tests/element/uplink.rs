//! The video follows what the network carries.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Feedback, Happening, Kind, Rules, SessionReport, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, add_source, lose, remove_source, stage};

pub const TRANSPORT_WIDE: &str =
    "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";

/// A picture that needs any bit rate, so that the video has what its encoder is told.
fn noise(encoder: &str) -> String {
    format!(
        "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! {encoder} ! video/x-h264,profile=constrained-baseline ! rtph264pay ! whip. "
    )
}

const X264: &str = "x264enc name=encoder tune=zerolatency speed-preset=ultrafast key-int-max=30 \
                    bitrate=2500";
const OPENH264: &str = "openh264enc name=encoder complexity=low gop-size=30 bitrate=2500000";

pub fn stage_with(feedback: Feedback) -> Stage {
    Stage::start(Rules {
        feedback,
        report_interval: Some(Duration::from_millis(200)),
        ..Rules::default()
    })
    .unwrap()
}

fn publish(launch: &str, stage: &Stage) -> Publisher {
    let mut publisher = Publisher::to_stage(launch, stage);
    publisher.play();
    publisher.wait_state("publishing");
    publisher
}

fn stats(publisher: &Publisher) -> gst::Structure {
    publisher.whip.property("stats")
}

/// Reads the statistics until they are as expected.
fn wait_stats(publisher: &Publisher, are: impl Fn(&gst::Structure) -> bool) -> gst::Structure {
    let until = Instant::now() + BOUND;
    loop {
        let stats = stats(publisher);
        if are(&stats) {
            return stats;
        }
        assert!(Instant::now() < until, "{stats}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn says(stats: &gst::Structure, field: &str, value: &str) -> bool {
    stats.get::<&str>(field) == Ok(value)
}

fn encoder(publisher: &Publisher) -> gst::Element {
    publisher.pipeline.by_name("encoder").unwrap()
}

/// The encoder's property, in its own unit.
fn bit_rate(encoder: &gst::Element) -> u32 {
    encoder.property("bitrate")
}

/// What an object's property is set to from now on.
fn watch(object: &gst::Element, property: &str) -> Receiver<u32> {
    let (sender, values) = channel();
    object.connect_notify(Some(property), move |object, property| {
        let _ = sender.send(object.property(property.name()));
    });
    values
}

/// The values up to one.
fn values_until(values: &Receiver<u32>, last: u32) -> Vec<u32> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        match values.recv_timeout(BOUND) {
            Ok(value) => seen.push(value),
            Err(_) => panic!("{last} expected after {seen:?}"),
        }
    }
    seen
}

/// The header extensions that each section of the first offer has.
pub fn offered_extensions(stage: &Stage) -> Vec<Vec<String>> {
    let offered = |what: &Happening| match what {
        Happening::Offer { sections, .. } => Some(sections.clone()),
        _ => None,
    };
    let sections = stage
        .events()
        .iter()
        .find_map(|event| offered(&event.what))
        .expect("an offer");
    sections
        .into_iter()
        .map(|section| section.extensions)
        .collect()
}

fn wait_video(stage: &Stage, packets: u64) {
    let enough = |sessions: &[SessionReport]| {
        (sessions.first()?.packets(Kind::Video) >= packets).then_some(())
    };
    stage.wait_for_sessions(BOUND, enough).expect("video");
}

#[test]
fn transport_wide_feedback_is_offered_for_both_and_tells_all() {
    let stage = stage();
    let publisher = publish(&format!("{VIDEO} {AUDIO}"), &stage);
    assert_eq!(offered_extensions(&stage), [[TRANSPORT_WIDE]; 2]);
    let stats = wait_stats(&publisher, |stats| {
        says(stats, "feedback", "twcc") && stats.has_field("queue-delay")
    });
    assert!(stats.get::<u64>("bandwidth-estimate").unwrap() > 0);
    assert!(stats.get::<u64>("target-bitrate").unwrap() > 0);
    for delay in ["queue-delay", "pacing-delay", "pacing-delay-max"] {
        let delay = stats.get::<gst::ClockTime>(delay).unwrap();
        assert!(delay < gst::ClockTime::SECOND, "{stats}");
    }
    assert_eq!(stats.get::<u64>("frames-thinned"), Ok(0));
    assert_eq!(stats.get::<u64>("retransmissions-refused"), Ok(0));
}

#[test]
fn without_it_the_far_ends_estimate_or_its_reports_count() {
    for (feedback, name) in [(Feedback::Remb, "remb"), (Feedback::ReceiverReports, "rr")] {
        let stage = stage_with(feedback);
        let publisher = publish(VIDEO, &stage);
        let stats = wait_stats(&publisher, |stats| says(stats, "feedback", name));
        assert!(stats.has_field("bandwidth-estimate"), "{stats}");
        assert!(!stats.has_field("queue-delay"), "{stats}");
    }
}

#[test]
fn without_any_feedback_it_is_as_without_congestion_control() {
    let stage = stage_with(Feedback::None);
    let publisher = publish(&noise(X264), &stage);
    let before = wait_stats(&publisher, |stats| says(stats, "feedback", "none"));
    assert!(before.has_field("bandwidth-estimate"), "{before}");
    // 10 s later.
    let stats = wait_stats(&publisher, |stats| !stats.has_field("bandwidth-estimate"));
    assert!(says(&stats, "feedback", "none"), "{stats}");
    let after = wait_stats(&publisher, |stats| !stats.has_field("target-bitrate"));
    assert_eq!(bit_rate(&encoder(&publisher)), 2500, "{after}");
    assert_eq!(publisher.whip.property::<u32>("target-bitrate"), 0);
    let packets = stage.sessions()[0].packets(Kind::Video);
    wait_video(&stage, packets + 100);
}

#[test]
fn none_offers_paces_and_sets_nothing() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{} {AUDIO}", noise(X264)), &stage);
    publisher
        .whip
        .set_property_from_str("congestion-control", "none");
    let encoder = encoder(&publisher);
    let set = watch(&encoder, "bitrate");
    publisher.play();
    publisher.wait_state("publishing");
    wait_video(&stage, 200);
    assert_eq!(offered_extensions(&stage), [[""; 0]; 2]);
    let stats = stats(&publisher);
    for field in [
        "feedback",
        "bandwidth-estimate",
        "target-bitrate",
        "bitrate-control",
        "pacing-delay",
    ] {
        assert!(!stats.has_field(field), "{field}: {stats}");
    }
    publisher.stop();
    assert_eq!(set.try_iter().count(), 0);
    assert_eq!(bit_rate(&encoder), 2500);
}

/// The texts of all info messages.
fn infos(publisher: &mut Publisher) -> Vec<String> {
    let text = |message: &gst::Message| match message.view() {
        gst::MessageView::Info(info) => Some(info.error().message().to_owned()),
        _ => None,
    };
    publisher.messages().iter().filter_map(text).collect()
}

/// Waits for the info message that has this in its text.
fn wait_info(publisher: &mut Publisher, part: &str) -> String {
    publisher.wait(part, |message| match message.view() {
        gst::MessageView::Info(info) => {
            let text = info.error().message().to_owned();
            text.contains(part).then_some(text)
        }
        _ => None,
    })
}

/// The texts of all warnings.
fn warnings(publisher: &mut Publisher) -> Vec<String> {
    let text = |message: &gst::Message| match message.view() {
        gst::MessageView::Warning(warning) => Some(warning.error().message().to_owned()),
        _ => None,
    };
    publisher.messages().iter().filter_map(text).collect()
}

/// In all sessions of a run, with the rate that it begins with and its highest.
#[test]
fn the_bus_is_told_once_that_an_upstream_encoder_is_set() {
    let stage = stage();
    let mut publisher = publish(&noise(X264), &stage);
    stage.close_sessions();
    publisher.wait_state("retrying");
    publisher.wait_state("publishing");
    wait_stats(&publisher, |stats| {
        says(stats, "bitrate-control", "x264enc")
    });
    let told = infos(&mut publisher);
    let [takeover] = &told[..] else {
        panic!("{told:?}");
    };
    for part in ["x264enc", "1200 kbit/s", "2500 at most"] {
        assert!(takeover.contains(part), "{takeover}");
    }
}

#[test]
fn an_encoder_that_vanishes_is_warned_of_once_and_frames_are_left_out() {
    let stage = stage();
    let mut publisher = Publisher::to_stage("fakesrc num-buffers=0 ! fakesink ", &stage);
    let pad = publisher.whip.request_pad_simple("sink_%u").unwrap();
    let add = |publisher: &Publisher, encoder: &str| {
        add_source(publisher, &noise(encoder).replace("! whip. ", ""), &pad)
    };
    let mut source = add(&publisher, X264);
    publisher.play();
    publisher.wait_state("publishing");
    // What keeps to no bit rate takes the place of what does, twice. Another that does is
    // no reason to warn.
    for (next, follower, warned) in [
        (X264, "x264enc", 0),
        (OPENH264, "thinning", 1),
        (X264, "x264enc", 1),
        (OPENH264, "thinning", 1),
    ] {
        remove_source(&publisher, &source, &pad);
        source = add(&publisher, next);
        wait_stats(&publisher, |stats| says(stats, "bitrate-control", follower));
        // Two looks at who follows take two seconds.
        let frames = |stats: &gst::Structure| stats.get::<u64>("video-frames").unwrap();
        let more = frames(&stats(&publisher)) + 75;
        wait_stats(&publisher, |stats| frames(stats) >= more);
        let warnings = warnings(&mut publisher);
        let gone = |text: &&String| text.contains("x264enc") && text.contains("no longer makes");
        assert_eq!(warnings.iter().filter(gone).count(), warned, "{warnings:?}");
        assert_eq!(warnings.len(), warned, "{warnings:?}");
    }
}

#[test]
fn an_encoder_in_a_straight_line_starts_low_and_rises_to_what_the_user_set() {
    let openh264 = format!("{OPENH264} rate-control=bitrate");
    for (line, factory, unit) in [(X264, "x264enc", 1000), (&openh264, "openh264enc", 1)] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(&noise(line), &stage);
        let encoder = encoder(&publisher);
        let set = watch(&encoder, "bitrate");
        publisher.play();
        publisher.wait_state("publishing");
        let seen = values_until(&set, 2_500_000 / unit);
        assert_eq!(seen[0], 1_200_000 / unit, "{seen:?}");
        assert!(
            seen.iter().all(|rate| *rate <= 2_500_000 / unit),
            "{seen:?}"
        );
        let stats = stats(&publisher);
        assert!(says(&stats, "bitrate-control", factory), "{stats}");
        publisher.stop();
        assert_eq!(bit_rate(&encoder), 2_500_000 / unit);
    }
}

#[test]
fn a_stop_gives_the_encoder_back_what_the_user_set() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&noise(X264), &stage);
    let encoder = encoder(&publisher);
    for _ in 0..3 {
        let set = watch(&encoder, "bitrate");
        publisher.play();
        publisher.wait_state("publishing");
        values_until(&set, 1200);
        publisher.stop();
        assert_eq!(bit_rate(&encoder), 2500);
    }
}

#[test]
fn what_the_user_sets_meanwhile_is_the_new_ceiling_and_stays() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&noise(X264), &stage);
    let encoder = encoder(&publisher);
    let set = watch(&encoder, "bitrate");
    publisher.play();
    publisher.wait_state("publishing");
    values_until(&set, 1200);
    for ceiling in [800, 1500] {
        encoder.set_property("bitrate", ceiling);
        values_until(&set, ceiling);
        let target = u64::from(ceiling) * 1000;
        wait_stats(&publisher, |stats| {
            stats.get::<u64>("target-bitrate") == Ok(target)
        });
        assert!(set.try_iter().all(|rate| rate <= ceiling));
    }
    publisher.stop();
    assert_eq!(bit_rate(&encoder), 1500);
    let told = infos(&mut publisher);
    assert!(
        matches!(&told[..], [takeover] if takeover.contains("sets the bit rate")),
        "{told:?}"
    );
}

#[test]
fn an_encoder_that_keeps_no_bit_rate_or_feeds_others_is_left_alone() {
    let shared = format!("{X264} ! tee name=t t. ! queue ! fakesink async=false t. ! queue");
    for line in [OPENH264, &shared] {
        let stage = stage();
        let mut publisher = Publisher::to_stage(&noise(line), &stage);
        let encoder = encoder(&publisher);
        let set = watch(&encoder, "bitrate");
        publisher.play();
        publisher.wait_state("publishing");
        wait_stats(&publisher, |stats| {
            says(stats, "bitrate-control", "thinning")
        });
        wait_video(&stage, 200);
        publisher.stop();
        assert_eq!(set.try_iter().count(), 0, "{line}");
    }
}

#[test]
fn an_application_that_listens_is_told_the_target() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&noise(OPENH264), &stage);
    let targets = watch(&publisher.whip, "target-bitrate");
    publisher.play();
    publisher.wait_state("publishing");
    assert_eq!(targets.recv_timeout(BOUND), Ok(1_200_000));
    wait_stats(&publisher, |stats| {
        says(stats, "bitrate-control", "application")
    });
    assert!(publisher.whip.property::<u32>("target-bitrate") > 0);
    publisher.stop();
    assert_eq!(publisher.whip.property::<u32>("target-bitrate"), 0);
}

#[test]
fn a_tool_that_prints_all_properties_is_no_application_that_follows() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&noise(OPENH264), &stage);
    publisher.whip.connect_notify(None, |_, _| {});
    publisher.play();
    publisher.wait_state("publishing");
    wait_stats(&publisher, |stats| {
        says(stats, "bitrate-control", "thinning")
    });
}

#[test]
fn an_application_that_does_not_follow_is_told_once_and_frames_are_left_out() {
    let stage = stage();
    let shared = format!("{X264} ! tee name=t t. ! queue ! fakesink async=false t. ! queue");
    let mut publisher = Publisher::to_stage(&noise(&shared), &stage);
    publisher.whip.set_property("max-bitrate", 500_000_u32);
    let _targets = watch(&publisher.whip, "target-bitrate");
    publisher.play();
    publisher.wait_state("publishing");
    let warning = publisher.wait_warning();
    assert!(warning.contains("application"), "{warning}");
    wait_stats(&publisher, |stats| {
        says(stats, "bitrate-control", "thinning")
    });
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(2500) {
        let stats = stats(&publisher);
        assert!(says(&stats, "bitrate-control", "thinning"), "{stats}");
        std::thread::sleep(Duration::from_millis(20));
    }
    wait_stats(&publisher, |stats| {
        stats
            .get::<u64>("frames-thinned")
            .is_ok_and(|frames| frames > 0)
    });
}

/// As a property that is bound to another one does.
#[test]
fn an_encoder_whose_bit_rate_is_set_back_is_warned_of_once_and_frames_are_left_out() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&noise(X264), &stage);
    encoder(&publisher).connect_notify(Some("bitrate"), |encoder, _| {
        if bit_rate(encoder) != 2500 {
            encoder.set_property("bitrate", 2500_u32);
        }
    });
    publisher.play();
    publisher.wait_state("publishing");
    wait_stats(&publisher, |stats| {
        says(stats, "bitrate-control", "thinning")
    });
    wait_video(&stage, 500);
    let warnings = warnings(&mut publisher);
    assert!(
        matches!(&warnings[..], [warning] if warning.contains("x264enc can't be set")),
        "{warnings:?}"
    );
    assert_eq!(bit_rate(&encoder(&publisher)), 2500);
}

#[test]
fn what_the_far_end_asks_for_is_sent_again_within_bounds() {
    let stage = stage();
    let publisher = publish(VIDEO, &stage);
    lose(&publisher, 5);
    let stats = wait_stats(&publisher, |stats| {
        stats.get::<u64>("retransmissions-refused").unwrap() >= 50
    });
    let count = |field| stats.get::<u64>(field).unwrap();
    assert!(count("retransmissions") > 0, "{stats}");
    // Headers alone have 50 bytes.
    assert!(
        count("retransmission-bytes") > 50 * count("retransmissions"),
        "{stats}"
    );
    assert!(
        count("retransmissions") < count("video-packets") / 2,
        "{stats}"
    );
}

#[test]
fn the_bus_is_told_when_the_network_carries_less_and_when_it_is_wide_again() {
    // Whose own estimate rises by 4 % each half second.
    let stage = stage_with(Feedback::Remb);
    let mut publisher = Publisher::to_stage(&noise(X264), &stage);
    // What it begins with.
    publisher.whip.set_property("max-bitrate", 1_200_000_u32);
    publisher.play();
    publisher.wait_state("publishing");
    wait_stats(&publisher, |stats| says(stats, "feedback", "remb"));
    let loss = lose(&publisher, 2);
    let narrowed = wait_info(&mut publisher, "carries less");
    assert!(narrowed.contains("x264enc"), "{narrowed}");
    loss.end();
    let widened = wait_info(&mut publisher, "wide enough again");
    assert!(widened.contains("kbit/s"), "{widened}");
    assert!(bit_rate(&encoder(&publisher)) >= 1080, "{widened}");
}

/// Bits a second of RTP that leave in a time, without UDP and IP headers.
fn rtp_bit_rate(publisher: &Publisher, time: Duration) -> u64 {
    // Ahead of what gets lost.
    let pad = way_out(publisher).peer().unwrap();
    let bytes = Arc::new(AtomicUsize::new(0));
    let count = bytes.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    let probe = pad.add_probe(mask, move |_, info| {
        let add = |packet: &gst::BufferRef| {
            let map = packet.map_readable().unwrap();
            // Not RTCP (RFC 5761 4).
            if (128..192).contains(&map[0]) && !(192..=223).contains(&map[1]) {
                count.fetch_add(map.len(), Ordering::SeqCst);
            }
        };
        match &info.data {
            Some(gst::PadProbeData::Buffer(packet)) => add(packet),
            Some(gst::PadProbeData::BufferList(packets)) => packets.iter().for_each(add),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
    let begun = Instant::now();
    std::thread::sleep(time);
    pad.remove_probe(probe.unwrap());
    (bytes.load(Ordering::SeqCst) as f64 * 8.0 / begun.elapsed().as_secs_f64()) as u64
}

/// As RTP, encryption and retransmissions included: up to 4 % more than the encoder has, and
/// as much as an encoder may have more before it is told.
#[test]
fn max_bitrate_bounds_what_leaves() {
    const MAX: u32 = 1_000_000;
    // A picture of which either encoder makes any bit rate.
    let source = "videotestsrc is-live=true pattern=snow ! video/x-raw,width=80,height=60,\
                  framerate=30/1 ! videoscale ! video/x-raw,width=320,height=240 ! whip. ";
    let tries = [
        ("x264enc", 0),
        ("x264enc", 14),
        ("openh264enc", 0),
        ("openh264enc", 14),
        ("x264enc", 33),
    ];
    let tries = tries.map(|(encoder, lost)| {
        std::thread::spawn(move || {
            let stage = stage_with(Feedback::TransportWide);
            let mut publisher = Publisher::to_stage(source, &stage);
            publisher.whip.set_property("video-encoder", encoder);
            publisher.whip.set_property("max-bitrate", MAX);
            publisher.play();
            publisher.wait_state("publishing");
            lose_each(&publisher, lost);
            wait_stats(&publisher, |stats| {
                let again = stats.get::<u64>("retransmissions").unwrap();
                stats
                    .get::<u64>("video-packets")
                    .is_ok_and(|sent| sent > 300)
                    && (lost == 0 || again > 10)
            });
            rtp_bit_rate(&publisher, Duration::from_secs(5))
        })
    });
    let sent = tries.map(|tried| tried.join().unwrap());
    let bound = u64::from(MAX) * 109 / 100;
    assert!(sent.iter().all(|&sent| sent < bound), "{sent:?}");
}

/// The pad at which datagrams leave.
fn way_out(publisher: &Publisher) -> gst::Pad {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let mut sinks = bin.iterate_all_by_element_factory_name("nicesink");
    let sink = sinks.next().unwrap().unwrap();
    sink.static_pad("sink").unwrap()
}

/// Loses one of `each` packets; none if that is 0.
fn lose_each(publisher: &Publisher, each: usize) {
    let pad = way_out(publisher);
    let count = AtomicUsize::new(0);
    pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        match each > 0 && number.is_multiple_of(each) {
            true => gst::PadProbeReturn::Handled,
            false => gst::PadProbeReturn::Ok,
        }
    });
}
