//! Slow tests: the cost of many starts, reconnects and restarts, and that they
//! leak nothing. `make test-long` runs them and prints what they measured.
#![cfg(all(feature = "element", target_os = "linux", target_env = "gnu"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod alone;
#[path = "../element/capture_times.rs"]
mod capture_times;
#[path = "../common/mod.rs"]
mod common;
/// The element's own tests compare its messages with their pages.
mod documented_messages {
    pub fn check(_: &gst::Message) {}
}
mod far_end;
mod faulty_stages;
#[path = "../element/harness.rs"]
#[allow(
    dead_code,
    reason = "shared with the tests of the element, which use all of it"
)]
mod harness;
mod logged;
mod process_usage;
mod publisher;
#[path = "../../src/random.rs"]
#[allow(dead_code, reason = "shared with the property tests of the library")]
mod random;
mod wire;

mod connecting;
mod lip_sync;
mod many;
mod reconnects;
mod restarts;
mod rounds;
mod silence;
mod soak;
mod steady;
