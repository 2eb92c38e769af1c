//! The property values, and their conversion to a session's configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use gst_webrtc::WebRTCICETransportPolicy;

use crate::ivs::{Filler, FillerMode, GLOBAL_ENDPOINT, MAX_BIT_RATE, RedirectHosts};
use crate::media::bandwidth::Limits;
use crate::session::{Config, Retries, TokenSource, Tokens};
use crate::whip::{Endpoint, Token};

pub(super) const ENVIRONMENT_TOKEN: &str = "IVS_STAGE_TOKEN";
pub(super) const DEFAULT_TIMEOUT: u32 = 15;
pub(super) const DEFAULT_CONNECT_TIMEOUT: u32 = 10;
pub(super) const DEFAULT_SILENCE_TIMEOUT: u32 = 10;
/// The bit rate of a small picture that can still be recognized.
pub(super) const DEFAULT_MIN_BITRATE: u32 = 150_000;
/// What most networks carry, so that the first seconds are seen.
pub(super) const DEFAULT_START_BITRATE: u32 = 1_200_000;
/// The limit of IVS, less what audio and headers take.
pub(super) const DEFAULT_MAX_BITRATE: u32 = 8_000_000;
/// What level 3.1 of H.264 allows for 720p.
pub(super) const DEFAULT_MAX_FRAMERATE: u32 = 30;
/// Means [`Retries::Default`].
pub(super) const DEFAULT_RETRIES: i32 = -1;

/// The values of the property `video-filler`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstIvsWhipSinkVideoFiller")]
pub enum VideoFiller {
    /// See [`Filler::Auto`].
    #[default]
    #[enum_value(
        name = "The first mode that the server accepts: inactive, sendonly, black",
        nick = "auto"
    )]
    Auto,
    /// See [`FillerMode::Inactive`].
    #[enum_value(name = "Inactive video section, never sends", nick = "inactive")]
    Inactive,
    /// See [`FillerMode::Sendonly`].
    #[enum_value(name = "Sendonly video section without media", nick = "sendonly")]
    Sendonly,
    /// See [`FillerMode::Black`].
    #[enum_value(
        name = "Sendonly video section with a small black picture every second",
        nick = "black"
    )]
    Black,
    /// See [`Filler::None`].
    #[enum_value(name = "No video section; refused by Amazon IVS", nick = "none")]
    None,
}

impl From<VideoFiller> for Filler {
    fn from(filler: VideoFiller) -> Self {
        match filler {
            VideoFiller::Auto => Self::Auto,
            VideoFiller::Inactive => Self::Pinned(FillerMode::Inactive),
            VideoFiller::Sendonly => Self::Pinned(FillerMode::Sendonly),
            VideoFiller::Black => Self::Pinned(FillerMode::Black),
            VideoFiller::None => Self::None,
        }
    }
}

/// The values of the property `congestion-control`. Those of whipclientsink have its
/// numbers, which an application in C may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, glib::Enum)]
#[enum_type(name = "GstIvsWhipSinkCongestionControl")]
pub enum CongestionControl {
    /// The video follows what the network carries.
    #[default]
    #[enum_value(name = "The video follows what the network carries", nick = "auto")]
    Auto = 3,
    /// All is sent as it comes.
    #[enum_value(name = "All is sent as it comes", nick = "none")]
    None = 4,
    /// As [`Self::None`].
    #[enum_value(name = "As none, for pipelines of whipclientsink", nick = "disabled")]
    Disabled = 0,
    /// As [`Self::Auto`].
    #[enum_value(name = "As auto, for pipelines of whipclientsink", nick = "homegrown")]
    Homegrown = 1,
    /// As [`Self::Auto`].
    #[enum_value(name = "As auto, for pipelines of whipclientsink", nick = "gcc")]
    Gcc = 2,
}

impl CongestionControl {
    fn is_on(self) -> bool {
        match self {
            Self::Auto | Self::Gcc | Self::Homegrown => true,
            Self::None | Self::Disabled => false,
        }
    }
}

/// The property values as the user set them, not checked yet.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) whip_endpoint: Option<String>,
    pub(super) auth_token_file: Option<String>,
    pub(super) use_link_headers: bool,
    pub(super) stun_server: Option<String>,
    pub(super) turn_server: Option<String>,
    pub(super) turn_servers: Vec<String>,
    pub(super) ice_transport_policy: WebRTCICETransportPolicy,
    pub(super) timeout: u32,
    pub(super) connect_timeout: u32,
    pub(super) silence_timeout: u32,
    pub(super) gathering_timeout: u32,
    pub(super) retries: i32,
    pub(super) video_filler: VideoFiller,
    pub(super) redirect_hosts: Option<String>,
    pub(super) congestion_control: CongestionControl,
    pub(super) min_bitrate: u32,
    pub(super) start_bitrate: u32,
    pub(super) max_bitrate: u32,
    pub(super) video_encoder: Option<String>,
    pub(super) max_framerate: u32,
    pub(super) audio_bitrate: u32,
    pub(super) video_caps: Option<gst::Caps>,
    pub(super) audio_caps: Option<gst::Caps>,
    pub(super) do_retransmission: bool,
    /// Without effect.
    pub(super) do_fec: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            whip_endpoint: Some(GLOBAL_ENDPOINT.to_owned()),
            auth_token_file: None,
            use_link_headers: false,
            stun_server: None,
            turn_server: None,
            turn_servers: Vec::new(),
            ice_transport_policy: WebRTCICETransportPolicy::All,
            timeout: DEFAULT_TIMEOUT,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            silence_timeout: DEFAULT_SILENCE_TIMEOUT,
            gathering_timeout: 0,
            retries: DEFAULT_RETRIES,
            video_filler: VideoFiller::Auto,
            redirect_hosts: None,
            congestion_control: CongestionControl::Auto,
            min_bitrate: DEFAULT_MIN_BITRATE,
            start_bitrate: 0,
            max_bitrate: DEFAULT_MAX_BITRATE,
            video_encoder: None,
            max_framerate: DEFAULT_MAX_FRAMERATE,
            audio_bitrate: 0,
            video_caps: None,
            audio_caps: None,
            do_retransmission: true,
            do_fec: false,
        }
    }
}

impl Settings {
    /// Checks and converts the values. `auth_token` is the property of that name.
    /// A missing token is no error here: it may be set before the session starts.
    pub(super) fn config(&self, auth_token: Option<&str>) -> Result<Config, SettingsError> {
        let endpoint = self.whip_endpoint.as_deref().unwrap_or(GLOBAL_ENDPOINT);
        let hosts = self.redirect_hosts.as_deref().unwrap_or_default();
        let turn = ["turn://", "turns://"];
        check_ice_url("stun-server", self.stun_server.as_deref(), &["stun://"])?;
        check_ice_url("turn-server", self.turn_server.as_deref(), &turn)?;
        for server in &self.turn_servers {
            check_ice_url("turn-servers", Some(server), &turn)?;
        }
        self.check_relay()?;
        self.bitrates()?;
        check_caps("video-caps", self.video_caps.as_deref(), "video/x-h264")?;
        check_caps("audio-caps", self.audio_caps.as_deref(), "audio/x-opus")?;
        Ok(Config {
            endpoint: Endpoint::parse(endpoint).map_err(settings_error("whip-endpoint"))?,
            tokens: Tokens::new(self.token_source(auth_token)?),
            redirect_hosts: RedirectHosts::parse(hosts)
                .map_err(settings_error("redirect-hosts"))?,
            http_timeout: (self.timeout > 0).then(|| Duration::from_secs(self.timeout.into())),
            connect_timeout: Duration::from_secs(self.connect_timeout.into()),
            silence_timeout: (self.silence_timeout > 0)
                .then(|| Duration::from_secs(self.silence_timeout.into())),
            gathering_timeout: Duration::from_millis(self.gathering_timeout.into()),
            retries: u32::try_from(self.retries).map_or(Retries::Default, Retries::Limit),
            filler: self.video_filler.into(),
        })
    }

    /// `relay` uses only candidates of a TURN server, so it needs one.
    fn check_relay(&self) -> Result<(), SettingsError> {
        let is_relay = self.ice_transport_policy == WebRTCICETransportPolicy::Relay;
        if is_relay && self.all_turn_servers().next().is_none() && !self.use_link_headers {
            return Err(SettingsError {
                property: "ice-transport-policy",
                text:
                    "relay needs a TURN server: set turn-server, turn-servers or use-link-headers"
                        .to_owned(),
            });
        }
        Ok(())
    }

    fn all_turn_servers(&self) -> impl Iterator<Item = &String> {
        self.turn_server.iter().chain(&self.turn_servers)
    }

    /// The bounds of the video's bit rate. `None` without congestion control.
    pub(super) fn bitrates(&self) -> Result<Option<BitrateSettings>, SettingsError> {
        let (min, max) = (self.min_bitrate, self.max_bitrate);
        let error = |property, text| Err(SettingsError { property, text });
        if min > max {
            let text = format!("{min} bit/s is more than max-bitrate, {max} bit/s");
            return error("min-bitrate", text);
        }
        let start = match self.start_bitrate {
            0 => DEFAULT_START_BITRATE.clamp(min, max),
            start if (min..=max).contains(&start) => start,
            start => {
                let text = format!(
                    "{start} bit/s is not between min-bitrate, {min} bit/s, and max-bitrate, {max} \
                     bit/s"
                );
                return error("start-bitrate", text);
            }
        };
        let settings = BitrateSettings {
            min: min.into(),
            start: start.into(),
            max: max.into(),
        };
        Ok(self.congestion_control.is_on().then_some(settings))
    }

    fn token_source(&self, auth_token: Option<&str>) -> Result<TokenSource, SettingsError> {
        let given = auth_token.map(parse_token).transpose()?;
        let environment = std::env::var(ENVIRONMENT_TOKEN).ok();
        let environment = environment
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(Token::parse)
            .transpose();
        Ok(TokenSource {
            file: self.auth_token_file.as_deref().map(PathBuf::from),
            // A bad one is no error if `auth-token` is used instead.
            environment: match environment {
                Err(_) if given.is_some() => None,
                environment => environment.map_err(settings_error(ENVIRONMENT_TOKEN))?,
            },
            given,
        })
    }

    pub(super) fn ice(&self) -> IceSettings {
        IceSettings {
            stun_server: self.stun_server.clone(),
            turn_servers: self.all_turn_servers().cloned().collect(),
            policy: self.ice_transport_policy,
            use_link_headers: self.use_link_headers,
        }
    }
}

/// The settings of a peer connection, as the user set them.
#[derive(Clone)]
pub(super) struct IceSettings {
    pub(super) stun_server: Option<String>,
    pub(super) turn_servers: Vec<String>,
    pub(super) policy: WebRTCICETransportPolicy,
    pub(super) use_link_headers: bool,
}

/// The bounds of the video's bit rate, in bit/s: `min` is at most `start`, that at most
/// `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BitrateSettings {
    pub(super) min: u64,
    pub(super) start: u64,
    pub(super) max: u64,
}

impl BitrateSettings {
    /// The limits of a session whose video starts at `start` and never exceeds `max`.
    pub(super) fn limits(&self, start: u64, max: u64) -> Limits {
        Limits {
            min_video: self.min.min(max),
            start_video: start,
            max_video: max,
            max_repaired_video: self.max,
            max_total: MAX_BIT_RATE,
        }
    }
}

/// Parses a value of the property `auth-token`.
pub(super) fn parse_token(text: &str) -> Result<Token, SettingsError> {
    Token::parse(text).map_err(settings_error("auth-token"))
}

fn check_ice_url(
    property: &'static str,
    url: Option<&str>,
    schemes: &[&str],
) -> Result<(), SettingsError> {
    match url {
        Some(url) if !schemes.iter().any(|scheme| url.starts_with(scheme)) => {
            let text = format!("expected a URL that begins with {}", schemes.join(" or "));
            Err(SettingsError { property, text })
        }
        _ => Ok(()),
    }
}

/// Checks that caps have the one format that the element makes.
fn check_caps(
    property: &'static str,
    caps: Option<&gst::CapsRef>,
    made: &str,
) -> Result<(), SettingsError> {
    match caps {
        Some(caps) if !caps.is_any() && !caps.iter().any(|format| format.name() == made) => {
            let text = format!(
                "expected caps with {made}, which the element makes, found {caps}; unset it"
            );
            Err(SettingsError { property, text })
        }
        _ => Ok(()),
    }
}

fn settings_error<E: fmt::Display>(property: &'static str) -> impl FnOnce(E) -> SettingsError {
    move |error| SettingsError {
        property,
        text: error.to_string(),
    }
}

/// A property value that can't be used. Its text holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SettingsError {
    pub(super) property: &'static str,
    text: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}.", self.property, self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property_at_fault(change: impl FnOnce(&mut Settings)) -> &'static str {
        let mut settings = Settings::default();
        change(&mut settings);
        settings.config(None).expect_err("an error").property
    }

    #[test]
    fn defaults_are_the_global_endpoint_and_whipsinks_timeout() {
        let config = Settings::default().config(None).unwrap();
        assert_eq!(config.endpoint.host(), GLOBAL_ENDPOINT);
        assert_eq!(config.http_timeout, Some(Duration::from_secs(15)));
    }

    #[test]
    fn timeout_of_zero_is_without_bound() {
        let settings = Settings {
            timeout: 0,
            ..Settings::default()
        };
        assert_eq!(settings.config(None).unwrap().http_timeout, None);
    }

    #[test]
    fn bit_rates_are_checked_against_each_other() {
        let fault = |min, start, max| {
            property_at_fault(|s| {
                (s.min_bitrate, s.start_bitrate, s.max_bitrate) = (min, start, max);
            })
        };
        assert_eq!(fault(2, 0, 1), "min-bitrate");
        assert_eq!(fault(2, 1, 3), "start-bitrate");
        assert_eq!(fault(2, 4, 3), "start-bitrate");
        let settings = Settings {
            max_bitrate: 500_000,
            ..Settings::default()
        };
        let bitrates = settings.bitrates().unwrap().unwrap();
        assert_eq!(
            (bitrates.min, bitrates.start, bitrates.max),
            (150_000, 500_000, 500_000)
        );
    }

    #[test]
    fn congestion_control_has_whipclientsinks_values_too() {
        let class = glib::EnumClass::new::<CongestionControl>();
        for (nick, number, is_on) in [
            ("disabled", 0, false),
            ("homegrown", 1, true),
            ("gcc", 2, true),
            ("auto", 3, true),
            ("none", 4, false),
        ] {
            let value = class.value_by_nick(nick).unwrap();
            assert_eq!(value.value(), number);
            let settings = Settings {
                congestion_control: value.to_value(&class).get().unwrap(),
                ..Settings::default()
            };
            assert_eq!(settings.bitrates().unwrap().is_some(), is_on, "{nick}");
        }
    }

    #[test]
    fn caps_have_what_the_element_makes() {
        gst::init().unwrap();
        let config = |video: &str, audio: &str| {
            let settings = Settings {
                video_caps: Some(video.parse().unwrap()),
                audio_caps: Some(audio.parse().unwrap()),
                ..Settings::default()
            };
            settings.config(None).map_err(|error| error.property)
        };
        for (video, audio) in [
            ("video/x-h264", "audio/x-opus"),
            ("video/x-vp8;video/x-h264,profile=high", "audio/x-opus"),
            ("ANY", "ANY"),
        ] {
            assert!(config(video, audio).is_ok(), "{video}, {audio}");
        }
        for (video, audio, property) in [
            ("video/x-vp8", "audio/x-opus", "video-caps"),
            ("EMPTY", "audio/x-opus", "video-caps"),
            ("video/x-h264", "audio/x-raw", "audio-caps"),
        ] {
            assert_eq!(config(video, audio).err(), Some(property), "{video}");
        }
    }

    #[test]
    fn errors_name_the_property() {
        assert_eq!(
            property_at_fault(|s| s.whip_endpoint = Some("nonsense".into())),
            "whip-endpoint"
        );
        let error = Settings::default().config(Some("a\nb")).unwrap_err();
        assert_eq!(error.property, "auth-token");
        assert_eq!(
            property_at_fault(|s| s.redirect_hosts = Some("a/b".into())),
            "redirect-hosts"
        );
        assert_eq!(
            property_at_fault(|s| s.stun_server = Some("stun.example".into())),
            "stun-server"
        );
        assert_eq!(
            property_at_fault(|s| s.turn_server = Some("stun://x".into())),
            "turn-server"
        );
        assert_eq!(
            property_at_fault(|s| s.turn_servers = vec!["turn://x".into(), "stun://x".into()]),
            "turn-servers"
        );
        assert_eq!(
            property_at_fault(|s| s.ice_transport_policy = WebRTCICETransportPolicy::Relay),
            "ice-transport-policy"
        );
    }
}
