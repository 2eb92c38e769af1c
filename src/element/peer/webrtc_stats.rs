//! Statistics of a running webrtcbin: RTCP reports, retransmissions, candidate pair.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use gst::prelude::*;

use super::uplink_tap::UplinkTap;
use crate::media::RtcpReports;
use crate::media::bandwidth::{ReceiverReport, without_transport_feedback};

/// Reads the far end's RTCP where it enters webrtcbin's RTP session: it is
/// decrypted there. And all RTP where it leaves that session: it is not encrypted yet,
/// and what is sent again is among it.
pub(super) fn watch_session(
    webrtcbin: &gst::Element,
    reports: &Arc<Mutex<RtcpReports>>,
    uplink: &Arc<UplinkTap>,
) {
    let (reports, uplink) = (reports.clone(), uplink.clone());
    let Some(rtpbin) = child(webrtcbin, "rtpbin") else {
        return;
    };
    rtpbin.connect_pad_added(move |_, pad| {
        if pad.name().starts_with("recv_rtcp_sink") {
            read_reports(pad, &reports, &uplink);
        } else if pad.name().starts_with("send_rtp_src") {
            // The RTP session warns of each packet, and its sender reports tell no
            // time, until it knows a latency. That of the pipeline is kept from it,
            // since elements behind it would hold media for as long.
            pad.send_event(gst::event::Latency::new(gst::ClockTime::ZERO));
            watch_departures(pad, &uplink);
        }
    });
}

fn watch_departures(pad: &gst::Pad, uplink: &Arc<UplinkTap>) {
    let uplink = uplink.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        if let Some(data) = &mut info.data {
            uplink.leaves(data);
        }
        gst::PadProbeReturn::Ok
    });
}

/// Asks the uplink before a packet is sent again by an `rtprtxsend`.
pub(super) fn bound_retransmissions(sender: &gst::Element, uplink: &Arc<UplinkTap>) {
    let uplink = uplink.clone();
    let Some(pad) = sender.static_pad("src") else {
        return;
    };
    pad.add_probe(gst::PadProbeType::EVENT_UPSTREAM, move |_, info| {
        match &info.data {
            Some(gst::PadProbeData::Event(event)) if !uplink.allows(event) => {
                // Not Drop: with that, GStreamer 1.22 unrefs the event once too often.
                gst::PadProbeReturn::Handled
            }
            _ => gst::PadProbeReturn::Ok,
        }
    });
}

fn read_reports(pad: &gst::Pad, reports: &Arc<Mutex<RtcpReports>>, uplink: &Arc<UplinkTap>) {
    let (reports, uplink) = (reports.clone(), uplink.clone());
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    pad.add_probe(mask, move |_, info| {
        let read = |buffer: &gst::BufferRef| {
            if let Ok(rtcp) = buffer.map_readable() {
                read_rtcp(&rtcp, &reports, &uplink);
            }
        };
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(buffer)) => {
                read(buffer);
                return withhold_transport_feedback(buffer);
            }
            Some(gst::PadProbeData::BufferList(list)) => list.iter().for_each(read),
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
}

fn read_rtcp(rtcp: &[u8], reports: &Mutex<RtcpReports>, uplink: &UplinkTap) {
    let read = {
        let mut reports = reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.packet(rtcp, SystemTime::now())
    };
    let read = read.into_iter().map(|(ssrc, report)| {
        let report = ReceiverReport {
            fraction_lost: report.fraction_lost,
            round_trip: report.round_trip,
        };
        (ssrc, report)
    });
    uplink.rtcp(rtcp, &read.collect::<Vec<_>>());
}

/// Takes transport-wide feedback out. The RTP session numbers no packets, and 1.22 grows
/// by about a kilobyte with each feedback on packets that it does not know.
fn withhold_transport_feedback(buffer: &mut gst::Buffer) -> gst::PadProbeReturn {
    let kept = buffer
        .map_readable()
        .ok()
        .and_then(|rtcp| without_transport_feedback(&rtcp));
    match kept {
        None => gst::PadProbeReturn::Ok,
        // Not Drop: with that, GStreamer 1.22 unrefs what it no longer has.
        Some(kept) if kept.is_empty() => gst::PadProbeReturn::Handled,
        Some(kept) => {
            let buffer = buffer.make_mut();
            buffer.replace_all_memory(gst::Memory::from_slice(kept));
            gst::PadProbeReturn::Ok
        }
    }
}

/// The number of retransmitted packets (RFC 4588).
pub(crate) fn retransmissions(webrtcbin: &gst::Element) -> u64 {
    let Some(bin) = webrtcbin.dynamic_cast_ref::<gst::Bin>() else {
        return 0;
    };
    let senders = bin.iterate_all_by_element_factory_name("rtprtxsend");
    let sent = |sender: gst::Element| u64::from(sender.property::<u32>("num-rtx-packets"));
    senders.into_iter().flatten().map(sent).sum()
}

/// The ICE candidates in use.
#[derive(Clone, Debug)]
pub(crate) struct CandidatePair {
    pub(crate) local: Candidate,
    pub(crate) remote: Candidate,
}

#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) kind: Option<String>,
    pub(crate) protocol: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) port: Option<u32>,
}

/// Reads the selected candidate pair from webrtcbin's statistics. Their entries
/// refer to each other by id: the transport to its pair, the pair to its candidates.
pub(crate) fn candidate_pair(stats: &gst::StructureRef) -> Option<CandidatePair> {
    let entry = |id: &str| stats.get::<gst::Structure>(id).ok();
    let transport = stats.iter().find_map(|(_, value)| {
        let entry = value.get::<gst::Structure>().ok()?;
        entry.get::<String>("selected-candidate-pair-id").ok()
    })?;
    let pair = entry(&transport)?;
    let candidate = |id: &str| {
        let entry = entry(&pair.get::<String>(id).ok()?)?;
        Some(Candidate {
            kind: entry.get("candidate-type").ok(),
            protocol: entry.get("protocol").ok(),
            address: entry.get("address").ok(),
            port: entry.get("port").ok(),
        })
    };
    Some(CandidatePair {
        local: candidate("local-candidate-id")?,
        remote: candidate("remote-candidate-id")?,
    })
}

fn child(webrtcbin: &gst::Element, factory: &str) -> Option<gst::Element> {
    let bin = webrtcbin.dynamic_cast_ref::<gst::Bin>()?;
    let mut children = bin.iterate_all_by_element_factory_name(factory);
    children.next().ok().flatten()
}
