//! Tests of the POST: requests, redirects, and replies of real servers.

use super::*;
use crate::whip::{Direction, Fingerprint, RetryAfter};

const OFFER: &str = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\n\
    m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=inactive\r\n";

fn post(endpoint: &str) -> Post {
    Post::new(
        &Endpoint::parse(endpoint).unwrap(),
        Offer::new(OFFER, "s", None).unwrap(),
    )
}

fn answer() -> String {
    format!(
        "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:passive\r\na=fingerprint:{}\r\n\
         m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=inactive\r\n",
        Fingerprint::of_certificate(b"der")
    )
}

fn reply(status: u16, headers: &[(&str, &str)], body: &str) -> Response<Body> {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Body::Whole(body.to_owned().into())).unwrap()
}

fn redirect(post: Post, status: u16, location: &str) -> Redirect {
    match post.read(&reply(status, &[("location", location)], "")) {
        Ok(Reply::Redirect(redirect)) => redirect,
        other => panic!("expected a redirect, found {other:?}"),
    }
}

fn created(post: Post, response: &Response<Body>) -> Created {
    match post.read(response) {
        Ok(Reply::Created(created)) => created,
        other => panic!("expected a session, found {other:?}"),
    }
}

fn error(post: Post, response: &Response<Body>) -> PostError {
    post.read(response).expect_err("an error")
}

#[test]
fn request_is_the_rfcs() {
    let token = Token::parse("secret").unwrap();
    let request = post("https://a.example/whip?x=1").request(Some(&token));
    assert_eq!(request.method(), http::Method::POST);
    assert_eq!(request.uri(), "https://a.example/whip?x=1");
    assert_eq!(request.headers()[CONTENT_TYPE], "application/sdp");
    assert_eq!(request.headers()["authorization"], "Bearer secret");
    assert!(!format!("{:?}", request.headers()).contains("secret"));
    assert!(request.body().contains("a=msid:s s-audio"));
}

#[test]
fn without_a_token_there_is_no_authorization() {
    assert!(
        !post("https://a.example/")
            .request(None)
            .headers()
            .contains_key("authorization")
    );
}

#[test]
fn every_repeating_redirect_is_followed_and_resolved_against_the_url_that_answered() {
    for status in [301, 302, 307, 308] {
        let first = redirect(
            post("https://global.example/"),
            status,
            "https://a.example:8443/x/y",
        );
        assert_eq!(first.from.as_str(), "https://global.example/");
        let second = redirect(first.to, status, "z?q=1#part");
        assert_eq!(second.to.url().as_str(), "https://a.example:8443/x/z?q=1");
        let session = created(
            second.to,
            &reply(201, &[("location", "/session/1?k=2")], &answer()),
        );
        assert_eq!(
            session.resource.unwrap().url().as_str(),
            "https://a.example:8443/session/1?k=2"
        );
    }
}

#[test]
fn redirect_without_location() {
    let status = StatusCode::TEMPORARY_REDIRECT;
    assert_eq!(
        error(post("https://a.example/"), &reply(307, &[], "")),
        PostError::NoLocation { status }
    );
}

#[test]
fn redirect_to_no_url() {
    let status = StatusCode::TEMPORARY_REDIRECT;
    for location in [
        "https://",
        "ftp://a.example/",
        "mailto:x@a.example",
        "http://[bad",
    ] {
        let response = reply(307, &[("location", location)], "");
        assert_eq!(
            error(post("https://a.example/"), &response),
            PostError::BadLocation { status },
            "{location}"
        );
    }
}

#[test]
fn redirect_loop() {
    let back = redirect(post("https://a.example/"), 307, "https://b.example/");
    let response = reply(307, &[("location", "https://a.example/")], "");
    assert_eq!(
        error(back.to, &response),
        PostError::Loop {
            host: "https://a.example".into()
        }
    );
    let itself = reply(307, &[("location", "/")], "");
    assert!(matches!(
        error(post("https://a.example/"), &itself),
        PostError::Loop { .. }
    ));
}

#[test]
fn ten_hops_are_followed_and_the_eleventh_is_not() {
    let mut next = post("https://a.example/");
    for hop in 1..=MAX_HOPS {
        next = redirect(next, 307, &format!("/{hop}")).to;
    }
    let response = reply(307, &[("location", "/11")], "");
    assert_eq!(error(next, &response), PostError::TooManyHops);
}

#[test]
fn other_redirects_do_not_repeat_a_post() {
    for code in [300, 303, 304, 305] {
        let status = StatusCode::from_u16(code).unwrap();
        let response = reply(code, &[("location", "https://b.example/")], "");
        assert_eq!(
            error(post("https://a.example/"), &response),
            PostError::OtherRedirect { status }
        );
    }
}

#[test]
fn refusal_keeps_status_words_and_retry_after() {
    let response = reply(503, &[("retry-after", "3")], "busy");
    let PostError::Refused(refusal) = error(post("https://a.example/"), &response) else {
        panic!("a refusal")
    };
    assert_eq!(refusal.status, 503);
    assert_eq!(refusal.message().as_deref(), Some("busy"));
    assert!(matches!(refusal.retry_after, Some(RetryAfter::Delay(_))));
}

#[test]
fn every_error_says_something_else() {
    let status = StatusCode::SEE_OTHER;
    let errors = [
        PostError::NoLocation { status },
        PostError::BadLocation { status },
        PostError::LocationTooLong { status },
        PostError::Loop {
            host: "https://a.example".into(),
        },
        PostError::TooManyHops,
        PostError::OtherRedirect { status },
        error(post("https://a.example/"), &reply(400, &[], "")),
    ];
    let texts: std::collections::HashSet<_> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), errors.len());
    assert_eq!(errors[0].status(), Some(status));
    assert_eq!(errors[3].status(), None);
}

#[test]
fn success_without_location_is_usable_but_odd() {
    let session = created(post("https://a.example/"), &reply(201, &[], &answer()));
    assert!(session.answer.is_ok() && session.resource.is_none());
    assert_eq!(session.deviations, [Deviation::NoLocation]);
}

#[test]
fn success_with_200_is_usable_but_odd() {
    let session = created(
        post("https://a.example/"),
        &reply(200, &[("location", "/s")], &answer()),
    );
    assert_eq!(session.deviations, [Deviation::Status(StatusCode::OK)]);
}

#[test]
fn empty_location_is_none() {
    for location in ["", " ", "\t", "#", "#x"] {
        let endpoint = post("https://a.example/whip/key");
        let session = created(endpoint, &reply(201, &[("location", location)], &answer()));
        assert_eq!(session.resource, None, "{location:?}");
        assert_eq!(session.deviations, [Deviation::NoLocation]);
        let status = StatusCode::TEMPORARY_REDIRECT;
        let redirect = reply(307, &[("location", location)], "");
        assert_eq!(
            error(post("https://a.example/"), &redirect),
            PostError::NoLocation { status },
            "{location:?}"
        );
    }
}

#[test]
fn over_long_location() {
    // `https://a.example` has 17 characters.
    let location = |length: usize| format!("/{}", "s".repeat(length - 18));
    let reply_with = |status, length| reply(status, &[("location", &location(length))], &answer());
    for length in [MAX_URL + 1, 70_000] {
        let session = created(post("https://a.example/"), &reply_with(201, length));
        assert_eq!(session.resource, None);
        assert_eq!(session.deviations, [Deviation::LocationTooLong]);
        let status = StatusCode::TEMPORARY_REDIRECT;
        assert_eq!(
            error(post("https://a.example/"), &reply_with(307, length)),
            PostError::LocationTooLong { status }
        );
    }
    let session = created(post("https://a.example/"), &reply_with(201, MAX_URL));
    assert_eq!(session.deviations, []);
    redirect(post("https://a.example/"), 307, &location(MAX_URL));
}

#[test]
fn web_page_is_the_only_thing_wrong() {
    let html: &[_] = &[("content-type", "Text/HTML; charset=utf-8")];
    let page = " \n<!DOCTYPE html><title>Log in to the WiFi</title>";
    for (headers, body) in [(html, "Welcome"), (&[], page), (html, page)] {
        let session = created(post("https://a.example/"), &reply(200, headers, body));
        assert_eq!(session.answer, Err(AnswerError::WebPage), "{body}");
        assert_eq!(session.deviations, []);
    }
    // PHP sends this type unless it is told another.
    let session = created(post("https://a.example/"), &reply(201, html, &answer()));
    assert!(session.answer.is_ok());
    let session = created(post("https://a.example/"), &reply(201, html, ""));
    assert_eq!(session.answer, Err(AnswerError::Empty));
}

#[test]
fn web_page_with_a_location_leaves_a_resource_to_delete() {
    let session = created(
        post("https://a.example/"),
        &reply(201, &[("location", "/s")], "<html>"),
    );
    assert_eq!(session.resource.unwrap().url().path(), "/s");
}

#[test]
fn unusable_answer_leaves_a_resource_to_delete() {
    let session = created(
        post("https://a.example/"),
        &reply(201, &[("location", "/s")], "garbage"),
    );
    assert_eq!(session.answer, Err(AnswerError::NotSdp));
    assert_eq!(session.resource.unwrap().url().path(), "/s");
}

#[test]
fn replies_of_real_servers() {
    // One file per server. Its first line names the source.
    for (name, text) in [
        (
            "ivs",
            include_str!("../../tests/fixtures/replies/ivs-201.http"),
        ),
        (
            "mediamtx",
            include_str!("../../tests/fixtures/replies/mediamtx-201.http"),
        ),
        (
            "livekit",
            include_str!("../../tests/fixtures/replies/livekit-201.http"),
        ),
        (
            "livepeer",
            include_str!("../../tests/fixtures/replies/livepeer-201.http"),
        ),
        (
            "srs",
            include_str!("../../tests/fixtures/replies/srs-201.http"),
        ),
        (
            "galene",
            include_str!("../../tests/fixtures/replies/galene-201.http"),
        ),
        (
            "broadcast-box",
            include_str!("../../tests/fixtures/replies/broadcast-box-201.http"),
        ),
        (
            "monibuca",
            include_str!("../../tests/fixtures/replies/monibuca-200.http"),
        ),
        (
            "go2rtc",
            include_str!("../../tests/fixtures/replies/go2rtc-201.http"),
        ),
    ] {
        let fixture = Fixture::parse(text);
        let session = created(
            post("https://media.example:8443/app/whip?key=1"),
            &fixture.response,
        );
        assert!(session.answer.is_ok(), "{name}: {:?}", session.answer);
        let url = session
            .resource
            .as_ref()
            .map(|resource| resource.url().as_str());
        assert_eq!(url, fixture.expected("session"), "{name}");
        let trickle = session.resource.as_ref().is_some_and(Resource::can_trickle);
        assert_eq!(
            Some(trickle.to_string().as_str()),
            fixture.expected("trickle"),
            "{name}"
        );
        assert_eq!(
            session.deviations.len().to_string().as_str(),
            fixture.expected("deviations").unwrap(),
            "{name}"
        );
        assert_eq!(
            session.ice_servers.len().to_string().as_str(),
            fixture.expected("ice-servers").unwrap(),
            "{name}"
        );
    }
}

#[test]
fn refusals_of_real_servers() {
    for (text, words) in [
        (
            include_str!("../../tests/fixtures/replies/ivs-400.http"),
            "HTTP 400: failed to create publisher session",
        ),
        (
            include_str!("../../tests/fixtures/replies/livekit-406.http"),
            "HTTP 406: simulcast needs two or three layers",
        ),
        (
            include_str!("../../tests/fixtures/replies/broadcast-box-400.http"),
            "HTTP 400: Authorization was not set",
        ),
    ] {
        let PostError::Refused(refusal) =
            error(post("https://a.example/"), &Fixture::parse(text).response)
        else {
            panic!("a refusal")
        };
        assert_eq!(refusal.to_string(), words);
    }
}

#[test]
fn offer_sections_are_known() {
    let offer = Offer::new(OFFER, "s", None).unwrap();
    assert_eq!(
        offer.sections(),
        [
            ("audio".into(), Direction::SendOnly),
            ("video".into(), Direction::Inactive)
        ]
    );
}

/// A recorded reply: `#` lines with the source and the expected values
/// (`#= name value`), then status line, headers, empty line, body. `@answer` in the
/// body is replaced with a valid SDP answer.
struct Fixture {
    expected: Vec<(String, String)>,
    response: Response<Body>,
}

impl Fixture {
    fn parse(text: &str) -> Self {
        let (head, body) = text
            .split_once("\n\n")
            .expect("an empty line after the headers");
        let mut lines = head.lines().filter(|line| !line.starts_with("# "));
        let mut expected = Vec::new();
        let mut status = 0;
        let mut headers = Vec::new();
        for line in lines.by_ref() {
            if let Some(rest) = line.strip_prefix("#= ") {
                let (name, value) = rest.split_once(' ').expect("a name and a value");
                expected.push((name.to_owned(), value.to_owned()));
            } else if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest.split(' ').next().unwrap().parse().unwrap();
            } else {
                headers.push(line.split_once(": ").expect("a header"));
            }
        }
        let response = reply(status, &headers, &body.replace("@answer\n", &answer()));
        Self { expected, response }
    }

    fn expected(&self, name: &str) -> Option<&str> {
        let value = self
            .expected
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str());
        value.filter(|value| *value != "none")
    }
}
