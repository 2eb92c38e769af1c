//! PATCH: trickled candidates, and the replies that rules can give.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use common::{Publisher, Reply, exchange, post, regional, request, resolve};
use ivs_stage::{
    AnswerForm, CandidatePlace, Happening, IfMatch, MidRule, PatchEtag, PatchRule, Rules, Stage,
    TrickleRule,
};

const ETAG: &str = "\"e\"";

fn stage(patch: PatchRule) -> Stage {
    let rules = Rules {
        etag: Some(ETAG.into()),
        patch,
        ..Rules::default()
    };
    Stage::start(rules).unwrap()
}

/// A session, and what a PATCH to it needs.
struct Session {
    url: String,
    authorization: String,
    ufrag: String,
    password: String,
}

impl Session {
    fn new(stage: &Stage, offer: &str) -> (Self, Reply) {
        let token = stage.token();
        let url = regional(stage);
        let reply = post(&url, &token, offer);
        assert_eq!(reply.status, 201, "{}", reply.body);
        let value = |name: &str| {
            let mut lines = offer.lines();
            let value = lines.find_map(|line| line.strip_prefix(name));
            value.unwrap().to_owned()
        };
        let session = Self {
            url: resolve(&url, reply.header("location").unwrap()),
            authorization: format!("Bearer {token}"),
            ufrag: value("a=ice-ufrag:"),
            password: value("a=ice-pwd:"),
        };
        (session, reply)
    }

    fn fragment(&self, mid: &str, candidates: &str) -> String {
        let Self {
            ufrag, password, ..
        } = self;
        format!(
            "a=group:BUNDLE {mid}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n\
            a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\n{candidates}"
        )
    }

    fn patch(&self, if_match: Option<&str>, body: &str) -> Reply {
        let kind = "application/trickle-ice-sdpfrag";
        let mut headers = vec![
            ("Content-Type", kind),
            ("Authorization", &self.authorization),
        ];
        headers.extend(if_match.map(|etag| ("If-Match", etag)));
        request("PATCH", &self.url, &headers, body)
    }
}

/// The first section's `mid` and the candidates of an offer.
fn mid_and_candidates(offer: &str) -> (String, String) {
    let mid = offer.lines().find_map(|line| line.strip_prefix("a=mid:"));
    let candidates = offer.split("\r\nm=").nth(1).unwrap().lines();
    let candidates = candidates.filter(|line| line.starts_with("a=candidate:"));
    let candidates = candidates.map(|line| format!("{line}\r\n")).collect();
    (mid.unwrap().to_owned(), candidates)
}

fn without_candidates(offer: &str) -> String {
    let lines = offer.lines().filter(|line| !line.contains("candidate"));
    lines.map(|line| format!("{line}\r\n")).collect()
}

fn seen(stage: &Stage) -> Vec<(u16, usize, bool, IfMatch)> {
    let events = stage.events().into_iter();
    let patches = events.filter_map(|event| match event.what {
        Happening::Patch {
            status,
            candidates,
            end_of_candidates,
            if_match,
            ..
        } => Some((status, candidates, end_of_candidates, if_match)),
        _ => None,
    });
    patches.collect()
}

#[test]
fn trickled_candidates_reach_the_far_end() {
    // Only the PATCH has candidates.
    let stage = Stage::start(Rules {
        etag: Some(ETAG.into()),
        patch: PatchRule::Trickle(TrickleRule::default()),
        answer: AnswerForm {
            candidates: CandidatePlace::Nowhere,
            ..AnswerForm::default()
        },
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::new();
    let (mid, candidates) = mid_and_candidates(&publisher.offer);
    let (session, reply) = Session::new(&stage, &without_candidates(&publisher.offer));
    publisher.accept(&reply.body);

    let body = session.fragment(&mid, &format!("{candidates}a=end-of-candidates\r\n"));
    let patched = session.patch(Some(ETAG), &body.replace("\r\n", "\n"));
    assert_eq!((patched.status, patched.header("etag")), (204, None));
    assert_eq!(patched.body, "");
    publisher.connect();
    assert_eq!(seen(&stage), [(204, 1, true, IfMatch::Equal)]);
    let record = format!("{:?}", stage.events());
    assert!(!record.contains(&session.password));
}

#[test]
fn if_match_is_required_as_the_rfc_says() {
    let stage = stage(PatchRule::Trickle(TrickleRule::default()));
    let offer = common::offer();
    let (mid, candidates) = mid_and_candidates(&offer);
    let (session, _) = Session::new(&stage, &offer);
    let body = session.fragment(&mid, &candidates);
    assert_eq!(session.patch(None, &body).status, 428);
    assert_eq!(session.patch(Some("\"f\""), &body).status, 412);
    assert_eq!(session.patch(Some("e"), &body).status, 412);
    assert_eq!(session.patch(Some("*"), &body).status, 204);
    assert_eq!(session.patch(Some(ETAG), &body).status, 204);
    let forms: Vec<IfMatch> = seen(&stage).iter().map(|patch| patch.3).collect();
    let other = IfMatch::Other;
    assert_eq!(
        forms,
        [IfMatch::None, other, other, IfMatch::Star, IfMatch::Equal]
    );
}

#[test]
fn each_unusable_patch_has_its_status() {
    let stage = stage(PatchRule::Trickle(TrickleRule::UNCHECKED));
    let offer = common::offer();
    let (mid, _) = mid_and_candidates(&offer);
    let (session, _) = Session::new(&stage, &offer);
    assert_eq!(session.patch(None, "hello").status, 400);
    let restart = "m=audio 9 X 0\r\na=mid:0\r\na=ice-ufrag:new\r\na=ice-pwd:new\r\n";
    assert_eq!(session.patch(None, restart).status, 422);
    let body = session.fragment(&mid, "a=candidate:no candidate\r\n");
    assert_eq!(session.patch(None, &body).status, 204);
    let headers = [
        ("Content-Type", "application/sdp"),
        ("Authorization", session.authorization.as_str()),
    ];
    assert_eq!(request("PATCH", &session.url, &headers, &body).status, 415);
    assert_eq!(
        request("PATCH", &session.url, &headers[..1], &body).status,
        403
    );
    let gone = format!("{}x", session.url);
    assert_eq!(request("PATCH", &gone, &headers, &body).status, 404);
}

#[test]
fn a_session_takes_so_many_candidates_and_no_more() {
    let stage = stage(PatchRule::Trickle(TrickleRule::UNCHECKED));
    let offer = common::offer();
    let (mid, candidates) = mid_and_candidates(&offer);
    let (session, _) = Session::new(&stage, &offer);
    let body = |number| session.fragment(&mid, &candidates.repeat(number));
    assert_eq!(session.patch(None, &body(257)).status, 400);
    assert_eq!(session.patch(None, &body(200)).status, 204);
    assert_eq!(session.patch(None, &body(57)).status, 400);
    assert_eq!(session.patch(None, &body(56)).status, 204);
    let counted: Vec<usize> = seen(&stage).iter().map(|patch| patch.1).collect();
    assert_eq!(counted, [0, 200, 57, 56]);
}

#[test]
fn a_server_may_be_strict_about_sections_and_send_an_etag() {
    let stage = stage(PatchRule::Trickle(TrickleRule {
        mid: MidRule::FirstOnly,
        etag: PatchEtag::Present,
        ..TrickleRule::UNCHECKED
    }));
    let offer = common::offer();
    let (mid, candidates) = mid_and_candidates(&offer);
    let (session, _) = Session::new(&stage, &offer);
    let reply = session.patch(None, &session.fragment(&mid, &candidates));
    assert_eq!((reply.status, reply.header("etag")), (204, Some(ETAG)));
    let reply = session.patch(None, &session.fragment("other", &candidates));
    assert_eq!(reply.status, 400);
}

#[test]
fn a_patch_without_effect_is_still_an_event() {
    let refusing = stage(PatchRule::Status);
    let offer = common::offer();
    let (mid, candidates) = mid_and_candidates(&offer);
    let (session, _) = Session::new(&refusing, &offer);
    let body = session.fragment(&mid, &candidates);
    assert_eq!(session.patch(None, &body).status, 405);
    assert_eq!(seen(&refusing), [(405, 1, false, IfMatch::None)]);

    let bound = Duration::from_millis(100);
    let silent = stage(PatchRule::NoAnswer);
    let (session, _) = Session::new(&silent, &offer);
    assert!(exchange("PATCH", &session.url, &[], &body, bound).is_err());
    assert_eq!(seen(&silent), [(0, 1, false, IfMatch::None)]);

    let dropping = stage(PatchRule::Dropped);
    let (session, _) = Session::new(&dropping, &offer);
    let reply = exchange("PATCH", &session.url, &[], &body, common::BOUND);
    assert_eq!(reply.unwrap(), "");
    assert_eq!(dropping.live_sessions(), 1);
}
