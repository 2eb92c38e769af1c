//! The connection to the endpoint that is opened before there is an offer.

use std::io::Read;
use std::net::TcpListener;
use std::time::Duration;

use gstivs::session::Event;

use crate::publisher::{BOUND, Publisher, config, offer, whip_server};

/// How long an unused connection is kept.
const KEPT: Duration = Duration::from_secs(4);

/// This machine by an address outside 127.0.0.0/8, which gets no early
/// connection.
fn endpoint(port: u16) -> String {
    format!("http://0.0.0.0:{port}/")
}

#[test]
fn carries_the_post_and_the_delete() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::start(config(&endpoint(server.port())));
    server.wait_for_connection(BOUND).expect("a connection");
    assert_eq!(server.lines().len(), 0);
    publisher.tell(offer());
    publisher.answer();
    publisher.stop_and_delete();
    assert_eq!(server.lines(), ["POST /", "DELETE /session/1"]);
    assert_eq!(server.connections(), 1);
}

#[test]
fn unused_is_closed_without_a_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let publisher = Publisher::paused(config(&endpoint(port)));
    let (mut connection, _) = listener.accept().unwrap();
    connection.set_read_timeout(Some(BOUND)).unwrap();
    publisher.advance(KEPT);
    let mut sent = Vec::new();
    connection.read_to_end(&mut sent).unwrap();
    assert_eq!(sent, b"");
    assert!(publisher.is_quiet());
    publisher.stop();
}

#[test]
fn that_fails_is_no_event_and_the_post_tells_why() {
    let publisher = Publisher::start(config(&endpoint(9)));
    assert!(publisher.is_quiet());
    publisher.tell(offer());
    let failure = publisher.until(|event| match event {
        Event::Failed(failure) => Some(failure.to_string()),
        _ => None,
    });
    assert!(failure.contains("connection refused"), "{failure}");
}

#[test]
fn that_the_server_never_finishes_holds_up_nothing_longer_than_the_post_itself() {
    // The kernel completes the connection; nobody accepts it.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let endpoint = format!("https://0.0.0.0:{port}/");
    let timeout = Duration::from_secs(2);
    let publisher = Publisher::paused(gstivs::session::Config {
        http_timeout: Some(timeout),
        ..config(&endpoint)
    });
    publisher.advance(Duration::from_millis(10));
    publisher.tell(offer());
    publisher.advance(Duration::from_millis(10));
    publisher.advance(timeout);
    let (failure, _) = publisher.failed();
    assert!(failure.to_string().contains("in time"), "{failure}");
}
