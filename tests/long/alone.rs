//! Runs a test in its own process: memory that an earlier test gave back to the
//! allocator would hide a leak.

use std::env;
use std::io::{Write, stderr};
use std::process::{Command, Stdio};

const ALONE: &str = "IVSWHIPSINK_TEST_ALONE";

/// Runs `body` in a new process. `test` is the test's name with its module.
pub fn alone(test: &str, body: impl FnOnce()) {
    run(test, &[], body);
}

/// Like [`alone`], where malloc gives back what is free. By default glibc gives threads
/// their own arenas, and each keeps some freed memory: with sixteen arenas, memory grows by
/// a megabyte until all are full. And once a block of 20 MB was freed, as by an encoder, it
/// keeps twice that (mallopt(3), `M_MMAP_THRESHOLD`). Neither is a leak.
pub fn alone_with_little_kept(test: &str, body: impl FnOnce()) {
    let environment = [
        ("MALLOC_ARENA_MAX", "1"),
        ("MALLOC_MMAP_THRESHOLD_", "131072"),
        ("MALLOC_TRIM_THRESHOLD_", "131072"),
    ];
    run(test, &environment, body);
}

fn run(test: &str, environment: &[(&str, &str)], body: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return body();
    }
    let run = Command::new(env::current_exe().unwrap())
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(ALONE, "1")
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = run.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    // With a misspelt name the test runner succeeds without running a test.
    let passed = output.status.success() && told.contains("1 passed");
    assert!(passed, "{test} failed in its process:\n{told}");
}

/// Prints a measured value. The test runner captures what the print macros write.
pub fn show(line: &str) {
    // There is nowhere to report that standard error is closed.
    let _ = writeln!(stderr().lock(), "    {line}");
}
