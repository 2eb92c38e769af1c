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

/// Shortest time from a key frame, or a request for one, to the next request,
/// whatever the number of viewers.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Relay {
    audience: Arc<Audience>,
    participant: String,
    session: u32,
    /// When the next request may leave, if a viewer wants one.
    due: Option<Instant>,
    /// The last request or key frame.
    last: Option<Instant>,
    /// SSRC and RTP timestamp of the last key frame.
    key_frame: Option<(u32, u32)>,
}

impl Relay {
    pub(crate) fn new(audience: &Arc<Audience>, participant: &str, session: u32) -> Self {
        Self {
            audience: Arc::clone(audience),
            participant: participant.to_owned(),
            session,
            due: None,
            last: None,
            key_frame: None,
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
        self.begin_interval(now);
        true
    }

    /// A key frame begins, or goes on: all viewers that wanted one get it.
    fn note_key_frame(&mut self, now: Instant, ssrc: u32, timestamp: u32) {
        if self.key_frame.replace((ssrc, timestamp)) != Some((ssrc, timestamp)) {
            self.begin_interval(now);
        }
    }

    fn begin_interval(&mut self, now: Instant) {
        self.due = None;
        self.last = Some(now);
        self.audience
            .key_frame_requested(&self.participant, self.session);
    }

    /// Hands a packet to the viewers, unless it is of a simulcast layer that is not
    /// forwarded.
    pub(crate) fn forward(&mut self, rtc: &Rtc, mid: Mid, rid: Option<Rid>, packet: &RtpPacket) {
        if !self.audience.watches(&self.participant, self.session) {
            return;
        }
        let Some(media) = rtc.media(mid) else {
            return;
        };
        if rid.is_some() && rid != forwarded_layer(rtc, mid) {
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
        let key_frame = kind == Kind::Video && h264::inspect(&packet.payload).key_frame;
        if key_frame {
            let (ssrc, timestamp) = (*packet.header.ssrc, packet.header.timestamp);
            self.note_key_frame(packet.timestamp, ssrc, timestamp);
        }
        let media = Media {
            kind,
            session: self.session,
            ssrc: *packet.header.ssrc,
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            key_frame,
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

/// Of simulcast layers, the one that viewers get: the first that the offer names.
pub(crate) fn forwarded_layer(rtc: &Rtc, mid: Mid) -> Option<Rid> {
    match rtc.media(mid)?.rids_rx() {
        Rids::Specific(layers) => layers.first().copied(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relay() -> (Relay, Instant) {
        let audience = Arc::new(Audience::default());
        (Relay::new(&audience, "p", 1), Instant::now())
    }

    #[test]
    fn many_wishes_are_one_request_a_second() {
        let (mut relay, start) = relay();
        assert!(!relay.take_request(start));
        relay.want_key_frame(start);
        assert!(relay.take_request(start));
        let requests = (1..=2500u32).filter(|at| {
            let now = start + Duration::from_millis((*at).into());
            relay.want_key_frame(now);
            relay.take_request(now)
        });
        assert_eq!(requests.collect::<Vec<_>>(), [1000, 2000]);
    }

    #[test]
    fn a_key_frame_fulfils_the_wishes_before_it_and_none_after_it() {
        let (mut relay, start) = relay();
        let after = |ms| start + Duration::from_millis(ms);
        relay.want_key_frame(start);
        assert!(relay.take_request(start));
        relay.want_key_frame(after(100));
        // The publisher's own, not the one that was requested.
        relay.note_key_frame(after(400), 7, 9000);
        assert_eq!(relay.due(), None);
        // A viewer that came between two packets of it has half a key frame.
        relay.want_key_frame(after(401));
        relay.note_key_frame(after(402), 7, 9000);
        assert_eq!(relay.due(), Some(after(1400)));
        // One of another source, as after a restart of the encoder.
        relay.note_key_frame(after(500), 8, 9000);
        assert_eq!(relay.due(), None);
    }
}
