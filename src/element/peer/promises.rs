//! The promises of one webrtcbin, with which it replies to calls later.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gst_webrtc::WebRTCSessionDescription;

use crate::session::Cause;

/// A reply of webrtcbin, or why there is none.
pub(super) type Reply<'a> = Result<Option<&'a gst::StructureRef>, gst::PromiseError>;

/// The promises that webrtcbin has not answered yet.
///
/// A closed webrtcbin drops them, and GStreamer warns of a promise that is freed
/// without a reply. So they are kept here, to be interrupted first.
#[derive(Default)]
pub(super) struct Promises {
    open: Mutex<Open>,
    replied: Condvar,
}

/// Limit of the wait for replies before webrtcbin is taken down. They come within
/// some milliseconds, and within a second on a machine that is overloaded many times. With
/// two seconds one of 2000 sessions on such a machine left its descriptors.
const REPLY_BOUND: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Open {
    by_number: HashMap<u64, gst::Promise>,
    made: u64,
    is_closed: bool,
}

impl Promises {
    /// Makes a promise for a call on webrtcbin; `None` after [`Self::close`].
    /// `answered` gets the reply.
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
        // Weak, because the promise is kept in here.
        let promises = Arc::downgrade(self);
        let promise = gst::Promise::with_change_func(move |reply| {
            if let Some(promises) = promises.upgrade() {
                promises.lock().by_number.remove(&number);
                promises.replied.notify_all();
            }
            answered(reply);
        });
        open.by_number.insert(number, promise.clone());
        Some(promise)
    }

    /// Waits for the replies that are due: webrtcbin leaks the descriptors of an ICE
    /// agent that is taken down while it begins to gather. After [`REPLY_BOUND`] the
    /// open promises are interrupted: an interrupted promise accepts a late reply and
    /// drops it. Returns whether all replies came.
    pub(super) fn close(&self) -> bool {
        let promises = {
            let mut open = self.lock();
            open.is_closed = true;
            let is_due = |open: &mut Open| !open.by_number.is_empty();
            let waited = self.replied.wait_timeout_while(open, REPLY_BOUND, is_due);
            let (mut open, _) = waited.unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut open.by_number)
        };
        promises.values().for_each(gst::Promise::interrupt);
        promises.is_empty()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_closed
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session description in a promise's reply.
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

/// The structure of a promise's reply, or the error that webrtcbin put into it.
pub(super) fn structure(reply: Reply<'_>) -> Result<Option<&gst::StructureRef>, Cause> {
    let structure = reply.map_err(|error| Cause::Peer(format!("webrtcbin gave up: {error:?}")))?;
    match structure.and_then(|structure| structure.get::<glib::Error>("error").ok()) {
        Some(error) => Err(Cause::Peer(error.message().to_owned())),
        None => Ok(structure),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    #[test]
    fn a_reply_of_a_loaded_machine_is_waited_for() {
        gst::init().unwrap();
        let promises = Arc::new(Promises::default());
        let (sender, replies) = channel();
        let answered = move |reply: Reply<'_>| sender.send(reply.map(drop)).unwrap();
        let promise = promises.make(answered).unwrap();
        let late = thread::spawn(move || {
            thread::sleep(Duration::from_secs(1));
            promise.reply(None);
        });
        assert!(promises.close());
        // Told behind the end of the wait. An interrupted promise would tell that.
        let reply = replies.recv_timeout(Duration::from_secs(10));
        assert_eq!(reply, Ok(Ok(())));
        late.join().unwrap();
        assert!(promises.make(|_| {}).is_none());
    }

    #[test]
    fn a_promise_without_a_reply_is_interrupted() {
        gst::init().unwrap();
        let promises = Arc::new(Promises::default());
        let (sender, replies) = channel();
        let answered = move |reply: Reply<'_>| sender.send(reply.map(drop)).unwrap();
        let promise = promises.make(answered).unwrap();
        assert!(!promises.close());
        assert_eq!(replies.try_recv(), Ok(Err(gst::PromiseError::Interrupted)));
        drop(promise);
    }
}
