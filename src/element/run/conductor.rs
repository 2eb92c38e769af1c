//! The conductor: the thread that owns a run and handles its messages in order.
//!
//! ```text
//!  pads, PLAYING, bus ──┐
//!                       ├──► channel ──► conductor ──► webrtcbin, signals, bus
//!  events of the session┘                    │
//!                                            └──► RunView, which others read
//! ```

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Instant;

use gst::prelude::*;

use super::awaited_media::AwaitedMedia;
use super::bitrate_control::Told;
use super::conductor_message::Message;
use super::element_state::{ElementState, RunHandle};
use super::limit_warnings::LimitWarnings;
use super::lineup::Lineup;
use super::local_estimation::LocalEstimation;
use super::pad_changes::{flushed, line_up, line_up_if_due};
use super::run_state::{MediaSettings, Run, start_session};
use super::run_view::{RunView, Stopped};
use super::session_events::on_event;
use super::silent_pads::SilentPads;
use super::token_request::on_token_reply;
use crate::element::session_state::SessionState;
use crate::element::settings::SettingsError;
use crate::element::{bus_messages, signals};
use crate::ivs::OfferedVideo;
use crate::media::ExpectedLoss;
use crate::session::{Cause, Config, ErrorKind, Input, PeerEvent, Process};

/// Why a run can't start.
pub(crate) enum StartError {
    Settings(SettingsError),
    Other(ErrorKind, String),
}

/// Starts a run. Its session waits for media.
///
/// # Errors
/// If the endpoint is one of IVS and there is no token, nor an application to ask
/// for one, or if the system gives no thread or no TLS.
pub(crate) fn start(
    element: &gst::Bin,
    state: &Arc<ElementState>,
    config: Config,
    media: MediaSettings,
) -> Result<(), StartError> {
    check(element, &config)?;
    let process = Process::get()
        .map_err(|error| StartError::Other(ErrorKind::OpenWrite, error.to_string()))?;
    let (messages, queue) = channel();
    let messages = Arc::new(messages);
    let (session, ending) = start_session(process, config.clone(), messages.clone());
    let view = Arc::new(RunView::new(session.clone(), ending, state.last_claims()));
    let handle = RunHandle {
        messages: messages.clone(),
        view: view.clone(),
        tokens: config.tokens.clone(),
    };
    let run = Run {
        state: state.clone(),
        view,
        messages: Arc::downgrade(&messages),
        process,
        limits: LimitWarnings::new(config.endpoint.url()),
        config,
        media,
        bitrate_control: None,
        bitrate_told: Told::default(),
        session,
        lineup: Lineup::default(),
        awaited_media: AwaitedMedia::new(element, &messages),
        without_video: OfferedVideo::Nothing,
        has_warned_of_missing_media: false,
        posted_filler: None,
        asks_for_token: false,
        expected_loss: ExpectedLoss::default(),
        silent_pads: SilentPads::default(),
        silence_checked: Instant::now(),
        bitrate_ticked: Instant::now(),
        bitrate_number: 0,
    };
    run.show_whether_limits_apply();
    state.set_run(handle);
    run.enter(element.upcast_ref(), SessionState::Waiting);
    let spawned = spawn(element.downgrade(), run, queue);
    if spawned.is_err() {
        drop(state.take_run());
    }
    spawned
}

/// Fails without a token that IVS needs, and warns of an unencrypted endpoint.
fn check(element: &gst::Bin, config: &Config) -> Result<(), StartError> {
    if !signals::has_token_handler(element) {
        config
            .check()
            .map_err(|error| StartError::Other(ErrorKind::Settings, format!("{error}.")))?;
    }
    if config.endpoint.is_unencrypted() {
        let host = config.endpoint.host();
        let text = format!("The token and the session are sent unencrypted to {host}; use https.");
        bus_messages::post_warning(element.upcast_ref(), &text);
    }
    Ok(())
}

fn spawn(
    element: glib::WeakRef<gst::Bin>,
    mut run: Run,
    queue: Receiver<Message>,
) -> Result<(), StartError> {
    let conduct = move || {
        run.view.set_conductor_thread();
        let mut estimation = LocalEstimation::default();
        loop {
            let message = match run.view.is_stopped() {
                // No task is done any more.
                true => queue.recv().map_err(RecvTimeoutError::from),
                false => queue.recv_timeout(run.time_to_next_task()),
            };
            let Some(element) = element.upgrade() else {
                return;
            };
            match message {
                Ok(message) => on_message(&mut run, &element, message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            // The pads may belong to another run by now.
            if !run.view.is_stopped() {
                line_up_if_due(&mut run, &element);
                run.do_due_tasks(element.upcast_ref(), &mut estimation);
            }
        }
    };
    let spawned = thread::Builder::new()
        .name("ivswhipsink:run".to_owned())
        .spawn(conduct);
    spawned.map(drop).map_err(|error| {
        let text = format!("No thread could be started: {error}.");
        StartError::Other(ErrorKind::OpenWrite, text)
    })
}

fn on_message(run: &mut Run, element: &gst::Bin, message: Message) {
    match message {
        Message::Session(event) => on_event(run, element, event),
        _ if run.view.is_stopped() => {}
        Message::PadsChanged => line_up(run, element),
        Message::PadFlushed(pad) => flushed(run, element, pad),
        Message::PadsOfOther(index, news) => run.awaited_media.note(index, news),
        Message::Playing => {
            run.awaited_media.playing();
            run.lineup.playing();
            line_up(run, element);
        }
        Message::TokenReply(reply) => on_token_reply(run, element.upcast_ref(), reply),
        Message::PadWarning(text) => bus_messages::post_warning(element.upcast_ref(), &text),
        Message::EncoderFailed(factory, text) => {
            bus_messages::post_encoder_warning(element.upcast_ref(), &factory, &text);
        }
        Message::Timing(pad, news) => run.tell_timing(element.upcast_ref(), pad, news),
        Message::LimitViolated => run.warn_of_limits(element.upcast_ref()),
        Message::PushFailed(peer, error) => push_failed(run, peer, error),
        Message::ChildFailed { child, text } => child_failed(run, &child, text),
    }
}

/// Passes an error of an element inside to the session. One from a peer connection
/// that was replaced is dropped.
fn child_failed(run: &Run, child: &gst::Object, text: String) {
    if let Some(peer) = run.view.peer()
        && peer.owns(child)
    {
        run.session.tell(Input::Peer {
            peer: peer.number(),
            event: PeerEvent::Broken(Cause::Lost(text)),
        });
    }
}

/// A webrtcbin that takes no packets does not recover: another session follows.
fn push_failed(run: &Run, peer: u64, error: gst::FlowError) {
    let text = format!("webrtcbin did not take a packet: {error}");
    run.session.tell(Input::Peer {
        peer,
        event: PeerEvent::Broken(Cause::Lost(text)),
    });
}

/// Ends the run. The session is stopped first, so that its DELETE goes out while
/// webrtcbin is closed.
pub(crate) fn stop(state: &ElementState) -> Option<StoppedRun> {
    let view = state.take_run().map(|run| run.view);
    let stopped = view.as_ref().and_then(|view| view.stop());
    if let Some(stopped) = &stopped {
        stopped.session.tell(Input::Stop);
        if let Some(encoder) = &stopped.encoder {
            encoder.give_back();
        }
    }
    // Only now: until the run is stopped, the conductor opens gates.
    for pad in state.pads.get() {
        pad.reset();
    }
    Some(StoppedRun {
        stopped: stopped?,
        view: view?,
    })
}

/// A run that is being ended.
pub(crate) struct StoppedRun {
    stopped: Stopped,
    view: Arc<RunView>,
}

impl StoppedRun {
    /// Removes webrtcbin, which frees a streaming thread that is inside.
    pub(crate) fn close_peer(&self) {
        if let Some(peer) = &self.stopped.peer {
            peer.close();
        }
    }

    /// Waits for the session's end, for a limited time. Returns whether it has ended.
    pub(crate) fn wait(self) -> bool {
        self.view.wait_while_busy();
        self.stopped.ending.wait()
    }
}
