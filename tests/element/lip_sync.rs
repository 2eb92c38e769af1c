//! Sender reports tell when media were captured, so that a viewer can play sound and
//! picture together however long each took to be encoded.

use std::collections::HashMap;
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use gst::prelude::*;
use rtcp_types::{Compound, Packet};
use rtp_types::RtpPacket;

use crate::harness::{AUDIO, BOUND, Publisher, stage};

/// Video that leaves half a second after it was captured.
const LATE_VIDEO: &str = "videotestsrc is-live=true \
     ! video/x-raw,width=320,height=240,framerate=30/1 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=300 \
     ! queue min-threshold-time=500000000 max-size-time=0 max-size-bytes=0 max-size-buffers=0 \
     ! rtph264pay ! whip. ";

/// What a probe saw.
enum Seen {
    Media(Media),
    /// SSRC, RTP timestamp and NTP time in seconds of a sender report.
    Report(u32, u32, f64),
}

/// A media packet; times in seconds.
#[derive(Clone, Copy)]
struct Media {
    ssrc: u32,
    timestamp: u32,
    /// The running time at which it was captured.
    captured: f64,
    /// How long ago that was when it left.
    lag: f64,
    /// The rate of the RTP clock in Hz.
    rate: f64,
}

fn watch(pad: &gst::Pad, seen: &Sender<Seen>, read: fn(&gst::Pad, &gst::Buffer) -> Vec<Seen>) {
    let seen = seen.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |pad, info| {
        let all = match &info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => read(pad, buffer),
            Some(gst::PadProbeData::BufferList(list)) => {
                let all = list.iter_owned().flat_map(|buffer| read(pad, &buffer));
                all.collect()
            }
            _ => Vec::new(),
        };
        for one in all {
            let _ = seen.send(one);
        }
        gst::PadProbeReturn::Ok
    });
}

fn media(pad: &gst::Pad, buffer: &gst::Buffer) -> Vec<Seen> {
    let segment = pad.sticky_event::<gst::event::Segment>(0).unwrap();
    let segment = segment.segment().downcast_ref::<gst::ClockTime>().cloned();
    let time = segment.unwrap().to_running_time(buffer.pts()).unwrap();
    let bytes = buffer.map_readable().unwrap();
    let packet = RtpPacket::parse(&bytes).unwrap();
    let seconds = time.nseconds() as f64 / 1e9;
    let now = pad.parent_element().unwrap().current_running_time();
    let lag = now.unwrap().nseconds() as f64 / 1e9 - seconds;
    // As the element numbers audio and video.
    let rate = if packet.payload_type() == 111 {
        48_000.0
    } else {
        90_000.0
    };
    vec![Seen::Media(Media {
        ssrc: packet.ssrc(),
        timestamp: packet.timestamp(),
        captured: seconds,
        lag,
        rate,
    })]
}

fn reports(_: &gst::Pad, buffer: &gst::Buffer) -> Vec<Seen> {
    let bytes = buffer.map_readable().unwrap();
    let compound = Compound::parse(&bytes).unwrap();
    let reports = compound.filter_map(|packet| match packet {
        Ok(Packet::Sr(report)) => {
            let ntp = report.ntp_timestamp() as f64 / f64::from(u32::MAX);
            Some(Seen::Report(report.ssrc(), report.rtp_timestamp(), ntp))
        }
        _ => None,
    });
    reports.collect()
}

/// Seconds between two RTP timestamps.
fn between(from: u32, to: u32, clock_rate: f64) -> f64 {
    f64::from(to.wrapping_sub(from).cast_signed()) / clock_rate
}

#[test]
fn a_late_picture_keeps_its_time() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(&format!("{AUDIO} {LATE_VIDEO}"), &stage);
    let (sender, seen) = channel();
    publisher
        .whip
        .connect("webrtcbin-ready", false, move |values| {
            let webrtcbin = values[1].get::<gst::Bin>().unwrap();
            let rtpbin = webrtcbin.by_name("rtpbin").unwrap();
            let sender = sender.clone();
            rtpbin.connect_pad_added(move |_, pad| match pad.name() {
                name if name.starts_with("send_rtp_src") => watch(pad, &sender, media),
                name if name.starts_with("send_rtcp_src") => watch(pad, &sender, reports),
                _ => {}
            });
            None
        });
    publisher.play();
    publisher.wait_state("publishing");
    let (mut last_media, mut origins) = (HashMap::<u32, Media>::new(), HashMap::new());
    let mut longest_lag = 0.0_f64;
    let deadline = Instant::now() + BOUND;
    while origins.len() < 2 {
        let left = deadline.saturating_duration_since(Instant::now());
        match seen.recv_timeout(left).expect("two sender reports") {
            Seen::Media(media) => {
                longest_lag = longest_lag.max(media.lag);
                last_media.insert(media.ssrc, media);
            }
            Seen::Report(ssrc, timestamp, ntp) => {
                // The first goes out before the first media.
                if let Some(media) = last_media.get(&ssrc) {
                    let later = between(timestamp, media.timestamp, media.rate);
                    // The NTP time at which the running time was 0.
                    origins.insert(ssrc, ntp + later - media.captured);
                }
            }
        }
    }
    publisher.stop();
    assert!(
        longest_lag > 0.4,
        "the picture is not late: {longest_lag} s"
    );
    let origins: Vec<f64> = origins.into_values().collect();
    let apart = (origins[0] - origins[1]).abs();
    assert!(apart < 0.02, "{apart} s apart");
}
