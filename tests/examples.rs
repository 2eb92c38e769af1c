//! Each example publishes to a local stage, stops cleanly and leaves nothing.

#![cfg(feature = "element")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ivs_stage::{Happening, Kind, Rules, SessionReport, Stage};

/// How long an example may run: far longer than it does.
const BOUND: Duration = Duration::from_secs(60);

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
    let run = run("publish_audio", &stage, "no-token-of-this-stage");
    assert!(!run.status.success());
    assert!(run.errors.contains("phase=(string)post"), "{}", run.errors);
    assert_eq!(stage.live_sessions(), 0);
}

/// Runs an example and checks what all of them have to do.
fn publish(example: &str) -> SessionReport {
    let stage = Stage::start(Rules::default()).unwrap();
    let token = stage.token();
    let run = run(example, &stage, &token);
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

/// An example's run, after its end.
#[derive(Debug)]
struct Run {
    status: ExitStatus,
    output: String,
    errors: String,
}

fn run(example: &str, stage: &Stage, token: &str) -> Run {
    let path = path(example);
    let mut child = Command::new(&path)
        .args([stage.endpoint().as_str(), "--seconds", "2"])
        .env("IVS_STAGE_TOKEN", token)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo build --examples` makes it",
                path.display()
            )
        });
    let output = read(child.stdout.take());
    let errors = read(child.stderr.take());
    let output = wait(&output, &mut child);
    let errors = wait(&errors, &mut child);
    let status = child.wait().unwrap();
    Run {
        status,
        output,
        errors,
    }
}

/// Cargo puts the tests' executables into `deps`, the examples' beside it.
fn path(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(|deps| deps.parent()).unwrap();
    built
        .join("examples")
        .join(example)
        .with_extension(std::env::consts::EXE_EXTENSION)
}

/// Reads to the end on a thread of its own, so that waiting for it has a bound.
fn read(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (done, text) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.unwrap().read_to_end(&mut bytes).unwrap();
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

fn wait(text: &mpsc::Receiver<String>, child: &mut Child) -> String {
    text.recv_timeout(BOUND).unwrap_or_else(|error| {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the example did not end: {error}")
    })
}
