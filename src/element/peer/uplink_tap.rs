//! The uplink of a webrtcbin: reads and numbers what leaves, bounds what is sent again,
//! and reads the far end's feedback.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::element::input::MediaPad;
use crate::media::bandwidth::{
    ExtensionId, Observations, PacketKind, ReceiverReport, RetransmissionCount, Streams, Uplink,
    set_transport_sequence,
};

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
    /// By which packets carry their transport-wide numbers, if the answer takes them.
    extension: Option<ExtensionId>,
}

impl UplinkTap {
    /// The tap of a session with these streams; `video` is the video's pad.
    pub(super) fn new(streams: Streams, video: Option<MediaPad>) -> Self {
        Self {
            shared: Mutex::new(Shared {
                uplink: Uplink::new(streams),
                extension: None,
            }),
            video,
            origin: Instant::now(),
        }
    }

    /// Takes what the answer says of transport-wide numbers.
    pub(super) fn set_extension(&self, extension: Option<ExtensionId>) {
        self.lock().extension = extension;
    }

    pub(super) fn extension(&self) -> Option<ExtensionId> {
        self.lock().extension
    }

    /// See [`Uplink::observe`].
    pub(super) fn observe(&self, target: Option<u64>) -> Observations {
        let now = self.origin.elapsed();
        self.lock().uplink.observe(target, now)
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
        let (leaving, extension) = {
            let Ok(rtp) = buffer.map_readable() else {
                return;
            };
            let mut shared = self.lock();
            (shared.uplink.leaves(&rtp, now), shared.extension)
        };
        let Some(leaving) = leaving else {
            return;
        };
        if let Some(extension) = extension
            && let Ok(mut rtp) = buffer.make_mut().map_writable()
        {
            // False for a packet without room for it: one of the filler.
            set_transport_sequence(&mut rtp, extension, leaving.number);
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
