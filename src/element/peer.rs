//! The only typed face of webrtcbin: one fresh webrtcbin a session, since none
//! can be restarted.
//!
//! webrtcbin's ways that this file works round, each in the place named:
//! - `on-negotiation-needed` fires without pads and does not fire again on 1.22,
//!   so the offer is made when we say so ([`Peer::offer`]);
//! - it writes the wrong fingerprint for a certificate that it is given
//!   ([`watch_children`], with [`Offer::new`]);
//! - it does not check the peer's certificate for a sender
//!   ([`Inner::certificate_fits`]);
//! - 1.22 stays connected to a dead peer, so we count what arrives ([`count_arrivals`]).

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use gst::prelude::*;
use gst_webrtc::{
    WebRTCBundlePolicy, WebRTCDTLSTransport, WebRTCDTLSTransportState, WebRTCICEConnectionState,
    WebRTCICEGatheringState, WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection, WebRTCSDPType,
    WebRTCSessionDescription,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::ice::{IceUrl, ice_url};
use super::media::Media;
use super::settings::IceSettings;
use crate::ivs::{Filler, OfferedVideo, filler_codec};
use crate::session::{Cause, Identity, PeerNews};
use crate::whip::{Answer, Fingerprint, IceServer, Offer, Track};

/// Loads webrtcbin's plugins ahead of the first session of a process, without
/// waiting for it. Above all the first `dtlsdec` of a process makes an RSA key
/// before GStreamer 1.28, which takes 125 to 450 ms, used or not.
pub(super) fn warm_up() {
    static WARMED_UP: Once = Once::new();
    WARMED_UP.call_once(|| {
        let load = || {
            for name in ["dtlsdec", "webrtcbin", "nicesink", "srtpenc"] {
                drop(gst::ElementFactory::make(name).build());
            }
        };
        // Without a thread the first session does the work itself.
        let _ = thread::Builder::new()
            .name("ivswhipsink:load".to_owned())
            .spawn(load);
    });
}

/// A pad to publish: what is on it, and the pad that its media comes out of.
pub(super) struct Source {
    pub(super) media: Media,
    pub(super) pad: gst::Pad,
}

/// What a peer connection is made from.
pub(super) struct PeerParts {
    /// The number that its news carry.
    pub(super) number: u64,
    pub(super) sources: Vec<Source>,
    pub(super) filler: Filler,
    pub(super) ice: IceSettings,
    pub(super) identity: Identity,
    pub(super) video: OfferedVideo,
}

/// One webrtcbin, from its making to its removal.
#[derive(Clone)]
pub(super) struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    number: u64,
    webrtcbin: gst::Element,
    links: Vec<Link>,
    /// The transceiver whose transport tells that media can flow: all
    /// sections share it, but only a sending one's state is sure to be told.
    sender: WebRTCRTPTransceiver,
    identity: Arc<Identity>,
    video: OfferedVideo,
    late_local: bool,
    /// Packets that arrived from the far end: DTLS and RTCP.
    heard: Arc<AtomicU64>,
    tell: Box<dyn Fn(PeerNews) + Send + Sync>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    fingerprints: Vec<Fingerprint>,
    /// The local description, where it has to wait for the server's ICE servers.
    pending_local: Option<WebRTCSessionDescription>,
}

impl Peer {
    /// Makes a webrtcbin with a sendonly section for each source, audio first,
    /// and the filler after a lone audio; puts it into the bin and links it.
    /// On an error nothing is left in the bin. `tell` is called from
    /// webrtcbin's threads.
    pub(super) fn new(
        bin: &gst::Bin,
        parts: PeerParts,
        ready: impl FnOnce(&gst::Element),
        tell: impl Fn(PeerNews) + Send + Sync + 'static,
    ) -> Result<Self, glib::BoolError> {
        let identity = Arc::new(parts.identity);
        let heard = Arc::new(AtomicU64::new(0));
        let webrtcbin = make_webrtcbin(&parts.ice)?;
        watch_children(&webrtcbin, &identity, &heard);
        ready(&webrtcbin);
        // It stays in PLAYING when the pipeline is paused: its ICE source is
        // live, and would no longer answer the far end's checks.
        webrtcbin.set_locked_state(true);
        bin.add(&webrtcbin)?;
        // Up first: pads take caps only once they are active.
        let started = webrtcbin.set_state(gst::State::Playing);
        let assembled = started
            .map_err(|_| glib::bool_error!("webrtcbin does not start"))
            .and_then(|_| assemble(&webrtcbin, &parts.sources, parts.filler));
        let (links, sender) = assembled.inspect_err(|_| discard(&webrtcbin))?;
        let inner = Arc::new(Inner {
            number: parts.number,
            webrtcbin,
            links,
            sender,
            identity,
            video: parts.video,
            late_local: parts.ice.use_link_headers,
            heard,
            tell: Box::new(tell),
            shared: Mutex::default(),
        });
        Ok(Self { inner })
    }

    /// The number that its news carry.
    pub(super) fn number(&self) -> u64 {
        self.inner.number
    }

    /// Makes the offer and tells it in the form to POST. Gathering starts
    /// meanwhile and is not waited for.
    pub(super) fn offer(&self, stream: String) {
        let inner = self.inner.clone();
        let promise = gst::Promise::with_change_func(move |reply| {
            let offered =
                description(reply, "offer").and_then(|offer| inner.offered(offer, &stream));
            inner.tell(offered.unwrap_or_else(PeerNews::Broken));
        });
        self.inner
            .webrtcbin
            .emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
    }

    /// Applies the answer; whether webrtcbin took it shows in the news.
    pub(super) fn apply(&self, answer: &Answer, ice_servers: &[IceServer]) {
        let inner = &self.inner;
        let local = {
            let mut shared = inner.lock();
            shared.fingerprints = answer.fingerprints();
            shared.pending_local.take()
        };
        if let Some(local) = local {
            inner.add_ice_servers(ice_servers);
            inner.set_local(&local);
        }
        let sdp = match gst_sdp::SDPMessage::parse_buffer(answer.text().as_bytes()) {
            Ok(sdp) => sdp,
            Err(error) => {
                let text = format!("the answer does not parse: {error}");
                return inner.tell(PeerNews::Broken(Cause::Peer(text)));
            }
        };
        let description = WebRTCSessionDescription::new(WebRTCSDPType::Answer, sdp);
        let waiting = inner.clone();
        let promise = gst::Promise::with_change_func(move |reply| {
            if let Err(cause) = structure(reply) {
                waiting.tell(PeerNews::Broken(cause));
            }
        });
        inner
            .webrtcbin
            .emit_by_name::<()>("set-remote-description", &[&description, &promise]);
    }

    /// Whether a message of a child comes from this webrtcbin.
    pub(super) fn owns(&self, object: &gst::Object) -> bool {
        let webrtcbin = &self.inner.webrtcbin;
        object == webrtcbin.upcast_ref::<gst::Object>() || object.has_as_ancestor(webrtcbin)
    }

    /// Takes webrtcbin out of the bin. Can be called more than once.
    pub(super) fn close(&self) {
        for (source, sink) in &self.inner.links {
            let _ = source.unlink(sink);
        }
        discard(&self.inner.webrtcbin);
    }
}

impl Inner {
    fn offered(
        self: &Arc<Self>,
        description: WebRTCSessionDescription,
        stream: &str,
    ) -> Result<PeerNews, Cause> {
        let text = description
            .sdp()
            .as_text()
            .map_err(|error| Cause::Peer(error.to_string()))?;
        let fingerprint = self.identity.fingerprint();
        let offer = Offer::new(&text, stream, Some(fingerprint))
            .map_err(|error| Cause::Peer(error.to_string()))?;
        // Before the local description, from which on there are candidates.
        self.watch()?;
        if self.late_local {
            self.lock().pending_local = Some(description);
        } else {
            self.set_local(&description);
        }
        Ok(PeerNews::Offer {
            offer,
            video: self.video,
            heard: self.heard.clone(),
        })
    }

    /// Starts gathering, so every ICE server has to be known by now.
    fn set_local(&self, description: &WebRTCSessionDescription) {
        // Its failure shows as a failure of the remote description.
        self.webrtcbin.emit_by_name::<()>(
            "set-local-description",
            &[description, &None::<gst::Promise>],
        );
    }

    fn add_ice_servers(&self, servers: &[IceServer]) {
        for url in servers.iter().filter_map(ice_url) {
            match url {
                IceUrl::Stun(url) => self.webrtcbin.set_property("stun-server", url),
                IceUrl::Turn(url) => {
                    // Its answer only says whether the URL parsed.
                    let _ = self
                        .webrtcbin
                        .emit_by_name::<bool>("add-turn-server", &[&url]);
                }
            }
        }
    }

    /// Tells of everything that becomes of the connection. The transport is
    /// there once the offer is made. Weak, as webrtcbin holds the handlers.
    fn watch(self: &Arc<Self>) -> Result<(), Cause> {
        let transport = self.transport();
        let transport =
            transport.ok_or_else(|| Cause::Peer("webrtcbin made no transport".to_owned()))?;
        let inner = Arc::downgrade(self);
        transport.connect_state_notify(move |transport| {
            if let Some(inner) = inner.upgrade() {
                inner.dtls_changed(transport);
            }
        });
        let inner = Arc::downgrade(self);
        self.webrtcbin
            .connect_notify(Some("ice-connection-state"), move |webrtcbin, _| {
                let state: WebRTCICEConnectionState = webrtcbin.property("ice-connection-state");
                if let Some(inner) = inner.upgrade()
                    && state == WebRTCICEConnectionState::Failed
                {
                    let text = "ICE found no way through".to_owned();
                    inner.tell(PeerNews::Broken(Cause::Lost(text)));
                }
            });
        self.watch_gathering();
        Ok(())
    }

    fn watch_gathering(self: &Arc<Self>) {
        let inner = Arc::downgrade(self);
        self.webrtcbin
            .connect("on-ice-candidate", false, move |values| {
                let section = values.get(1).and_then(|value| value.get::<u32>().ok());
                let candidate = values.get(2).and_then(|value| value.get::<String>().ok());
                // All sections are bundled with the first; the empty one, from
                // 1.24 on, ends them.
                if let (Some(inner), Some(0), Some(candidate)) =
                    (inner.upgrade(), section, candidate)
                {
                    inner.tell(match candidate.is_empty() {
                        true => PeerNews::GatheringComplete,
                        false => PeerNews::Candidate(candidate),
                    });
                }
                None
            });
        let inner = Arc::downgrade(self);
        self.webrtcbin
            .connect_notify(Some("ice-gathering-state"), move |webrtcbin, _| {
                let state: WebRTCICEGatheringState = webrtcbin.property("ice-gathering-state");
                if let Some(inner) = inner.upgrade()
                    && state == WebRTCICEGatheringState::Complete
                {
                    inner.tell(PeerNews::GatheringComplete);
                }
            });
    }

    fn transport(&self) -> Option<WebRTCDTLSTransport> {
        let sender = self
            .sender
            .property::<Option<gst_webrtc::WebRTCRTPSender>>("sender")?;
        sender.property("transport")
    }

    fn dtls_changed(&self, transport: &WebRTCDTLSTransport) {
        let lost = |text: &str| PeerNews::Broken(Cause::Lost(text.to_owned()));
        self.tell(match transport.state() {
            WebRTCDTLSTransportState::Connected if self.certificate_fits(transport) => {
                PeerNews::Connected
            }
            WebRTCDTLSTransportState::Connected => PeerNews::Broken(Cause::Certificate),
            WebRTCDTLSTransportState::Failed => lost("the DTLS transport failed"),
            WebRTCDTLSTransportState::Closed => lost("the server closed it"),
            _ => return,
        });
    }

    /// Whether the handshake showed a certificate that the answer announced
    /// (RFC 8122 6.2). An unreadable certificate is a wrong one.
    fn certificate_fits(&self, transport: &WebRTCDTLSTransport) -> bool {
        let Some(pem) = transport.remote_certificate() else {
            return false;
        };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
            return false;
        };
        self.lock()
            .fingerprints
            .iter()
            .any(|fingerprint| fingerprint.matches(&der))
    }

    fn tell(&self, news: PeerNews) {
        (self.tell)(news);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_webrtcbin(ice: &IceSettings) -> Result<gst::Element, glib::BoolError> {
    // max-compat: one transport as with max-bundle, but port 9 in every
    // section, the form of every client known to work with IVS.
    let webrtcbin = gst::ElementFactory::make("webrtcbin")
        .property("bundle-policy", WebRTCBundlePolicy::MaxCompat)
        .property("ice-transport-policy", ice.policy)
        .build()?;
    if let Some(url) = &ice.stun_server {
        webrtcbin.set_property("stun-server", url);
    }
    if let Some(url) = &ice.turn_server {
        webrtcbin.set_property("turn-server", url);
    }
    disable_upnp(&webrtcbin);
    Ok(webrtcbin)
}

/// Distributions build libnice with UPnP on, which asks the router for a port
/// at each start; a publisher reaches servers with public addresses.
fn disable_upnp(webrtcbin: &gst::Element) {
    let agent = webrtcbin.property::<Option<glib::Object>>("ice-agent");
    let agent = agent.filter(|agent| agent.has_property("agent"));
    let nice = agent.and_then(|agent| agent.property::<Option<glib::Object>>("agent"));
    if let Some(nice) = nice.filter(|nice| nice.has_property("upnp")) {
        nice.set_property("upnp", false);
    }
}

/// Lets the DTLS handshake show our certificate, and counts what arrives.
fn watch_children(webrtcbin: &gst::Element, identity: &Arc<Identity>, heard: &Arc<AtomicU64>) {
    let (identity, heard) = (identity.clone(), heard.clone());
    let Some(bin) = webrtcbin.dynamic_cast_ref::<gst::Bin>() else {
        return;
    };
    bin.connect_deep_element_added(move |_, _, element| {
        let Some(factory) = element.factory() else {
            return;
        };
        match factory.name().as_str() {
            "dtlssrtpdec" => element.set_property("pem", identity.pem()),
            "nicesrc" => count_arrivals(element, &heard),
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

type Link = (gst::Pad, gst::Pad);
type Assembled = (Vec<Link>, WebRTCRTPTransceiver);

/// Pads and transceivers, in the order of the offer's sections.
fn assemble(
    webrtcbin: &gst::Element,
    sources: &[Source],
    filler: Filler,
) -> Result<Assembled, glib::BoolError> {
    let mut ordered: Vec<&Source> = sources.iter().collect();
    ordered.sort_by_key(|source| source.media.track);
    let mut links = Vec::new();
    let mut sender = None;
    for source in &ordered {
        let (link, transceiver) = connect(webrtcbin, source)?;
        links.push(link);
        sender.get_or_insert(transceiver);
    }
    if filler != Filler::None
        && ordered
            .iter()
            .all(|source| source.media.track != Track::Video)
    {
        let taken: Vec<u8> = ordered.iter().map(|source| source.media.payload).collect();
        webrtcbin.emit_by_name::<WebRTCRTPTransceiver>(
            "add-transceiver",
            &[
                &WebRTCRTPTransceiverDirection::Inactive,
                &filler_caps(&taken),
            ],
        );
    }
    let sender = sender.ok_or_else(|| glib::bool_error!("there is no pad to publish"))?;
    Ok((links, sender))
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
    // The section is written from the caps, SSRC included, which by itself would
    // only arrive with the next buffer that gets through.
    source.pad.sticky_events_foreach(|event| {
        sink.send_event(event.clone());
        ControlFlow::Continue(gst::EventForeachAction::Keep)
    });
    source
        .pad
        .link(&sink)
        .map_err(|error| glib::bool_error!("webrtcbin does not link: {error}"))?;
    Ok(((source.pad.clone(), sink), transceiver))
}

fn filler_caps(taken: &[u8]) -> gst::Caps {
    let codec = filler_codec(taken);
    gst::Caps::builder("application/x-rtp")
        .field("media", "video")
        .field("encoding-name", "H264")
        .field("clock-rate", codec.clock_rate as i32)
        .field("payload", i32::from(codec.payload))
        .field("profile-level-id", codec.profile_level_id)
        .field("packetization-mode", codec.packetization_mode)
        .field("level-asymmetry-allowed", "1")
        .build()
}

fn discard(webrtcbin: &gst::Element) {
    if let Some(bin) = webrtcbin
        .parent()
        .and_then(|parent| parent.downcast::<gst::Bin>().ok())
    {
        // Somebody else may have removed it since.
        let _ = bin.remove(webrtcbin);
    }
    let _ = webrtcbin.set_state(gst::State::Null);
}

/// The description in a promise's reply.
fn description(
    reply: Result<Option<&gst::StructureRef>, gst::PromiseError>,
    field: &str,
) -> Result<WebRTCSessionDescription, Cause> {
    let structure =
        structure(reply)?.ok_or_else(|| Cause::Peer("webrtcbin made no offer".to_owned()))?;
    structure
        .get(field)
        .map_err(|error| Cause::Peer(error.to_string()))
}

/// The reply of a promise, whose error webrtcbin puts into the reply.
fn structure(
    reply: Result<Option<&gst::StructureRef>, gst::PromiseError>,
) -> Result<Option<&gst::StructureRef>, Cause> {
    let structure = reply.map_err(|error| Cause::Peer(format!("webrtcbin gave up: {error:?}")))?;
    match structure.and_then(|structure| structure.get::<glib::Error>("error").ok()) {
        Some(error) => Err(Cause::Peer(error.message().to_owned())),
        None => Ok(structure),
    }
}
