//! A pipeline that stays in PLAYING leaks nothing when its sessions change.

use gst::prelude::*;

use crate::alone::{alone_with_little_kept, show};
use crate::far_end::FarEnd;
use crate::process_usage::{GROWTH, Usage};
use crate::publisher::{PATIENCE, Publisher, since_playing};

const RECONNECTS: usize = 100;
const LOSSES: usize = 5;
const WARM: usize = 10;

/// Released and linked again, which makes another session.
const AUDIO: &str = "audiotestsrc is-live=true ! opusenc ! rtpopuspay name=audio-pay \
     ! queue name=queue leaky=downstream ! whip. ";

#[test]
#[ignore = "slow: make test-long"]
fn a_hundred_reconnects_leave_nothing() {
    alone_with_little_kept("reconnects::a_hundred_reconnects_leave_nothing", || {
        let mut far_end = FarEnd::start();
        let publisher = Publisher::to(&far_end, AUDIO);
        // With `auto`, sessions closed so often would lead to another filler mode,
        // which has other threads.
        publisher
            .whip()
            .set_property_from_str("video-filler", "inactive");
        publisher.play();
        await_media(&publisher, &far_end);
        let mut warm = None;
        for number in 1..=RECONNECTS {
            replace(&publisher);
            await_media(&publisher, &far_end);
            if number == WARM {
                warm = Some(Usage::settled());
            }
            if number % 25 == 0 || number == WARM {
                show(&format!("after reconnect {number}: {}", Usage::now()));
            }
        }
        let warm = warm.unwrap();
        let growth = warm.come_back();
        show(&format!("{growth:+} kB after reconnect {RECONNECTS}"));
        assert_eq!(far_end.look(|counts| counts.created), RECONNECTS + 1);
        far_end.wait("DELETE of the old sessions", |counts| {
            counts.deleted == RECONNECTS && counts.ended == RECONNECTS
        });
        for _ in 0..LOSSES {
            far_end.close();
            publisher.wait_state("retrying");
            far_end.restart();
            await_media(&publisher, &far_end);
        }
        let growth = warm.come_back();
        show(&format!("{growth:+} kB after {LOSSES} losses as well"));
        publisher.stop();
        far_end.wait_all_deleted();
        assert!(growth < GROWTH, "{growth} kB more");
    });
}

fn await_media(publisher: &Publisher, far_end: &FarEnd) {
    publisher.wait_for(PATIENCE, "publishing", |message| {
        since_playing(message, "publishing")
    });
    far_end.wait("media of one session", |counts| counts.playing.len() == 1);
    publisher.wait_packets(2);
}

/// Links the source to another pad.
fn replace(publisher: &Publisher) {
    let queue = publisher.pipeline().by_name("queue").unwrap();
    let source = queue.static_pad("src").unwrap();
    let pad = source.peer().unwrap();
    // Nothing is pushed while the source has no peer.
    let block = source.add_probe(gst::PadProbeType::BLOCK_DOWNSTREAM, |_, _| {
        gst::PadProbeReturn::Ok
    });
    source.unlink(&pad).unwrap();
    publisher.whip().release_request_pad(&pad);
    let pad = publisher.whip().request_pad_simple("sink_%u").unwrap();
    source.link(&pad).unwrap();
    source.remove_probe(block.unwrap());
    publisher.wait_state("connecting");
}
