//! The forms of an answer, and whether media gets through with them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{FingerprintCheck, Publisher, post, regional};
use ivs_stage::{
    AnswerForm, BundleLine, CandidatePlace, Certificate, IceMode, Kind, Level, Rules,
    SectionAnswer, Stage,
};
use str0m::media::Direction;

fn stage(answer: AnswerForm) -> Stage {
    let rules = Rules {
        answer,
        ..Rules::default()
    };
    Stage::start(rules).unwrap()
}

/// An answer's session part and its sections.
fn parts(answer: &str) -> Vec<&str> {
    answer.split("\r\nm=").collect()
}

fn answer(form: AnswerForm) -> String {
    let stage = stage(form);
    let reply = post(&regional(&stage), &stage.token(), &common::offer());
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body
}

/// Whether audio gets through with an answer of this form.
fn carries_audio(form: AnswerForm) {
    let stage = stage(form);
    let mut publisher = Publisher::new();
    let _session = publisher.publish(&stage, &stage.token());
    publisher.send_audio(5, &[]);
    let all = |_: &Publisher| stage.sessions()[0].packets(Kind::Audio) == 5;
    assert!(publisher.run_while_waiting(all), "{form:?}");
}

#[test]
fn a_rejected_section_keeps_its_attributes_or_has_none() {
    let text = answer(AnswerForm {
        video: SectionAnswer::Rejected,
        ..AnswerForm::default()
    });
    let parts = parts(&text);
    assert!(parts[2].starts_with("video 0 ") && parts[2].contains("a=mid:"));
    assert!(parts[2].contains("a=ice-ufrag:") && parts[2].contains("a=setup:"));
    let group = parts[0].lines().find(|line| line.starts_with("a=group:"));
    assert_eq!(group.unwrap().split(' ').count(), 2);

    let bare = answer(AnswerForm {
        video: SectionAnswer::RejectedBare,
        ..AnswerForm::default()
    });
    assert!(bare.ends_with("\r\nm=video 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\n"));
}

#[test]
fn refused_audio_leaves_the_candidates_to_video() {
    let text = answer(AnswerForm {
        audio: SectionAnswer::Rejected,
        ..AnswerForm::default()
    });
    let parts = parts(&text);
    assert!(parts[1].starts_with("audio 0 ") && !parts[1].contains("a=candidate:"));
    assert!(parts[2].contains("a=candidate:"));
}

#[test]
fn attributes_can_be_in_the_session_part() {
    for level in [Level::Session, Level::Both] {
        let text = answer(AnswerForm {
            setup: level,
            fingerprint: level,
            ice_credentials: level,
            ..AnswerForm::default()
        });
        let parts = parts(&text);
        for name in ["a=setup:", "a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:"] {
            assert!(parts[0].contains(name), "{name} {level:?}");
            assert_eq!(parts[1].contains(name), level == Level::Both, "{name}");
            assert_eq!(parts[2].contains(name), level == Level::Both, "{name}");
        }
    }
}

#[test]
fn audio_gets_through_with_each_valid_form() {
    let valid = AnswerForm::default();
    carries_audio(AnswerForm {
        candidates: CandidatePlace::AllSections,
        ..valid
    });
    carries_audio(AnswerForm {
        ice: IceMode::Lite,
        ..valid
    });
    for level in [Level::Session, Level::Both] {
        carries_audio(AnswerForm {
            fingerprint: level,
            ice_credentials: level,
            setup: level,
            ..valid
        });
    }
}

#[test]
fn lines_can_be_missing() {
    let text = answer(AnswerForm {
        bundle: BundleLine::Missing,
        candidates: CandidatePlace::Nowhere,
        ..AnswerForm::default()
    });
    assert!(!text.contains("a=group:") && !text.contains("candidate"));
}

#[test]
fn a_wrong_fingerprint_stops_only_publishers_that_check_it() {
    let form = AnswerForm {
        certificate: Certificate::Other,
        ..AnswerForm::default()
    };
    let stage = stage(form);
    let token = stage.token();
    let mut careless = Publisher::with_check(Direction::Inactive, FingerprintCheck::Off);
    let _session = careless.publish(&stage, &token);
    careless.send_audio(5, &[]);
    let counted = |_: &Publisher| stage.sessions()[0].packets(Kind::Audio) == 5;
    assert!(
        careless.run_while_waiting(counted),
        "{:?}",
        stage.sessions()
    );

    let mut careful = Publisher::new();
    let reply = post(&regional(&stage), &token, &careful.offer);
    careful.accept(&reply.body);
    let connected = |event: &str0m::Event| matches!(event, str0m::Event::Connected);
    assert!(!careful.run_until(common::BOUND, connected));
    assert_eq!(stage.sessions()[1].packets(Kind::Audio), 0);
}
