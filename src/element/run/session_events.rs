//! The session's events, each with what it does to webrtcbin and the bus. All
//! of this runs on the conductor.

use std::sync::PoisonError;

use gst::prelude::*;
use gst::subclass::prelude::*;

use crate::element::imp::IvsWhipSink;
use crate::element::input::MediaPad;
use crate::element::log::CAT;
use crate::element::peer::Source;
use crate::element::peer::{Peer, PeerParts};
use crate::element::settings::parse_token;
use crate::element::{SessionState, messages, signals};
use crate::ivs::{Claims, OfferedVideo};
use crate::media::DtlsCertificate;
use crate::session::{Cause, Event, Input, PeerNews, State};
use crate::whip::{Token, Track};

impl IvsWhipSink {
    pub(in crate::element) fn session_event(&self, id: u64, event: Event) {
        match event {
            Event::Warning(warning) => messages::post_session_warning(&self.obj(), &warning),
            Event::Redirected { from, to } => {
                gst::info!(CAT, imp = self, "{from} redirects to {to}");
            }
            Event::Trickled(Ok(count)) => {
                gst::debug!(CAT, imp = self, "{count} candidates sent");
            }
            Event::Trickled(Err(reason)) => {
                gst::info!(CAT, imp = self, "no candidates were sent: {reason}");
            }
            event if self.of_run(id, |_| ()).is_some() => self.run_event(id, event),
            _ => {}
        }
    }

    fn run_event(&self, id: u64, event: Event) {
        match event {
            Event::MakeOffer {
                peer,
                without_video,
            } => self.want_peer(id, peer, without_video),
            Event::FillerFallback { failure, to } => {
                messages::post_filler_fallback(&self.obj(), &failure, to);
            }
            Event::NoOffer { after } => self.explain_waiting(id, after),
            Event::State(State::Connecting) => self.enter_state(id, SessionState::Connecting),
            Event::Answer {
                peer,
                answer,
                ice_servers,
            } => {
                for repair in answer.repairs() {
                    gst::info!(CAT, imp = self, "the answer was repaired: {repair}");
                }
                self.with_peer(id, peer, |peer| peer.apply(&answer, &ice_servers));
            }
            Event::Times(times) => {
                let _ = self.of_run(id, |run| run.course.times = Some(times));
            }
            Event::Claims(claims) => self.know_claims(id, claims),
            Event::TokenWanted => {
                let token = self.ask_for_token();
                let _ = self.of_run(id, |run| match token {
                    Some(token) => run.renew_token(Some(token)),
                    None => run.session.tell(Input::NoNewToken),
                });
            }
            Event::State(State::Publishing) => {
                let _ = self.of_run(id, |run| run.course.publishes());
                self.open_gates(id);
                self.tell_filler(id);
                self.enter_state(id, SessionState::Publishing);
            }
            Event::Retry {
                failure,
                attempt,
                wait,
            } => {
                self.close_peer(id);
                self.enter_state(id, SessionState::Retrying);
                messages::post_retry(&self.obj(), &failure, attempt, wait);
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
            Event::Warning(_) | Event::Redirected { .. } | Event::Trickled(_) => {}
        }
    }

    /// Takes the old peer connection down; the new one is made as soon as the
    /// media are there.
    fn want_peer(&self, id: u64, number: u64, without_video: OfferedVideo) {
        self.close_peer(id);
        let _ = self.of_run(id, |run| {
            run.without_video = without_video;
            run.newest = number;
            run.wanted = Some(number);
        });
        self.enter_state(id, SessionState::Waiting);
        self.line_up();
    }

    /// Makes webrtcbin and its offer.
    pub(in crate::element) fn open(&self, id: u64, number: u64) {
        let _opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = {
            let state = self.lock();
            let run = state.run.as_ref();
            let Some(run) = run.filter(|run| run.id == id && run.newest == number) else {
                return;
            };
            (
                run.session.clone(),
                run.without_video,
                run.ice.clone(),
                state.pads.clone(),
            )
        };
        let (session, without_video, ice, pads) = plan;
        let sources: Vec<Source> = pads
            .iter()
            .filter(|pad| pad.is_linked())
            .filter_map(|pad| {
                Some(Source {
                    media: pad.media()?,
                    pad: pad.source()?,
                })
            })
            .collect();
        let teller = session.clone();
        let tell = move |news| teller.tell(Input::Peer { peer: number, news });
        let certificate = match DtlsCertificate::generate() {
            Ok(certificate) => certificate,
            Err(error) => return tell(PeerNews::Broken(Cause::Peer(error.to_string()))),
        };
        let has_video = sources
            .iter()
            .any(|source| source.media.track == Track::Video);
        let video = match has_video {
            true => OfferedVideo::Media,
            false => without_video,
        };
        let parts = PeerParts {
            number,
            sources,
            ice,
            certificate,
            video,
        };
        let element = self.obj();
        let ready = |webrtcbin: &gst::Element| {
            element.emit_by_name::<()>(signals::WEBRTCBIN_READY, &[webrtcbin]);
        };
        match Peer::new(element.upcast_ref(), parts, ready, tell.clone()) {
            Ok(peer) => self.install(id, peer),
            Err(error) => tell(PeerNews::Broken(Cause::Peer(error.to_string()))),
        }
    }

    /// Keeps the peer connection, unless the run ended while it was made.
    fn install(&self, id: u64, peer: Peer) {
        if self
            .of_run(id, |run| run.peer = Some(peer.clone()))
            .is_some()
        {
            peer.offer(format!("ivswhipsink-{}", glib::uuid_string_random()));
        } else {
            peer.close();
        }
    }

    fn with_peer(&self, id: u64, number: u64, act: impl FnOnce(&Peer)) {
        let peer = self.of_run(id, |run| run.peer.clone()).flatten();
        if let Some(peer) = peer.filter(|peer| peer.number() == number) {
            act(&peer);
        }
    }

    fn know_claims(&self, id: u64, claims: Option<Claims>) {
        if claims.is_none() {
            gst::info!(
                CAT,
                imp = self,
                "the token is no JWT, so nothing is known of it"
            );
        }
        self.judge_limits(id, claims.as_ref());
        let known = self.of_run(id, |_| ()).is_some();
        if known && std::mem::replace(&mut self.lock().claims, claims.clone()) != claims {
            for property in ["participant-id", "stage-arn", "token-expiry"] {
                self.obj().notify(property);
            }
        }
    }

    /// The application's answer to the signal, kept for later sessions too.
    fn ask_for_token(&self) -> Option<Token> {
        let given = self
            .obj()
            .emit_by_name::<Option<String>>(signals::REQUEST_TOKEN, &[])?;
        match parse_token(&given) {
            Ok(token) => {
                self.keep_token(given);
                Some(token)
            }
            Err(error) => {
                messages::post_settings_warning(&self.obj(), &error);
                None
            }
        }
    }

    /// Says which filler section the session has, when that has changed.
    fn tell_filler(&self, id: u64) {
        let told = self.of_run(id, |run| {
            let mode = run.peer.as_ref().and_then(Peer::filler);
            let told = std::mem::replace(&mut run.told_filler, mode);
            mode.filter(|mode| told != Some(*mode))
        });
        if let Some(mode) = told.flatten() {
            messages::post_filler(&self.obj(), mode);
        }
    }

    fn open_gates(&self, id: u64) {
        let (pads, peer) = {
            let state = self.lock();
            let run = state.run.as_ref().filter(|run| run.id == id);
            (state.pads.clone(), run.and_then(|run| run.peer.clone()))
        };
        if let Some(peer) = peer {
            peer.start_filler();
        }
        for pad in &pads {
            let is_video = pad.media().is_some_and(|media| media.track == Track::Video);
            pad.open_gate(is_video);
        }
    }

    fn close_peer(&self, id: u64) {
        let pads = self.lock().pads.clone();
        pads.iter().for_each(MediaPad::close_gate);
        let peer = self.of_run(id, |run| {
            run.course.since = None;
            run.peer.take()
        });
        if let Some(peer) = peer.flatten() {
            peer.close();
        }
    }

    fn ended(&self, id: u64) {
        self.close_peer(id);
        self.enter_state(id, SessionState::Ended);
        let what_next = self.of_run(id, |run| {
            run.is_over = true;
            (run.end_of_stream, run.again)
        });
        match what_next {
            Some((true, _)) => self.post_end_of_stream(),
            Some((false, true)) => self.again(id),
            _ => {}
        }
    }

    pub(in crate::element) fn post_end_of_stream(&self) {
        let element = self.obj();
        let message = gst::message::Eos::builder().src(&*element).build();
        // Without a bus nobody waits for it.
        let _ = element.post_message(message);
    }

    /// Starts another session in place of one that is over.
    pub(in crate::element) fn again(&self, id: u64) {
        let old = {
            let mut state = self.lock();
            let is_over = state
                .run
                .as_ref()
                .is_some_and(|run| run.id == id && run.is_over);
            if is_over { state.run.take() } else { None }
        };
        if old.is_some()
            && let Err(error) = self.start_run(&self.settings())
        {
            // There is no state change to fail; the error is on the bus.
            let _ = self.refuse_start(error);
        }
    }

    /// A child's error is the session's trouble, not the pipeline's: it is
    /// told there, where the sentence for it is made.
    pub(in crate::element) fn child_failed(
        &self,
        child: &gst::Object,
        error: &glib::Error,
    ) -> bool {
        if is_of_a_pad(child) {
            return false;
        }
        let run = {
            let state = self.lock();
            state
                .run
                .as_ref()
                .map(|run| (run.session.clone(), run.peer.clone()))
        };
        // One that is being made or taken down has no say any more.
        if let Some((session, Some(peer))) = run
            && peer.owns(child)
        {
            let text = format!("{}: {}", child.name(), error.message());
            let news = PeerNews::Broken(Cause::Lost(text));
            session.tell(Input::Peer {
                peer: peer.number(),
                news,
            });
        }
        true
    }
}

/// Whether it stands behind a pad, whatever the session: clocksync. All else
/// in the bin belongs to a peer connection.
fn is_of_a_pad(child: &gst::Object) -> bool {
    let factory = child
        .downcast_ref::<gst::Element>()
        .and_then(|element| element.factory());
    factory.is_some_and(|factory| factory.name() == "clocksync")
}
