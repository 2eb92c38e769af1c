//! Servers that refuse the POST: what an application and its user are told.

use std::time::{Duration, Instant, SystemTime};

use gstivs::session::{Cause, Ended, ErrorKind, Failure};
use gstivs::whip::{PostError, Refusal};

use crate::common::{Reply, Server};
use crate::publisher::{BOUND, Publisher, config, config_without_token};

/// The failure of a session whose POST gets this reply.
fn failure_at(reply: Reply) -> Failure {
    let server = Server::in_order("127.0.0.1", vec![reply.into()]);
    let (failure, ended) = Publisher::offering(config(&server.url("/whip"))).failed();
    assert_eq!(ended, Ended::NothingToDelete);
    assert!(failure.to_string().contains(&server.origin()), "{failure}");
    failure
}

fn refusal(failure: &Failure) -> &Refusal {
    match &failure.cause {
        Cause::Post {
            error: PostError::Refused(refusal),
            ..
        } => refusal,
        other => panic!("expected a refusal, found {other:?}"),
    }
}

#[test]
fn ivs_code_and_words_are_told() {
    let body = r#"{"code":2003,"message":"token lacks the capability"}"#;
    let failure = failure_at(Reply::new(403).body(body));
    assert_eq!(failure.http_status(), Some(403));
    assert_eq!(failure.ivs_code(), Some(2003));
    assert_eq!(failure.kind(), ErrorKind::NotAuthorized);
    assert!(!failure.is_retryable());
    let text = failure.to_string();
    for part in ["403", "2003", "token lacks the capability", "PUBLISH"] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn without_a_token_that_is_what_is_said() {
    for status in [401, 403] {
        let server = Server::in_order("127.0.0.1", vec![Reply::new(status).into()]);
        let (failure, _) = Publisher::offering(config_without_token(&server.url("/"))).failed();
        let text = failure.to_string();
        assert!(text.contains("there was no token: set"), "{text}");
        let with_one = failure_at(Reply::new(status)).to_string();
        assert!(!with_one.contains("no token"), "{with_one}");
    }
}

#[test]
fn each_status_has_its_kind() {
    for (status, kind, retryable) in [
        (400, ErrorKind::OpenWrite, false),
        (401, ErrorKind::NotAuthorized, false),
        (403, ErrorKind::NotAuthorized, false),
        (404, ErrorKind::NotFound, false),
        (429, ErrorKind::Busy, true),
        (500, ErrorKind::OpenWrite, true),
        (503, ErrorKind::Busy, true),
    ] {
        let failure = failure_at(Reply::new(status).body("its own words"));
        assert_eq!(failure.http_status(), Some(status));
        assert_eq!(failure.ivs_code(), None);
        assert_eq!(failure.kind(), kind, "{status}");
        assert_eq!(failure.is_retryable(), retryable, "{status}");
        let text = failure.to_string();
        assert!(text.contains(&status.to_string()), "{text}");
        assert!(text.contains("its own words"), "{text}");
    }
}

#[test]
fn refusal_without_a_word_still_makes_a_sentence() {
    let text = failure_at(Reply::new(400)).to_string();
    assert!(
        text.contains("(HTTP 400);") && text.ends_with('.'),
        "{text}"
    );
}

#[test]
fn retry_after_is_kept() {
    let failure = failure_at(Reply::new(429).header("Retry-After", "7"));
    let wait = refusal(&failure).retry_after.unwrap();
    assert_eq!(wait.wait(SystemTime::now()), Duration::from_secs(7));
}

#[test]
fn words_that_would_play_with_the_terminal_are_cleaned_and_cut() {
    let words = format!("\u{1b}[2J\u{7}bad\r\noffer {}", "very ".repeat(1000));
    let text = failure_at(Reply::new(400).body(words)).to_string();
    assert!(text.contains("bad offer very"), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(
        text.chars().count() < 500,
        "{} characters",
        text.chars().count()
    );
}

#[test]
fn words_that_are_no_text_are_no_panic() {
    let failure = failure_at(Reply::new(400).body(vec![0xff; 300]));
    assert!(!failure.to_string().contains(char::is_control));
}

#[test]
fn hundred_megabytes_of_words_are_not_read() {
    let start = Instant::now();
    let failure = failure_at(Reply::new(503).body("busy").padded(100 * 1024 * 1024));
    assert!(start.elapsed() < BOUND, "{:?}", start.elapsed());
    assert_eq!(failure.http_status(), Some(503));
    assert!(refusal(&failure).body.len() <= 1024 * 1024);
    assert!(failure.to_string().len() < 1000);
}

#[test]
fn words_that_break_off_are_told_as_far_as_they_came() {
    let failure = failure_at(Reply::new(403).body("half a sen").broken_off());
    assert_eq!(failure.http_status(), Some(403));
    assert!(failure.to_string().contains("half a sen"), "{failure}");
}
