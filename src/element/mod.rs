//! The GStreamer element: properties, pads, state changes, bus messages, and all
//! calls on webrtcbin.
//!
//! It only translates: a property becomes a setting, a pad event becomes an input
//! of the session, an event of the session becomes a call on webrtcbin or a bus
//! message. No lock is held over a call out of this crate.

mod bus_messages;
mod imp;
mod input;
mod log;
mod metadata;
mod peer;
mod run;
mod session_state;
mod settings;
mod signaller;
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
/// GStreamer's error, for example if the name is already registered.
pub fn register(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
    SessionState::static_type().mark_as_plugin_api(gst::PluginAPIFlags::empty());
    gst::Element::register(
        Some(plugin),
        "ivswhipsink",
        gst::Rank::MARGINAL,
        IvsWhipSink::static_type(),
    )
}
