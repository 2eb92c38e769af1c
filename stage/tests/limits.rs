//! What the stage keeps, computes and holds open for its clients has a bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{BOUND, offer, post, regional, request};
use ivs_stage::{Happening, Rules, Stage};

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

fn connect(stage: &Stage) -> TcpStream {
    let stream = TcpStream::connect(stage.regional_host()).unwrap();
    stream.set_read_timeout(Some(BOUND)).unwrap();
    stream
}

/// What arrives until the stage closes the connection.
fn rest(mut stream: TcpStream) -> String {
    let mut rest = String::new();
    stream.read_to_string(&mut rest).unwrap();
    rest
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
