//! A far end from which nothing is received any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use gstivs::session::{Cause, Config, Event, Input, PeerEvent, Retries, State};

use crate::far_end::FarEnd;
use crate::publisher::{Publisher, config, offer, whip_server};

/// The default of `silence-timeout`; an interval is a fifth of it.
const SILENCE: Duration = Duration::from_secs(10);
const INTERVAL: Duration = Duration::from_secs(2);

/// Publishes on this peer connection and returns its counter of received packets.
fn publish(publisher: &Publisher, peer: u64) -> Arc<AtomicU64> {
    let counter = Arc::new(AtomicU64::new(0));
    if let Input::Peer {
        event: PeerEvent::Offer { offer, video, .. },
        ..
    } = offer()
    {
        let event = PeerEvent::Offer {
            offer,
            video,
            heard: counter.clone(),
            took: Duration::ZERO,
        };
        publisher.tell(Input::Peer { peer, event });
    }
    publisher.answer();
    publisher.tell(Input::Peer {
        peer,
        event: PeerEvent::Connected,
    });
    counter
}

/// Lets five silent intervals pass, after which the far end counts as lost.
fn fall_silent(publisher: &Publisher) {
    for _ in 0..4 {
        publisher.advance(INTERVAL);
        assert!(publisher.is_quiet());
    }
    publisher.advance(INTERVAL);
}

fn until_publishing(publisher: &Publisher) {
    publisher.until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
}

fn wait_lost(publisher: &Publisher) {
    let failure = publisher.until(|event| match event {
        Event::Retry { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    assert_eq!(failure.cause, Cause::Silent { after: SILENCE });
}

fn watching(endpoint: &str) -> Config {
    Config {
        silence_timeout: Some(SILENCE),
        retries: Retries::Default,
        ..config(endpoint)
    }
}

#[test]
fn is_lost_at_the_bound_and_one_that_reports_is_not() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::paused(watching(&server.url("/")));
    let heard = publish(&publisher, 1);
    until_publishing(&publisher);
    for _ in 0..10 {
        heard.fetch_add(1, Ordering::Relaxed);
        publisher.advance(INTERVAL);
        assert!(publisher.is_quiet());
    }
    fall_silent(&publisher);
    wait_lost(&publisher);
    publisher.stop();
}

#[test]
fn a_server_that_is_always_mute_is_left_alone_until_it_is_heard() {
    let server = whip_server("127.0.0.1");
    let publisher = Publisher::paused(watching(&server.url("/")));
    publish(&publisher, 1);
    until_publishing(&publisher);
    fall_silent(&publisher);
    wait_lost(&publisher);
    let peer = publisher.next_offer_wanted();
    publish(&publisher, peer);
    until_publishing(&publisher);
    fall_silent(&publisher);
    wait_lost(&publisher);
    let peer = publisher.next_offer_wanted();
    let heard = publish(&publisher, peer);
    until_publishing(&publisher);
    for _ in 0..15 {
        publisher.advance(INTERVAL);
        assert!(publisher.is_quiet(), "silence tells nothing any more");
    }
    heard.fetch_add(1, Ordering::Relaxed);
    publisher.advance(INTERVAL);
    fall_silent(&publisher);
    wait_lost(&publisher);
    publisher.stop();
}

#[test]
fn a_deaf_media_socket_is_lost_although_the_far_end_answers_checks() {
    let far_end = FarEnd::answering();
    let server = far_end.server();
    let publisher = Publisher::paused(watching(&server.url("/")));
    let heard = publish(&publisher, 1);
    until_publishing(&publisher);
    publisher.advance(INTERVAL);
    heard.fetch_add(1, Ordering::Relaxed);
    publisher.advance(INTERVAL);
    // Two times the bound, since checks are answered.
    for _ in 0..9 {
        publisher.advance(INTERVAL);
        assert!(publisher.is_quiet());
        far_end.settle();
    }
    assert!(far_end.checks() > 0);
    publisher.advance(INTERVAL);
    let failure = publisher.until(|event| match event {
        Event::Retry { failure, .. } => Some(failure.clone()),
        _ => None,
    });
    let after = SILENCE * 2;
    assert_eq!(failure.cause, Cause::Silent { after });
    publisher.stop();
}

#[test]
fn a_media_socket_that_was_never_heard_is_kept_as_long_as_checks_are_answered() {
    let far_end = FarEnd::answering();
    let server = far_end.server();
    let publisher = Publisher::paused(watching(&server.url("/")));
    publish(&publisher, 1);
    until_publishing(&publisher);
    for _ in 0..30 {
        publisher.advance(INTERVAL);
        assert!(publisher.is_quiet());
        far_end.settle();
    }
    publisher.stop();
}

#[test]
fn a_far_end_that_never_answers_checks_is_not_asked_for_ever() {
    let far_end = FarEnd::mute();
    let server = far_end.server();
    let publisher = Publisher::paused(watching(&server.url("/")));
    for peer in 1..=2 {
        publish(&publisher, peer);
        until_publishing(&publisher);
        fall_silent(&publisher);
        wait_lost(&publisher);
        assert_eq!(publisher.next_offer_wanted(), peer + 1);
    }
    let before = far_end.checks();
    let heard = publish(&publisher, 3);
    until_publishing(&publisher);
    for _ in 0..100 {
        publisher.advance(INTERVAL);
        assert!(publisher.is_quiet());
    }
    let asked = far_end.checks() - before;
    assert!((1..=10).contains(&asked), "{asked} checks");
    // Once it is heard, silence is a doubt again.
    heard.fetch_add(1, Ordering::Relaxed);
    publisher.advance(INTERVAL);
    fall_silent(&publisher);
    wait_lost(&publisher);
    assert!(far_end.checks() > before + asked);
    publisher.stop();
}
