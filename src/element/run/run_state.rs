//! The run that a conductor owns, and the actions that several messages need.

use std::sync::mpsc::Sender;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use gst::prelude::*;

use super::awaited_media::AwaitedMedia;
use super::bitrate_control::{BitrateControl, Told};
use super::conductor_message::Message;
use super::element_state::ElementState;
use super::limit_warnings::LimitWarnings;
use super::lineup::Lineup;
use super::local_estimation::LocalEstimation;
use super::run_statistics::RunStatistics;
use super::run_view::RunView;
use super::silent_pads::{Silence, SilentPads};
use crate::element::bus_messages;
use crate::element::input::MediaPad;
use crate::element::session_state::SessionState;
use crate::element::settings::{BitrateSettings, IceSettings};
use crate::ivs::{FillerMode, OfferedVideo};
use crate::media::{ExpectedLoss, TimingNews};
use crate::session::{Config, Ending, Process, Session};
use crate::whip::Track;

/// Time between two checks for pads that have fallen silent.
const SILENCE_CHECK: Duration = Duration::from_secs(1);

/// The settings of a run's media.
pub(crate) struct MediaSettings {
    pub(crate) ice: IceSettings,
    /// `None` without congestion control.
    pub(crate) bitrates: Option<BitrateSettings>,
    /// Whether to offer to send lost video again.
    pub(crate) retransmits: bool,
}

/// A run: one session after another, from READY→PAUSED to PAUSED→READY.
pub(super) struct Run {
    pub(super) state: Arc<ElementState>,
    pub(super) view: Arc<RunView>,
    /// Weak, because the conductor ends when the last sender is dropped.
    pub(super) messages: Weak<Sender<Message>>,
    pub(super) process: &'static Process,
    pub(super) config: Config,
    pub(super) media: MediaSettings,
    /// While video is published, if congestion control is on.
    pub(super) bitrate_control: Option<BitrateControl>,
    pub(super) bitrate_ticked: Instant,
    /// The number of the newest bounds that a bitrate control has set.
    pub(super) bitrate_number: u64,
    /// What the bitrate controls have told the bus.
    pub(super) bitrate_told: Told,
    pub(super) session: Session,
    pub(super) lineup: Lineup,
    pub(super) awaited_media: AwaitedMedia,
    /// What is offered as video if no pad has any.
    pub(super) without_video: OfferedVideo,
    pub(super) limits: LimitWarnings,
    /// Whether the run has warned of missing media.
    pub(super) has_warned_of_missing_media: bool,
    /// The filler mode that was last posted on the bus.
    pub(super) posted_filler: Option<FillerMode>,
    /// Of audio.
    pub(super) expected_loss: ExpectedLoss,
    pub(super) silent_pads: SilentPads,
    pub(super) silence_checked: Instant,
    /// Whether handlers of `request-token` are running.
    pub(super) asks_for_token: bool,
}

impl Run {
    pub(super) fn enter(&self, element: &gst::Element, entered: SessionState) {
        if self.view.enter(entered) {
            element.notify("session-state");
            bus_messages::post_state(element, entered, self.state.since_playing());
        }
    }

    /// How long the conductor may wait for a message.
    pub(super) fn time_to_next_task(&self) -> Duration {
        let left = |interval: Duration, done: Instant| interval.saturating_sub(done.elapsed());
        let check = left(SILENCE_CHECK, self.silence_checked);
        let tick = self.bitrate_control.as_ref();
        let tick = tick.map(|control| left(control.interval(), self.bitrate_ticked));
        let times = [tick, self.awaited_media.time_left()];
        times.into_iter().flatten().fold(check, Duration::min)
    }

    pub(super) fn do_due_tasks(&mut self, element: &gst::Element, local: &mut LocalEstimation) {
        if self.silence_checked.elapsed() >= SILENCE_CHECK {
            self.silence_checked = Instant::now();
            self.warn_of_silence(element);
            self.expect_loss();
        }
        if let Some(control) = &mut self.bitrate_control
            && self.bitrate_ticked.elapsed() >= control.interval()
        {
            self.bitrate_ticked = Instant::now();
            let has_changed = control.tick(element, local);
            self.bitrate_number = control.number();
            let status = control.status();
            self.change_statistics(|statistics| statistics.network = status);
            if has_changed {
                self.show_target(element);
            }
        }
    }

    /// Lets own audio encoders prepare for the loss that the far end reports.
    fn expect_loss(&mut self) {
        let Some(peer) = self.view.peer() else {
            return;
        };
        let reports = peer.reports();
        let pads = self.state.pads.get();
        let audio = pads.iter().filter(|pad| {
            let format = pad.format();
            format.is_some_and(|format| format.track == Track::Audio)
        });
        for pad in audio {
            if let Some(report) = reports.of(pad.ssrc()) {
                pad.set_audio_loss(self.expected_loss.update(report.fraction_lost));
            }
        }
    }

    /// Lets the video from `pad` follow what the network carries, if it should. Returns
    /// whether it does.
    pub(super) fn control_bitrate(&mut self, element: &gst::Element, pad: &MediaPad) -> bool {
        if let (Some(settings), Some(peer)) = (&self.media.bitrates, self.view.peer()) {
            let (number, told) = (self.bitrate_number, self.bitrate_told);
            let control = BitrateControl::begin(element, &peer, pad, settings, number, told);
            self.bitrate_number = control.number();
            self.bitrate_control = Some(control);
            self.show_target(element);
        }
        self.bitrate_control.is_some()
    }

    fn show_target(&self, element: &gst::Element) {
        let control = self.bitrate_control.as_ref();
        self.change_statistics(|statistics| {
            statistics.target_bitrate = control.and_then(BitrateControl::target);
            statistics.follower = control.map(BitrateControl::follower);
        });
        self.view
            .keep_encoder(control.and_then(BitrateControl::encoder));
        element.notify("target-bitrate");
    }

    /// Closes the gates and removes webrtcbin.
    pub(super) fn close_peer(&mut self, element: &gst::Element) {
        self.leave_air(element);
        if let Some(peer) = self.view.begin_closing() {
            peer.close();
            self.view.end_busy();
        }
    }

    /// Closes the gates: nothing is published from now on.
    pub(super) fn leave_air(&mut self, element: &gst::Element) {
        self.state.pads.get().iter().for_each(MediaPad::close_gate);
        self.change_statistics(|statistics| {
            statistics.publishing_since = None;
            statistics.network = None;
        });
        if let Some(control) = self.bitrate_control.take() {
            self.bitrate_told = control.told();
            control.end();
            self.show_target(element);
        }
    }

    pub(super) fn show_whether_limits_apply(&self) {
        self.change_statistics(|statistics| statistics.limits_apply = self.limits.apply());
    }

    pub(super) fn change_statistics(&self, change: impl FnOnce(&mut RunStatistics)) {
        self.view.change_statistics(change);
    }

    /// Warns of the limits that the pads' streams violate now.
    pub(super) fn warn_of_limits(&mut self, element: &gst::Element) {
        let pads = self.state.pads.get().into_iter();
        let control = self.bitrate_control.as_ref();
        let thins = control.is_some_and(BitrateControl::shows_thinning);
        for pad in pads.filter(|pad| !self.lineup.is_left_out(pad.id)) {
            let mut violations = pad.violations();
            // No setting of the encoder would help.
            violations.retain(|violation| !(thins && violation.may_come_of_thinning()));
            for violation in violations {
                if self.limits.is_due(&violation) {
                    let encoder = pad.encoder_name();
                    let is_own = pad.own_encoder_settings().is_some();
                    bus_messages::post_limit(element, &violation, encoder.as_deref(), is_own);
                }
            }
        }
    }

    /// Tells what became of timestamps that were far from running time.
    pub(super) fn tell_timing(&self, element: &gst::Element, id: u32, news: TimingNews) {
        if let Some(pad) = self.state.pads.get().iter().find(|pad| pad.id == id) {
            bus_messages::post_timing(element, &pad.ghost.name(), news);
        }
    }

    /// Warns of the published pads that have fallen silent. In PAUSED it is the
    /// pipeline that waits.
    pub(super) fn warn_of_silence(&mut self, element: &gst::Element) {
        let publishes = self.view.session_state() == SessionState::Publishing;
        let plays = element.current_state() == gst::State::Playing;
        let pads = self.state.pads.get().into_iter();
        let published = pads.filter(|pad| self.lineup.published_pads().any(|id| id == pad.id));
        let live: Vec<MediaPad> = published.filter(|pad| !pad.state().has_ended).collect();
        if !publishes || !plays {
            self.restart_silence(&live);
            return;
        }
        let silences = live.iter().map(|pad| Some((pad.id, pad.silence()?)));
        let silences: Vec<_> = silences.flatten().collect();
        for (id, silence) in self.silent_pads.update(&silences) {
            let pad = live.iter().find(|pad| pad.id == id);
            let name = pad.map(|pad| pad.ghost.name()).unwrap_or_default();
            let text = match silence {
                Silence::Lasts(time) => format!(
                    "No media have arrived at {name} for {} s, so viewers get none. Check the \
                     elements upstream.",
                    time.as_secs()
                ),
                Silence::IsOver(time) => {
                    format!("Media arrive at {name} again, after {} s.", time.as_secs())
                }
            };
            bus_messages::post_warning(element, &text);
        }
    }

    /// Counts the silence of these pads from now on.
    pub(super) fn restart_silence(&mut self, pads: &[MediaPad]) {
        pads.iter().for_each(MediaPad::restart_silence);
        self.silent_pads = SilentPads::default();
    }

    /// Starts another session after one that is over, unless the run is stopped.
    pub(super) fn start_again(&mut self) {
        let Some(messages) = self.messages.upgrade() else {
            return;
        };
        let (session, ending) = start_session(self.process, self.config.clone(), messages);
        if self.view.replace_session(session.clone(), ending) {
            self.session = session;
        }
    }
}

/// Starts a session whose events go to the conductor.
pub(super) fn start_session(
    process: &'static Process,
    config: Config,
    messages: Arc<Sender<Message>>,
) -> (Session, Ending) {
    Session::start(process.runtime(), process, config, move |event| {
        // Fails only if the conductor has ended.
        let _ = messages.send(Message::Session(event));
    })
}
