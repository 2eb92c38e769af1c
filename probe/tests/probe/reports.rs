//! The report of `stage_probe` on stages with different rules.

use std::time::Duration;

use ivs_stage::{
    DeleteRule, Happening, KeySource, Lifetime, LocationForm, PatchRule, Profile, Rate, Refusal,
    Rules, SigningKey, SilenceRule, Stage, TokenWish, TrickleRule, VideoRule,
};

use super::common::process::run;
use super::harness::{
    PROBE, check, interrupted, mint, probe, probe_rules, probe_with, run_probe, scratch, token_file,
};

#[test]
fn a_stage_with_the_default_rules() {
    let stage = Stage::start(Rules::default()).unwrap();
    let report = probe(&stage, &["--seconds", "1"]);
    for line in [
        "- Where does the redirect lead? **one redirect: http://[address]:",
        "- What does an expired token get? **unknown: no expired token was given.**",
        "- Is there an ETag or `Accept-Patch`? **neither.**",
        "- What does a trickle PATCH get? **HTTP 405.**",
        "- What does an ICE restart by PATCH get? **HTTP 405.**",
        "- What form has `Location`? **absolute, on the host that answered, 2 path segments,",
        "- What does OPTIONS get at the endpoint? **HTTP 200; accept-post: application/sdp;",
        "- What does DELETE get? **HTTP 200.**",
        "- What does a second DELETE get? **HTTP 404.**",
        "- Is an `inactive` video section accepted? **accepted (201): audio accepted, video accepted.**",
        "- Is one with port 0? **accepted (201): audio accepted, video rejected.**",
        "- Is one with VP8 instead of H.264? **refused: HTTP 400, IVS code 2001: \"failed to create publi",
        "- Is an offer without a video section? **refused: HTTP 400, IVS code 2001",
        "**audio, `video-filler=inactive`: stayed for the whole ",
        "- What does a POST right after the DELETE get? **accepted (201)",
        "the first session was still there; with the first token",
        "- How long does a session stay that no client connects to? **not checked: takes up to 11",
        "- Is H.264 High refused? **stayed for the whole ",
        "- Is portrait 720x1280 refused? **stayed for the whole ",
        "candidates: 1 udp IPv4 host (port ",
        ", publishing ",
        "\na=ice-pwd:…\n",
        "\na=rtpmap:111 opus/48000/2\n",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn a_stage_that_refuses_inactive_sections() {
    let report = probe_rules(Rules {
        video: VideoRule::RefuseInactive,
        hops: 2,
        ..Rules::default()
    });
    for line in [
        "- Where does the redirect lead? **2 redirects: ",
        "- Is an `inactive` video section accepted? **refused: HTTP 400, IVS code 2001",
        "- Is a `sendonly` one, without media? **accepted (201)",
        "- Is a `sendonly` one without msid and ssrc? **accepted (201)",
        "- Is a `recvonly` one? **refused",
        "- Is one with port 0? **refused",
        "OPTIONS, PATCH and DELETE were sent for the session of: H.264, `sendonly`",
        "- Which filler modes keep a stream on the stage? **not checked: run without `--http-only`",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn a_stage_that_refuses_sections_without_ssrc() {
    let report = probe_rules(Rules {
        video: VideoRule::RefuseSilent,
        location: LocationForm::PathOnly,
        ..Rules::default()
    });
    for line in [
        "- Is a `sendonly` one, without media? **accepted (201)",
        "- Is a `sendonly` one with msid and without ssrc? **refused",
        "- Is a `sendonly` one without msid and ssrc? **refused",
        "- What form has `Location`? **a path, on the host that answered, 2 path segments,",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn a_stage_that_refuses_every_offer() {
    let report = probe_rules(Rules {
        refusals: vec![Refusal::ivs(400, 2014, "no matching codec"); 20],
        ..Rules::default()
    });
    for line in [
        "- Is a `sendonly` one, without media? **refused: HTTP 400, IVS code 2014",
        "- What does DELETE get? **unknown: no offer was accepted.**",
        "Offers sent: 8. Sessions opened: 0, deleted: 0.",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn stages_with_etag_and_patch() {
    let strict = Rules {
        patch: PatchRule::Trickle(TrickleRule::default()),
        etag: Some(r#"W/"0f1e2d3c4b5a69788796a5b4""#.into()),
        ..Rules::default()
    };
    let live_kit = Rules::profile(Profile::LiveKit);
    let media_mtx = Rules::profile(Profile::MediaMtx);
    for (rules, etag, link) in [
        (strict, "an ETag, which is weak", "none"),
        (
            live_kit,
            "an ETag, which is bare, without quotes",
            "ice-server",
        ),
        (
            media_mtx,
            "an ETag, which is a bare star; Accept-Patch: application/trickle-ice-sdpfrag",
            "none",
        ),
    ] {
        let report = probe_rules(rules);
        for line in [
            format!("- Is there an ETag or `Accept-Patch`? **{etag}.**"),
            format!("- Which `Link` relations are there? **{link}.**"),
            "- What does a trickle PATCH get? **HTTP 204.**".into(),
            "- What does an ICE restart by PATCH get? **HTTP 422.**".into(),
            "- Is an offer without a video section?".into(),
        ] {
            assert!(report.contains(&line), "{line}\n{report}");
        }
    }
}

#[test]
fn no_session_follows_one_that_cannot_be_deleted() {
    let no_location = Rules::profile(Profile::Twitch);
    let no_delete = Rules {
        delete: DeleteRule::Dropped,
        ..Rules::default()
    };
    for (rules, line) in [
        (
            no_location,
            "- a session could not be deleted: the server gave no URL",
        ),
        (no_delete, "- a DELETE got no reply: "),
    ] {
        let stage = Stage::start(rules).unwrap();
        let run = run_probe(&stage, &["--http-only"]);
        assert!(run.status.success(), "{run:?}");
        let counted = "Offers sent: 1. Sessions opened: 1, deleted: 0.";
        let reason = "a session could not be deleted, so no more are opened";
        for line in [line, counted, reason] {
            assert!(run.output.contains(line), "{line}\n{}", run.output);
        }
    }
}

#[test]
fn a_delete_that_fails_is_repeated() {
    let stage = Stage::start(Rules {
        delete: DeleteRule::Status(500),
        ..Rules::default()
    })
    .unwrap();
    let report = probe(&stage, &["--http-only"]);
    let line = "- What does DELETE get? **HTTP 500.**";
    assert!(report.contains(line), "{report}");
}

#[test]
fn a_server_that_throttles_is_left_alone() {
    let stage = Stage::start(Rules {
        rate: Some(Rate {
            posts: 3,
            within: Duration::from_secs(600),
        }),
        ..Rules::default()
    })
    .unwrap();
    let report = probe(&stage, &["--seconds", "1"]);
    for line in [
        "**The run is incomplete: the server asked for fewer requests: HTTP 429, IVS code 2013",
        "- Is a `sendonly` one without msid and ssrc? **unknown: see above.**",
        "- Is a `sendonly` one with msid and without ssrc? **inconclusive: see above.**",
        "None was sent.",
        "Offers sent: 4. Sessions opened: 3, deleted: 3.",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn an_offer_is_repeated_when_an_earlier_session_is_in_the_way() {
    let report = probe_rules(Rules {
        refusals: vec![Refusal::ivs(500, 2010, "already published"); 2],
        ..Rules::default()
    });
    let line = "- Is an `inactive` video section accepted? **accepted (201)";
    assert!(report.contains(line), "{report}");
}

#[test]
fn a_stream_that_the_stage_drops() {
    let stage = Stage::start(Rules {
        silence: SilenceRule::NoVideo {
            within: Duration::from_millis(500),
        },
        ..Rules::default()
    })
    .unwrap();
    let report = probe(&stage, &["--seconds", "5"]);
    let line = "`video-filler=inactive`: lost after ";
    assert!(report.contains(line), "{report}");
}

#[test]
fn the_servers_messages_are_redacted() {
    let path = scratch("masked.pem");
    let key = SigningKey::from_file(&path).unwrap();
    let token = key.mint(&TokenWish::default()).unwrap();
    let words = format!(
        "no {token} of arn:aws:ivs:us-west-2:123456789012:stage/L0cAlSt4gE00 \
         at 127.0.0.1:443 for /session/Q2hhcmFjdGVyc0FuZDEy <b>"
    );
    let stage = Stage::start(Rules {
        key: KeySource::File(path),
        refusals: vec![Refusal::ivs(400, 2001, &words); 3],
        headers: vec![("Accept-Patch".into(), token.clone())],
        ..Rules::default()
    })
    .unwrap();
    let run = run(
        PROBE,
        &["--endpoint", &stage.endpoint(), "--http-only"],
        Some(&token),
    );
    check(&stage, &run, &[&token]);
    let line = "IVS code 2001: \"no … of … at [address]:443 for /… &lt;b>\"";
    assert!(run.output.contains(line), "{}", run.output);
    assert!(
        run.output.contains("Accept-Patch: [token]"),
        "{}",
        run.output
    );
}

#[test]
fn a_spare_and_an_expired_token() {
    let stage = Stage::start(Rules::default()).unwrap();
    let spare = mint(&stage, |_| {});
    let old = mint(&stage, |wish| {
        wish.lifetime = Lifetime::ExpiredSince(Duration::from_secs(600));
    });
    let report = probe_with(&stage, &[], &[&spare, &old]);
    for line in [
        "- What does an expired token get? **refused: HTTP 400, IVS code 2002: \"token expired\".**",
        "with the second token",
        "- Tokens: 3",
    ] {
        assert!(report.contains(line), "{line}\n{report}");
    }
}

#[test]
fn slow_checks() {
    let stage = Stage::start(Rules {
        patience: Duration::from_millis(1500),
        ..Rules::default()
    })
    .unwrap();
    let short = mint(&stage, |wish| {
        wish.lifetime = Lifetime::For(Duration::from_secs(25));
    });
    let token = stage.token();
    let file = token_file(&short);
    let file = file.to_str().unwrap();
    let arguments = [
        "--endpoint",
        &stage.endpoint(),
        "--patient",
        "--seconds",
        "1",
    ];
    let arguments = [&arguments[..], &["--token-file", file]].concat();
    let run = run(PROBE, &arguments, Some(&token));
    check(&stage, &run, &[&token, &short]);
    for line in [
        "after 1 s DELETE got HTTP 200, after 2 s DELETE got HTTP 404.",
        "- Does a stream end when its token expires? **sent until after the expiry: stayed",
        "- What does an expired token get? **refused: HTTP 400, IVS code 2002",
    ] {
        assert!(run.output.contains(line), "{line}\n{}", run.output);
    }
}

#[test]
fn ctrl_c_during_an_offer_deletes_its_session() {
    let stage = Stage::start(Rules {
        answer_delay: Duration::from_millis(300),
        ..Rules::default()
    })
    .unwrap();
    interrupted(&stage, |what| matches!(what, Happening::Offer { .. }));
}

#[test]
fn ctrl_c_during_a_stream_deletes_its_session() {
    let stage = Stage::start(Rules::default()).unwrap();
    interrupted(&stage, |what| matches!(what, Happening::FirstPacket { .. }));
}
