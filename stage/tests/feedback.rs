//! The RTCP that each rule sends, and what the answer says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{BOUND, Publisher, post, regional};
use ivs_stage::{Feedback, Kind, Rules, Stage};
use str0m::Event;
use str0m::bwe::BweKind;
use str0m::media::Direction;
use str0m::rtp::RawPacket;
use str0m::rtp::rtcp::Rtcp;

const TRANSPORT_WIDE: &str = "transport-wide-cc-extensions";

fn stage(feedback: Feedback) -> Stage {
    Stage::start(Rules {
        feedback,
        report_interval: Some(Duration::from_millis(100)),
        ..Rules::default()
    })
    .unwrap()
}

fn answer(feedback: Feedback) -> String {
    let stage = stage(feedback);
    let reply = post(&regional(&stage), &stage.token(), &common::offer());
    assert_eq!(reply.status, 201, "{}", reply.body);
    reply.body
}

/// Sorted names of the RTCP that a publisher of audio and video gets in a second, or
/// until it has what is expected. Every tenth picture is lost.
fn received(feedback: Feedback, expected: &[&str]) -> Vec<&'static str> {
    let stage = stage(feedback);
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let _session = publisher.publish(&stage, &stage.token());
    let (start, mut names) = (Instant::now(), Vec::new());
    for number in 0.. {
        publisher.send_audio_packet(number);
        if number % 10 != 5 {
            publisher.send_picture(number);
        }
        publisher.run_until(Duration::from_millis(20), |event| {
            names.extend(name(event));
            false
        });
        let all = expected.iter().all(|name| names.contains(name));
        let bound = if all { Duration::from_secs(1) } else { BOUND };
        if start.elapsed() > bound {
            break;
        }
    }
    let session = &stage.sessions()[0];
    assert!(session.packets(Kind::Audio) > 10 && session.packets(Kind::Video) > 10);
    names.sort_unstable();
    names.dedup();
    names
}

fn name(event: &Event) -> Option<&'static str> {
    let Some(RawPacket::RtcpRx(rtcp)) = event.as_raw_packet() else {
        return None;
    };
    Some(match rtcp {
        Rtcp::Twcc(_) => "twcc",
        Rtcp::Remb(_) => "remb",
        Rtcp::ReceiverReport(_) => "rr",
        Rtcp::Nack(_) => "nack",
        _ => "other",
    })
}

#[test]
fn transport_wide_feedback_is_the_default() {
    assert_eq!(Rules::default().feedback, Feedback::TransportWide);
    let text = answer(Feedback::TransportWide);
    assert_eq!(text.matches(TRANSPORT_WIDE).count(), 2, "{text}");
    let sent = ["nack", "other", "rr", "twcc"];
    let names = received(Feedback::TransportWide, &sent);
    assert_eq!(names, sent);
}

#[test]
fn remb_takes_the_place_of_transport_wide_feedback() {
    let text = answer(Feedback::Remb);
    assert!(text.contains(" goog-remb") && text.contains(" nack"));
    assert!(!text.contains(TRANSPORT_WIDE) && !text.contains("transport-cc"));
    let sent = ["nack", "other", "remb", "rr"];
    let names = received(Feedback::Remb, &sent);
    assert_eq!(names, sent);
}

#[test]
fn remb_is_near_the_received_rate() {
    let stage = stage(Feedback::Remb);
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let _session = publisher.publish(&stage, &stage.token());
    let start = Instant::now();
    let (mut number, mut estimate) = (0, None);
    while estimate.is_none() && start.elapsed() < BOUND {
        publisher.send_picture(number);
        number += 1;
        publisher.run_until(Duration::from_millis(10), |event| {
            if let Event::EgressBitrateEstimate(BweKind::Remb { estimate: rate, .. }) = event {
                estimate = Some(rate.as_f64());
            }
            false
        });
    }
    // 12 bytes of header, 10 of authentication, and str0m's extensions.
    let rate = publisher.sent as f64 * 50.0 * 8.0 / start.elapsed().as_secs_f64();
    let estimate = estimate.unwrap();
    assert!(
        (rate * 0.5..rate * 3.0 + 20_000.0).contains(&estimate),
        "{estimate} of {rate}"
    );
}

#[test]
fn receiver_reports_can_be_all_that_tells_the_rate() {
    let text = answer(Feedback::ReceiverReports);
    assert!(!text.contains(TRANSPORT_WIDE) && !text.contains("transport-cc"));
    assert!(!text.contains("goog-remb") && text.contains(" nack"));
    let sent = ["nack", "other", "rr"];
    let names = received(Feedback::ReceiverReports, &sent);
    assert_eq!(names, sent);
}

#[test]
fn a_far_end_can_send_no_rtcp_at_all() {
    let text = answer(Feedback::None);
    assert!(
        !text.contains(TRANSPORT_WIDE) && !text.contains("a=rtcp-fb"),
        "{text}"
    );
    assert!(received(Feedback::None, &[]).is_empty());
}
