//! Meters for outgoing streams.
//!
//! In: RTP packets, each with the time at which it passed. Out: counts, rates, the
//! distance of key frames, and the latest parameter set.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use rtp_types::RtpPacket;

use super::h264::PayloadStart;
use super::rate_meter::{Measurement, RateMeter, Window};
use super::sps::Sps;

/// How many sequence numbers a late packet may be behind the newest one. A packet
/// further behind means that the stream restarted (RFC 3550 A.1, `MAX_MISORDER`).
const MAX_MISORDER: u16 = 100;

/// A gap of this length restarts the timing of key frames: the source or the pipeline
/// causes such a gap, not an encoder setting.
const STALL: Duration = Duration::from_secs(1);

/// Measures an H.264 stream, in constant memory and constant time per packet.
///
/// `now` may be the time of any clock that never runs backwards. Packets that are not
/// RTP are ignored.
///
/// ```
/// use std::time::Duration;
/// use gstivs::media::VideoMeter;
///
/// let mut meter = VideoMeter::default();
/// // One packet: version 2, payload type 96, one slice of a key frame.
/// let rtp = [0x80, 0xe0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x65, 0x88];
/// meter.packet(&rtp, Duration::ZERO);
/// assert_eq!((meter.packets(), meter.key_frames()), (1, 1));
/// ```
#[derive(Clone, Debug, Default)]
pub struct VideoMeter {
    packets: u64,
    bytes: u64,
    frames: u64,
    key_frames: u64,
    rates: RateMeter,
    order: Order,
    frame: Frame,
    key: KeyTimes,
    sps: Option<Sps>,
}

impl VideoMeter {
    /// Measures one RTP packet.
    pub fn packet(&mut self, rtp: &[u8], now: Duration) {
        let Ok(packet) = RtpPacket::parse(rtp) else {
            return;
        };
        let gap = now.saturating_sub(self.rates.latest());
        if self.rates.advance(now) == Measurement::Restarted || gap >= STALL {
            self.key = KeyTimes::since(now);
        }
        self.count(packet.payload_len());
        match self.order.classify(&packet) {
            PacketOrder::Newest => self.enter_frame(packet.timestamp()),
            PacketOrder::Late if self.frame.timestamp == packet.timestamp() => {}
            // Belongs to a frame that is already counted.
            PacketOrder::Late => return,
        }
        self.inspect(PayloadStart::read(packet.payload()));
    }

    /// Reads the parameter sets that an RTP stream's caps carry as
    /// `sprop-parameter-sets` (RFC 6184 8.1). A payloader need not repeat them in the
    /// stream.
    pub fn parameter_sets(&mut self, sprop: &str) {
        let sets = sprop
            .split(',')
            .filter_map(|set| STANDARD.decode(set.trim()).ok());
        if let Some(sps) = sets.filter_map(|set| Sps::parse(&set)).next() {
            self.sps = Some(sps);
        }
    }

    /// Continues after packets that the meter did not see. Restarts rates and
    /// distances, and keeps counts, profile and size.
    pub fn resume(&mut self) {
        // The next packet restarts all measurements, including the timing of key
        // frames.
        self.rates = RateMeter::default();
        self.order = Order::default();
    }

    /// Whether the source has paused: no packet for two seconds.
    pub fn is_paused(&self, now: Duration) -> bool {
        self.rates.is_paused(now)
    }

    /// B-frames among the frames of the last four seconds.
    pub fn b_frames(&self) -> BFrames {
        let recent = self.rates.recent();
        BFrames {
            count: recent.b_frames,
            frames: recent.frames,
        }
    }

    /// Frames a second. `None` until four seconds without a pause have been measured.
    pub fn steady_frame_rate(&self) -> Option<f64> {
        let latest = self.rates.latest();
        let is_steady = self.rates.is_full(Window::Long);
        is_steady.then(|| self.frame_rate(latest))
    }

    /// Bits a second. `None` until two seconds without a pause have been measured.
    pub fn steady_bit_rate(&self) -> Option<u64> {
        let latest = self.rates.latest();
        let is_steady = self.rates.is_full(Window::Short);
        is_steady.then(|| self.bit_rate(latest))
    }

    /// The time without a key frame: the longer of the current span, up to the latest
    /// packet, and the span before it.
    pub fn key_frame_distance(&self) -> Duration {
        self.key.longest(self.rates.latest())
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
        self.rates.bit_rate(Window::Short, now)
    }

    /// Frames a second, over the four seconds up to `now`.
    pub fn frame_rate(&self, now: Duration) -> f64 {
        self.rates.frame_rate(Window::Long, now)
    }

    /// Width and height in pixels. `None` before the first parameter set.
    pub fn size(&self) -> Option<(u32, u32)> {
        self.sps.map(|sps| (sps.width, sps.height))
    }

    /// The stream's latest sequence parameter set, if there was one.
    pub fn sps(&self) -> Option<&Sps> {
        self.sps.as_ref()
    }

    fn count(&mut self, payload: usize) {
        let bytes = u64::try_from(payload).unwrap_or(u64::MAX);
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.rates.current().bytes += bytes;
    }

    /// The packets of a frame share their timestamp (RFC 6184 5.1). The marker bit
    /// would do too, but is lost with its packet.
    fn enter_frame(&mut self, timestamp: u32) {
        if self.frames > 0 && self.frame.timestamp == timestamp {
            return;
        }
        self.frame = Frame {
            timestamp,
            ..Frame::default()
        };
        self.frames += 1;
        self.rates.current().frames += 1;
    }

    /// A frame may have several slices, but counts once.
    fn inspect(&mut self, start: PayloadStart<'_>) {
        if start.key_frame && !self.frame.is_key {
            self.frame.is_key = true;
            self.key_frames += 1;
            self.key.came(self.rates.latest());
        }
        if start.b_frame && !self.frame.is_b {
            self.frame.is_b = true;
            self.rates.current().b_frames += 1;
        }
        if let Some(sps) = start.sps.and_then(Sps::parse) {
            self.sps = Some(sps);
        }
    }
}

/// Measures an audio stream, as [`VideoMeter`] does for video.
#[derive(Clone, Debug, Default)]
pub struct AudioMeter {
    packets: u64,
    bytes: u64,
    rates: RateMeter,
}

impl AudioMeter {
    /// Measures one RTP packet.
    pub fn packet(&mut self, rtp: &[u8], now: Duration) {
        let Ok(packet) = RtpPacket::parse(rtp) else {
            return;
        };
        let bytes = u64::try_from(packet.payload_len()).unwrap_or(u64::MAX);
        self.rates.advance(now);
        self.packets += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.rates.current().bytes += bytes;
    }

    /// Continues after packets that the meter did not see. Restarts the rate and keeps
    /// the counts.
    pub fn resume(&mut self) {
        self.rates = RateMeter::default();
    }

    /// Bits a second. `None` until four seconds without a pause have been measured.
    pub fn steady_bit_rate(&self) -> Option<u64> {
        let latest = self.rates.latest();
        let is_steady = self.rates.is_full(Window::Long);
        is_steady.then(|| self.bit_rate(latest))
    }

    /// Whether the source has paused: no packet for two seconds.
    pub fn is_paused(&self, now: Duration) -> bool {
        self.rates.is_paused(now)
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
        self.rates.bit_rate(Window::Long, now)
    }
}

/// B-frames among the latest frames of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BFrames {
    /// B-frames.
    pub count: u64,
    /// Frames of all kinds.
    pub frames: u64,
}

/// The current frame.
#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    timestamp: u32,
    is_key: bool,
    is_b: bool,
}

/// When the current span without a key frame began, and the length of the span before.
/// With both, a long distance stays a violation after its end, until a short distance
/// was measured in full.
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

/// A packet's place relative to the newest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PacketOrder {
    Newest,
    /// Reordered, retransmitted or duplicated.
    Late,
}

/// The newest packet of the stream, by sequence number.
#[derive(Clone, Copy, Debug, Default)]
struct Order {
    newest: Option<(u32, u16)>,
}

impl Order {
    fn classify(&mut self, packet: &RtpPacket<'_>) -> PacketOrder {
        if let Some((ssrc, newest)) = self.newest
            && ssrc == packet.ssrc()
            && newest.wrapping_sub(packet.sequence_number()) <= MAX_MISORDER
        {
            return PacketOrder::Late;
        }
        self.newest = Some((packet.ssrc(), packet.sequence_number()));
        PacketOrder::Newest
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample_stream::{KEY, P, SampleStream};
    use super::super::sps::samples;
    use super::*;

    #[test]
    fn sps_of_the_caps() {
        let mut meter = VideoMeter::default();
        let set = STANDARD.encode(samples::bytes(samples::HIGH));
        meter.parameter_sets(&format!("aOvjyyLA, !!,{set},"));
        assert_eq!(meter.size(), Some((1920, 1080)));
        meter.parameter_sets("");
        assert_eq!(meter.size(), Some((1920, 1080)));
    }

    #[test]
    fn rates_begin_anew_after_packets_that_were_not_seen() {
        let mut stream = SampleStream::new();
        stream.run(5, 30, 30, 1000);
        assert!(stream.meter.steady_bit_rate().is_some());
        stream.meter.resume();
        assert_eq!(stream.meter.steady_bit_rate(), None);
        assert_eq!(stream.meter.bit_rate(stream.now), 0);
        // Its number was seen before, but not by what is measured from now on.
        stream.sequence = stream.sequence.wrapping_sub(1);
        stream.frame(KEY, 1000, 30);
        assert_eq!((stream.meter.frames(), stream.meter.key_frames()), (151, 6));

        let (mut audio, mut now) = (AudioMeter::default(), Duration::ZERO);
        for _ in 0..300 {
            now += Duration::from_millis(20);
            audio.packet(&stream.rtp(&[], 100), now);
        }
        assert_eq!(audio.steady_bit_rate(), Some(40_000));
        audio.resume();
        assert_eq!(audio.steady_bit_rate(), None);
        assert_eq!(audio.packets(), 300);
    }

    #[test]
    fn two_seconds_without_a_packet_are_a_pause() {
        let mut stream = SampleStream::new();
        let mut audio = AudioMeter::default();
        audio.packet(&stream.send(P, 100), stream.now);
        for (seconds, is_paused) in [(1, false), (3, true)] {
            let now = stream.now + Duration::from_secs(seconds);
            assert_eq!(stream.meter.is_paused(now), is_paused, "{seconds} s");
            assert_eq!(audio.is_paused(now), is_paused, "{seconds} s");
        }
    }

    #[test]
    fn a_stream_may_begin_at_the_timestamp_0() {
        let mut stream = SampleStream::new();
        stream.timestamp = 0;
        stream.frame(P, 100, 30);
        assert_eq!(stream.meter.frames(), 1);
    }

    #[test]
    fn late_and_doubled_packets_are_no_frames() {
        let mut stream = SampleStream::new();
        let mut sent = Vec::new();
        for number in 0..300 {
            let unit = if number % 60 == 0 { KEY } else { P };
            sent.push(stream.rtp(unit, 100));
            stream.frame(unit, 100, 30);
            // Send again the packet before and the latest key frame.
            for again in [number.max(1) - 1, number - number % 60] {
                stream.meter.packet(&sent[again as usize], stream.now);
            }
        }
        assert_eq!(stream.meter.frames(), 300);
        assert_eq!(stream.meter.key_frames(), 5);
        assert_eq!(stream.meter.packets(), 900);
    }

    #[test]
    fn key_frame_whose_first_packet_is_late() {
        let mut stream = SampleStream::new();
        let first = stream.rtp(&[0x7c, 0x85, 0x88], 100);
        stream.sequence = stream.sequence.wrapping_add(1);
        stream.send(&[0x7c, 0x45], 100);
        assert_eq!(stream.meter.key_frames(), 0);
        stream.meter.packet(&first, stream.now);
        assert_eq!((stream.meter.frames(), stream.meter.key_frames()), (1, 1));
    }

    #[test]
    fn stream_that_begins_anew() {
        let mut stream = SampleStream::new();
        stream.run(1, 30, 30, 100);
        // Another source, with its own sequence numbers.
        stream.ssrc = 8;
        stream.sequence = stream.sequence.wrapping_sub(5);
        stream.run(1, 30, 30, 100);
        // The same source, after a jump far back.
        stream.sequence = stream.sequence.wrapping_sub(5000);
        stream.run(1, 30, 30, 100);
        assert_eq!(stream.meter.frames(), 90);
        assert_eq!(stream.meter.key_frames(), 3);
    }

    /// xorshift, to get the same garbage each time.
    fn random(state: &mut u64) -> u8 {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        state.to_le_bytes()[3]
    }

    #[test]
    fn garbage_of_all_lengths_does_no_harm() {
        let (mut video, mut audio) = (VideoMeter::default(), AudioMeter::default());
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
                video.steady_bit_rate();
                video.key_frame_distance();
                audio.steady_bit_rate();
            }
        }
        assert!(video.packets() > 0 && video.packets() == audio.packets());
    }

    #[test]
    #[ignore = "a measurement: cargo test --release -- --ignored --nocapture"]
    #[allow(clippy::print_stdout)]
    fn cost_of_a_packet() {
        let mut stream = SampleStream::new();
        let middle = stream.rtp(&[0x5c, 0x01], 1200);
        let start = stream.rtp(&[0x5c, 0x81, 0x9a], 1200);
        let sps = stream.rtp(&samples::bytes(samples::HIGH), 0);
        let rounds = 5_000_000u32;
        let (mut video, mut audio) = (VideoMeter::default(), AudioMeter::default());
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
