//! A pad's packets on their way through the pacer, which has a thread of its own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::media::bandwidth::{Pacer, PacerDelay, WIRE_OVERHEAD};

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
        self.change(|pacer, now| {
            for packet in packets {
                let size = packet.size() + WIRE_OVERHEAD;
                pacer.push(Paced::Packet(packet), size, now);
            }
        });
    }

    pub(super) fn push_event(&self, event: gst::Event) {
        self.change(|pacer, now| pacer.push(Paced::Event(event), 0, now));
    }

    /// Sets the pace, in bit/s.
    pub(super) fn set_pace(&self, pace: Option<u64>) {
        self.change(|pacer, _| pacer.set_pace(pace));
    }

    /// See [`Pacer::set_longest_queue`].
    pub(super) fn set_longest_queue(&self, longest: Option<Duration>) {
        self.change(|pacer, _| pacer.set_longest_queue(longest));
    }

    /// Wakes the thread only where something is due earlier than it knows.
    fn change(&self, change: impl FnOnce(&mut Pacer<Paced>, Duration)) {
        let now = self.origin.elapsed();
        let mut queue = self.lock();
        let before = queue.pacer.next_due(now);
        change(&mut queue.pacer, now);
        let due = queue.pacer.next_due(now);
        if due.is_some_and(|due| before.is_none_or(|before| due < before)) {
            self.changed.notify_one();
        }
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

    /// Drops the packets that wait. Events leave at once: the pad needs its segment in the
    /// next session too.
    pub(super) fn clear(&self) {
        let now = self.origin.elapsed();
        let mut queue = self.lock();
        queue.pacer.set_pace(None);
        let waiting: Vec<Paced> = std::iter::from_fn(|| queue.pacer.pop(now)).collect();
        queue.pacer.clear();
        for paced in waiting {
            if let Paced::Event(_) = paced {
                queue.pacer.push(paced, 0, now);
            }
        }
        self.changed.notify_one();
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    /// A queue, and what leaves it.
    fn queue() -> (Arc<PacedQueue>, Receiver<Paced>) {
        gst::init().unwrap();
        let (sender, left) = channel();
        let queue = Arc::new(PacedQueue::new());
        let leave = move |paced| drop(sender.send(paced));
        queue.clone().run(leave).unwrap();
        (queue, left)
    }

    fn packets(count: usize) -> Vec<gst::Buffer> {
        let packet = gst::Buffer::from_slice([0; 962]);
        vec![packet; count]
    }

    #[test]
    fn packets_and_events_leave_in_order_and_at_a_pace() {
        let (queue, left) = queue();
        // 1000 bytes with their headers are 80 ms.
        queue.set_pace(Some(100_000));
        let before = Instant::now();
        queue.push(packets(2));
        queue.push_event(gst::event::Gap::builder(gst::ClockTime::ZERO).build());
        queue.push(packets(1));
        let kinds = (0..4).map(|_| matches!(left.recv_timeout(BOUND), Ok(Paced::Packet(_))));
        assert_eq!(kinds.collect::<Vec<_>>(), [true, true, false, true]);
        assert!(before.elapsed() >= Duration::from_millis(150));
        queue.end();
    }

    #[test]
    fn without_a_pace_all_leaves_at_once() {
        let (queue, left) = queue();
        queue.push(packets(50));
        for _ in 0..50 {
            left.recv_timeout(BOUND).unwrap();
        }
        assert_eq!(queue.delay().oldest, Duration::ZERO);
        queue.end();
    }

    #[test]
    fn a_cleared_queue_keeps_its_events() {
        let (queue, left) = queue();
        queue.set_pace(Some(1));
        queue.push(packets(2));
        left.recv_timeout(BOUND).unwrap();
        queue.push_event(gst::event::Gap::builder(gst::ClockTime::ZERO).build());
        queue.clear();
        assert!(matches!(left.recv_timeout(BOUND), Ok(Paced::Event(_))));
        queue.end();
        assert!(left.recv_timeout(BOUND).is_err(), "no packet follows");
    }

    #[test]
    fn the_end_drops_what_waits_and_ends_the_thread() {
        let (queue, left) = queue();
        queue.set_pace(Some(1));
        queue.push(packets(10));
        left.recv_timeout(BOUND).unwrap();
        queue.end();
        // The thread has dropped the sender.
        while left.recv_timeout(BOUND).is_ok() {}
        assert_eq!(
            left.recv_timeout(BOUND).err(),
            Some(std::sync::mpsc::RecvTimeoutError::Disconnected)
        );
        assert_eq!(queue.delay().oldest, Duration::ZERO);
    }
}
