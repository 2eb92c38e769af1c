//! What the element says of latency, and that no latency of a pipeline holds media.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Kind, SessionReport, Stage};

use crate::harness::{BOUND, Publisher, stage};

const AUDIO: &str = "audiotestsrc is-live=true ! opusenc ! rtpopuspay name=pay ! whip.";

#[test]
fn a_live_pipeline_is_told_that_the_sink_is_live() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let mut query = gst::query::Latency::new();
    assert!(publisher.whip.query(&mut query));
    let (is_live, min, _) = query.result();
    assert!(is_live);
    // opusenc's frame.
    assert!(min >= gst::ClockTime::from_mseconds(20), "{min}");
    assert!(publisher.pipeline.query(&mut query));
    assert!(query.result().0);
}

#[test]
fn a_pipeline_that_is_not_live_is_told_so() {
    let stage = stage();
    let launch = AUDIO.replace("is-live=true", "");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let mut query = gst::query::Latency::new();
    assert!(publisher.whip.query(&mut query));
    assert!(!query.result().0);
}

/// When each RTP packet passed a pad, by the time of its media.
#[derive(Clone, Default)]
struct Passed(Arc<Mutex<HashMap<gst::ClockTime, Instant>>>);

impl Passed {
    fn watch(&self, pad: &gst::Pad) {
        let passed = self.0.clone();
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        pad.add_probe(mask, move |_, info| {
            let note = |buffer: &gst::BufferRef| {
                let bytes = buffer.map_readable().unwrap();
                // RTCP has packet types from 192 to 223 in the second byte (RFC 5761 4).
                if let [_, kind, ..] = bytes[..]
                    && !(192..=223).contains(&kind)
                    && let Some(time) = buffer.pts()
                {
                    passed
                        .lock()
                        .unwrap()
                        .entry(time)
                        .or_insert_with(Instant::now);
                }
            };
            match &info.data {
                Some(gst::PadProbeData::Buffer(buffer)) => note(buffer),
                Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(note),
                _ => {}
            }
            gst::PadProbeReturn::Ok
        });
    }
}

/// Publishes, and returns the median of the times from the payloader to the socket.
fn time_within(stage: &Stage, publisher: &mut Publisher) -> Duration {
    let (before, after) = (Passed::default(), Passed::default());
    let payloader = publisher.pipeline.by_name("pay").unwrap();
    before.watch(&payloader.static_pad("src").unwrap());
    publisher.play();
    publisher.wait_state("publishing");
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let sink = bin.iterate_all_by_element_factory_name("nicesink");
    let sink = sink.into_iter().flatten().next().unwrap();
    after.watch(&sink.static_pad("sink").unwrap());
    let enough =
        |reports: &[SessionReport]| (reports.first()?.packets(Kind::Audio) > 100).then_some(());
    stage.wait_for_sessions(BOUND, enough).expect("packets");
    let before = before.0.lock().unwrap();
    let mut took: Vec<Duration> = after
        .0
        .lock()
        .unwrap()
        .iter()
        .filter_map(|(time, left)| left.checked_duration_since(*before.get(time)?))
        .collect();
    took.sort_unstable();
    assert!(took.len() > 20, "{took:?}");
    took[took.len() / 2]
}

#[test]
fn a_latency_of_the_pipeline_holds_no_packet() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher
        .pipeline
        .set_latency(gst::ClockTime::from_seconds(1));
    let median = time_within(&stage, &mut publisher);
    assert!(median < Duration::from_millis(5), "{median:?}");
}

/// As behind a jitter buffer for a bad network, whose media are on time all the same.
#[test]
fn a_latency_of_the_source_holds_no_packet() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let payloader = publisher.pipeline.by_name("pay").unwrap();
    let source = payloader.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::QUERY_UPSTREAM, |_, info| {
        let query = info.query_mut().map(gst::QueryRef::view_mut);
        let Some(gst::QueryViewMut::Latency(query)) = query else {
            return gst::PadProbeReturn::Ok;
        };
        query.set(true, gst::ClockTime::from_seconds(60), None);
        gst::PadProbeReturn::Handled
    });
    let median = time_within(&stage, &mut publisher);
    assert!(median < Duration::from_millis(5), "{median:?}");
}
