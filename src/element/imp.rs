//! The GObject class: properties, signals, pads and state changes.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_webrtc::WebRTCICETransportPolicy;

use super::SessionState;
use super::input::MediaPad;
use super::log::CAT;
use super::messages;
use super::peer::Work;
use super::peer::warm_up;
use super::run::{Run, StartError, StoppedRun};
use super::settings::{
    DEFAULT_CONNECT_TIMEOUT, DEFAULT_RETRIES, DEFAULT_SILENCE_TIMEOUT, DEFAULT_TIMEOUT, Settings,
    VideoFiller, parse_token,
};
use super::{signals, stats};
use crate::ivs::{Claims, GLOBAL_ENDPOINT};
use crate::session::ErrorKind;
use crate::whip::{MAX_TRACKS, TracksError};

/// What webrtcbin is made of, besides GStreamer's core.
const NEEDED_ELEMENTS: [&str; 8] = [
    "webrtcbin",
    "rtpbin",
    "nicesrc",
    "nicesink",
    "dtlssrtpenc",
    "dtlssrtpdec",
    "srtpenc",
    "rtpfunnel",
];

/// The instance of an `ivswhipsink`.
#[derive(Default, glib::Properties)]
#[properties(wrapper_type = super::IvsWhipSink)]
pub struct IvsWhipSink {
    /// The WHIP endpoint's URL.
    #[property(name = "whip-endpoint", get, set, type = Option<String>, member = whip_endpoint,
        default = Some(GLOBAL_ENDPOINT), mutable_ready,
        nick = "WHIP endpoint",
        blurb = "URL that takes the offer; the default is the global endpoint of Amazon IVS Real-Time")]
    /// The file that holds the token.
    #[property(name = "auth-token-file", get, set, type = Option<String>, member = auth_token_file,
        mutable_ready,
        nick = "Token file",
        blurb = "File that holds the participant token, read anew for each request; used if auth-token is not set")]
    /// Whether the server's ICE servers are used.
    #[property(name = "use-link-headers", get, set, type = bool, member = use_link_headers,
        mutable_ready,
        nick = "Use Link headers",
        blurb = "Use the STUN and TURN servers that the server names in Link headers; gathering then waits for the answer")]
    /// The STUN server.
    #[property(name = "stun-server", get, set, type = Option<String>, member = stun_server,
        mutable_ready,
        nick = "STUN server",
        blurb = "STUN server as stun://host:port; Amazon IVS needs none")]
    /// The TURN server.
    #[property(name = "turn-server", set, type = Option<String>, member = turn_server,
        mutable_ready,
        nick = "TURN server",
        blurb = "TURN server as turn(s)://user:password@host:port, write-only as it holds a password; Amazon IVS needs none")]
    /// Which candidates are used.
    #[property(name = "ice-transport-policy", get, set, type = WebRTCICETransportPolicy,
        member = ice_transport_policy, nick = "ICE transport policy",
        blurb = "Which ICE candidates are used: all, or those of the TURN server only",
        builder(WebRTCICETransportPolicy::All).mutable_ready())]
    /// Bounds the HTTP exchange.
    #[property(name = "timeout", get, set, type = u32, member = timeout,
        default = DEFAULT_TIMEOUT, maximum = 3600, mutable_ready,
        nick = "HTTP timeout",
        blurb = "Seconds for the HTTP exchange, redirects and body included; 0 is without bound")]
    /// Bounds ICE and DTLS.
    #[property(name = "connect-timeout", get, set, type = u32, member = connect_timeout,
        default = DEFAULT_CONNECT_TIMEOUT, minimum = 1, maximum = 3600, mutable_ready,
        nick = "Connect timeout",
        blurb = "Seconds from the server's answer to a connected media transport")]
    /// Bounds silence of the far end.
    #[property(name = "silence-timeout", get, set, type = u32, member = silence_timeout,
        default = DEFAULT_SILENCE_TIMEOUT, maximum = 3600, mutable_ready,
        nick = "Silence timeout",
        blurb = "Seconds without a sign of life from the far end after which the session is replaced; 0 leaves that to ICE, which can take minutes")]
    /// How long the POST waits for candidates.
    #[property(name = "gathering-timeout", get, set, type = u32, member = gathering_timeout,
        default = 0, maximum = 60_000, mutable_ready,
        nick = "Gathering timeout",
        blurb = "Milliseconds that the offer waits for ICE candidates, for servers that need them in it; Amazon IVS does not")]
    /// How often to try again.
    #[property(name = "retries", get, set, type = i32, member = retries,
        default = DEFAULT_RETRIES, minimum = -1, mutable_ready,
        nick = "Retries",
        blurb = "Attempts in a row after a failed one; -1 is 3 before the first success and without end after it")]
    /// What an audio-only offer has as video.
    #[property(name = "video-filler", get, set, type = VideoFiller, member = video_filler,
        nick = "Video filler",
        blurb = "The video section that is offered when no video is linked; Amazon IVS refuses an offer without one",
        builder(VideoFiller::Auto).mutable_ready())]
    /// Who may have the token.
    #[property(name = "redirect-hosts", get, set, type = Option<String>, member = redirect_hosts,
        mutable_ready,
        nick = "Redirect hosts",
        blurb = "Comma-separated hosts, *.domains and host:ports that may have the token after a redirect, besides the endpoint's own and those of Amazon IVS")]
    settings: Mutex<Settings>,

    /// The token; write-only, because a readable one is printed in graph dumps.
    #[property(name = "auth-token", set = Self::set_auth_token, type = Option<String>,
        mutable_playing,
        nick = "Token",
        blurb = "Participant token; unset, it comes from auth-token-file or the environment's IVS_STAGE_TOKEN. Can be renewed at any time")]
    /// The session's state.
    #[property(name = "session-state", get = Self::session_state, type = SessionState,
        nick = "Session state",
        blurb = "What the session is doing",
        builder(SessionState::Idle))]
    /// The participant's id.
    #[property(name = "participant-id", get = Self::participant_id, type = Option<String>,
        nick = "Participant id",
        blurb = "Id of the participant that the token in use stands for, if the token says so")]
    /// The stage's ARN.
    #[property(name = "stage-arn", get = Self::stage_arn, type = Option<String>,
        nick = "Stage ARN",
        blurb = "ARN of the stage that the token in use is for, if the token says so")]
    /// The token's end.
    #[property(name = "token-expiry", get = Self::token_expiry, type = i64,
        nick = "Token expiry",
        blurb = "When the token in use expires, in seconds since 1970-01-01 UTC; 0 if it does not say so")]
    state: Mutex<State>,

    /// Held by conductors only, so that an old run's can't link a pad that a
    /// new run's has just linked. The one guard that lives across calls: nothing
    /// it is held over waits for a conductor.
    pub(super) opening: Mutex<()>,

    /// The conductor's work, which the way to NULL waits for.
    pub(super) work: Work,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) pads: Vec<MediaPad>,
    pub(super) run: Option<Run>,
    pub(super) session_state: SessionState,
    /// What the token in use says of itself, unverified.
    pub(super) claims: Option<Claims>,
    runs: u64,
    playing: Option<Instant>,
}

impl State {
    pub(super) fn next_run_id(&mut self) -> u64 {
        self.runs += 1;
        self.runs
    }

    /// Whether PLAYING was reached since the last stop.
    pub(super) fn has_played(&self) -> bool {
        self.playing.is_some()
    }

    /// How long ago PLAYING was asked for; zero before that.
    pub(super) fn since_playing(&self) -> gst::ClockTime {
        let elapsed = self
            .playing
            .map(|playing| playing.elapsed())
            .unwrap_or_default();
        elapsed.try_into().unwrap_or(gst::ClockTime::ZERO)
    }
}

impl IvsWhipSink {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn settings(&self) -> Settings {
        self.settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn session_state(&self) -> SessionState {
        self.lock().session_state
    }

    fn participant_id(&self) -> Option<String> {
        self.lock()
            .claims
            .as_ref()
            .and_then(|claims| claims.participant_id.clone())
    }

    fn stage_arn(&self) -> Option<String> {
        self.lock()
            .claims
            .as_ref()
            .and_then(|claims| claims.stage_arn.clone())
    }

    fn token_expiry(&self) -> i64 {
        let expiry = self.lock().claims.as_ref().and_then(|claims| claims.expiry);
        let since = expiry.and_then(|expiry| expiry.duration_since(SystemTime::UNIX_EPOCH).ok());
        since
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or_default()
    }

    pub(super) fn keep_token(&self, token: String) {
        self.settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .auth_token = Some(token);
    }

    /// A running session takes a new token at once, for its next request; one
    /// that can't be a token leaves the old one in force.
    fn set_auth_token(&self, token: Option<String>) {
        let parsed = token.as_deref().map(parse_token).transpose();
        let is_running = self.lock().run.is_some();
        match parsed {
            Err(error) if is_running => {
                return messages::post_settings_warning(&self.obj(), &error);
            }
            Ok(token) => {
                if let Some(run) = &self.lock().run {
                    run.renew_token(token);
                }
            }
            // Before the session starts, its start judges the token.
            Err(_) => {}
        }
        self.settings
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .auth_token = token;
    }

    /// NULL→READY: says what is wrong with what is set, and with the system.
    fn prepare(&self) -> Result<(), gst::StateChangeError> {
        let missing: Vec<&str> = NEEDED_ELEMENTS
            .into_iter()
            .filter(|name| gst::ElementFactory::find(name).is_none())
            .collect();
        if !missing.is_empty() {
            messages::post_missing_elements(&self.obj(), &missing);
            return Err(gst::StateChangeError);
        }
        let checked = self.settings().config();
        checked.map_err(|error| self.refuse_start(StartError::Settings(error)))?;
        // Last: a start that fails here leaves no work behind.
        warm_up();
        Ok(())
    }

    /// READY→PAUSED: properties may have changed since [`Self::prepare`].
    fn start(&self) -> Result<(), gst::StateChangeError> {
        let pads = self.lock().pads.clone();
        pads.iter().for_each(MediaPad::reset);
        self.start_run(&self.settings()).map_err(|error| {
            self.rest();
            self.refuse_start(error)
        })
    }

    pub(super) fn refuse_start(&self, error: StartError) -> gst::StateChangeError {
        match error {
            StartError::Settings(error) => messages::post_settings_error(&self.obj(), &error),
            StartError::Other(kind, text) => {
                messages::post_error(&self.obj(), kind, "start", &text);
            }
        }
        gst::StateChangeError
    }

    fn stop(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        let stopped = self.stop_run();
        if let Some(stopped) = &stopped {
            stopped.close_peer();
        }
        let changed = self.parent_change_state(transition);
        if let Some(stopped) = stopped
            && !stopped.finish()
        {
            gst::warning!(
                CAT,
                imp = self,
                "the session is still being ended, in the background"
            );
        }
        self.rest();
        changed
    }

    /// There is no session any more.
    fn rest(&self) {
        let was = {
            let mut state = self.lock();
            state.playing = None;
            std::mem::take(&mut state.session_state)
        };
        if was != SessionState::Idle {
            self.obj().notify("session-state");
        }
    }
}

#[glib::object_subclass]
impl ObjectSubclass for IvsWhipSink {
    const NAME: &'static str = "GstIvsWhipSink";
    type Type = super::IvsWhipSink;
    type ParentType = gst::Bin;
}

impl ObjectImpl for IvsWhipSink {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut properties = IvsWhipSink::derived_properties().to_vec();
            // Last, as the derived ones go by their number.
            properties.push(stats::property());
            properties
        });
        &PROPERTIES
    }

    fn set_property(&self, id: usize, value: &glib::Value, pspec: &glib::ParamSpec) {
        self.derived_set_property(id, value, pspec);
    }

    fn property(&self, id: usize, pspec: &glib::ParamSpec) -> glib::Value {
        match pspec.name() {
            stats::STATS => self.stats().to_value(),
            _ => self.derived_property(id, pspec),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        // A sink for its parent whatever is inside, webrtcbin or nothing yet.
        element.set_suppressed_flags(gst::ElementFlags::SINK | gst::ElementFlags::SOURCE);
        element.set_element_flags(gst::ElementFlags::SINK);
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        signals::signals()
    }
}

impl GstObjectImpl for IvsWhipSink {}

impl ElementImpl for IvsWhipSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::new(
                "Amazon IVS Real-Time WHIP sink",
                "Sink/Network/WebRTC",
                "Publishes RTP audio and video to an Amazon IVS Real-Time stage over WHIP",
                "The gst-plugin-ivs authors",
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let caps = gst::Caps::new_empty_simple("application/x-rtp");
            let template = gst::PadTemplate::new(
                "sink_%u",
                gst::PadDirection::Sink,
                gst::PadPresence::Request,
                &caps,
            );
            template.into_iter().collect()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        if self.lock().pads.len() >= MAX_TRACKS {
            let text = format!("No more pads: {}.", TracksError::TooMany);
            messages::post_error(&self.obj(), ErrorKind::Settings, "start", &text);
            return None;
        }
        match self.add_media_pad(template, name) {
            Ok(pad) => Some(pad),
            Err(error) => {
                let text = format!("The pad could not be made: {}.", error.message);
                messages::post_error(&self.obj(), ErrorKind::Settings, "start", &text);
                None
            }
        }
    }

    /// A seek goes upstream through the pads: inside there is a sink only while
    /// there is a session, and what it would make of it is webrtcbin's.
    fn send_event(&self, event: gst::Event) -> bool {
        if event.type_() != gst::EventType::Seek {
            return self.parent_send_event(event);
        }
        let pads = self.lock().pads.clone();
        let mut was_taken = false;
        for pad in &pads {
            was_taken |= pad.ghost.push_event(event.clone());
        }
        was_taken
    }

    fn release_pad(&self, pad: &gst::Pad) {
        if let Some(ghost) = pad.downcast_ref::<gst::GhostPad>() {
            self.drop_media_pad(ghost);
        }
    }

    fn change_state(
        &self,
        transition: gst::StateChange,
    ) -> Result<gst::StateChangeSuccess, gst::StateChangeError> {
        match transition {
            gst::StateChange::NullToReady => self.prepare()?,
            gst::StateChange::ReadyToPaused => self.start()?,
            gst::StateChange::PausedToPlaying => {
                self.lock().playing.get_or_insert_with(Instant::now);
            }
            gst::StateChange::PausedToReady => return self.stop(transition),
            gst::StateChange::ReadyToNull => {
                warm_up().wait();
                self.work.wait();
            }
            _ => {}
        }
        let changed = self.parent_change_state(transition);
        if transition == gst::StateChange::ReadyToPaused && changed.is_err() {
            self.stop_run().map(StoppedRun::finish);
            self.rest();
        }
        if transition == gst::StateChange::PausedToPlaying {
            self.line_up();
        }
        changed
    }
}

impl BinImpl for IvsWhipSink {
    fn handle_message(&self, message: gst::Message) {
        if let gst::MessageView::Error(error) = message.view()
            && let Some(child) = message.src()
            && self.child_failed(child, &error.error())
        {
            gst::debug!(
                CAT,
                imp = self,
                "{} failed: {}",
                child.name(),
                error.error()
            );
            return;
        }
        self.parent_handle_message(message);
    }
}
