//! The run: one session after another, from READY→PAUSED to PAUSED→READY.
//!
//! In: news of pads, state changes, the bus and the session, as one type of message
//! through one channel. Out: calls on the peer connection, signals, bus messages,
//! and a view of the run for other threads.

mod awaited_caps;
mod awaited_media;
mod bitrate_control;
mod conductor;
mod conductor_message;
mod element_state;
mod limit_warnings;
mod lineup;
mod local_estimation;
mod narrowing;
mod pad_changes;
mod peer_opening;
mod run_state;
mod run_statistics;
mod run_view;
mod session_events;
mod silent_pads;
mod sometimes_pads;
mod token_request;

pub(super) use bitrate_control::Follower;
pub(super) use conductor::{StartError, start, stop};
pub(super) use conductor_message::Message;
pub(super) use element_state::ElementState;
pub(super) use run_state::MediaSettings;
pub(super) use run_statistics::RunStatistics;
