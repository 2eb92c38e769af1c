//! Loads webrtcbin's plugins ahead of the first session of a process.
//!
//! Above all the first `dtlsdec` of a process makes an RSA key before GStreamer
//! 1.28, used or not, which takes 125 to 450 ms. A process that exits meanwhile
//! tears OpenSSL down under the thread that makes the key, and crashes. So an
//! element that goes to NULL waits for it.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Far more than a key takes; a thread that hangs must not hang the stop.
const BOUND: Duration = Duration::from_secs(3);

static PRELOAD: (Mutex<Progress>, Condvar) = (Mutex::new(Progress::NotBegun), Condvar::new());

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    NotBegun,
    Loading,
    Loaded,
}

/// Begins, once in a process, on a thread of its own.
pub(crate) fn begin() {
    {
        let mut progress = PRELOAD.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *progress != Progress::NotBegun {
            return;
        }
        *progress = Progress::Loading;
    }
    let load = || {
        for name in ["dtlsdec", "webrtcbin", "nicesink", "srtpenc"] {
            drop(gst::ElementFactory::make(name).build());
        }
        loaded();
    };
    let spawned = thread::Builder::new()
        .name("ivswhipsink:load".to_owned())
        .spawn(load);
    if spawned.is_err() {
        // Without a thread the first session loads them itself.
        loaded();
    }
}

/// Waits, in bounds, until what has begun is done.
pub(crate) fn wait() {
    let (progress, changed) = &PRELOAD;
    let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    let loading = |progress: &mut Progress| *progress == Progress::Loading;
    // After the bound there is nothing better to do than to go on.
    drop(changed.wait_timeout_while(progress, BOUND, loading));
}

fn loaded() {
    let (progress, changed) = &PRELOAD;
    *progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress::Loaded;
    changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_waited_for() {
        gst::init().unwrap();
        begin();
        wait();
        assert!(*PRELOAD.0.lock().unwrap() == Progress::Loaded);
        begin();
        wait();
    }
}
