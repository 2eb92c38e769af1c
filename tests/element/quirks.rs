//! Quirks of other servers: the element publishes to each and ends cleanly.

use gst::prelude::*;
use ivs_stage::{
    AnswerForm, BundleLine, DeleteRule, Happening, IceMode, Kind, Level, LocationForm, PatchRule,
    Profile, Rules, SectionAnswer, SessionReport, Stage, TrickleRule,
};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO};

/// Publishes until packets arrive, stops, and checks that no session is left.
fn publishes(name: &str, rules: Rules, launch: &str) {
    let can_end = !matches!(rules.location, LocationForm::Missing)
        && !matches!(
            rules.delete,
            DeleteRule::NoRoute | DeleteRule::Dropped | DeleteRule::NoAnswer
        );
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let arrived =
        |sessions: &[SessionReport]| (sessions.last()?.packets(Kind::Audio) >= 10).then_some(());
    stage
        .wait_for_sessions(BOUND, arrived)
        .unwrap_or_else(|| panic!("{name}: no packets"));
    let took = publisher.stop();
    assert!(took < std::time::Duration::from_secs(1), "{name}: {took:?}");
    if can_end {
        assert_eq!(stage.live_sessions(), 0, "{name}");
    }
}

#[test]
fn every_profile_is_published_to() {
    for profile in Profile::all() {
        publishes(
            profile.name(),
            Rules::profile(profile),
            &format!("{AUDIO} {VIDEO}"),
        );
    }
}

fn with_answer(change: impl FnOnce(&mut AnswerForm)) -> Rules {
    let mut rules = Rules::default();
    change(&mut rules.answer);
    rules
}

#[test]
fn answers_off_the_rfcs_are_repaired_or_taken() {
    let forms: [(&str, Rules); 9] = [
        (
            "rejected filler",
            with_answer(|answer| answer.video = SectionAnswer::Rejected),
        ),
        (
            "bare rejected filler",
            with_answer(|answer| answer.video = SectionAnswer::RejectedBare),
        ),
        (
            "no BUNDLE group",
            with_answer(|answer| answer.bundle = BundleLine::Missing),
        ),
        (
            "setup at session level",
            with_answer(|answer| answer.setup = Level::Session),
        ),
        (
            "fingerprint at both levels",
            with_answer(|answer| answer.fingerprint = Level::Both),
        ),
        (
            "fingerprint at session level",
            with_answer(|answer| answer.fingerprint = Level::Session),
        ),
        (
            "credentials at session level",
            with_answer(|answer| answer.ice_credentials = Level::Session),
        ),
        ("ICE lite", with_answer(|answer| answer.ice = IceMode::Lite)),
        ("nothing off", Rules::default()),
    ];
    for (name, rules) in forms {
        publishes(name, rules, AUDIO);
    }
}

#[test]
fn an_answer_that_rejects_audio_is_an_error() {
    let stage = Stage::start(with_answer(|answer| answer.audio = SectionAnswer::Rejected)).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    assert!(publisher.wait_error().text().contains("refuses audio"));
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn candidates_go_in_one_patch_to_a_server_that_shows_an_etag() {
    let rules = Rules {
        etag: Some("\"abc\"".to_owned()),
        patch: PatchRule::Trickle(TrickleRule::default()),
        ..Rules::default()
    };
    let stage = Stage::start(rules).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let patch = |events: &[ivs_stage::Event]| {
        events.iter().find_map(|event| match &event.what {
            Happening::Patch {
                status, candidates, ..
            } => Some((*status, *candidates)),
            _ => None,
        })
    };
    let (status, candidates) = stage.wait_for(BOUND, patch).expect("a PATCH");
    assert_eq!(status, 204);
    assert!(candidates > 0);
    publisher.stop();
    let patches = stage
        .events()
        .iter()
        .filter(|event| matches!(event.what, Happening::Patch { .. }))
        .count();
    assert_eq!(patches, 1);
}

#[test]
fn ivs_gets_no_patch() {
    let stage = Stage::start(Rules::default()).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let arrived =
        |sessions: &[SessionReport]| (sessions[0].packets(Kind::Audio) > 100).then_some(());
    stage
        .wait_for_sessions(BOUND, arrived)
        .expect("two seconds of audio");
    assert!(
        !stage
            .events()
            .iter()
            .any(|event| matches!(event.what, Happening::Patch { .. }))
    );
}

#[test]
fn a_patch_that_is_refused_or_never_answered_ends_nothing() {
    for patch in [PatchRule::Status, PatchRule::Dropped, PatchRule::NoAnswer] {
        let rules = Rules {
            etag: Some("x".to_owned()),
            patch,
            ..Rules::default()
        };
        publishes("PATCH", rules, AUDIO);
    }
}

#[test]
fn candidates_are_in_the_offer_where_the_server_needs_them() {
    let stage = Stage::start(Rules::default()).unwrap();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("gathering-timeout", 5_000u32);
    publisher.play();
    publisher.wait_state("publishing");
    let candidates = stage.events().iter().find_map(|event| match &event.what {
        Happening::Offer { sections, .. } => Some(sections[0].candidates),
        _ => None,
    });
    assert!(candidates.expect("an offer") > 0);
}
