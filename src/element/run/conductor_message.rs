//! Everything that a conductor is told.

use crate::session::Event;

/// What happens to a run. One channel carries all of it, so that it has an order.
pub(crate) enum Message {
    /// A pad, or what is on it, is another than before.
    PadsChanged,
    /// PLAYING is reached.
    Playing,
    /// A pad's stream violates an IVS limit.
    LimitViolated,
    /// An element inside has posted an error.
    ChildFailed {
        /// The element.
        child: gst::Object,
        /// What it says.
        text: String,
    },
    /// An event of the session.
    Session(Event),
}
