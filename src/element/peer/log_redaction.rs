//! What GStreamer by itself would show of a session's secrets, and how that is
//! kept back. Measured with GStreamer 1.22.0; `tests/element/secrets` does it
//! again with whatever is installed.
//!
//! | shown | where | kept back by |
//! | --- | --- | --- |
//! | ICE passwords, TURN credentials, SRTP keys | debug log | [`limit_logs`], [`limit_logs_of_turn`] |
//! | the key of the DTLS certificate | `gst-launch-1.0 -v` | [`Discretion::give_certificate`] |
//! | SRTP keys | `gst-launch-1.0 -v`, graph dumps | [`Discretion::watch`] |
//! | the key of the DTLS certificate | graph dumps | nothing |
//!
//! The last could be replaced by another once the handshake is through. But
//! `dtlsdec` then makes a new connection, and the next DTLS packet, such as the
//! server's farewell, is an error of it.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use gst::DebugLevel;
use gst::prelude::*;

/// Set to 1, it leaves every debug category as it is.
const LIFTED_BY: &str = "IVSWHIPSINK_LOG_SECRETS";

/// Categories that print a secret, each with the highest level that does not.
/// `default` is where GStreamer's SDP library logs, `GST_EVENT` and `structure`
/// print caps, and the SRTP elements carry the keys in theirs.
const LIMITS: [(&str, DebugLevel); 8] = [
    ("webrtcbin", DebugLevel::Log),
    ("webrtcnice", DebugLevel::Info),
    ("default", DebugLevel::Info),
    ("dtlsdec", DebugLevel::Fixme),
    ("dtlsenc", DebugLevel::Fixme),
    ("srtpenc", DebugLevel::Info),
    ("GST_EVENT", DebugLevel::Fixme),
    ("structure", DebugLevel::Fixme),
];

/// Has no category print a secret of the session that is about to begin. Each
/// that is set higher says so itself, where whoever set it looks. The offer and
/// the answer are in our own log, without the passwords.
pub(in crate::element) fn limit_logs(webrtcbin: &gst::Element) {
    for (name, level) in LIMITS {
        limit(webrtcbin, name, level);
    }
}

/// The same for webrtcbin's way to take a TURN server, which it prints whole.
pub(in crate::element) fn limit_logs_of_turn(webrtcbin: &gst::Element) {
    limit(webrtcbin, "webrtcbin", DebugLevel::Info);
    limit(webrtcbin, "webrtcnice", DebugLevel::Info);
}

fn limit(webrtcbin: &gst::Element, name: &str, level: DebugLevel) {
    let Some(category) = gst::DebugCategory::get(name) else {
        return;
    };
    let is_lifted = std::env::var_os(LIFTED_BY).is_some_and(|value| value == "1");
    if category.threshold() <= level || is_lifted {
        return;
    }
    gst::log_with_level!(
        category,
        level,
        obj = webrtcbin,
        "above this level {name} would print secrets of the session, so it is silent there \
         from now on; {LIFTED_BY}=1 in the environment lets it speak"
    );
    category.set_threshold(level);
}

/// Keeps the SRTP keys of one webrtcbin to its elements.
///
/// `srtpenc` has the key as a property and writes it into its caps; both are
/// notified up to the pipeline. Nobody but a reader of those needs them.
pub(in crate::element) struct Discretion {
    session: u64,
    has_ended: AtomicBool,
}

impl Discretion {
    pub(in crate::element) fn new() -> Self {
        static SESSIONS: AtomicU64 = AtomicU64::new(0);
        Self {
            session: SESSIONS.fetch_add(1, Ordering::Relaxed),
            has_ended: AtomicBool::new(false),
        }
    }

    /// Has the handshake show our certificate. The property holds its key too.
    pub(in crate::element) fn give_certificate(&self, dtlssrtpdec: &gst::Element, pem: &str) {
        // Up to here webrtcbin reads the peer's certificate and waits for no
        // notification of it. From 1.28 on it checks the certificate itself.
        if gst::version() < (1, 28, 0, 0) {
            freeze(self.session, dtlssrtpdec.upcast_ref());
            let bin = dtlssrtpdec.downcast_ref::<gst::Bin>();
            // It hands the property on to its `dtlsdec`.
            for child in bin.map(|bin| bin.children()).unwrap_or_default() {
                if child.has_property("pem") {
                    freeze(self.session, child.upcast_ref());
                }
            }
        }
        dtlssrtpdec.set_property("pem", pem);
    }

    /// Freezes the notifications of an `srtpenc` and its pads, and takes the
    /// key out of its caps.
    pub(in crate::element) fn watch(&self, srtpenc: &gst::Element) {
        // Some categories are there only now that their elements are.
        limit_logs(srtpenc);
        let session = self.session;
        freeze(session, srtpenc.upcast_ref());
        srtpenc.connect_pad_added(move |_, pad| watch_pad(session, pad));
        for pad in srtpenc.src_pads() {
            watch_pad(session, &pad);
        }
    }

    /// Lets the elements go. To be called once webrtcbin is out of the
    /// pipeline, as every notification is made good on this occasion: a handler
    /// that an application has on an element inside webrtcbin is called on the
    /// keeper's thread then. Can be called more than once.
    pub(in crate::element) fn end(&self) {
        if self.has_ended.swap(true, Ordering::AcqRel) {
            return;
        }
        let (done, wait) = channel();
        order(Order::Thaw(self.session, done), &wait);
    }
}

impl Drop for Discretion {
    /// For a webrtcbin that never became a peer connection. There is no wait,
    /// as this may be the keeper's own thread.
    fn drop(&mut self) {
        tell_keeper(Order::Thaw(self.session, channel().0));
    }
}

fn watch_pad(session: u64, pad: &gst::Pad) {
    if pad.direction() != gst::PadDirection::Src {
        return;
    }
    freeze(session, pad.upcast_ref());
    pad.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, |pad, info| {
        let Some(gst::PadProbeData::Event(event)) = &info.data else {
            return gst::PadProbeReturn::Ok;
        };
        let Some(bare) = without_key(event) else {
            return gst::PadProbeReturn::Ok;
        };
        // The pad keeps its caps, where graph dumps read them. It sends what it
        // is given here in place of what ends here.
        match pad.store_sticky_event(&bare) {
            Ok(_) => gst::PadProbeReturn::Handled,
            Err(_) => gst::PadProbeReturn::Ok,
        }
    });
}

/// The caps event without `srtp-key`, if it has one.
fn without_key(event: &gst::Event) -> Option<gst::Event> {
    let gst::EventView::Caps(caps) = event.view() else {
        return None;
    };
    let mut caps = caps.caps_owned();
    if !caps.structure(0)?.has_field("srtp-key") {
        return None;
    }
    caps.make_mut().structure_mut(0)?.remove_field("srtp-key");
    Some(
        gst::event::Caps::builder(&caps)
            .seqnum(event.seqnum())
            .build(),
    )
}

/// What the keeper of the frozen objects is told, and where it tells that it
/// is done.
enum Order {
    Freeze(u64, gst::Object, Sender<()>),
    Thaw(u64, Sender<()>),
}

fn freeze(session: u64, object: &gst::Object) {
    let (done, wait) = channel();
    order(Order::Freeze(session, object.clone(), done), &wait);
}

/// Whether the keeper is held up, by a handler that blocks.
static IS_HELD_UP: AtomicBool = AtomicBool::new(false);

/// Has the keeper do something, and waits for it. The bound is for a handler
/// of an application that blocks when it is notified; then nobody waits again
/// until the keeper goes on, since it serves all sessions of the process.
fn order(order: Order, done: &Receiver<()>) {
    const BOUND: Duration = Duration::from_secs(1);
    if tell_keeper(order) && !IS_HELD_UP.load(Ordering::Acquire) {
        let waited = done.recv_timeout(BOUND);
        if waited == Err(RecvTimeoutError::Timeout) {
            IS_HELD_UP.store(true, Ordering::Release);
        }
    }
}

/// Whether there is a keeper to be told. Without a thread there is none, and
/// `-v` shows what it shows.
fn tell_keeper(order: Order) -> bool {
    static KEEPER: LazyLock<Option<Sender<Order>>> = LazyLock::new(|| {
        let (sender, orders) = channel();
        let spawned = thread::Builder::new()
            .name("ivswhipsink:keep".to_owned())
            .spawn(move || keep(&orders));
        spawned.is_ok().then_some(sender)
    });
    let keeper = KEEPER.as_ref();
    keeper.is_some_and(|keeper| keeper.send(order).is_ok())
}

/// Holds what is frozen, on one thread for the process: such a guard can't be
/// passed from thread to thread, and every other thread here ends too early or
/// may be the one that waits.
fn keep(orders: &Receiver<Order>) {
    let mut frozen = Vec::new();
    for order in orders {
        let done = match order {
            Order::Freeze(session, object, done) => {
                frozen.push((session, object.freeze_notify()));
                done
            }
            Order::Thaw(ended, done) => {
                frozen.retain(|(session, _)| *session != ended);
                done
            }
        };
        // Whoever asked may have given up waiting.
        let _ = done.send(());
        IS_HELD_UP.store(false, Ordering::Release);
    }
}
