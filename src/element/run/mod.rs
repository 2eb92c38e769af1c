//! The run: from READY→PAUSED to PAUSED→READY, one session after another.

mod conductor;
mod limit_warnings;
mod lineup;
mod pad_changes;
mod session_events;

pub(super) use conductor::{Run, StartError, StoppedRun};
