//! Loads webrtcbin's plugins before the first session of a process needs them.
//!
//! The main cost is an RSA key: before GStreamer 1.28 the first `dtlsdec` of a
//! process makes one, used or not, which takes 125 to 450 ms. A process that exits
//! meanwhile tears OpenSSL down while the key is being made, and crashes. So an
//! element that goes to NULL waits for the loading.

use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Limit of the wait: far more than a key takes. A loader that hangs must not block
/// the stop.
const BOUND: Duration = Duration::from_secs(3);

static PRELOAD: (Mutex<Progress>, Condvar) = (Mutex::new(Progress::NotBegun), Condvar::new());

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    NotBegun,
    Loading,
    Loaded,
}

/// Starts the loading on its own thread, once in a process.
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
        // Without a thread the first session loads the plugins.
        loaded();
    }
}

/// Waits until the loading is done, if it was started; [`BOUND`] at most.
pub(crate) fn wait() {
    let (progress, changed) = &PRELOAD;
    let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    let loading = |progress: &mut Progress| *progress == Progress::Loading;
    // After the bound the stop goes on all the same.
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
