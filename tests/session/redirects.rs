//! Redirects of the POST: how many are followed, which status codes, and to
//! which hosts.

use gstivs::ivs::{RedirectHosts, TokenDenied};
use gstivs::session::{Cause, Config, Ended, ErrorKind, Failure, Phase};
use gstivs::whip::{MAX_HOPS, PostError};

use crate::common::{Action, Reply, Server, created, redirect};
use crate::publisher::{BEARER, Publisher, config, config_without_token, names, whip_server};

/// Redirects `/0` to `/1` and so on, and makes a session at the path `last`.
fn chain(last: usize) -> Server {
    Server::start("127.0.0.1", move |request| {
        match request.path[1..].parse::<usize>() {
            Ok(hop) if hop == last => created("/session", request),
            Ok(hop) => redirect(&format!("/{}", hop + 1)),
            Err(_) => Reply::new(200).into(),
        }
    })
}

/// The failure of a session whose POST gets this reply.
fn failure_at(reply: Reply) -> Failure {
    let server = Server::in_order("127.0.0.1", vec![reply.into()]);
    let (failure, ended) = Publisher::offering(config(&server.url("/whip"))).failed();
    assert_eq!(ended, Ended::NothingToDelete);
    assert_eq!(server.lines(), ["POST /whip"]);
    assert_eq!(
        (failure.phase, failure.host.clone()),
        (Phase::Post, server.origin())
    );
    failure
}

fn post_error(failure: &Failure) -> &PostError {
    match &failure.cause {
        Cause::Post { error, .. } => error,
        other => panic!("expected an error of the POST, found {other:?}"),
    }
}

/// A URL of this server by an address outside 127.0.0.0/8: the token may not go
/// there, though the packets stay on this machine.
fn elsewhere(server: &Server, path: &str) -> String {
    format!("http://0.0.0.0:{}{path}", server.port())
}

#[test]
fn over_long_location() {
    let location = format!("/{}", "s".repeat(70_000));
    let failure = failure_at(Reply::new(307).header("Location", &location));
    let text = failure.to_string();
    assert!(text.contains("8 KB") && !text.contains("builder"), "{text}");
}

#[test]
fn ten_hops_are_followed() {
    let server = chain(MAX_HOPS);
    let publisher = Publisher::publishing(config(&server.url("/0")));
    publisher.stop_and_delete();
    let lines = server.lines();
    assert_eq!(lines.len(), MAX_HOPS + 2);
    assert_eq!(lines[MAX_HOPS..], ["POST /10", "DELETE /session"]);
}

#[test]
fn the_eleventh_is_not() {
    let server = chain(MAX_HOPS + 1);
    let (failure, ended) = Publisher::offering(config(&server.url("/0"))).failed();
    assert_eq!(post_error(&failure), &PostError::TooManyHops);
    assert_eq!(ended, Ended::NothingToDelete);
    assert_eq!(server.requests().len(), MAX_HOPS + 1);
    assert!(!failure.is_retryable());
    assert!(
        failure.to_string().contains("more than 10 redirects"),
        "{failure}"
    );
}

#[test]
fn a_circle_is_noticed_when_it_closes() {
    let server = Server::start("127.0.0.1", |request| match request.path.as_str() {
        "/a" => redirect("/b"),
        _ => redirect("/a"),
    });
    let (failure, _) = Publisher::offering(config(&server.url("/a"))).failed();
    let host = server.origin();
    assert!(failure.to_string().contains(&host), "{failure}");
    assert_eq!(post_error(&failure), &PostError::Loop { host });
    assert_eq!(server.lines(), ["POST /a", "POST /b"]);
}

#[test]
fn every_code_that_repeats_the_post_is_followed() {
    for status in [301, 302, 307, 308] {
        let there = whip_server("127.0.0.2");
        let first = Reply::new(status).header("Location", &there.url("/x"));
        let here = Server::in_order("127.0.0.1", vec![first.into()]);
        let publisher = Publisher::publishing(config(&here.url("/")));
        publisher.stop_and_delete();
        assert_eq!(there.lines(), ["POST /x", "DELETE /session/1"], "{status}");
    }
}

#[test]
fn redirect_without_location_fails() {
    let failure = failure_at(Reply::new(307));
    assert!(matches!(post_error(&failure), PostError::NoLocation { .. }));
    assert_eq!(failure.http_status(), Some(307));
    assert!(
        failure.to_string().contains("without saying where to"),
        "{failure}"
    );
}

#[test]
fn redirect_to_something_that_takes_no_post_fails() {
    for location in ["ftp://127.0.0.1/", "http://", "mailto:stage@example.com"] {
        let failure = failure_at(Reply::new(307).header("Location", location));
        assert!(
            matches!(post_error(&failure), PostError::BadLocation { .. }),
            "{location}: {failure:?}"
        );
    }
}

#[test]
fn see_other_would_make_it_a_get_and_fails() {
    let failure = failure_at(Reply::new(303).header("Location", "/elsewhere"));
    assert!(matches!(
        post_error(&failure),
        PostError::OtherRedirect { .. }
    ));
    assert_eq!(failure.http_status(), Some(303));
    assert!(failure.to_string().contains("303"), "{failure}");
}

#[test]
fn host_that_may_not_have_the_token_hears_nothing() {
    let there = whip_server("127.0.0.1");
    let here = Server::in_order("127.0.0.1", vec![redirect(&elsewhere(&there, "/secret"))]);
    let (failure, ended) = Publisher::offering(config(&here.url("/"))).failed();

    let host = elsewhere(&there, "");
    let text = failure.to_string();
    assert!(
        text.contains(&host) && text.contains("redirect-hosts"),
        "{text}"
    );
    assert!(!text.contains("secret"), "{text}");
    assert_eq!(
        failure.cause,
        Cause::TokenDenied(TokenDenied::Host { host })
    );
    assert_eq!(failure.kind(), ErrorKind::NotAuthorized);
    assert!(!failure.is_retryable());
    assert_eq!(ended, Ended::NothingToDelete);
    assert_eq!(there.connections(), 0);
}

#[test]
fn redirect_hosts_lets_the_token_through() {
    let there = whip_server("127.0.0.1");
    let here = Server::in_order("127.0.0.1", vec![redirect(&elsewhere(&there, "/"))]);
    let listed = format!("media.example.net, 0.0.0.0:{}", there.port());
    let config = Config {
        redirect_hosts: RedirectHosts::parse(&listed).unwrap(),
        ..config(&here.url("/"))
    };
    Publisher::publishing(config).stop_and_delete();
    assert_eq!(there.lines(), ["POST /", "DELETE /session/1"]);
    for request in there.requests() {
        assert_eq!(request.authorization(), Some(BEARER));
    }
}

#[test]
fn redirect_hosts_with_another_port_does_not() {
    let there = whip_server("127.0.0.1");
    let here = Server::in_order("127.0.0.1", vec![redirect(&elsewhere(&there, "/"))]);
    let config = Config {
        redirect_hosts: RedirectHosts::parse("0.0.0.0:9").unwrap(),
        ..config(&here.url("/"))
    };
    let (failure, _) = Publisher::offering(config).failed();
    assert!(
        matches!(failure.cause, Cause::TokenDenied(_)),
        "{failure:?}"
    );
    assert_eq!(there.connections(), 0);
}

#[test]
fn without_a_token_any_host_will_do() {
    let there = whip_server("127.0.0.1");
    let here = Server::in_order("127.0.0.1", vec![redirect(&elsewhere(&there, "/"))]);
    Publisher::publishing(config_without_token(&here.url("/"))).stop_and_delete();
    assert_eq!(there.lines(), ["POST /", "DELETE /session/1"]);
}

#[test]
fn each_hop_is_told() {
    let server = chain(2);
    let publisher = Publisher::offering(config(&server.url("/0")));
    let events: Vec<_> = (0..4).map(|_| publisher.next()).collect();
    assert_eq!(
        names(&events),
        ["connecting", "redirected", "redirected", "answer"]
    );
    publisher.stop_and_delete();
}

#[test]
fn body_of_a_redirect_is_not_waited_for_without_end() {
    let there = whip_server("127.0.0.2");
    let endless = Reply::new(307)
        .header("Location", &there.url("/"))
        .padded(100 * 1024 * 1024);
    let here = Server::in_order("127.0.0.1", vec![Action::Reply(endless)]);
    Publisher::publishing(config(&here.url("/"))).stop_and_delete();
    assert_eq!(there.lines(), ["POST /", "DELETE /session/1"]);
}
