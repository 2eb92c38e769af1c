//! The property `stats`: a structure with state, times, traffic and connection of
//! the session.

use std::time::Duration;

use glib::prelude::*;

use super::input::{MediaPad, StreamFormat, Traffic};
use super::run::ElementState;
use crate::media::RtcpReports;
use crate::session::Times;

/// The property's name.
pub(super) const STATS: &str = "stats";

/// The structure's name.
const NAME: &str = "application/x-ivswhipsink-stats";

/// The property's specification. The derive macro can't make it, since it does not
/// know `GstStructure`.
pub(super) fn property() -> glib::ParamSpec {
    glib::ParamSpecBoxed::builder::<gst::Structure>(STATS)
        .nick("Statistics")
        .blurb(
            "Times of the connect, traffic, the far end's reports, candidate pair, filler, limit \
             violations and reconnects; read anew each time",
        )
        .read_only()
        .build()
}

/// Reads what is known now and waits for nothing. webrtcbin reports the candidate
/// pair later, so that field is the reply to an earlier read.
pub(super) fn stats(state: &ElementState) -> gst::Structure {
    let view = state.run().map(|run| run.view);
    let statistics = view.as_ref().map(|view| view.statistics());
    let statistics = statistics.unwrap_or_default();
    let since = statistics.publishing_since;
    let mut stats = gst::Structure::builder(NAME)
        .field("session-state", state.session_state().nick())
        .field("reconnects", statistics.published.saturating_sub(1))
        .field_if_some("publishing-time", since.map(|since| time(since.elapsed())));
    if let Some(times) = statistics.times {
        stats = with_times(stats, &times);
    }
    let mut reports = RtcpReports::default();
    if let Some(peer) = view.as_ref().and_then(|view| view.peer()) {
        reports = peer.reports();
        stats = stats
            .field_if_some("video-filler", peer.filler().map(|mode| mode.name()))
            .field("retransmissions", peer.retransmissions())
            .field("key-frame-requests", reports.key_frame_requests)
            .field_if_some("candidate-pair", peer.candidate_pair());
    }
    let mut violations = Vec::new();
    let is_left_out = |pad: &MediaPad| view.as_ref().is_some_and(|view| view.is_left_out(pad.id));
    for pad in state.pads.get() {
        if is_left_out(&pad) {
            continue;
        }
        if let (Some(format), Some(traffic)) = (pad.format(), pad.traffic()) {
            violations.extend_from_slice(&traffic.violations);
            let name = format.track.name();
            stats = stats.field(name, stream(&format, &traffic, &reports));
        }
    }
    if statistics.limits_apply {
        // Text, because PyGObject reads neither GstValueArray nor GstValueList.
        stats = stats.field("limits", violations.join(","));
    }
    stats.build()
}

/// One stream: what was sent, and what the far end reports about it.
fn stream(format: &StreamFormat, traffic: &Traffic, reports: &RtcpReports) -> gst::Structure {
    let mut stream = gst::Structure::builder(format.track.name())
        .field("packets", traffic.packets)
        .field("bytes", traffic.bytes)
        .field("bit-rate", traffic.bit_rate)
        .field_if_some("ssrc", traffic.source);
    if let Some(video) = &traffic.video {
        stream = stream
            .field("frames", video.frames)
            .field("key-frames", video.key_frames)
            .field("frame-rate", video.frame_rate)
            .field_if_some("width", video.size.map(|(width, _)| width))
            .field_if_some("height", video.size.map(|(_, height)| height));
    }
    if let Some(report) = traffic.source.and_then(|source| reports.of(source)) {
        let jitter = f64::from(report.jitter) / f64::from(format.clock_rate());
        let jitter = time(Duration::from_secs_f64(jitter));
        stream = stream
            .field("packets-lost", report.packets_lost)
            .field("fraction-lost", report.fraction_lost)
            .field("jitter", jitter)
            .field_if_some("round-trip-time", report.round_trip.map(time));
    }
    stream.build()
}

fn with_times(stats: gst::structure::Builder, times: &Times) -> gst::structure::Builder {
    stats
        .field("offer-time", time(times.offer))
        .field("post-time", time(times.post))
        .field("connect-time", time(times.connect))
        .field("total-time", time(times.total()))
        .field_if_some("gathering-time", times.gathering.map(time))
        .field_if_some(
            "total-time-with-gathering",
            times.total_with_gathering().map(time),
        )
}

fn time(duration: Duration) -> gst::ClockTime {
    duration.try_into().unwrap_or(gst::ClockTime::MAX)
}
