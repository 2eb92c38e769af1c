//! Runs `stage_probe`, and checks what holds for every run.

use std::path::PathBuf;
use std::time::Duration;

use ivs_stage::{Happening, Rules, Stage, TokenWish};

use super::common::process::{Run, end, run, signal, start};
use super::plan::MAX_SESSIONS;

const BOUND: Duration = Duration::from_secs(30);

pub(crate) const PROBE: &str = env!("CARGO_BIN_EXE_stage_probe");

/// Sends SIGINT once the stage has seen an event that `seen` accepts.
pub(crate) fn interrupted(stage: &Stage, seen: impl Fn(&Happening) -> bool) {
    let token = stage.token();
    let endpoint = stage.endpoint();
    let child = start(PROBE, &["--endpoint", &endpoint], Some(&token));
    let found = stage.wait_for(BOUND, |events| {
        events.iter().find(|event| seen(&event.what)).map(|_| ())
    });
    signal(&child, "INT");
    let run = end(child);
    assert!(found.is_some(), "{run:?}");
    assert_eq!(run.status.code(), Some(130), "{run:?}");
    let line = "**The run is incomplete: it was interrupted.**";
    assert!(run.output.contains(line), "{}", run.output);
    assert_eq!(stage.live_sessions(), 0);
    assert_safe(stage, &run.output, &[&token]);
}

/// Runs the HTTP checks against a stage with these rules, and returns the report.
pub(crate) fn probe_rules(rules: Rules) -> String {
    let stage = Stage::start(rules).unwrap();
    probe(&stage, &["--http-only"])
}

/// Runs the probe, checks the run and returns the report.
pub(crate) fn probe(stage: &Stage, arguments: &[&str]) -> String {
    let run = run_probe(stage, arguments);
    check(stage, &run, &[]);
    run.output
}

/// Runs the probe and checks only that the report holds no secret.
pub(crate) fn run_probe(stage: &Stage, arguments: &[&str]) -> Run {
    let endpoint = stage.endpoint();
    let arguments = [&["--endpoint", &endpoint][..], arguments].concat();
    let token = stage.token();
    let run = run(PROBE, &arguments, Some(&token));
    assert_safe(stage, &run.output, &[&token]);
    run
}

/// Runs the HTTP checks with more tokens, from files.
pub(crate) fn probe_with(stage: &Stage, arguments: &[&str], tokens: &[&str]) -> String {
    let files: Vec<PathBuf> = tokens.iter().map(|token| token_file(token)).collect();
    let files = files.iter().map(|path| path.to_str().unwrap());
    let mut arguments = [&["--http-only"][..], arguments].concat();
    arguments.extend(files.flat_map(|file| ["--token-file", file]));
    let run = run_probe(stage, &arguments);
    check(stage, &run, tokens);
    run.output
}

/// The run succeeded, shows no secret, and deleted every session it opened.
pub(crate) fn check(stage: &Stage, run: &Run, tokens: &[&str]) {
    assert!(run.status.success(), "{run:?}");
    assert_safe(stage, &run.output, tokens);
    assert_safe(stage, &run.errors, tokens);
    assert_eq!(stage.live_sessions(), 0, "{}", run.output);

    let announced = run.errors.split("at most ").nth(1).unwrap();
    let announced: usize = announced.split(' ').next().unwrap().parse().unwrap();
    let opened = stage.sessions().len();
    assert!(opened <= announced && announced <= MAX_SESSIONS);
    let counted = format!("Sessions opened: {opened}, deleted: {opened}.");
    assert!(run.output.contains(&counted), "{opened}: {}", run.output);
}

fn assert_safe(stage: &Stage, text: &str, tokens: &[&str]) {
    let sessions = stage.sessions();
    let mut secrets: Vec<&str> = vec!["arn:", "123456789012", "L0cAl", "127.0.0.1", "/session/"];
    secrets.extend(tokens.iter().flat_map(|token| token.split('.')));
    secrets.extend(sessions.iter().map(|session| session.participant.as_str()));
    let events = stage.events();
    secrets.extend(events.iter().filter_map(|event| match &event.what {
        Happening::Listening { media_address, .. } => Some(media_address.as_str()),
        _ => None,
    }));
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    // A long word with a digit would be an id or a key.
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for word in text.split(|c| !is_word(c)) {
        let digit = word.bytes().any(|byte| byte.is_ascii_digit());
        assert!(word.len() < 20 || !digit, "{word} in {text}");
    }
}

pub(crate) fn mint(stage: &Stage, change: impl FnOnce(&mut TokenWish)) -> String {
    let mut wish = TokenWish::default();
    change(&mut wish);
    stage.mint(wish).unwrap()
}

/// Writes a token to a file, whose name ends in the token's signature.
pub(crate) fn token_file(token: &str) -> PathBuf {
    let path = scratch(&format!("token-{}", &token[token.len() - 12..]));
    std::fs::write(&path, token).unwrap();
    path
}

pub(crate) fn scratch(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("probe-{}-{name}", std::process::id()))
}
