//! What the stage keeps, computes and holds open for its clients has a bound.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{offer, post, regional};
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
