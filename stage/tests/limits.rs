//! What the stage keeps, computes and holds open for its clients has a bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use common::{BOUND, delete, offer, post, regional, request, send};
use ivs_stage::{Happening, Limits, PatchRule, Rules, Stage, TrickleRule};

const NO_SESSION: &str = r#"{"code":2001,"message":"failed to create publisher session"}"#;

#[test]
fn an_offer_beyond_the_limits_is_refused_before_it_is_recorded() {
    let stage = Stage::start(Rules::default()).unwrap();
    let (session, audio) = ("v=0\r\ns=-\r\na=setup:", "m=audio 9 X 0\r\n");
    let long = format!("{session}{}\r\n{}", "x".repeat(2000), audio.repeat(1000));
    let many = offer() + &audio.repeat(100);
    for body in [long, many] {
        let reply = post(&regional(&stage), &stage.token(), &body);
        assert_eq!((reply.status, reply.body.as_str()), (400, NO_SESSION));
    }
    let events = stage.events();
    let offers = events.iter().map(|event| &event.what);
    let offers = offers.filter(|what| matches!(what, Happening::Offer { .. }));
    assert_eq!(offers.count(), 0);
    let text = format!("{events:?}");
    assert!(text.contains("102 sections, more than 16"), "{text}");
}

fn stage(limits: Limits) -> Stage {
    let patch = PatchRule::Trickle(TrickleRule::UNCHECKED);
    let rules = Rules {
        limits,
        patch,
        ..Rules::default()
    };
    Stage::start(rules).unwrap()
}

fn connect(stage: &Stage) -> TcpStream {
    let stream = TcpStream::connect(stage.regional_host()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

/// A connection that has got a reply and stays open.
fn served(stage: &Stage) -> TcpStream {
    let mut stream = connect(stage);
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    stream.write_all(get).unwrap();
    stream.read_exact(&mut [0; 12]).unwrap();
    stream
}

/// What arrives until the stage closes the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    rest
}

const SHORT: Limits = Limits {
    connections: 256,
    sessions: 100,
    viewers: 50,
    request_time: Duration::from_millis(100),
};

#[test]
fn a_connection_without_a_whole_head_is_closed() {
    let stage = stage(SHORT);
    assert_eq!(rest(connect(&stage)), "");
    let mut slow = connect(&stage);
    slow.write_all(b"POST / HTTP/1.1\r\nHost: a\r\n").unwrap();
    assert_eq!(rest(slow), "");
}

#[test]
fn an_idle_connection_is_closed() {
    let stage = stage(SHORT);
    assert!(rest(served(&stage)).ends_with("\r\n\r\n"));
}

#[test]
fn a_body_that_does_not_arrive_is_refused() {
    let stage = stage(SHORT);
    let authorization = format!("Bearer {}", stage.token());
    let session = post(&regional(&stage), &stage.token(), &offer());
    let session = session.header("location").unwrap().to_owned();
    let (sdp, fragment) = ("application/sdp", "application/trickle-ice-sdpfrag");
    for (method, url, kind) in [
        ("POST", regional(&stage), sdp),
        ("PATCH", session, fragment),
    ] {
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Content-Type", kind),
            ("Content-Length", "9"),
        ];
        let reply = rest(common::send_head(method, &url, &headers));
        assert!(reply.starts_with("HTTP/1.1 408"), "{method}: {reply}");
    }
}

#[test]
fn a_client_that_reads_no_reply_is_cut_off() {
    let stage = stage(SHORT);
    let mut stream = connect(&stage);
    stream.set_write_timeout(Some(BOUND)).unwrap();
    let many = "OPTIONS / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1000);
    // Ends with an error when the stage closes the connection.
    let error = std::iter::repeat_with(|| stream.write_all(many.as_bytes()))
        .find_map(Result::err)
        .unwrap();
    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "{error}");
}

#[test]
fn a_connection_above_the_limit_waits_for_another_to_end() {
    let stage = stage(Limits {
        connections: 2,
        ..Limits::default()
    });
    let held = [served(&stage), served(&stage)];
    let mut waiting = send("GET", &stage.endpoint(), &[], "");
    let short = Some(Duration::from_millis(100));
    waiting.set_read_timeout(short).unwrap();
    assert!(waiting.read(&mut [0; 1]).is_err());
    drop(held);
    waiting.set_read_timeout(Some(BOUND)).unwrap();
    assert!(rest(waiting).starts_with("HTTP/1.1 204"));
}

#[test]
fn a_session_above_the_limit_is_refused_with_2005() {
    let stage = stage(Limits {
        sessions: 1,
        ..Limits::default()
    });
    let (url, token) = (regional(&stage), stage.token());
    let first = post(&url, &token, &offer());
    let full = post(&url, &token, &offer());
    assert_eq!(full.status, 400);
    assert_eq!(full.body, r#"{"code":2005,"message":"stage at capacity"}"#);
    assert_eq!(
        delete(first.header("location").unwrap(), &token).status,
        200
    );
    assert_eq!(post(&url, &token, &offer()).status, 201);
}

#[test]
fn a_long_head_or_url_is_refused() {
    let stage = Stage::start(Rules::default()).unwrap();
    let long = "x".repeat(3000);
    let reply = request("POST", &format!("{}{long}", stage.endpoint()), &[], "");
    assert_eq!(reply.status, 414);
    // No byte more, which the stage would leave unread: that resets connections.
    let head = format!("{:x<16384}", "GET / HTTP/1.1\r\nAuthorization: Bearer ");
    let mut stream = connect(&stage);
    stream.write_all(head.as_bytes()).unwrap();
    assert!(rest(stream).starts_with("HTTP/1.1 431"));
    assert_eq!(stage.events().len(), 1);
}
