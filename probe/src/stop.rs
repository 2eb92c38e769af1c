//! What ends a run before everything is asked.

use std::error::Error;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::terminal::tell;

/// Why nothing more is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C.
    Interrupted,
    /// The server asks for fewer requests, in these words.
    Throttled(String),
    /// No other offer would fare better, for this reason.
    Hopeless(String),
    /// As many sessions as there may be.
    SessionLimit,
}

/// Tells when the user wants an end.
#[derive(Clone)]
pub(crate) struct Interrupt(watch::Receiver<bool>);

impl Interrupt {
    pub(crate) fn check(&self) -> Result<(), Stop> {
        let is_wished = *self.0.borrow();
        match is_wished {
            true => Err(Stop::Interrupted),
            false => Ok(()),
        }
    }

    /// Waits, but not for longer than the user does.
    pub(crate) async fn wait(&mut self, time: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            // The sender lives as long as the process.
            _ = self.0.wait_for(|wish| *wish) => {}
        }
        self.check()
    }
}

pub(crate) fn interrupt_at_signals(runtime: &Runtime) -> Result<Interrupt, Box<dyn Error>> {
    let (wish, wished) = watch::channel(false);
    // Registered here and now, so that none is missed.
    let guard = runtime.enter();
    #[cfg(unix)]
    let mut asked = {
        use tokio::signal::unix::{SignalKind, signal};
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            // A terminal that is closed, as a lost connection does.
            signal(SignalKind::hangup())?,
        )
    };
    #[cfg(windows)]
    let mut asked = (
        tokio::signal::windows::ctrl_c()?,
        tokio::signal::windows::ctrl_break()?,
        tokio::signal::windows::ctrl_close()?,
    );
    drop(guard);
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = asked.0.recv() => {}
                _ = asked.1.recv() => {}
                _ = asked.2.recv() => {}
            }
            tell("stage_probe: ending; what stands is deleted first.");
            wish.send_replace(true);
        }
    });
    Ok(Interrupt(wished))
}
