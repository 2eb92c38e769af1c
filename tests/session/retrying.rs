//! Repeated attempts: what is retried, when, and how often.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gstivs::session::{Cause, Config, Event, Input, PeerEvent, Retries};

use crate::common::{Action, Reply, Request, Server, created};
use crate::publisher::{BOUND, Publisher, UNANSWERED, broken, config, connected, offer};

fn retrying(endpoint: &str) -> Config {
    Config {
        retries: Retries::Default,
        ..config(endpoint)
    }
}

/// The offer of the peer connection with this number.
fn offer_of(peer: u64) -> Input {
    match offer() {
        Input::Peer { event, .. } => Input::Peer { peer, event },
        other => other,
    }
}

fn next_peer(publisher: &Publisher) -> u64 {
    publisher.next_offer_wanted()
}

#[test]
fn a_lost_session_is_replaced_at_once_and_its_resource_deleted_alongside() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    });
    let publisher = Publisher::publishing(retrying(&server.url("/")));
    publisher.tell(broken(Cause::Lost("DTLS closed".to_owned())));
    let peer = next_peer(&publisher);
    assert_eq!(peer, 2);
    publisher.tell(offer_of(peer));
    publisher.answer();
    publisher.tell(Input::Peer {
        peer,
        event: PeerEvent::Connected,
    });
    publisher.stop_and_delete();
    let deletes = server
        .requests()
        .iter()
        .filter(|request| request.method == "DELETE")
        .count();
    assert_eq!(deletes, 2);
}

#[test]
fn news_of_an_older_peer_connection_are_dropped() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    });
    let publisher = Publisher::publishing(retrying(&server.url("/")));
    publisher.tell(broken(Cause::Lost("DTLS closed".to_owned())));
    let peer = next_peer(&publisher);
    publisher.tell(offer_of(peer));
    publisher.answer();
    publisher.tell(Input::Peer {
        peer,
        event: PeerEvent::Connected,
    });
    publisher.until(|event| matches!(event, Event::State(_)).then_some(()));
    // The transport of the first peer connection closes only now.
    publisher.tell(broken(Cause::Lost("DTLS closed".to_owned())));
    assert!(!publisher.has_event_within(Duration::from_millis(300)));
    publisher.stop_and_delete();
}

#[test]
fn media_that_change_replace_the_session_without_a_wait() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    });
    let publisher = Publisher::publishing(config(&server.url("/")));
    publisher.tell(Input::Replace);
    let peer = next_peer(&publisher);
    publisher.tell(offer_of(peer));
    publisher.answer();
    publisher.stop_and_delete();
}

#[test]
fn a_refusal_that_no_attempt_can_mend_is_final() {
    let server = Server::start("127.0.0.1", |_| Reply::new(403).into());
    let publisher = Publisher::offering(retrying(&server.url("/")));
    let (failure, _) = publisher.failed();
    assert_eq!((failure.http_status(), failure.attempt), (Some(403), 1));
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_maintenance_page_ends_no_publisher_that_was_on_air() {
    let posts = AtomicUsize::new(0);
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => match posts.fetch_add(1, Ordering::SeqCst) {
            0 => created("/session/1", request),
            1 => Reply::new(200).body("<html>back soon</html>").into(),
            2 => Reply::new(404).into(),
            _ => created("/session/2", request),
        },
        _ => Reply::new(200).into(),
    });
    let publisher = Publisher::paused(retrying(&server.url("/")));
    publisher.tell(offer());
    publisher.answer();
    publisher.tell(connected());
    publisher.tell(broken(Cause::Lost("DTLS closed".to_owned())));
    for _ in 0..3 {
        let wait = publisher.until(|event| match event {
            Event::Retry { wait, .. } => Some(*wait),
            _ => None,
        });
        publisher.advance(wait);
        let peer = next_peer(&publisher);
        publisher.tell(offer_of(peer));
    }
    publisher.answer();
    publisher.stop_and_delete();
}

#[test]
fn a_limit_of_retries_ends_in_the_last_failure() {
    let server = Server::start("127.0.0.1", |_| Reply::new(503).into());
    let publisher = Publisher::paused(Config {
        retries: Retries::Limit(1),
        ..config(&server.url("/"))
    });
    publisher.tell(offer());
    let wait = publisher.until(|event| match event {
        Event::Retry {
            attempt: 2, wait, ..
        } => Some(*wait),
        _ => None,
    });
    publisher.advance(wait);
    let peer = next_peer(&publisher);
    publisher.tell(offer_of(peer));
    let (failure, _) = publisher.failed();
    assert_eq!((failure.http_status(), failure.attempt), (Some(503), 2));
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn waits_grow_and_are_waited_out() {
    let server = Server::start("127.0.0.1", |_| Reply::new(503).into());
    let publisher = Publisher::paused(retrying(&server.url("/")));
    publisher.tell(offer());
    for (attempt, seconds) in [(2, 2.0), (3, 4.0), (4, 8.0)] {
        let wait = publisher.until(|event| match event {
            Event::Retry {
                attempt: next,
                wait,
                ..
            } if *next == attempt => Some(*wait),
            _ => None,
        });
        let spread = seconds * 0.8..=seconds * 1.2;
        assert!(spread.contains(&wait.as_secs_f64()), "{wait:?}");
        publisher.advance(wait - Duration::from_millis(100));
        assert_eq!(server.requests().len() + 2, attempt as usize + 1);
        publisher.advance(Duration::from_millis(100));
        let peer = next_peer(&publisher);
        publisher.tell(offer_of(peer));
    }
    let (failure, _) = publisher.failed();
    assert_eq!(failure.attempt, 4);
}

#[test]
fn a_stop_while_a_later_post_hangs_takes_no_longer_than_while_the_first() {
    let posts = AtomicUsize::new(0);
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" if posts.fetch_add(1, Ordering::SeqCst) == 0 => created("/session/1", request),
        "POST" => Action::Silence,
        _ => Reply::new(200).into(),
    });
    let publisher = Publisher::publishing(retrying(&server.url("/")));
    publisher.tell(broken(Cause::Lost("DTLS closed".to_owned())));
    let peer = next_peer(&publisher);
    publisher.tell(offer_of(peer));
    let asked = |requests: &[Request]| {
        let posts = requests
            .iter()
            .filter(|request| request.method == "POST")
            .count();
        let deletes = requests
            .iter()
            .filter(|request| request.method == "DELETE")
            .count();
        (posts == 2 && deletes == 1).then_some(())
    };
    server.wait_for(BOUND, asked).expect("the second POST");
    let (_, took) = publisher.stop();
    assert!(took < UNANSWERED, "{took:?}");
}
