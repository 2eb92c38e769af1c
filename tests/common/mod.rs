//! What the test binaries share: a scripted server, answers that fit an offer,
//! and programs run as processes.
//!
//! Include it with `#[path = "../common/mod.rs"] mod common;`. It needs only std.
//! `scripted` has an example.

// Each binary uses only a part of this module.
#![allow(dead_code, unused_imports)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answer;
mod gate;
mod message;
pub(crate) mod process;
mod scripted;

pub(crate) use answer::{FINGERPRINT, answer_for};
pub(crate) use gate::Gate;
pub(crate) use message::{Reply, Request};
pub(crate) use scripted::{Action, Server, Wire, created, redirect};
