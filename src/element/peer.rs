//! The only typed face of webrtcbin: one fresh webrtcbin a session, since none
//! can be restarted.
//!
//! webrtcbin's ways that this file works round, each in the place named:
//! - `on-negotiation-needed` fires without pads and does not fire again on 1.22,
//!   so the offer is made when we say so ([`Peer::offer`]);
//! - it writes the wrong fingerprint for a certificate that it is given
//!   ([`use_identity`], with [`Offer::new`]);
//! - it does not check the peer's certificate for a sender
//!   ([`Peer::certificate_fits`]).

use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::thread;

use gst::prelude::*;
use gst_webrtc::{
    WebRTCBundlePolicy, WebRTCDTLSTransport, WebRTCDTLSTransportState, WebRTCICEConnectionState,
    WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection, WebRTCSDPType, WebRTCSessionDescription,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::ice::{IceUrl, ice_url};
use super::media::Media;
use super::settings::IceSettings;
use crate::ivs::{Filler, filler_codec};
use crate::session::{Cause, Identity, Input};
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

/// One webrtcbin, from its making to its removal.
#[derive(Clone)]
pub(super) struct Peer {
    webrtcbin: gst::Element,
    links: Vec<(gst::Pad, gst::Pad)>,
    /// The transceiver whose transport tells that media can flow: all
    /// sections share it, but only a sending one's state is sure to be told.
    sender: WebRTCRTPTransceiver,
    identity: Arc<Identity>,
    late_local: bool,
    shared: Arc<Mutex<Shared>>,
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
    /// On an error nothing is left in the bin.
    pub(super) fn new(
        bin: &gst::Bin,
        sources: &[Source],
        filler: Filler,
        ice: &IceSettings,
        identity: Identity,
        ready: impl FnOnce(&gst::Element),
    ) -> Result<Self, glib::BoolError> {
        let identity = Arc::new(identity);
        let webrtcbin = make_webrtcbin(ice)?;
        use_identity(&webrtcbin, &identity);
        ready(&webrtcbin);
        bin.add(&webrtcbin)?;
        // Up to the bin's state first: pads take caps only once they are active.
        let assembled = webrtcbin
            .sync_state_with_parent()
            .and_then(|()| assemble(&webrtcbin, sources, filler));
        let (links, sender) = assembled.inspect_err(|_| discard(&webrtcbin))?;
        Ok(Self {
            webrtcbin,
            links,
            sender,
            identity,
            late_local: ice.use_link_headers,
            shared: Arc::default(),
        })
    }

    /// Makes the offer and hands it on in the form to POST, on webrtcbin's
    /// own thread. Gathering starts meanwhile and is not waited for.
    pub(super) fn offer(
        &self,
        stream: String,
        done: impl FnOnce(Result<Offer, Cause>) + Send + 'static,
    ) {
        let peer = self.clone();
        let promise = gst::Promise::with_change_func(move |reply| {
            done(description(reply, "offer").and_then(|offer| peer.offered(offer, &stream)));
        });
        self.webrtcbin
            .emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
    }

    fn offered(&self, description: WebRTCSessionDescription, stream: &str) -> Result<Offer, Cause> {
        let text = description
            .sdp()
            .as_text()
            .map_err(|error| Cause::Peer(error.to_string()))?;
        let fingerprint = self.identity.fingerprint();
        let offer = Offer::new(&text, stream, Some(fingerprint))
            .map_err(|error| Cause::Peer(error.to_string()))?;
        if self.late_local {
            self.lock().pending_local = Some(description);
        } else {
            self.set_local(&description);
        }
        Ok(offer)
    }

    /// Starts gathering, so every ICE server has to be known by now.
    fn set_local(&self, description: &WebRTCSessionDescription) {
        // Its failure shows as a failure of the remote description.
        self.webrtcbin.emit_by_name::<()>(
            "set-local-description",
            &[description, &None::<gst::Promise>],
        );
    }

    /// Applies the answer; `done` hears whether webrtcbin took it.
    pub(super) fn apply(
        &self,
        answer: &Answer,
        ice_servers: &[IceServer],
        done: impl FnOnce(Result<(), Cause>) + Send + 'static,
    ) {
        let local = {
            let mut shared = self.lock();
            shared.fingerprints = answer.fingerprints();
            shared.pending_local.take()
        };
        if let Some(local) = local {
            self.add_ice_servers(ice_servers);
            self.set_local(&local);
        }
        let sdp = match gst_sdp::SDPMessage::parse_buffer(answer.text().as_bytes()) {
            Ok(sdp) => sdp,
            Err(error) => {
                return done(Err(Cause::Peer(format!(
                    "the answer does not parse: {error}"
                ))));
            }
        };
        let description = WebRTCSessionDescription::new(WebRTCSDPType::Answer, sdp);
        let promise = gst::Promise::with_change_func(move |reply| done(accepted(reply)));
        self.webrtcbin
            .emit_by_name::<()>("set-remote-description", &[&description, &promise]);
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

    /// Tells the session of everything that becomes of the connection. To be
    /// called once the offer is made: before that there is no transport.
    pub(super) fn watch(&self, tell: impl Fn(Input) + Clone + Send + Sync + 'static) {
        let Some(transport) = self.transport() else {
            return tell(Input::Broken(Cause::Peer(
                "webrtcbin made no transport".to_owned(),
            )));
        };
        let (shared, on_dtls) = (self.shared.clone(), tell.clone());
        transport.connect_state_notify(move |transport| {
            if let Some(input) = dtls_news(transport, &shared) {
                on_dtls(input);
            }
        });
        self.webrtcbin
            .connect_notify(Some("ice-connection-state"), move |webrtcbin, _| {
                let state: WebRTCICEConnectionState = webrtcbin.property("ice-connection-state");
                if state == WebRTCICEConnectionState::Failed {
                    tell(Input::Broken(Cause::Lost(
                        "ICE found no way through".to_owned(),
                    )));
                }
            });
    }

    fn transport(&self) -> Option<WebRTCDTLSTransport> {
        let sender = self
            .sender
            .property::<Option<gst_webrtc::WebRTCRTPSender>>("sender")?;
        sender.property("transport")
    }

    /// Whether a message of a child comes from this webrtcbin.
    pub(super) fn owns(&self, object: &gst::Object) -> bool {
        object == self.webrtcbin.upcast_ref::<gst::Object>()
            || object.has_as_ancestor(&self.webrtcbin)
    }

    /// Takes webrtcbin out of the bin. Can be called more than once.
    pub(super) fn close(&self) {
        for (source, sink) in &self.links {
            let _ = source.unlink(sink);
        }
        discard(&self.webrtcbin);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
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

/// Lets the DTLS handshake show our certificate.
fn use_identity(webrtcbin: &gst::Element, identity: &Arc<Identity>) {
    let identity = identity.clone();
    let Some(bin) = webrtcbin.dynamic_cast_ref::<gst::Bin>() else {
        return;
    };
    bin.connect_deep_element_added(move |_, _, element| {
        let factory = element.factory();
        if factory.is_some_and(|factory| factory.name() == "dtlssrtpdec") {
            element.set_property("pem", identity.pem());
        }
    });
}

type Assembled = (Vec<(gst::Pad, gst::Pad)>, WebRTCRTPTransceiver);

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

type Link = (gst::Pad, gst::Pad);

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

fn dtls_news(transport: &WebRTCDTLSTransport, shared: &Mutex<Shared>) -> Option<Input> {
    match transport.state() {
        WebRTCDTLSTransportState::Connected if certificate_fits(transport, shared) => {
            Some(Input::Connected)
        }
        WebRTCDTLSTransportState::Connected => Some(Input::Broken(Cause::Certificate)),
        WebRTCDTLSTransportState::Failed => Some(Input::Broken(Cause::Lost(
            "the DTLS transport failed".to_owned(),
        ))),
        WebRTCDTLSTransportState::Closed => Some(Input::Broken(Cause::Lost(
            "the server closed it".to_owned(),
        ))),
        _ => None,
    }
}

/// Whether the handshake showed a certificate that the answer announced
/// (RFC 8122 6.2). An unreadable certificate is a wrong one.
fn certificate_fits(transport: &WebRTCDTLSTransport, shared: &Mutex<Shared>) -> bool {
    let Some(pem) = transport.remote_certificate() else {
        return false;
    };
    let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
        return false;
    };
    let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
    shared
        .fingerprints
        .iter()
        .any(|fingerprint| fingerprint.matches(&der))
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

fn accepted(reply: Result<Option<&gst::StructureRef>, gst::PromiseError>) -> Result<(), Cause> {
    structure(reply).map(|_| ())
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
