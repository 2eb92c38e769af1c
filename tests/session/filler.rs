//! What is offered as video where there is none: the ladder of fillers.

use std::sync::atomic::{AtomicUsize, Ordering};

use gstivs::ivs::{Filler, OfferedVideo, Rung};
use gstivs::session::{Config, Event, Input, PeerNews, Retries, State};

use crate::common::{Reply, Server, created};
use crate::publisher::{Publisher, config};

const NO_SESSION: &str = r#"{"code":2001,"message":"failed to create publisher session"}"#;

/// A server that refuses so many POSTs and takes the others.
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

/// Offers until a session publishes, and ends it: what each offer had as video.
fn offered(config: Config) -> Vec<OfferedVideo> {
    let publisher = Publisher::start(config);
    let mut offered = vec![publisher.offer_next()];
    loop {
        enum Next {
            Climbed,
            Answered(u64),
        }
        match publisher.until(|event| match event {
            Event::Climbed { .. } => Some(Next::Climbed),
            Event::Answer { peer, .. } => Some(Next::Answered(*peer)),
            _ => None,
        }) {
            Next::Climbed => offered.push(publisher.offer_next()),
            Next::Answered(peer) => {
                let news = PeerNews::Connected;
                publisher.tell(Input::Peer { peer, news });
                publisher
                    .until(|event| matches!(event, Event::State(State::Publishing)).then_some(()));
                publisher.stop_and_delete();
                return offered;
            }
        }
    }
}

#[test]
fn auto_climbs_at_once_and_the_second_start_needs_one_request() {
    let server = server_that_refuses(2);
    assert_eq!(
        offered(with_filler(&server, Filler::Auto)),
        [Rung::Inactive, Rung::Sendonly, Rung::Black].map(OfferedVideo::Filler)
    );
    assert_eq!(
        offered(with_filler(&server, Filler::Auto)),
        [OfferedVideo::Filler(Rung::Black)]
    );
    // Three POSTs and a DELETE, then one of each.
    assert_eq!(server.requests().len(), 6);
}

#[test]
fn what_worked_is_remembered_for_its_endpoint_alone() {
    let server = server_that_refuses(1);
    assert_eq!(offered(with_filler(&server, Filler::Auto)).len(), 2);
    let other = Config {
        endpoint: gstivs::whip::Endpoint::parse(&server.url("/other")).unwrap(),
        ..with_filler(&server, Filler::Auto)
    };
    assert_eq!(offered(other), [OfferedVideo::Filler(Rung::Inactive)]);
}

#[test]
fn climbing_takes_no_retries() {
    let server = server_that_refuses(2);
    let config = Config {
        retries: Retries::Limit(0),
        ..with_filler(&server, Filler::Auto)
    };
    assert_eq!(offered(config).len(), 3);
}

#[test]
fn refused_to_the_last_rung_it_says_so() {
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

#[test]
fn a_pinned_filler_is_refused_once() {
    let server = server_that_refuses(9);
    let publisher = Publisher::start(with_filler(&server, Filler::Pinned(Rung::Sendonly)));
    let pinned = OfferedVideo::Pinned(Rung::Sendonly);
    assert_eq!(publisher.offer_next(), pinned);
    let (failure, _) = publisher.failed();
    assert!(
        failure.to_string().contains("video-filler=sendonly is set"),
        "{failure}"
    );
    assert_eq!(server.requests().len(), 1);
}
