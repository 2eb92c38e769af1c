//! The GStreamer half: properties, pads, state changes and bus messages, and
//! the only typed face of webrtcbin.
//!
//! It translates and has no opinions: a property becomes a setting, a pad
//! event an input of the session, a session's event a call on webrtcbin or a
//! bus message. Locks are held to take or put something, never over a call
//! out of this crate.

mod bus_messages;
mod imp;
mod input;
mod log;
mod peer;
mod run;
mod session_state;
mod settings;
mod signals;
mod stats;

pub use session_state::SessionState;

use gst::prelude::*;

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
