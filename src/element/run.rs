//! The life of a session, seen from the element: which call answers which
//! event, and who may touch what.
//!
//! Four kinds of threads meet here. Streaming threads only note what they
//! see; the application's thread starts and stops; webrtcbin's and the
//! driver's threads only pass on. All work on webrtcbin and every bus message
//! of a running session is done by one *conductor* thread, in order, so that
//! an application's handler may even stop the pipeline from within a message.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::{CAT, IvsWhipSink};
use super::messages;
use super::pads::{MediaPad, PadNews};
use super::peer::{Peer, Source};
use super::settings::{IceSettings, Settings, SettingsError};
use super::{SessionState, imp};
use crate::ivs::{Filler, OfferedVideo};
use crate::session::{Cause, Ending, ErrorKind, Event, Identity, Input, Process, Session, State};
use crate::whip::{Token, Track, check_tracks};

/// From READY→PAUSED to PAUSED→READY: one session and what belongs to it.
pub(super) struct Run {
    id: u64,
    session: Session,
    ending: Ending,
    jobs: Sender<Job>,
    filler: Filler,
    ice: IceSettings,
    peer: Option<Peer>,
    opened: bool,
    /// The session's end was asked for by end of stream on every pad.
    end_of_stream: bool,
}

/// What the conductor does.
enum Job {
    Open,
    Event(Event),
}

impl Run {
    /// Tells the session about a newer token.
    pub(super) fn renew_token(&self, token: Token) {
        self.session.tell(Input::Token(token));
    }
}

/// What keeps a run from starting.
pub(super) enum StartError {
    Settings(SettingsError),
    Other(ErrorKind, String),
}

impl IvsWhipSink {
    /// Starts a session that waits for its media.
    pub(super) fn start_run(&self, settings: &Settings) -> Result<(), StartError> {
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
        let jobs = self.spawn_conductor(id)?;
        let events = jobs.clone();
        let (session, ending) = Session::start(process, config, move |event| {
            // After the conductor's end there is nobody to tell.
            let _ = events.send(Job::Event(event));
        });
        self.lock().run = Some(Run {
            id,
            session,
            ending,
            jobs,
            filler: settings.video_filler.into(),
            ice: settings.ice(),
            peer: None,
            opened: false,
            end_of_stream: false,
        });
        self.enter_state(id, SessionState::Waiting);
        Ok(())
    }

    /// Ends the run, first for the session, whose DELETE goes out meanwhile.
    pub(super) fn stop_run(&self) -> Option<StoppedRun> {
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

    /// What a pad's stream told, on its streaming thread.
    pub(super) fn pad_news(&self, news: PadNews) {
        match news {
            PadNews::Media(Ok(media)) => {
                gst::debug!(
                    CAT,
                    imp = self,
                    "{} stream with {}",
                    media.track.name(),
                    media.caps
                );
                self.open_when_ready();
            }
            PadNews::Media(Err(error)) => {
                let text = format!("A pad's caps can't be published: {error}.");
                self.refuse_media(&text);
            }
            PadNews::EndOfStream => self.end_when_all_ended(),
        }
    }

    /// Has the session opened once every linked pad has its caps, in PLAYING:
    /// in PAUSED webrtcbin's ICE source, a live one, hears no answer, so that
    /// the connect would only time out.
    pub(super) fn open_when_ready(&self) {
        let verdict = {
            let mut state = self.lock();
            if !state.is_playing() {
                return;
            }
            let pads: Vec<MediaPad> = state.pads.clone();
            let Some(run) = state.run.as_mut().filter(|run| !run.opened) else {
                return;
            };
            let linked: Vec<&MediaPad> = pads.iter().filter(|pad| pad.is_linked()).collect();
            let media: Vec<_> = linked.iter().filter_map(|pad| pad.media()).collect();
            if media.is_empty() || media.len() < linked.len() {
                return;
            }
            run.opened = true;
            let tracks: Vec<_> = media
                .iter()
                .map(|media| (media.track, media.payload))
                .collect();
            check_tracks(&tracks).map(|()| run.jobs.clone())
        };
        match verdict {
            // The conductor lives as long as the run that was just seen.
            Ok(jobs) => drop(jobs.send(Job::Open)),
            Err(error) => self.refuse_media(&format!("These pads make no session: {error}.")),
        }
    }

    fn refuse_media(&self, text: &str) {
        let session = self
            .lock()
            .run
            .as_ref()
            .map(|run| (run.id, run.session.clone()));
        let Some((id, session)) = session else { return };
        session.tell(Input::Stop);
        self.enter_state(id, SessionState::Failed);
        messages::post_error(&self.obj(), ErrorKind::Settings, "offer", text);
    }

    fn end_when_all_ended(&self) {
        let session = {
            let mut state = self.lock();
            let ended = state
                .pads
                .iter()
                .filter(|pad| pad.is_linked())
                .all(MediaPad::has_ended);
            let run = state.run.as_mut().filter(|run| ended && !run.end_of_stream);
            run.map(|run| {
                run.end_of_stream = true;
                run.session.clone()
            })
        };
        if let Some(session) = session {
            gst::info!(
                CAT,
                imp = self,
                "end of stream on every pad: ending the session"
            );
            session.tell(Input::Stop);
        }
    }

    /// There is nothing to publish without pads: the session ends.
    pub(super) fn end_without_pads(&self) {
        let session = {
            let state = self.lock();
            let run = state
                .run
                .as_ref()
                .filter(|run| run.opened && state.pads.is_empty());
            run.map(|run| run.session.clone())
        };
        if let Some(session) = session {
            session.tell(Input::Stop);
        }
    }

    fn spawn_conductor(&self, id: u64) -> Result<Sender<Job>, StartError> {
        let (jobs, queue): (_, Receiver<Job>) = channel();
        let element = self.obj().downgrade();
        let conductor = move || {
            for job in queue {
                let Some(element) = element.upgrade() else {
                    return;
                };
                match job {
                    Job::Open => element.imp().open(id),
                    Job::Event(event) => element.imp().session_event(id, event),
                }
            }
        };
        match thread::Builder::new()
            .name("ivswhipsink:run".to_owned())
            .spawn(conductor)
        {
            Ok(_) => Ok(jobs),
            Err(error) => Err(StartError::Other(
                ErrorKind::OpenWrite,
                format!("The system gives no thread: {error}."),
            )),
        }
    }

    /// Makes webrtcbin and its offer.
    fn open(&self, id: u64) {
        let plan = {
            let state = self.lock();
            let Some(run) = state.run.as_ref().filter(|run| run.id == id) else {
                return;
            };
            (
                run.session.clone(),
                run.filler,
                run.ice.clone(),
                state.pads.clone(),
            )
        };
        let (session, filler, ice, pads) = plan;
        let sources: Vec<Source> = pads
            .iter()
            .filter_map(|pad| {
                Some(Source {
                    media: pad.media()?,
                    pad: pad.source()?,
                })
            })
            .collect();
        let peer = match self.make_peer(&sources, filler, &ice) {
            Ok(peer) => peer,
            Err(cause) => return session.tell(Input::Broken(cause)),
        };
        let current = {
            let mut state = self.lock();
            let run = state.run.as_mut().filter(|run| run.id == id);
            run.map(|run| run.peer = Some(peer.clone())).is_some()
        };
        if !current {
            return peer.close();
        }
        let video = offered_video(&sources, filler);
        let stream = format!("ivswhipsink-{}", glib::uuid_string_random());
        let watched = peer.clone();
        peer.offer(stream, move |offer| match offer {
            Ok(offer) => {
                let tell = session.clone();
                watched.watch(move |input| tell.tell(input));
                session.tell(Input::Offer { offer, video });
            }
            Err(cause) => session.tell(Input::Broken(cause)),
        });
    }

    fn make_peer(
        &self,
        sources: &[Source],
        filler: Filler,
        ice: &IceSettings,
    ) -> Result<Peer, Cause> {
        let identity = Identity::generate().map_err(|error| Cause::Peer(error.to_string()))?;
        let element = self.obj();
        let ready = |webrtcbin: &gst::Element| {
            element.emit_by_name::<()>(imp::SIGNAL_WEBRTCBIN_READY, &[webrtcbin]);
        };
        Peer::new(element.upcast_ref(), sources, filler, ice, identity, ready)
            .map_err(|error| Cause::Peer(error.to_string()))
    }

    fn session_event(&self, id: u64, event: Event) {
        match event {
            Event::Warning(warning) => {
                return messages::post_warning(&self.obj(), &warning.to_string());
            }
            Event::Redirected { from, to } => {
                return gst::info!(CAT, imp = self, "{from} redirects to {to}");
            }
            _ => {}
        }
        let Some((session, peer)) = self.of_run(id, |run| (run.session.clone(), run.peer.clone()))
        else {
            return;
        };
        match event {
            Event::State(State::Connecting) => self.enter_state(id, SessionState::Connecting),
            Event::Answer {
                answer,
                ice_servers,
            } => {
                let Some(peer) = peer else { return };
                peer.apply(&answer, &ice_servers, move |applied| {
                    if let Err(cause) = applied {
                        session.tell(Input::Broken(cause));
                    }
                });
            }
            Event::State(State::Publishing) => {
                self.open_gates();
                self.enter_state(id, SessionState::Publishing);
            }
            Event::State(State::Stopping) => self.enter_state(id, SessionState::Stopping),
            Event::Failed(failure) => {
                self.close_peer(id);
                self.enter_state(id, SessionState::Failed);
                messages::post_failure(&self.obj(), &failure);
            }
            Event::Ended(ended) => {
                gst::info!(CAT, imp = self, "session ended: {ended:?}");
                self.ended(id);
            }
            Event::Warning(_) | Event::Redirected { .. } => {}
        }
    }

    fn open_gates(&self) {
        let pads = self.lock().pads.clone();
        for pad in &pads {
            pad.open_gate();
            if pad.media().is_some_and(|media| media.track == Track::Video) {
                pad.request_key_frame();
            }
        }
    }

    fn close_peer(&self, id: u64) {
        let pads = self.lock().pads.clone();
        pads.iter().for_each(MediaPad::close_gate);
        if let Some(peer) = self.of_run(id, |run| run.peer.take()).flatten() {
            peer.close();
        }
    }

    fn ended(&self, id: u64) {
        self.close_peer(id);
        self.enter_state(id, SessionState::Ended);
        if self.of_run(id, |run| run.end_of_stream) == Some(true) {
            let element = self.obj();
            let message = gst::message::Eos::builder().src(&*element).build();
            // Without a bus nobody waits for it.
            let _ = element.post_message(message);
        }
    }

    fn of_run<T>(&self, id: u64, look: impl FnOnce(&mut Run) -> T) -> Option<T> {
        self.lock()
            .run
            .as_mut()
            .filter(|run| run.id == id)
            .map(look)
    }

    /// Enters a session state, unless the run it belongs to is over.
    fn enter_state(&self, id: u64, entered: SessionState) {
        let since_playing = {
            let mut state = self.lock();
            if state.run.as_ref().is_none_or(|run| run.id != id) || state.session_state == entered {
                return;
            }
            // A failure is the last word until the next run.
            if state.session_state == SessionState::Failed && entered != SessionState::Waiting {
                return;
            }
            state.session_state = entered;
            state.since_playing()
        };
        let element = self.obj();
        element.notify("session-state");
        messages::post_state(&element, entered, since_playing);
    }

    /// A child's error is the session's trouble, not the pipeline's: it is
    /// told there, where the sentence for it is made.
    pub(super) fn child_failed(&self, child: &gst::Object, error: &glib::Error) -> bool {
        let run = {
            let state = self.lock();
            state
                .run
                .as_ref()
                .map(|run| (run.session.clone(), run.peer.clone()))
        };
        let Some((session, Some(peer))) = run else {
            return false;
        };
        if !peer.owns(child) {
            return false;
        }
        let text = format!("{}: {}", child.name(), error.message());
        session.tell(Input::Broken(Cause::Peer(text)));
        true
    }
}

/// What is left of a run whose end is under way.
pub(super) struct StoppedRun {
    peer: Option<Peer>,
    ending: Ending,
}

impl StoppedRun {
    /// Takes webrtcbin down and waits for the session's end, in bounds.
    /// Whether it has ended.
    pub(super) fn finish(self) -> bool {
        if let Some(peer) = self.peer {
            peer.close();
        }
        self.ending.wait()
    }
}

fn offered_video(sources: &[Source], filler: Filler) -> OfferedVideo {
    if sources
        .iter()
        .any(|source| source.media.track == Track::Video)
    {
        OfferedVideo::Media
    } else if filler == Filler::None {
        OfferedVideo::Nothing
    } else {
        OfferedVideo::Filler
    }
}
