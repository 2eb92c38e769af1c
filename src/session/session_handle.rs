//! A running session, as its owner holds it.

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
    /// Starts a session's driver on a runtime, whose clock is the only one that
    /// it goes by. `emit` is called on the runtime's worker, so it must only
    /// pass the event on.
    pub fn start(
        runtime: &Handle,
        process: &'static Process,
        config: Config,
        emit: impl FnMut(Event) + Send + 'static,
    ) -> (Self, Ending) {
        let (inputs, receiver) = unbounded_channel();
        let (teller, ending) = ending();
        let driver = Driver::new(process, config, receiver, Box::new(emit), teller);
        runtime.spawn(driver.run());
        (Self { inputs }, ending)
    }

    /// Tells the driver something; it is lost when the session has ended.
    pub fn tell(&self, input: Input) {
        let _ = self.inputs.send(input);
    }
}
