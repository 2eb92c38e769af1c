//! The GObject class: properties, signals, pads and state changes.

use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use gst_webrtc::WebRTCICETransportPolicy;

use super::input::{Latency, MediaPad, accepted_caps};
use super::log::CAT;
use super::peer::plugin_preload;
use super::run::{self, ElementState, MediaSettings, Message, StartError};
use super::session_state::SessionState;
use super::settings::{
    CongestionControl, DEFAULT_CONNECT_TIMEOUT, DEFAULT_MAX_BITRATE, DEFAULT_MAX_FRAMERATE,
    DEFAULT_MIN_BITRATE, DEFAULT_RETRIES, DEFAULT_SILENCE_TIMEOUT, DEFAULT_TIMEOUT, Settings,
    SettingsError, VideoFiller, parse_token,
};
use super::signaller::{SIGNALLER, Signaller};
use super::{bus_messages, metadata, signals, stats};
use crate::ivs::GLOBAL_ENDPOINT;
use crate::session::Config;
use crate::whip::{Track, TracksError};

/// webrtcbin and the elements that it makes, without those of GStreamer's core.
const REQUIRED_ELEMENTS: [&str; 8] = [
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
    /// The WHIP endpoint's URL. Default: the global endpoint of IVS.
    #[property(name = "whip-endpoint", get, set, type = Option<String>, member = whip_endpoint,
        default = Some(GLOBAL_ENDPOINT), mutable_ready,
        nick = "WHIP endpoint",
        blurb = "URL to POST the offer to; the default is the global endpoint of Amazon IVS Real-Time")]
    /// The file that holds the token, read for each request if `auth-token` is not set.
    #[property(name = "auth-token-file", get, set, type = Option<String>, member = auth_token_file,
        mutable_ready,
        nick = "Token file",
        blurb = "File that holds only the participant token, 64 KB at most; read again for each POST. Used if auth-token is not set")]
    /// Whether to use the ICE servers of the server's Link headers. Default: false.
    #[property(name = "use-link-headers", get, set, type = bool, member = use_link_headers,
        mutable_ready,
        nick = "Use Link headers",
        blurb = "Use the STUN and TURN servers in the Link headers of the server's answer; ICE gathering then starts after the answer. Amazon IVS needs none")]
    /// The STUN server, as `stun://host:port`. Default: none.
    #[property(name = "stun-server", get, set, type = Option<String>, member = stun_server,
        mutable_ready,
        nick = "STUN server",
        blurb = "STUN server as stun://host:port; none by default, and Amazon IVS needs none")]
    /// The TURN server, as `turn(s)://user:password@host:port`. Default: none.
    #[property(name = "turn-server", set, type = Option<String>, member = turn_server,
        mutable_ready,
        nick = "TURN server",
        blurb = "TURN server as turn(s)://user:password@host:port; write-only because of the password. None by default, and Amazon IVS needs none")]
    /// Which ICE candidates are used: all (the default), or those of the TURN server only.
    #[property(name = "ice-transport-policy", get, set, type = WebRTCICETransportPolicy,
        member = ice_transport_policy, nick = "ICE transport policy",
        blurb = "ICE candidates to use: all, or only those of the TURN server (relay), which needs turn-server, turn-servers or use-link-headers",
        builder(WebRTCICETransportPolicy::All).mutable_ready())]
    /// Time limit of an HTTP exchange with its redirects: 0 (no limit) to 3600 s, default 15 s.
    #[property(name = "timeout", get, set, type = u32, member = timeout,
        default = DEFAULT_TIMEOUT, maximum = 3600, mutable_ready,
        nick = "HTTP timeout",
        blurb = "Seconds for the HTTP exchange of an attempt, redirects included; 0 = no limit")]
    /// Time limit of ICE and DTLS, from the answer on: 1 to 3600 s, default 10 s.
    #[property(name = "connect-timeout", get, set, type = u32, member = connect_timeout,
        default = DEFAULT_CONNECT_TIMEOUT, minimum = 1, maximum = 3600, mutable_ready,
        nick = "Connect timeout",
        blurb = "Seconds from the server's answer to a connected media transport (ICE and DTLS)")]
    /// Silence of the far end after which the session is replaced: 0 (left to ICE) to
    /// 3600 s, default 10 s.
    #[property(name = "silence-timeout", get, set, type = u32, member = silence_timeout,
        default = DEFAULT_SILENCE_TIMEOUT, maximum = 3600, mutable_ready,
        nick = "Silence timeout",
        blurb = "Seconds without a sign of life from the far end before the session is replaced; 0 = only ICE detects a loss, within a minute")]
    /// How long the POST waits for ICE candidates: 0 (the default) to 60000 ms.
    #[property(name = "gathering-timeout", get, set, type = u32, member = gathering_timeout,
        default = 0, maximum = 60_000, mutable_ready,
        nick = "Gathering timeout",
        blurb = "Milliseconds to wait for ICE candidates before the offer is posted, for servers that need them in the offer; 0 = no wait, which is right for Amazon IVS")]
    /// Retries in a row. -1 (the default): 3 before the first success, no limit after it.
    #[property(name = "retries", get, set, type = i32, member = retries,
        default = DEFAULT_RETRIES, minimum = -1, mutable_ready,
        nick = "Retries",
        blurb = "Retries in a row after a failed attempt; 0 = none, -1 = 3 before the first success and no limit after it")]
    /// The video section of an offer without video. Default: auto.
    #[property(name = "video-filler", get, set, type = VideoFiller, member = video_filler,
        nick = "Video filler",
        blurb = "Video section to offer if no video is linked; Amazon IVS refuses an offer without one. auto falls back from one mode to the next",
        builder(VideoFiller::Auto).mutable_ready())]
    /// Hosts that may have the token after a redirect, besides those of the endpoint and
    /// of IVS. Comma-separated; default: none.
    #[property(name = "redirect-hosts", get, set, type = Option<String>, member = redirect_hosts,
        mutable_ready,
        nick = "Redirect hosts",
        blurb = "Hosts that may get the token after a redirect, besides those of the endpoint and of Amazon IVS: comma-separated names, *.domain or host:port")]
    /// Whether the video follows what the network carries. Default: auto.
    #[property(name = "congestion-control", get, set, type = CongestionControl,
        member = congestion_control, nick = "Congestion control",
        blurb = "Whether the video follows what the network carries: an encoder's bit rate, else target-bitrate, else frames are left out. Audio is never reduced",
        builder(CongestionControl::Auto).mutable_ready())]
    /// The lowest bit rate of the video: 10000 to 100000000 bit/s, default 150000.
    #[property(name = "min-bitrate", get, set, type = u32, member = min_bitrate,
        default = DEFAULT_MIN_BITRATE, minimum = 10_000, maximum = 100_000_000, mutable_ready,
        nick = "Lowest bit rate",
        blurb = "Lowest bit rate of the video in bit/s, even if the network carries less")]
    /// The bit rate of the video at the start: 0 (the default: 1200000, within the other
    /// two) to 100000000 bit/s.
    #[property(name = "start-bitrate", get, set, type = u32, member = start_bitrate,
        default = 0, maximum = 100_000_000, mutable_ready,
        nick = "Start bit rate",
        blurb = "Bit rate of the video at the start of a session in bit/s; 0 = 1200000, within min-bitrate and max-bitrate")]
    /// The highest bit rate of the video: 10000 to 100000000 bit/s, default 8000000.
    #[property(name = "max-bitrate", get, set, type = u32, member = max_bitrate,
        default = DEFAULT_MAX_BITRATE, minimum = 10_000, maximum = 100_000_000, mutable_ready,
        nick = "Highest bit rate",
        blurb = "Highest bit rate of the video in bit/s, with what is sent again of it but without headers; an upstream encoder is never set above its own bit rate. The default leaves room for audio within the 8500000 that Amazon IVS accepts")]
    /// The H.264 encoder for raw video: a factory's name. Default: the element chooses.
    #[property(name = "video-encoder", get, set, type = Option<String>, member = video_encoder,
        mutable_playing,
        nick = "Video encoder",
        blurb = "Factory of the H.264 encoder for raw video, such as x264enc; if not set, hardware encoders that open, then x264enc, then openh264enc. There is no other in place of one that is set and fails. Read at the first caps of a pad")]
    /// The highest frame rate of raw video: 10 to 60 frames a second, default 30.
    #[property(name = "max-framerate", get, set, type = u32, member = max_framerate,
        default = DEFAULT_MAX_FRAMERATE, minimum = 10, maximum = 60, mutable_playing,
        nick = "Highest frame rate",
        blurb = "Highest frame rate of raw video in frames a second; more is dropped before the encoder. Read at the caps of a pad")]
    /// The bit rate of raw audio: 0 (the default: 64000 for mono, 96000 for stereo), or
    /// 6000 to 160000 bit/s.
    #[property(name = "audio-bitrate", get, set, type = u32, member = audio_bitrate,
        default = 0, maximum = 160_000, mutable_playing,
        nick = "Audio bit rate",
        blurb = "Bit rate of raw audio in bit/s, 6000 to 160000; 0 = 64000 for mono, 96000 for stereo. Read at the caps of a pad")]
    /// What whipclientsink may make of video. Default: unset.
    #[property(name = "video-caps", get, set, type = Option<gst::Caps>, member = video_caps,
        mutable_ready,
        nick = "Video caps",
        blurb = "For pipelines of whipclientsink: caps with video/x-h264, which is what the element makes, of constrained baseline whatever they say. Others are an error at the start")]
    /// What whipclientsink may make of audio. Default: unset.
    #[property(name = "audio-caps", get, set, type = Option<gst::Caps>, member = audio_caps,
        mutable_ready,
        nick = "Audio caps",
        blurb = "For pipelines of whipclientsink: caps with audio/x-opus, which is what the element makes. Others are an error at the start")]
    /// Whether lost video is sent again where the far end asks for it. Default: true.
    #[property(name = "do-retransmission", get, set, type = bool, member = do_retransmission,
        default = true, mutable_ready,
        nick = "Retransmission",
        blurb = "Offer to send lost video packets again, which the element does within a limit if the far end supports it")]
    /// Nothing. Default: false.
    #[property(name = "do-fec", get, set, type = bool, member = do_fec, mutable_ready,
        nick = "FEC",
        blurb = "For pipelines of whipclientsink: no effect. The element sends no FEC for video; Opus has redundancy where packets are lost")]
    settings: Mutex<Settings>,

    /// The TURN servers besides `turn-server`, each as `turn(s)://user:password@host:port`.
    #[property(name = "turn-servers", set = Self::set_turn_servers, type = gst::Array,
        nick = "TURN servers",
        blurb = "TURN servers besides turn-server, each as turn(s)://user:password@host:port; write-only because of the passwords",
        builder().element_spec(&glib::ParamSpecString::builder("turn-server").build()).mutable_ready())]
    /// Where whipclientsink has the endpoint and the token.
    #[property(name = "signaller", get = Self::signaller, type = Signaller,
        nick = "Signaller",
        blurb = "For applications of whipclientsink: an object that has whip-endpoint, auth-token, timeout and use-link-headers too, also as the child signaller (signaller::auth-token)")]
    signaller: OnceLock<Signaller>,

    /// The bit rate that the video should have; 0 if there is no estimate. An application
    /// whose encoder the element can't set follows it.
    #[property(name = "target-bitrate", get = Self::target_bitrate, type = u32,
        nick = "Target bit rate",
        blurb = "Bit rate in bit/s that the video should have now; 0 = not known. Notified when it changes, at most five times a second")]
    /// The participant token. Write-only, because graph dumps print readable properties.
    #[property(name = "auth-token", set = Self::set_auth_token, type = Option<String>,
        mutable_playing,
        nick = "Token",
        blurb = "Participant token; if not set, auth-token-file, then the environment variable IVS_STAGE_TOKEN is used. A change while publishing counts from the next request on")]
    /// The state of the session.
    #[property(name = "session-state", get = Self::session_state, type = SessionState,
        nick = "Session state",
        blurb = "Current state of the session; also posted as element message ivswhipsink-session-state",
        builder(SessionState::Idle))]
    /// The participant's id in the token in use, not verified.
    #[property(name = "participant-id", get = Self::participant_id, type = Option<String>,
        nick = "Participant id",
        blurb = "Participant id in the token of the last attempt, not verified; null = not known")]
    /// The stage's ARN in the token in use, not verified.
    #[property(name = "stage-arn", get = Self::stage_arn, type = Option<String>,
        nick = "Stage ARN",
        blurb = "ARN of the stage in the token of the last attempt, not verified; null = not known")]
    /// Expiry of the token in use, in seconds since 1970-01-01 UTC; 0 if unknown.
    #[property(name = "token-expiry", get = Self::token_expiry, type = i64,
        nick = "Token expiry",
        blurb = "Expiry of the token of the last attempt, in seconds since 1970-01-01 UTC; 0 = not known")]
    state: Arc<ElementState>,
}

impl IvsWhipSink {
    fn settings(&self) -> Settings {
        let settings = self.settings.lock();
        settings.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn config(&self) -> Result<Config, SettingsError> {
        let token = self.state.auth_token();
        self.settings().config(token.as_deref())
    }

    fn set_turn_servers(&self, servers: gst::Array) {
        let servers = servers.iter().filter_map(|server| server.get().ok());
        let servers = servers.collect();
        let settings = self.settings.lock();
        settings
            .unwrap_or_else(PoisonError::into_inner)
            .turn_servers = servers;
    }

    fn signaller(&self) -> Signaller {
        let make = || Signaller::new(self.obj().upcast_ref());
        self.signaller.get_or_init(make).clone()
    }

    fn session_state(&self) -> SessionState {
        self.state.session_state()
    }

    fn target_bitrate(&self) -> u32 {
        let run = self.state.run();
        let target = run.and_then(|run| run.view.statistics().target_bitrate);
        target
            .and_then(|target| u32::try_from(target).ok())
            .unwrap_or_default()
    }

    fn participant_id(&self) -> Option<String> {
        self.state.claims()?.participant_id
    }

    fn stage_arn(&self) -> Option<String> {
        self.state.claims()?.stage_arn
    }

    fn token_expiry(&self) -> i64 {
        let expiry = self.state.claims().and_then(|claims| claims.expiry);
        let since = expiry.and_then(|expiry| expiry.duration_since(SystemTime::UNIX_EPOCH).ok());
        since
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or_default()
    }

    /// A running session uses the new token from its next request on. An invalid
    /// token is refused with a warning, and the old one stays in use.
    fn set_auth_token(&self, text: Option<String>) {
        let parsed = text.as_deref().map(parse_token).transpose();
        match (self.state.run(), parsed) {
            (Some(_), Err(error)) => {
                bus_messages::post_settings_warning(self.obj().upcast_ref(), &error);
            }
            (Some(run), Ok(token)) => {
                self.state.set_auth_token(text);
                run.renew_token(token);
            }
            // It is checked when a session starts.
            (None, _) => self.state.set_auth_token(text),
        }
    }

    /// NULL→READY: checks the settings and the installed elements.
    fn prepare(&self) -> Result<(), gst::StateChangeError> {
        let missing: Vec<&str> = REQUIRED_ELEMENTS
            .into_iter()
            .filter(|name| gst::ElementFactory::find(name).is_none())
            .collect();
        if !missing.is_empty() {
            bus_messages::post_missing_elements(self.obj().upcast_ref(), &missing);
            return Err(gst::StateChangeError);
        }
        let checked = self.config();
        checked.map_err(|error| self.refuse_start(StartError::Settings(error)))?;
        // Last, so that a failed start begins no work.
        plugin_preload::begin();
        Ok(())
    }

    /// READY→PAUSED: checks the settings again, as they may have changed since
    /// [`Self::prepare`], and starts a run.
    fn start(&self) -> Result<(), gst::StateChangeError> {
        for pad in self.state.pads.get() {
            pad.reset();
            pad.forget_media(self.obj().upcast_ref());
        }
        let settings = self.settings();
        let started = self.config().and_then(|config| {
            let media = MediaSettings {
                ice: settings.ice(),
                bitrates: settings.bitrates()?,
                retransmits: settings.do_retransmission,
            };
            Ok((config, media))
        });
        let started = started
            .map_err(StartError::Settings)
            .and_then(|(config, media)| {
                run::start(self.obj().upcast_ref(), &self.state, config, media)
            });
        started.map_err(|error| {
            self.rest(SessionState::Idle);
            self.refuse_start(error)
        })
    }

    fn refuse_start(&self, error: StartError) -> gst::StateChangeError {
        let element = self.obj();
        match error {
            StartError::Settings(error) => {
                bus_messages::post_settings_error(element.upcast_ref(), &error);
            }
            StartError::Other(kind, text) => {
                bus_messages::post_error(element.upcast_ref(), kind, "start", &text);
            }
        }
        gst::StateChangeError
    }

    /// PAUSED→READY, and the clean-up after a failed READY→PAUSED.
    fn stop(&self, change_state: impl FnOnce()) {
        let was = self.session_state();
        let target = self.target_bitrate();
        let stopped = run::stop(&self.state);
        if let Some(stopped) = &stopped {
            stopped.close_peer();
        }
        change_state();
        if let Some(stopped) = stopped
            && !stopped.wait()
        {
            gst::warning!(
                CAT,
                imp = self,
                "the session is still being ended, in the background"
            );
        }
        self.rest(was);
        if target != 0 {
            self.obj().notify("target-bitrate");
        }
    }

    /// Notes that there is no session any more. `was` is the state before.
    fn rest(&self, was: SessionState) {
        self.state.clear_after_stop();
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
    type Interfaces = (gst::ChildProxy,);
}

impl ObjectImpl for IvsWhipSink {
    fn properties() -> &'static [glib::ParamSpec] {
        static PROPERTIES: LazyLock<Vec<glib::ParamSpec>> = LazyLock::new(|| {
            let mut properties = IvsWhipSink::derived_properties().to_vec();
            // Last: the derived code finds its properties by index.
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
            stats::STATS => stats::stats(&self.state).to_value(),
            _ => self.derived_property(id, pspec),
        }
    }

    fn constructed(&self) {
        self.parent_constructed();
        let element = self.obj();
        // The parent has to see a sink, with or without a webrtcbin inside.
        element.set_suppressed_flags(gst::ElementFlags::SINK | gst::ElementFlags::SOURCE);
        element.set_element_flags(gst::ElementFlags::SINK);
    }

    fn signals() -> &'static [glib::subclass::Signal] {
        signals::signals(|element, data, repeat| {
            metadata::send(element.upcast_ref(), &element.imp().state, data, repeat)
        })
    }
}

impl GstObjectImpl for IvsWhipSink {}

impl ElementImpl for IvsWhipSink {
    fn metadata() -> Option<&'static gst::subclass::ElementMetadata> {
        static METADATA: LazyLock<gst::subclass::ElementMetadata> = LazyLock::new(|| {
            gst::subclass::ElementMetadata::with_additional(
                "Amazon IVS Real-Time WHIP sink",
                "Sink/Network/WebRTC",
                "Publishes at most one audio and one video stream, raw, encoded or RTP, to an Amazon \
                 IVS Real-Time stage or another WHIP server. Link sources to the request pads \
                 sink_%u (either), audio_%u and video_%u, and set the participant token by \
                 auth-token, auth-token-file or the environment variable IVS_STAGE_TOKEN",
                "The gst-plugin-ivs authors",
                &documentation(),
            )
        });
        Some(&METADATA)
    }

    fn pad_templates() -> &'static [gst::PadTemplate] {
        static TEMPLATES: LazyLock<Vec<gst::PadTemplate>> = LazyLock::new(|| {
            let template = |name, caps: &gst::Caps| {
                let (direction, presence) = (gst::PadDirection::Sink, gst::PadPresence::Request);
                gst::PadTemplate::new(name, direction, presence, caps)
            };
            // sink_%u links to anything, so that it can say why something is refused. It is
            // the first, so it is taken where no name is given.
            let templates = [
                template("sink_%u", &gst::Caps::new_any()),
                template("audio_%u", &accepted_caps(Track::Audio)),
                template("video_%u", &accepted_caps(Track::Video)),
            ];
            templates.into_iter().flatten().collect()
        });
        &TEMPLATES
    }

    fn request_new_pad(
        &self,
        template: &gst::PadTemplate,
        name: Option<&str>,
        _caps: Option<&gst::Caps>,
    ) -> Option<gst::Pad> {
        let element = self.obj();
        let refuse = |text: String| bus_messages::post_warning(element.upcast_ref(), &text);
        let pads = &self.state.pads;
        if pads.is_full() {
            refuse(format!("No more pads: {}.", TracksError::TooMany));
            return None;
        }
        let state = Arc::downgrade(&self.state);
        let tell = move |event| {
            if let Some(state) = state.upgrade() {
                state.pad_event(event);
            }
        };
        let added = pads.add(element.upcast_ref(), template, name, tell);
        added
            .inspect_err(|error| refuse(format!("The pad could not be made: {}.", error.message)))
            .ok()
    }

    /// Sends a seek upstream through the pads. A bin's default is to send events to
    /// the sinks inside, which exist only during a session and are webrtcbin's own.
    fn send_event(&self, event: gst::Event) -> bool {
        match event.type_() {
            gst::EventType::Seek => {
                let mut was_taken = false;
                for pad in self.state.pads.get() {
                    was_taken |= pad.ghost.push_event(event.clone());
                }
                was_taken
            }
            // Media are sent as they come, whatever the pipeline's latency is.
            gst::EventType::Latency => {
                self.state
                    .pads
                    .get()
                    .iter()
                    .for_each(MediaPad::latency_changed);
                true
            }
            _ => self.parent_send_event(event),
        }
    }

    /// Answers for latency as a live sink does, with what the pads' sources say.
    fn query(&self, query: &mut gst::QueryRef) -> bool {
        match query.view_mut() {
            gst::QueryViewMut::Latency(latency) => {
                let pads = self.state.pads.get();
                let answers = pads.iter().filter_map(MediaPad::upstream_latency);
                let answer = answers.fold(Latency::default(), Latency::with);
                latency.set(answer.is_live, answer.min, answer.max);
                true
            }
            _ => self.parent_query(query),
        }
    }

    fn release_pad(&self, pad: &gst::Pad) {
        if let Some(ghost) = pad.downcast_ref::<gst::GhostPad>()
            && self.state.pads.remove(self.obj().upcast_ref(), ghost)
        {
            self.state.tell(Message::PadsChanged);
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
                self.state.play_requested();
                self.state.pads.play(self.obj().upcast_ref());
            }
            gst::StateChange::PlayingToPaused => self.state.pads.pause(),
            gst::StateChange::PausedToReady => {
                let mut changed = Err(gst::StateChangeError);
                self.stop(|| changed = self.parent_change_state(transition));
                return changed;
            }
            gst::StateChange::ReadyToNull => plugin_preload::wait(),
            _ => {}
        }
        let changed = self.parent_change_state(transition);
        match transition {
            gst::StateChange::ReadyToPaused if changed.is_err() => self.stop(|| {}),
            gst::StateChange::PausedToPlaying => self.state.tell(Message::Playing),
            _ => {}
        }
        changed
    }
}

impl BinImpl for IvsWhipSink {
    fn handle_message(&self, message: gst::Message) {
        // An error of a pad's clocksync goes to the pipeline. One of its chain goes to the
        // pad, which replaces an encoder or is left out. All others are of a peer
        // connection, and go to the session, which retries or posts an error.
        if let gst::MessageView::Error(error) = message.view()
            && let Some(child) = message.src()
            && !is_clocksync(child)
        {
            let text = format!("{}: {}", child.name(), error.error().message());
            gst::debug!(CAT, imp = self, "{text}");
            let pads = self.state.pads.get();
            if pads.iter().any(|pad| pad.child_failed(child, &text)) {
                return;
            }
            let child = child.clone();
            self.state.tell(Message::ChildFailed { child, text });
            return;
        }
        let is_stream_start = message.type_() == gst::MessageType::StreamStart;
        if is_stream_start && !self.state.is_first_stream_start() {
            return;
        }
        self.parent_handle_message(message);
    }
}

/// `signaller` is a child by its name only: who walks through the children of a bin expects
/// elements.
impl ChildProxyImpl for IvsWhipSink {
    fn child_by_name(&self, name: &str) -> Option<glib::Object> {
        match name {
            SIGNALLER => Some(self.signaller().upcast()),
            _ => self.parent_child_by_name(name),
        }
    }

    fn child_by_index(&self, index: u32) -> Option<glib::Object> {
        self.parent_child_by_index(index)
    }

    fn children_count(&self) -> u32 {
        self.parent_children_count()
    }
}

/// Whether an element is a pad's clocksync.
fn is_clocksync(child: &gst::Object) -> bool {
    let factory = child
        .downcast_ref::<gst::Element>()
        .and_then(|element| element.factory());
    factory.is_some_and(|factory| factory.name() == "clocksync")
}

/// Where the documentation is installed, if the build says so: `gst-inspect-1.0` shows it.
fn documentation() -> Vec<(&'static str, &'static str)> {
    let uri = option_env!("IVSWHIPSINK_DOC_URI");
    uri.map(|uri| (gst::ELEMENT_METADATA_DOC_URI.as_str(), uri))
        .into_iter()
        .collect()
}
