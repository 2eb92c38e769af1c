//! Tests of whole pipelines against the local stage, and against a scripted server
//! for replies that the stage never gives.
#![cfg(feature = "element")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub
)]

mod capture_times;
#[path = "../common/mod.rs"]
mod common;
mod harness;
mod recorded_sessions;
mod secret_search;
mod viewer;

mod as_they_come;
mod bad_replies;
mod bad_settings;
mod clean_log;
mod descriptors;
mod documentation;
mod documented_messages;
mod encoded;
mod encoders;
mod filler;
mod from_whipclientsink;
mod latency;
mod leaving;
mod limits;
mod lip_sync;
mod many_threads;
mod memories;
mod metadata;
mod missing_elements;
mod on_time;
mod own_encoder;
mod pads;
mod plugin;
mod publishing;
mod quirks;
mod raw;
mod raw_video;
mod reconnecting;
mod resilience;
mod restarting;
mod rtp;
mod secrets;
mod stats;
mod stopping;
mod tokens;
mod uplink;
