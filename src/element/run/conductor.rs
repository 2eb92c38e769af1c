//! The life of a session, seen from the element: which call answers which
//! event, and who may touch what.
//!
//! Four kinds of threads meet here. Streaming threads only note what they
//! see; the application's thread starts and stops; webrtcbin's and the
//! driver's threads only pass on. What a running session has to do with webrtcbin
//! and the bus is done by one *conductor* thread, in order, so that an
//! application's handler may even stop the pipeline from within a message. Only
//! a stop takes webrtcbin down on the application's thread.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::limit_warnings::Limits;
use crate::element::SessionState;
use crate::element::imp::IvsWhipSink;
use crate::element::input::Media;
use crate::element::input::MediaPad;
use crate::element::messages;
use crate::element::peer::Peer;
use crate::element::settings::{IceSettings, Settings, SettingsError};
use crate::element::stats::Course;
use crate::ivs::{FillerMode, OfferedVideo};
use crate::session::{Ending, ErrorKind, Event, Input, Process, Session, Tokens};
use crate::whip::Token;

/// From READY→PAUSED to PAUSED→READY: one session and what belongs to it.
pub(in crate::element) struct Run {
    pub(in crate::element) id: u64,
    pub(in crate::element) session: Session,
    tokens: Tokens,
    ending: Ending,
    pub(in crate::element) jobs: Sender<Job>,
    /// What the driver wants offered as video if no pad has any.
    pub(in crate::element) without_video: OfferedVideo,
    pub(in crate::element) ice: IceSettings,
    pub(in crate::element) course: Course,
    /// Whether the bus was told what the session waits for.
    pub(in crate::element) told_waiting: bool,
    /// The filler section that the bus was told of last.
    pub(in crate::element) told_filler: Option<FillerMode>,
    /// The peer connection in use.
    pub(in crate::element) peer: Option<Peer>,
    /// The number of the newest one that the driver wanted.
    pub(in crate::element) newest: u64,
    /// The number of the one that the driver waits for.
    pub(in crate::element) wanted: Option<u64>,
    /// The media of the session that is, or is being made.
    pub(in crate::element) lineup: Vec<Media>,
    /// The limits of IVS.
    pub(in crate::element) limits: Limits,
    /// The session's end was asked for by end of stream on every pad.
    pub(in crate::element) end_of_stream: bool,
    /// Media came again after that, before the session had ended.
    pub(in crate::element) again: bool,
    /// The session has ended, one way or another.
    pub(in crate::element) is_over: bool,
}

/// What the conductor does.
pub(in crate::element) enum Job {
    /// Make webrtcbin and its offer, under this number.
    Open(u64),
    /// Tell why the pads' media can't be published, and end the session.
    Refuse(String),
    /// Tell the end of stream of a session that is over.
    EndOfStream,
    /// Start a session for media that came again after the end.
    Again,
    /// Warn of the IVS limits that the media violate.
    Limits,
    /// Act on an event of the session.
    Event(Event),
}

impl Run {
    /// Gives the session a newer token, or has it look in the other places.
    pub(in crate::element) fn renew_token(&self, token: Option<Token>) {
        let is_new = token.is_some();
        self.tokens.give(token);
        if is_new {
            self.session.tell(Input::NewToken);
        }
    }
}

/// What keeps a run from starting.
pub(in crate::element) enum StartError {
    Settings(SettingsError),
    Other(ErrorKind, String),
}

impl IvsWhipSink {
    /// Starts a session that waits for its media.
    pub(in crate::element) fn start_run(&self, settings: &Settings) -> Result<(), StartError> {
        let config = settings.config().map_err(StartError::Settings)?;
        config
            .check()
            .map_err(|error| StartError::Other(ErrorKind::Settings, format!("{error}.")))?;
        if config.endpoint.is_open_to_listeners() {
            let host = config.endpoint.host();
            messages::post_warning(
                &self.obj(),
                &format!("The token and the session travel unencrypted to {host}; use https."),
            );
        }
        let process = Process::get()
            .map_err(|error| StartError::Other(ErrorKind::OpenWrite, error.to_string()))?;
        let id = self.lock().next_run_id();
        let limits = Limits::new(config.endpoint.url());
        let tokens = config.tokens.clone();
        let (jobs, queue) = channel();
        let events = jobs.clone();
        let (session, ending) = Session::start(process.runtime(), process, config, move |event| {
            // After the conductor's end there is nobody to tell.
            let _ = events.send(Job::Event(event));
        });
        let run = Run {
            id,
            session,
            tokens,
            ending,
            jobs,
            without_video: OfferedVideo::Nothing,
            course: Course::default(),
            told_waiting: false,
            told_filler: None,
            ice: settings.ice(),
            peer: None,
            newest: 0,
            wanted: None,
            lineup: Vec::new(),
            limits,
            end_of_stream: false,
            again: false,
            is_over: false,
        };
        {
            let mut state = self.lock();
            state.run = Some(run);
            state.session_state = SessionState::Idle;
        }
        self.enter_state(id, SessionState::Waiting);
        // Last: what it acts on belongs to the run, and is dropped without one.
        let spawned = self.spawn_conductor(id, queue);
        if spawned.is_err() {
            let run = self.lock().run.take();
            drop(run);
        }
        spawned
    }

    /// Ends the run, first for the session, whose DELETE goes out meanwhile.
    pub(in crate::element) fn stop_run(&self) -> Option<StoppedRun> {
        let (run, pads) = {
            let mut state = self.lock();
            (state.run.take(), state.pads.clone())
        };
        pads.iter().for_each(MediaPad::reset);
        let run = run?;
        run.session.tell(Input::Stop);
        Some(StoppedRun {
            peer: run.peer,
            ending: run.ending,
        })
    }

    fn spawn_conductor(&self, id: u64, queue: Receiver<Job>) -> Result<(), StartError> {
        let element = self.obj().downgrade();
        let conductor = move || {
            for job in queue {
                let Some(element) = element.upgrade() else {
                    return;
                };
                match job {
                    Job::Open(number) => {
                        let sink = element.imp();
                        sink.work.during(|| sink.open(id, number));
                    }
                    Job::Refuse(text) => element.imp().refuse_media(id, &text),
                    Job::EndOfStream => element.imp().post_end_of_stream(),
                    Job::Again => element.imp().again(id),
                    Job::Limits => element.imp().warn_of_limits(id),
                    Job::Event(event) => element.imp().session_event(id, event),
                }
            }
        };
        let spawned = thread::Builder::new()
            .name("ivswhipsink:run".to_owned())
            .spawn(conductor);
        spawned.map(drop).map_err(|error| {
            let text = format!("The system gives no thread: {error}.");
            StartError::Other(ErrorKind::OpenWrite, text)
        })
    }

    pub(in crate::element) fn of_run<T>(
        &self,
        id: u64,
        look: impl FnOnce(&mut Run) -> T,
    ) -> Option<T> {
        self.lock()
            .run
            .as_mut()
            .filter(|run| run.id == id)
            .map(look)
    }

    /// Enters a session state, unless the run it belongs to is over.
    pub(in crate::element) fn enter_state(&self, id: u64, entered: SessionState) {
        let since_playing = {
            let mut state = self.lock();
            if state.run.as_ref().is_none_or(|run| run.id != id) || state.session_state == entered {
                return;
            }
            // A failure is the last word until the next run.
            if state.session_state == SessionState::Failed {
                return;
            }
            state.session_state = entered;
            state.since_playing()
        };
        let element = self.obj();
        element.notify("session-state");
        messages::post_state(&element, entered, since_playing);
    }
}

/// What is left of a run whose end is under way.
pub(in crate::element) struct StoppedRun {
    peer: Option<Peer>,
    ending: Ending,
}

impl StoppedRun {
    /// Takes webrtcbin down, which frees a streaming thread that is inside.
    pub(in crate::element) fn close_peer(&self) {
        if let Some(peer) = &self.peer {
            peer.close();
        }
    }

    /// Takes webrtcbin down and waits for the session's end, in bounds.
    /// Whether it has ended.
    pub(in crate::element) fn finish(self) -> bool {
        self.close_peer();
        self.ending.wait()
    }
}
