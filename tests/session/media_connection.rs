//! Reports of the peer connection: connected, not connected, broken.

use std::time::Duration;

use gstivs::session::{Cause, Config, Ended, ErrorKind, Event, PeerEvent, Phase, State};
use gstivs::whip::Deleted;

use crate::common::{Gate, Server, created};
use crate::publisher::{
    BOUND, Publisher, broken, config, connected, ended, names, offer, peer_event, whip_server,
};

/// A short time before something is due.
const MOMENT: Duration = Duration::from_millis(10);

#[test]
fn media_that_do_not_come_are_told_of_every_ten_seconds() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::paused(config(&server.url("/")));
    let ten = Duration::from_secs(10);
    for round in 1..=3 {
        publisher.advance(ten - MOMENT);
        assert!(publisher.offer_waits().is_empty());
        publisher.advance(MOMENT);
        let missed = publisher.offer_waits();
        assert_eq!(missed.len(), 1, "{missed:?}");
        assert_eq!(missed[0].as_secs(), (ten * round).as_secs());
    }
    publisher.stop();
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_peer_connection_that_makes_no_offer_is_a_failure() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::paused(config(&server.url("/")));
    let after = Duration::from_secs(10);
    // Media comes late, which is no failure.
    for _ in 0..6 {
        publisher.advance(after);
    }
    assert_eq!(publisher.offer_waits().len(), 6);
    publisher.tell(peer_event(PeerEvent::Making));
    publisher.advance(after - MOMENT);
    assert!(publisher.events_so_far().is_empty());
    publisher.advance(MOMENT);
    let (failure, ended) = publisher.failed();
    assert_eq!(failure.cause, Cause::NoOffer { after });
    assert_eq!(failure.phase, Phase::Offer);
    assert!(failure.is_retryable());
    let text = failure.to_string();
    assert!(
        text.contains("webrtcbin made no offer within 10 s"),
        "{text}"
    );
    assert_eq!(ended, Ended::NothingToDelete);
    assert_eq!(server.connections(), 0);
}

#[test]
fn media_that_never_connects_is_a_failure_and_deleted() {
    let server = whip_server("127.0.0.1");
    let after = Duration::from_secs(10);
    let publisher = Publisher::paused(Config {
        connect_timeout: after,
        ..config(&server.url("/"))
    });
    publisher.tell(offer());
    publisher.answer();
    publisher.advance(after - MOMENT);
    assert!(publisher.is_quiet());
    publisher.advance(MOMENT);
    let (failure, ended) = publisher.failed();
    assert_eq!(failure.cause, Cause::NotConnected { after });
    assert_eq!(failure.phase, Phase::Connect);
    assert_eq!(failure.kind(), ErrorKind::OpenWrite);
    assert!(
        failure.is_retryable() && failure.to_string().contains("UDP"),
        "{failure}"
    );
    assert_eq!(ended, Ended::Deleted(Deleted::Done));
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn connect_timeout_counts_from_the_answer_and_ends_with_connected() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start("127.0.0.1", move |request| {
        created("/session/1", request).after(&held)
    });
    let after = Duration::from_secs(10);
    let publisher = Publisher::paused(Config {
        connect_timeout: after,
        http_timeout: None,
        ..config(&server.url("/"))
    });
    publisher.tell(offer());
    server.wait_for_line(BOUND, "POST /").unwrap();
    assert_eq!(names(&[publisher.next()]), ["connecting"]);
    // The POST alone takes longer than `connect_timeout`.
    publisher.advance(after * 2);
    assert!(publisher.is_quiet());
    gate.open();
    publisher.answer();
    publisher.advance(after - MOMENT);
    publisher.tell(connected());
    publisher.until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
    // `connect_timeout` does not end a connected session.
    publisher.advance(after * 2);
    assert!(publisher.is_quiet());
    publisher.stop_and_delete();
}

#[test]
fn broken_after_connected_is_lost_media() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::publishing(config(&server.url("/")));
    publisher.tell(broken(Cause::Lost("DTLS closed".to_owned())));
    let (failure, ended) = publisher.failed();
    assert_eq!(
        (failure.phase, failure.kind()),
        (Phase::Publish, ErrorKind::Write)
    );
    assert!(
        failure.is_retryable() && failure.to_string().contains("DTLS closed"),
        "{failure}"
    );
    assert_eq!(ended, Ended::Deleted(Deleted::Done));
}

#[test]
fn another_certificate_than_announced_ends_the_session() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::offering(config(&server.url("/")));
    publisher.answer();
    publisher.tell(broken(Cause::Certificate));
    let (failure, ended) = publisher.failed();
    assert_eq!(failure.phase, Phase::Connect);
    assert_eq!(failure.kind(), ErrorKind::NotAuthorized);
    assert!(!failure.is_retryable());
    assert_eq!(ended, Ended::Deleted(Deleted::Done));
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn broken_before_the_offer_sends_nothing() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::start(config(&server.url("/")));
    publisher.tell(broken(Cause::Peer("no codec".to_owned())));
    let (failure, ended) = publisher.failed();
    assert_eq!(failure.phase, Phase::Offer);
    assert_eq!(ended, Ended::NothingToDelete);
    assert_eq!(server.connections(), 0);
}

#[test]
fn broken_while_the_post_is_unanswered_still_deletes() {
    let gate = Gate::default();
    let held = gate.clone();
    let server = Server::start("127.0.0.1", move |request| {
        created("/session/1", request).after(&held)
    });
    let publisher = Publisher::offering(config(&server.url("/")));
    server.wait_for_line(BOUND, "POST /").unwrap();
    publisher.tell(broken(Cause::Peer("gone".to_owned())));
    publisher.until(|event| matches!(event, Event::Failed(_)).then_some(()));
    gate.open();
    let events = publisher.to_the_end();
    assert_eq!(names(&events).last(), Some(&"ended"));
    assert!(!names(&events).contains(&"answer"));
    // The script answers the DELETE with 201 too, which also counts as success.
    assert_eq!(ended(&events), Ended::Deleted(Deleted::Done));
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
}
