//! What the test binaries share: a server that does as it is told, answers that
//! fit an offer, and programs as processes.
//!
//! A binary takes it in by `#[path = "../common/mod.rs"] mod common;` and needs
//! no more than std. `scripted` has an example.

// Each binary uses its part of this.
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
