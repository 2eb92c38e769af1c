//! Candidates of an answer that have a host name.

use std::net::{IpAddr, Ipv4Addr};

use gstivs::session::Event;

use crate::common::{Action, Reply, Request, Server, answer_for};
use crate::publisher::{Publisher, TOKEN, config, names};

/// A server whose answers have a candidate with this host.
fn server(host: &str) -> Server {
    let candidate = format!("a=candidate:1 1 udp 1 {host} 9 typ host\r\n");
    let reply = move |request: &Request| -> Action {
        match request.method.as_str() {
            "POST" => Reply::new(201)
                .header("Content-Type", "application/sdp")
                .header("Location", "/session/1")
                .body(answer_for(&request.body) + &candidate)
                .into(),
            _ => Reply::new(200).into(),
        }
    };
    Server::start("127.0.0.1", reply)
}

/// The events up to the answer.
fn events(host: &str) -> Vec<Event> {
    let server = server(host);
    let publisher = Publisher::offering(config(&server.url("/")));
    let mut events = Vec::new();
    while !matches!(events.last(), Some(Event::Answer { .. })) {
        events.push(publisher.next());
    }
    publisher.stop_and_delete();
    events
}

#[test]
fn are_looked_up() {
    let events = events("localhost");
    assert_eq!(names(&events), ["connecting", "candidate name", "answer"]);
    let Some(Event::Answer { answer, .. }) = events.last() else {
        panic!("an answer")
    };
    let addresses = answer.udp_candidates();
    assert!(
        addresses.contains(&(Ipv4Addr::LOCALHOST, 9).into()),
        "{addresses:?}"
    );
    assert_eq!(answer.udp_candidate_names(), []);
    let Event::CandidateName { name, found } = &events[1] else {
        panic!("a name")
    };
    assert_eq!(name, "localhost");
    assert!(
        found
            .as_ref()
            .unwrap()
            .contains(&IpAddr::from([127, 0, 0, 1]))
    );
}

#[test]
fn that_do_not_resolve_change_nothing() {
    let events = events("media.invalid");
    assert_eq!(names(&events), ["connecting", "candidate name", "answer"]);
    assert!(matches!(
        &events[1],
        Event::CandidateName { found: Err(_), .. }
    ));
    let Some(Event::Answer { answer, .. }) = events.last() else {
        panic!("an answer")
    };
    let names = answer.udp_candidate_names();
    assert_eq!(names, [("media.invalid".to_owned(), 9)]);
}

/// A look-up would tell the token to name servers.
#[test]
fn that_repeat_the_token_are_not_looked_up() {
    let events = events(&format!("{TOKEN}.invalid"));
    assert_eq!(names(&events), ["connecting", "answer"]);
}
