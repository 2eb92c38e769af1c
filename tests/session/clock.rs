//! A runtime whose clock moves only when a test moves it.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::yield_now;

/// How often to yield to the other tasks before they count as idle.
const TURNS: usize = 16;

/// Timers fire at whole milliseconds, so up to one later than they were set for.
const TICK: Duration = Duration::from_millis(1);

/// A paused clock, with its own thread for the tasks that use it.
pub(crate) struct Clock {
    handle: Handle,
    orders: Option<UnboundedSender<(Duration, Sender<()>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    pub(crate) fn paused() -> Self {
        let (orders, mut ordered) = unbounded_channel::<(Duration, Sender<()>)>();
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let handle = runtime.handle().clone();
        let run = move || {
            runtime.block_on(async {
                // While a blocking task runs, tokio does not move the time by itself
                // when the runtime only waits for the network.
                let (hold, held) = channel::<()>();
                let holding = tokio::task::spawn_blocking(move || held.recv());
                while let Some((by, done)) = ordered.recv().await {
                    settle().await;
                    tokio::time::advance(by + TICK).await;
                    settle().await;
                    let _ = done.send(());
                }
                drop(hold);
                let _ = holding.await;
            });
        };
        Self {
            handle,
            orders: Some(orders),
            thread: Some(std::thread::spawn(run)),
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Moves the clock, and returns when everything due has run.
    pub(crate) fn advance(&self, by: Duration) {
        let (done, wait) = channel();
        self.orders.as_ref().unwrap().send((by, done)).unwrap();
        wait.recv().unwrap();
    }
}

/// Lets every task run as far as it can without the network.
async fn settle() {
    for _ in 0..TURNS {
        yield_now().await;
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.orders = None;
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}
