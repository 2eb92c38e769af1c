//! A GStreamer plugin with one element, `ivswhipsink`, which publishes audio and
//! video to an Amazon IVS Real-Time stage over WHIP (RFC 9725).

#[cfg(feature = "element")]
pub mod element;
pub mod ivs;
pub mod session;
pub mod whip;

#[cfg(feature = "element")]
pub use plugin::plugin_register_static;

/// The plugin's entry. Apart, because the macro's items carry no documentation.
#[cfg(feature = "element")]
#[allow(missing_docs, clippy::expect_used)]
mod plugin {
    fn plugin_init(plugin: &gst::Plugin) -> Result<(), glib::BoolError> {
        crate::element::register(plugin)
    }

    gst::plugin_define!(
        ivs,
        env!("CARGO_PKG_DESCRIPTION"),
        plugin_init,
        concat!(env!("CARGO_PKG_VERSION"), "-", env!("COMMIT_ID")),
        "MIT/X11",
        env!("CARGO_PKG_NAME"),
        env!("CARGO_PKG_NAME"),
        "https://docs.aws.amazon.com/ivs/latest/RealTimeUserGuide/",
        env!("BUILD_REL_DATE")
    );
}
