//! Failures on demand: a stopped server, a lost network, cut replies,
//! throttling, a restart.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::Read;
use std::time::{Duration, Instant};

use common::{BOUND, Publisher, delete, exchange, offer, parse, post, regional, send};
use ivs_stage::{DeleteRule, Happening, KeySource, Kind, Rate, Rules, Stage};

fn stage(rules: Rules) -> Stage {
    Stage::start(rules).unwrap()
}

fn audio(stage: &Stage) -> u64 {
    stage.sessions()[0].packets(Kind::Audio)
}

#[test]
fn a_frozen_stage_takes_connections_and_answers_when_it_thaws() {
    let stage = stage(Rules::default());
    stage.freeze();
    stage.freeze();
    let mut stream = send("GET", &regional(&stage), &[], "");
    let short = Some(Duration::from_millis(100));
    stream.set_read_timeout(short).unwrap();
    assert!(stream.read(&mut [0; 1]).is_err());
    stage.thaw();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(parse(&reply).status, 204);
    stage.thaw();
    stage.freeze();
    // The drop must not wait for a thaw.
}

#[test]
fn a_frozen_stage_reads_its_media_later() {
    let stage = stage(Rules::default());
    let mut publisher = Publisher::new();
    let _session = publisher.publish(&stage, &stage.token());
    publisher.send_audio(5, &[]);
    assert!(publisher.run_while_waiting(|_| audio(&stage) == 5));

    stage.freeze();
    (5..10).for_each(|number| publisher.send_audio_packet(number));
    assert!(publisher.run_while_waiting(|publisher| publisher.sent == 10));
    assert_eq!(audio(&stage), 5);
    stage.thaw();
    assert!(publisher.run_while_waiting(|_| audio(&stage) == 10));
}

#[test]
fn media_can_be_lost_while_http_works() {
    let stage = stage(Rules::default());
    let token = stage.token();
    let mut publisher = Publisher::new();
    let session = publisher.publish(&stage, &token);
    publisher.send_audio(5, &[]);
    assert!(publisher.run_while_waiting(|_| audio(&stage) == 5));

    stage.drop_media();
    (5..10).for_each(|number| publisher.send_audio_packet(number));
    assert!(publisher.run_while_waiting(|publisher| publisher.sent == 10));
    // The stage reads the datagrams before it answers this.
    assert_eq!(post(&regional(&stage), &token, &offer()).status, 201);
    assert_eq!(audio(&stage), 5);

    stage.restore_media();
    (10..12).for_each(|number| publisher.send_audio_packet(number));
    assert!(publisher.run_while_waiting(|_| audio(&stage) >= 7));
    assert_eq!(stage.sessions()[0].section(Kind::Audio).unwrap().lost, 5);
    assert_eq!(delete(&session, &token).status, 200);
}

#[test]
fn an_answer_can_be_cut() {
    let stage = stage(Rules {
        cut_answers: 1,
        ..Rules::default()
    });
    let (url, token) = (regional(&stage), stage.token());
    let cut = post(&url, &token, &offer());
    assert_eq!(cut.status, 201);
    let length: usize = cut.header("content-length").unwrap().parse().unwrap();
    assert!(cut.body.len() * 2 == length || cut.body.len() * 2 + 1 == length);
    assert_eq!(stage.live_sessions(), 1);

    let whole = post(&url, &token, &offer());
    assert_eq!(
        whole.header("content-length").unwrap(),
        whole.body.len().to_string()
    );
}

#[test]
fn a_delete_can_stay_unanswered_or_be_cut() {
    let silent = stage(Rules {
        delete: DeleteRule::NoAnswer,
        ..Rules::default()
    });
    let token = silent.token();
    let reply = post(&regional(&silent), &token, &offer());
    let session = reply.header("location").unwrap();
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", authorization.as_str())];
    let bound = Duration::from_millis(100);
    assert!(exchange("DELETE", session, &headers, "", bound).is_err());
    assert!(common::happened(&silent, |what| {
        matches!(
            what,
            Happening::Delete {
                session: Some(1),
                status: 0,
                ..
            }
        )
    }));
    assert_eq!(silent.live_sessions(), 1);

    let dropping = stage(Rules {
        delete: DeleteRule::Dropped,
        ..Rules::default()
    });
    let reply = post(&regional(&dropping), &dropping.token(), &offer());
    let session = reply.header("location").unwrap();
    assert_eq!(exchange("DELETE", session, &[], "", BOUND).unwrap(), "");
}

#[test]
fn posts_over_the_rate_are_throttled_for_a_while() {
    let stage = stage(Rules {
        rate: Some(Rate {
            posts: 2,
            within: Duration::from_secs(1),
        }),
        ..Rules::default()
    });
    let (url, token, offer) = (regional(&stage), stage.token(), offer());
    assert_eq!(post(&url, &token, "").status, 400);
    assert_eq!(post(&url, &token, "").status, 400);
    let throttled = post(&url, &token, &offer);
    assert_eq!(
        (throttled.status, throttled.header("retry-after")),
        (429, Some("1"))
    );
    assert!(throttled.body.contains(r#""code":2013"#));
    let end = Instant::now() + BOUND;
    while post(&url, &token, &offer).status != 201 {
        assert!(Instant::now() < end);
    }
}

#[test]
fn a_stage_restarts_on_the_same_ports_at_once() {
    let name = format!("ivs-stage-place-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let hosts = |stage: &Stage| match &stage.events()[0].what {
        Happening::Listening { hosts, .. } => hosts.clone(),
        other => panic!("{other:?}"),
    };
    let first = stage(Rules {
        hops: 2,
        key: KeySource::File(path.clone()),
        ..Rules::default()
    });
    let (token, taken, rules) = (first.token(), hosts(&first), first.rules());
    for host in &taken {
        // The stage closes first, so its end is left in TIME_WAIT.
        post(&format!("http://{host}/"), &token, &offer());
    }
    let session = post(&regional(&first), &token, &offer());
    drop(first);

    let second = stage(rules);
    assert_eq!(hosts(&second), taken);
    assert_eq!(post(&regional(&second), &token, &offer()).status, 201);
    assert_eq!(
        delete(session.header("location").unwrap(), &token).status,
        404
    );
    std::fs::remove_file(path).unwrap();
}
