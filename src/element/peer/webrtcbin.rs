//! Makes a webrtcbin and sets up its pads, transceivers and certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gst::prelude::*;
use gst_webrtc::{WebRTCBundlePolicy, WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection};

use super::black_source::Black;
use super::dtls_timers::DtlsTimers;
use super::log_redaction::{limit_logs, limit_logs_of_turn};
use super::uplink_tap::UplinkTap;
use super::webrtc_stats::bound_retransmissions;
use crate::element::input::{MediaPad, NEVER_HELD, StreamFormat};
use crate::element::settings::IceSettings;
use crate::ivs::{FillerMode, OfferedVideo, filler_codec};
use crate::media::DtlsCertificate;

/// A stream to publish: its format, and the pad that its media comes from.
pub(crate) struct Source {
    pub(crate) format: StreamFormat,
    pub(crate) pad: MediaPad,
    /// Whether to offer to send lost packets again.
    pub(crate) is_retransmitted: bool,
}

pub(crate) fn make_webrtcbin(ice: &IceSettings) -> Result<gst::Element, glib::BoolError> {
    // max-compat: one transport as with max-bundle, but port 9 in every
    // section, as in the offers of all clients known to work with IVS.
    let webrtcbin = gst::ElementFactory::make("webrtcbin")
        .property("bundle-policy", WebRTCBundlePolicy::MaxCompat)
        .property("ice-transport-policy", ice.policy)
        .build()?;
    if let Some(url) = &ice.stun_server {
        webrtcbin.set_property("stun-server", url);
    }
    for url in &ice.turn_servers {
        limit_logs_of_turn(&webrtcbin);
        // Not the property `turn-server`: graph dumps would print it.
        if !webrtcbin.emit_by_name::<bool>("add-turn-server", &[url]) {
            return Err(glib::bool_error!(
                "webrtcbin does not accept a URL in turn-server or turn-servers"
            ));
        }
    }
    set_up_ice_agent(&webrtcbin);
    Ok(webrtcbin)
}

/// Milliseconds between two connectivity checks: the least that RFC 8445 14.2 allows.
/// libnice's 20 delay the nomination by up to three of them.
const CHECK_PACING: u32 = 5;

/// Sets what webrtcbin has no property for.
fn set_up_ice_agent(webrtcbin: &gst::Element) {
    let agent = webrtcbin.property::<Option<glib::Object>>("ice-agent");
    let agent = agent.filter(|agent| agent.has_property("agent"));
    let nice = agent.and_then(|agent| agent.property::<Option<glib::Object>>("agent"));
    let Some(nice) = nice else { return };
    let settings: [(&str, glib::Value); 3] = [
        // Distributions build libnice with UPnP on, which asks the router for a port at
        // each start. A publisher needs none: servers have public addresses.
        ("upnp", false.to_value()),
        // ICE fails if its own checks get no reply on the media's socket. Otherwise
        // libnice sends only keepalives that need none.
        ("keepalive-conncheck", true.to_value()),
        ("stun-pacing-timer", CHECK_PACING.to_value()),
    ];
    for (name, value) in settings {
        if nice.has_property(name) {
            nice.set_property_from_value(name, &value);
        }
    }
}

/// Sets our certificate for the DTLS handshake, keeps what its timers need, counts the
/// packets that arrive, and bounds what is sent again.
pub(super) fn watch_children(
    webrtcbin: &gst::Element,
    certificate: &Arc<DtlsCertificate>,
    timers: &Arc<DtlsTimers>,
    heard: &Arc<AtomicU64>,
    uplink: &Arc<UplinkTap>,
) {
    let (certificate, timers) = (certificate.clone(), timers.clone());
    let (heard, uplink) = (heard.clone(), uplink.clone());
    let Some(bin) = webrtcbin.dynamic_cast_ref::<gst::Bin>() else {
        return;
    };
    bin.connect_deep_element_added(move |_, _, element| {
        let Some(factory) = element.factory() else {
            return;
        };
        match factory.name().as_str() {
            "dtlssrtpdec" => element.set_property("pem", certificate.pem()),
            "dtlsdec" => timers.keep(element),
            // Its log category does not exist before the first srtpenc.
            "srtpenc" => limit_logs(element),
            "nicesrc" => count_arrivals(element, &heard),
            // Media were paced before; the element's live media may be a little early.
            "clocksync" => element.set_property("ts-offset", NEVER_HELD),
            "rtprtxsend" => bound_retransmissions(element, &uplink),
            _ => {}
        }
    });
}

fn count_arrivals(source: &gst::Element, heard: &Arc<AtomicU64>) {
    let heard = heard.clone();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
    if let Some(pad) = source.static_pad("src") {
        pad.add_probe(mask, move |_, _| {
            heard.fetch_add(1, Ordering::Relaxed);
            gst::PadProbeReturn::Ok
        });
    }
}

/// A pad of ours, and the one of webrtcbin that it is linked to.
pub(crate) type Link = (MediaPad, gst::Pad);

/// The parts of an assembled webrtcbin that are needed later.
pub(crate) struct Assembled {
    pub(crate) links: Vec<Link>,
    /// The transceiver of the first section.
    pub(crate) sender: WebRTCRTPTransceiver,
    pub(crate) black: Option<Black>,
}

/// Makes pads and transceivers, in the order of the offer's sections.
pub(crate) fn assemble(
    bin: &gst::Bin,
    webrtcbin: &gst::Element,
    sources: &[Source],
    video: OfferedVideo,
) -> Result<Assembled, glib::BoolError> {
    let mut ordered: Vec<&Source> = sources.iter().collect();
    ordered.sort_by_key(|source| source.format.track);
    let mut links = Vec::new();
    let mut sender = None;
    for source in &ordered {
        let (link, transceiver) = connect(webrtcbin, source)?;
        links.push(link);
        sender.get_or_insert(transceiver);
    }
    let sender = sender.ok_or_else(|| glib::bool_error!("there is no pad to publish"))?;
    let taken: Vec<u8> = ordered
        .iter()
        .map(|source| source.format.payload_type())
        .collect();
    let black = match video.filler_mode() {
        None => None,
        Some(FillerMode::Inactive) => {
            let direction = WebRTCRTPTransceiverDirection::Inactive;
            add_filler(webrtcbin, direction, &filler_caps(&taken, random_ssrc()));
            None
        }
        Some(FillerMode::Sendonly) => {
            let direction = WebRTCRTPTransceiverDirection::Sendonly;
            add_filler(webrtcbin, direction, &filler_caps(&taken, random_ssrc()));
            None
        }
        Some(FillerMode::Black) => {
            let ssrc = random_ssrc();
            let caps = filler_caps(&taken, ssrc);
            Some(Black::new(bin, webrtcbin, &caps, ssrc)?)
        }
    };
    Ok(Assembled {
        links,
        sender,
        black,
    })
}

fn add_filler(
    webrtcbin: &gst::Element,
    direction: WebRTCRTPTransceiverDirection,
    caps: &gst::Caps,
) {
    webrtcbin.emit_by_name::<WebRTCRTPTransceiver>("add-transceiver", &[&direction, caps]);
}

fn connect(
    webrtcbin: &gst::Element,
    source: &Source,
) -> Result<(Link, WebRTCRTPTransceiver), glib::BoolError> {
    let sink = webrtcbin
        .request_pad_simple("sink_%u")
        .ok_or_else(|| glib::bool_error!("webrtcbin gives no pad"))?;
    let transceiver: WebRTCRTPTransceiver = sink.property("transceiver");
    transceiver.set_direction(WebRTCRTPTransceiverDirection::Sendonly);
    if source.is_retransmitted {
        // Lost packets are retransmitted if the far end asks for it (RFC 4588).
        transceiver.set_property("do-nack", true);
    }
    source.pad.link_to(&sink)?;
    Ok(((source.pad.clone(), sink), transceiver))
}

/// webrtcbin logs a warning about caps without an SSRC.
fn filler_caps(taken: &[u8], ssrc: u32) -> gst::Caps {
    let codec = filler_codec(taken);
    gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("encoding-name", "H264")
        .field("clock-rate", codec.clock_rate as i32)
        .field("payload", i32::from(codec.payload))
        .field("profile-level-id", codec.profile_level_id)
        .field("packetization-mode", codec.packetization_mode)
        .field("level-asymmetry-allowed", "1")
        .field("ssrc", ssrc)
        .build()
}

/// SSRCs have to differ within a session (RFC 3550 8).
fn random_ssrc() -> u32 {
    glib::random_int()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ice_agent_is_set_up() {
        gst::init().unwrap();
        let ice = IceSettings {
            stun_server: None,
            turn_servers: Vec::new(),
            policy: gst_webrtc::WebRTCICETransportPolicy::All,
            use_link_headers: false,
        };
        let webrtcbin = make_webrtcbin(&ice).unwrap();
        let agent: glib::Object = webrtcbin.property("ice-agent");
        let nice: glib::Object = agent.property("agent");
        assert!(nice.property::<bool>("keepalive-conncheck"));
        assert!(!nice.property::<bool>("upnp"));
        assert_eq!(nice.property::<u32>("stun-pacing-timer"), CHECK_PACING);
    }
}
