//! The owner's handle of a running session.

use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::config::Config;
use super::deletion::{Ending, ending};
use super::driver::Driver;
use super::event::{Event, Input};
use super::process::Process;

/// A running session. It stops when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Session {
    inputs: UnboundedSender<Input>,
}

impl Session {
    /// Starts the driver of a session on a runtime, whose clock drives all its
    /// timers. `emit` is called on the runtime's worker thread, so it must not
    /// block: it should only pass the event on.
    ///
    /// The [`Ending`] lets a thread wait for the end of the session.
    pub fn start(
        runtime: &Handle,
        process: &'static Process,
        config: Config,
        emit: impl FnMut(Event) + Send + 'static,
    ) -> (Self, Ending) {
        let (inputs, receiver) = unbounded_channel();
        let (end_reporter, ending) = ending();
        let driver = Driver::new(process, config, receiver, Box::new(emit), end_reporter);
        runtime.spawn(driver.run());
        (Self { inputs }, ending)
    }

    /// Sends an input to the driver. It has no effect after the session's end.
    pub fn tell(&self, input: Input) {
        let _ = self.inputs.send(input);
    }
}
