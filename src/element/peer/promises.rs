//! The promises of one webrtcbin: what it is asked, and answers in its own time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gst_webrtc::WebRTCSessionDescription;

use crate::session::Cause;

/// An answer of webrtcbin, or why there is none.
pub(super) type Reply<'a> = Result<Option<&'a gst::StructureRef>, gst::PromiseError>;

/// The promises that webrtcbin has not answered yet.
///
/// When it is closed it drops those that it has not come to, and GStreamer
/// complains of a promise that is freed unanswered: so they are kept here.
#[derive(Default)]
pub(super) struct Promises(Mutex<Open>);

#[derive(Default)]
struct Open {
    by_number: HashMap<u64, gst::Promise>,
    made: u64,
    is_closed: bool,
}

impl Promises {
    /// A promise to ask with; `None` once webrtcbin is closed.
    pub(super) fn make(
        self: &Arc<Self>,
        answered: impl FnOnce(Reply<'_>) + Send + 'static,
    ) -> Option<gst::Promise> {
        let mut open = self.lock();
        if open.is_closed {
            return None;
        }
        open.made += 1;
        let number = open.made;
        // Weak, as the promise is kept here.
        let promises = Arc::downgrade(self);
        let promise = gst::Promise::with_change_func(move |reply| {
            if let Some(promises) = promises.upgrade() {
                promises.lock().by_number.remove(&number);
            }
            answered(reply);
        });
        open.by_number.insert(number, promise.clone());
        Some(promise)
    }

    /// Interrupts those that are open: an interrupted promise takes a late answer
    /// and drops it.
    pub(super) fn close(&self) {
        let promises = {
            let mut open = self.lock();
            open.is_closed = true;
            std::mem::take(&mut open.by_number)
        };
        promises.values().for_each(gst::Promise::interrupt);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The description in a promise's reply.
pub(super) fn description(
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
pub(super) fn structure(reply: Reply<'_>) -> Result<Option<&gst::StructureRef>, Cause> {
    let structure = reply.map_err(|error| Cause::Peer(format!("webrtcbin gave up: {error:?}")))?;
    match structure.and_then(|structure| structure.get::<glib::Error>("error").ok()) {
        Some(error) => Err(Cause::Peer(error.message().to_owned())),
        None => Ok(structure),
    }
}
