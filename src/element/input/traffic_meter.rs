//! Counts what a pad sends, and compares it with the limits of IVS.
//!
//! The streaming thread gives each packet that passed the gate, and checks for
//! violations once a second. The conductor decides what to do about them.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::stream_format::StreamFormat;
use crate::ivs::{LimitViolation, audio_violations, check_codec, video_violations};
use crate::media::{AudioMeter, VideoMeter};
use crate::whip::Track;

/// Time between two checks for violations. A violation counts if two checks in a
/// row find it, so that a burst or a hiccup of a second does not count.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Size of the largest packet of a usual network, in bytes.
const COPY_SIZE: usize = 1500;

/// What a pad has sent since PAUSED.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Traffic {
    pub(crate) packets: u64,
    /// Payload bytes.
    pub(crate) bytes: u64,
    /// The SSRC of the newest packet.
    pub(crate) source: Option<u32>,
    /// Payload in bit/s, over the last seconds.
    pub(crate) bit_rate: u64,
    /// For H.264 only; other video has packets and bytes alone.
    pub(crate) video: Option<VideoTraffic>,
    /// The IVS limits that the stream violates now, even if the server is not IVS.
    pub(crate) violations: Vec<&'static str>,
}

/// The frames of a video stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct VideoTraffic {
    pub(crate) frames: u64,
    pub(crate) key_frames: u64,
    /// Frames per second, over the last seconds.
    pub(crate) frame_rate: f64,
    /// Width and height in pixels, once the stream has sent them.
    pub(crate) size: Option<(u32, u32)>,
}

/// Measures a pad's stream, from its caps on.
#[derive(Default)]
pub(crate) struct TrafficMeter(Mutex<Option<Stream>>);

impl TrafficMeter {
    /// Begins a stream; its counts continue those of the stream before. Returns
    /// whether IVS does not accept its codec.
    pub(crate) fn begin(&self, format: &StreamFormat) -> bool {
        let mut watched = self.lock();
        let before = watched
            .as_ref()
            .map(|stream| stream.totals())
            .unwrap_or_default();
        let stream = Stream::new(format, before);
        let is_refused = stream.codec.is_some();
        *watched = Some(stream);
        is_refused
    }

    /// Goes on after the gate was closed: counts continue, rates begin anew.
    pub(crate) fn resume(&self) {
        if let Some(stream) = self.lock().as_mut() {
            stream.resume();
        }
    }

    /// Forgets the stream and its counts.
    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    /// Measures packets that passed the gate. Returns whether there is a new
    /// violation.
    pub(crate) fn take<'a>(&self, packets: impl Iterator<Item = &'a gst::BufferRef>) -> bool {
        let now = Instant::now();
        let mut watched = self.lock();
        let Some(stream) = watched.as_mut() else {
            return false;
        };
        let now = now.saturating_duration_since(stream.began);
        stream.before_last = stream.totals();
        for packet in packets {
            stream.take(packet, now);
        }
        stream.check(now)
    }

    /// Takes the packets of the last [`Self::take`] out of the counts again: they were
    /// not sent. The rates keep them.
    pub(crate) fn take_back(&self) {
        if let Some(stream) = self.lock().as_mut() {
            stream.take_back();
        }
    }

    /// The limits that the stream violates now.
    pub(crate) fn violations(&self) -> Vec<LimitViolation> {
        let watched = self.lock();
        watched.as_ref().map(Stream::violations).unwrap_or_default()
    }

    /// What was sent so far; `None` before the first caps.
    pub(crate) fn traffic(&self) -> Option<Traffic> {
        self.lock().as_ref().map(Stream::traffic)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Stream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream, from its caps to the next caps.
struct Stream {
    kind: Kind,
    /// Set if IVS does not accept the codec. No other limit is checked then.
    codec: Option<LimitViolation>,
    before: Totals,
    /// The counts before the last packets.
    before_last: Totals,
    not_sent: Totals,
    began: Instant,
    next_check: Duration,
    source: Option<u32>,
    /// The violations of the last check, and those that the check before found too.
    seen: Vec<&'static str>,
    confirmed: Vec<LimitViolation>,
    /// Buffer to which a packet of several memories is copied.
    copy_buffer: Box<[u8; COPY_SIZE]>,
}

enum Kind {
    /// H.264.
    Video(VideoMeter),
    /// Audio, or video of another or an unknown codec.
    Packets(AudioMeter),
}

/// Counts of what was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    packets: u64,
    bytes: u64,
    frames: u64,
    key_frames: u64,
}

impl Stream {
    fn new(format: &StreamFormat, before: Totals) -> Self {
        // Caps that name no codec are no violation.
        let encoding = format.encoding.as_deref();
        let codec = encoding.and_then(|encoding| check_codec(format.track, encoding));
        let is_h264 = format.track == Track::Video && encoding.is_some() && codec.is_none();
        let kind = if is_h264 {
            let mut meter = VideoMeter::default();
            meter.parameter_sets(format.parameter_sets.as_deref().unwrap_or_default());
            Kind::Video(meter)
        } else {
            Kind::Packets(AudioMeter::default())
        };
        Self {
            kind,
            codec,
            before,
            before_last: before,
            not_sent: Totals::default(),
            began: Instant::now(),
            next_check: Duration::ZERO,
            source: None,
            seen: Vec::new(),
            confirmed: Vec::new(),
            copy_buffer: Box::new([0; COPY_SIZE]),
        }
    }

    fn resume(&mut self) {
        match &mut self.kind {
            Kind::Video(meter) => meter.resume(),
            Kind::Packets(meter) => meter.resume(),
        }
        self.seen.clear();
        self.confirmed.clear();
    }

    fn take(&mut self, packet: &gst::BufferRef, now: Duration) {
        let (kind, source) = (&mut self.kind, &mut self.source);
        with_bytes(packet, &mut self.copy_buffer[..], |rtp| {
            // The SSRC (RFC 3550 5.1).
            if let Some([a, b, c, d]) = rtp.get(8..12) {
                *source = Some(u32::from_be_bytes([*a, *b, *c, *d]));
            }
            match kind {
                Kind::Video(meter) => meter.packet(rtp, now),
                Kind::Packets(meter) => meter.packet(rtp, now),
            }
        });
    }

    fn take_back(&mut self) {
        let (now, before) = (self.totals(), self.before_last);
        self.not_sent = Totals {
            packets: self.not_sent.packets + now.packets - before.packets,
            bytes: self.not_sent.bytes + now.bytes - before.bytes,
            frames: self.not_sent.frames + now.frames - before.frames,
            key_frames: self.not_sent.key_frames + now.key_frames - before.key_frames,
        };
    }

    /// Checks for violations if a check is due. Returns whether there is a new one.
    fn check(&mut self, now: Duration) -> bool {
        if now < self.next_check {
            return false;
        }
        self.next_check = now + CHECK_INTERVAL;
        let measured = self.measured(now);
        let names = measured.iter().map(LimitViolation::name).collect();
        let seen = std::mem::replace(&mut self.seen, names);
        let stood: Vec<_> = self.confirmed.iter().map(LimitViolation::name).collect();
        let confirmed = measured.into_iter();
        self.confirmed = confirmed
            .filter(|violation| seen.contains(&violation.name()))
            .collect();
        let mut confirmed = self.confirmed.iter();
        confirmed.any(|violation| !stood.contains(&violation.name()))
    }

    fn violations(&self) -> Vec<LimitViolation> {
        self.codec.iter().chain(&self.confirmed).cloned().collect()
    }

    /// The violations at this moment, without that of the codec.
    fn measured(&self, now: Duration) -> Vec<LimitViolation> {
        match &self.kind {
            _ if self.codec.is_some() => Vec::new(),
            Kind::Video(meter) => video_violations(meter, now),
            Kind::Packets(meter) => audio_violations(meter, now),
        }
    }

    fn traffic(&self) -> Traffic {
        let (now, totals) = (self.now(), self.totals());
        let (bit_rate, video) = match &self.kind {
            Kind::Packets(meter) => (meter.bit_rate(now), None),
            Kind::Video(meter) => {
                let video = VideoTraffic {
                    frames: totals.frames,
                    key_frames: totals.key_frames,
                    frame_rate: meter.frame_rate(now),
                    size: meter.size(),
                };
                (meter.bit_rate(now), Some(video))
            }
        };
        Traffic {
            packets: totals.packets,
            bytes: totals.bytes,
            source: self.source,
            bit_rate,
            video,
            violations: self.violations().iter().map(LimitViolation::name).collect(),
        }
    }

    fn totals(&self) -> Totals {
        let (packets, bytes, frames, key_frames) = match &self.kind {
            Kind::Packets(meter) => (meter.packets(), meter.bytes(), 0, 0),
            Kind::Video(meter) => (
                meter.packets(),
                meter.bytes(),
                meter.frames(),
                meter.key_frames(),
            ),
        };
        let (before, not_sent) = (self.before, self.not_sent);
        Totals {
            packets: before.packets + packets - not_sent.packets,
            bytes: before.bytes.saturating_add(bytes) - not_sent.bytes,
            frames: before.frames + frames - not_sent.frames,
            key_frames: before.key_frames + key_frames - not_sent.key_frames,
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

/// Calls `look` with a packet's bytes. Payloaders make packets of two memories, a
/// header and a slice of the frame. They are copied to `copy_buffer`, since mapping them
/// would allocate memory to merge them.
fn with_bytes(packet: &gst::BufferRef, copy_buffer: &mut [u8], look: impl FnOnce(&[u8])) {
    if packet.n_memory() > 1
        && let Some(copy_buffer) = copy_buffer.get_mut(..packet.size())
        && packet.copy_to_slice(0, copy_buffer).is_ok()
    {
        look(copy_buffer);
    } else if let Ok(map) = packet.map_readable() {
        look(&map);
    }
}

#[cfg(test)]
mod tests {
    use std::iter::once;

    use super::*;

    /// A packet with one IDR slice.
    const KEY_FRAME: [u8; 14] = [0x80, 0xe0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x65, 0x88];

    fn format(track: Track, encoding: Option<&str>) -> StreamFormat {
        gst::init().unwrap();
        StreamFormat {
            track,
            encoding: encoding.map(str::to_owned),
            named_clock_rate: None,
            parameter_sets: None,
            parameters: Vec::new(),
        }
    }

    fn video(parameter_sets: &str) -> StreamFormat {
        StreamFormat {
            parameter_sets: Some(parameter_sets.to_owned()),
            ..format(Track::Video, Some("H264"))
        }
    }

    /// A packet as payloaders make it: header and payload are two memories.
    fn packet(rtp: &[u8], header: usize) -> gst::Buffer {
        let (head, payload) = rtp.split_at(header);
        let mut packet = gst::Buffer::from_slice(head.to_vec());
        let payload = gst::Memory::from_slice(payload.to_vec());
        packet.get_mut().unwrap().append_memory(payload);
        packet
    }

    fn counted(meter: &TrafficMeter) -> (u64, u64, u64) {
        let traffic = meter.traffic().unwrap();
        let key_frames = traffic.video.map_or(0, |video| video.key_frames);
        (traffic.packets, traffic.bytes, key_frames)
    }

    #[test]
    fn nothing_is_counted_before_caps() {
        let meter = TrafficMeter::default();
        assert!(!meter.take(once(packet(&KEY_FRAME, 12).as_ref())));
        assert_eq!(meter.traffic(), None);
    }

    #[test]
    fn packets_of_one_and_of_several_memories() {
        let meter = TrafficMeter::default();
        meter.begin(&video(""));
        meter.take(once(packet(&KEY_FRAME, 12).as_ref()));
        meter.take(once(gst::Buffer::from_slice(KEY_FRAME).as_ref()));
        // Larger than `COPY_SIZE`.
        let mut large = KEY_FRAME.to_vec();
        large.resize(2012, 0xff);
        meter.take(once(packet(&large, 12).as_ref()));
        let traffic = meter.traffic().unwrap();
        assert_eq!((traffic.packets, traffic.bytes), (3, 2 + 2 + 2000));
        assert_eq!(traffic.source, Some(1));
        let frames = traffic.video.unwrap();
        assert_eq!((frames.frames, frames.key_frames), (1, 1));
    }

    #[test]
    fn counts_go_on_through_other_caps_until_they_are_cleared() {
        let meter = TrafficMeter::default();
        meter.begin(&video(""));
        meter.take(once(packet(&KEY_FRAME, 12).as_ref()));
        meter.begin(&video(""));
        meter.take(once(packet(&KEY_FRAME, 12).as_ref()));
        meter.resume();
        meter.take(once(packet(&KEY_FRAME, 12).as_ref()));
        assert_eq!(counted(&meter), (3, 6, 2), "the third is the same frame");
        meter.clear();
        assert_eq!(meter.traffic(), None);
    }

    #[test]
    fn packets_that_were_not_sent_are_not_counted() {
        let meter = TrafficMeter::default();
        meter.take_back();
        meter.begin(&video(""));
        meter.take(once(packet(&KEY_FRAME, 12).as_ref()));
        let sent = counted(&meter);
        let mut next = KEY_FRAME;
        next[7] = 9; // Another time stamp, so another frame.
        let next = packet(&next, 12);
        for _ in 0..2 {
            meter.take([next.as_ref(), next.as_ref()].into_iter());
            meter.take_back();
            assert_eq!(counted(&meter), sent);
        }
        meter.begin(&video(""));
        assert_eq!(counted(&meter), sent);
    }

    #[test]
    fn codec_is_a_violation_at_once_and_hides_all_others() {
        let meter = TrafficMeter::default();
        assert!(!meter.begin(&format(Track::Audio, Some("OPUS"))));
        assert!(!meter.begin(&format(Track::Video, None)), "not known");
        assert!(meter.begin(&format(Track::Video, Some("VP8"))));
        meter.take(once(packet(&KEY_FRAME, 12).as_ref()));
        let traffic = meter.traffic().unwrap();
        assert_eq!((traffic.packets, traffic.video), (1, None));
        assert_eq!(traffic.violations, ["video-codec"]);
    }

    #[test]
    fn other_violations_are_told_once_when_they_still_stand_after_a_second() {
        gst::init().unwrap();
        // 1920x1080, high profile.
        let sprop = "Z2QAKqzZQHgCJ+XAWoCAgKAAAAMAIAAADxHjBjLA,aOvjyyLA";
        let mut stream = Stream::new(&video(sprop), Totals::default());
        let at = Duration::from_millis;
        assert!(!stream.check(at(0)), "the first look");
        assert!(stream.violations().is_empty());
        assert!(!stream.check(at(900)), "too early for the second");
        assert!(stream.check(at(1000)));
        let names: Vec<_> = stream
            .violations()
            .iter()
            .map(LimitViolation::name)
            .collect();
        assert_eq!(names, ["profile", "size-large"]);
        assert!(!stream.check(at(2000)), "known by now");
        stream.resume();
        assert!(stream.violations().is_empty());
    }
}
