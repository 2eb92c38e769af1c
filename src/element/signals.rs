//! The element's signals.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use glib::prelude::*;
use glib::subclass::Signal;

/// A fresh webrtcbin, before it is linked: for settings that the element has no
/// property for.
pub(super) const WEBRTCBIN_READY: &str = "webrtcbin-ready";

/// The token is expired, or was refused as expired. A handler returns a new one,
/// or nothing; the first one that returns a token is the last one called.
pub(super) const REQUEST_TOKEN: &str = "request-token";

/// All of them.
pub(super) fn signals() -> &'static [Signal] {
    static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
        vec![
            Signal::builder(WEBRTCBIN_READY)
                .param_types([gst::Element::static_type()])
                .build(),
            Signal::builder(REQUEST_TOKEN)
                .return_type::<Option<String>>()
                .run_last()
                .accumulator(|_, _, value| match value.get::<Option<String>>() {
                    Ok(Some(_)) => ControlFlow::Break(value.clone()),
                    _ => ControlFlow::Continue(value.clone()),
                })
                .build(),
        ]
    });
    &SIGNALS
}
