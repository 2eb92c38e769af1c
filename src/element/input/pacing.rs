//! A pad's packets on their way through the pacer, which has a thread of its own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::media::bandwidth::{Pacer, PacerDelay};

/// What a packet has on the wire besides RTP, in bytes: IP, UDP and the tag of SRTP.
const HEADERS: usize = 38;

/// What waits for its time.
pub(super) enum Paced {
    Packet(gst::Buffer),
    /// Keeps its place among the packets.
    Event(gst::Event),
}

/// A queue whose thread hands out each packet at its time.
pub(super) struct PacedQueue {
    queue: Mutex<Queue>,
    changed: Condvar,
    origin: Instant,
}

struct Queue {
    pacer: Pacer<Paced>,
    is_over: bool,
}

impl PacedQueue {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                pacer: Pacer::default(),
                is_over: false,
            }),
            changed: Condvar::new(),
            origin: Instant::now(),
        }
    }

    /// Runs on a thread until [`Self::end`]: gives each packet to `leave` at its time.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn run(
        self: Arc<Self>,
        leave: impl Fn(Paced) + Send + 'static,
    ) -> std::io::Result<()> {
        let run = move || {
            while let Some(paced) = self.next() {
                leave(paced);
            }
        };
        let name = "ivswhipsink:rtp".to_owned();
        thread::Builder::new().name(name).spawn(run).map(drop)
    }

    pub(super) fn push(&self, packets: Vec<gst::Buffer>) {
        let now = self.origin.elapsed();
        let mut queue = self.lock();
        for packet in packets {
            let size = packet.size() + HEADERS;
            queue.pacer.push(Paced::Packet(packet), size, now);
        }
        self.changed.notify_one();
    }

    pub(super) fn push_event(&self, event: gst::Event) {
        let now = self.origin.elapsed();
        self.lock().pacer.push(Paced::Event(event), 0, now);
        self.changed.notify_one();
    }

    /// Sets the pace, in bit/s.
    pub(super) fn set_pace(&self, pace: Option<u64>) {
        self.lock().pacer.set_pace(pace);
        self.changed.notify_one();
    }

    /// Bytes leave past the queue.
    pub(super) fn leaves_past(&self, size: usize) {
        let now = self.origin.elapsed();
        self.lock().pacer.sent(size, now);
    }

    pub(super) fn delay(&self) -> PacerDelay {
        let now = self.origin.elapsed();
        self.lock().pacer.delay(now)
    }

    /// Drops all that waits.
    pub(super) fn clear(&self) {
        self.lock().pacer.clear();
    }

    /// Drops all that waits, and ends the thread.
    pub(super) fn end(&self) {
        let mut queue = self.lock();
        queue.pacer.clear();
        queue.is_over = true;
        self.changed.notify_one();
    }

    /// Waits until something is due. `None` at the end.
    fn next(&self) -> Option<Paced> {
        let mut queue = self.lock();
        loop {
            if queue.is_over {
                return None;
            }
            let now = self.origin.elapsed();
            if let Some(paced) = queue.pacer.pop(now) {
                return Some(paced);
            }
            let due = queue.pacer.next_due(now);
            let wait = due.map(|due| due.saturating_sub(now).max(Duration::from_micros(100)));
            queue = match wait {
                Some(wait) => {
                    let waited = self.changed.wait_timeout(queue, wait);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => {
                    let waited = self.changed.wait(queue);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
            };
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
