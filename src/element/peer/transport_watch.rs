//! Tells how the transport of a session fares: its candidates, ICE and DTLS.

use std::sync::{Arc, Mutex, PoisonError};

use gst::prelude::*;
use gst_webrtc::{
    WebRTCDTLSTransport, WebRTCDTLSTransportState, WebRTCICEConnectionState,
    WebRTCICEGatheringState, WebRTCRTPSender, WebRTCRTPTransceiver,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::dtls_timers::DtlsTimers;
use crate::session::{Cause, PeerEvent};
use crate::whip::Fingerprint;

pub(super) type Tell = Arc<dyn Fn(PeerEvent) + Send + Sync>;

/// The handlers on webrtcbin that report on the connection. It checks the certificate of
/// the far end too, since webrtcbin does not for a sender.
pub(super) struct TransportWatch {
    tell: Tell,
    timers: Arc<DtlsTimers>,
    /// Those that the answer announced.
    fingerprints: Mutex<Vec<Fingerprint>>,
}

impl TransportWatch {
    pub(super) fn new(tell: Tell, timers: Arc<DtlsTimers>) -> Self {
        Self {
            tell,
            timers,
            fingerprints: Mutex::default(),
        }
    }

    /// Sets the fingerprints of the certificates that the far end may have.
    pub(super) fn set_fingerprints(&self, fingerprints: Vec<Fingerprint>) {
        let known = self.fingerprints.lock();
        *known.unwrap_or_else(PoisonError::into_inner) = fingerprints;
    }

    /// Connects the handlers. `sender` is the transceiver whose transport shows that media
    /// can flow: all sections share the transport, but only a sending one is sure to
    /// report its state. The transport exists once the offer is made.
    pub(super) fn begin(
        self: &Arc<Self>,
        webrtcbin: &gst::Element,
        sender: &WebRTCRTPTransceiver,
    ) -> Result<(), Cause> {
        let transport = transport_of(sender);
        let transport =
            transport.ok_or_else(|| Cause::Peer("webrtcbin made no transport".to_owned()))?;
        // Weak references, because webrtcbin holds the handlers.
        let watch = Arc::downgrade(self);
        transport.connect_state_notify(move |transport| {
            if let Some(watch) = watch.upgrade() {
                watch.dtls_changed(transport);
            }
        });
        let watch = Arc::downgrade(self);
        webrtcbin.connect_notify(Some("ice-connection-state"), move |webrtcbin, _| {
            let state: WebRTCICEConnectionState = webrtcbin.property("ice-connection-state");
            if let Some(watch) = watch.upgrade()
                && state == WebRTCICEConnectionState::Failed
            {
                let text = "ICE has no candidate pair that works".to_owned();
                (watch.tell)(PeerEvent::Broken(Cause::Lost(text)));
            }
        });
        self.begin_gathering(webrtcbin);
        Ok(())
    }

    fn begin_gathering(self: &Arc<Self>, webrtcbin: &gst::Element) {
        let watch = Arc::downgrade(self);
        webrtcbin.connect("on-ice-candidate", false, move |values| {
            let section = values.get(1).and_then(|value| value.get::<u32>().ok());
            let candidate = values.get(2).and_then(|value| value.get::<String>().ok());
            // All sections are bundled with the first. From 1.24 on, an empty
            // candidate follows the last one.
            if let (Some(watch), Some(0), Some(candidate)) = (watch.upgrade(), section, candidate) {
                (watch.tell)(match candidate.is_empty() {
                    true => PeerEvent::GatheringComplete,
                    false => PeerEvent::Candidate(candidate),
                });
            }
            None
        });
        let watch = Arc::downgrade(self);
        webrtcbin.connect_notify(Some("ice-gathering-state"), move |webrtcbin, _| {
            let state: WebRTCICEGatheringState = webrtcbin.property("ice-gathering-state");
            if let Some(watch) = watch.upgrade()
                && state == WebRTCICEGatheringState::Complete
            {
                (watch.tell)(PeerEvent::GatheringComplete);
            }
        });
    }

    fn dtls_changed(&self, transport: &WebRTCDTLSTransport) {
        let state = transport.state();
        if state == WebRTCDTLSTransportState::Connected {
            self.timers.connected();
        }
        (self.tell)(match state {
            WebRTCDTLSTransportState::Connected if self.certificate_matches(transport) => {
                PeerEvent::Connected
            }
            WebRTCDTLSTransportState::Connected => PeerEvent::Broken(Cause::Certificate),
            WebRTCDTLSTransportState::Failed => {
                PeerEvent::Broken(Cause::Lost("the DTLS transport failed".to_owned()))
            }
            WebRTCDTLSTransportState::Closed => PeerEvent::Broken(Cause::Closed),
            _ => return,
        });
    }

    /// Whether the answer announced the certificate of the handshake (RFC 8122 6.2).
    /// A certificate that can't be read counts as wrong.
    fn certificate_matches(&self, transport: &WebRTCDTLSTransport) -> bool {
        let Some(pem) = transport.remote_certificate() else {
            return false;
        };
        let Ok(der) = CertificateDer::from_pem_slice(pem.as_bytes()) else {
            return false;
        };
        let fingerprints = self.fingerprints.lock();
        let fingerprints = fingerprints.unwrap_or_else(PoisonError::into_inner);
        fingerprints
            .iter()
            .any(|fingerprint| fingerprint.matches(&der))
    }
}

fn transport_of(sender: &WebRTCRTPTransceiver) -> Option<WebRTCDTLSTransport> {
    let sender = sender.property::<Option<WebRTCRTPSender>>("sender")?;
    sender.property("transport")
}
