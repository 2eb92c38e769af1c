//! `stage_probe` as a process, against local stages and scripted servers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "how a test fails"
)]

#[path = "../../../tests/common/mod.rs"]
mod common;
mod endings;
mod harness;
mod reports;
mod secrets;

// Their unit tests run here, so that the probe has one test binary.
#[allow(dead_code)]
#[path = "../../src/answer.rs"]
mod answer;
#[allow(dead_code)]
#[path = "../../src/arguments.rs"]
mod arguments;
#[allow(dead_code)]
#[path = "../../src/plan.rs"]
mod plan;
#[allow(dead_code)]
#[path = "../../src/redaction.rs"]
mod redaction;
