//! The element's signals.

use std::ops::ControlFlow;
use std::sync::OnceLock;

use glib::prelude::*;
use glib::signal::signal_has_handler_pending;
use glib::subclass::{Signal, SignalId};

use super::IvsWhipSink;

/// Emitted with each new webrtcbin before it is linked. A handler can set what the
/// element has no property for.
pub(super) const WEBRTCBIN_READY: &str = "webrtcbin-ready";

/// Emitted when IVS needs a token and there is none, when it is expired or does not
/// allow publishing, or when the server refused it as expired. A handler returns a
/// new token or nothing. No handler is called after one that returned a token.
pub(super) const REQUEST_TOKEN: &str = "request-token";

/// Emitted with each encoder that the element makes, before it is set up. A handler that
/// sets it up itself returns true.
const ENCODER_SETUP: &str = "encoder-setup";

/// An action: sends a message with the video, in its next frame and in as many frames
/// after it as the second argument says (0 to 30). The first has its 1 to 1023 bytes; all
/// messages of a second, repeats included, have at most 10240. Returns whether the message
/// was taken; if not, a warning on the bus says why. It can be emitted from any thread,
/// and waits for nothing. Receivers get each repeat, and may miss any.
const SEND_METADATA: &str = "send-metadata";

/// What [`SEND_METADATA`] does.
pub(super) type SendMetadata = fn(&IvsWhipSink, &[u8], u32) -> bool;

/// Lets the application set an encoder up. Returns whether it did.
pub(super) fn set_up_encoder(element: &gst::Element, encoder: &gst::Element) -> bool {
    let signal = SignalId::lookup(ENCODER_SETUP, element.type_());
    signal.is_some_and(|_| element.emit_by_name::<bool>(ENCODER_SETUP, &[encoder]))
}

/// Whether the application has connected a handler to [`REQUEST_TOKEN`].
pub(super) fn has_token_handler(element: &gst::Bin) -> bool {
    let signal = SignalId::lookup(REQUEST_TOKEN, element.type_());
    signal.is_some_and(|signal| signal_has_handler_pending(element, signal, None, false))
}

/// Whether the application listens to changes of the property `target-bitrate`. Handlers of
/// all properties do not count: tools that print them connect those.
pub(super) fn has_bitrate_handler(element: &gst::Element) -> bool {
    let notify = SignalId::lookup("notify", glib::Object::static_type());
    let property = glib::Quark::from_str("target-bitrate");
    notify.is_some_and(|notify| signal_has_handler_pending(element, notify, Some(property), false))
}

pub(super) fn signals(send_metadata: SendMetadata) -> &'static [Signal] {
    static SIGNALS: OnceLock<Vec<Signal>> = OnceLock::new();
    SIGNALS.get_or_init(|| {
        vec![
            send_metadata_action(send_metadata),
            Signal::builder(WEBRTCBIN_READY)
                .param_types([gst::Element::static_type()])
                .build(),
            Signal::builder(ENCODER_SETUP)
                .param_types([gst::Element::static_type()])
                .return_type::<bool>()
                .run_last()
                .accumulator(|_, _, value| match value.get::<bool>() {
                    Ok(true) => ControlFlow::Break(value.clone()),
                    _ => ControlFlow::Continue(value.clone()),
                })
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
    })
}

fn send_metadata_action(send: SendMetadata) -> Signal {
    Signal::builder(SEND_METADATA)
        .param_types([glib::Bytes::static_type(), u32::static_type()])
        .return_type::<bool>()
        .action()
        .run_last()
        .class_handler(move |values| {
            let sent = send_emitted(values, send).unwrap_or_default();
            Some(sent.to_value())
        })
        .build()
}

/// Sends what the signal was emitted with. `None` if these are values of other types, which
/// GLib rules out.
fn send_emitted(values: &[glib::Value], send: SendMetadata) -> Option<bool> {
    let [element, data, repeat] = values else {
        return None;
    };
    let element = element.get::<IvsWhipSink>().ok()?;
    // Some languages pass NULL for no bytes.
    let data = data.get::<Option<glib::Bytes>>().ok()?;
    let data = data.as_deref().unwrap_or_default();
    Some(send(&element, data, repeat.get().ok()?))
}
