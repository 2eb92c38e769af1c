//! The profiles of other servers, as a publisher sees them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{BOUND, Reply, delete, exchange, offer, parse, post, request, resolve};
use ivs_stage::{Profile, Rules, Stage};

/// Path and query of the POST. Some servers put a secret there.
const ENDPOINT: &str = "live/key?pass=secret";

/// A stage with a profile's rules, and a session on it.
struct Session {
    stage: Stage,
    token: String,
    /// URL that answered the POST.
    endpoint: String,
    /// The unparsed reply.
    text: String,
    reply: Reply,
}

impl Session {
    fn new(profile: Profile) -> Self {
        let stage = Stage::start(Rules::profile(profile)).unwrap();
        let token = stage.token();
        let mut endpoint = format!("{}{ENDPOINT}", stage.endpoint());
        let first = post(&endpoint, &token, "");
        if let Some(location) = first.header("location") {
            endpoint = location.to_owned();
        }
        let authorization = format!("Bearer {token}");
        let headers = [
            ("Content-Type", "application/sdp"),
            ("Authorization", authorization.as_str()),
        ];
        let text = exchange("POST", &endpoint, &headers, &offer(), BOUND).unwrap();
        Self {
            reply: parse(&text),
            stage,
            token,
            endpoint,
            text,
        }
    }

    fn location(&self) -> &str {
        self.reply.header("location").unwrap()
    }

    fn url(&self) -> String {
        resolve(&self.endpoint, self.location())
    }

    fn delete(&self) -> u16 {
        delete(&self.url(), &self.token).status
    }

    /// A PATCH with a candidate and without ICE credentials.
    fn patch(&self, if_match: Option<&str>) -> Reply {
        let authorization = format!("Bearer {}", self.token);
        let mut headers = vec![
            ("Content-Type", "application/trickle-ice-sdpfrag"),
            ("Authorization", authorization.as_str()),
        ];
        headers.extend(if_match.map(|etag| ("If-Match", etag)));
        let body = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
        request("PATCH", &self.url(), &headers, body)
    }

    fn without_token(&self) -> Reply {
        let headers = [("Content-Type", "application/sdp")];
        request("POST", &self.endpoint, &headers, &offer())
    }
}

#[test]
fn every_profile_answers_an_offer() {
    for profile in Profile::all() {
        let session = Session::new(profile);
        let status = match profile {
            Profile::BroadcastBox2023 | Profile::Monibuca => 200,
            _ => 201,
        };
        assert_eq!(session.reply.status, status, "{profile}");
        assert!(session.reply.body.contains("m=audio 9 "), "{profile}");
        assert_eq!(session.stage.live_sessions(), 1, "{profile}");
    }
}

#[test]
fn every_location_leads_back_to_its_session() {
    for profile in Profile::all() {
        let session = Session::new(profile);
        let status = match profile {
            Profile::Twitch | Profile::Go2rtc => {
                assert_eq!(session.reply.header("location"), None, "{profile}");
                continue;
            }
            // They do nothing on DELETE.
            Profile::Livepeer | Profile::PionExample => continue,
            Profile::BroadcastBox | Profile::BroadcastBox2023 | Profile::Live777 => 204,
            _ => 200,
        };
        assert_eq!(session.delete(), status, "{profile}");
        assert_eq!(session.stage.live_sessions(), 0, "{profile}");
    }
}

#[test]
fn locations_have_the_forms_of_their_servers() {
    let media_mtx = Session::new(Profile::MediaMtx);
    assert!(media_mtx.location().ends_with("?pass=secret"));
    let bare = media_mtx.url().replace("?pass=secret", "");
    assert_eq!(delete(&bare, &media_mtx.token).status, 404);

    let ingress = Session::new(Profile::LiveKitIngress);
    assert!(ingress.location().starts_with("/live/key/session/"));
    let srs = Session::new(Profile::Srs);
    assert!(
        srs.location()
            .starts_with("/live/key/?action=delete&session=")
    );
    let pion = Session::new(Profile::PionExample);
    assert_eq!(pion.location(), "/live/key");
    assert!(
        Session::new(Profile::Livepeer)
            .location()
            .starts_with("http://")
    );
    assert!(Session::new(Profile::Galene).endpoint.ends_with(ENDPOINT));
}

#[test]
fn etags_have_the_forms_of_their_servers() {
    let etag = |profile| {
        Session::new(profile)
            .reply
            .header("etag")
            .map(str::to_owned)
    };
    assert_eq!(etag(Profile::MediaMtx).as_deref(), Some("*"));
    assert_eq!(etag(Profile::LiveKit).as_deref(), Some("ufrag"));
    assert_eq!(etag(Profile::Livepeer).as_deref(), Some("W/\"livepeer\""));
    assert_eq!(etag(Profile::Galene).as_deref(), Some("\"galene\""));
    assert_eq!(etag(Profile::Live777), None);
}

#[test]
fn heads_have_the_forms_of_their_servers() {
    let ivs = Session::new(Profile::Ivs).text;
    assert!(
        ivs.contains("\r\ncontent-type: application/sdp\r\n"),
        "{ivs}"
    );
    let live_kit = Session::new(Profile::LiveKit).text;
    assert!(
        live_kit.contains("\r\nContent-Type: application/sdp\r\n"),
        "{live_kit}"
    );
    let cloudflare = Session::new(Profile::Cloudflare).text;
    assert!(
        cloudflare.contains("\r\nCONTENT-TYPE: application/sdp\r\n"),
        "{cloudflare}"
    );
    assert!(cloudflare.contains("\r\na=ice-lite\r\n"));
    assert!(
        Session::new(Profile::Srs)
            .text
            .contains("\r\nConnection: close\r\n")
    );
    let pion = Session::new(Profile::PionExample);
    assert_eq!(pion.reply.header("content-type"), None);
    let eyevinn = Session::new(Profile::Eyevinn).text;
    assert!(eyevinn.contains("\r\nlink: stun:") && eyevinn.contains("credential: \"c\""));
}

#[test]
fn patches_get_the_statuses_of_their_servers() {
    let status = |profile, if_match| Session::new(profile).patch(if_match).status;
    assert_eq!(status(Profile::Ivs, None), 405);
    assert_eq!(status(Profile::MediaMtx, Some("other")), 204);
    assert_eq!(status(Profile::LiveKit, None), 428);
    assert_eq!(status(Profile::LiveKit, Some("any")), 204);
    assert_eq!(status(Profile::LiveKitIngress, Some("any")), 422);
    assert_eq!(status(Profile::Janus, None), 204);
    assert_eq!(status(Profile::JanusStrict, None), 412);
    assert_eq!(status(Profile::JanusStrict, Some("\"janus\"")), 204);
    assert_eq!(status(Profile::JanusNoTrickle, None), 405);
    assert_eq!(status(Profile::Galene, None), 204);
    assert_eq!(status(Profile::Galene, Some("\"other\"")), 412);
    assert_eq!(status(Profile::Livepeer, None), 404);
    let janus = Session::new(Profile::Janus).patch(None);
    assert_eq!(janus.header("etag"), Some("\"janus\""));

    let cloudflare = Session::new(Profile::Cloudflare);
    let bound = Duration::from_millis(100);
    assert!(exchange("PATCH", &cloudflare.url(), &[], "", bound).is_err());
    let pion = Session::new(Profile::PionExample);
    assert_eq!(exchange("PATCH", &pion.url(), &[], "", BOUND).unwrap(), "");
}

#[test]
fn deletes_get_the_statuses_of_their_servers() {
    let galene = Session::new(Profile::Galene);
    let authorization = format!("Bearer {}", galene.token);
    let headers = [
        ("Authorization", authorization.as_str()),
        ("If-Match", "\"other\""),
    ];
    assert_eq!(request("DELETE", &galene.url(), &headers, "").status, 412);
    assert_eq!(galene.stage.live_sessions(), 1);
    assert_eq!(galene.delete(), 200);

    let livepeer = Session::new(Profile::Livepeer);
    assert_eq!(livepeer.delete(), 404);
    assert_eq!(livepeer.stage.live_sessions(), 1);
    let broadcast_box = Session::new(Profile::BroadcastBox);
    assert_eq!(broadcast_box.delete(), 204);
    assert_eq!(broadcast_box.delete(), 400);
}

#[test]
fn a_missing_token_gets_the_status_of_its_server() {
    let status = |profile| Session::new(profile).without_token().status;
    assert_eq!(status(Profile::Ivs), 403);
    assert_eq!(status(Profile::BroadcastBox), 400);
    let media_mtx = Session::new(Profile::MediaMtx).without_token();
    assert_eq!(media_mtx.status, 401);
    assert!(
        media_mtx
            .header("www-authenticate")
            .unwrap()
            .starts_with("Basic")
    );
}

#[test]
fn galene_redirects_posts_with_301() {
    let stage = Stage::start(Rules::profile(Profile::Galene)).unwrap();
    assert_eq!(
        post(&stage.endpoint(), &stage.token(), &offer()).status,
        301
    );
}
