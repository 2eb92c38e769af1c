//! A session from its offer to its DELETE, through a redirect.

use gstivs::session::{Ended, Event, Input};
use gstivs::whip::Deleted;

use crate::common::{FINGERPRINT, Reply, Server, created, redirect};
use crate::publisher::{
    BEARER, BOUND, OFFER, PROMPT, Publisher, config, config_without_token, connected, ended, names,
    whip_server,
};

#[test]
fn redirected_published_and_deleted_where_it_was_made() {
    let regional = whip_server("127.0.0.2");
    let next = regional.url("/publish?where=region");
    let global = Server::start("127.0.0.1", move |_| redirect(&next));
    let publisher = Publisher::offering(config(&global.url("/whip")));

    let mut events = Vec::new();
    while names(&events).last() != Some(&"answer") {
        events.push(publisher.next());
    }
    publisher.tell(connected());
    events.push(publisher.next());
    let (over, took) = publisher.stop();
    assert!(over && took < PROMPT, "over: {over} after {took:?}");
    events.extend(publisher.to_the_end());

    assert_eq!(
        names(&events),
        [
            "connecting",
            "redirected",
            "answer",
            "publishing",
            "stopping",
            "ended"
        ]
    );
    assert_eq!(ended(&events), Ended::Deleted(Deleted::Done));
    assert!(
        matches!(&events[1], Event::Redirected { from, to }
            if *from == global.origin() && *to == regional.origin()),
        "{:?}",
        events[1]
    );
    assert_eq!(global.lines(), ["POST /whip"]);
    assert_eq!(
        regional.lines(),
        ["POST /publish?where=region", "DELETE /session/1"]
    );
    for request in global.requests().iter().chain(&regional.requests()) {
        assert_eq!(request.authorization(), Some(BEARER), "{}", request.line());
    }
}

#[test]
fn each_hop_gets_the_whole_offer_and_the_peer_gets_the_answer() {
    let regional = whip_server("127.0.0.2");
    let next = regional.url("/");
    let global = Server::start("127.0.0.1", move |_| redirect(&next));
    let publisher = Publisher::offering(config(&global.url("/")));
    let answer = publisher.answer();
    assert!(answer.text().contains(FINGERPRINT));
    publisher.stop_and_delete();

    let posts = [&global.requests()[0], &regional.requests()[0]];
    for post in posts {
        assert_eq!(post.header("content-type"), Some("application/sdp"));
        assert!(post.body.contains("a=msid:stream stream-audio\r\n"));
        assert!(OFFER.lines().all(|line| post.body.contains(line)));
    }
    assert_eq!(posts[0].header("host"), Some(&global.origin()[7..]));
    assert_eq!(posts[1].header("host"), Some(&regional.origin()[7..]));
}

#[test]
fn without_a_token_no_request_has_credentials() {
    let regional = whip_server("127.0.0.2");
    let next = regional.url("/");
    let global = Server::start("127.0.0.1", move |_| redirect(&next));
    let publisher = Publisher::publishing(config_without_token(&global.url("/")));
    publisher.stop_and_delete();
    assert_eq!(regional.lines(), ["POST /", "DELETE /session/1"]);
    for request in global.requests().iter().chain(&regional.requests()) {
        assert_eq!(request.authorization(), None, "{}", request.line());
    }
}

#[test]
fn a_handle_that_is_dropped_stops_the_session() {
    let regional = whip_server("127.0.0.2");
    let mut publisher = Publisher::publishing(config(&regional.url("/")));
    publisher.drop_handle();
    let (over, took) = publisher.wait();
    assert!(over && took < PROMPT, "over: {over} after {took:?}");
    assert_eq!(names(&publisher.to_the_end()), ["stopping", "ended"]);
    assert_eq!(regional.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn twenty_sessions_at_once_each_end_their_own() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => created(&format!("/session{}", request.path), request),
        _ => Reply::new(204).into(),
    });
    let publishers: Vec<_> = (0..20)
        .map(|number| Publisher::offering(config(&server.url(&format!("/{number}")))))
        .collect();
    for publisher in &publishers {
        publisher.answer();
    }
    for publisher in &publishers {
        publisher.tell(Input::Stop);
    }
    for publisher in &publishers {
        publisher.stop_and_delete();
    }
    for number in 0..20 {
        let line = format!("DELETE /session/{number}");
        assert!(server.wait_for_line(BOUND, &line).is_some(), "{line}");
    }
}
