//! The element's signals.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use glib::prelude::*;
use glib::subclass::Signal;

/// Emitted with each new webrtcbin before it is linked. A handler can set what the
/// element has no property for.
pub(super) const WEBRTCBIN_READY: &str = "webrtcbin-ready";

/// Emitted when the token is expired or does not allow publishing, or when the
/// server refused it as expired. A handler returns a new token or nothing. No
/// handler is called after one that returned a token.
pub(super) const REQUEST_TOKEN: &str = "request-token";

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
