//! The examples as processes: each ends cleanly and leaves nothing on its stage.

#![cfg(feature = "element")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

#[path = "../common/mod.rs"]
mod common;
mod publish_ends;

use std::path::PathBuf;

use ivs_stage::{Happening, Kind, Rules, SessionReport, Stage};

use common::process::{Run, run};

#[test]
fn publish_audio() {
    let session = publish("publish_audio");
    assert_eq!(session.packets(Kind::Video), 0);
}

#[test]
fn publish_av() {
    let session = publish("publish_av");
    let video = session.section(Kind::Video).expect("a video section");
    assert!(video.packets > 0 && video.key_frames > 0, "{video:?}");
    assert_eq!(video.size, Some((640, 360)));
}

#[test]
fn a_refusal_is_told_and_is_the_exit_code() {
    let stage = Stage::start(Rules::default()).unwrap();
    let run = publishing("publish_audio", &stage, "no-token-of-this-stage");
    assert!(!run.status.success());
    assert!(run.errors.contains("phase=(string)post"), "{}", run.errors);
    assert_eq!(stage.live_sessions(), 0);
}

/// Runs an example and checks what all of them have to do.
fn publish(example: &str) -> SessionReport {
    let stage = Stage::start(Rules::default()).unwrap();
    let token = stage.token();
    let run = publishing(example, &stage, &token);
    assert!(run.status.success(), "{run:?}");
    assert!(run.output.contains("publishing"), "{run:?}");
    assert!(!run.output.contains(&token) && !run.errors.contains(&token));

    assert_eq!(stage.live_sessions(), 0);
    assert_eq!(deleted_on(&stage), [stage.regional_host()]);
    let session = stage.sessions().pop().expect("a session");
    // Two seconds in packets of 20 ms, and room for a slow machine.
    assert!(session.packets(Kind::Audio) > 50, "{session:?}");
    session
}

/// The hosts that answered a DELETE with 200.
fn deleted_on(stage: &Stage) -> Vec<String> {
    let events = stage.events().into_iter();
    events
        .filter_map(|event| match event.what {
            Happening::Delete {
                host, status: 200, ..
            } => Some(host),
            _ => None,
        })
        .collect()
}

fn publishing(example: &str, stage: &Stage, token: &str) -> Run {
    let endpoint = stage.endpoint();
    run(
        executable(example),
        &[&endpoint, "--seconds", "2"],
        Some(token),
    )
}

/// An example's executable: cargo puts the tests' into `deps`, the examples'
/// beside it.
fn executable(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(|deps| deps.parent()).unwrap();
    built
        .join("examples")
        .join(example)
        .with_extension(std::env::consts::EXE_EXTENSION)
}
