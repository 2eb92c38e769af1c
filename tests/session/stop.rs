//! A stop at any moment returns promptly and leaves no session on the server.

use std::time::Duration;

use gstivs::session::{Config, Ended, Input, TokenSource, Tokens};
use gstivs::whip::Deleted;

use crate::common::{Action, Gate, Reply, Server, answer_for, created, redirect};
use crate::publisher::{
    BEARER, BOUND, PROMPT, Publisher, UNANSWERED, config, ended, names, wait_for_driver,
    whip_server,
};

/// A server that holds back its answer to the POST until the gate opens.
fn held_back(gate: &Gate) -> Server {
    let gate = gate.clone();
    Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => created("/session/1", request).after(&gate),
        _ => Reply::new(200).into(),
    })
}

fn assert_prompt((over, took): (bool, Duration)) {
    assert!(over && took < PROMPT, "over: {over} after {took:?}");
}

fn assert_given_up((over, took): (bool, Duration)) {
    assert!(!over && took < UNANSWERED, "over: {over} after {took:?}");
}

#[test]
fn before_the_offer() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::start(config(&server.url("/")));
    assert_prompt(publisher.stop());
    assert_eq!(ended(&publisher.to_the_end()), Ended::NothingToDelete);
    assert_eq!(server.connections(), 0);
}

#[test]
fn right_after_the_offer() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::offering(config(&server.url("/")));
    publisher.stop();
    let ended = ended(&publisher.to_the_end());
    // The POST may not have been sent; if it was, so was the DELETE.
    match server.lines().len() {
        0 => assert_eq!(ended, Ended::NothingToDelete),
        _ => assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]),
    }
}

#[test]
fn while_the_post_is_unanswered() {
    for http_timeout in [Some(BOUND), None] {
        let gate = Gate::default();
        let server = held_back(&gate);
        let publisher = Publisher::offering(Config {
            http_timeout,
            ..config(&server.url("/"))
        });
        server.wait_for_line(BOUND, "POST /").unwrap();
        assert_given_up(publisher.stop());

        // The wait is over by now; the session that is made late is still deleted.
        gate.open();
        let delete = server.wait_for_line(BOUND, "DELETE /session/1").unwrap();
        assert_eq!(delete.authorization(), Some(BEARER));
        let events = publisher.to_the_end();
        assert_eq!(names(&events), ["connecting", "stopping", "ended"]);
        assert_eq!(ended(&events), Ended::Deleted(Deleted::Done));
        assert_prompt(publisher.wait());
    }
}

/// As with gst-launch, whose process ends right after the wait.
#[test]
fn while_the_post_is_answered_late_waits_for_the_delete() {
    let gate = Gate::default();
    let server = held_back(&gate);
    let publisher = Publisher::offering(config(&server.url("/")));
    server.wait_for_line(BOUND, "POST /").unwrap();
    let answer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(1_200));
        gate.open();
    });
    let (over, took) = publisher.stop();
    assert!(over, "not over after {took:?}");
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
    answer.join().unwrap();
}

#[cfg(unix)]
#[test]
fn while_the_token_file_blocks_waits_for_nothing() {
    let path = std::env::temp_dir().join(format!("ivs-stop-test-{}", std::process::id()));
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    let tokens = Tokens::new(TokenSource {
        file: Some(path.clone()),
        ..TokenSource::default()
    });
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::offering(Config {
        tokens,
        ..config(&server.url("/"))
    });
    publisher.until(|event| (names(std::slice::from_ref(event)) == ["connecting"]).then_some(()));
    let (over, took) = publisher.stop();
    // Ends the read.
    std::fs::write(&path, "late").unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(over, "not over after {took:?}");
    assert_eq!(server.connections(), 0);
}

#[test]
fn while_the_post_is_unanswered_and_the_handle_is_gone() {
    let gate = Gate::default();
    let server = held_back(&gate);
    let mut publisher = Publisher::offering(config(&server.url("/")));
    server.wait_for_line(BOUND, "POST /").unwrap();
    publisher.drop_handle();
    drop(publisher);
    gate.open();
    assert!(server.wait_for_line(BOUND, "DELETE /session/1").is_some());
}

#[test]
fn while_the_post_is_refused() {
    let gate = Gate::default();
    let refusal = Action::from(Reply::new(403)).after(&gate);
    let server = Server::in_order("127.0.0.1", vec![refusal]);
    let publisher = Publisher::offering(config(&server.url("/")));
    server.wait_for_line(BOUND, "POST /").unwrap();
    publisher.tell(Input::Stop);
    publisher.until(|event| (names(std::slice::from_ref(event)) == ["stopping"]).then_some(()));
    gate.open();
    // After a stop the failure is not reported any more.
    let events = publisher.to_the_end();
    assert_eq!(names(&events), ["ended"]);
    assert_eq!(ended(&events), Ended::NothingToDelete);
}

#[test]
fn before_a_redirect_which_is_then_not_followed() {
    let next = whip_server("127.0.0.2");
    let gate = Gate::default();
    let hop = redirect(&next.url("/")).after(&gate);
    let server = Server::in_order("127.0.0.1", vec![hop]);
    let publisher = Publisher::offering(config(&server.url("/")));
    server.wait_for_line(BOUND, "POST /").unwrap();
    assert_given_up(publisher.stop());
    gate.open();
    assert_eq!(ended(&publisher.to_the_end()), Ended::NothingToDelete);
    assert_eq!(next.connections(), 0);
}

#[test]
fn after_a_redirect() {
    let gate = Gate::default();
    let next = held_back(&gate);
    let server = Server::in_order("127.0.0.1", vec![redirect(&next.url("/"))]);
    let publisher = Publisher::offering(config(&server.url("/")));
    next.wait_for_line(BOUND, "POST /").unwrap();
    assert_given_up(publisher.stop());
    gate.open();
    assert_eq!(
        ended(&publisher.to_the_end()),
        Ended::Deleted(Deleted::Done)
    );
    assert_eq!(next.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn while_the_body_of_the_answer_stalls() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => Reply::new(201)
            .header("Location", "/session/1")
            .body(answer_for(&request.body))
            .stalling()
            .into(),
        _ => Reply::new(200).into(),
    });
    let publisher = Publisher::offering(Config {
        http_timeout: None,
        ..config(&server.url("/"))
    });
    server.wait_for_line(BOUND, "POST /").unwrap();
    wait_for_driver();
    publisher.stop_and_delete();
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn between_answer_and_media() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::offering(config(&server.url("/")));
    publisher.answer();
    publisher.stop_and_delete();
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn while_publishing_twice_deletes_once() {
    let server = whip_server("127.0.0.1");
    let mut publisher = Publisher::publishing(config(&server.url("/")));
    publisher.tell(Input::Stop);
    publisher.tell(Input::Stop);
    publisher.drop_handle();
    assert_prompt(publisher.wait());
    assert_eq!(names(&publisher.to_the_end()), ["stopping", "ended"]);
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn after_the_end() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::publishing(config(&server.url("/")));
    publisher.stop_and_delete();
    assert_prompt(publisher.stop());
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}
