//! The command: a stage in one process, tokens from another, a report.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{BOUND, Publisher, delete, post, request};
use serde_json::Value;

fn ivs_stage(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ivs-stage"));
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn output(arguments: &[&str]) -> Output {
    ivs_stage(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A key file, removed at the end of the test.
struct Key(PathBuf);

impl Key {
    fn new(name: &str) -> Self {
        let name = format!("ivs-stage-{name}-{}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A stage in its own process, the rest of its lines, and its first event.
fn serve(key: &Key) -> (Child, BufReader<impl Read>, Value) {
    let mut child = ivs_stage(&["serve", "--key-file", key.path()])
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    let listening: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(listening["event"], "listening");
    (child, lines, listening)
}

fn terminate(child: &Child) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_run_is_served_and_reported() {
    let key = Key::new("run");
    let (mut child, mut lines, listening) = serve(&key);
    let token = output(&["token", "--key-file", key.path()]);
    let token = text(&token.stdout).trim().to_owned();
    let regional = format!("http://{}/", listening["hosts"][1].as_str().unwrap());

    assert_eq!(
        post(listening["endpoint"].as_str().unwrap(), &token, "").status,
        307
    );
    let mut publisher = Publisher::new();
    let reply = post(&regional, &token, &publisher.offer);
    assert_eq!(reply.status, 201, "{}", reply.body);
    publisher.accept(&reply.body);
    publisher.connect();
    publisher.send_audio(20, &[]);
    publisher.run_until(Duration::from_millis(200), |_| false);
    assert_eq!(
        delete(reply.header("location").unwrap(), &token).status,
        200
    );

    terminate(&child);
    let mut run = listening.to_string() + "\n";
    lines.read_to_string(&mut run).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!run.contains(&token));

    let report = report("audio", &run);
    assert!(report.status.success(), "{}", text(&report.stderr));
    assert!(
        text(&report.stdout).contains("audio: 20 packets"),
        "{}",
        text(&report.stdout)
    );
    let report = self::report("av", &run);
    assert_eq!(report.status.code(), Some(1));
    assert_eq!(
        text(&report.stderr),
        "ivs-stage: No video packet arrived.\n"
    );
}

fn report(need: &str, run: &str) -> Output {
    let mut child = ivs_stage(&["report", "--require", need]).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(run.as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_signal_ends_live_sessions_before_the_stage() {
    let key = Key::new("signal");
    let (mut child, mut lines, listening) = serve(&key);
    let token = output(&["token", "--key-file", key.path()]);
    let regional = format!("http://{}/", listening["hosts"][1].as_str().unwrap());
    let reply = post(&regional, text(&token.stdout).trim(), &common::offer());
    assert_eq!(reply.status, 201);

    terminate(&child);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(rest.contains(r#""reason":"closed""#), "{rest}");
}

#[test]
fn a_token_without_the_publish_capability_is_refused() {
    let key = Key::new("mute");
    let (mut child, _lines, listening) = serve(&key);
    let token = output(&["token", "--key-file", key.path(), "--no-publish"]);
    let regional = format!("http://{}/", listening["hosts"][1].as_str().unwrap());
    let reply = post(&regional, text(&token.stdout).trim(), &common::offer());
    assert_eq!(reply.status, 403);
    terminate(&child);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_signal_ends_the_stage_though_nobody_reads_its_events() {
    let key = Key::new("unread");
    let (mut child, lines, listening) = serve(&key);
    let endpoint = listening["endpoint"].as_str().unwrap();
    // More than a pipe holds: each redirect is an event with its URL.
    let url = format!("{endpoint}{}", "x".repeat(2000));
    (0..50).for_each(|_| assert_eq!(request("POST", &url, &[], "").status, 307));
    terminate(&child);

    let (sender, ended) = mpsc::channel();
    let mut errors = child.stderr.take().unwrap();
    let waiter = thread::spawn(move || {
        let mut text = String::new();
        errors.read_to_string(&mut text).unwrap();
        sender.send(text).unwrap();
    });
    let text = ended.recv_timeout(BOUND);
    drop(lines);
    waiter.join().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let text = text.unwrap();
    assert!(text.contains("events were not written"), "{text}");
}

/// CPU time of a process so far.
#[cfg(target_os = "linux")]
fn cpu_time(child: &Child) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // Fields 14 and 15, in ticks of 10 ms, after the name in parentheses.
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>());
    Duration::from_millis(ticks.map(Result::unwrap).sum::<u64>() * 10)
}

#[test]
#[cfg(target_os = "linux")]
fn without_free_descriptors_the_stage_waits_and_says_so_once() {
    use std::net::TcpStream;

    let key = Key::new("descriptors");
    let mut child = Command::new("sh")
        .args(["-c", r#"ulimit -n 24; exec "$0" "$@""#])
        .arg(env!("CARGO_BIN_EXE_ivs-stage"))
        .args(["serve", "--key-file", key.path()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, events) = mpsc::channel();
    let reader = thread::spawn(move || {
        lines.for_each(|line| drop(sender.send(line.unwrap())));
    });
    let listening: Value = serde_json::from_str(&events.recv_timeout(BOUND).unwrap()).unwrap();
    let host = listening["hosts"][1].as_str().unwrap();

    let held: Vec<TcpStream> = (0..30).map(|_| TcpStream::connect(host).unwrap()).collect();
    let event = events.recv_timeout(BOUND);
    let before = cpu_time(&child);
    thread::sleep(Duration::from_millis(300));
    let used = cpu_time(&child) - before;
    drop(held);
    let reply = request("GET", &format!("http://{host}/"), &[], "");
    terminate(&child);
    assert!(child.wait().unwrap().success());
    reader.join().unwrap();

    assert!(used <= Duration::from_millis(50), "{used:?}");
    assert!(event.unwrap().contains(r#""event":"accept_failed""#));
    assert_eq!(reply.status, 204);
    assert_eq!(events.iter().count(), 0);
}

#[test]
fn bad_arguments_get_one_sentence() {
    let bad = output(&["serve", "--hops", "many"]);
    assert_eq!(bad.status.code(), Some(2));
    assert_eq!(text(&bad.stderr).lines().count(), 1);
    assert!(text(&bad.stderr).contains("many"));

    let help = output(&["--help"]);
    assert!(help.status.success());
    assert!(text(&help.stdout).contains("--key-file"));
}
