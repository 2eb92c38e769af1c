//! RTCP from the far end.

use std::time::{Duration, SystemTime};

use gstivs::media::RtcpReports;
use gstivs::media::bandwidth::{TransportFeedback, receiver_estimate, without_transport_feedback};

pub fn rtcp(data: &[u8]) {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let mut reports = RtcpReports::default();
    for _ in 0..2 {
        for (source, report) in reports.packet(data, now) {
            assert!((0.0..1.0).contains(&report.fraction_lost), "{report:?}");
            assert!(
                report
                    .round_trip
                    .is_none_or(|time| time < Duration::from_secs(60))
            );
            assert!((-(1 << 23)..1 << 23).contains(&report.packets_lost));
            let _ = reports.of(source);
        }
    }
    let _ = receiver_estimate(data);
    let mut has_feedback = false;
    for feedback in TransportFeedback::read(data) {
        has_feedback = true;
        assert!(feedback.arrivals().count() <= 65_535);
        assert!(feedback.reference_time() < 1 << 24);
    }
    match without_transport_feedback(data) {
        // What is left has none any more, and is whole packets of what came.
        Some(kept) => {
            assert!(kept.len() < data.len() && kept.len() % 4 == 0);
            assert_eq!(TransportFeedback::read(&kept).count(), 0);
            assert_eq!(without_transport_feedback(&kept), None);
        }
        None => assert!(!has_feedback, "feedback that is not taken out"),
    }
}
