//! A publisher's side of its audience: its packets go to the viewers, and the
//! viewers' wishes for key frames become few requests.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::media::{Mid, Rid, Rids};
use str0m::rtp::{ExtensionValues, RtpPacket};

use crate::h264;
use crate::offer::Kind;
use crate::subscribe::audience::{Audience, Media};

/// Shortest time between two key-frame requests to a publisher, whatever the
/// number of viewers.
const INTERVAL: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Relay {
    audience: Arc<Audience>,
    participant: String,
    session: u32,
    /// When the next request may leave, if a viewer wants one.
    due: Option<Instant>,
    last: Option<Instant>,
}

impl Relay {
    pub(crate) fn new(audience: &Arc<Audience>, participant: &str, session: u32) -> Self {
        Self {
            audience: Arc::clone(audience),
            participant: participant.to_owned(),
            session,
            due: None,
            last: None,
        }
    }

    pub(crate) fn want_key_frame(&mut self, now: Instant) {
        let earliest = self.last.map_or(now, |last| last + INTERVAL);
        self.due.get_or_insert(earliest.max(now));
    }

    /// When the next key-frame request is due.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether to send a key-frame request now.
    pub(crate) fn take_request(&mut self, now: Instant) -> bool {
        if self.due.is_none_or(|due| due > now) {
            return false;
        }
        self.due = None;
        self.last = Some(now);
        self.audience
            .key_frame_requested(&self.participant, self.session);
        true
    }

    /// Hands a packet to the viewers. Of simulcast layers they get the first one
    /// that the offer names.
    pub(crate) fn forward(&self, rtc: &Rtc, mid: Mid, rid: Option<Rid>, packet: &RtpPacket) {
        if !self.audience.watches(&self.participant, self.session) {
            return;
        }
        let Some(media) = rtc.media(mid) else {
            return;
        };
        let first_layer = match media.rids_rx() {
            Rids::Specific(layers) => layers.first().copied(),
            _ => None,
        };
        if rid.is_some() && rid != first_layer {
            return;
        }
        let kind = if media.kind().is_video() {
            Kind::Video
        } else {
            Kind::Audio
        };
        let params = rtc.codec_config().params().iter();
        let mut params = params.filter(|one| one.pt() == packet.header.payload_type);
        let Some(format) = params.next() else {
            return;
        };
        let media = Media {
            kind,
            session: self.session,
            ssrc: *packet.header.ssrc,
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            key_frame: kind == Kind::Video && h264::inspect(&packet.payload).key_frame,
            after_gap: false,
            arrived: packet.timestamp,
            extensions: ExtensionValues {
                video_orientation: packet.header.ext_vals.video_orientation,
                ..ExtensionValues::default()
            },
            format: *format,
            payload: Arc::clone(&packet.payload),
        };
        self.audience.forward(&self.participant, &media);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_wishes_are_one_request_in_each_interval() {
        let audience = Arc::new(Audience::default());
        let mut relay = Relay::new(&audience, "p", 1);
        let start = Instant::now();
        assert!(!relay.take_request(start));
        relay.want_key_frame(start);
        assert!(relay.take_request(start));
        let requests = (1..=1000u32).filter(|at| {
            let now = start + Duration::from_millis((*at).into());
            relay.want_key_frame(now);
            relay.take_request(now)
        });
        assert_eq!(requests.collect::<Vec<_>>(), [500, 1000]);
    }
}
