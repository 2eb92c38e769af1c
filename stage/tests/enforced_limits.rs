//! The limits of IVS, where the rules end a session by them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{BOUND, Publisher, offer, post, regional, session_is};
use ivs_stage::{Ending, Limits, MediaLimits, Rate, Rules, Stage, TokenReuse};
use str0m::Event;
use str0m::media::Direction;

fn enforced() -> Stage {
    Stage::start(Rules {
        media_limits: MediaLimits::Enforced,
        ..Rules::default()
    })
    .unwrap()
}

/// Sends a frame with these payloads every 20 ms until the stage ends the
/// session or the time is over; returns the ending.
fn ending(stage: &Stage, bound: Duration, payloads: &[&[u8]]) -> Option<Ending> {
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    publisher.publish(stage, &stage.token());
    let end = Instant::now() + bound;
    let mut sent = 0;
    for frame in 0.. {
        if Instant::now() > end || stage.sessions()[0].ended.is_some() {
            break;
        }
        for payload in payloads {
            publisher.send_payload(sent, frame * 1800, payload);
            sent += 1;
        }
        publisher.run_until(Duration::from_millis(20), |_| false);
    }
    let ended = stage.sessions()[0].ended;
    if ended.is_some() {
        assert!(publisher.run_while_waiting(|publisher| publisher.closed));
    }
    ended
}

/// A sequence parameter set of 1920×1080, Baseline.
const LARGE: &[u8] = &[
    0x67, 0x42, 0xc0, 0x28, 0xda, 0x01, 0xe0, 0x08, 0x9f, 0x96, 0x10, 0x00, 0x00, 0x03, 0x00, 0x10,
    0x00, 0x00, 0x03, 0x03, 0xc0, 0xf1, 0x83, 0x2a,
];

#[test]
fn more_than_720_lines_end_the_session() {
    let found = ending(&enforced(), BOUND, &[LARGE, &[0x65, 0x88]]);
    assert_eq!(found, Some(Ending::ResolutionExceeded));
}

#[test]
fn b_frames_end_the_session() {
    let key_frame: &[u8] = &[0x78, 0, 2, 0x67, 66, 0, 1, 0x68, 0, 2, 0x65, 0x88];
    let found = ending(&enforced(), BOUND, &[key_frame, &[0x01, 0b1001_1100]]);
    assert_eq!(found, Some(Ending::BFramePresent));
}

#[test]
fn more_than_the_bit_rate_ends_the_session_after_three_seconds() {
    let stage = enforced();
    let start = Instant::now();
    let mut filler = [0; 1100];
    filler[..2].copy_from_slice(&[0x41, 0x9a]);
    let frame = [filler.as_slice(); 40];
    assert_eq!(
        ending(&stage, BOUND * 2, &frame),
        Some(Ending::BitrateExceeded)
    );
    assert!(start.elapsed() > Duration::from_secs(3));
}

#[test]
fn what_is_within_the_limits_or_only_reported_goes_on() {
    let bound = Duration::from_secs(4);
    assert_eq!(ending(&enforced(), bound, &[&[0x65, 0x88]]), None);
    let reported = Stage::start(Rules::default()).unwrap();
    assert_eq!(
        ending(&reported, bound, &[LARGE, &[0x01, 0b1001_1100]]),
        None
    );
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    let stage = Stage::start(Rules {
        publish_time: Some(Duration::from_secs(2)),
        ..Rules::default()
    })
    .unwrap();
    let found = ending(&stage, BOUND, &[&[0x65, 0x88]]);
    assert_eq!(found, Some(Ending::StreamDurationExceeded));
}

#[test]
fn a_token_that_is_used_again_ends_the_older_session() {
    let reuse = |token_reuse| {
        let limits = Limits {
            sessions: 1,
            ..Limits::default()
        };
        let stage = Stage::start(Rules {
            token_reuse,
            limits,
            ..Rules::default()
        });
        let stage = stage.unwrap();
        let token = stage.token();
        let mut older = Publisher::new();
        older.publish(&stage, &token);
        let status = post(&regional(&stage), &token, &offer()).status;
        (stage, older, status)
    };
    let (stage, mut older, status) = reuse(TokenReuse::EndsOlder);
    // Also where the stage is full: the older one makes room.
    assert_eq!(status, 201);
    assert!(session_is(&stage, |report| report.id == 1
        && report.ended == Some(Ending::TokenReused)));
    assert!(older.run_until(BOUND, |event| matches!(event, Event::Closed)));
    assert_eq!(stage.live_sessions(), 1);

    let (stage, _older, status) = reuse(TokenReuse::Allowed);
    assert_eq!((status, stage.live_sessions()), (400, 1));
}

#[test]
fn a_full_stage_and_a_throttled_one_say_so() {
    let limits = Limits {
        sessions: 12,
        ..Limits::default()
    };
    let stage = Stage::start(Rules {
        limits,
        rate: Some(Rate {
            posts: 14,
            within: Duration::from_secs(3600),
        }),
        ..Rules::default()
    })
    .unwrap();
    let replies: Vec<_> = (0..15)
        .map(|_| post(&regional(&stage), &stage.token(), &offer()))
        .collect();
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses[..12], [201; 12]);
    assert_eq!(statuses[12..], [400, 400, 429]);
    assert!(replies[12].body.contains("2005") && replies[14].body.contains("2013"));
    assert!(replies[14].header("retry-after").is_some());
}
