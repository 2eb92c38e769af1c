//! How the two publishing examples end: at a signal, at an error of the element
//! and at a command that is wrong.

#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use ivs_stage::{Happening, Rules, Stage};

use super::common::process::{Run, run};
#[cfg(unix)]
use super::common::process::{end, signal, start};
#[cfg(unix)]
use super::deleted_on;
use super::executable;

const EXAMPLES: [&str; 2] = ["publish_audio", "publish_av"];

#[cfg(unix)]
const BOUND: Duration = Duration::from_secs(30);

/// Sends signals to an example that publishes, and looks for what it leaves.
#[cfg(unix)]
fn signalled(example: &str, signals: &[&str]) {
    let stage = Stage::start(Rules::default()).unwrap();
    let token = stage.token();
    let child = start(executable(example), &[&stage.endpoint()], Some(&token));
    let found = stage.wait_for(BOUND, |events| {
        let mut events = events.iter();
        let is_sending = |what: &Happening| matches!(what, Happening::FirstPacket { .. });
        events.find(|event| is_sending(&event.what)).map(|_| ())
    });
    signals.iter().for_each(|name| signal(&child, name));
    let run = end(child);
    assert!(found.is_some(), "{run:?}");
    assert_eq!(run.status.code(), Some(0), "{run:?}");
    assert!(run.output.contains("Stopping."), "{run:?}");
    assert_eq!(stage.live_sessions(), 0, "{run:?}");
    assert_eq!(deleted_on(&stage), [stage.regional_host()], "{run:?}");
    if let [_] = signals {
        // By way of the EOS message, ahead of which this is told.
        assert!(run.output.contains("The session is ended."), "{run:?}");
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_session() {
    EXAMPLES
        .iter()
        .for_each(|example| signalled(example, &["INT"]));
}

#[cfg(unix)]
#[test]
fn sigterm_ends_the_session() {
    EXAMPLES
        .iter()
        .for_each(|example| signalled(example, &["TERM"]));
}

#[cfg(unix)]
#[test]
fn a_second_ctrl_c_leaves_no_session_either() {
    EXAMPLES
        .iter()
        .for_each(|example| signalled(example, &["INT", "INT"]));
}

#[cfg(unix)]
#[test]
fn ctrl_c_while_the_offer_is_out_leaves_no_session() {
    for example in EXAMPLES {
        let stage = Stage::start(Rules {
            answer_delay: Duration::from_millis(500),
            ..Rules::default()
        })
        .unwrap();
        let token = stage.token();
        let child = start(executable(example), &[&stage.endpoint()], Some(&token));
        let found = stage.wait_for(BOUND, |events| {
            let mut events = events.iter();
            let is_offer = |what: &Happening| matches!(what, Happening::Offer { .. });
            events.find(|event| is_offer(&event.what)).map(|_| ())
        });
        signal(&child, "INT");
        let run = end(child);
        assert!(found.is_some(), "{run:?}");
        assert_eq!(run.status.code(), Some(0), "{run:?}");
        assert_eq!(stage.live_sessions(), 0, "{run:?}");
    }
}

#[test]
fn the_element_says_why_it_does_not_start() {
    for example in EXAMPLES {
        let no_token = run(executable(example), &[], None);
        told(&no_token, 1, "Amazon IVS needs a participant token");
        let wrong = run(executable(example), &["ftp://127.0.0.1/"], Some("nobody"));
        told(&wrong, 1, "whip-endpoint: expected an https (or http) URL");
        for run in [no_token, wrong] {
            assert!(!run.errors.contains("change its state"), "{run:?}");
        }
    }
}

#[test]
fn wrong_commands_are_told() {
    let (first, second) = ("http://127.0.0.1:1/", "http://127.0.0.1:2/");
    for example in EXAMPLES {
        for (arguments, words) in [
            (
                &["--seconds", "x"][..],
                "--seconds: \"x\" is no whole number",
            ),
            (&["--seconds"], "--seconds needs a number"),
            (&["--bogus"], "--bogus is no option"),
            (&["nonsense"], "\"nonsense\" is no URL"),
            (&[first, second], "http://127.0.0.1:2/ is a second endpoint"),
        ] {
            let wrong = run(executable(example), arguments, None);
            told(&wrong, 2, words);
            let hint = "--help prints how to use it";
            assert!(wrong.errors.contains(hint), "{wrong:?}");
        }
        let help = run(executable(example), &["--help"], None);
        assert!(help.status.success() && help.errors.is_empty(), "{help:?}");
        let usage = format!("{example} [ENDPOINT] [--seconds N]");
        assert!(help.output.contains(&usage), "{help:?}");
    }
}

fn told(run: &Run, code: i32, words: &str) {
    assert_eq!(run.status.code(), Some(code), "{run:?}");
    assert!(run.errors.contains(words), "{words}\n{run:?}");
}
