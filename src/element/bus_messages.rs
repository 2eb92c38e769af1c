//! The messages that the element posts on the bus.

use std::time::Duration;

use gst::prelude::*;

use super::log::CAT;
use super::session_state::SessionState;
use super::settings::SettingsError;
use crate::ivs::{FillerMode, LimitViolation, limit_warning, own_limit_warning};
use crate::media::TimingNews;
use crate::session::{Cause, ErrorKind, Failure, Warning};

/// The element message for each change of the session's state.
pub(super) const STATE_MESSAGE: &str = "ivswhipsink-session-state";

/// The element message for a failed attempt that is followed by another.
pub(super) const RETRY_MESSAGE: &str = "ivswhipsink-retry";

/// The element message with the filler mode in use.
pub(super) const FILLER_MESSAGE: &str = "ivswhipsink-video-filler";

/// Tells that an upstream encoder follows the network from now on; rates are in bit/s.
pub(super) fn post_takes_over(element: &gst::Element, factory: &str, now: u64, most: u64) {
    let text = format!(
        "The element sets the bit rate of {factory} to what the network carries: {} kbit/s at \
         first, {} at most. It gets its own back at the end.",
        now / 1000,
        most / 1000
    );
    post_info(element, &text);
}

/// Tells that the network carries less than the video had; rates in bit/s.
pub(super) fn post_narrowed(element: &gst::Element, from: u64, to: u64, who: &str) {
    let text = format!(
        "The network carries less: the video goes from {} to {} kbit/s ({who}).",
        from / 1000,
        to / 1000
    );
    post_info(element, &text);
}

/// Tells that the network carries all of the video again; its rate is in bit/s.
pub(super) fn post_widened(element: &gst::Element, target: u64) {
    let text = format!(
        "The network is wide enough again: the video has {} kbit/s.",
        target / 1000
    );
    post_info(element, &text);
}

fn post_info(element: &gst::Element, text: &str) {
    gst::info!(CAT, obj = element, "{text}");
    let message = gst::message::Info::builder(gst::ResourceError::Settings, text)
        // gst-launch-1.0 prints only this part of an info message.
        .debug(text)
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts an error with code, text and details. An application can act on code and
/// details without parsing the text.
pub(super) fn post_failure(element: &gst::Element, failure: &Failure) {
    let debug = failure.phase.name();
    post(
        element,
        failure.kind(),
        &failure.to_string(),
        debug,
        failure_details(failure),
    );
}

fn failure_details(failure: &Failure) -> gst::Structure {
    let mut details = gst::Structure::builder("details")
        .field("phase", failure.phase.name())
        .field("attempt", failure.attempt)
        .field("retryable", failure.is_retryable());
    if let Some(status) = failure.http_status() {
        details = details.field("http-status", u32::from(status));
    }
    if let Some(code) = failure.ivs_code() {
        details = details.field("ivs-code", code);
    }
    if let Cause::Token(_) = failure.cause {
        details = details.field("property", "auth-token-file");
    }
    details.build()
}

/// Posts an error for a setting that can't be used.
pub(super) fn post_settings_error(element: &gst::Element, error: &SettingsError) {
    let details = details("settings")
        .field("property", error.property)
        .build();
    post(
        element,
        ErrorKind::Settings,
        &error.to_string(),
        "settings",
        details,
    );
}

/// Posts an error that comes neither from a single property nor from a server.
pub(super) fn post_error(element: &gst::Element, kind: ErrorKind, phase: &str, text: &str) {
    post(element, kind, text, phase, details(phase).build());
}

/// Posts an error that names the elements that are not installed.
pub(super) fn post_missing_elements(element: &gst::Element, missing: &[&str]) {
    let text = format!(
        "GStreamer's element{} {} not installed; install the plugins \"bad\" and \"good\" and \
         libnice's (Debian: apt install gstreamer1.0-plugins-bad gstreamer1.0-plugins-good \
         gstreamer1.0-nice).",
        if missing.len() == 1 { "" } else { "s" },
        match missing {
            [one] => format!("{one} is"),
            _ => format!("{} are", missing.join(", ")),
        }
    );
    gst::error!(CAT, obj = element, "{text}");
    let message = gst::message::Error::builder(gst::CoreError::MissingPlugin, &text)
        .debug(&missing.join(", "))
        .details(details("start").build())
        .src(element)
        .build();
    // Fails only without a bus, where nobody listens.
    let _ = element.post_message(message);
}

/// Posts a warning for a new setting that can't be used; the old one stays in use.
pub(super) fn post_settings_warning(element: &gst::Element, error: &SettingsError) {
    post_warning(
        element,
        &format!("{error} The previous value stays in use."),
    );
}

/// Posts a warning; the session goes on.
pub(super) fn post_warning(element: &gst::Element, text: &str) {
    gst::warning!(CAT, obj = element, "{text}");
    let message = gst::message::Warning::builder(gst::ResourceError::Settings, text)
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts a warning for an IVS limit that the stream violates. The details have the
/// limit's name and the encoder. `is_own` tells whether that is the element's.
pub(super) fn post_limit(
    element: &gst::Element,
    violation: &LimitViolation,
    encoder: Option<&str>,
    is_own: bool,
) {
    let text = match is_own {
        true => own_limit_warning(violation),
        false => limit_warning(violation, encoder),
    };
    gst::warning!(CAT, obj = element, "{text}");
    let mut details = gst::Structure::builder("details").field("limit", violation.name());
    if let Some(encoder) = encoder {
        details = details.field("encoder", encoder);
    }
    let message = gst::message::Warning::builder(gst::StreamError::Format, &text)
        .details(details.build())
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts a warning for an own encoder that can't be used. The details have its factory's
/// name.
pub(super) fn post_encoder_warning(element: &gst::Element, factory: &str, text: &str) {
    let details = gst::Structure::builder("details")
        .field("warning", "encoder")
        .field("encoder", factory);
    post_detailed_warning(element, text, details);
}

/// Posts a warning for metadata that were not sent. The details have the name of what is
/// in the way.
pub(super) fn post_metadata_warning(element: &gst::Element, name: &str, text: &str) {
    let details = gst::Structure::builder("details").field("metadata", name);
    post_detailed_warning(element, text, details);
}

/// Posts a warning of the session, with its name in the details.
pub(super) fn post_session_warning(element: &gst::Element, warning: &Warning) {
    let details = gst::Structure::builder("details").field("warning", warning.name());
    post_detailed_warning(element, &warning.to_string(), details);
}

fn post_detailed_warning(element: &gst::Element, text: &str, details: gst::structure::Builder) {
    gst::warning!(CAT, obj = element, "{text}");
    let message = gst::message::Warning::builder(gst::ResourceError::Settings, text)
        .details(details.build())
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts the session's new state. `since_playing` is the time since PLAYING was
/// requested.
pub(super) fn post_state(
    element: &gst::Element,
    state: SessionState,
    since_playing: gst::ClockTime,
) {
    gst::info!(CAT, obj = element, "session is {}", state.nick());
    let structure = gst::Structure::builder(STATE_MESSAGE)
        .field("state", state.nick())
        .field("since-playing", since_playing)
        .build();
    let message = gst::message::Element::builder(structure)
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts that an attempt failed and another follows: an element message for an
/// application, and a warning for a user at a terminal.
pub(super) fn post_retry(element: &gst::Element, failure: &Failure, attempt: u32, wait: Duration) {
    let when = match wait {
        Duration::ZERO => "at once".to_owned(),
        _ => format!("in {:.1} s", wait.as_secs_f64()),
    };
    let text = format!("{failure} Trying again {when} (attempt {attempt}).");
    let structure = gst::Structure::builder(RETRY_MESSAGE)
        .field("attempt", attempt)
        .field(
            "wait",
            gst::ClockTime::try_from(wait).unwrap_or(gst::ClockTime::MAX),
        )
        .field("reason", failure.to_string())
        .build();
    let message = gst::message::Element::builder(structure)
        .src(element)
        .build();
    let _ = element.post_message(message);
    gst::warning!(CAT, obj = element, "{text}");
    let message = gst::message::Warning::builder(resource_error(failure.kind()), &text)
        .details(failure_details(failure))
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts that the filler section was refused and the next filler mode is tried. It
/// explains to a user at a terminal why the session takes long to start.
pub(super) fn post_filler_fallback(element: &gst::Element, failure: &Failure, to: FillerMode) {
    let text = format!(
        "{}. The server may not accept the video section; trying video-filler={}.",
        failure.what_happened(),
        to.name()
    );
    gst::info!(CAT, obj = element, "{text}");
    let message = gst::message::Info::builder(resource_error(failure.kind()), &text)
        // gst-launch-1.0 prints only this part of an info message.
        .debug(&text)
        .details(failure_details(failure))
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts what became of timestamps that were far from running time.
pub(super) fn post_timing(element: &gst::Element, pad: &str, news: TimingNews) {
    let (ahead, shift) = match news {
        TimingNews::Shifted { ahead, shift } => (ahead, shift),
        TimingNews::Jumping => {
            let text = format!(
                "The timestamps at {pad} jump again and again, so they are not aligned with \
                 running time for a while: media are sent as they come, and sound and picture \
                 may be out of sync. Check the source's timestamps; appsrc can make them \
                 (do-timestamp=true)."
            );
            return post_warning(element, &text);
        }
    };
    let seconds = Duration::from_nanos(ahead.unsigned_abs()).as_secs_f64();
    let side = if ahead > 0 { "ahead of" } else { "behind" };
    let text = format!(
        "The timestamps at {pad} were {seconds:.1} s {side} running time. They are shifted to it, \
         so that media are sent on time."
    );
    gst::info!(CAT, obj = element, "{text}");
    let details = gst::Structure::builder("details")
        .field("pad", pad)
        .field("ahead", ahead)
        .field("shift", shift)
        .build();
    let message = gst::message::Info::builder(gst::StreamError::Format, &text)
        // gst-launch-1.0 prints only this part of an info message.
        .debug(&text)
        .details(details)
        .src(element)
        .build();
    let _ = element.post_message(message);
}

/// Posts the end of stream, since webrtcbin posts none.
pub(super) fn post_end_of_stream(element: &gst::Element) {
    let message = gst::message::Eos::builder().src(element).build();
    let _ = element.post_message(message);
}

/// Posts the filler mode of the session.
pub(super) fn post_filler(element: &gst::Element, mode: FillerMode) {
    gst::info!(CAT, obj = element, "the video filler is {}", mode.name());
    let structure = gst::Structure::builder(FILLER_MESSAGE)
        .field("mode", mode.name())
        .build();
    let message = gst::message::Element::builder(structure)
        .src(element)
        .build();
    let _ = element.post_message(message);
}

fn details(phase: &str) -> gst::structure::Builder {
    gst::Structure::builder("details")
        .field("phase", phase)
        .field("attempt", 0u32)
        .field("retryable", false)
}

fn post(element: &gst::Element, kind: ErrorKind, text: &str, debug: &str, details: gst::Structure) {
    gst::error!(CAT, obj = element, "{text}");
    let message = gst::message::Error::builder(resource_error(kind), text)
        .debug(&format!("in the phase: {debug}"))
        .details(details)
        .src(element)
        .build();
    let _ = element.post_message(message);
}

fn resource_error(kind: ErrorKind) -> gst::ResourceError {
    match kind {
        ErrorKind::Settings => gst::ResourceError::Settings,
        ErrorKind::NotAuthorized => gst::ResourceError::NotAuthorized,
        ErrorKind::NotFound => gst::ResourceError::NotFound,
        ErrorKind::Busy => gst::ResourceError::Busy,
        ErrorKind::OpenWrite => gst::ResourceError::OpenWrite,
        ErrorKind::Write => gst::ResourceError::Write,
    }
}
