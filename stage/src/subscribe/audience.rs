//! Hands media from publishers to viewers: packets and viewers' wishes come in,
//! packets and key-frame requests go out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use str0m::format::PayloadParams;
use str0m::rtp::ExtensionValues;
use tokio::sync::mpsc::{Receiver, Sender, UnboundedSender, channel};

use crate::offer::Kind;
use crate::sessions::Command;

/// Packets that wait for a viewer: half a second of 8.5 Mbit/s.
const QUEUE: usize = 512;

/// A publisher's RTP packet, on its way to viewers.
#[derive(Clone, Debug)]
pub(crate) struct Media {
    pub(crate) kind: Kind,
    /// Number of the publisher's session.
    pub(crate) session: u32,
    pub(crate) ssrc: u32,
    /// Extended, so it never wraps.
    pub(crate) sequence: u64,
    /// RTP timestamp.
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Whether a key frame, or its parameter sets, begin here.
    pub(crate) key_frame: bool,
    /// Whether packets before it were dropped for this viewer.
    pub(crate) after_gap: bool,
    pub(crate) arrived: Instant,
    pub(crate) extensions: ExtensionValues,
    pub(crate) format: PayloadParams,
    pub(crate) payload: Arc<[u8]>,
}

/// The publishers of a stage, and who watches them.
#[derive(Debug, Default)]
pub(crate) struct Audience {
    /// By participant id.
    sources: Mutex<HashMap<String, Source>>,
}

#[derive(Debug)]
struct Source {
    /// Number of the newest session of the participant.
    session: u32,
    /// Leads to its far end.
    commands: UnboundedSender<Command>,
    /// Whether a key-frame request is on its way there.
    key_frame_wanted: bool,
    seats: HashMap<u32, Seat>,
}

/// A viewer, as its publisher's far end sees it.
#[derive(Debug)]
struct Seat {
    queue: Sender<Media>,
    /// Whether audio, and video, were dropped since the last packet.
    gaps: [bool; 2],
    dropped: Arc<AtomicU64>,
}

/// What a viewer gets, until it is dropped or the publisher leaves.
#[derive(Debug)]
pub(crate) struct Subscription {
    audience: Arc<Audience>,
    participant: String,
    viewer: u32,
    dropped: Arc<AtomicU64>,
    pub(crate) media: Receiver<Media>,
}

impl Audience {
    /// A participant publishes. Viewers of its older session get the new one.
    pub(crate) fn open(&self, participant: &str, session: u32, commands: UnboundedSender<Command>) {
        let mut sources = self.lock();
        let seats = sources.remove(participant).map(|source| source.seats);
        let mut source = Source {
            session,
            commands,
            key_frame_wanted: false,
            seats: seats.unwrap_or_default(),
        };
        if !source.seats.is_empty() {
            source.want_key_frame();
        }
        sources.insert(participant.to_owned(), source);
    }

    /// A session has ended. Its viewers' queues end, unless the participant has
    /// a newer one.
    pub(crate) fn close(&self, participant: &str, session: u32) {
        let mut sources = self.lock();
        if sources
            .get(participant)
            .is_some_and(|source| source.session == session)
        {
            sources.remove(participant);
        }
    }

    /// Whether it is the session that viewers of the participant get.
    pub(crate) fn is_newest(&self, participant: &str, session: u32) -> bool {
        let sources = self.lock();
        sources
            .get(participant)
            .is_some_and(|source| source.session == session)
    }

    /// Number of viewers of a session.
    pub(crate) fn count(&self, participant: &str, session: u32) -> usize {
        let sources = self.lock();
        let source = sources.get(participant);
        let source = source.filter(|source| source.session == session);
        source.map_or(0, |source| source.seats.len())
    }

    /// Whether the session has viewers, and so needs
    /// [`forward`](Self::forward).
    pub(crate) fn watches(&self, participant: &str, session: u32) -> bool {
        self.count(participant, session) > 0
    }

    /// Hands a packet to every viewer that has room for it.
    pub(crate) fn forward(&self, participant: &str, media: &Media) {
        let mut sources = self.lock();
        let Some(source) = sources.get_mut(participant) else {
            return;
        };
        if source.session != media.session {
            return;
        }
        let mut lacks_key_frame = false;
        for seat in source.seats.values_mut() {
            lacks_key_frame |= seat.take(media);
        }
        if lacks_key_frame {
            source.want_key_frame();
        }
    }

    /// Requests a key frame, unless a request is on its way.
    fn want_key_frame(&self, participant: &str) {
        if let Some(source) = self.lock().get_mut(participant) {
            source.want_key_frame();
        }
    }

    /// The far end has taken the request: the next wish is a new one.
    pub(crate) fn key_frame_requested(&self, participant: &str, session: u32) {
        let mut sources = self.lock();
        let source = sources.get_mut(participant);
        if let Some(source) = source.filter(|source| source.session == session) {
            source.key_frame_wanted = false;
        }
    }

    /// Subscribes a viewer; `None` if the participant doesn't publish.
    pub(crate) fn join(self: &Arc<Self>, participant: &str, viewer: u32) -> Option<Subscription> {
        let (queue, media) = channel(QUEUE);
        let dropped = Arc::new(AtomicU64::new(0));
        let seat = Seat {
            queue,
            gaps: [false, false],
            dropped: Arc::clone(&dropped),
        };
        self.lock().get_mut(participant)?.seats.insert(viewer, seat);
        Some(Subscription {
            audience: Arc::clone(self),
            participant: participant.to_owned(),
            viewer,
            dropped,
            media,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Source>> {
        // Each change is one call on a map; a panic leaves it whole.
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn want_key_frame(&mut self) {
        if !std::mem::replace(&mut self.key_frame_wanted, true) {
            // Fails if the far end has just ended.
            let _ = self.commands.send(Command::KeyFrame);
        }
    }
}

impl Seat {
    /// Returns true if the viewer needs a key frame to go on.
    fn take(&mut self, media: &Media) -> bool {
        let video = media.kind == Kind::Video;
        let gap = &mut self.gaps[usize::from(video)];
        let resumes = !*gap || !video || (media.key_frame && self.queue.capacity() > QUEUE / 2);
        let media = Media {
            after_gap: *gap,
            ..media.clone()
        };
        if resumes && self.queue.try_send(media).is_ok() {
            *gap = false;
            return false;
        }
        *gap = true;
        self.dropped.fetch_add(1, Ordering::Relaxed);
        video
    }
}

impl Subscription {
    pub(crate) fn want_key_frame(&self) {
        self.audience.want_key_frame(&self.participant);
    }

    /// Packets that did not fit into the queue.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut sources = self.audience.lock();
        if let Some(source) = sources.get_mut(&self.participant) {
            source.seats.remove(&self.viewer);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;

    pub(crate) fn media(session: u32, sequence: u64, kind: Kind) -> Media {
        let mut config = str0m::RtcConfig::new()
            .clear_codecs()
            .enable_opus(true, false);
        let format = config.codec_config().params()[0];
        Media {
            kind,
            session,
            ssrc: 7,
            sequence,
            timestamp: 0,
            marker: true,
            key_frame: sequence.is_multiple_of(1000),
            after_gap: false,
            arrived: Instant::now(),
            extensions: ExtensionValues::default(),
            format,
            payload: Arc::from([0x41, 0x9a].as_slice()),
        }
    }

    #[test]
    fn a_viewer_that_does_not_read_misses_packets_and_goes_on_with_a_key_frame() {
        let audience = Arc::new(Audience::default());
        let (commands, mut requests) = unbounded_channel();
        audience.open("p", 1, commands);
        let mut slow = audience.join("p", 1).unwrap();
        let mut other = audience.join("p", 2).unwrap();
        let mut seen = 0;
        for sequence in 1..=900 {
            audience.forward("p", &media(1, sequence, Kind::Video));
            seen += u64::from(other.media.try_recv().is_ok());
        }
        assert_eq!((seen, slow.dropped(), other.dropped()), (900, 900 - 512, 0));
        // One request, however many packets were dropped.
        assert!(matches!(requests.try_recv(), Ok(Command::KeyFrame)));
        assert!(requests.try_recv().is_err());

        while slow.media.try_recv().is_ok() {}
        audience.forward("p", &media(1, 901, Kind::Video));
        assert!(slow.media.try_recv().is_err());
        audience.forward("p", &media(1, 1000, Kind::Video));
        audience.forward("p", &media(1, 1001, Kind::Video));
        let next = slow.media.try_recv().unwrap();
        assert_eq!((next.sequence, next.after_gap), (1000, true));
        assert!(!slow.media.try_recv().unwrap().after_gap);
    }

    #[test]
    fn audio_goes_on_as_soon_as_there_is_room() {
        let audience = Arc::new(Audience::default());
        let (commands, mut requests) = unbounded_channel();
        audience.open("p", 1, commands);
        let mut slow = audience.join("p", 1).unwrap();
        (1..=520).for_each(|number| audience.forward("p", &media(1, number, Kind::Audio)));
        assert_eq!(slow.dropped(), 8);
        slow.media.try_recv().unwrap();
        audience.forward("p", &media(1, 521, Kind::Audio));
        let last = std::iter::from_fn(|| slow.media.try_recv().ok())
            .last()
            .unwrap();
        assert_eq!((last.sequence, last.after_gap), (521, true));
        assert!(requests.try_recv().is_err());
    }

    #[test]
    fn viewers_follow_the_newest_session_of_a_participant() {
        let audience = Arc::new(Audience::default());
        let (commands, _old_requests) = unbounded_channel();
        audience.open("p", 1, commands);
        assert!(audience.join("q", 1).is_none());
        let mut viewer = audience.join("p", 1).unwrap();
        let (commands, mut requests) = unbounded_channel();
        audience.open("p", 2, commands);
        assert!(matches!(requests.try_recv(), Ok(Command::KeyFrame)));
        audience.forward("p", &media(1, 5, Kind::Video));
        audience.forward("p", &media(2, 9, Kind::Video));
        assert_eq!(viewer.media.try_recv().unwrap().session, 2);

        audience.close("p", 1);
        assert!(audience.watches("p", 2));
        audience.close("p", 2);
        assert!(viewer.media.blocking_recv().is_none());
        drop(viewer);
        assert!(!audience.watches("p", 2));
    }
}
