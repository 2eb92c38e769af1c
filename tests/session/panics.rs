//! A panic on the session's own task: told, tried again, and nothing is left behind.

use std::sync::mpsc::channel;

use gstivs::session::{Cause, Config, Event, Input, PeerEvent, Process, Retries, Session, State};

use crate::common::Server;
use crate::publisher::{BOUND, config, names, offer, offer_with, whip_server};

/// Publishes with a receiver of events that panics once, at this event. Returns
/// the server and the names of all events up to the end.
fn publish_with_a_panic_at(event: &'static str, retries: Retries) -> (Server, Vec<Event>) {
    let server = whip_server("127.0.0.1");
    let (sender, received) = channel();
    let mut has_panicked = false;
    let emit = move |told: Event| {
        let is_it = names(std::slice::from_ref(&told)) == [event];
        assert!(
            !is_it || std::mem::replace(&mut has_panicked, true),
            "on purpose"
        );
        drop(sender.send(told));
    };
    let config = Config {
        retries,
        ..config(&server.url("/"))
    };
    let process = Process::get().unwrap();
    let (session, ending) = Session::start(process.runtime(), process, config, emit);
    session.tell(offer());
    let mut events = Vec::new();
    loop {
        let told = received.recv_timeout(BOUND).expect("one more event");
        match &told {
            Event::MakeOffer {
                peer,
                without_video,
            } if *peer > 1 => session.tell(offer_with(*peer, *without_video)),
            Event::Answer { peer, .. } => session.tell(Input::Peer {
                peer: *peer,
                event: PeerEvent::Connected,
            }),
            Event::State(State::Publishing) => session.tell(Input::Stop),
            _ => {}
        }
        let is_last = matches!(told, Event::Ended(_));
        events.push(told);
        if is_last {
            assert!(ending.wait());
            return (server, events);
        }
    }
}

#[test]
fn in_an_attempt_is_a_failure_that_is_tried_again_and_the_session_is_deleted() {
    let (server, events) = publish_with_a_panic_at("answer", Retries::Default);
    let failure = events.iter().find_map(|event| match event {
        Event::Retry { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    let failure = failure.expect("another attempt");

    assert!(matches!(failure.cause, Cause::Panicked(_)), "{failure}");
    assert!(failure.is_retryable() && failure.to_string().contains("fault of this plugin"));
    let deletes = server.lines();
    let deletes = deletes.iter().filter(|line| line.starts_with("DELETE"));
    assert_eq!(deletes.count(), 2);
    assert!(names(&events).contains(&"publishing"));
}

#[test]
fn outside_of_an_attempt_ends_the_session_with_a_failure() {
    let (_, events) = publish_with_a_panic_at("make offer", Retries::Default);
    assert_eq!(names(&events), ["failed", "ended"]);
}
