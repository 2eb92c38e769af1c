//! Keeps secrets out of the debug logs of the elements inside.
//!
//! webrtcbin and its children print ICE passwords, TURN credentials and SRTP keys
//! at high levels. Only their own categories are limited, and only if they are set
//! higher. Our own log has the offer and the answer, without the passwords.
//! Measured with GStreamer 1.22.0, 1.26.2 and 1.28.8; `tests/element/secrets.rs`
//! checks the installed version.
//!
//! GStreamer's SDP library logs in categories of the whole process, so those are
//! limited only while webrtcbin applies an answer.

use std::sync::{Mutex, PoisonError};

use gst::{DebugCategory, DebugColorFlags, DebugLevel};

/// Environment variable; 1 leaves every debug category as it is.
const ALLOW_SECRETS: &str = "IVSWHIPSINK_LOG_SECRETS";

/// Categories that print secrets, each with the highest level that prints none.
const LIMITS: [(&str, DebugLevel); 5] = [
    ("webrtcbin", DebugLevel::Log),
    ("webrtcnice", DebugLevel::Info),
    ("dtlsdec", DebugLevel::Fixme),
    ("dtlsenc", DebugLevel::Fixme),
    ("srtpenc", DebugLevel::Info),
];

/// Limits every category that exists by now. A category that is limited logs that.
pub(super) fn limit_logs(webrtcbin: &gst::Element) {
    for (name, level) in LIMITS {
        limit(webrtcbin, name, level);
    }
}

/// Stricter limits for a TURN server: webrtcbin prints its URL, with the password,
/// when it is set.
pub(super) fn limit_logs_of_turn(webrtcbin: &gst::Element) {
    limit(webrtcbin, "webrtcbin", DebugLevel::Info);
    limit(webrtcbin, "webrtcnice", DebugLevel::Info);
}

/// The categories of GStreamer's SDP library: the first in 1.22, the second in 1.26.
const SDP_LIBRARY: [&str; 2] = ["default", "sdpmessage"];

/// While one of these exists, the SDP library does not print the answer's ICE
/// password. Otherwise it does so at DEBUG.
pub(super) struct SdpLogPause;

/// The number of pauses, and the levels to restore after the last one.
static SDP_LOG: Mutex<(usize, Vec<(DebugCategory, DebugLevel)>)> = Mutex::new((0, Vec::new()));

impl SdpLogPause {
    pub(super) fn begin() -> Option<Self> {
        if allows_secrets() {
            return None;
        }
        let mut sdp_log = SDP_LOG.lock().unwrap_or_else(PoisonError::into_inner);
        if sdp_log.0 == 0 {
            sdp_log.1 = SDP_LIBRARY.map(silence).into();
        }
        sdp_log.0 += 1;
        Some(Self)
    }
}

impl Drop for SdpLogPause {
    fn drop(&mut self) {
        let mut sdp_log = SDP_LOG.lock().unwrap_or_else(PoisonError::into_inner);
        sdp_log.0 -= 1;
        if sdp_log.0 == 0 {
            for (category, level) in sdp_log.1.drain(..) {
                category.set_threshold(level);
            }
        }
    }
}

/// Lowers the level of a category. Returns it with the level that it had.
fn silence(name: &str) -> (DebugCategory, DebugLevel) {
    // This returns the category if there is one. The library makes its own only when
    // it first prints, and then takes this one.
    let category = DebugCategory::new(name, DebugColorFlags::empty(), None);
    let level = category.threshold();
    category.set_threshold(level.min(DebugLevel::Info));
    (category, level)
}

fn allows_secrets() -> bool {
    std::env::var_os(ALLOW_SECRETS).is_some_and(|value| value == "1")
}

fn limit(webrtcbin: &gst::Element, name: &str, level: DebugLevel) {
    let Some(category) = DebugCategory::get(name) else {
        return;
    };
    if category.threshold() <= level || allows_secrets() {
        return;
    }
    gst::log_with_level!(
        category,
        level,
        obj = webrtcbin,
        "{name} prints secrets of the session above this level, so it is silent there from now \
         on; {ALLOW_SECRETS}=1 in the environment lets it print them"
    );
    category.set_threshold(level);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdp_librarys_log_goes_on_after_the_last_pause() {
        gst::init().unwrap();
        let categories = ["default", "sdpmessage"]
            .map(|name| DebugCategory::new(name, DebugColorFlags::empty(), None));
        let all = |level| {
            categories
                .iter()
                .all(|category| category.threshold() == level)
        };
        for category in &categories {
            category.set_threshold(DebugLevel::Trace);
        }
        let (one, other) = (SdpLogPause::begin(), SdpLogPause::begin());
        assert!(all(DebugLevel::Info));
        drop(one);
        assert!(all(DebugLevel::Info));
        drop(other);
        assert!(all(DebugLevel::Trace));
    }
}
