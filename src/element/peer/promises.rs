//! What webrtcbin is asked and answers in its own time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst_webrtc::WebRTCSessionDescription;

use crate::session::Cause;

/// An answer of webrtcbin, or why there is none.
pub(in crate::element) type Reply<'a> = Result<Option<&'a gst::StructureRef>, gst::PromiseError>;

/// The questions to one webrtcbin that it has not answered yet.
///
/// It drops what it has not come to when it is closed, and GStreamer
/// complains of promises that nobody keeps.
#[derive(Default)]
pub(in crate::element) struct Questions(Mutex<Open>);

#[derive(Default)]
struct Open {
    promises: HashMap<u64, gst::Promise>,
    asked: u64,
    is_closed: bool,
}

impl Questions {
    /// A promise to ask with; none once it is closed.
    pub(in crate::element) fn ask(
        self: &Arc<Self>,
        answered: impl FnOnce(Reply<'_>) + Send + 'static,
    ) -> Option<gst::Promise> {
        let mut open = self.lock();
        if open.is_closed {
            return None;
        }
        open.asked += 1;
        let number = open.asked;
        // Weak, as the promise is kept here.
        let questions = Arc::downgrade(self);
        let promise = gst::Promise::with_change_func(move |reply| {
            if let Some(questions) = questions.upgrade() {
                questions.lock().promises.remove(&number);
            }
            answered(reply);
        });
        open.promises.insert(number, promise.clone());
        Some(promise)
    }

    /// Interrupts those that are open. An answer that comes all the same is
    /// dropped, which one to an expired promise could not be.
    pub(in crate::element) fn close(&self) {
        let promises = {
            let mut open = self.lock();
            open.is_closed = true;
            std::mem::take(&mut open.promises)
        };
        promises.values().for_each(gst::Promise::interrupt);
    }

    pub(in crate::element) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The description in a promise's reply.
pub(in crate::element) fn description(
    reply: Reply<'_>,
    field: &str,
) -> Result<WebRTCSessionDescription, Cause> {
    let structure =
        structure(reply)?.ok_or_else(|| Cause::Peer("webrtcbin made no offer".to_owned()))?;
    structure
        .get(field)
        .map_err(|error| Cause::Peer(error.to_string()))
}

/// The reply of a promise, whose error webrtcbin puts into the reply.
pub(in crate::element) fn structure(reply: Reply<'_>) -> Result<Option<&gst::StructureRef>, Cause> {
    let structure = reply.map_err(|error| Cause::Peer(format!("webrtcbin gave up: {error:?}")))?;
    match structure.and_then(|structure| structure.get::<glib::Error>("error").ok()) {
        Some(error) => Err(Cause::Peer(error.message().to_owned())),
        None => Ok(structure),
    }
}
