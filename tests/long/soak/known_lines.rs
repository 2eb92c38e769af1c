//! What may be in the log of a soak.

/// What the element says to the faults, in its log and on the bus.
const PLAYED: &[&str] = &[
    "refused the offer (HTTP",
    "connection refused",
    "POST to http://...: failed: no reply came in time",
    "POST to http://...: failed: the server closed the connection without a reply",
    "no media connection with",
    // It froze after its answer.
    "answered, but no media connection came up within",
    "was lost: nothing was received from it",
    "was lost: the server closed it",
    "The session could not be deleted (no reply came in time)",
    "the session is still being ended, in the background",
    // A wire's far end is not on loopback.
    "are sent unencrypted to http://",
];
/// What the element says where the encoders get too little of the processor.
const OF_LOAD: &[&str] = &["frames a second, and IVS asks for"];
/// What GStreamer 1.22 says now and then, without harm.
const OF_GSTREAMER: &[&str] = &[
    // A query meets a pad of an element that starts or stops.
    ":src: could not send sticky events",
    // The pads behind the payloader flush when the pipeline stops.
    "rtphpay: Problem pushing SPS",
    "rtphpay: Problem pushing PPS",
    "rtphpay: failed to set sps/pps",
    // Of 44100 and 48000 Hz.
    "audio-resampler : can't find exact taps",
    // An extended report (RFC 3611) that comes alone, from a stage that has received
    // nothing yet.
    "srtpdec: No SSRC found in buffer",
    "srtpdec: Invalid buffer, dropping",
];

/// Whether the line tells of a fault that is played, of a busy machine, or of GStreamer's own
/// habits.
pub(super) fn is_known(line: &str) -> bool {
    let has_one = |texts: &[&str]| texts.iter().any(|text| line.contains(text));
    let of_element = line.contains(" ivswhipsink whip: ");
    // A packet is on its way into nicesink when that stops.
    let of_nicesink = line.contains(" basesink nicesink") && line.contains("not activated in push");
    has_one(OF_GSTREAMER) || of_nicesink || of_element && (has_one(PLAYED) || has_one(OF_LOAD))
}
