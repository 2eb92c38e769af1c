//! A peer connection: a new webrtcbin for each session, since none can be
//! restarted.
//!
//! Quirks of webrtcbin, and where each is worked round:
//! - `on-negotiation-needed` fires without pads and does not fire again on 1.22,
//!   so the offer is made on request ([`Peer::offer`]).
//! - It writes the wrong fingerprint if the certificate is set from outside
//!   ([`watch_children`]), so [`Offer::new`] corrects it.
//! - It does not check the peer's certificate for a sender ([`TransportWatch`]).
//! - Its DTLS timers can crash it when it is freed ([`DtlsTimers`]).
//! - 1.22 stays connected to a dead peer, so [`watch_children`] counts the packets
//!   that arrive.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use gst::prelude::*;
use gst_webrtc::{WebRTCRTPTransceiver, WebRTCSDPType, WebRTCSessionDescription};

use super::black_source::Black;
use super::dtls_timers::DtlsTimers;
use super::element_removal::remove_element;
use super::ice_server::{IceUrl, ice_url};
use super::log_redaction::{SdpLogPause, limit_logs, limit_logs_of_turn};
use super::promises::{Promises, Reply, description, structure};
use super::transport_watch::{Tell, TransportWatch};
use super::uplink_tap::UplinkTap;
use super::webrtc_stats::{CandidatePair, candidate_pair, retransmissions, watch_session};
use super::webrtcbin::{Assembled, Link, Source, assemble, make_webrtcbin, watch_children};
use crate::element::input::MediaPad;
use crate::element::log::CAT;
use crate::element::settings::IceSettings;
use crate::ivs::{FillerMode, OfferedVideo};
use crate::media::bandwidth::{ExtensionId, Observations, RetransmissionCount, Streams};
use crate::media::{DtlsCertificate, RtcpReports};
use crate::session::{Cause, PeerEvent};
use crate::whip::{Answer, Fingerprint, IceServer, Offer, Track};

/// The number of the header extension with transport-wide numbers. It is the only one.
const TRANSPORT_WIDE: u8 = 1;

/// What a peer connection is made from.
pub(crate) struct PeerParts {
    /// The number of the peer connection, told with its events.
    pub(crate) number: u64,
    pub(crate) sources: Vec<Source>,
    pub(crate) ice: IceSettings,
    pub(crate) certificate: DtlsCertificate,
    pub(crate) video: OfferedVideo,
    /// Whether to offer transport-wide congestion control.
    pub(crate) transport_wide: bool,
}

/// One webrtcbin in the bin, until [`Self::close`].
#[derive(Clone)]
pub(crate) struct Peer {
    inner: Arc<Inner>,
}

struct Inner {
    number: u64,
    webrtcbin: gst::Element,
    links: Vec<Link>,
    /// The source of the filler's pictures, if the filler mode is `black`.
    black: Option<Black>,
    sender: WebRTCRTPTransceiver,
    watch: Arc<TransportWatch>,
    certificate: Arc<DtlsCertificate>,
    timers: Arc<DtlsTimers>,
    video: OfferedVideo,
    transport_wide: bool,
    late_local: bool,
    /// Packets that arrived from the far end: DTLS and RTCP.
    heard: Arc<AtomicU64>,
    reports: Arc<Mutex<RtcpReports>>,
    uplink: Arc<UplinkTap>,
    has_audio: bool,
    /// When [`Peer::new`] was called.
    begun: Instant,
    tell: Tell,
    promises: Arc<Promises>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// The local description, if it has to wait for the server's ICE servers.
    pending_local: Option<WebRTCSessionDescription>,
    /// The candidate pair in webrtcbin's last reply.
    pair: Option<CandidatePair>,
    /// Whether webrtcbin's next reply is pending.
    asks_for_pair: bool,
}

impl Peer {
    /// Makes a webrtcbin with a sendonly section for each source, audio first,
    /// then the filler if there is only audio; adds it to the bin and links it.
    /// `ready` gets it before that, and can refuse it. `tell` is called from
    /// webrtcbin's threads.
    ///
    /// # Errors
    /// If a part can't be made, started or linked, or `ready`'s error. Nothing is left
    /// in the bin then.
    pub(crate) fn new(
        bin: &gst::Bin,
        parts: PeerParts,
        ready: impl FnOnce(&gst::Element) -> Result<(), glib::BoolError>,
        tell: impl Fn(PeerEvent) + Send + Sync + 'static,
    ) -> Result<Self, glib::BoolError> {
        let begun = Instant::now();
        let certificate = Arc::new(parts.certificate);
        let timers = Arc::new(DtlsTimers::new(begun));
        let heard = Arc::new(AtomicU64::new(0));
        let reports = Arc::new(Mutex::new(RtcpReports::default()));
        let uplink = Arc::new(uplink_tap(&parts.sources));
        let webrtcbin = make_webrtcbin(&parts.ice)?;
        watch_children(&webrtcbin, &certificate, &timers, &heard, &uplink);
        watch_session(&webrtcbin, &reports, &uplink);
        ready(&webrtcbin)?;
        // It stays in PLAYING when the pipeline is paused: its ICE source is
        // live, and in PAUSED it would not answer the far end's checks.
        webrtcbin.set_locked_state(true);
        bin.add(&webrtcbin)?;
        // Started first: pads accept caps only once they are active.
        let started = webrtcbin.set_state(gst::State::Playing);
        let assembled = started
            .map_err(|_| glib::bool_error!("webrtcbin does not start"))
            .and_then(|_| assemble(bin, &webrtcbin, &parts.sources, parts.video));
        let Assembled {
            links,
            sender,
            black,
        } = assembled.inspect_err(|_| remove_element(&webrtcbin))?;
        let tell: Tell = Arc::new(tell);
        let inner = Arc::new(Inner {
            number: parts.number,
            webrtcbin,
            links,
            black,
            sender,
            watch: Arc::new(TransportWatch::new(tell.clone(), timers.clone())),
            certificate,
            timers,
            video: parts.video,
            transport_wide: parts.transport_wide,
            late_local: parts.ice.use_link_headers,
            heard,
            reports,
            uplink,
            has_audio: parts
                .sources
                .iter()
                .any(|source| source.format.track == Track::Audio),
            begun,
            tell,
            promises: Arc::default(),
            shared: Mutex::default(),
        });
        Ok(Self { inner })
    }

    /// The number of the peer connection, told with its events.
    pub(crate) fn number(&self) -> u64 {
        self.inner.number
    }

    /// The mode of its filler section, if it has one.
    pub(crate) fn filler(&self) -> Option<FillerMode> {
        self.inner.video.filler_mode()
    }

    /// What the far end has reported so far.
    pub(crate) fn reports(&self) -> RtcpReports {
        let reports = self.inner.reports.lock();
        reports.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an estimator needs to know since the last call. `target` is what the network
    /// carries as far as is known by then, in bit/s.
    pub(crate) fn observe(&self, target: Option<u64>) -> Observations {
        self.inner.uplink.observe(target)
    }

    /// What the far end asked for and was sent again, with all headers.
    pub(crate) fn retransmitted(&self) -> RetransmissionCount {
        self.inner.uplink.retransmitted()
    }

    /// What the far end asked for and was not sent again.
    pub(crate) fn refused_retransmissions(&self) -> RetransmissionCount {
        self.inner.uplink.refused_retransmissions()
    }

    /// Whether audio is published too.
    pub(crate) fn has_audio(&self) -> bool {
        self.inner.has_audio
    }

    /// The header extension by which a track's packets carry their transport-wide numbers,
    /// if the answer takes it.
    pub(crate) fn transport_wide(&self, track: Track) -> Option<ExtensionId> {
        self.inner.uplink.extension(track)
    }

    /// The number of retransmitted packets.
    pub(crate) fn retransmissions(&self) -> u64 {
        retransmissions(&self.inner.webrtcbin)
    }

    /// The candidate pair in webrtcbin's last reply. Asks again for the next call.
    pub(crate) fn candidate_pair(&self) -> Option<CandidatePair> {
        self.ask_for_pair();
        self.inner.lock().pair.clone()
    }

    /// Asks webrtcbin which candidate pair is in use; the reply comes later.
    pub(crate) fn ask_for_pair(&self) {
        if std::mem::replace(&mut self.inner.lock().asks_for_pair, true) {
            return;
        }
        let promise = self.promise(|inner, reply| {
            let pair = reply.ok().flatten().and_then(candidate_pair);
            let mut shared = inner.lock();
            shared.asks_for_pair = false;
            shared.pair = pair.or(shared.pair.take());
        });
        if let Some(promise) = promise {
            self.inner
                .webrtcbin
                .emit_by_name::<()>("get-stats", &[&None::<gst::Pad>, &promise]);
        }
    }

    /// Starts to send the filler's pictures, if it has any.
    pub(crate) fn start_filler(&self) {
        if let Some(black) = &self.inner.black {
            black.start();
            // A stop meanwhile has removed it, perhaps before it was started.
            if self.inner.promises.is_closed() {
                black.remove_element();
            }
        }
    }

    /// Makes the offer and tells it in the form to POST, without waiting for
    /// candidates.
    pub(crate) fn offer(&self, stream: String) {
        limit_logs(&self.inner.webrtcbin);
        let promise = self.promise(move |inner, reply| {
            let offered =
                description(reply, "offer").and_then(|offer| inner.offered(offer, &stream));
            inner.tell(offered.unwrap_or_else(PeerEvent::Broken));
        });
        if let Some(promise) = promise {
            self.inner
                .webrtcbin
                .emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
        }
    }

    /// Applies the answer. A failure is told as [`PeerEvent::Broken`].
    pub(crate) fn apply(&self, answer: &Answer, ice_servers: &[IceServer]) {
        let inner = &self.inner;
        gst::debug!(CAT, obj = inner.webrtcbin, "answer:\n{}", answer.redacted());
        inner
            .uplink
            .set_extensions(|track| answer.transport_wide(track).and_then(ExtensionId::new));
        inner.watch.set_fingerprints(answer.fingerprints());
        let local = inner.lock().pending_local.take();
        if let Some(local) = local {
            inner.add_ice_servers(ice_servers);
            inner.set_local(&local);
        }
        let sdp = match gst_sdp::SDPMessage::parse_buffer(answer.text().as_bytes()) {
            Ok(sdp) => sdp,
            Err(error) => {
                let text = format!("the answer does not parse: {error}");
                return inner.tell(PeerEvent::Broken(Cause::Peer(text)));
            }
        };
        let description = WebRTCSessionDescription::new(WebRTCSDPType::Answer, sdp);
        let pause = SdpLogPause::begin();
        let promise = self.promise(move |inner, reply| {
            drop(pause);
            if let Err(cause) = structure(reply) {
                inner.tell(PeerEvent::Broken(cause));
            }
        });
        if let Some(promise) = promise {
            inner
                .webrtcbin
                .emit_by_name::<()>("set-remote-description", &[&description, &promise]);
        }
    }

    fn promise(
        &self,
        answered: impl FnOnce(&Arc<Inner>, Reply<'_>) + Send + 'static,
    ) -> Option<gst::Promise> {
        // Weak, because a reply may never come.
        let inner = Arc::downgrade(&self.inner);
        self.inner.promises.make(move |reply| {
            if let Some(inner) = inner.upgrade() {
                answered(&inner, reply);
            }
        })
    }

    /// Whether an object is this webrtcbin, inside it, or part of its filler.
    pub(crate) fn owns(&self, object: &gst::Object) -> bool {
        let webrtcbin = &self.inner.webrtcbin;
        let black = self.inner.black.as_ref();
        object == webrtcbin.upcast_ref::<gst::Object>()
            || object.has_as_ancestor(webrtcbin)
            || black.is_some_and(|black| black.owns(object))
    }

    /// Removes webrtcbin and the filler from the bin. Can be called more than once.
    pub(crate) fn close(&self) {
        if !self.inner.promises.close() {
            let webrtcbin = &self.inner.webrtcbin;
            gst::warning!(CAT, obj = webrtcbin, "no reply: it may leak its ICE agent");
        }
        for (pad, sink) in &self.inner.links {
            pad.unlink_from(sink);
        }
        // webrtcbin first: a streaming thread can be inside it.
        remove_element(&self.inner.webrtcbin);
        self.inner.timers.release();
        if let Some(black) = &self.inner.black {
            black.remove_element();
        }
    }
}

fn uplink_tap(sources: &[Source]) -> UplinkTap {
    let pad = |track| {
        let mut sources = sources.iter();
        let source = sources.find(|source| source.format.track == track)?;
        Some(source.pad.clone())
    };
    let (audio, video) = (pad(Track::Audio), pad(Track::Video));
    let streams = Streams {
        audio: audio.map(|pad| pad.ssrc()),
        video: video.as_ref().map(MediaPad::ssrc),
    };
    UplinkTap::new(streams, video)
}

impl Inner {
    fn offered(
        self: &Arc<Self>,
        description: WebRTCSessionDescription,
        stream: &str,
    ) -> Result<PeerEvent, Cause> {
        let text = description
            .sdp()
            .as_text()
            .map_err(|error| Cause::Peer(error.to_string()))?;
        let fingerprint = Fingerprint::of_certificate(self.certificate.der());
        let mut offer = Offer::new(&text, stream, Some(&fingerprint))
            .map_err(|error| Cause::Peer(error.to_string()))?;
        if self.transport_wide {
            offer.offer_transport_wide(TRANSPORT_WIDE);
        }
        gst::debug!(CAT, obj = self.webrtcbin, "offer:\n{}", offer.redacted());
        // Before the local description is set: candidates come from then on.
        self.watch.begin(&self.webrtcbin, &self.sender)?;
        if self.late_local {
            self.lock().pending_local = Some(description);
        } else {
            self.set_local(&description);
        }
        Ok(PeerEvent::Offer {
            offer,
            video: self.video,
            heard: self.heard.clone(),
            took: self.begun.elapsed(),
        })
    }

    /// Sets the local description. That starts gathering, so every ICE server has to
    /// be set before.
    fn set_local(&self, description: &WebRTCSessionDescription) {
        // If it fails, so does the remote description. The promise is for the wait in
        // [`Promises::close`].
        if let Some(promise) = self.promises.make(|_| {}) {
            self.webrtcbin
                .emit_by_name::<()>("set-local-description", &[description, &promise]);
        }
    }

    fn add_ice_servers(&self, servers: &[IceServer]) {
        for url in servers.iter().filter_map(ice_url) {
            match url {
                IceUrl::Stun(url) => self.webrtcbin.set_property("stun-server", url),
                IceUrl::Turn(url) => {
                    limit_logs_of_turn(&self.webrtcbin);
                    // The result says only whether the URL was parsed.
                    let _ = self
                        .webrtcbin
                        .emit_by_name::<bool>("add-turn-server", &[&url]);
                }
            }
        }
    }

    fn tell(&self, event: PeerEvent) {
        (self.tell)(event);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
