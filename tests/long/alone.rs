//! A test in a process of its own: memory that one test gave back to the
//! allocator would hide what the next one loses.

use std::env;
use std::io::{Write, stderr};
use std::process::{Command, Stdio};

const ALONE: &str = "IVSWHIPSINK_TEST_ALONE";

/// Runs the body of the test named so, module included, in a new process.
pub fn alone(test: &str, body: impl FnOnce()) {
    run(test, &[], body);
}

/// The same with one malloc arena. By default glibc gives threads arenas of
/// their own, each of which keeps some of what was freed: with sixteen of them
/// memory grows by a megabyte until all are full, which is nobody's loss.
pub fn alone_in_one_arena(test: &str, body: impl FnOnce()) {
    run(test, &[("MALLOC_ARENA_MAX", "1")], body);
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
    // A misspelt name is no failure to the test runner.
    let passed = output.status.success() && told.contains("1 passed");
    assert!(passed, "{test} failed in its process:\n{told}");
}

/// Shows a measured figure. The test runner catches what the print macros write.
pub fn show(line: &str) {
    // There is nowhere else to say that standard error is closed.
    let _ = writeln!(stderr().lock(), "    {line}");
}
