//! The property `stats`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Rules, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, stage};

fn stats(publisher: &Publisher) -> gst::Structure {
    publisher.whip.property("stats")
}

fn stream(stats: &gst::Structure, name: &str) -> gst::Structure {
    stats
        .get(name)
        .unwrap_or_else(|_| panic!("{name}: {stats}"))
}

/// Reads the statistics until `told` finds something: the far end's reports come later.
fn wait_for<T>(publisher: &Publisher, told: impl Fn(&gst::Structure) -> Option<T>) -> T {
    let until = Instant::now() + BOUND;
    loop {
        let stats = stats(publisher);
        if let Some(told) = told(&stats) {
            return told;
        }
        assert!(Instant::now() < until, "{stats}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A stage that sends RTCP reports often.
fn reporting_stage() -> Stage {
    Stage::start(Rules {
        report_interval: Some(Duration::from_millis(200)),
        ..Rules::default()
    })
    .unwrap()
}

#[test]
fn without_a_session_only_the_state_is_told() {
    let publisher = Publisher::new(AUDIO);
    let stats = stats(&publisher);
    assert_eq!(stats.name(), "application/x-ivswhipsink-stats");
    assert_eq!(stats.get::<&str>("session-state"), Ok("idle"));
    assert_eq!(stats.get::<u32>("reconnects"), Ok(0));
    assert!(!stats.has_field("audio") && !stats.has_field("total-time"));
}

#[test]
fn times_of_the_connect_add_up() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    let since_playing = publisher.wait_state("publishing");
    let with_gathering = wait_for(&publisher, |stats| {
        stats
            .get::<gst::ClockTime>("total-time-with-gathering")
            .ok()
    });
    let stats = stats(&publisher);
    let time = |name: &str| stats.get::<gst::ClockTime>(name).unwrap();
    let steps = time("offer-time") + time("post-time") + time("connect-time");
    assert_eq!(time("total-time"), steps);
    assert_eq!(with_gathering, steps + time("gathering-time"));
    assert!(steps <= since_playing, "{steps} of {since_playing}");
    for name in ["offer-time", "post-time", "connect-time", "gathering-time"] {
        assert!(time(name) > gst::ClockTime::ZERO, "{name}: {stats}");
    }
}

#[test]
fn audio_and_video_are_counted_and_the_far_end_heard() {
    let stage = reporting_stage();
    let mut publisher = Publisher::to_stage(&format!("{VIDEO} {AUDIO}"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    // Each stream by itself, even if one report of the far end holds both.
    for name in ["audio", "video"] {
        wait_for(&publisher, |stats| {
            let stream = stats.get::<gst::Structure>(name).ok()?;
            let round_trip: gst::ClockTime = stream.get("round-trip-time").ok()?;
            assert!(round_trip < gst::ClockTime::SECOND, "{stats}");
            assert!(stream.get::<gst::ClockTime>("jitter").is_ok(), "{stats}");
            assert_eq!(stream.get::<i32>("packets-lost"), Ok(0), "{stats}");
            assert_eq!(stream.get::<f64>("fraction-lost"), Ok(0.0), "{stats}");
            Some(())
        });
    }
    let pair = wait_for(&publisher, |stats| {
        stats.get::<gst::Structure>("candidate-pair").ok()
    });
    for side in ["local", "remote"] {
        let text = |name: &str| pair.get::<String>(&format!("{side}-{name}")).unwrap();
        assert!(
            ["host", "prflx", "peer-reflexive"].contains(&&*text("type")),
            "{pair}"
        );
        assert_eq!(text("protocol"), "udp");
        assert!(!text("address").is_empty());
        assert!(pair.get::<u32>(&format!("{side}-port")).unwrap() > 0);
    }

    // Rates are measured over some seconds.
    wait_for(&publisher, |stats| {
        let rate: f64 = stream(stats, "video").get("frame-rate").unwrap();
        let told = |name| stream(stats, name).get::<u64>("bit-rate").unwrap() > 1000;
        ((25.0..=35.0).contains(&rate) && told("audio") && told("video")).then_some(())
    });

    let stats = stats(&publisher);
    assert_eq!(stats.get::<&str>("session-state"), Ok("publishing"));
    assert!(stats.get::<gst::ClockTime>("publishing-time").unwrap() > gst::ClockTime::ZERO);
    assert_eq!(stats.get::<u64>("retransmissions"), Ok(0));
    assert!(stats.get::<u64>("key-frame-requests").is_ok());
    assert!(!stats.has_field("video-filler"), "{stats}");
    let video = stream(&stats, "video");
    let number = |stream: &gst::Structure, name: &str| stream.get::<u64>(name).unwrap();
    assert!(number(&video, "frames") > number(&video, "key-frames"));
    assert!(number(&video, "key-frames") > 0);
    assert_eq!(video.get::<u32>("width"), Ok(320));
    assert_eq!(video.get::<u32>("height"), Ok(240));
    for stream in [&video, &stream(&stats, "audio")] {
        assert!(
            number(stream, "bytes") > number(stream, "packets"),
            "{stats}"
        );
    }
    assert_eq!(stats.get::<&str>("limits"), Ok(""), "{stats}");
}

#[test]
fn losses_of_the_far_end_are_told() {
    let stage = reporting_stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_for(&publisher, |stats| {
        let audio = stats.get::<gst::Structure>("audio").ok()?;
        audio.has_field("packets-lost").then_some(())
    });
    // Dropped after the payloader, so that sequence numbers are missing.
    publisher.lose_packets("audio-pay", 20);
    wait_for(&publisher, |stats| {
        let lost = stream(stats, "audio").get::<i32>("packets-lost").unwrap();
        (lost >= 20).then_some(())
    });
}

#[test]
fn video_that_is_lost_on_the_way_is_sent_again() {
    let stage = reporting_stage();
    let mut publisher = Publisher::to_stage(VIDEO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    // Drops packets after webrtcbin, as the network does.
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let way_out = bin
        .iterate_all_by_element_factory_name("nicesink")
        .next()
        .unwrap()
        .unwrap();
    let count = AtomicU64::new(0);
    let mask = gst::PadProbeType::BUFFER;
    let pad = way_out.static_pad("sink").unwrap();
    let probe = pad.add_probe(mask, move |_, _| {
        match count.fetch_add(1, Ordering::SeqCst) % 10 {
            9 => gst::PadProbeReturn::Handled,
            _ => gst::PadProbeReturn::Ok,
        }
    });
    wait_for(&publisher, |stats| {
        let again: u64 = stats.get("retransmissions").unwrap();
        (again >= 10).then_some(())
    });
    pad.remove_probe(probe.unwrap());
    // The retransmitted packets have arrived, so they count as lost no more.
    wait_for(&publisher, |stats| {
        let lost: i32 = stream(stats, "video").get("packets-lost").unwrap();
        (lost <= 2).then_some(())
    });
}

#[test]
fn filler_limits_and_reconnects_are_told() {
    let stage = stage();
    let fast = AUDIO.replace("opusenc", "opusenc bitrate=256000 bitrate-type=cbr");
    let mut publisher = Publisher::to_stage(&fast, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    assert_eq!(
        stats(&publisher).get::<&str>("video-filler"),
        Ok("inactive")
    );
    wait_for(&publisher, |stats| {
        let limits = stats.get::<&str>("limits").ok()?;
        (limits == "audio-bit-rate").then_some(())
    });
    let before = stream(&stats(&publisher), "audio")
        .get::<u64>("packets")
        .unwrap();
    stage.close_sessions();
    publisher.wait_state("retrying");
    assert!(!stats(&publisher).has_field("publishing-time"));
    publisher.wait_state("publishing");
    let stats = stats(&publisher);
    assert_eq!(stats.get::<u32>("reconnects"), Ok(1));
    let after = stream(&stats, "audio").get::<u64>("packets").unwrap();
    assert!(after >= before, "counts go on: {before}, then {after}");
}

#[test]
fn reading_does_not_wait_and_does_no_harm_in_any_state() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let whip = publisher.whip.clone();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let reader = std::thread::spawn(move || {
        let mut longest = Duration::ZERO;
        while stopped.try_recv() != Err(std::sync::mpsc::TryRecvError::Disconnected) {
            let began = Instant::now();
            whip.property::<gst::Structure>("stats");
            longest = longest.max(began.elapsed());
            std::thread::yield_now();
        }
        longest
    });
    for _ in 0..3 {
        publisher.play();
        publisher.wait_state("publishing");
        stage.close_sessions();
        publisher.wait_state("retrying");
        publisher.wait_state("publishing");
        publisher.stop();
    }
    drop(stop);
    let longest = reader.join().unwrap();
    assert!(longest < Duration::from_secs(1), "{longest:?}");
}
