//! The property `stats`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Rules, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, stage};

fn stats(publisher: &Publisher) -> gst::Structure {
    publisher.whip.property("stats")
}

/// A field that has to be there.
fn field<T: for<'a> glib::value::FromValue<'a>>(stats: &gst::Structure, name: &str) -> T {
    let value = stats.value(name).ok();
    let value = value.and_then(|value| value.get::<T>().ok());
    value.unwrap_or_else(|| panic!("{name}: {stats}"))
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
    assert_eq!(stats.n_fields(), 2, "{stats}");
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
    for track in ["audio", "video"] {
        wait_for(&publisher, |stats| {
            let name = |name: &str| format!("{track}-{name}");
            let round_trip: gst::ClockTime = stats.get(name("round-trip-time")).ok()?;
            assert!(round_trip < gst::ClockTime::SECOND, "{stats}");
            field::<gst::ClockTime>(stats, &name("jitter"));
            assert_eq!(field::<i32>(stats, &name("packets-lost")), 0, "{stats}");
            assert_eq!(field::<f64>(stats, &name("fraction-lost")), 0.0, "{stats}");
            Some(())
        });
    }
    let with_pair = wait_for(&publisher, |stats| {
        stats
            .has_field("local-candidate-type")
            .then(|| stats.clone())
    });
    for side in ["local", "remote"] {
        let text = |name: &str| field::<String>(&with_pair, &format!("{side}-candidate-{name}"));
        assert!(
            ["host", "prflx", "peer-reflexive"].contains(&&*text("type")),
            "{with_pair}"
        );
        assert_eq!(text("protocol"), "udp");
        assert!(!text("address").is_empty());
        assert!(field::<u32>(&with_pair, &format!("{side}-candidate-port")) > 0);
    }

    // Rates are measured over some seconds.
    wait_for(&publisher, |stats| {
        let rate: f64 = field(stats, "video-frame-rate");
        let sends = |name| field::<u64>(stats, name) > 1000;
        let send = sends("audio-bit-rate") && sends("video-bit-rate");
        ((25.0..=35.0).contains(&rate) && send).then_some(())
    });

    let stats = stats(&publisher);
    assert_eq!(stats.get::<&str>("session-state"), Ok("publishing"));
    assert!(stats.get::<gst::ClockTime>("publishing-time").unwrap() > gst::ClockTime::ZERO);
    assert_eq!(stats.get::<u64>("retransmissions"), Ok(0));
    assert!(stats.get::<u64>("key-frame-requests").is_ok());
    assert!(!stats.has_field("video-filler"), "{stats}");
    let number = |name: &str| field::<u64>(&stats, name);
    assert!(number("video-frames") > number("video-key-frames"));
    assert!(number("video-key-frames") > 0);
    assert_eq!(field::<u32>(&stats, "video-width"), 320);
    assert_eq!(field::<u32>(&stats, "video-height"), 240);
    for (bytes, packets) in [
        ("audio-bytes", "audio-packets"),
        ("video-bytes", "video-packets"),
    ] {
        assert!(number(bytes) > number(packets), "{stats}");
    }
    assert_eq!(stats.get::<&str>("limits"), Ok(""), "{stats}");
}

/// PyGObject frees a nested structure together with the outer one, and reads neither
/// GstValueArray nor GstValueList.
#[test]
fn every_field_has_a_type_that_all_languages_read() {
    const PLAIN: [glib::Type; 7] = [
        glib::Type::BOOL,
        glib::Type::I32,
        glib::Type::U32,
        glib::Type::I64,
        // A GstClockTime too.
        glib::Type::U64,
        glib::Type::F64,
        glib::Type::STRING,
    ];
    let stage = reporting_stage();
    let mut publisher = Publisher::to_stage(&format!("{VIDEO} {AUDIO}"), &stage);
    publisher.play();
    publisher.wait_state("publishing");
    // The fields that come last.
    for name in [
        "audio-round-trip-time",
        "video-round-trip-time",
        "remote-candidate-port",
    ] {
        wait_for(&publisher, |stats| stats.has_field(name).then_some(()));
    }
    let stats = stats(&publisher);
    for (name, value) in stats.iter() {
        let found = value.type_();
        assert!(PLAIN.contains(&found), "{name}: {found}");
    }
}

#[test]
fn losses_of_the_far_end_are_told() {
    let stage = reporting_stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    wait_for(&publisher, |stats| {
        stats.has_field("audio-packets-lost").then_some(())
    });
    // Dropped after the payloader, so that sequence numbers are missing.
    publisher.lose_packets("audio-pay", 20);
    wait_for(&publisher, |stats| {
        let lost: i32 = field(stats, "audio-packets-lost");
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
    let ssrc = wait_for(&publisher, |stats| stats.get::<u32>("video-ssrc").ok());
    let count = AtomicU64::new(0);
    let mask = gst::PadProbeType::BUFFER;
    let pad = way_out.static_pad("sink").unwrap();
    let probe = pad.add_probe(mask, move |_, info| {
        let packet = info.buffer().unwrap().map_readable().unwrap();
        // Not the answers, of which the stage asks for few: they have another SSRC.
        let is_video = packet.get(8..12) == Some(&ssrc.to_be_bytes());
        match is_video && count.fetch_add(1, Ordering::SeqCst) % 10 == 9 {
            true => gst::PadProbeReturn::Handled,
            false => gst::PadProbeReturn::Ok,
        }
    });
    wait_for(&publisher, |stats| {
        let again: u64 = stats.get("retransmissions").unwrap();
        (again >= 10).then_some(())
    });
    pad.remove_probe(probe.unwrap());
    // The retransmitted packets have arrived, so they count as lost no more.
    wait_for(&publisher, |stats| {
        let lost: i32 = field(stats, "video-packets-lost");
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
    let before: u64 = field(&stats(&publisher), "audio-packets");
    stage.close_sessions();
    publisher.wait_state("retrying");
    assert!(!stats(&publisher).has_field("publishing-time"));
    publisher.wait_state("publishing");
    let stats = stats(&publisher);
    assert_eq!(stats.get::<u32>("reconnects"), Ok(1));
    let after: u64 = field(&stats, "audio-packets");
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
