//! The participant token: its claims, and where a newer one comes from.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use gst::prelude::*;
use ivs_stage::{Lifetime, Refusal, Rules, Stage, TokenWish};

use crate::harness::{AUDIO, BOUND, Publisher, stage};

fn expired(stage: &Stage) -> String {
    let lifetime = Lifetime::ExpiredSince(Duration::from_secs(2 * 3600));
    stage
        .mint(TokenWish {
            lifetime,
            ..TokenWish::default()
        })
        .unwrap()
}

/// Answers the signal `request-token`, and counts how often it is emitted.
fn answer_with(publisher: &Publisher, token: Option<String>) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    publisher.whip.connect("request-token", false, move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Some(token.to_value())
    });
    asked
}

#[test]
fn an_expired_one_is_an_error_before_any_request() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("auth-token", expired(&stage));
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::NotAuthorized), "{error:?}");
    assert!(error.text().contains("expired 2 h"), "{}", error.text());
    assert!(stage.sessions().is_empty());
}

#[test]
fn one_that_does_not_allow_publishing_is_an_error_before_any_request() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let wish = TokenWish {
        allow_publish: false,
        ..TokenWish::default()
    };
    publisher
        .whip
        .set_property("auth-token", stage.mint(wish).unwrap());
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::NotAuthorized), "{error:?}");
    assert!(
        error.text().contains("PUBLISH capability"),
        "{}",
        error.text()
    );
    assert!(stage.sessions().is_empty());
}

#[test]
fn one_that_ends_soon_is_a_warning() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let wish = TokenWish {
        lifetime: Lifetime::For(Duration::from_secs(120)),
        ..TokenWish::default()
    };
    publisher
        .whip
        .set_property("auth-token", stage.mint(wish).unwrap());
    publisher.play();
    assert!(publisher.wait_warning().contains("expires in"));
    publisher.wait_state("publishing");
}

#[test]
fn what_it_says_can_be_read() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let text = |name| publisher.whip.property::<Option<String>>(name);
    assert_eq!(
        text("participant-id"),
        Some(stage.sessions()[0].participant.clone())
    );
    assert!(text("stage-arn").unwrap().starts_with("arn:aws:ivs:"));
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let left = publisher.whip.property::<i64>("token-expiry") - now as i64;
    assert!((3_500..=3_600).contains(&left), "{left} s left");
}

#[test]
fn an_application_is_asked_for_another_before_an_expired_one_is_used() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("auth-token", expired(&stage));
    let asked = answer_with(&publisher, Some(stage.token()));
    publisher.play();
    publisher.wait_state("publishing");
    assert_eq!(
        (asked.load(Ordering::SeqCst), stage.sessions().len()),
        (1, 1)
    );
}

#[test]
fn an_application_is_asked_for_another_when_the_server_calls_it_expired() {
    let refusals = vec![Refusal::ivs(400, 2002, "token expired")];
    let stage = Stage::start(Rules {
        refusals,
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let asked = answer_with(&publisher, Some(stage.token()));
    publisher.play();
    publisher.wait_state("publishing");
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn an_application_without_another_gets_the_error() {
    let refusals = vec![Refusal::ivs(400, 2002, "token expired"); 3];
    let stage = Stage::start(Rules {
        refusals,
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    let asked = answer_with(&publisher, None);
    publisher.play();
    let error = publisher.wait_error();
    assert_eq!(error.detail::<u32>("ivs-code"), Some(2002));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_handler_that_takes_long_holds_up_neither_the_state_nor_the_end() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("auth-token", expired(&stage));
    let (tell_asked, asked) = channel();
    let (release, released) = channel::<()>();
    let released = Mutex::new(released);
    publisher.whip.connect("request-token", false, move |_| {
        tell_asked.send(()).unwrap();
        // Ends when the test drops the other half, also if it fails.
        let _ = released.lock().unwrap().recv();
        Some(None::<String>.to_value())
    });
    publisher.play();
    asked.recv_timeout(BOUND).unwrap();
    assert!(publisher.pipeline.send_event(gst::event::Eos::new()));
    publisher.wait_eos();
    assert_eq!(publisher.session_state(), "ended");
    drop(release);
}

#[test]
fn an_application_is_asked_for_the_first_one_too() {
    // The endpoint is the default, one of IVS. Nothing is sent without a token.
    let mut publisher = Publisher::new(AUDIO);
    let asked = answer_with(&publisher, None);
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::Settings), "{error:?}");
    assert!(error.text().contains("needs a participant token"));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}
