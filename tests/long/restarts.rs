//! A stage that is killed repeatedly: the publisher must return in time, and the
//! rest of its pipeline must not notice.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::alone::{alone, show};
use crate::far_end::FarEnd;
use crate::publisher::{PATIENCE, Publisher, since_playing};

const ROUNDS: usize = 10;
/// From this round on sessions live long enough to reset the back-off; before,
/// it grows.
const LONG_LIVED_FROM: usize = 6;
const GOOD_SESSION_SECONDS: f64 = 11.0;
/// Long enough to receive something from the far end. After two sessions in a
/// row without that, silence would no longer count as a loss.
const SHORT_SESSION_SECONDS: f64 = 3.0;

const RECORDED: &str = "audiotestsrc name=source is-live=true samplesperbuffer=480 \
     ! audio/x-raw,rate=48000 ! opusenc frame-size=10 ! rtpopuspay name=audio-pay \
     ! tee name=t t. ! queue ! whip. \
     t. ! queue ! fakesink name=recording sync=false async=false ";

#[test]
#[ignore = "slow: make test-long"]
fn ten_restarts_are_survived_and_the_recording_is_whole() {
    alone(
        "restarts::ten_restarts_are_survived_and_the_recording_is_whole",
        || {
            let mut far_end = FarEnd::start();
            let publisher = Publisher::to(&far_end, RECORDED);
            publisher.whip().set_property("silence-timeout", 1u32);
            let made = Flow::at(&publisher, "source", "src");
            let recorded = Flow::at(&publisher, "recording", "sink");
            publisher.play();
            publisher.wait_state("publishing");
            for round in 1..=ROUNDS {
                let lived = if round < LONG_LIVED_FROM {
                    SHORT_SESSION_SECONDS
                } else {
                    GOOD_SESSION_SECONDS
                };
                far_end.wait("media", |counts| {
                    counts.playing.values().any(|seconds| *seconds >= lived)
                });
                restart(&publisher, &mut far_end, round);
            }
            end_stream(&publisher);
            publisher.stop();
            let (made, recorded) = (made.buffers(), recorded.buffers_and_gap());
            show(&format!(
                "{} of {made} buffers recorded, at most {:?} apart",
                recorded.0, recorded.1
            ));
            // One packet per buffer, and perhaps a last one when opusenc drains.
            assert!((made..=made + 1).contains(&recorded.0));
            assert!(recorded.1 < Duration::from_millis(500));
        },
    );
}

/// Kills the stage, restarts it once the publisher has noticed, and waits for
/// the publisher.
fn restart(publisher: &Publisher, far_end: &mut FarEnd, round: usize) {
    far_end.kill();
    let killed = Instant::now();
    let mut wait = publisher.wait("retry", retry_wait);
    let (noticed, mut since) = (killed.elapsed(), Instant::now());
    far_end.restart();
    let back = Instant::now();
    let came = publisher.wait_for(PATIENCE, "publishing", |message| {
        if let Some(next) = retry_wait(message) {
            (wait, since) = (next, Instant::now());
        }
        since_playing(message, "publishing").map(|_| Instant::now())
    });
    // An attempt that began before the stage was back may still fail.
    let took = came.duration_since(back.max(since));
    show(&format!(
        "round {round}: noticed after {noticed:.2?}, back-off {wait:.2?}, \
         on air {took:.2?} after the stage was back"
    ));
    assert!(took < wait + Duration::from_secs(1), "round {round}");
}

fn retry_wait(message: &gst::Message) -> Option<Duration> {
    let structure = message.structure()?;
    let is_retry = structure.name() == "ivswhipsink-retry";
    is_retry.then(|| {
        let wait = structure.get::<gst::ClockTime>("wait").unwrap();
        wait.into()
    })
}

fn end_stream(publisher: &Publisher) {
    let source = publisher.pipeline().by_name("source").unwrap();
    assert!(source.send_event(gst::event::Eos::new()));
    publisher.wait("end of stream", |message| {
        matches!(message.view(), gst::MessageView::Eos(_)).then_some(())
    });
}

/// Counts the buffers that pass a pad, and measures the longest gap between two.
struct Flow {
    buffers: Arc<AtomicU64>,
    gaps: Arc<Mutex<(Option<Instant>, Duration)>>,
}

impl Flow {
    fn at(publisher: &Publisher, element: &str, pad: &str) -> Self {
        let flow = Self {
            buffers: Arc::default(),
            gaps: Arc::default(),
        };
        let (buffers, gaps) = (flow.buffers.clone(), flow.gaps.clone());
        let element = publisher.pipeline().by_name(element).unwrap();
        let pad = element.static_pad(pad).unwrap();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            buffers.fetch_add(1, Ordering::SeqCst);
            let mut gaps = gaps.lock().unwrap();
            let now = Instant::now();
            if let Some(last) = gaps.0.replace(now) {
                gaps.1 = gaps.1.max(now - last);
            }
            gst::PadProbeReturn::Ok
        });
        flow
    }

    fn buffers(&self) -> u64 {
        self.buffers.load(Ordering::SeqCst)
    }

    fn buffers_and_gap(&self) -> (u64, Duration) {
        (self.buffers(), self.gaps.lock().unwrap().1)
    }
}
