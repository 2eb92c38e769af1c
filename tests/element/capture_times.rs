//! What leaves of webrtcbin, media and sender reports, and when the media were captured by
//! them.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};

use gst::prelude::*;
use rtcp_types::{Compound, Packet};
use rtp_types::RtpPacket;

/// What a probe saw.
pub enum Seen {
    Media(Media),
    /// SSRC, RTP timestamp and NTP time in seconds of a sender report.
    Report(u32, u32, f64),
}

/// A media packet; times in seconds.
#[derive(Clone, Copy)]
pub struct Media {
    ssrc: u32,
    timestamp: u32,
    /// The running time at which it was captured.
    captured: f64,
    /// How long ago that was when it left.
    pub lag: f64,
    /// The rate of the RTP clock in Hz.
    rate: f64,
}

impl Media {
    pub fn is_audio(&self) -> bool {
        self.rate == AUDIO_CLOCK
    }
}

const AUDIO_CLOCK: f64 = 48_000.0;
const VIDEO_CLOCK: f64 = 90_000.0;

/// All that leaves the element, of each session.
pub fn seen_leaving(whip: &gst::Element) -> Receiver<Seen> {
    let (sender, seen) = channel();
    whip.connect("webrtcbin-ready", false, move |values| {
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
    seen
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
        AUDIO_CLOCK
    } else {
        VIDEO_CLOCK
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

/// The NTP time at which the running time was 0, by the latest sender report of each
/// stream. A viewer plays sound and picture together if it is the same.
#[derive(Default)]
pub struct Origins {
    last_media: HashMap<u32, Media>,
    origins: HashMap<u32, f64>,
}

impl Origins {
    pub fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Media(media) => {
                self.last_media.insert(media.ssrc, media);
            }
            Seen::Report(ssrc, timestamp, ntp) => {
                // The first goes out before the first media.
                if let Some(media) = self.last_media.get(&ssrc) {
                    let later = between(timestamp, media.timestamp, media.rate);
                    self.origins.insert(ssrc, ntp + later - media.captured);
                }
            }
        }
    }

    /// How much later the picture is played than the sound that was captured with it, in
    /// seconds. `None` before both had a report.
    pub fn picture_behind_sound(&self) -> Option<f64> {
        let origin = |is_audio: bool| {
            let mut all = self.last_media.values();
            let media = all.find(|media| media.is_audio() == is_audio)?;
            self.origins.get(&media.ssrc)
        };
        Some(origin(false)? - origin(true)?)
    }
}

/// Seconds between two RTP timestamps.
fn between(from: u32, to: u32, clock_rate: f64) -> f64 {
    f64::from(to.wrapping_sub(from).cast_signed()) / clock_rate
}
