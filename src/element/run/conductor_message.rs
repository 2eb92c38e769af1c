//! The messages to a conductor.

use crate::media::TimingNews;
use crate::session::Event;

/// Something that happens to a run. One channel carries all messages, so that they
/// have an order.
pub(crate) enum Message {
    /// A pad or its stream has changed.
    PadsChanged,
    /// The pad with this id was flushed.
    PadFlushed(u32),
    /// The element has reached PLAYING.
    Playing,
    /// A pad's stream violates an IVS limit.
    LimitViolated,
    /// The timestamps of the pad with this id were far from running time.
    Timing(u32, TimingNews),
    /// Something for the user to know of what happens behind a pad.
    PadWarning(String),
    /// An own encoder, by its factory's name, can't be used. The text says what is done.
    EncoderFailed(String, String),
    /// The peer connection with this number did not take a packet.
    PushFailed(u64, gst::FlowError),
    /// An element inside has posted an error.
    ChildFailed {
        /// The element.
        child: gst::Object,
        /// Its error.
        text: String,
    },
    /// What another element of the pipeline, by its index among those that add pads, has
    /// done.
    PadsOfOther(usize, PadNews),
    /// What the application replied to `request-token`.
    TokenReply(Option<String>),
    /// An event of the session.
    Session(Event),
}

/// What an element that adds pads while the pipeline starts has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PadNews {
    /// It has added a source pad.
    Added,
    /// It adds no more pads.
    NoMore,
}
