//! The streams as they go out: counted, and held against the limits.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::violation::LimitViolation;
use crate::media::Sps;
use crate::media::h264::{Begins, Packet};
use crate::media::rate_meter::{Flow, Meter, Window};

/// How far behind the newest one a packet may come and still be late rather
/// than of a stream that began anew (RFC 3550 A.1, `MAX_MISORDER`).
const MAX_MISORDER: u16 = 100;

/// Nothing for this long is the source's or the pipeline's doing, as a short
/// pause is, and no setting of the encoder: key frames are timed afresh then.
const STALL: Duration = Duration::from_secs(1);

/// Watches an H.264 stream in constant memory and constant time per packet.
///
/// `now` is any clock that only runs forwards, such as the pipeline's running
/// time. What can't be read as RTP is passed over.
///
/// ```
/// use std::time::Duration;
/// use gstivs::ivs::VideoWatch;
///
/// let mut watch = VideoWatch::default();
/// // One packet: version 2, payload type 96, one slice of a key frame.
/// let rtp = [0x80, 0xe0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x65, 0x88];
/// watch.packet(&rtp, Duration::ZERO);
/// assert_eq!((watch.packets(), watch.key_frames()), (1, 1));
/// assert!(watch.violations(Duration::ZERO).is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct VideoWatch {
    packets: u64,
    bytes: u64,
    frames: u64,
    key_frames: u64,
    meter: Meter,
    order: Order,
    frame: Frame,
    key: KeyTimes,
    sps: Option<Sps>,
}

impl VideoWatch {
    /// Takes one RTP packet.
    pub fn packet(&mut self, rtp: &[u8], now: Duration) {
        let Some(packet) = Packet::parse(rtp) else {
            return;
        };
        let gap = now.saturating_sub(self.meter.latest());
        if self.meter.advance(now) == Flow::Begins || gap >= STALL {
            self.key = KeyTimes::since(now);
        }
        self.count(packet.payload.len());
        match self.order.place(&packet) {
            Place::Newest => self.enter_frame(packet.timestamp),
            Place::Late if self.frame.timestamp == packet.timestamp => {}
            // Of a frame that has been counted.
            Place::Late => return,
        }
        self.look_into(Begins::in_payload(packet.payload));
    }

    /// Takes the parameter sets that an RTP stream's caps carry as
    /// `sprop-parameter-sets` (RFC 6184 8.1): a payloader need not repeat
    /// them in the stream.
    pub fn parameter_sets(&mut self, sprop: &str) {
        let sets = sprop
            .split(',')
            .filter_map(|set| STANDARD.decode(set.trim()).ok());
        if let Some(sps) = sets.filter_map(|set| Sps::parse(&set)).next() {
            self.sps = Some(sps);
        }
    }

    /// Goes on after packets that were not shown to it: rates and distances are
    /// measured afresh. What was counted stays, and so do profile and size.
    pub fn resume(&mut self) {
        // The next packet begins a measurement, that of key frames included.
        self.meter = Meter::default();
        self.order = Order::default();
    }

    /// The limits that the stream violates as of `now`.
    ///
    /// Rates need some seconds to show, and none is reported while nothing
    /// comes: a publisher may pause. Profile and size stand until the stream
    /// changes them.
    pub fn violations(&self, now: Duration) -> Vec<LimitViolation> {
        let mut violations = Vec::new();
        if let Some(sps) = &self.sps {
            violations.extend(LimitViolation::of_profile(sps));
            violations.extend(LimitViolation::of_size(sps));
        }
        if self.meter.is_paused(now) {
            return violations;
        }
        let latest = self.meter.latest();
        let recent = self.meter.recent();
        if recent.b_frames > 0 {
            violations.push(LimitViolation::BFrames {
                count: recent.b_frames,
                frames: recent.frames,
            });
        }
        let frame_rate = self.meter.frame_rate(Window::Long, latest);
        if self.meter.is_full(Window::Long) {
            violations.extend(LimitViolation::of_frame_rate(frame_rate));
        }
        let seconds = self.key.longest(latest).as_secs_f64();
        violations.extend(LimitViolation::of_key_frames(seconds, frame_rate));
        if self.meter.is_full(Window::Short) {
            let bit_rate = self.meter.bit_rate(Window::Short, latest);
            violations.extend(LimitViolation::of_video_bit_rate(bit_rate));
        }
        violations
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of payload so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Key frames so far.
    pub fn key_frames(&self) -> u64 {
        self.key_frames
    }

    /// Bits of payload a second, over the two seconds up to `now`.
    pub fn bit_rate(&self, now: Duration) -> u64 {
        self.meter.bit_rate(Window::Short, now)
    }

    /// Frames a second, over the four seconds up to `now`.
    pub fn frame_rate(&self, now: Duration) -> f64 {
        self.meter.frame_rate(Window::Long, now)
    }

    /// Width and height in pixels, once the stream has told.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.sps.map(|sps| (sps.width, sps.height))
    }

    /// The stream's latest sequence parameter set.
    pub fn sps(&self) -> Option<&Sps> {
        self.sps.as_ref()
    }

    fn count(&mut self, payload: usize) {
        let bytes = u64::try_from(payload).unwrap_or(u64::MAX);
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.meter.current().bytes += bytes;
    }

    /// A frame's packets share their timestamp (RFC 6184 5.1). The marker
    /// would do as well, but gets lost with its packet.
    fn enter_frame(&mut self, timestamp: u32) {
        if self.frames > 0 && self.frame.timestamp == timestamp {
            return;
        }
        self.frame = Frame {
            timestamp,
            ..Frame::default()
        };
        self.frames += 1;
        self.meter.current().frames += 1;
    }

    /// A frame may have several slices, and counts once.
    fn look_into(&mut self, begins: Begins<'_>) {
        if begins.key_frame && !self.frame.is_key {
            self.frame.is_key = true;
            self.key_frames += 1;
            self.key.came(self.meter.latest());
        }
        if begins.b_frame && !self.frame.is_b {
            self.frame.is_b = true;
            self.meter.current().b_frames += 1;
        }
        if let Some(sps) = begins.sps.and_then(Sps::parse) {
            self.sps = Some(sps);
        }
    }
}

/// Watches an audio stream likewise.
#[derive(Clone, Debug, Default)]
pub struct AudioWatch {
    packets: u64,
    bytes: u64,
    meter: Meter,
}

impl AudioWatch {
    /// Takes one RTP packet.
    pub fn packet(&mut self, rtp: &[u8], now: Duration) {
        let Some(packet) = Packet::parse(rtp) else {
            return;
        };
        let bytes = u64::try_from(packet.payload.len()).unwrap_or(u64::MAX);
        self.meter.advance(now);
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.meter.current().bytes += bytes;
    }

    /// Goes on after packets that were not shown to it.
    pub fn resume(&mut self) {
        self.meter = Meter::default();
    }

    /// The limits that the stream violates as of `now`.
    pub fn violations(&self, now: Duration) -> Vec<LimitViolation> {
        if self.meter.is_paused(now) || !self.meter.is_full(Window::Long) {
            return Vec::new();
        }
        let bit_rate = self.meter.bit_rate(Window::Long, self.meter.latest());
        LimitViolation::of_audio_bit_rate(bit_rate)
            .into_iter()
            .collect()
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Bytes of payload so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Bits of payload a second, over the four seconds up to `now`.
    pub fn bit_rate(&self, now: Duration) -> u64 {
        self.meter.bit_rate(Window::Long, now)
    }
}

/// The frame going on.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    timestamp: u32,
    is_key: bool,
    is_b: bool,
}

/// The time without a key frame: the one going on, and the one before.
/// Looking at both, a long distance stays a violation beyond its end, until a
/// short one has been seen whole.
#[derive(Clone, Copy, Debug, Default)]
struct KeyTimes {
    since: Duration,
    before: Duration,
}

impl KeyTimes {
    fn since(now: Duration) -> Self {
        Self {
            since: now,
            before: Duration::ZERO,
        }
    }

    fn came(&mut self, now: Duration) {
        self.before = now.saturating_sub(self.since);
        self.since = now;
    }

    fn longest(&self, now: Duration) -> Duration {
        now.saturating_sub(self.since).max(self.before)
    }
}

/// Where a packet stands among those before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Newest,
    /// Reordered, sent again or doubled.
    Late,
}

/// The newest packet of the stream, by sequence number.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    newest: Option<(u32, u16)>,
}

impl Order {
    fn place(&mut self, packet: &Packet<'_>) -> Place {
        if let Some((ssrc, newest)) = self.newest
            && ssrc == packet.ssrc
            && newest.wrapping_sub(packet.sequence) <= MAX_MISORDER
        {
            return Place::Late;
        }
        self.newest = Some((packet.ssrc, packet.sequence));
        Place::Newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::sps::samples;

    /// P, B and key frame slices, each as the head of a unit.
    const P: &[u8] = &[0x41, 0x9a];
    const B: &[u8] = &[0x01, 0x9e];
    const KEY: &[u8] = &[0x65, 0x88];

    /// Makes packets; sequence numbers and timestamps are about to wrap.
    struct Stream {
        watch: VideoWatch,
        sequence: u16,
        timestamp: u32,
        ssrc: u32,
        now: Duration,
    }

    impl Stream {
        fn new() -> Self {
            Self {
                watch: VideoWatch::default(),
                sequence: u16::MAX - 20,
                timestamp: u32::MAX - 40_000,
                ssrc: 7,
                now: Duration::from_secs(100),
            }
        }

        fn rtp(&self, unit: &[u8], size: usize) -> Vec<u8> {
            let mut rtp = vec![0x80, 96];
            rtp.extend(self.sequence.to_be_bytes());
            rtp.extend(self.timestamp.to_be_bytes());
            rtp.extend(self.ssrc.to_be_bytes());
            rtp.extend(unit);
            rtp.resize(12 + size.max(unit.len()), 0xff);
            rtp
        }

        fn send(&mut self, unit: &[u8], size: usize) -> Vec<u8> {
            let rtp = self.rtp(unit, size);
            self.watch.packet(&rtp, self.now);
            self.sequence = self.sequence.wrapping_add(1);
            rtp
        }

        /// A frame of one packet, and its time.
        fn frame(&mut self, unit: &[u8], size: usize, rate: u32) {
            self.send(unit, size);
            self.timestamp = self.timestamp.wrapping_add(90_000 / rate);
            self.now += Duration::from_secs(1) / rate;
        }

        /// Seconds of frames with a key frame every so many.
        fn run(&mut self, seconds: u32, rate: u32, every: u32, size: usize) -> &mut Self {
            for number in 0..seconds * rate {
                let unit = if number % every == 0 { KEY } else { P };
                self.frame(unit, size, rate);
            }
            self
        }

        fn names(&self) -> Vec<&'static str> {
            let violations = self.watch.violations(self.now);
            violations.iter().map(LimitViolation::name).collect()
        }
    }

    fn parameter_set(hex: &str) -> Stream {
        let mut stream = Stream::new();
        stream.send(&samples::bytes(hex), 0);
        stream
    }

    #[test]
    fn rightful_stream_misses_nothing() {
        let mut stream = parameter_set(samples::BASELINE);
        stream.run(20, 30, 60, 10_000);
        assert_eq!(stream.names(), [""; 0]);
        let watch = &stream.watch;
        assert_eq!((watch.packets(), watch.frames()), (601, 600));
        assert_eq!(watch.key_frames(), 10);
        assert_eq!(watch.bytes(), 600 * 10_000 + 28);
        assert_eq!(watch.size(), Some((640, 360)));
        assert_eq!(watch.sps().unwrap().profile(), "constrained baseline");
        let rate = watch.frame_rate(stream.now);
        assert!((29.5..=30.5).contains(&rate), "{rate}");
        let rate = watch.bit_rate(stream.now);
        assert!((2_360_000..=2_440_000).contains(&rate), "{rate}");
    }

    #[test]
    fn profile() {
        assert_eq!(parameter_set(samples::MAIN).names(), ["profile"]);
    }

    #[test]
    fn size_large() {
        let stream = parameter_set(samples::HIGH);
        assert_eq!(stream.names(), ["profile", "size-large"]);
        assert_eq!(stream.watch.size(), Some((1920, 1080)));
    }

    #[test]
    fn sps_that_changes() {
        let mut stream = parameter_set(samples::HIGH);
        stream.send(&samples::bytes(samples::BASELINE), 0);
        assert_eq!(stream.names(), [""; 0]);
        // Garbage changes nothing.
        stream.send(&[0x67, 0xff], 0);
        assert_eq!(stream.watch.size(), Some((640, 360)));
    }

    #[test]
    fn sps_of_the_caps() {
        let mut watch = VideoWatch::default();
        let set = STANDARD.encode(samples::bytes(samples::HIGH));
        watch.parameter_sets(&format!("aOvjyyLA, !!,{set},"));
        assert_eq!(watch.size(), Some((1920, 1080)));
        watch.parameter_sets("");
        assert_eq!(watch.size(), Some((1920, 1080)));
    }

    #[test]
    fn b_frames() {
        let mut stream = Stream::new();
        stream.frame(KEY, 100, 30);
        // A P-frame goes ahead of the two B-frames shown before it.
        for unit in [P, B, B, P, B, B] {
            stream.frame(unit, 100, 30);
        }
        assert_eq!(
            stream.watch.violations(stream.now),
            [LimitViolation::BFrames {
                count: 4,
                frames: 7
            }]
        );
        stream.run(6, 30, 60, 100);
        assert_eq!(stream.names(), [""; 0]);
    }

    #[test]
    fn b_frame_of_many_slices_counts_once() {
        let mut stream = Stream::new();
        for _ in 0..4 {
            stream.send(B, 100);
        }
        assert_eq!(
            stream.watch.violations(stream.now),
            [LimitViolation::BFrames {
                count: 1,
                frames: 1
            }]
        );
    }

    #[test]
    fn late_and_doubled_packets_are_no_frames() {
        let mut stream = Stream::new();
        let mut sent = Vec::new();
        for number in 0..300 {
            let unit = if number % 60 == 0 { KEY } else { P };
            sent.push(stream.rtp(unit, 100));
            stream.frame(unit, 100, 30);
            // Again: the one before, and the key frame if it is not long ago.
            for again in [number.max(1) - 1, number - number % 60] {
                stream.watch.packet(&sent[again as usize], stream.now);
            }
        }
        assert_eq!(stream.names(), [""; 0]);
        assert_eq!(stream.watch.frames(), 300);
        assert_eq!(stream.watch.key_frames(), 5);
        assert_eq!(stream.watch.packets(), 900);
    }

    #[test]
    fn key_frame_whose_first_packet_is_late() {
        let mut stream = Stream::new();
        let first = stream.rtp(&[0x7c, 0x85, 0x88], 100);
        stream.sequence = stream.sequence.wrapping_add(1);
        stream.send(&[0x7c, 0x45], 100);
        assert_eq!(stream.watch.key_frames(), 0);
        stream.watch.packet(&first, stream.now);
        assert_eq!((stream.watch.frames(), stream.watch.key_frames()), (1, 1));
    }

    #[test]
    fn stream_that_begins_anew() {
        let mut stream = Stream::new();
        stream.run(1, 30, 30, 100);
        // Another source, which counts from elsewhere.
        stream.ssrc = 8;
        stream.sequence = stream.sequence.wrapping_sub(5);
        stream.run(1, 30, 30, 100);
        // The same one, which has jumped far back.
        stream.sequence = stream.sequence.wrapping_sub(5000);
        stream.run(1, 30, 30, 100);
        assert_eq!(stream.watch.frames(), 90);
        assert_eq!(stream.watch.key_frames(), 3);
    }

    #[test]
    fn frame_rate_low() {
        let mut stream = Stream::new();
        stream.run(3, 5, 5, 100);
        assert_eq!(stream.names(), [""; 0], "too early to tell");
        stream.run(3, 5, 5, 100);
        assert_eq!(
            stream.watch.violations(stream.now),
            [LimitViolation::TooSlow { frame_rate: 5.0 }]
        );
    }

    #[test]
    fn frame_rate_high() {
        let mut stream = Stream::new();
        assert_eq!(stream.run(6, 75, 75, 100).names(), ["frame-rate-high"]);
    }

    #[test]
    fn frame_rate_at_its_limits() {
        for rate in [10, 60] {
            assert_eq!(Stream::new().run(10, rate, rate, 100).names(), [""; 0]);
        }
    }

    #[test]
    fn key_frame_distance() {
        let mut stream = Stream::new();
        stream.run(2, 30, 1000, 100);
        assert_eq!(stream.names(), [""; 0]);
        stream.run(8, 30, 300, 100);
        assert_eq!(stream.names(), ["key-frame-distance"]);
        let text = stream.watch.violations(stream.now)[0].to_string();
        assert!(text.contains("8.0 s"), "{text}");
        // It stays one right behind a key frame, and goes with a good distance.
        stream.run(1, 30, 30, 100);
        assert_eq!(stream.names(), ["key-frame-distance"]);
        stream.run(1, 30, 30, 100);
        assert_eq!(stream.names(), [""; 0]);
    }

    #[test]
    fn no_key_frame_at_all() {
        let mut stream = Stream::new();
        for _ in 0..90 {
            stream.frame(P, 100, 30);
        }
        assert_eq!(stream.names(), ["key-frame-distance"]);
    }

    #[test]
    fn video_bit_rate() {
        let mut stream = Stream::new();
        assert_eq!(
            stream.run(4, 30, 30, 36_000).names(),
            ["video-bit-rate"],
            "8.64 Mbit/s"
        );
    }

    #[test]
    fn video_bit_rate_near() {
        let mut stream = Stream::new();
        assert_eq!(
            stream.run(4, 30, 30, 33_000).names(),
            ["video-bit-rate-near"],
            "7.92 Mbit/s"
        );
    }

    #[test]
    fn video_bit_rate_with_large_key_frames() {
        let mut stream = Stream::new();
        for number in 0..300 {
            let (unit, size) = if number % 60 == 0 {
                (KEY, 300_000)
            } else {
                (P, 20_000)
            };
            stream.frame(unit, size, 30);
            // 5.92 Mbit/s on average.
            assert_eq!(stream.names(), [""; 0], "frame {number}");
        }
    }

    #[test]
    fn pause_is_no_violation() {
        let mut stream = Stream::new();
        stream.run(6, 30, 30, 100);
        stream.now += Duration::from_secs(60);
        assert_eq!(stream.names(), [""; 0]);
        assert_eq!(stream.watch.bit_rate(stream.now), 0);
        for _ in 0..3 {
            stream.run(1, 30, 30, 100);
            assert_eq!(stream.names(), [""; 0]);
        }
    }

    #[test]
    fn stall_is_no_distance_of_key_frames() {
        let mut stream = Stream::new();
        for _ in 0..4 {
            stream.run(1, 30, 60, 100);
            stream.now += Duration::from_millis(1700);
            stream.run(1, 30, 30, 100);
            assert_eq!(stream.names(), [""; 0]);
        }
    }

    #[test]
    fn gap_that_was_not_shown_is_no_distance_of_key_frames() {
        let mut stream = parameter_set(samples::BASELINE);
        stream.run(1, 30, 60, 100);
        stream.now += Duration::from_millis(1800);
        stream.watch.resume();
        stream.run(2, 30, 60, 100);
        assert_eq!(stream.names(), [""; 0]);
        let watch = &stream.watch;
        assert_eq!((watch.frames(), watch.key_frames()), (90, 2));
        assert_eq!(watch.size(), Some((640, 360)));
    }

    #[test]
    fn audio_bit_rate() {
        let mut audio = AudioWatch::default();
        let mut stream = Stream::new();
        // 50 packets a second of 600 bytes: 240 kbit/s.
        for _ in 0..300 {
            audio.packet(&stream.rtp(&[], 600), stream.now);
            stream.now += Duration::from_millis(20);
        }
        assert_eq!((audio.packets(), audio.bytes()), (300, 180_000));
        assert_eq!(audio.bit_rate(stream.now), 240_000);
        assert_eq!(
            audio.violations(stream.now),
            [LimitViolation::AudioBitRate { bit_rate: 240_000 }]
        );
        // Exactly 160 kbit/s are fine, and so is silence.
        for _ in 0..300 {
            audio.packet(&stream.rtp(&[], 400), stream.now);
            stream.now += Duration::from_millis(20);
        }
        assert_eq!(audio.violations(stream.now), []);
        assert_eq!(audio.bit_rate(stream.now), 160_000);
        assert_eq!(audio.violations(stream.now + Duration::from_secs(9)), []);
    }

    /// xorshift, for the same garbage each time.
    fn random(state: &mut u64) -> u8 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[3]
    }

    #[test]
    fn garbage_of_all_lengths_does_no_harm() {
        let (mut video, mut audio) = (VideoWatch::default(), AudioWatch::default());
        let mut state = 0x9e37_79b9_7f4a_7c15;
        for round in 0..40_000u32 {
            let length = (round % 400) as usize;
            let mut bytes: Vec<_> = (0..length).map(|_| random(&mut state)).collect();
            if let Some(first) = bytes.first_mut() {
                *first = if round % 3 == 0 { 0x80 } else { *first };
            }
            if round % 5 == 0 && length > 13 {
                bytes[12] = [0x67, 0x78, 0x7c, 0x41, 0x65][(round as usize / 5) % 5];
            }
            let now = Duration::from_millis(u64::from(random(&mut state)) * u64::from(round));
            video.packet(&bytes, now);
            audio.packet(&bytes, now);
            if round % 16 == 0 {
                for violation in video.violations(now) {
                    assert!(!violation.to_string().is_empty());
                }
                audio.violations(now);
            }
        }
        assert!(video.packets() > 0 && video.packets() == audio.packets());
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -- --ignored --nocapture"]
    #[allow(clippy::print_stdout)]
    fn cost_of_a_packet() {
        let mut stream = Stream::new();
        let middle = stream.rtp(&[0x5c, 0x01], 1200);
        let start = stream.rtp(&[0x5c, 0x81, 0x9a], 1200);
        let sps = stream.rtp(&samples::bytes(samples::HIGH), 0);
        let rounds = 5_000_000u32;
        let (mut video, mut audio) = (VideoWatch::default(), AudioWatch::default());
        for (name, rtp, step) in [
            ("middle of a frame", &middle, 0),
            ("start of a frame", &start, 1),
            ("parameter set", &sps, 1),
        ] {
            let (mut rtp, began) = (rtp.clone(), std::time::Instant::now());
            for round in 0..rounds {
                let [high, low] = (round as u16).to_be_bytes();
                rtp[2..4].copy_from_slice(&[high, low]);
                rtp[4..8].copy_from_slice(&(round * step).to_be_bytes());
                video.packet(std::hint::black_box(&rtp), stream.now);
                stream.now += Duration::from_millis(1);
            }
            let spent = began.elapsed() / rounds;
            println!("video, {name}: {} ns", spent.as_nanos());
        }
        let began = std::time::Instant::now();
        for _ in 0..rounds {
            audio.packet(std::hint::black_box(&middle), stream.now);
            stream.now += Duration::from_millis(20);
        }
        println!("audio: {} ns", (began.elapsed() / rounds).as_nanos());
    }
}
