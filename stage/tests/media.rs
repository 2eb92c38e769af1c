//! A whole session with media over UDP, from POST to DELETE.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{BOUND, Publisher, delete, happened, post, regional, session_is};
use ivs_stage::{Ending, Feedback, Happening, Kind, Rules, Stage};
use str0m::Event;
use str0m::media::Direction;

fn published(stage: &Stage, publisher: &mut Publisher) -> (String, String) {
    let token = stage.token();
    let reply = post(&regional(stage), &token, &publisher.offer);
    assert_eq!(reply.status, 201, "{}", reply.body);
    publisher.accept(&reply.body);
    publisher.connect();
    (reply.header("location").unwrap().to_owned(), token)
}

#[test]
fn audio_beside_inactive_video_is_counted() {
    let stage = Stage::start(Rules::default()).unwrap();
    let mut publisher = Publisher::new();
    let (session, token) = published(&stage, &mut publisher);

    publisher.send_audio(102, &[7, 50]);
    // str0m paces what it sends.
    publisher.run_until(Duration::from_millis(300), |_| false);
    let counted = session_is(&stage, |report| report.packets(Kind::Audio) == 100);
    assert!(counted, "{:?}", stage.sessions());
    let report = &stage.sessions()[0];
    let audio = report.section(Kind::Audio).unwrap();
    assert_eq!((audio.bytes, audio.lost), (8000, 2));
    assert!((audio.seconds - 2.02).abs() < 1e-6, "{}", audio.seconds);
    assert_eq!(report.packets(Kind::Video), 0);
    assert!(report.connected_ms.is_some());

    assert_eq!(stage.live_sessions(), 1);
    assert_eq!(delete(&session, &token).status, 200);
    assert_eq!(stage.live_sessions(), 0);
    assert_eq!(delete(&session, &token).status, 404);
    assert!(happened(&stage, |event| matches!(
        event,
        Happening::Ended { reason: Ending::Deleted, sections, .. } if sections[0].packets == 100
    )));
}

#[test]
fn receiver_reports_flow_back() {
    let stage = Stage::start(Rules {
        report_interval: Some(Duration::from_millis(100)),
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::new();
    let _session = published(&stage, &mut publisher);

    // Without the rule the first one takes 5 s.
    let end = Instant::now() + Duration::from_secs(4);
    let mut reported = false;
    while !reported && Instant::now() < end {
        publisher.send_audio(20, &[]);
        reported = publisher.run_until(Duration::from_millis(200), |event| {
            let raw = event.as_raw_packet();
            raw.is_some_and(|raw| format!("{raw:?}").contains("ReceiverReport"))
        });
    }
    assert!(reported);
}

#[test]
fn a_key_frame_is_asked_for_on_connect() {
    let stage = Stage::start(Rules::default()).unwrap();
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let _session = published(&stage, &mut publisher);
    assert!(publisher.run_until(BOUND, |event| matches!(event, Event::KeyframeRequest(_))));
}

#[test]
fn a_lost_picture_that_is_sent_again_is_no_lost_one() {
    let stage = Stage::start(Rules::default()).unwrap();
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let _session = published(&stage, &mut publisher);
    for number in 0..10 {
        publisher.loses = number == 5;
        publisher.send_frame(number);
    }
    let video = || stage.sessions()[0].section(Kind::Video).unwrap().clone();
    let decodable = || video().frames.map_or(0, |frames| frames.decodable);
    assert!(
        publisher.run_while_waiting(|_| decodable() == 10),
        "{:?}",
        video()
    );
    let video = video();
    assert_eq!((video.packets, video.lost, video.repaired), (10, 0, 1));
    assert!(video.retransmitted_bytes > 20, "{video:?}");
}

#[test]
fn a_picture_that_is_lost_stops_those_after_it() {
    let stage = Stage::start(Rules {
        feedback: Feedback::None,
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let _session = published(&stage, &mut publisher);
    for number in 0..10 {
        publisher.loses = number == 5;
        publisher.send_frame(number);
    }
    let video = || stage.sessions()[0].section(Kind::Video).unwrap().clone();
    assert!(
        publisher.run_while_waiting(|_| video().packets == 9),
        "{:?}",
        video()
    );
    assert_eq!((video().lost, video().repaired), (1, 0));
    assert_eq!(video().frames.unwrap().decodable, 5);
}

#[test]
fn closing_sessions_reaches_the_peer() {
    let stage = Stage::start(Rules::default()).unwrap();
    let mut publisher = Publisher::new();
    let (session, token) = published(&stage, &mut publisher);

    stage.close_sessions();
    assert_eq!(stage.live_sessions(), 0);
    assert!(publisher.run_until(BOUND, |event| matches!(event, Event::Closed)));
    assert_eq!(delete(&session, &token).status, 404);
    assert!(happened(&stage, |event| matches!(
        event,
        Happening::Ended {
            reason: Ending::Closed,
            ..
        }
    )));
}

#[test]
fn a_peer_that_closes_stays_as_a_ghost_until_patience_ends() {
    let patience = Duration::from_millis(600);
    let stage = Stage::start(Rules {
        patience,
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::new();
    let _session = published(&stage, &mut publisher);

    publisher.rtc.close().unwrap();
    publisher.run_until(Duration::from_millis(200), |_| false);
    assert!(happened(&stage, |event| matches!(
        event,
        Happening::PeerLost { .. }
    )));
    assert_eq!(stage.live_sessions(), 1);
    assert!(session_is(&stage, |report| report.ended == Some(Ending::PeerLost)));
}

#[test]
fn a_peer_that_never_connects_is_given_up() {
    let patience = Duration::from_millis(100);
    let stage = Stage::start(Rules {
        patience,
        ..Rules::default()
    })
    .unwrap();
    assert_eq!(
        post(&regional(&stage), &stage.token(), &common::offer()).status,
        201
    );
    assert!(session_is(&stage, |report| report.ended
        == Some(Ending::NeverConnected)));
}

#[test]
fn only_the_last_counts_of_a_session_are_kept() {
    let (follow, followed) = std::sync::mpsc::sync_channel(100);
    let stage = Stage::start(Rules {
        media_interval: Some(Duration::from_millis(10)),
        follow: Some(follow),
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::new();
    let _session = published(&stage, &mut publisher);
    let is_count = |what: &Happening| matches!(what, Happening::Media { .. });
    let mut told = followed.iter().filter(|event| is_count(&event.what));
    assert_eq!(told.by_ref().take(3).count(), 3);
    let kept = stage.events();
    assert_eq!(kept.iter().filter(|event| is_count(&event.what)).count(), 1);
}
