//! What a pad tells the conductor.

use crate::media::TimingNews;

/// News of a pad's stream, told on its streaming thread.
pub(crate) enum PadEvent {
    /// The pad's state has changed.
    Changed,
    /// The pad with this id was flushed.
    Flushed(u32),
    /// The peer connection with this number did not take a packet. The gate is closed.
    PushFailed(u64, gst::FlowError),
    /// There is a new limit violation.
    LimitViolated,
    /// The timestamps of the pad with this id were far from running time.
    Timing(u32, TimingNews),
    /// An encoder, by its factory's name, can't be used. The text says what is done.
    EncoderFailed(String, String),
    /// Something for the user to know.
    Warning(String),
}
