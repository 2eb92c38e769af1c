//! The publisher: encoder, pacer, retransmissions, and the estimate that steers them.

use std::time::Duration;

use super::super::*;
use super::far_end::{Frame, Message};
use super::network::{HEADERS, Media, Packet};
use super::random::Random;

/// Opus at 80 kbit/s: bytes of a packet with RTP and SRTP, and the µs between two.
const AUDIO: (u64, i64) = (218, 20_000);
/// What audio takes with all headers, in bit/s.
pub(super) const AUDIO_RATE: u64 = (AUDIO.0 + HEADERS) * 8 * 50;
/// The largest video packet, in bytes.
const LARGEST: u64 = 1_210;
const FRAMES_A_SECOND: u64 = 30;
const KEY_FRAME_INTERVAL: usize = 60;
/// The encoder follows a new bit rate with this time constant, in seconds.
const ENCODER_LAG: f64 = 0.2;
/// A stream that follows no target has so many bit/s.
const STREAM: u64 = LIMITS.max_video;
const STEER_INTERVAL: i64 = 25_000;

pub(super) const LIMITS: Limits = Limits {
    min_video: 150_000,
    start_video: 1_000_000,
    max_video: 2_500_000,
    max_repaired_video: 8_000_000,
    max_total: 8_500_000,
};

/// What steers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// `congestion-control=none`: nothing.
    None,
    /// The estimate, obeyed by an encoder to which changes cost so much.
    Estimate(TransportWide, ChangeCost),
    /// The estimate, obeyed by nobody: frames are left out.
    Thinning(TransportWide),
}

#[derive(Debug)]
struct VideoPacket {
    number: usize,
    frame: u32,
    size: u64,
}

pub(super) struct Publisher {
    estimator: Option<SendSideEstimator>,
    pacer: Pacer<VideoPacket>,
    budget: RetransmissionBudget,
    steps: EncoderSteps,
    limits: Limits,
    thins: bool,
    pass_through: PassThrough,
    thinning: Thinning,
    retransmitted: SentRate,
    random: Random,
    /// A still picture: from, to.
    still: Option<(i64, i64)>,
    /// A key frame is as large as so many others.
    key_frame: f64,
    encoder: f64,
    frame_due: i64,
    audio_due: i64,
    steer_due: i64,
    video_sizes: Vec<u64>,
    sent: Vec<(u64, i64)>,
    out: Vec<Packet>,
    pub(super) frames: Vec<Frame>,
    /// The bit rates that the encoder was set to, in bit/s, each with its time.
    pub(super) changes: Vec<(i64, u64)>,
}

impl Publisher {
    pub(super) fn new(
        control: Control,
        still: Option<(i64, i64)>,
        key_frame: f64,
        max_video: u64,
        round_trip: i64,
        seed: u64,
    ) -> Self {
        let limits = match control {
            Control::Thinning(_) => Limits {
                start_video: STREAM / 10 * 13,
                max_video: 8_000_000,
                ..LIMITS
            },
            _ => Limits {
                max_video,
                ..LIMITS
            },
        };
        let range = limits.range(AUDIO_RATE);
        let (estimator, cost, start) = match control {
            Control::None => (None, ChangeCost::Free, max_video),
            Control::Estimate(transport_wide, cost) => {
                let estimator = SendSideEstimator::new(range, transport_wide);
                (Some(estimator), cost, LIMITS.start_video)
            }
            Control::Thinning(transport_wide) => {
                let estimator = SendSideEstimator::new(range, transport_wide);
                (Some(estimator), ChangeCost::Free, limits.start_video)
            }
        };
        let mut budget = RetransmissionBudget::default();
        budget.set_round_trip(duration(round_trip));
        Self {
            estimator,
            pacer: Pacer::default(),
            budget,
            steps: EncoderSteps::new(cost, start, limits.max_video),
            limits,
            thins: matches!(control, Control::Thinning(_)),
            pass_through: PassThrough::default(),
            thinning: Thinning::default(),
            retransmitted: SentRate::default(),
            random: Random::new(seed),
            still,
            key_frame,
            encoder: start.min(STREAM) as f64,
            frame_due: 0,
            audio_due: 0,
            steer_due: 0,
            video_sizes: Vec::new(),
            sent: Vec::new(),
            out: Vec::new(),
            frames: Vec::new(),
            changes: vec![(0, start)],
        }
    }

    /// What leaves at `now`, in µs.
    pub(super) fn step(&mut self, now: i64) -> Vec<Packet> {
        if now >= self.steer_due {
            self.steer_due += STEER_INTERVAL;
            self.steer(now);
        }
        if let Some(estimator) = &self.estimator {
            self.pacer.set_pace(estimator.pace());
        }
        while self.audio_due <= now {
            self.audio_due += AUDIO.1;
            self.send(Media::Audio, AUDIO.0, None, now);
            self.pacer.sent(on_the_wire(AUDIO.0), duration(now));
        }
        while self.frame_due <= now {
            self.frame_due += (1_000_000 / FRAMES_A_SECOND) as i64;
            self.encode(now);
        }
        while let Some(packet) = self.pacer.pop(duration(now)) {
            let size = on_the_wire(packet.size);
            self.budget.sent(packet.number as u16, size, duration(now));
            let media = Media::Video {
                number: packet.number,
                again: false,
            };
            self.send(media, packet.size, Some(packet.frame), now);
        }
        std::mem::take(&mut self.out)
    }

    pub(super) fn receive(&mut self, message: Message, now: i64) {
        match message {
            Message::Nack(numbers) => self.retransmit(&numbers, now),
            Message::TransportWide(packets) => {
                let packets: Vec<_> = packets.iter().map(|it| self.feedback(*it)).collect();
                if let Some(estimator) = &mut self.estimator {
                    estimator.feedback(&packets, duration(now));
                }
            }
            Message::Receiver(fraction_lost, round_trip) => {
                let round_trip = Some(duration(round_trip));
                let report = ReceiverReport {
                    fraction_lost,
                    round_trip,
                };
                if let Some(estimator) = &mut self.estimator {
                    estimator.receiver_report(report, duration(now));
                }
            }
        }
    }

    fn feedback(&self, (sequence, received_at): (usize, Option<i64>)) -> PacketResult<()> {
        let (size, sent_at) = self.sent[sequence];
        PacketResult {
            sequence: sequence as u64,
            size: size as usize,
            kind: PacketKind::Video,
            probe: None,
            sent_at: duration(sent_at),
            received_at: received_at.map(duration),
        }
    }

    fn retransmit(&mut self, numbers: &[usize], now: i64) {
        for number in numbers {
            if self.budget.allows(*number as u16, duration(now)) {
                let media = Media::Video {
                    number: *number,
                    again: true,
                };
                let size = self.video_sizes[*number];
                self.send(media, size, None, now);
                self.retransmitted.add(size as usize, duration(now));
                self.pacer.sent(on_the_wire(size), duration(now));
            }
        }
    }

    fn steer(&mut self, now: i64) {
        let now_us = now;
        let now = duration(now);
        let Some(estimator) = &mut self.estimator else {
            return;
        };
        estimator.tick(now);
        let target = estimator.target();
        self.budget.set_rate(target);
        let Some(target) = target else {
            return;
        };
        let retransmitted = self.retransmitted.bit_rate(now);
        let allocation = Allocation::of(target, AUDIO_RATE, retransmitted, &self.limits);
        let status = NetworkStatus {
            estimate: Some(target),
            queue_delay: estimator.queue_delay(),
            feedback: estimator.kind(),
            loses: estimator.loses(),
            queue_is_full: estimator.queue_is_full(),
            is_wide: estimator.is_wide(),
        };
        let longest_queue = self.pass_through.longest_queue();
        self.pacer
            .set_longest_queue(longest_queue.or(status.longest_queue()));
        self.pacer.set_burst(status.burst());
        let granted = allocation.encoder;
        if !self.thins {
            self.thinning.set_target(status.thins_encoder_to(granted));
        } else {
            let thinned = self.pass_through.thin(status, granted, Some(STREAM), now);
            self.thinning.set_target(thinned);
            estimator.set_demand(Some(Demand {
                bit_rate: self.limits.demand(STREAM, AUDIO_RATE),
                is_thinned: thinned.is_some(),
            }));
        }
        if let Some(bit_rate) = self.steps.step(allocation.encoder, now) {
            self.changes.push((now_us, bit_rate));
        }
    }

    fn encode(&mut self, now: i64) {
        let frames = FRAMES_A_SECOND as f64;
        let set = match self.thins {
            true => STREAM as f64,
            false => self.steps.current() as f64,
        };
        self.encoder += (set - self.encoder) * (1.0 - (-1.0 / frames / ENCODER_LAG).exp());
        let key = self.frames.len().is_multiple_of(KEY_FRAME_INTERVAL);
        let others = KEY_FRAME_INTERVAL as f64 - 1.0 + self.key_frame;
        let other = self.encoder / 8.0 / frames * KEY_FRAME_INTERVAL as f64 / others;
        let noise = self.random.between(0.74, 1.26);
        let still = self
            .still
            .is_some_and(|(from, to)| (from..to).contains(&now));
        let motion = if still { 0.05 } else { 1.0 };
        let size = other * noise * motion * if key { self.key_frame } else { 1.0 };
        self.packetize(size.max(100.0) as u64, key, now);
    }

    fn packetize(&mut self, size: u64, key: bool, now: i64) {
        let packets = size.div_ceil(LARGEST);
        let kind = if key {
            FrameKind::Key
        } else {
            FrameKind::Reference
        };
        let sizes = (0..packets).map(|n| (n, size * (n + 1) / packets - size * n / packets));
        let passes = sizes.filter(|(n, size)| {
            let begins = (*n == 0).then_some(kind);
            self.thinning.passes(begins, *size as usize, duration(now))
        });
        if passes.count() == 0 {
            // Packets that never come.
            let first = usize::MAX / 2;
            let packets = packets as usize;
            self.frames.push(Frame {
                first,
                packets,
                key,
            });
            return;
        }
        let first = self.video_sizes.len();
        let frame = self.frames.len() as u32 * 3_000;
        for n in 0..packets {
            let number = self.video_sizes.len();
            let size = size * (n + 1) / packets - size * n / packets;
            self.video_sizes.push(size);
            let packet = VideoPacket {
                number,
                frame,
                size,
            };
            self.pacer.push(packet, on_the_wire(size), duration(now));
        }
        self.frames.push(Frame {
            first,
            packets: packets as usize,
            key,
        });
    }

    fn send(&mut self, media: Media, size: u64, frame: Option<u32>, now: i64) {
        let sequence = self.sent.len();
        self.sent.push((size, now));
        self.out.push(Packet {
            sequence,
            media,
            size,
            sent_at: now,
        });
        if let Some(estimator) = &mut self.estimator {
            estimator.sent(SentPacket {
                sequence: sequence as u64,
                size: size as usize,
                sent_at: duration(now),
                frame,
            });
        }
    }
}

fn on_the_wire(size: u64) -> usize {
    (size + HEADERS) as usize
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}
