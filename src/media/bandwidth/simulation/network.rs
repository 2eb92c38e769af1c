//! The way to the far end: one bottleneck with a queue, and what happens behind it.

use std::collections::VecDeque;

use super::random::Random;

/// IP and UDP headers, in bytes.
pub(super) const HEADERS: u64 = 28;
/// Size of a foreign stream's packets, in bytes.
const FOREIGN: u64 = 1_200;

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    Audio,
    /// A video packet's number, counted from 0. The same again if it is retransmitted.
    Video {
        number: usize,
        again: bool,
    },
    /// Another stream through the same bottleneck.
    Foreign,
    /// One that is sent by what arrives of it.
    Rival,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Packet {
    /// The transport-wide number.
    pub(super) sequence: usize,
    pub(super) media: Media,
    /// Without IP and UDP headers, in bytes.
    pub(super) size: u64,
    pub(super) sent_at: i64,
}

/// How the way is. All times in µs.
#[derive(Clone, Debug)]
pub(super) struct Conditions {
    /// Rates of the bottleneck in bit/s, each from a time on.
    pub(super) rates: Vec<(i64, u64)>,
    /// The longest queue. 0: what exceeds the token bucket is dropped.
    pub(super) queue: i64,
    /// Bytes that may pass at once after a pause.
    pub(super) burst: u64,
    /// Without queues, both ways together.
    pub(super) round_trip: i64,
    pub(super) jitter: i64,
    /// A busy machine: how often, and for how long at most, nothing gets on.
    pub(super) stalls: Option<(i64, i64)>,
    pub(super) loss: f64,
    /// How many packets in a row are lost at a time.
    pub(super) loss_run: u32,
    pub(super) feedback_loss: f64,
    /// A foreign stream: from, to, bit/s.
    pub(super) foreign: Option<(i64, i64, u64)>,
    /// A foreign stream that takes what it gets, as a download over TCP does: from, to.
    pub(super) rival: Option<(i64, i64)>,
    /// A longer way: from, to, by how much.
    pub(super) detour: Option<(i64, i64, i64)>,
    /// Drift of the far end's clock in millionths.
    pub(super) drift: i64,
}

impl Conditions {
    /// A bottleneck of one rate with a queue of 200 ms and a round trip of 50 ms.
    pub(super) fn of(rate: u64) -> Self {
        Self {
            rates: vec![(0, rate)],
            queue: 200_000,
            burst: 0,
            round_trip: 50_000,
            jitter: 0,
            stalls: None,
            loss: 0.0,
            loss_run: 1,
            feedback_loss: 0.0,
            foreign: None,
            rival: None,
            detour: None,
            drift: 0,
        }
    }

    pub(super) fn rate(&self, at: i64) -> u64 {
        let passed = self.rates.iter().rev().find(|(from, _)| *from <= at);
        passed.map_or(0, |(_, rate)| *rate)
    }

    fn detour(&self, at: i64) -> i64 {
        let detour = self
            .detour
            .filter(|(from, to, _)| (*from..*to).contains(&at));
        detour.map_or(0, |(_, _, longer)| longer)
    }
}

/// The other end of a stream that has so many packets under way: one more for each
/// round trip without loss, half of them after a loss (RFC 5681 3.1, without slow start).
#[derive(Debug)]
struct Rival {
    window: f64,
    in_flight: u32,
    /// When it learns what became of a packet.
    fates: VecDeque<(i64, Fate)>,
    halved: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Arrived,
    Lost,
}

impl Default for Rival {
    fn default() -> Self {
        Self {
            window: 4.0,
            in_flight: 0,
            fates: VecDeque::new(),
            halved: i64::MIN / 2,
        }
    }
}

impl Rival {
    fn told(&mut self, at: i64, fate: Fate) {
        let place = self.fates.partition_point(|(other, _)| *other <= at);
        self.fates.insert(place, (at, fate));
    }

    /// How many packets may be sent.
    fn step(&mut self, now: i64, round_trip: i64) -> u32 {
        while let Some((_, fate)) = self.fates.pop_front_if(|(at, _)| *at <= now) {
            self.in_flight -= 1;
            match fate {
                Fate::Arrived => self.window += 1.0 / self.window,
                Fate::Lost if now - self.halved > round_trip => {
                    self.window = (self.window / 2.0).max(1.0);
                    self.halved = now;
                }
                Fate::Lost => {}
            }
        }
        (self.window as u32).saturating_sub(self.in_flight)
    }
}

/// A packet that has arrived, and the time it spent in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    pub(super) packet: Packet,
    pub(super) at: i64,
    pub(super) queued: i64,
}

/// The way in one direction. Feedback comes back over a way that is never full.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) conditions: Conditions,
    random: Random,
    now: i64,
    queue: VecDeque<Packet>,
    queued_bits: f64,
    /// Bits that may pass at once.
    tokens: f64,
    run: u32,
    latest_arrival: i64,
    foreign_due: i64,
    rival: Rival,
    under_way: VecDeque<Arrival>,
    /// Packets dropped or lost, told once.
    lost: Vec<Packet>,
}

impl Network {
    pub(super) fn new(conditions: Conditions, seed: u64) -> Self {
        let foreign_due = conditions.foreign.map_or(i64::MAX, |(from, ..)| from);
        Self {
            tokens: conditions.burst as f64 * 8.0,
            conditions,
            random: Random::new(seed),
            now: 0,
            queue: VecDeque::new(),
            queued_bits: 0.0,
            run: 0,
            latest_arrival: 0,
            foreign_due,
            rival: Rival::default(),
            under_way: VecDeque::new(),
            lost: Vec::new(),
        }
    }

    pub(super) fn send(&mut self, packet: Packet) {
        let bits = bits(&packet);
        let rate = self.conditions.rate(packet.sent_at) as f64;
        let wait = (self.queued_bits + bits - self.tokens).max(0.0) * 1e6 / rate.max(1.0);
        if wait > self.conditions.queue as f64 {
            if packet.media == Media::Rival {
                let longest = self.conditions.queue + self.conditions.round_trip;
                self.rival.told(packet.sent_at + longest, Fate::Lost);
            }
            self.lost.push(packet);
            return;
        }
        self.queued_bits += bits;
        self.queue.push_back(packet);
    }

    /// Moves on to `now`. What arrived until then, and what was lost.
    pub(super) fn advance(&mut self, now: i64) -> (Vec<Arrival>, Vec<Packet>) {
        self.send_foreign(now);
        self.send_rival(now);
        self.serve(now);
        let mut arrived = Vec::new();
        while let Some(arrival) = self.under_way.front().filter(|it| it.at <= now) {
            arrived.push(*arrival);
            self.under_way.pop_front();
        }
        (arrived, std::mem::take(&mut self.lost))
    }

    fn send_foreign(&mut self, now: i64) {
        let Some((_, to, rate)) = self.conditions.foreign else {
            return;
        };
        while self.foreign_due <= now && self.foreign_due < to {
            let packet = Packet {
                sequence: 0,
                media: Media::Foreign,
                size: FOREIGN - HEADERS,
                sent_at: self.foreign_due,
            };
            self.send(packet);
            self.foreign_due += (FOREIGN * 8 * 1_000_000 / rate) as i64;
        }
    }

    fn send_rival(&mut self, now: i64) {
        let Some((from, to)) = self.conditions.rival else {
            return;
        };
        let count = self.rival.step(now, self.conditions.round_trip);
        if (from..to).contains(&now) {
            for _ in 0..count {
                self.rival.in_flight += 1;
                self.send(Packet {
                    sequence: 0,
                    media: Media::Rival,
                    size: FOREIGN - HEADERS,
                    sent_at: now,
                });
            }
        }
    }

    fn serve(&mut self, now: i64) {
        let rate = self.conditions.rate(self.now) as f64 / 1e6;
        let burst = self.conditions.burst as f64 * 8.0;
        let mut time = self.now;
        while let Some(packet) = self.queue.front().copied() {
            let idle = (packet.sent_at - time).max(0);
            self.tokens = (self.tokens + idle as f64 * rate).min(burst.max(self.tokens));
            time = time.max(packet.sent_at);
            let bits = bits(&packet);
            let wait = ((bits - self.tokens).max(0.0) / rate.max(1e-9)) as i64;
            if time + wait > now {
                break;
            }
            time += wait;
            self.tokens = (self.tokens + wait as f64 * rate - bits).max(0.0);
            self.queued_bits -= bits;
            self.queue.pop_front();
            self.pass(packet, time);
        }
        let left = (now - time).max(0) as f64 * rate;
        let full = if self.queue.is_empty() {
            burst
        } else {
            f64::MAX
        };
        self.tokens = (self.tokens + left).min(full.max(self.tokens));
        self.now = now;
    }

    /// The time at which a packet gets on that comes at `time`. The lengths of the stalls
    /// are unequal, but known.
    fn after_stall(&self, time: i64) -> i64 {
        let Some((every, longest)) = self.conditions.stalls else {
            return time;
        };
        let number = time / every;
        let length = longest * (number * 7 % 10 + 1) / 10;
        time.max(number * every + length)
    }

    /// A packet leaves the bottleneck.
    fn pass(&mut self, packet: Packet, time: i64) {
        if packet.media == Media::Rival {
            let told = time + self.conditions.round_trip;
            self.rival.told(told, Fate::Arrived);
        }
        if matches!(packet.media, Media::Foreign | Media::Rival) {
            return;
        }
        let probability = self.conditions.loss / f64::from(self.conditions.loss_run);
        if self.run == 0 && self.random.happens(probability) {
            self.run = self.conditions.loss_run;
        }
        if self.run > 0 {
            self.run -= 1;
            self.lost.push(packet);
            return;
        }
        let jitter = self.random.between(0.0, self.conditions.jitter as f64) as i64;
        let way = self.conditions.round_trip / 2 + self.conditions.detour(time) + jitter;
        // No packet overtakes another.
        let at = self.after_stall(time + way).max(self.latest_arrival);
        self.latest_arrival = at;
        let queued = time - packet.sent_at;
        self.under_way.push_back(Arrival { packet, at, queued });
    }
}

fn bits(packet: &Packet) -> f64 {
    ((packet.size + HEADERS) * 8) as f64
}
