//! Slow tests: the cost of many starts, reconnects and restarts, and that they
//! leak nothing. `make test-long` runs them and prints what they measured.
#![cfg(all(feature = "element", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod alone;
mod far_end;
#[path = "../element/harness.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the element, which use all of it"
)]
mod harness;
mod process_usage;
mod publisher;

mod connecting;
mod many;
mod reconnects;
mod restarts;
mod rounds;
mod silence;
mod steady;
