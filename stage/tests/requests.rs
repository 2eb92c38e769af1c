//! What a POST needs, and what the session URL answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{delete, offer, post, regional, request};
use ivs_stage::{
    Happening, KeySource, LastRedirect, Lifetime, LocationForm, Refusal, Rules, Stage, TokenWish,
    VideoRule,
};

const NO_SESSION: &str = r#"{"code":2001,"message":"failed to create publisher session"}"#;

fn stage(rules: Rules) -> Stage {
    Stage::start(rules).unwrap()
}

#[test]
fn the_global_host_redirects_the_post() {
    let stage = stage(Rules::default());
    let reply = post(&stage.endpoint(), &stage.token(), &offer());
    assert_eq!(reply.status, 307);
    assert_eq!(reply.header("location"), Some(regional(&stage).as_str()));
    assert_ne!(stage.endpoint(), regional(&stage));

    let bare = request("POST", &format!("{}a?b=c", stage.endpoint()), &[], "");
    assert_eq!(
        bare.header("location"),
        Some(format!("{}a?b=c", regional(&stage)).as_str())
    );
    let seen: Vec<bool> = stage
        .events()
        .iter()
        .filter_map(|event| match &event.what {
            Happening::Redirect { authorization, .. } => Some(*authorization),
            _ => None,
        })
        .collect();
    assert_eq!(seen, [true, false]);
}

#[test]
fn each_hop_is_a_redirect_to_another_host() {
    let stage = stage(Rules {
        hops: 3,
        last_redirect: LastRedirect::PathOnly,
        ..Rules::default()
    });
    let token = stage.token();
    let mut url = stage.endpoint();
    for _ in 0..3 {
        let reply = post(&url, &token, &offer());
        assert_eq!(reply.status, 307);
        url = reply.header("location").unwrap().to_owned();
    }
    assert_eq!(url, regional(&stage));
    let reply = post(&url, &token, &offer());
    assert_eq!(
        (reply.status, reply.header("location")),
        (307, Some("/regional"))
    );
    assert_eq!(
        post(&format!("{url}regional"), &token, &offer()).status,
        201
    );
}

#[test]
fn without_hops_the_global_host_answers() {
    let stage = stage(Rules {
        hops: 0,
        ..Rules::default()
    });
    let reply = post(&stage.endpoint(), &stage.token(), &offer());
    assert_eq!(reply.status, 201);
    assert_eq!(regional(&stage), stage.endpoint());
}

#[test]
fn the_answer_comes_with_the_session_url_and_no_etag() {
    let stage = stage(Rules::default());
    let reply = post(&regional(&stage), &stage.token(), &offer());
    assert_eq!(reply.status, 201);
    assert_eq!(reply.header("content-type"), Some("application/sdp"));
    assert_eq!(reply.header("etag"), None);
    let prefix = format!("{}session/", regional(&stage));
    assert!(reply.header("location").unwrap().starts_with(&prefix));

    let sections: Vec<&str> = reply.body.split("\r\nm=").collect();
    assert_eq!(sections.len(), 3);
    assert!(sections[1].contains("a=recvonly") && sections[1].contains("a=candidate:"));
    assert!(sections[2].contains("a=inactive") && !sections[2].contains("a=candidate:"));
}

#[test]
fn rules_shape_the_answers_headers() {
    let link = r#"<stun:stun.example.net:3478>; rel="ice-server""#;
    let stage = stage(Rules {
        location: LocationForm::PathOnly,
        etag: Some("\"a\"".into()),
        links: vec![link.into()],
        headers: vec![("X-More".into(), "1".into())],
        ..Rules::default()
    });
    let reply = post(&regional(&stage), &stage.token(), &offer());
    assert!(reply.header("location").unwrap().starts_with("/session/"));
    assert_eq!(reply.header("etag"), Some("\"a\""));
    assert_eq!(reply.header("link"), Some(link));
    assert_eq!(reply.header("x-more"), Some("1"));

    let silent = Rules {
        location: LocationForm::Missing,
        ..Rules::default()
    };
    let stage = self::stage(silent);
    let reply = post(&regional(&stage), &stage.token(), &offer());
    assert_eq!((reply.status, reply.header("location")), (201, None));
}

#[test]
fn an_offer_without_h264_video_is_refused_with_2001() {
    let stage = stage(Rules::default());
    let audio_only = offer().split("m=video").next().unwrap().to_owned();
    let reply = post(&regional(&stage), &stage.token(), &audio_only);
    assert_eq!((reply.status, reply.body.as_str()), (400, NO_SESSION));
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn a_codec_that_ivs_does_not_take_is_refused_with_2014() {
    let stage = stage(Rules::default());
    let linear = offer().replace("opus/48000/2", "L16/48000/2");
    let reply = post(&regional(&stage), &stage.token(), &linear);
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains(r#""code":2014"#), "{}", reply.body);
}

#[test]
fn the_video_rule_can_refuse_inactive_sections() {
    let stage = stage(Rules {
        video: VideoRule::RefuseInactive,
        ..Rules::default()
    });
    let reply = post(&regional(&stage), &stage.token(), &offer());
    assert_eq!((reply.status, reply.body.as_str()), (400, NO_SESSION));
    let sending = offer().replace("a=inactive", "a=sendonly");
    assert_eq!(
        post(&regional(&stage), &stage.token(), &sending).status,
        201
    );
}

#[test]
fn a_body_that_is_not_sdp_is_refused() {
    let stage = stage(Rules::default());
    let reply = post(&regional(&stage), &stage.token(), "hello");
    assert_eq!((reply.status, reply.body.as_str()), (400, NO_SESSION));
}

#[test]
fn the_content_type_must_be_sdp() {
    let stage = stage(Rules::default());
    let authorization = format!("Bearer {}", stage.token());
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", authorization.as_str()),
    ];
    assert_eq!(
        request("POST", &regional(&stage), &headers, &offer()).status,
        415
    );
}

#[test]
fn each_bad_token_has_its_refusal() {
    let stage = stage(Rules::default());
    let url = regional(&stage);
    let sdp = [("Content-Type", "application/sdp")];
    assert_eq!(request("POST", &url, &sdp, &offer()).status, 403);

    let foreign = self::stage(Rules::default()).token();
    let reply = post(&url, &foreign, &offer());
    assert_eq!(reply.status, 403);
    assert!(reply.body.contains(r#""code":2003"#));

    let lifetime = Lifetime::ExpiredSince(Duration::from_secs(1));
    let expired = stage
        .mint(TokenWish {
            lifetime,
            ..TokenWish::default()
        })
        .unwrap();
    let reply = post(&url, &expired, &offer());
    assert_eq!(reply.status, 400);
    assert!(reply.body.contains(r#""code":2002"#));

    let mute = TokenWish {
        allow_publish: false,
        ..TokenWish::default()
    };
    let reply = post(&url, &stage.mint(mute).unwrap(), &offer());
    assert_eq!(reply.status, 403);
    assert!(reply.body.contains(r#""code":2003"#));
    assert!(stage.sessions().is_empty());
}

#[test]
fn delete_works_once_with_the_token_on_the_host_that_has_the_session() {
    let stage = stage(Rules::default());
    let token = stage.token();
    let reply = post(&regional(&stage), &token, &offer());
    let session = reply.header("location").unwrap();
    let path = session.strip_prefix(&regional(&stage)).unwrap();

    assert_eq!(request("DELETE", session, &[], "").status, 403);
    assert_eq!(delete(session, "x").status, 403);
    assert_eq!(
        delete(&format!("{}{path}", stage.endpoint()), &token).status,
        404
    );
    assert_eq!(stage.live_sessions(), 1);
    assert_eq!(delete(session, &token).status, 200);
    assert_eq!(stage.live_sessions(), 0);
    assert_eq!(delete(session, &token).status, 404);
}

#[test]
fn other_methods_answer_by_the_rfc() {
    let stage = stage(Rules::default());
    let token = stage.token();
    let session = post(&regional(&stage), &token, &offer());
    let session = session.header("location").unwrap();
    let authorization = [("Authorization", format!("Bearer {token}"))];
    let authorization = [(authorization[0].0, authorization[0].1.as_str())];
    assert_eq!(request("PATCH", session, &authorization, "").status, 405);
    assert_eq!(request("GET", session, &authorization, "").status, 204);
    let options = request("OPTIONS", &stage.endpoint(), &[], "");
    assert_eq!(options.status, 200);
    assert_eq!(options.header("accept-post"), Some("application/sdp"));
    assert_eq!(request("PUT", &stage.endpoint(), &[], "").status, 405);
}

#[test]
fn each_post_uses_up_one_refusal() {
    let busy = Refusal::status(503).header("Retry-After", "2");
    let full = Refusal::ivs(400, 2005, "stage at capacity");
    let stage = stage(Rules {
        refusals: vec![busy, full],
        ..Rules::default()
    });
    let url = regional(&stage);
    let first = post(&url, &stage.token(), &offer());
    assert_eq!(
        (first.status, first.header("retry-after")),
        (503, Some("2"))
    );
    let second = post(&url, &stage.token(), &offer());
    assert_eq!(
        second.body,
        r#"{"code":2005,"message":"stage at capacity"}"#
    );
    assert_eq!(post(&url, &stage.token(), &offer()).status, 201);
    let codes: Vec<Option<u32>> = stage
        .events()
        .iter()
        .filter_map(|event| match event.what {
            Happening::Refused { code, .. } => Some(code),
            _ => None,
        })
        .collect();
    assert_eq!(codes, [None, Some(2005)]);
}

#[test]
fn the_answer_can_be_late() {
    let answer_delay = Duration::from_millis(200);
    let stage = stage(Rules {
        answer_delay,
        ..Rules::default()
    });
    let asked = Instant::now();
    assert_eq!(
        post(&regional(&stage), &stage.token(), &offer()).status,
        201
    );
    assert!(asked.elapsed() >= answer_delay);
}

#[test]
fn a_restarted_stage_takes_the_same_port_and_tokens() {
    let name = format!("ivs-stage-restart-{}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let first = stage(Rules {
        key: KeySource::File(path.clone()),
        ..Rules::default()
    });
    let (endpoint, host, token) = (first.endpoint(), first.regional_host(), first.token());
    let port = |text: &str| {
        text.trim_end_matches('/')
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert_eq!(post(&regional(&first), &token, &offer()).status, 201);
    drop(first);

    let second = stage(Rules {
        port: port(&endpoint),
        regional_port: port(&host),
        key: KeySource::File(path.clone()),
        ..Rules::default()
    });
    assert_eq!(
        (second.endpoint(), second.regional_host()),
        (endpoint, host)
    );
    assert_eq!(post(&regional(&second), &token, &offer()).status, 201);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn events_hold_no_secret() {
    let stage = stage(Rules::default());
    let token = stage.token();
    let offer = offer();
    post(&stage.endpoint(), &token, &offer);
    let reply = post(&regional(&stage), &token, &offer);
    let session = reply.header("location").unwrap();
    delete(session, &token);

    let record = format!("{:?} {:?}", stage.events(), stage.sessions());
    let secret = session.rsplit('/').next().unwrap();
    assert!(!record.contains(secret));
    for part in token.split('.') {
        assert!(!record.contains(part));
    }
    for sdp in [&offer, &reply.body] {
        let mut lines = sdp.lines();
        let password = lines
            .find_map(|line| line.strip_prefix("a=ice-pwd:"))
            .unwrap();
        assert!(!record.contains(password));
    }
}
