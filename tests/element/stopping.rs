//! A stop at any moment is quick and leaves nothing on the stage.

use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use gst::glib;
use gst::prelude::*;
use ivs_stage::{Happening, Rules, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, stage};

const QUICK: Duration = Duration::from_secs(1);

/// Limit for a stop that waits for a late answer and its DELETE.
const UNDER_WAY: Duration = Duration::from_secs(4);

fn slow_stage() -> Stage {
    let rules = Rules {
        answer_delay: Duration::from_millis(1_500),
        ..Rules::default()
    };
    Stage::start(rules).unwrap()
}

/// Waits until all sessions that the stage made are deleted.
fn assert_empty(stage: &Stage) {
    let made = |happened: &[ivs_stage::Event]| {
        let count =
            |is: fn(&Happening) -> bool| happened.iter().filter(|event| is(&event.what)).count();
        let created = count(|what| matches!(what, Happening::Created { .. }));
        let ended = count(|what| matches!(what, Happening::Delete { status: 200, .. }));
        (created == ended && stage.live_sessions() == 0).then_some(())
    };
    stage.wait_for(BOUND, made).expect("every session deleted");
}

#[test]
fn while_publishing() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let took = publisher.stop();
    assert!(took < QUICK, "{took:?}");
    assert_eq!(stage.live_sessions(), 0, "deleted when the stop returns");
}

#[test]
fn straight_after_the_start() {
    let stage = stage();
    let publisher = Publisher::to_stage(AUDIO, &stage);
    for _ in 0..10 {
        publisher.play();
        let took = publisher.stop();
        assert!(took < QUICK, "{took:?}");
    }
    assert_empty(&stage);
}

#[test]
fn at_many_moments_of_the_connect() {
    let stage = stage();
    for delay in (0..300).step_by(20) {
        let publisher = Publisher::to_stage(AUDIO, &stage);
        publisher.play();
        // A real sleep, because the test is about the moment of the stop.
        std::thread::sleep(Duration::from_millis(delay));
        let took = publisher.stop();
        assert!(took < QUICK, "{took:?} after {delay} ms");
    }
    assert_empty(&stage);
}

#[test]
fn before_the_answer_waits_for_it_and_deletes_its_session() {
    let stage = slow_stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    let offered = |events: &[ivs_stage::Event]| {
        events
            .iter()
            .any(|event| matches!(event.what, Happening::Offer { .. }))
            .then_some(())
    };
    publisher.wait_state("connecting");
    stage.wait_for(BOUND, offered).expect("an offer");
    let took = publisher.stop();
    assert!(took < UNDER_WAY, "{took:?}");
    assert_eq!(stage.live_sessions(), 0, "deleted when the stop returns");
    assert_empty(&stage);
}

#[test]
fn in_paused_where_nothing_is_posted_yet() {
    let stage = stage();
    // A live source sends no caps before PLAYING.
    let launch = AUDIO.replace("is-live=true", "");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.pipeline.set_state(gst::State::Paused).unwrap();
    publisher.wait_state("waiting");
    let (changed, ..) = publisher.pipeline.state(gst::ClockTime::from_seconds(5));
    changed.unwrap();
    let took = publisher.stop();
    assert!(took < QUICK, "{took:?}");
    assert!(stage.sessions().is_empty());

    publisher.pipeline.set_state(gst::State::Paused).unwrap();
    publisher.play();
    publisher.wait_state("publishing");
}

#[test]
fn from_an_applications_own_async_runtime() {
    let stage = stage();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut publisher = Publisher::to_stage(AUDIO, &stage);
        publisher.play();
        publisher.wait_state("publishing");
        assert!(publisher.stop() < QUICK);
    });
    assert_empty(&stage);
}

#[test]
fn from_within_a_message_of_the_session() {
    let stage = stage();
    let publisher = Publisher::to_stage(AUDIO, &stage);
    let (sender, stopped) = channel();
    let pipeline = publisher.pipeline.clone();
    publisher
        .pipeline
        .bus()
        .unwrap()
        .set_sync_handler(move |_, message| {
            let is_publishing = message.structure().is_some_and(|structure| {
                structure.name() == "ivswhipsink-session-state"
                    && structure.get::<&str>("state") == Ok("publishing")
            });
            if is_publishing {
                let before = std::time::Instant::now();
                pipeline.set_state(gst::State::Null).unwrap();
                sender.send(before.elapsed()).unwrap();
            }
            gst::BusSyncReply::Drop
        });
    publisher.play();
    let took = stopped.recv_timeout(BOUND).expect("a stop that returns");
    assert!(took < QUICK, "{took:?}");
    assert_empty(&stage);
}

#[test]
fn last_pad_released_while_publishing() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let pad = publisher.whip.static_pad("sink_0").unwrap();
    let source = pad.peer().unwrap();
    let whip = publisher.whip.clone();
    let (sender, released) = channel();
    source.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, move |source, _| {
        let _ = source.unlink(&pad);
        whip.release_request_pad(&pad);
        let _ = sender.send(());
        gst::PadProbeReturn::Ok
    });
    released.recv_timeout(BOUND).unwrap();
    assert_empty(&stage);
    publisher.wait_state("waiting");
}

/// Takes longer to drop than the first timer of the handshake runs.
struct Slow(Sender<()>);

impl Drop for Slow {
    fn drop(&mut self) {
        std::thread::sleep(Duration::from_millis(1_500));
        let _ = self.0.send(());
    }
}

/// GStreamer before 1.28.2 crashes if a timer of the handshake fires while dtlsdec is freed.
#[test]
fn while_a_timer_of_the_handshake_runs() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let (sender, freed) = channel();
    let signals = gst::Bus::new();
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    bin.connect_deep_element_added(move |_, _, element| {
        let factory = element.factory();
        if factory.is_some_and(|factory| factory.name() == "dtlsdec") {
            // Freed in the middle of what GObject frees with a dtlsdec.
            let slow = Slow(sender.clone());
            let closure = glib::RustClosure::new(move |_| {
                let _ = &slow;
                None
            });
            element.watch_closure(&closure);
            signals.connect_closure("message", false, closure);
        }
    });
    publisher.play();
    publisher.wait_state("publishing");
    // Its messages keep a dtlsdec.
    drop(publisher);
    freed.recv_timeout(BOUND).expect("dtlsdec is freed");
}
