//! Servers that can't be reached or never answer.

use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use gstivs::session::{Cause, Config, Ended, ErrorKind, Failure, Phase, SendError};

use crate::common::{Action, Reply, Server, redirect};
use crate::publisher::{BOUND, Publisher, config, names, offer};

/// The default of `timeout`.
const TIMEOUT: Duration = Duration::from_secs(15);

fn failure_of(config: Config) -> Failure {
    let (failure, ended) = Publisher::offering(config).failed();
    assert_eq!(ended, Ended::NothingToDelete);
    assert_eq!(failure.phase, Phase::Post);
    failure
}

/// A port on which nothing listens: the local port of an open connection, which
/// the system gives to no other socket. It could reuse a port that was just closed.
struct ClosedPort {
    near: TcpStream,
    _listener: TcpListener,
}

impl ClosedPort {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Self {
            near,
            _listener: listener,
        }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.near.local_addr().unwrap())
    }
}

/// The failure of a POST that the server leaves unanswered, once the clock has
/// reached the time-out.
fn failure_at_timeout(server: &Server, endpoint: &str, path: &str) -> Failure {
    let publisher = Publisher::paused(Config {
        http_timeout: Some(TIMEOUT),
        ..config(endpoint)
    });
    publisher.tell(offer());
    server.wait_for_line(BOUND, path).expect("a POST");
    publisher.advance(TIMEOUT - Duration::from_millis(10));
    let early = publisher.events_so_far();
    assert!(!names(&early).contains(&"failed"), "{early:?}");
    publisher.advance(Duration::from_millis(10));
    let (failure, ended) = publisher.failed();
    assert_eq!(ended, Ended::NothingToDelete);
    failure
}

#[test]
fn nothing_listens() {
    let port = ClosedPort::new();
    let host = port.origin();
    let failure = failure_of(config(&format!("{host}/secret")));
    assert_eq!(failure.cause, Cause::Send(SendError::ConnectionRefused));
    assert_eq!(failure.kind(), ErrorKind::OpenWrite);
    assert!(failure.is_retryable());
    let text = failure.to_string();
    assert!(
        text.contains(&host) && text.contains("nothing listens"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn nothing_listens_where_a_redirect_leads() {
    let port = ClosedPort::new();
    let host = port.origin();
    let server = Server::in_order("127.0.0.1", vec![redirect(&host)]);
    let failure = failure_of(config(&server.url("/")));
    assert_eq!(failure.cause, Cause::Send(SendError::ConnectionRefused));
    assert_eq!(failure.host, host);
}

#[test]
fn connection_is_closed_without_a_reply() {
    let server = Server::in_order("127.0.0.1", vec![Action::Close]);
    let failure = failure_of(config(&server.url("/")));
    assert_eq!(failure.cause, Cause::Send(SendError::Closed));
    assert!(failure.is_retryable());
    assert!(
        failure.to_string().contains("closed the connection"),
        "{failure}"
    );
    // The server may have accepted the offer, so the HTTP client must not repeat
    // it on its own.
    assert_eq!(server.lines(), ["POST /"]);
}

#[test]
fn connection_is_closed_before_the_request() {
    let server = Server::start_wrapped("http", "127.0.0.1", |_| None, |_| Action::Close);
    let failure = failure_of(config(&server.url("/")));
    assert_eq!(failure.cause, Cause::Send(SendError::Closed));
}

#[test]
fn connection_is_reset() {
    let server = Server::resetting("127.0.0.1");
    let failure = failure_of(config(&server.url("/")));
    assert_eq!(failure.cause, Cause::Send(SendError::Closed));
    assert!(failure.is_retryable());
}

#[test]
fn reply_that_is_no_http() {
    let server = Server::start_wrapped(
        "http",
        "127.0.0.1",
        |mut stream| {
            let _ = std::io::Write::write_all(&mut stream, b"SSH-2.0-OpenSSH_9.2\r\n");
            Some(Box::new(stream))
        },
        |_| Action::Silence,
    );
    let failure = failure_of(config(&server.url("/")));
    assert!(
        matches!(failure.cause, Cause::Send(SendError::Other(_))),
        "{failure:?}"
    );
    assert!(failure.to_string().contains(&server.origin()), "{failure}");
}

#[test]
fn silence_ends_with_the_timeout() {
    let server = Server::start("127.0.0.1", |_| Action::Silence);
    let failure = failure_at_timeout(&server, &server.url("/"), "POST /");
    assert_eq!(failure.cause, Cause::Send(SendError::Timeout));
    assert!(failure.is_retryable());
    assert!(failure.to_string().contains("timeout"), "{failure}");
}

#[test]
fn timeout_covers_all_hops_together() {
    let silent = Server::start("127.0.0.2", |_| Action::Silence);
    let next = silent.url("/");
    let server = Server::start("127.0.0.1", move |_| redirect(&next));
    let failure = failure_at_timeout(&silent, &server.url("/"), "POST /");
    assert_eq!(failure.cause, Cause::Send(SendError::Timeout));
    assert_eq!(failure.host, silent.origin());
}

#[test]
fn refusal_whose_words_stall_is_told_by_its_status() {
    let server = Server::start("127.0.0.1", |_| {
        Reply::new(404).body("no such").stalling().into()
    });
    let failure = failure_of(Config {
        // Real time: a paused clock would have to move exactly after the head is read.
        http_timeout: Some(Duration::from_millis(300)),
        ..config(&server.url("/"))
    });
    assert_eq!(failure.http_status(), Some(404));
    assert!(failure.to_string().contains("no such"), "{failure}");
}
