//! The values of this module together, on a wire that is too narrow for the video.

use std::time::Duration;

use super::{FrameKind, Pacer, RetransmissionBudget, Thinning};

/// 1 Mbit/s with a queue of 200 ms.
const WIRE: usize = 1_000_000;
const QUEUE: usize = WIRE / 8 / 5;

/// What an estimator finds on this wire, and what is left of it for video after audio and
/// retransmissions.
const TARGET: u64 = 850_000;
const VIDEO_TARGET: u64 = 600_000;

const PACKET: usize = 1200;
const AUDIO_PACKET: usize = 218;

/// Which packets the far end asks for, five times each.
#[derive(Clone, Copy, PartialEq)]
enum Asks {
    ForLost,
    ForAll,
}

#[derive(Clone, Copy, Default)]
struct VideoPacket {
    sequence: u16,
    frame: usize,
}

/// A publisher, the wire and the far end, a millisecond at a time.
struct Session {
    asks: Asks,
    thinning: Thinning,
    pacer: Pacer<VideoPacket>,
    budget: RetransmissionBudget,
    sequence: u16,
    queue: usize,
    /// When the far end asks, and for which packet.
    requests: Vec<(usize, VideoPacket)>,
    /// Bytes sent in each millisecond.
    sent: Vec<usize>,
    /// Audio packets that were sent, and that arrived.
    audio: (usize, usize),
    /// For each frame, the packets that passed thinning and those that arrived.
    frames: Vec<(usize, Vec<u16>)>,
    longest_delay: Duration,
}

impl Session {
    fn new(asks: Asks) -> Self {
        let mut session = Self {
            asks,
            thinning: Thinning::default(),
            pacer: Pacer::default(),
            budget: RetransmissionBudget::default(),
            sequence: 0,
            queue: 0,
            requests: Vec::new(),
            sent: Vec::new(),
            audio: (0, 0),
            frames: Vec::new(),
            longest_delay: Duration::ZERO,
        };
        session.thinning.set_target(Some(VIDEO_TARGET));
        // As `PassThrough` has it.
        session.pacer.set_pace(Some(TARGET));
        session
            .pacer
            .set_longest_queue(Some(Duration::from_secs(5)));
        session.budget.set_rate(Some(TARGET));
        session.budget.set_round_trip(Duration::from_millis(50));
        session
    }

    fn run(mut self, seconds: usize) -> Self {
        for ms in 0..seconds * 1000 {
            let now = Duration::from_millis(ms as u64);
            self.queue = self.queue.saturating_sub(WIRE / 8 / 1000);
            self.sent.push(0);
            if ms.is_multiple_of(20) {
                self.pacer.sent(AUDIO_PACKET, now);
                self.audio.0 += 1;
                self.audio.1 += usize::from(self.wire(AUDIO_PACKET));
            }
            self.answer(ms, now);
            if ms * 30 / 1000 >= self.frames.len() {
                self.frame(now);
            }
            self.longest_delay = self.longest_delay.max(self.pacer.delay(now).oldest);
            while let Some(packet) = self.pacer.pop(now) {
                self.budget.sent(packet.sequence, PACKET, now);
                let arrives = self.video(packet);
                if !arrives || self.asks == Asks::ForAll {
                    let times = (0..5).map(|time| (ms + 60 + 33 * time, packet));
                    self.requests.extend(times);
                }
            }
        }
        self
    }

    /// A frame of a stream of 2.5 Mbit/s, with a key frame each two seconds.
    fn frame(&mut self, now: Duration) {
        let number = self.frames.len();
        let (kind, packets) = match number % 60 {
            0 => (FrameKind::Key, 40),
            _ => (FrameKind::Reference, 8),
        };
        self.frames.push((0, Vec::new()));
        for packet in 0..packets {
            self.sequence = self.sequence.wrapping_add(1);
            let begins = (packet == 0).then_some(kind);
            if self.thinning.passes(begins, PACKET, now) {
                let (sequence, frame) = (self.sequence, number);
                self.pacer
                    .push(VideoPacket { sequence, frame }, PACKET, now);
                self.frames[number].0 += 1;
            }
        }
    }

    fn answer(&mut self, ms: usize, now: Duration) {
        let requests = std::mem::take(&mut self.requests).into_iter();
        let (due, later): (Vec<_>, _) = requests.partition(|request| request.0 <= ms);
        self.requests = later;
        for (_, packet) in due {
            let arrived = self.frames[packet.frame].1.contains(&packet.sequence);
            let wanted = self.asks == Asks::ForAll || !arrived;
            if wanted && self.budget.allows(packet.sequence, now) {
                self.pacer.sent(PACKET, now);
                self.video(packet);
            }
        }
    }

    fn video(&mut self, packet: VideoPacket) -> bool {
        let arrives = self.wire(PACKET);
        let arrived = &mut self.frames[packet.frame].1;
        if arrives && !arrived.contains(&packet.sequence) {
            arrived.push(packet.sequence);
        }
        arrives
    }

    /// Whether the packet finds room in the queue.
    fn wire(&mut self, size: usize) -> bool {
        if let Some(sent) = self.sent.last_mut() {
            *sent += size;
        }
        let fits = self.queue + size <= QUEUE;
        self.queue += if fits { size } else { 0 };
        fits
    }

    /// The most bits sent in two seconds, after the first three.
    fn most_in_two_seconds(&self) -> usize {
        let spans = self.sent[3000..].windows(2000);
        spans
            .map(|span| span.iter().sum::<usize>() * 8)
            .max()
            .unwrap_or(0)
    }
}

#[test]
fn audio_and_every_frame_that_passes_arrive() {
    let session = Session::new(Asks::ForLost).run(30);
    assert_eq!(session.audio.0, session.audio.1);
    assert!(session.frames.iter().step_by(60).all(|frame| frame.0 > 0));
    let mut frames = session.frames.iter();
    assert!(frames.all(|(passed, arrived)| arrived.len() == *passed));
    assert!(session.longest_delay <= Duration::from_millis(1300));
}

#[test]
fn the_picture_gets_most_of_its_share_and_leaves_evenly() {
    let session = Session::new(Asks::ForLost).run(30);
    let packets: usize = session.frames.iter().map(|frame| frame.0).sum();
    let used = packets * PACKET * 8 / 30;
    assert!(used as u64 * 10 >= VIDEO_TARGET * 7, "{used}");
    // In no 200 ms does the wire's queue grow by more than 20 ms.
    let spans = session.sent.windows(200);
    let most = spans.map(|span| span.iter().sum::<usize>() * 8).max();
    assert!(most <= Some(WIRE * 22 / 100), "{most:?}");
}

#[test]
fn a_far_end_that_asks_for_everything_does_not_flood_the_wire() {
    let session = Session::new(Asks::ForAll).run(30);
    assert!(session.most_in_two_seconds() <= 2 * WIRE * 12 / 10);
    assert!(session.audio.1 * 100 >= session.audio.0 * 99);
    assert!(session.budget.refused().packets > 1000);
}
