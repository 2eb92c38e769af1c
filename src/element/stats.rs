//! The property `stats`: a structure with state, times, traffic and connection of
//! the session.

use std::time::Duration;

use glib::prelude::*;
use gst::structure::Builder;

use super::input::{MediaPad, StreamFormat, Traffic};
use super::peer::Candidate;
use super::run::{ElementState, Follower, RunStatistics};
use crate::media::RtcpReports;
use crate::media::bandwidth::FeedbackKind;
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
            "A flat structure, read anew each time. Session: session-state, reconnects, \
             publishing-time, video-filler, limits. How long its start took, in nanoseconds: \
             offer-time, post-time, connect-time, total-time. What the network carries: \
             bandwidth-estimate and target-bitrate in bit/s, bitrate-control, queue-delay, \
             pacing-delay, frames-thinned. What the far end asked for again: retransmissions, \
             key-frame-requests. ICE: local-candidate-*, remote-candidate-*. Each stream, with \
             audio- or video- in front: packets, bytes, bit-rate, encoder, frames, key-frames, \
             frame-rate, width, height, and as the far end reports them packets-lost, \
             fraction-lost, jitter, round-trip-time",
        )
        .read_only()
        .build()
}

/// Reads what is known now and waits for nothing. webrtcbin reports the candidate
/// pair later, so those fields are the reply to an earlier read.
///
/// No field is a structure or a list: PyGObject frees a structure together with the
/// outer one, and reads neither GstValueArray nor GstValueList.
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
            .field("retransmission-bytes", peer.retransmitted().bytes)
            .field(
                "retransmissions-refused",
                peer.refused_retransmissions().packets,
            )
            .field("key-frame-requests", reports.key_frame_requests);
        if let Some(pair) = peer.candidate_pair() {
            stats = with_candidate(stats, "local", pair.local);
            stats = with_candidate(stats, "remote", pair.remote);
        }
    }
    stats = with_network(stats, &statistics);
    let mut violations = Vec::new();
    let is_left_out = |pad: &MediaPad| view.as_ref().is_some_and(|view| view.is_left_out(pad.id));
    for pad in state.pads.get() {
        if is_left_out(&pad) {
            continue;
        }
        if let (Some(format), Some(traffic)) = (pad.format(), pad.traffic()) {
            violations.extend_from_slice(&traffic.violations);
            stats = with_traffic(stats, &format, &traffic);
            if let Some(delay) = pad.pacing_delay() {
                stats = stats
                    .field("pacing-delay", time(delay.mean))
                    .field("pacing-delay-max", time(delay.longest))
                    .field("frames-thinned", pad.dropped().frames);
            }
            stats = with_report(stats, &format, &traffic, &reports);
            stats = with_encoder(stats, &format, &pad);
        }
    }
    if statistics.limits_apply {
        stats = stats.field("limits", violations.join(","));
    }
    stats.build()
}

/// What is known of the network, and who follows it.
fn with_network(stats: Builder, statistics: &RunStatistics) -> Builder {
    let Some(network) = &statistics.network else {
        return stats;
    };
    let feedback = match network.feedback {
        FeedbackKind::TransportWide => "twcc",
        FeedbackKind::ReceiverEstimate => "remb",
        FeedbackKind::ReceiverReports => "rr",
        FeedbackKind::None => "none",
    };
    stats
        .field("feedback", feedback)
        .field_if_some("bandwidth-estimate", network.estimate)
        .field_if_some("queue-delay", network.queue_delay.map(time))
        .field_if_some("target-bitrate", statistics.target_bitrate)
        .field_if_some("bitrate-control", statistics.follower.map(Follower::name))
}

/// What was sent of one stream.
fn with_traffic(stats: Builder, format: &StreamFormat, traffic: &Traffic) -> Builder {
    let name = |name| format!("{}-{name}", format.track.name());
    let stats = stats
        .field(name("packets"), traffic.packets)
        .field(name("bytes"), traffic.bytes)
        .field(name("bit-rate"), traffic.bit_rate)
        .field_if_some(name("ssrc"), traffic.source);
    let Some(video) = &traffic.video else {
        return stats;
    };
    stats
        .field(name("frames"), video.frames)
        .field(name("key-frames"), video.key_frames)
        .field(name("frame-rate"), video.frame_rate)
        .field_if_some(name("width"), video.size.map(|(width, _)| width))
        .field_if_some(name("height"), video.size.map(|(_, height)| height))
}

/// What the far end reports about one stream.
fn with_report(
    stats: Builder,
    format: &StreamFormat,
    traffic: &Traffic,
    reports: &RtcpReports,
) -> Builder {
    let name = |name| format!("{}-{name}", format.track.name());
    let Some(report) = traffic.source.and_then(|source| reports.of(source)) else {
        return stats;
    };
    let jitter = f64::from(report.jitter) / f64::from(format.clock_rate());
    let jitter = time(Duration::from_secs_f64(jitter));
    stats
        .field(name("packets-lost"), report.packets_lost)
        .field(name("fraction-lost"), report.fraction_lost)
        .field(name("jitter"), jitter)
        .field_if_some(name("round-trip-time"), report.round_trip.map(time))
}

/// The encoder of a stream, and how the element has set it if it is its own.
fn with_encoder(stats: Builder, format: &StreamFormat, pad: &MediaPad) -> Builder {
    let name = |name| format!("{}-{name}", format.track.name());
    // One that the application set up, or that the element does not know, has none.
    let settings = pad.own_encoder_settings();
    let settings = settings.filter(|settings| !settings.is_empty());
    stats
        .field_if_some(name("encoder"), pad.encoder_name())
        .field_if_some(name("encoder-settings"), settings)
}

fn with_candidate(stats: Builder, side: &str, candidate: Candidate) -> Builder {
    let name = |name| format!("{side}-candidate-{name}");
    stats
        .field_if_some(name("type"), candidate.kind)
        .field_if_some(name("protocol"), candidate.protocol)
        .field_if_some(name("address"), candidate.address)
        .field_if_some(name("port"), candidate.port)
}

fn with_times(stats: Builder, times: &Times) -> Builder {
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
