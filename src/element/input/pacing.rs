//! A pad's packets on their way through the pacer. What is due when it comes leaves on the
//! thread that brings it, the rest on one of the pacer's own.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::media::bandwidth::{Pacer, PacerDelay, WIRE_OVERHEAD};

/// What waits for its time.
pub(super) enum Paced {
    /// With the opening of the gate by which it leaves.
    Packet(gst::Buffer, u64),
    /// Keeps its place among the packets.
    Event(gst::Event),
}

/// How packets leave, see [`Pacer`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pacing {
    /// In bit/s.
    pub(crate) pace: Option<u64>,
    /// How long the queue may be. `None` is the usual length.
    pub(crate) longest_queue: Option<Duration>,
    /// What may leave at once after a pause, as time at the pace. `None` is the usual one.
    pub(crate) burst: Option<Duration>,
}

/// A queue that hands out each packet at its time.
pub(super) struct PacedQueue {
    queue: Mutex<Queue>,
    changed: Condvar,
    origin: Instant,
}

struct Queue {
    pacer: Pacer<Paced>,
    /// Whether something is leaving. Until it has left, nothing else may, so that the order
    /// stays.
    is_busy: bool,
    is_over: bool,
}

/// What leaves now. Nothing else does until it is dropped.
pub(super) struct Leaving {
    queue: Arc<PacedQueue>,
    paced: Vec<Paced>,
}

impl Leaving {
    /// What leaves, in order.
    pub(super) fn take(&mut self) -> Vec<Paced> {
        std::mem::take(&mut self.paced)
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        queue.is_busy = false;
        if !queue.pacer.is_empty() {
            self.queue.changed.notify_one();
        }
    }
}

impl PacedQueue {
    pub(super) fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                pacer: Pacer::default(),
                is_busy: false,
                is_over: false,
            }),
            changed: Condvar::new(),
            origin: Instant::now(),
        }
    }

    /// Runs on a thread until [`Self::end`]: gives to `leave` what is due later than it came.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub(super) fn run(
        self: Arc<Self>,
        leave: impl Fn(Leaving) + Send + 'static,
    ) -> std::io::Result<()> {
        let run = move || {
            while let Some(leaving) = self.next() {
                leave(leaving);
            }
        };
        let name = "ivswhipsink:rtp".to_owned();
        thread::Builder::new().name(name).spawn(run).map(drop)
    }

    /// Adds packets that leave by this opening of the gate. Returns what is due at once, which
    /// the caller lets leave: on another thread each packet costs more.
    pub(super) fn push(
        self: &Arc<Self>,
        packets: Vec<gst::Buffer>,
        opening: u64,
    ) -> Option<Leaving> {
        self.add(packets.into_iter().map(|packet| {
            let size = packet.size() + WIRE_OVERHEAD;
            (Paced::Packet(packet, opening), size)
        }))
    }

    /// Like [`Self::push`].
    pub(super) fn push_event(self: &Arc<Self>, event: gst::Event) -> Option<Leaving> {
        self.add(std::iter::once((Paced::Event(event), 0)))
    }

    fn add(self: &Arc<Self>, all: impl Iterator<Item = (Paced, usize)>) -> Option<Leaving> {
        let now = self.origin.elapsed();
        let mut queue = self.lock();
        if queue.is_over {
            return None;
        }
        let before = queue.pacer.next_due(now);
        for (paced, size) in all {
            queue.pacer.push(paced, size, now);
        }
        let leaving = self.due(&mut queue, now);
        // Once it has left, the thread looks by itself.
        if leaving.is_none() {
            self.wake_if_earlier(&queue, before, now);
        }
        leaving
    }

    /// What is due, if nothing is leaving.
    fn due(self: &Arc<Self>, queue: &mut Queue, now: Duration) -> Option<Leaving> {
        if queue.is_busy {
            return None;
        }
        let paced: Vec<Paced> = std::iter::from_fn(|| queue.pacer.pop(now)).collect();
        queue.is_busy = !paced.is_empty();
        queue.is_busy.then(|| Leaving {
            queue: self.clone(),
            paced,
        })
    }

    pub(super) fn set(&self, pacing: Pacing) {
        self.change(|pacer| {
            pacer.set_pace(pacing.pace);
            pacer.set_longest_queue(pacing.longest_queue);
            pacer.set_burst(pacing.burst);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Pacer<Paced>)) {
        let now = self.origin.elapsed();
        let mut queue = self.lock();
        let before = queue.pacer.next_due(now);
        change(&mut queue.pacer);
        self.wake_if_earlier(&queue, before, now);
    }

    /// Wakes the thread only where something is due earlier than it knows.
    fn wake_if_earlier(&self, queue: &Queue, before: Option<Duration>, now: Duration) {
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
    fn next(self: &Arc<Self>) -> Option<Leaving> {
        let mut queue = self.lock();
        loop {
            if queue.is_over {
                return None;
            }
            let now = self.origin.elapsed();
            if let Some(leaving) = self.due(&mut queue, now) {
                return Some(leaving);
            }
            let due = queue.pacer.next_due(now).filter(|_| !queue.is_busy);
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

    /// A queue, and what leaves it on its thread.
    fn queue() -> (Arc<PacedQueue>, Receiver<Paced>) {
        gst::init().unwrap();
        let (sender, left) = channel();
        let queue = Arc::new(PacedQueue::new());
        let leave = move |mut leaving: Leaving| {
            for paced in leaving.take() {
                let _ = sender.send(paced);
            }
        };
        queue.clone().run(leave).unwrap();
        (queue, left)
    }

    fn set_pace(queue: &PacedQueue, pace: u64) {
        // The usual longest queue would let all leave soon.
        queue.set(Pacing {
            pace: Some(pace),
            longest_queue: Some(BOUND),
            burst: None,
        });
    }

    /// How much of what is pushed leaves at once.
    fn push(queue: &Arc<PacedQueue>, count: usize) -> usize {
        let leaving = queue.push(packets(count), 1);
        leaving.map_or(0, |mut leaving| leaving.take().len())
    }

    fn gap() -> gst::Event {
        gst::event::Gap::builder(gst::ClockTime::ZERO).build()
    }

    fn packets(count: usize) -> Vec<gst::Buffer> {
        let packet = gst::Buffer::from_slice([0; 962]);
        vec![packet; count]
    }

    #[test]
    fn packets_and_events_leave_in_order_and_at_a_pace() {
        let (queue, left) = queue();
        // 1000 bytes with their headers are 400 ms.
        set_pace(&queue, 20_000);
        let before = Instant::now();
        assert_eq!(push(&queue, 2), 1);
        assert!(queue.push_event(gap()).is_none());
        assert_eq!(push(&queue, 1), 0);
        let kinds = (0..3).map(|_| matches!(left.recv_timeout(BOUND), Ok(Paced::Packet(..))));
        assert_eq!(kinds.collect::<Vec<_>>(), [true, false, true]);
        assert!(before.elapsed() >= Duration::from_millis(750));
        queue.end();
    }

    #[test]
    fn without_a_pace_all_leaves_at_once() {
        let (queue, left) = queue();
        assert_eq!(push(&queue, 50), 50);
        assert!(queue.push_event(gap()).is_some());
        assert_eq!(queue.delay().oldest, Duration::ZERO);
        queue.end();
        assert!(left.recv_timeout(BOUND).is_err());
    }

    #[test]
    fn what_is_due_while_something_leaves_follows_it() {
        let (queue, left) = queue();
        let leaving = queue.push(packets(1), 1);
        assert!(leaving.is_some());
        assert_eq!(push(&queue, 2), 0);
        let due = queue.due(&mut queue.lock(), queue.origin.elapsed());
        assert!(due.is_none());
        drop(leaving);
        for _ in 0..2 {
            left.recv_timeout(BOUND).unwrap();
        }
        queue.end();
    }

    #[test]
    fn nothing_leaves_behind_the_end() {
        let (queue, left) = queue();
        queue.end();
        assert!(queue.push(packets(1), 1).is_none());
        assert!(queue.push_event(gap()).is_none());
        assert!(left.recv_timeout(BOUND).is_err());
    }

    #[test]
    fn a_cleared_queue_keeps_its_events() {
        let (queue, left) = queue();
        set_pace(&queue, 1);
        assert_eq!(push(&queue, 2), 1);
        assert!(queue.push_event(gap()).is_none());
        queue.clear();
        assert!(matches!(left.recv_timeout(BOUND), Ok(Paced::Event(_))));
        queue.end();
        assert!(left.recv_timeout(BOUND).is_err(), "no packet follows");
    }

    #[test]
    fn the_end_drops_what_waits_and_ends_the_thread() {
        let (queue, left) = queue();
        set_pace(&queue, 1);
        assert_eq!(push(&queue, 10), 1);
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
