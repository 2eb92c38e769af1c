//! What the rules on video and silence demand of a section without media.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{BOUND, Publisher, offer, post, regional, session_is};
use ivs_stage::{Ending, Kind, Rules, SilenceRule, Stage, VideoRule};
use str0m::Event;
use str0m::media::Direction;

/// Long enough for a first packet, short enough for a test.
const WITHIN: Duration = Duration::from_millis(800);

const NO_SESSION: &str = r#"{"code":2001,"message":"failed to create publisher session"}"#;

fn stage(video: VideoRule) -> Stage {
    let rules = Rules {
        video,
        ..Rules::default()
    };
    Stage::start(rules).unwrap()
}

fn is_refused(stage: &Stage, offer: &str) {
    let reply = post(&regional(stage), &stage.token(), offer);
    assert_eq!((reply.status, reply.body.as_str()), (400, NO_SESSION));
}

#[test]
fn the_first_sending_offers_are_refused() {
    let stage = stage(VideoRule::RefuseSilentBefore(2));
    let sending = offer().replace("a=inactive", "a=sendonly");
    is_refused(&stage, &sending);
    is_refused(&stage, &offer());
    is_refused(&stage, &sending);
    assert_eq!(
        post(&regional(&stage), &stage.token(), &sending).status,
        201
    );
    is_refused(&stage, &offer());
}

#[test]
fn a_silent_section_ends_the_session_where_frames_are_needed() {
    let stage = stage(VideoRule::NeedsFrames { within: WITHIN });
    is_refused(&stage, &offer());
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let token = stage.token();
    let session = publisher.publish(&stage, &token);
    publisher.send_audio(2, &[]);
    assert!(publisher.run_until(BOUND, |event| matches!(event, Event::Closed)));
    assert!(session_is(&stage, |report| report.ended == Some(Ending::Silent)));
    assert_eq!(common::delete(&session, &token).status, 404);
}

#[test]
fn one_picture_is_enough() {
    let stage = stage(VideoRule::NeedsFrames { within: WITHIN });
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let _session = publisher.publish(&stage, &stage.token());
    publisher.send_picture(0);
    let seen = |_: &Publisher| stage.sessions()[0].packets(Kind::Video) > 0;
    assert!(publisher.run_while_waiting(seen));
    publisher.run_until(WITHIN, |_| false);
    assert_eq!(stage.live_sessions(), 1);
    let report = stage.sessions().remove(0);
    assert_eq!(report.section(Kind::Video).unwrap().key_frames, 1);
}

#[test]
fn a_rule_can_demand_media_in_every_section() {
    let stage = Stage::start(Rules {
        silence: SilenceRule::AnySection { within: WITHIN },
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::new();
    let _session = publisher.publish(&stage, &stage.token());
    publisher.send_audio(2, &[]);
    assert!(publisher.run_until(BOUND, |event| matches!(event, Event::Closed)));
    assert!(session_is(&stage, |report| report.ended == Some(Ending::Silent)));
}

#[test]
fn a_rule_can_accept_offers_without_video() {
    let stage = stage(VideoRule::NotNeeded);
    let audio_only = offer().split("m=video").next().unwrap().to_owned();
    let audio_only = audio_only.replace("BUNDLE 0 1", "BUNDLE 0");
    let reply = post(&regional(&stage), &stage.token(), &audio_only);
    assert_eq!(reply.status, 201, "{}", reply.body);
}
