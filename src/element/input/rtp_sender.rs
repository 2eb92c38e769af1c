//! The element that a pad's packets leave by.
//!
//! It gives all that arrives to its [`PadStream`], and pushes what that lets leave. Not
//! registered, so no application can make one.

use std::sync::{Arc, LazyLock, OnceLock};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::pad_stream::PadStream;

glib::wrapper! {
    /// The last element of a pad's chain.
    pub(super) struct RtpSender(ObjectSubclass<RtpSenderImp>)
        @extends gst::Element, gst::Object;
}

impl RtpSender {
    pub(super) fn new(name: &str, stream: Arc<PadStream>) -> Self {
        let sender: Self = glib::Object::builder().property("name", name).build();
        // Fails only if it was set before.
        let _ = sender.imp().stream.set(stream);
        sender
    }

    /// Where packets come in.
    pub(super) fn sink(&self) -> &gst::Pad {
        &self.imp().sink
    }

    /// Where packets leave.
    pub(super) fn source(&self) -> &gst::Pad {
        &self.imp().source
    }
}

/// The instance of an [`RtpSender`].
pub(super) struct RtpSenderImp {
    sink: gst::Pad,
    source: gst::Pad,
    stream: OnceLock<Arc<PadStream>>,
}

impl RtpSenderImp {
    fn take(
        &self,
        buffers: &mut dyn Iterator<Item = &gst::BufferRef>,
    ) -> Result<gst::FlowSuccess, gst::FlowError> {
        let Some(stream) = self.stream.get() else {
            return Ok(gst::FlowSuccess::Ok);
        };
        let passage = stream.take(buffers);
        if passage.awaits_key_frame {
            stream.request_key_frame(&self.sink);
        }
        stream.push(&self.source, passage);
        Ok(gst::FlowSuccess::Ok)
    }

    fn event(&self, event: gst::Event) -> bool {
        let stream = self.stream.get();
        let passes = stream.and_then(|stream| stream.event(&self.source, event));
        if let (Some(stream), Some(event)) = (stream, passes) {
            stream.push_event(&self.source, event);
        }
        true
    }
}

/// What leaves is not held, whatever latency upstream claims. A clocksync that sees the
/// question on its way upstream holds media for the claimed time (1.22 to 1.28).
fn answer_latency(query: &mut gst::query::Latency) {
    query.set(true, gst::ClockTime::ZERO, gst::ClockTime::NONE);
}

static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
    let template = |name, direction| {
        gst::PadTemplate::new(
            name,
            direction,
            gst::PadPresence::Always,
            &gst::Caps::new_any(),
        )
    };
    let templates = [
        template("sink", gst::PadDirection::Sink),
        template("src", gst::PadDirection::Src),
    ];
    templates.into_iter().flatten().collect()
});

#[glib::object_subclass]
impl ObjectSubclass for RtpSenderImp {
    const NAME: &'static str = "GstIvsRtpSender";
    type Type = RtpSender;
    type ParentType = gst::Element;

    fn with_class(class: &Self::Class) -> Self {
        let pad = |name, direction| match class.pad_template(name) {
            Some(template) => gst::Pad::builder_from_template(&template),
            None => gst::Pad::builder(direction).name(name),
        };
        let failed = || Err(gst::FlowError::Error);
        Self {
            sink: pad("sink", gst::PadDirection::Sink)
                .chain_function(move |_, parent, buffer| {
                    Self::catch_panic_pad_function(parent, failed, |imp| {
                        imp.take(&mut std::iter::once(buffer.as_ref()))
                    })
                })
                .chain_list_function(move |_, parent, list| {
                    Self::catch_panic_pad_function(parent, failed, |imp| imp.take(&mut list.iter()))
                })
                .event_function(|_, parent, event| {
                    Self::catch_panic_pad_function(parent, || false, |imp| imp.event(event))
                })
                .build(),
            source: pad("src", gst::PadDirection::Src)
                .query_function(|pad, parent, query| match query.view_mut() {
                    gst::QueryViewMut::Latency(query) => {
                        answer_latency(query);
                        true
                    }
                    _ => gst::Pad::query_default(pad, parent, query),
                })
                .event_function(|pad, parent, event| match event.view() {
                    // Sent with each link. What comes in does not depend on the session, and
                    // an upstream that stops would fail to negotiate anew.
                    gst::EventView::Reconfigure(_) => true,
                    _ => gst::Pad::event_default(pad, parent, event),
                })
                .build(),
            stream: OnceLock::new(),
        }
    }
}

impl ObjectImpl for RtpSenderImp {
    fn constructed(&self) {
        self.parent_constructed();
        // Fails only for names that are in use.
        let _ = self.obj().add_pad(&self.sink);
        let _ = self.obj().add_pad(&self.source);
    }
}

impl GstObjectImpl for RtpSenderImp {}

impl ElementImpl for RtpSenderImp {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "RTP sender",
                "Filter/Network/RTP",
                "Gives packets the headers of the stream that is published",
                "The ivswhipsink developers",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        &TEMPLATES
    }
}
