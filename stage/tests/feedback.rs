//! The RTCP that each rule sends, and what the answer says of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use common::{Publisher, post, regional};
use ivs_stage::{Feedback, Kind, Rules, Stage};
use str0m::Event;
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

/// Names of the RTCP that a publisher of audio and video gets while it sends
/// for `time`. Every tenth picture is lost.
fn received(feedback: Feedback, time: Duration) -> Vec<&'static str> {
    let stage = stage(feedback);
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    let _session = publisher.publish(&stage, &stage.token());
    let (end, mut names) = (Instant::now() + time, Vec::new());
    for number in 0.. {
        publisher.send_audio_packet(number);
        if number % 10 != 5 {
            publisher.send_picture(number);
        }
        publisher.run_until(Duration::from_millis(20), |event| {
            names.extend(name(event));
            false
        });
        if Instant::now() > end {
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
        Rtcp::Pli(_) => "pli",
        _ => "other",
    })
}

#[test]
fn transport_wide_feedback_is_the_default() {
    assert_eq!(Rules::default().feedback, Feedback::TransportWide);
    let text = answer(Feedback::TransportWide);
    assert_eq!(text.matches(TRANSPORT_WIDE).count(), 2, "{text}");
    let names = received(Feedback::TransportWide, Duration::from_secs(1));
    for sent in ["twcc", "rr", "nack"] {
        assert!(names.contains(&sent), "{names:?}");
    }
    assert!(!names.contains(&"remb"), "{names:?}");
}

#[test]
fn receiver_reports_can_be_all_that_tells_the_rate() {
    let text = answer(Feedback::ReceiverReports);
    assert!(!text.contains(TRANSPORT_WIDE) && !text.contains("transport-cc"));
    assert!(!text.contains("goog-remb") && text.contains(" nack"));
    let names = received(Feedback::ReceiverReports, Duration::from_millis(1200));
    assert!(
        names.contains(&"rr") && names.contains(&"nack"),
        "{names:?}"
    );
    assert!(
        !names.contains(&"twcc") && !names.contains(&"remb"),
        "{names:?}"
    );
}

#[test]
fn a_far_end_can_send_no_rtcp_at_all() {
    let text = answer(Feedback::None);
    assert!(
        !text.contains(TRANSPORT_WIDE) && !text.contains("a=rtcp-fb"),
        "{text}"
    );
    let names = received(Feedback::None, Duration::from_millis(1200));
    assert!(names.is_empty(), "{names:?}");
}
