//! Servers that refuse or answer badly: each causes a bus error with its code, text
//! and details, and the pipeline still stops at once.

use gst::ResourceError::{Busy, NotAuthorized, NotFound, OpenWrite};
use gst::prelude::*;

use crate::common::{Action, Reply, Server, created, redirect};
use crate::harness::{AUDIO, Publisher, SeenError};

/// Publishes to a server that answers every POST with `answer` and every DELETE
/// with 200. Returns the error.
fn error_from(
    answer: impl Fn(&crate::common::Request) -> Action + Send + Sync + 'static,
) -> SeenError {
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => answer(request),
        _ => Reply::new(200).into(),
    });
    let mut publisher = Publisher::to_endpoint(AUDIO, &server.url("/whip"));
    publisher.whip.set_property("timeout", 1u32);
    publisher.play();
    let error = publisher.wait_error();
    assert_eq!(error.source, "whip");
    assert_eq!(publisher.session_state(), "failed");
    assert!(!error.text().contains("some-token"));
    let took = publisher.stop();
    assert!(
        took < std::time::Duration::from_secs(1),
        "stopped after {took:?}"
    );
    error
}

fn refused(status: u16, body: &'static str) -> SeenError {
    error_from(move |_| Reply::new(status).body(body).into())
}

fn expect(error: &SeenError, code: gst::ResourceError, words: &[&str]) {
    assert!(error.is(code), "{code:?} expected: {error:?}");
    for word in words {
        assert!(
            error.text().contains(word),
            "{word:?} expected: {}",
            error.text()
        );
    }
}

#[test]
fn refusals_with_ivs_codes() {
    for (status, code, resource, words) in [
        (400, 2001, OpenWrite, "every form of video section"),
        (400, 2002, NotAuthorized, "expired"),
        (403, 2003, NotAuthorized, "PUBLISH"),
        (404, 2004, NotFound, "does not exist"),
        (400, 2005, Busy, "capacity"),
    ] {
        let body = format!(r#"{{"code":{code},"message":"as the server says"}}"#);
        let error = error_from(move |_| Reply::new(status).body(body.clone()).into());
        let shown = format!("HTTP {status}, IVS code {code}: as the server says");
        expect(&error, resource, &[&shown, words]);
        assert_eq!(error.detail::<u32>("ivs-code"), Some(code));
        assert_eq!(error.detail::<u32>("http-status"), Some(u32::from(status)));
        assert_eq!(error.detail::<bool>("retryable"), Some(false));
        assert_eq!(error.detail::<u32>("attempt"), Some(1));
        assert_eq!(error.detail::<String>("phase").as_deref(), Some("post"));
    }
}

#[test]
fn refusals_without_json() {
    for (status, resource, retryable) in [
        (400, OpenWrite, false),
        (401, NotAuthorized, false),
        (403, NotAuthorized, false),
        (404, NotFound, false),
        (500, OpenWrite, true),
        (503, Busy, true),
    ] {
        let error = refused(status, "plain words");
        expect(&error, resource, &[&format!("HTTP {status}: plain words")]);
        assert_eq!(error.detail::<u32>("ivs-code"), None);
        assert_eq!(error.detail::<bool>("retryable"), Some(retryable));
    }
}

#[test]
fn nothing_listens() {
    let gone = Server::start("127.0.0.1", |_| Action::Close).url("/whip");
    let mut publisher = Publisher::to_endpoint(AUDIO, &gone);
    publisher.play();
    expect(
        &publisher.wait_error(),
        OpenWrite,
        &["connection refused", "whip-endpoint"],
    );
}

#[test]
fn a_server_that_closes_without_a_reply() {
    expect(
        &error_from(|_| Action::Close),
        OpenWrite,
        &["closed the connection"],
    );
}

#[test]
fn a_server_that_never_answers() {
    expect(
        &error_from(|_| Action::Silence),
        OpenWrite,
        &["no reply came in time", "timeout"],
    );
}

#[test]
fn redirects_that_lead_nowhere() {
    let nowhere = error_from(|_| Reply::new(307).into());
    expect(&nowhere, OpenWrite, &["HTTP 307", "without saying where"]);
    assert_eq!(nowhere.detail::<u32>("http-status"), Some(307));
    expect(
        &error_from(|_| redirect("/whip")),
        OpenWrite,
        &["redirects form a loop"],
    );
    let endless = |request: &crate::common::Request| redirect(&format!("{}/x", request.path));
    expect(&error_from(endless), OpenWrite, &["more than 10 redirects"]);
    expect(
        &error_from(|_| Reply::new(303).header("Location", "/x").into()),
        OpenWrite,
        &["HTTP 303"],
    );
}

#[test]
fn a_redirect_to_a_host_that_must_not_get_the_token() {
    // Nothing is sent to that host: the check comes first.
    let error = error_from(|_| redirect("http://media.example.net/whip"));
    expect(
        &error,
        NotAuthorized,
        &["http://media.example.net", "redirect-hosts"],
    );
}

/// Publishes to a server with an unusable answer, and checks that its session is
/// deleted. Returns the error.
fn unusable_answer(body: &'static str, padding: usize) -> SeenError {
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => Reply::new(201)
            .header("Location", "/session/1")
            .body(body)
            .padded(padding)
            .into(),
        _ => Reply::new(200).into(),
    });
    let mut publisher = Publisher::to_endpoint(AUDIO, &server.url("/whip"));
    publisher.play();
    let error = publisher.wait_error();
    publisher.stop();
    let deleted = server
        .requests()
        .iter()
        .any(|request| request.line() == "DELETE /session/1");
    assert!(deleted, "the session is deleted: {:?}", server.requests());
    error
}

#[test]
fn answers_that_are_empty_garbage_truncated_or_far_too_long() {
    expect(&unusable_answer("", 0), OpenWrite, &["an empty body"]);
    expect(
        &unusable_answer("<html>Hello</html>", 0),
        OpenWrite,
        &["expected an SDP answer, found a web page"],
    );
    let cut = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mi";
    expect(
        &unusable_answer(cut, 0),
        OpenWrite,
        &["expected 2 media sections", "cut short"],
    );
    expect(
        &unusable_answer("v=0\r\n", 100_000_000),
        OpenWrite,
        &["too long"],
    );
}

#[test]
fn an_answer_that_refuses_audio() {
    let error = error_from(|request| {
        let answer = crate::common::answer_for(&request.body).replacen("m=audio 9", "m=audio 0", 1);
        Reply::new(201)
            .header("Location", "/session/1")
            .body(answer)
            .into()
    });
    expect(&error, OpenWrite, &["refuses audio", "opusenc"]);
}

#[test]
fn an_answer_that_fits_but_that_nobody_stands_behind() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    });
    let mut publisher = Publisher::to_endpoint(AUDIO, &server.url("/whip"));
    publisher.whip.set_property("connect-timeout", 1u32);
    publisher.play();
    let error = publisher.wait_error();
    expect(&error, OpenWrite, &["within 1 s", "UDP"]);
    assert_eq!(error.detail::<bool>("retryable"), Some(true));
    publisher.stop();
    assert!(
        server
            .requests()
            .iter()
            .any(|request| request.method == "DELETE")
    );
}

#[test]
fn a_success_without_location_is_published_with_a_warning() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => Reply::new(201)
            .body(crate::common::answer_for(&request.body))
            .into(),
        method => panic!("{method} without a session URL"),
    });
    let mut publisher = Publisher::to_endpoint(AUDIO, &server.url("/whip"));
    publisher.play();
    assert!(publisher.wait_warning().contains("Location"));
    publisher.stop();
}
