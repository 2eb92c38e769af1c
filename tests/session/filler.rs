//! The filler video of an offer without video, and the fallback from one filler
//! mode to the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gstivs::ivs::{Filler, FillerMode, OfferedVideo};
use gstivs::session::{Cause, Config, Event, Input, PeerEvent, Retries, State};
use gstivs::whip::Offer;

use crate::common::{Reply, Server, created};
use crate::publisher::{OFFER, Publisher, config, names, peer_event};

const NO_SESSION: &str = r#"{"code":2001,"message":"failed to create publisher session"}"#;

/// A server that refuses the first `count` POSTs and accepts the others.
fn server_that_refuses(count: usize) -> Server {
    let posts = AtomicUsize::new(0);
    Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" if posts.fetch_add(1, Ordering::SeqCst) < count => {
            Reply::new(400).body(NO_SESSION).into()
        }
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    })
}

fn with_filler(server: &Server, filler: Filler) -> Config {
    Config {
        filler,
        ..config(&server.url("/"))
    }
}

/// Offers until a session publishes, then stops it. Returns the video of each
/// offer.
fn offered(config: Config) -> Vec<OfferedVideo> {
    let publisher = Publisher::start(config);
    let mut offered = vec![publisher.offer_next()];
    loop {
        enum Next {
            FillerFallback,
            Answered(u64),
        }
        match publisher.until(|event| match event {
            Event::FillerFallback { .. } => Some(Next::FillerFallback),
            Event::Answer { peer, .. } => Some(Next::Answered(*peer)),
            _ => None,
        }) {
            Next::FillerFallback => offered.push(publisher.offer_next()),
            Next::Answered(peer) => {
                let event = PeerEvent::Connected;
                publisher.tell(Input::Peer { peer, event });
                publisher
                    .until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
                publisher.stop_and_delete();
                return offered;
            }
        }
    }
}

#[test]
fn auto_falls_back_at_once_and_the_second_start_needs_one_request() {
    let server = server_that_refuses(2);
    assert_eq!(
        offered(with_filler(&server, Filler::Auto)),
        [
            FillerMode::Inactive,
            FillerMode::Sendonly,
            FillerMode::Black
        ]
        .map(OfferedVideo::Filler)
    );
    assert_eq!(
        offered(with_filler(&server, Filler::Auto)),
        [OfferedVideo::Filler(FillerMode::Black)]
    );
    // Three POSTs and a DELETE, then one of each.
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn what_worked_is_remembered_for_its_host_alone() {
    let server = server_that_refuses(1);
    assert_eq!(offered(with_filler(&server, Filler::Auto)).len(), 2);
    let other_path = Config {
        endpoint: gstivs::whip::Endpoint::parse(&server.url("/publish/other")).unwrap(),
        ..with_filler(&server, Filler::Auto)
    };
    assert_eq!(
        offered(other_path),
        [OfferedVideo::Filler(FillerMode::Sendonly)]
    );
    let other = server_that_refuses(0);
    let other_host = with_filler(&other, Filler::Auto);
    assert_eq!(
        offered(other_host),
        [OfferedVideo::Filler(FillerMode::Inactive)]
    );
}

/// A publisher on air with the first mode and the default retries.
fn on_air(server: &Server) -> Publisher {
    on_air_with(Publisher::start, server)
}

fn on_air_with(start: fn(Config) -> Publisher, server: &Server) -> Publisher {
    let publisher = start(Config {
        retries: Retries::Default,
        ..with_filler(server, Filler::Auto)
    });
    publish_next(&publisher, FillerMode::Inactive);
    publisher
}

/// Makes the next offer, checks its filler mode, and gets on air.
fn publish_next(publisher: &Publisher, mode: FillerMode) {
    assert_eq!(publisher.offer_next(), OfferedVideo::Filler(mode));
    let peer = publisher.until(|event| match event {
        Event::Answer { peer, .. } => Some(*peer),
        _ => None,
    });
    let event = PeerEvent::Connected;
    publisher.tell(Input::Peer { peer, event });
    publisher.until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
}

/// Ends this peer connection. Returns the wait before the next attempt.
fn lose(publisher: &Publisher, peer: u64, cause: Cause) -> Duration {
    let event = PeerEvent::Broken(cause);
    publisher.tell(Input::Peer { peer, event });
    publisher.until(|event| match event {
        Event::Retry { wait, .. } => Some(*wait),
        _ => None,
    })
}

#[test]
fn closed_by_the_far_end_twice_and_soon_it_falls_back_and_tells_the_loss_too() {
    let server = server_that_refuses(0);
    let publisher = on_air(&server);
    lose(&publisher, 1, Cause::Closed);
    publish_next(&publisher, FillerMode::Inactive);
    lose(&publisher, 2, Cause::Closed);
    let to = publisher.until(|event| match event {
        Event::FillerFallback { to, .. } => Some(*to),
        _ => None,
    });
    assert_eq!(to, FillerMode::Sendonly);
    publish_next(&publisher, FillerMode::Sendonly);
    publisher.stop_and_delete();
    // The mode was a guess and its session was short, so it is not remembered.
    let again = with_filler(&server, Filler::Auto);
    assert_eq!(offered(again), [OfferedVideo::Filler(FillerMode::Inactive)]);
}

#[test]
fn lost_or_replaced_it_keeps_its_mode() {
    let server = server_that_refuses(0);
    let publisher = on_air_with(Publisher::paused, &server);
    for peer in 1..3 {
        publisher.advance(lose(
            &publisher,
            peer,
            Cause::Lost("ICE found no way".into()),
        ));
        publish_next(&publisher, FillerMode::Inactive);
    }
    // A short session, then one that is replaced for new media, then another
    // short one.
    publisher.advance(lose(&publisher, 3, Cause::Closed));
    publish_next(&publisher, FillerMode::Inactive);
    publisher.tell(Input::Replace);
    publisher.advance(Duration::ZERO);
    publish_next(&publisher, FillerMode::Inactive);
    publisher.advance(lose(&publisher, 5, Cause::Closed));
    publish_next(&publisher, FillerMode::Inactive);
    publisher.stop_and_delete();
}

#[test]
fn what_was_on_air_and_is_refused_is_offered_again_after_a_wait() {
    let posts = AtomicUsize::new(0);
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" if posts.fetch_add(1, Ordering::SeqCst) == 1 => {
            Reply::new(400).body(NO_SESSION).into()
        }
        "POST" => created("/session/1", request),
        _ => Reply::new(200).into(),
    });
    let publisher = on_air_with(Publisher::paused, &server);
    lose(&publisher, 1, Cause::Closed);
    assert_eq!(
        publisher.offer_next(),
        OfferedVideo::Filler(FillerMode::Inactive)
    );
    let wait = publisher.until(|event| match event {
        Event::Retry { wait, .. } => Some(*wait),
        Event::FillerFallback { .. } | Event::Failed(_) => {
            panic!("expected a wait, found {event:?}")
        }
        _ => None,
    });
    assert!(wait >= Duration::from_secs(1), "{wait:?}");
    publisher.advance(wait);
    publish_next(&publisher, FillerMode::Inactive);
    publisher.stop_and_delete();
}

#[test]
fn a_fallback_takes_no_retry() {
    let server = server_that_refuses(2);
    let config = Config {
        retries: Retries::Limit(0),
        ..with_filler(&server, Filler::Auto)
    };
    assert_eq!(offered(config).len(), 3);
}

#[test]
fn refused_in_every_mode_it_says_so() {
    let server = server_that_refuses(9);
    let publisher = Publisher::start(with_filler(&server, Filler::Auto));
    for _ in 0..3 {
        publisher.offer_next();
    }
    let (failure, _) = publisher.failed();
    assert_eq!(failure.ivs_code(), Some(2001));
    assert!(failure.to_string().contains("every form"), "{failure}");
    assert_eq!(server.requests().len(), 3);
}

/// The code says that no codec is common, and the audio's is none of IVS's.
#[test]
fn a_refused_audio_codec_is_not_the_fillers() {
    let server = Server::start("127.0.0.1", |_| {
        let body = r#"{"code":2014,"message":"no matching codec"}"#;
        Reply::new(400).body(body).into()
    });
    let publisher = Publisher::start(with_filler(&server, Filler::Auto));
    let text = OFFER.replace("OPUS/48000/2", "PCMU/8000");
    let offer = PeerEvent::Offer {
        offer: Offer::new(&text, "stream", None).unwrap(),
        video: OfferedVideo::Filler(FillerMode::Inactive),
        heard: Arc::default(),
        took: Duration::ZERO,
    };
    publisher.tell(peer_event(offer));
    let events = publisher.to_the_end();
    assert_eq!(names(&events), ["connecting", "failed", "ended"]);
    let failure = events.iter().find_map(|event| match event {
        Event::Failed(failure) => Some(failure.to_string()),
        _ => None,
    });
    let refused = format!(
        "{} refused the offer (HTTP 400, IVS code 2014: ",
        server.origin()
    );
    assert_eq!(
        failure.unwrap(),
        format!(
            "{refused}no matching codec); the audio is PCMU, and IVS takes only Opus: use opusenc \
             with rtpopuspay."
        )
    );
}

#[test]
fn a_pinned_filler_is_refused_once() {
    let server = server_that_refuses(9);
    let publisher = Publisher::start(with_filler(&server, Filler::Pinned(FillerMode::Sendonly)));
    let pinned = OfferedVideo::Pinned(FillerMode::Sendonly);
    assert_eq!(publisher.offer_next(), pinned);
    let (failure, _) = publisher.failed();
    assert!(
        failure.to_string().contains("video-filler=sendonly is set"),
        "{failure}"
    );
    assert_eq!(server.requests().len(), 1);
}
