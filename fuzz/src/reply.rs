//! A reply to the POST: Location, Link headers, refusals.

use bytes::Bytes;
use gstivs::ivs::{
    OfferedMedia, OfferedVideo, RedirectHosts, explain_refusal, is_final_for_ivs, ivs_code,
    may_have_token,
};
use gstivs::whip::{
    Body, Created, Endpoint, IceServer, Offer, Post, PostError, Redirect, Refusal, Reply, Token,
};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use url::Url;

const OFFER: &str = include_str!("../../tests/fixtures/answers/offer.sdp");
const TOKEN: &str = "eyJhbGciOiJFUzM4NCJ9.eyJyZXNvdXJjZSI6ImFybiJ9.c2lnbmF0dXJlMDEyMzQ1Njc4OQ";
const PATH: &str = "stream-key-0123456789";

/// The bytes are a reply as on the wire.
pub fn reply(data: &[u8]) {
    let Some(response) = response(data) else {
        return;
    };
    for endpoint in [
        "https://global.whip.live-video.net",
        "http://127.0.0.1:8080",
    ] {
        let endpoint = Endpoint::parse(&format!("{endpoint}/{PATH}")).unwrap();
        let post = Post::new(&endpoint, Offer::new(OFFER, "s", None).unwrap());
        let asked = post.url().clone();
        match post.read(&response) {
            Ok(Reply::Redirect(redirect)) => redirected(&asked, &redirect),
            Ok(Reply::Created(created)) => was_created(&created),
            Err(PostError::Refused(refusal)) => refused(refusal, &asked),
            Err(error) => drop(error.to_string()),
        }
    }
}

fn response(data: &[u8]) -> Option<Response<Body>> {
    let end = data.windows(2).position(|pair| pair == b"\n\n");
    let end = end.or_else(|| Some(data.windows(3).position(|it| it == b"\n\r\n")? + 1));
    let (head, body) = data.split_at(end.unwrap_or(data.len()));
    let mut lines = head.split(|byte| *byte == b'\n');
    let status = std::str::from_utf8(lines.next()?.get(9..12)?).ok()?;
    let mut response = Response::new(Body::Whole(Bytes::copy_from_slice(body)));
    *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).ok()?;
    for line in lines {
        let line = line.trim_ascii();
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            response.headers_mut().append(name, value);
        }
    }
    Some(response)
}

fn redirected(asked: &Url, redirect: &Redirect) {
    let to = redirect.to.url();
    assert_eq!(&redirect.from, asked);
    assert!(matches!(to.scheme(), "http" | "https") && to.host().is_some() && to != asked);
    if may_have_token(asked, to, &RedirectHosts::default()).is_err() {
        return;
    }
    // The rules once more, in other words.
    assert!(
        !(asked.scheme() == "https" && to.scheme() == "http"),
        "{to}"
    );
    // A name that ends in a dot is the same one, from the root on.
    let host = to.host_str().unwrap();
    let host = host.strip_suffix('.').unwrap_or(host);
    let is_ivs = host == "live-video.net" || host.ends_with(".live-video.net");
    let is_local = host.starts_with("127.")
        || matches!(host, "localhost" | "[::1]")
        || host.ends_with(".localhost")
        || host.starts_with("[::ffff:7f");
    let was_local = asked.host_str() == Some("127.0.0.1");
    assert!(
        if was_local {
            is_local
        } else {
            is_ivs && to.scheme() == "https"
        },
        "{to}"
    );
}

fn was_created(created: &Created) {
    if let Some(resource) = &created.resource {
        let url = resource.url().clone();
        assert!(matches!(url.scheme(), "http" | "https"));
        // The sentences for users name the host alone, which a path can repeat.
        let (path, origin) = (url.path(), url.origin().ascii_serialization());
        let shown = format!("{resource:?}").contains(path);
        assert!(!shown || path.len() < 8 || origin.contains(path));
    }
    assert!(created.ice_servers.len() <= 8);
    created.ice_servers.iter().for_each(is_ice_server);
}

fn is_ice_server(server: &IceServer) {
    let scheme = server.url.split(':').next().unwrap();
    assert!(
        matches!(scheme, "stun" | "stuns" | "turn" | "turns"),
        "{scheme}"
    );
    let shown = format!("{server:?}");
    let secret = server.credential.as_deref().unwrap_or_default();
    let is_in_url = server.url.contains(secret);
    assert!(
        secret.len() < 8 || is_in_url || !shown.contains(secret),
        "{shown}"
    );
}

fn refused(mut refusal: Refusal, asked: &Url) {
    let token = Token::parse(TOKEN).unwrap();
    let offered = OfferedMedia {
        video: OfferedVideo::Media,
        foreign_codecs: Vec::new(),
    };
    refusal.redact_request(Some(&token), asked);
    let once = refusal.message();
    let texts = [
        once.clone().unwrap_or_default(),
        refusal.to_string(),
        format!("{:?}", explain_refusal(&refusal, &offered)),
    ];
    for text in &texts {
        assert!(!token.is_shown_by(text), "{text}");
        assert!(!text.contains(PATH), "{text}");
    }
    assert!(texts[0].chars().count() <= 201, "{}", texts[0]);
    assert!(!texts[0].chars().any(char::is_control), "{:?}", texts[0]);
    let (_, _) = (ivs_code(&refusal), is_final_for_ivs(&refusal));
    refusal.redact_request(Some(&token), asked);
    assert_eq!(refusal.message(), once);
}
