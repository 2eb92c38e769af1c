//! What stops a run before all checks are done.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::terminal::tell;

/// Why no further check is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C or another signal.
    Interrupted,
    /// The server asks for fewer requests. Holds its reply.
    Throttled(String),
    /// Another offer would fail as well. Holds the reason.
    Hopeless(String),
    /// `MAX_SESSIONS` offers were sent.
    SessionLimit,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("it was interrupted"),
            Self::Throttled(reply) => write!(f, "the server asked for fewer requests: {reply}"),
            Self::Hopeless(reason) => f.write_str(reason),
            Self::SessionLimit => f.write_str("it reached its limit of sessions"),
        }
    }
}

/// Whether a signal asked the run to stop.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    pub(crate) fn check(&self) -> Result<(), Stop> {
        let is_interrupted = *self.0.borrow();
        match is_interrupted {
            true => Err(Stop::Interrupted),
            false => Ok(()),
        }
    }

    /// Sleeps, and returns early when interrupted.
    pub(crate) async fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            // Fails only without a sender, which lives as long as the process.
            _ = self.0.wait_for(|is_interrupted| *is_interrupted) => {}
        }
        self.check()
    }
}

/// Catches Ctrl-C, SIGTERM and SIGHUP, so that the run ends in order.
pub(crate) fn interrupt_at_signals(runtime: &Runtime) -> Result<Interrupt, Box<dyn Error>> {
    let (sender, receiver) = watch::channel(false);
    // Registered before the first request, so that no signal is missed.
    let guard = runtime.enter();
    #[cfg(unix)]
    let mut signals = {
        use tokio::signal::unix::{SignalKind, signal};
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            // The terminal was closed, or its connection lost.
            signal(SignalKind::hangup())?,
        )
    };
    #[cfg(windows)]
    let mut signals = (
        tokio::signal::windows::ctrl_c()?,
        tokio::signal::windows::ctrl_break()?,
        tokio::signal::windows::ctrl_close()?,
    );
    drop(guard);
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = signals.0.recv() => {}
                _ = signals.1.recv() => {}
                _ = signals.2.recv() => {}
            }
            tell("stage_probe: stopping; deletes open sessions first.");
            sender.send_replace(true);
        }
    });
    Ok(Interrupt(receiver))
}
