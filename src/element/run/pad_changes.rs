//! Which pads make the session: when it can begin, when it has to be replaced
//! by one for other media, and when its media are over.

use std::time::Duration;

use gst::prelude::*;
use gst::subclass::prelude::*;

use super::conductor::{Job, Run};
use crate::element::SessionState;
use crate::element::imp::IvsWhipSink;
use crate::element::input::Media;
use crate::element::input::{MediaPad, PadNews};
use crate::element::log::CAT;
use crate::element::messages;
use crate::session::{ErrorKind, Input};
use crate::whip::{MAX_TRACKS, TracksError, check_tracks};

/// What the pads' media ask for.
enum Verdict {
    /// Nothing: the media are those of the session, or not complete.
    Wait,
    /// Make the peer connection that the session waits for.
    Open(u64),
    /// The session's media have changed.
    Replace,
    /// These can't be published together.
    Refuse(TracksError),
}

impl IvsWhipSink {
    /// Makes a pad and puts it into the bin.
    pub(in crate::element) fn add_media_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
    ) -> Result<gst::Pad, glib::BoolError> {
        let name = name
            .map(str::to_owned)
            .unwrap_or_else(|| self.free_pad_name());
        if self.obj().static_pad(&name).is_some() {
            return Err(glib::bool_error!("there is a pad {name} already"));
        }
        let element = self.obj().downgrade();
        let pad = MediaPad::new(&name, template, move |news| {
            if let Some(element) = element.upgrade() {
                element.imp().pad_news(news);
            }
        })?;
        // In the list before it is in the bin: a caps event can come at once.
        self.lock().pads.push(pad.clone());
        if let Err(error) = pad.enter(self.obj().upcast_ref()) {
            self.drop_media_pad(&pad.ghost);
            return Err(error);
        }
        Ok(pad.ghost.upcast())
    }

    fn free_pad_name(&self) -> String {
        let pads = self.lock().pads.clone();
        let taken = |name: &String| pads.iter().any(|pad| pad.ghost.name() == name.as_str());
        (0..=MAX_TRACKS)
            .map(|number| format!("sink_{number}"))
            .find(|name| !taken(name))
            .unwrap_or_default()
    }

    /// Takes a pad out of the bin; what is left may make another session.
    pub(in crate::element) fn drop_media_pad(&self, ghost: &gst::GhostPad) {
        let pad = {
            let mut state = self.lock();
            let index = state.pads.iter().position(|pad| pad.ghost == *ghost);
            index.map(|index| state.pads.remove(index))
        };
        if let Some(pad) = pad {
            pad.leave(self.obj().upcast_ref());
            self.line_up();
            self.end_when_all_ended();
        }
    }

    /// What a pad's stream told, on its streaming thread.
    pub(in crate::element) fn pad_news(&self, news: PadNews) {
        match news {
            PadNews::Media(Ok(media)) => {
                gst::debug!(
                    CAT,
                    imp = self,
                    "{} stream with {}",
                    media.track.name(),
                    media.caps
                );
                self.line_up();
            }
            PadNews::Media(Err(error)) => {
                self.refuse(format!("A pad's caps can't be published: {error}."));
            }
            PadNews::EndOfStream => self.end_when_all_ended(),
            PadNews::LimitViolated => self.limit_violated(),
            PadNews::Flushed => self.begin_again(),
        }
    }

    /// Says once what a session waits for that has no media yet: nothing else
    /// would ever be said. In PAUSED it is the pipeline that waits.
    pub(in crate::element) fn explain_waiting(&self, id: u64, after: Duration) {
        let pads = {
            let mut state = self.lock();
            let has_played = state.has_played();
            let pads = state.pads.clone();
            let run = state.run.as_mut().filter(|run| run.id == id);
            match run {
                Some(run) if has_played && !run.told_waiting => run.told_waiting = true,
                _ => return,
            }
            pads
        };
        let linked: Vec<&MediaPad> = pads.iter().filter(|pad| pad.is_linked()).collect();
        let silent = linked.iter().filter(|pad| pad.media().is_none());
        let silent: Vec<String> = silent.map(|pad| pad.ghost.name().into()).collect();
        let text = if linked.is_empty() {
            "No pad is linked, so that there is nothing to publish.".to_owned()
        } else if silent.is_empty() {
            return;
        } else {
            format!(
                "Nothing is published yet: in {} s nothing has come to {}. Look at what should \
                 give media there.",
                after.as_secs(),
                silent.join(" and ")
            )
        };
        messages::post_warning(&self.obj(), &text);
    }

    /// Opens or replaces the session where the pads' media ask for it.
    ///
    /// Only once PLAYING was reached: in PAUSED webrtcbin makes no connection, as
    /// its ICE source is live and gives nothing, so that it would only time out.
    pub(in crate::element) fn line_up(&self) {
        let pads = self.lock().pads.clone();
        let linked: Vec<&MediaPad> = pads.iter().filter(|pad| pad.is_linked()).collect();
        let mut media: Vec<Media> = linked.iter().filter_map(|pad| pad.media()).collect();
        media.sort_by_key(|media| media.track);
        let is_complete = media.len() == linked.len();
        let decided = {
            let mut state = self.lock();
            if !state.has_played() || !is_complete {
                return;
            }
            let Some(run) = state.run.as_mut() else {
                return;
            };
            let verdict = verdict(run, media);
            if let Verdict::Open(number) = verdict {
                // Under the lock, so that a later number can't overtake it. The
                // conductor lives as long as the run.
                let _ = run.jobs.send(Job::Open(number));
            }
            (verdict, run.session.clone())
        };
        match decided {
            (Verdict::Wait | Verdict::Open(_), _) => {}
            (Verdict::Replace, session) => {
                gst::info!(
                    CAT,
                    imp = self,
                    "the media have changed: replacing the session"
                );
                session.tell(Input::Replace);
            }
            (Verdict::Refuse(error), _) => {
                self.refuse(format!("These pads make no session: {error}."));
            }
        }
    }

    /// Has the conductor say why, since this may be a streaming thread.
    fn refuse(&self, text: String) {
        let jobs = self.lock().run.as_ref().map(|run| run.jobs.clone());
        if let Some(jobs) = jobs {
            // The conductor lives as long as the run that was just seen.
            let _ = jobs.send(Job::Refuse(text));
        }
    }

    pub(in crate::element) fn refuse_media(&self, id: u64, text: &str) {
        let Some(session) = self.of_run(id, |run| run.session.clone()) else {
            return;
        };
        session.tell(Input::Stop);
        self.enter_state(id, SessionState::Failed);
        messages::post_error(&self.obj(), ErrorKind::Settings, "offer", text);
    }

    fn end_when_all_ended(&self) {
        let pads = self.lock().pads.clone();
        let mut linked = pads.iter().filter(|pad| pad.is_linked()).peekable();
        if linked.peek().is_none() || !linked.all(MediaPad::has_ended) {
            return;
        }
        let run = {
            let mut state = self.lock();
            let run = state.run.as_mut().filter(|run| !run.end_of_stream);
            run.map(|run| {
                run.end_of_stream = true;
                (run.is_over, run.session.clone(), run.jobs.clone())
            })
        };
        let Some((is_over, session, jobs)) = run else {
            return;
        };
        gst::info!(CAT, imp = self, "end of stream on every pad");
        if is_over {
            // A session that failed keeps no pipeline from its end.
            let _ = jobs.send(Job::EndOfStream);
        } else {
            session.tell(Input::Stop);
        }
    }

    /// After a seek media come again: a session that had ended with the stream
    /// is followed by another.
    fn begin_again(&self) {
        let jobs = {
            let mut state = self.lock();
            let run = state.run.as_mut().filter(|run| run.end_of_stream);
            run.and_then(|run| {
                run.end_of_stream = false;
                run.again = !run.is_over;
                run.is_over.then(|| run.jobs.clone())
            })
        };
        if let Some(jobs) = jobs {
            let _ = jobs.send(Job::Again);
        }
    }
}

fn verdict(run: &mut Run, media: Vec<Media>) -> Verdict {
    let is_same = run.lineup.len() == media.len()
        && run
            .lineup
            .iter()
            .zip(&media)
            .all(|(old, new)| old.fits_session_of(new));
    match run.wanted {
        Some(number) if !media.is_empty() => {
            let tracks: Vec<_> = media
                .iter()
                .map(|media| (media.track, media.payload))
                .collect();
            if let Err(error) = check_tracks(&tracks) {
                return Verdict::Refuse(error);
            }
            run.wanted = None;
            run.lineup = media;
            Verdict::Open(number)
        }
        None if !run.lineup.is_empty() && !is_same => {
            run.lineup.clear();
            Verdict::Replace
        }
        _ => Verdict::Wait,
    }
}
