//! The estimation of a session, on the conductor's thread.

use crate::element::peer::Peer;
use crate::media::bandwidth::{Estimation, Limits, TransportWide};
use crate::whip::Track;

/// It is apart from the control of the bit rate, since goog_cc's types can't be sent to
/// another thread.
#[derive(Default)]
pub(super) struct LocalEstimation {
    estimation: Option<Estimation>,
    /// The number of the limits that it was made with.
    number: u64,
}

impl LocalEstimation {
    /// The estimation within the limits of this number. Other limits begin another one.
    pub(super) fn within(&mut self, limits: Limits, number: u64, peer: &Peer) -> &mut Estimation {
        if self.number != number {
            self.estimation = None;
            self.number = number;
        }
        self.estimation.get_or_insert_with(|| {
            let transport_wide = match peer.transport_wide(Track::Video) {
                Some(_) => TransportWide::Negotiated,
                None => TransportWide::Refused,
            };
            Estimation::new(limits, peer.has_audio(), transport_wide)
        })
    }
}
