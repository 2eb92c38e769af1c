//! Runs that answer no question: the exit code, and the reason, once on the
//! terminal and once in the report.

use std::net::TcpListener;

use ivs_stage::{Refusal, Rules, Stage};

use super::common::process::{Run, run};
use super::common::{Action, Server};
use super::harness::{PROBE, mint, run_probe, scratch};

fn assert_no_answer(run: &Run, reason: &str) {
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    let last = run.errors.lines().last().unwrap();
    assert!(last.starts_with("stage_probe: no question was answered: "));
    assert!(last.contains(reason), "{last}");
    for text in [&run.errors, &run.output] {
        assert_eq!(text.matches(reason).count(), 1, "{reason}\n{text}");
        for raw in ["error sending", "os error", "client error", "(Connect)"] {
            assert!(!text.contains(raw), "{raw}\n{text}");
        }
    }
    let line = "- What does DELETE get? **unknown: see above.**";
    assert!(run.output.contains(line), "{}", run.output);
}

fn probe(endpoint: &str) -> Run {
    run(PROBE, &["--endpoint", endpoint], Some("nobody"))
}

#[test]
fn a_refused_connection() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let run = probe(&format!("http://127.0.0.1:{port}/"));
    assert_no_answer(&run, "an offer got no reply: connection refused");
    assert!(!run.output.contains("if it made a session"), "{run:?}");
}

#[test]
fn a_name_that_does_not_resolve() {
    // It never resolves (RFC 6761 6.4).
    let run = probe("https://stage.invalid/");
    assert_no_answer(
        &run,
        "an offer got no reply: the host name does not resolve",
    );
}

#[test]
fn a_server_that_hangs_up() {
    let server = Server::start("127.0.0.1", |_| Action::Close);
    let run = probe(&server.url("/"));
    assert_no_answer(&run, "an offer got no reply: the server closed the connect");
    let line = "- an offer got no reply; if it made a session, it could not be deleted";
    assert!(run.output.contains(line), "{}", run.output);
}

#[test]
fn a_server_that_says_nothing() {
    let server = Server::start("127.0.0.1", |_| Action::Silence);
    let run = probe(&server.url("/"));
    assert_no_answer(&run, "an offer got no reply: timed out");
}

#[test]
fn a_token_that_is_refused_is_not_tried_again() {
    let stage = Stage::start(Rules::default()).unwrap();
    let token = mint(&stage, |wish| wish.allow_publish = false);
    let arguments = ["--endpoint", &stage.endpoint()];
    let run = run(PROBE, &arguments, Some(&token));
    assert_no_answer(&run, "an offer was refused: HTTP 403,");
    for line in [
        "**The run is incomplete: an offer was refused: HTTP 403,",
        "- Is an `inactive` video section accepted? **inconclusive: see above.**",
        "Offers sent: 1. Sessions opened: 0, deleted: 0.",
    ] {
        assert!(run.output.contains(line), "{line}\n{}", run.output);
    }
}

#[test]
fn an_earlier_session_that_stays_in_the_way() {
    let stage = Stage::start(Rules {
        refusals: vec![Refusal::ivs(412, 2012, "conflict"); 20],
        ..Rules::default()
    })
    .unwrap();
    let run = run_probe(&stage, &["--http-only"]);
    let reason = "an earlier session stays in the way: HTTP 412, IVS code 2012";
    assert_no_answer(&run, reason);
    let counted = "Offers sent: 4. Sessions opened: 0,";
    assert!(run.output.contains(counted), "{}", run.output);
}

#[test]
fn wrong_arguments() {
    let no_token = run(PROBE, &[], None);
    assert_eq!(no_token.status.code(), Some(2));
    assert!(
        no_token.errors.contains("there is no participant token"),
        "{no_token:?}"
    );
    for (arguments, words) in [
        (
            &["--seconds", "0"][..],
            "--seconds: expected a whole number",
        ),
        (&["--endpoint", "nonsense"], "--endpoint: expected"),
        (&["--endpoint"], "--endpoint needs a value"),
        (&["--token-file", "eyJhbGciOi"], "number 1 can't be read"),
        (&["eyJhbGciOi"], "unknown argument"),
    ] {
        let wrong = run(PROBE, arguments, Some("token"));
        assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
        assert!(wrong.errors.contains(words), "{wrong:?}");
        assert!(wrong.output.is_empty() && !wrong.errors.contains("eyJhbGciOi"));
    }
    let missing = scratch("no-such-file");
    let arguments = ["--token-file", missing.to_str().unwrap()];
    let wrong = run(PROBE, &arguments, Some("token"));
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    let words = "number 1 can't be read: there is no such file.";
    assert!(wrong.errors.contains(words), "{wrong:?}");

    let help = run(PROBE, &["--help"], None);
    assert!(
        help.status.success() && help.output.contains("--patient"),
        "{help:?}"
    );
    assert!(help.output.contains("Exit codes:"), "{help:?}");
}
