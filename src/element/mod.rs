//! The GStreamer half: properties, pads, state changes and bus messages, and
//! the only typed face of webrtcbin.
//!
//! It translates and has no opinions: a property becomes a setting, a pad
//! event an input of the session, a session's event a call on webrtcbin or a
//! bus message. Locks are held to take or put something, never over a call
//! out of this crate.

mod imp;
mod input;
mod messages;
mod peer;
mod run;
mod settings;
mod stats;

use gst::prelude::*;

/// The states of an `ivswhipsink`, as its property `session-state` and its
/// element messages give them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstIvsWhipSinkSessionState")]
pub enum SessionState {
    /// No session: the element is in NULL or READY.
    #[default]
    #[enum_value(name = "No session", nick = "idle")]
    Idle,
    /// Waits for the caps of every linked pad.
    #[enum_value(name = "Waiting for media", nick = "waiting")]
    Waiting,
    /// The offer is made or under way.
    #[enum_value(name = "Connecting", nick = "connecting")]
    Connecting,
    /// Media flows.
    #[enum_value(name = "Publishing", nick = "publishing")]
    Publishing,
    /// The session failed or was lost, and another attempt follows.
    #[enum_value(name = "Waiting for another attempt", nick = "retrying")]
    Retrying,
    /// The session is being deleted on the server.
    #[enum_value(name = "Stopping", nick = "stopping")]
    Stopping,
    /// The session has ended: by end of stream, or by stop.
    #[enum_value(name = "Ended", nick = "ended")]
    Ended,
    /// The session failed; an error is on the bus.
    #[enum_value(name = "Failed", nick = "failed")]
    Failed,
}

impl SessionState {
    /// The state's name in messages, such as `publishing`.
    pub fn nick(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Publishing => "publishing",
            Self::Retrying => "retrying",
            Self::Stopping => "stopping",
            Self::Ended => "ended",
            Self::Failed => "failed",
        }
    }
}

glib::wrapper! {
    /// The element `ivswhipsink`: a bin that publishes the RTP streams linked to
    /// it to an Amazon IVS Real-Time stage, or to another WHIP server.
    pub struct IvsWhipSink(ObjectSubclass<imp::IvsWhipSink>)
        @extends gst::Bin, gst::Element, gst::Object,
        @implements gst::ChildProxy;
}

/// Registers the element with a plugin.
///
/// # Errors
/// When GStreamer refuses, as it does if the name is taken.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    SessionState::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(
        Some(plugin),
        "ivswhipsink",
        gst::Rank::MARGINAL,
        IvsWhipSink::static_type(),
    )
}
