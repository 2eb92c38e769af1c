//! Answers that can't be used. A 2xx makes a session whatever its body is, so
//! the attempt fails and the session is deleted.

use std::time::Duration;

use gstivs::session::{Cause, Config, Ended, Event, Failure, Phase, Warning};
use gstivs::whip::{AnswerError, Deleted, Deviation};

use crate::common::{Reply, Server, answer_for};
use crate::publisher::{Publisher, config, ended, names, warnings};

/// The failure of a session whose POST gets this reply. Checks that its resource
/// was deleted.
fn failure_at(make: impl Fn(Reply, String) -> Reply + Send + Sync + 'static) -> Failure {
    let server = Server::start("127.0.0.1", move |request| {
        let reply = Reply::new(201).header("Location", "/session/1");
        match request.method.as_str() {
            "POST" => make(reply, answer_for(&request.body)).into(),
            _ => Reply::new(200).into(),
        }
    });
    let publisher = Publisher::offering(Config {
        http_timeout: Some(Duration::from_millis(700)),
        ..config(&server.url("/"))
    });
    let (failure, ended) = publisher.failed();
    assert_eq!(ended, Ended::Deleted(Deleted::Done));
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
    assert_eq!(
        (failure.phase, failure.host.clone()),
        (Phase::Answer, server.origin())
    );
    failure
}

fn assert_answer(failure: &Failure, error: AnswerError) {
    assert_eq!(failure.cause, Cause::Answer(error));
    assert!(failure.to_string().contains("answer"), "{failure}");
}

#[test]
fn empty() {
    assert_answer(&failure_at(|reply, _| reply), AnswerError::Empty);
}

#[test]
fn something_else() {
    let failure = failure_at(|reply, _| reply.body("Welcome to nginx!"));
    assert_answer(&failure, AnswerError::NotSdp);
    assert!(!failure.is_retryable());
}

#[test]
fn captive_portal_fails_in_one_sentence() {
    let server = Server::start("127.0.0.1", |_| {
        let reply = Reply::new(200).header("Content-Type", "text/html");
        reply.body("<html>Log in</html>").into()
    });
    let events = Publisher::offering(config(&server.url("/"))).to_the_end();
    assert_eq!(names(&events), ["connecting", "failed", "ended"]);
    let Event::Failed(failure) = &events[1] else {
        panic!("a failure")
    };
    let text = failure.to_string();
    assert!(
        text.contains("web page") && text.contains("log-in"),
        "{text}"
    );
}

#[test]
fn no_text() {
    let failure = failure_at(|reply, _| reply.body(vec![0xff, 0x00, 0xfe]));
    assert_answer(&failure, AnswerError::NotSdp);
}

#[test]
fn section_missing() {
    let failure = failure_at(|reply, answer| {
        let audio = answer.split("m=video").next().unwrap();
        reply.body(audio)
    });
    let (offered, answered) = (2, 1);
    assert_answer(&failure, AnswerError::Sections { offered, answered });
}

#[test]
fn transport_missing() {
    for attribute in ["ice-ufrag", "ice-pwd", "fingerprint", "setup"] {
        let failure = failure_at(move |reply, answer| {
            reply.body(answer.replace(&format!("a={attribute}:"), "a=x:"))
        });
        assert_answer(&failure, AnswerError::Missing { attribute });
    }
}

#[test]
fn audio_refused() {
    let failure = failure_at(|reply, answer| reply.body(answer.replace("m=audio 9", "m=audio 0")));
    let kind = "audio".to_owned();
    assert_answer(&failure, AnswerError::Refused { kind });
    assert!(failure.to_string().contains("opusenc"), "{failure}");
}

#[test]
fn hundred_megabytes() {
    let failure = failure_at(|reply, answer| reply.body(answer).padded(100 * 1024 * 1024));
    assert_answer(&failure, AnswerError::TooLong);
}

#[test]
fn broken_off() {
    let failure = failure_at(|reply, answer| reply.body(answer).broken_off());
    assert_answer(&failure, AnswerError::Broken);
    assert!(failure.is_retryable());
}

#[test]
fn stalled_until_the_timeout() {
    let failure = failure_at(|reply, answer| reply.body(answer).stalling());
    assert_answer(&failure, AnswerError::Broken);
}

#[test]
fn unusable_and_without_location_leaves_nothing_to_delete() {
    let server = Server::in_order("127.0.0.1", vec![Reply::new(201).into()]);
    let events = Publisher::offering(config(&server.url("/"))).to_the_end();
    assert_eq!(names(&events), ["connecting", "warning", "failed", "ended"]);
    assert_eq!(ended(&events), Ended::NothingToDelete);
}

#[test]
fn without_location_it_works_with_a_warning() {
    let server = Server::start("127.0.0.1", |request| {
        Reply::new(201).body(answer_for(&request.body)).into()
    });
    let publisher = Publisher::offering(config(&server.url("/")));
    let events: Vec<Event> = (0..3).map(|_| publisher.next()).collect();
    assert_eq!(names(&events), ["connecting", "warning", "answer"]);
    let deviation = Warning::Deviation(Deviation::NoLocation);
    assert!(deviation.to_string().contains("Location"));
    assert_eq!(warnings(&events), [deviation]);
    assert!(publisher.stop().0);
    assert_eq!(ended(&publisher.to_the_end()), Ended::NothingToDelete);
    assert_eq!(server.lines(), ["POST /"]);
}

#[test]
fn over_long_location_leaves_a_session_behind_and_says_so() {
    let server = Server::start("127.0.0.1", |request| {
        let location = format!("/{}", "s".repeat(70_000));
        let reply = Reply::new(201).header("Location", &location);
        reply.body(answer_for(&request.body)).into()
    });
    let publisher = Publisher::offering(config(&server.url("/")));
    let events: Vec<Event> = (0..3).map(|_| publisher.next()).collect();
    assert_eq!(names(&events), ["connecting", "warning", "answer"]);
    let text = warnings(&events)[0].to_string();
    assert!(
        text.contains("8 KB") && text.contains("can't be deleted"),
        "{text}"
    );
    assert!(publisher.stop().0);
    assert_eq!(ended(&publisher.to_the_end()), Ended::NothingToDelete);
}

#[test]
fn ok_instead_of_created_works_with_a_warning() {
    let server = Server::start("127.0.0.1", |request| {
        let reply = Reply::new(200).header("Location", "session/1");
        reply.body(answer_for(&request.body)).into()
    });
    let publisher = Publisher::offering(config(&server.url("/deep/whip")));
    let events: Vec<Event> = (0..3).map(|_| publisher.next()).collect();
    assert_eq!(names(&events), ["connecting", "warning", "answer"]);
    assert!(warnings(&events)[0].to_string().contains("200"));
    publisher.stop_and_delete();
    // The Location is relative to the URL that answered.
    assert_eq!(
        server.lines(),
        ["POST /deep/whip", "DELETE /deep/session/1"]
    );
}
