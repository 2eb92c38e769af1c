//! The uplink of a webrtcbin: reads and numbers what leaves, bounds what is sent again,
//! and reads the far end's feedback.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::element::input::MediaPad;
use crate::ivs::MAX_BIT_RATE;
use crate::media::bandwidth::{
    ExtensionId, Observations, PacketKind, ReceiverReport, RetransmissionCount, Streams, Uplink,
    set_transport_sequence,
};
use crate::whip::Track;

/// The event by which webrtcbin's RTP session has a packet sent again.
const RETRANSMISSION_REQUEST: &str = "GstRTPRetransmissionRequest";

/// What taps a webrtcbin's packets.
pub(super) struct UplinkTap {
    shared: Mutex<Shared>,
    /// Its pacer is told of what leaves past it.
    video: Option<MediaPad>,
    origin: Instant,
}

struct Shared {
    uplink: Uplink,
    extensions: Extensions,
}

/// By which a track's packets carry their transport-wide numbers, if the answer takes it
/// for this track.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Extensions {
    audio: Option<ExtensionId>,
    video: Option<ExtensionId>,
}

impl Extensions {
    /// What `accepted` says of each track. Feedback on audio alone tells nothing of the
    /// video, so that then nothing is numbered.
    fn of(has_video: bool, accepted: impl Fn(Track) -> Option<ExtensionId>) -> Self {
        let video = accepted(Track::Video);
        let is_of_use = video.is_some() || !has_video;
        Self {
            audio: accepted(Track::Audio).filter(|_| is_of_use),
            video,
        }
    }

    fn track(self, track: Track) -> Option<ExtensionId> {
        match track {
            Track::Audio => self.audio,
            Track::Video => self.video,
        }
    }
}

impl UplinkTap {
    /// The tap of a session with these streams; `video` is the video's pad.
    pub(super) fn new(streams: Streams, video: Option<MediaPad>) -> Self {
        Self {
            shared: Mutex::new(Shared {
                uplink: Uplink::new(streams, MAX_BIT_RATE),
                extensions: Extensions::default(),
            }),
            video,
            origin: Instant::now(),
        }
    }

    /// Takes what the answer says of transport-wide numbers.
    pub(super) fn set_extensions(&self, accepted: impl Fn(Track) -> Option<ExtensionId>) {
        let extensions = Extensions::of(self.video.is_some(), accepted);
        let mut shared = self.lock();
        // Without any, feedback tells of none.
        let numbers_audio = extensions.audio.is_some() || extensions.video.is_none();
        shared.uplink.set_numbers_audio(numbers_audio);
        shared.extensions = extensions;
    }

    pub(super) fn extension(&self, track: Track) -> Option<ExtensionId> {
        self.lock().extensions.track(track)
    }

    /// See [`Uplink::observe`].
    pub(super) fn observe(&self, target: Option<u64>) -> Observations {
        let now = self.origin.elapsed();
        self.lock().uplink.observe(target, now)
    }

    /// What the far end asked for and was sent again, with all headers.
    pub(super) fn retransmitted(&self) -> RetransmissionCount {
        self.lock().uplink.retransmitted()
    }

    /// What the far end asked for and was not sent again.
    pub(super) fn refused_retransmissions(&self) -> RetransmissionCount {
        self.lock().uplink.refused()
    }

    /// Reads feedback in the far end's RTCP, and the report blocks in it.
    pub(super) fn rtcp(&self, rtcp: &[u8], reports: &[(u32, ReceiverReport)]) {
        let now = self.origin.elapsed();
        let mut shared = self.lock();
        shared.uplink.rtcp(rtcp, now);
        for (ssrc, report) in reports {
            shared.uplink.report(*ssrc, *report, now);
        }
    }

    /// Numbers a packet or the packets of a list.
    pub(super) fn leaves(&self, data: &mut gst::PadProbeData<'_>) {
        match data {
            gst::PadProbeData::Buffer(buffer) => self.packet_leaves(buffer),
            gst::PadProbeData::BufferList(list) => {
                list.make_mut().foreach_mut(|mut buffer, _| {
                    self.packet_leaves(&mut buffer);
                    std::ops::ControlFlow::Continue(Some(buffer))
                });
            }
            _ => {}
        }
    }

    fn packet_leaves(&self, buffer: &mut gst::Buffer) {
        let now = self.origin.elapsed();
        let (leaving, extensions) = {
            let Ok(rtp) = buffer.map_readable() else {
                return;
            };
            let mut shared = self.lock();
            (shared.uplink.leaves(&rtp, now), shared.extensions)
        };
        let Some(leaving) = leaving else {
            return;
        };
        let track = match leaving.kind {
            PacketKind::Audio => Track::Audio,
            PacketKind::Video | PacketKind::Retransmission => Track::Video,
        };
        if let (Some(extension), Some(number)) = (extensions.track(track), leaving.number)
            && let Ok(mut rtp) = buffer.make_mut().map_writable()
        {
            // False for a packet without room for it: one of the filler.
            set_transport_sequence(&mut rtp, extension, number);
        }
        if let Some(video) = self
            .video
            .as_ref()
            .filter(|_| leaving.kind != PacketKind::Video)
        {
            video.leaves_past(leaving.size);
        }
    }

    /// Whether an event from webrtcbin's RTP session may go on to the element that sends
    /// packets again.
    pub(super) fn allows(&self, event: &gst::Event) -> bool {
        let request = event.structure();
        let Some(request) = request.filter(|request| request.name() == RETRANSMISSION_REQUEST)
        else {
            return true;
        };
        let sequence = request.get::<u32>("seqnum").ok();
        let Some(sequence) = sequence.and_then(|sequence| u16::try_from(sequence).ok()) else {
            return true;
        };
        let now = self.origin.elapsed();
        self.lock().uplink.allows_retransmission(sequence, now)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_track_has_what_the_answer_takes_for_it() {
        let id = ExtensionId::new(5);
        let of = |has_video, audio, video| {
            let accepted = |track| match track {
                Track::Audio => id.filter(|_| audio),
                Track::Video => id.filter(|_| video),
            };
            let it = Extensions::of(has_video, accepted);
            [Track::Audio, Track::Video].map(|track| it.track(track).is_some())
        };
        assert_eq!(of(true, true, true), [true, true]);
        assert_eq!(of(true, false, true), [false, true]);
        assert_eq!(of(true, true, false), [false, false]);
        assert_eq!(of(false, true, false), [true, false]);
    }
}
