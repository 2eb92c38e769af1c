//! The examples as processes: they publish, end in order, and say why they fail.

#![cfg(all(feature = "element", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

#[path = "../common/mod.rs"]
mod common;

mod other_languages;
mod threads;

use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use ivs_stage::{Event, Happening, Kind, Rules, SessionReport, Stage};

use common::process::{Run, end, run, signal, start};
use other_languages::{c_program, python_program};

const EXAMPLES: [&str; 4] = ["publish_audio", "publish_av", "publish.py", "publish.c"];
const BOUND: Duration = Duration::from_secs(30);

#[test]
fn publish_audio() {
    let session = publish("publish_audio", &["INT"]);
    assert_eq!(session.packets(Kind::Video), 0);
}

#[test]
fn publish_av() {
    let session = publish("publish_av", &["INT"]);
    let video = session.section(Kind::Video).expect("a video section");
    assert_eq!(video.size, Some((640, 360)));
}

#[test]
fn publish_py() {
    publish_and_count("publish.py");
}

#[test]
fn publish_c() {
    publish_and_count("publish.c");
}

fn publish_and_count(example: &str) {
    let session = publish(example, &["INT"]);
    let video = session.section(Kind::Video).expect("a video section");
    assert_eq!(video.size, Some((640, 360)));
}

#[test]
fn sigterm_deletes_the_session() {
    for example in EXAMPLES {
        publish(example, &["TERM"]);
    }
}

#[test]
fn a_second_ctrl_c_deletes_the_session_too() {
    for example in EXAMPLES {
        publish(example, &["INT", "INT"]);
    }
}

#[test]
fn ctrl_c_before_the_answer_leaves_no_session() {
    for example in EXAMPLES {
        let stage = Stage::start(Rules {
            answer_delay: Duration::from_millis(500),
            ..Rules::default()
        })
        .unwrap();
        let has_offer = |stage: &Stage| {
            let is_offer = |event: &Event| matches!(event.what, Happening::Offer { .. });
            let found = stage.wait_for(BOUND, |events| events.iter().any(is_offer).then_some(()));
            found.is_some()
        };
        let run = signal_after(example, &stage, has_offer, &["INT"]);
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        assert_eq!(stage.live_sessions(), 0, "{run:?}");
    }
}

#[test]
fn errors_are_printed_and_the_exit_code() {
    let stage = Stage::start(Rules::default()).unwrap();
    let endpoint = stage.endpoint();
    for example in EXAMPLES {
        for (arguments, token, text) in [
            (&[][..], None, "Amazon IVS needs a participant token"),
            (&["ftp://127.0.0.1/"], Some("x"), "expected an https (or"),
            (&[&*endpoint], Some("not-a-token-of-this-stage"), "HTTP 40"),
        ] {
            let (program, mut all) = command(example);
            all.extend(arguments.iter().map(|&argument| argument.to_owned()));
            let all: Vec<&str> = all.iter().map(String::as_str).collect();
            let run = run(program, &all, token);
            assert_eq!(run.status.code(), Some(1), "{run:?}");
            assert!(run.errors.contains(text), "{text}\n{run:?}");
        }
    }
    assert_eq!(stage.live_sessions(), 0);
}

/// Publishes a second of media, and checks that the signals end the program and
/// its session in order.
fn publish(example: &str, signals: &[&str]) -> SessionReport {
    let stage = Stage::start(Rules::default()).unwrap();
    let has_video = |session: &SessionReport| {
        let video = session.section(Kind::Video);
        example == "publish_audio" || video.is_some_and(|video| video.key_frames > 0)
    };
    let has_media = |stage: &Stage| {
        let is_complete =
            |session: &SessionReport| session.packets(Kind::Audio) > 80 && has_video(session);
        let found = stage.wait_for_sessions(BOUND, |sessions| {
            sessions.iter().any(is_complete).then_some(())
        });
        found.is_some()
    };
    let run = signal_after(example, &stage, has_media, signals);
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    for state in ["publishing", "ended"] {
        let line = format!("The session is {state}.");
        assert!(run.output.contains(&line), "{run:?}");
    }
    assert_eq!(stage.live_sessions(), 0, "{run:?}");
    assert_eq!(deleted_on(&stage), [stage.regional_host()], "{run:?}");
    stage.sessions().pop().expect("a session")
}

/// Starts an example, and sends it signals once the stage has what is awaited.
fn signal_after(
    example: &str,
    stage: &Stage,
    has_awaited: impl Fn(&Stage) -> bool,
    signals: &[&str],
) -> Run {
    let token = stage.token();
    let child = launch(command(example), stage, &token);
    let has_come = has_awaited(stage);
    for name in signals {
        signal(&child, name);
    }
    let run = end(child);
    assert!(has_come, "{run:?}");
    assert!(!run.output.contains(&token) && !run.errors.contains(&token));
    run
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

/// The program of an example, with the arguments that come before its own.
fn command(example: &str) -> (PathBuf, Vec<String>) {
    match example {
        "publish.py" => python_program("examples/publish.py", &[]),
        "publish.c" => c_program(&[]),
        _ => (executable(example), Vec::new()),
    }
}

fn launch((program, mut arguments): (PathBuf, Vec<String>), stage: &Stage, token: &str) -> Child {
    arguments.push(stage.endpoint());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    start(program, &arguments, Some(token))
}

/// The executable of an example in Rust. `cargo test` builds it, `cargo test --test examples`
/// does not.
fn executable(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = built.join("examples").join(example);
    assert!(path.exists(), "`cargo build --examples` makes it");
    path
}
