//! The far end's RTCP about our streams, as values.
//!
//! It is read here because GStreamer's RTP session keeps only one report block per
//! peer, while the far end of a bundle sends one per stream.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use rtcp_types::{Compound, Fir, Packet, PayloadFeedback, Pli, ReportBlock};

/// Seconds from the NTP epoch, 1900, to the Unix epoch (RFC 5905 6).
const NTP_OFFSET: u64 = 2_208_988_800;

/// The most sources to keep track of. An offer has one per section; a peer may report
/// sources that do not exist.
const MAX_SOURCES: usize = 8;

/// A longer round trip is wrong: the clock was set between a report and its answer.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(60);

/// A report block (RFC 3550 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// Share of packets lost since the previous report: 0 to 1.
    pub fraction_lost: f64,
    /// Packets lost since the session began. Negative if more arrived than were sent.
    pub packets_lost: i32,
    /// Interarrival jitter, in units of the stream's RTP clock.
    pub jitter: u32,
    /// Round-trip time. `None` before the far end has answered a sender report, or if
    /// the value is 60 s or more.
    pub round_trip: Option<Duration>,
}

/// All that the far end reported in a session so far.
#[derive(Clone, Debug, Default)]
pub struct RtcpReports {
    by_source: HashMap<u32, Report>,
    /// Number of PLI and FIR packets (RFC 4585 6.3.1, RFC 5104 4.3.1).
    pub key_frame_requests: u64,
}

impl RtcpReports {
    /// Reads a compound packet that arrived at `now`, and returns the reports in it, each
    /// with its stream's SSRC. Ignores what it can't parse.
    pub fn packet(&mut self, rtcp: &[u8], now: SystemTime) -> Vec<(u32, Report)> {
        let mut reports = Vec::new();
        let Ok(compound) = Compound::parse(rtcp) else {
            return reports;
        };
        for packet in compound.flatten() {
            match packet {
                Packet::Sr(report) => {
                    let blocks = report.report_blocks();
                    reports.extend(blocks.map(|block| self.report(&block, now)));
                }
                Packet::Rr(report) => {
                    let blocks = report.report_blocks();
                    reports.extend(blocks.map(|block| self.report(&block, now)));
                }
                Packet::PayloadFeedback(feedback) => self.feedback(&feedback),
                _ => {}
            }
        }
        reports
    }

    /// The newest report about the stream with this SSRC.
    pub fn of(&self, source: u32) -> Option<Report> {
        self.by_source.get(&source).copied()
    }

    fn report(&mut self, block: &ReportBlock<'_>, now: SystemTime) -> (u32, Report) {
        let source = block.ssrc();
        if self.by_source.len() >= MAX_SOURCES && !self.by_source.contains_key(&source) {
            // Real sources are in the next report again.
            self.by_source.clear();
        }
        let report = Report {
            fraction_lost: f64::from(block.fraction_lost()) / 256.0,
            packets_lost: signed_24(block.cumulative_lost()),
            jitter: block.interarrival_jitter(),
            round_trip: round_trip(block, now),
        };
        self.by_source.insert(source, report);
        (source, report)
    }

    fn feedback(&mut self, feedback: &PayloadFeedback<'_>) {
        if feedback.parse_fci::<Pli<'_>>().is_ok() || feedback.parse_fci::<Fir<'_>>().is_ok() {
            self.key_frame_requests += 1;
        }
    }
}

/// The number is signed and has 24 bits (RFC 3550 6.4.1).
fn signed_24(bits: u32) -> i32 {
    ((bits << 8) as i32) >> 8
}

/// The time from our report to the far end's answer, without the time that the far end
/// held it (RFC 3550 6.4.1). All three are in units of 1/65,536 s.
fn round_trip(block: &ReportBlock<'_>, now: SystemTime) -> Option<Duration> {
    let last = block.last_sender_report_timestamp();
    if last == 0 {
        return None;
    }
    let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let seconds = (since.as_secs() + NTP_OFFSET) << 16;
    let fraction = (u64::from(since.subsec_nanos()) << 16) / 1_000_000_000;
    let now = (seconds + fraction) as u32;
    let delay = block.delay_since_last_sender_report_timestamp();
    let passed = now.wrapping_sub(last).wrapping_sub(delay);
    let round_trip = Duration::from_nanos((u64::from(passed) * 1_000_000_000) >> 16);
    (round_trip < LONGEST_ROUND_TRIP).then_some(round_trip)
}

#[cfg(test)]
mod tests {
    use rtcp_types::{ReceiverReport, SenderReport, prelude::*};

    use super::*;

    /// 3.5 s after the Unix epoch: 0x7e83 and a half in the middle of the NTP time.
    const NOW: Duration = Duration::from_millis(3_500);
    const NOW_NTP: u32 = 0x7e83_8000;

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH + NOW
    }

    fn read(packet: impl RtcpPacketWriter) -> RtcpReports {
        let mut bytes = vec![0; packet.calculate_size().unwrap()];
        packet.write_into(&mut bytes).unwrap();
        let mut reports = RtcpReports::default();
        reports.packet(&bytes, now());
        reports
    }

    #[test]
    fn each_streams_report_is_kept() {
        let audio = ReportBlock::builder(1)
            .fraction_lost(64)
            .cumulative_lost(5)
            .interarrival_jitter(480)
            .last_sender_report_timestamp(NOW_NTP - 0x1_0000)
            .delay_since_last_sender_report_timestamp(0x8000);
        let video = ReportBlock::builder(2).cumulative_lost(0xff_ffff);
        let reports = read(
            ReceiverReport::builder(9)
                .add_report_block(audio)
                .add_report_block(video),
        );
        assert_eq!(
            reports.of(1),
            Some(Report {
                fraction_lost: 0.25,
                packets_lost: 5,
                jitter: 480,
                round_trip: Some(Duration::from_millis(500)),
            })
        );
        let video = reports.of(2).unwrap();
        assert_eq!((video.packets_lost, video.round_trip), (-1, None));
        assert_eq!(reports.of(3), None);
    }

    #[test]
    fn a_sending_far_end_reports_too() {
        let block = ReportBlock::builder(1).cumulative_lost(3);
        let reports = read(SenderReport::builder(9).add_report_block(block));
        assert_eq!(reports.of(1).unwrap().packets_lost, 3);
    }

    #[test]
    fn key_frame_requests_are_counted() {
        let pli = Pli::builder();
        let reports = read(PayloadFeedback::builder(&pli).sender_ssrc(9).media_ssrc(2));
        assert_eq!(reports.key_frame_requests, 1);
        let fir = Fir::builder().add_ssrc(2, 1);
        let reports = read(PayloadFeedback::builder(&fir).sender_ssrc(9).media_ssrc(0));
        assert_eq!(reports.key_frame_requests, 1);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_round_trip() {
        let block = ReportBlock::builder(1).last_sender_report_timestamp(NOW_NTP + 0x1_0000);
        let reports = read(ReceiverReport::builder(9).add_report_block(block));
        assert_eq!(reports.of(1).unwrap().round_trip, None);
    }

    #[test]
    fn a_round_trip_of_a_minute_is_none() {
        let round_trip = |units: u32| {
            let last = NOW_NTP.wrapping_sub(units);
            let block = ReportBlock::builder(1).last_sender_report_timestamp(last);
            let reports = read(ReceiverReport::builder(9).add_report_block(block));
            reports.of(1).unwrap().round_trip
        };
        assert_eq!(round_trip(59 << 16), Some(Duration::from_secs(59)));
        assert_eq!(round_trip(60 << 16), None);
    }

    #[test]
    fn reports_about_unknown_sources_are_bounded() {
        let mut reports = RtcpReports::default();
        for source in 0..100 {
            let packet = ReceiverReport::builder(9).add_report_block(ReportBlock::builder(source));
            let mut bytes = vec![0; packet.calculate_size().unwrap()];
            packet.write_into(&mut bytes).unwrap();
            reports.packet(&bytes, now());
        }
        assert!(reports.by_source.len() <= MAX_SOURCES);
        assert!(reports.of(99).is_some());
    }

    #[test]
    fn garbage_does_no_harm() {
        let mut reports = RtcpReports::default();
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut random = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        };
        for round in 0..200_000 {
            let mut bytes: Vec<u8> = (0..round % 96).map(|_| random()).collect();
            if bytes.len() >= 4 {
                // A header that mostly passes the first checks.
                bytes[0] = 0x80 | (bytes[0] & 0x3f);
                bytes[1] = 200 + bytes[1] % 8;
                let words = (bytes.len() / 4 - 1) as u8;
                (bytes[2], bytes[3]) = (0, if bytes[3] < 250 { words } else { bytes[3] });
            }
            reports.packet(&bytes, now());
        }
    }
}
