//! The page's own listener: what it gives out, and to whom.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{BOUND, Publisher, delete, post, regional, request, session_is};
use ivs_stage::{Happening, Kind, Rules, Stage, TokenWish};
use serde_json::Value;
use str0m::media::Direction;

fn stage() -> (Stage, String) {
    let stage = Stage::start(Rules {
        page_port: Some(0),
        ..Rules::default()
    })
    .unwrap();
    let page = stage.page().unwrap();
    (stage, page)
}

fn json(method: &str, url: &str) -> Value {
    let reply = request(method, url, &[], "");
    assert_eq!(reply.status, 200, "{}", reply.body);
    serde_json::from_str(&reply.body).unwrap()
}

/// The state, as soon as it passes the test.
fn state_with(page: &str, publisher: &mut Publisher, is: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    let mut number = 0;
    let end = std::time::Instant::now() + BOUND;
    while !is(&found) && std::time::Instant::now() < end {
        publisher.send_audio_packet(number);
        publisher.send_numbered(number, number % 10 == 0);
        publisher.run_until(Duration::from_millis(20), |_| false);
        found = json("GET", &format!("{page}state.json"));
        number += 1;
    }
    assert!(is(&found), "{found}");
    found
}

#[test]
fn there_is_no_page_unless_it_is_wanted() {
    let stage = Stage::start(Rules::default()).unwrap();
    assert_eq!(stage.page(), None);
    let (stage, page) = self::stage();
    let events = stage.events();
    let told =
        matches!(&events[0].what, Happening::Listening { page: Some(told), .. } if *told == page);
    assert!(told, "{events:?}");
    let rules = stage.rules();
    drop(stage);
    assert_eq!(Stage::start(rules).unwrap().page(), Some(page));
}

#[test]
fn every_file_comes_with_a_strict_policy_and_loads_nothing_else() {
    let (_stage, page) = stage();
    let index = request("GET", &page, &[], "");
    let linked = |attribute: &str| {
        let parts = index.body.split(attribute).skip(1);
        let urls = parts.map(|part| part.split('"').next().unwrap().to_owned());
        urls.collect::<Vec<_>>()
    };
    let mut files: Vec<String> = linked("href=\"")
        .into_iter()
        .chain(linked("src=\""))
        .collect();
    files.extend(
        [
            "/",
            "/element.js",
            "/publisher.js",
            "/player.js",
            "/plot.js",
        ]
        .map(String::from),
    );
    files.push("/state.json".into());
    for file in files {
        assert!(file.starts_with('/') && !file.starts_with("//"), "{file}");
        let reply = request(
            "GET",
            &format!("{}{}", page.trim_end_matches('/'), file),
            &[],
            "",
        );
        assert_eq!(reply.status, 200, "{file}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"));
        assert_eq!(
            reply.header("cross-origin-resource-policy"),
            Some("same-origin")
        );
        assert_eq!(reply.header("access-control-allow-origin"), None);
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let away = reply.body.replace("http://www.w3.org/2000/svg", "");
        assert!(file.ends_with("json") || !away.contains("://"), "{file}");
    }
}

#[test]
fn other_sites_get_neither_state_nor_tokens() {
    let (_stage, page) = stage();
    let own = page.trim_end_matches('/').to_owned();
    assert_eq!(
        request(
            "POST",
            &format!("{page}tokens.json"),
            &[("Origin", &own)],
            ""
        )
        .status,
        200
    );
    for path in ["", "state.json", "tokens.json", "sdp.json?session=1"] {
        let url = format!("{page}{path}");
        let method = if path == "tokens.json" { "POST" } else { "GET" };
        for header in [
            ("Origin", "http://evil.example"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
        ] {
            let reply = request(method, &url, &[header], "");
            assert_eq!(reply.status, 403, "{url} {header:?}");
            assert!(!reply.body.contains("eyJ"));
        }
        let (address, host) = (page.split('/').nth(2).unwrap(), "rebound.example:80");
        let text =
            format!("{method} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        assert!(raw(address, &text).starts_with("HTTP/1.1 403"), "{url}");
    }
    assert_eq!(
        request("GET", &format!("{page}tokens.json"), &[], "").status,
        404
    );
    assert_eq!(request("POST", &page, &[], "").status, 404);
    assert_eq!(request("PUT", &page, &[], "").status, 405);
}

fn raw(address: &str, text: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn the_state_tells_who_publishes_and_what_arrives() {
    let (stage, page) = stage();
    let empty = json("GET", &format!("{page}state.json"));
    assert_eq!(empty["publishers"].as_array().unwrap().len(), 0);

    let wish = TokenWish {
        user_id: Some("<script>alert(1)</script>".into()),
        ..TokenWish::default()
    };
    let token = stage.mint(wish).unwrap();
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let session = publisher.publish(&stage, &token);
    let found = state_with(&page, &mut publisher, |state| {
        let samples = state["publishers"][0]["samples"].as_array();
        samples.is_some_and(|samples| samples.len() > 2)
    });
    let shown = &found["publishers"][0];
    assert_eq!(
        shown["participant"],
        stage.sessions()[0].participant.as_str()
    );
    assert_eq!(shown["user_id"], "<script>alert(1)</script>");
    assert_eq!(shown["current"], true);
    let sample = shown["samples"].as_array().unwrap().last().unwrap();
    assert!(sample["bit_rate"].as_u64().unwrap() > 1000, "{sample}");
    assert!(sample["frame_rate"].as_f64().unwrap() > 5.0, "{sample}");
    assert_eq!(sample["loss"], 0.0);
    let texts = found["log"].to_string();
    assert!(
        texts.contains("publishes") && texts.contains("connected"),
        "{texts}"
    );
    let since = sample["at_ms"].as_u64().unwrap();
    let newer = json("GET", &format!("{page}state.json?since={since}"));
    let newer = newer["publishers"][0]["samples"].as_array().unwrap().len();
    assert!(newer <= 1, "{newer} samples");

    assert_eq!(delete(&session, &token).status, 200);
    assert!(session_is(&stage, |report| report.ended.is_some()));
    state_with(&page, &mut publisher, |state| {
        state["publishers"] == Value::Array(vec![])
    });
}

#[test]
fn the_page_shows_no_secret() {
    let (stage, page) = stage();
    let mut publisher = Publisher::new();
    let token = stage.token();
    let session = publisher.publish(&stage, &token);
    let sdp = json("GET", &format!("{page}sdp.json?session=1"));
    let text = sdp.to_string() + &json("GET", &format!("{page}state.json")).to_string();
    for line in publisher.offer.lines() {
        for secret in ["a=ice-pwd:", "a=ice-ufrag:"] {
            if let Some(value) = line.strip_prefix(secret) {
                assert!(!text.contains(value), "{line}");
            }
        }
    }
    let (_, secret) = session.rsplit_once('/').unwrap();
    assert!(!text.contains(secret) && !text.contains(&token));
    assert!(text.contains("a=fingerprint") && text.contains("a=candidate"));
    assert_eq!(text.matches("a=ice-pwd:…").count(), 4, "{text}");
    assert_eq!(
        request("GET", &format!("{page}sdp.json?session=2"), &[], "").status,
        404
    );
}

#[test]
fn the_invitation_is_good_for_what_it_says() {
    let (stage, page) = stage();
    let invitation = json("POST", &format!("{page}tokens.json"));
    let token = |name: &str| invitation[name].as_str().unwrap().to_owned();
    assert_eq!(token("endpoint"), stage.endpoint());
    assert!(token("command").contains(&token("publish")));
    let offer = common::offer();
    let refused = post(&regional(&stage), &token("watch"), &offer);
    assert_eq!(refused.status, 403, "{}", refused.body);
    let mut publisher = Publisher::new();
    publisher.publish(&stage, &token("publish"));
    let participant = &stage.sessions()[0].participant;

    let viewer = Publisher::viewer().offer;
    let url = format!("{page}subscribe/{participant}");
    assert_eq!(post(&url, &token("publish"), &viewer).status, 403);
    let made = post(&url, &token("watch"), &viewer);
    assert_eq!(made.status, 201, "{}", made.body);
    // A path: the page may be reached through a tunnel.
    let session = made.header("location").unwrap();
    assert!(session.starts_with("/session/"), "{session}");
    let session = common::resolve(&url, session);
    assert_eq!(delete(&session, &token("watch")).status, 200);
    assert_eq!(delete(&session, &token("watch")).status, 404);
}

#[test]
fn a_stage_can_be_reached_from_elsewhere() {
    let address = if_addrs::get_if_addrs().unwrap();
    let mut address = address
        .iter()
        .filter(|one| !one.is_loopback() && one.ip().is_ipv4());
    let address = address.next().unwrap().ip();
    for bind in [address, "0.0.0.0".parse().unwrap()] {
        let stage = Stage::start(Rules {
            bind: Some(bind),
            media_address: Some(address),
            page_port: Some(0),
            ..Rules::default()
        })
        .unwrap();
        let here = format!("http://{address}:");
        let urls = [stage.endpoint(), regional(&stage), stage.page().unwrap()];
        assert!(urls.iter().all(|url| url.starts_with(&here)), "{urls:?}");
        let mut publisher = Publisher::new();
        publisher.publish(&stage, &stage.token());
        publisher.send_audio(20, &[]);
        publisher.run_until(Duration::from_millis(200), |_| false);
        assert!(session_is(&stage, |report| report.packets(Kind::Audio) == 20));
    }
}
