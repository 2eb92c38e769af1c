//! `stage_probe` against scripted servers: where it sends the token, and that paths
//! and passwords stay out of the report.

use super::common::process::run;
use super::common::{Action, Reply, Server, created, redirect};
use super::harness::PROBE;

const TOKEN: &str = "token-of-nobody";

#[test]
fn the_token_is_not_sent_to_other_hosts() {
    // An address for documentation (RFC 5737), which never replies.
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" => redirect("http://192.0.2.1/"),
        _ => Reply::new(200).into(),
    });
    let run = run(PROBE, &["--endpoint", &server.url("/")], Some(TOKEN));
    assert_eq!(run.status.code(), Some(1), "{run:?}");
    assert_eq!(server.lines(), ["OPTIONS /", "POST /"]);
    for line in [
        "redirects to http://[address], which may not get the token",
        "Offers sent: 1. Sessions opened: 0, deleted: 0.",
    ] {
        assert!(run.output.contains(line), "{line}\n{}", run.output);
    }
}

#[test]
fn repeated_paths_and_passwords_are_redacted() {
    let server = Server::start("127.0.0.1", |request| match request.method.as_str() {
        "POST" if request.body.contains("m=video") => created("/kept/hiddenkey", request),
        "POST" => refusal(&request.path),
        "OPTIONS" => Reply::new(200).header("Allow", &request.path).into(),
        "PATCH" => Reply::new(400).header("Accept-Patch", &request.path).into(),
        _ => Reply::new(200).into(),
    });
    let endpoint = server.url("/app/streamkey?user=somebody");
    let run = run(
        PROBE,
        &["--endpoint", &endpoint, "--http-only"],
        Some(TOKEN),
    );
    assert!(run.status.success(), "{run:?}");
    let offers: Vec<_> = server.requests();
    let offers = offers.iter().filter(|request| request.method == "POST");
    let passwords = offers.filter_map(|offer| {
        let lines = offer.body.lines();
        lines
            .filter_map(|line| line.strip_prefix("a=ice-pwd:"))
            .next()
    });
    let passwords: Vec<String> = passwords.map(str::to_owned).collect();
    assert!(passwords.len() > 8);
    let told = ["hiddenkey", "streamkey", "somebody", "/app", "/kept", TOKEN];
    let told = told.into_iter().chain(passwords.iter().map(String::as_str));
    for secret in told {
        assert!(!run.output.contains(secret), "{secret}\n{}", run.output);
        assert!(!run.errors.contains(secret), "{secret}\n{}", run.errors);
    }
    let line = "- Is an offer without a video section? **refused: HTTP 400: \"Cannot POST …";
    assert!(run.output.contains(line), "{}", run.output);
    let lines = server.lines();
    let deleted = lines
        .iter()
        .filter(|line| *line == "DELETE /kept/hiddenkey");
    // One for each session, and a second one for the first.
    assert_eq!(deleted.count(), 11, "{lines:?}");
}

fn refusal(path: &str) -> Action {
    let words = format!("Cannot POST {path}");
    Reply::new(400).body(words).into()
}
