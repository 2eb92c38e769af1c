//! Keeps secrets out of the debug logs of the elements inside.
//!
//! webrtcbin and its children print ICE passwords, TURN credentials and SRTP keys
//! at high levels. Only their own categories are limited, and only if they are set
//! higher. Our own log has the offer and the answer, without the passwords.
//! Measured with GStreamer 1.22.0; `tests/element/secrets.rs` checks the installed
//! version.
//!
//! GStreamer's SDP library logs in a category of the whole process, so that one is
//! limited only while webrtcbin applies an answer.

use std::sync::{Mutex, PoisonError};

use gst::DebugLevel;

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

/// While one of these exists, the SDP library does not print the answer's ICE
/// password. Otherwise it does so at DEBUG in the category `default`.
pub(super) struct SdpLogPause;

/// The number of pauses, and the level to restore after the last one.
static SDP_LOG: Mutex<(usize, DebugLevel)> = Mutex::new((0, DebugLevel::None));

impl SdpLogPause {
    pub(super) fn begin() -> Option<Self> {
        let category = gst::DebugCategory::get("default").filter(|_| !allows_secrets())?;
        let mut sdp_log = SDP_LOG.lock().unwrap_or_else(PoisonError::into_inner);
        if sdp_log.0 == 0 {
            sdp_log.1 = category.threshold();
            category.set_threshold(sdp_log.1.min(DebugLevel::Info));
        }
        sdp_log.0 += 1;
        Some(Self)
    }
}

impl Drop for SdpLogPause {
    fn drop(&mut self) {
        let mut sdp_log = SDP_LOG.lock().unwrap_or_else(PoisonError::into_inner);
        sdp_log.0 -= 1;
        if let (0, Some(category)) = (sdp_log.0, gst::DebugCategory::get("default")) {
            category.set_threshold(sdp_log.1);
        }
    }
}

fn allows_secrets() -> bool {
    std::env::var_os(ALLOW_SECRETS).is_some_and(|value| value == "1")
}

fn limit(webrtcbin: &gst::Element, name: &str, level: DebugLevel) {
    let Some(category) = gst::DebugCategory::get(name) else {
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
        let category = gst::DebugCategory::get("default").unwrap();
        category.set_threshold(DebugLevel::Trace);
        let (one, other) = (SdpLogPause::begin(), SdpLogPause::begin());
        assert_eq!(category.threshold(), DebugLevel::Info);
        drop(one);
        assert_eq!(category.threshold(), DebugLevel::Info);
        drop(other);
        assert_eq!(category.threshold(), DebugLevel::Trace);
    }
}
