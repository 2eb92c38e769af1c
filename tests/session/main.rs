//! Tests of the session driver against scripted servers, without GStreamer,
//! without media, and without traffic that leaves this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;

mod far_end;
mod publisher;

mod application_runtime;
mod candidate_names;
mod clock;
mod commands;
mod deletion;
mod documents;
mod early_connection;
mod filler;
mod media_connection;
mod name_resolution;
mod no_reply;
mod panics;
mod proxy;
mod redirects;
mod refusals;
mod retrying;
mod secrets;
mod silence_timeout;
mod stop;
mod test_files;
mod tls;
mod tokens;
mod unusable_answers;
mod whole_life;
