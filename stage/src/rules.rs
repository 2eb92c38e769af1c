//! How a stage behaves. [`Rules::default`] is Amazon IVS as far as it is
//! publicly known; a test changes the field that it is about. For the rules of
//! other servers see [`Rules::profile`].

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use crate::event::Event;
use crate::feedback::Feedback;
use crate::ivs_limits::MediaLimits;
use crate::limits::Limits;
use crate::reply_rules::{AnswerForm, Connections, HeaderCase, LocationForm};
use crate::request_rules::{DeleteRule, PatchRule, Rate, SilenceRule, TokenReuse};
use crate::video_rule::VideoRule;

/// Maximum of [`Rules::hops`]; each has a listener. Publishers follow ten or so.
pub(crate) const HOP_LIMIT: usize = 32;

/// The settings of a stage, fixed at its start. Each field names its default.
///
/// ```
/// use ivs_stage::{Rules, VideoRule};
///
/// let rules = Rules { hops: 2, video: VideoRule::RefuseInactive, ..Rules::default() };
/// # assert_eq!(rules.redirect_status, 307);
/// ```
#[derive(Clone, Debug)]
pub struct Rules {
    /// Port of the global listener; 0, the default, takes a free one.
    pub port: u16,
    /// Port of the regional listener (the last hop); 0, the default, takes a
    /// free one. Ignored without hops: the global listener is then the regional
    /// one.
    pub regional_port: u16,
    /// Ports of the listeners between those two, in the order of the hops. A
    /// listener without an entry, or with 0, takes a free one. Default: empty.
    pub hop_ports: Vec<u16>,
    /// Number of redirects from the global to the regional listener, at most 32.
    /// Default: 1.
    pub hops: usize,
    /// Status of those redirects. Default: 307.
    pub redirect_status: u16,
    /// Whether the regional host redirects once more, to itself. Default: no.
    pub last_redirect: LastRedirect,
    /// Address on which the far end receives media. Default: the host's first
    /// IPv4 address that is neither loopback nor link-local.
    pub media_address: Option<IpAddr>,
    /// Source of the key that signs and checks tokens. Default: a new key.
    pub key: KeySource,
    /// What the offer's video section must be. Default: any H.264 section.
    pub video: VideoRule,
    /// What happens to a session whose sections carry no media. Default:
    /// nothing.
    pub silence: SilenceRule,
    /// Reply to a POST without a token. A DELETE or PATCH without one gets the
    /// same status. Default: 403 with a JSON message.
    pub missing_token: Refusal,
    /// Status for a POST or PATCH with the wrong `Content-Type`. Default: 415.
    pub wrong_type_status: u16,
    /// Status of the reply to a POST that made a session, the 201 in the fields
    /// below. Default: 201.
    pub created_status: u16,
    /// `Content-Type` of the answer with its parameters; `None` sends no such
    /// header. Default: `application/sdp`.
    pub content_type: Option<String>,
    /// What the answer's SDP looks like. Default: as on IVS.
    pub answer: AnswerForm,
    /// Form of the session URL in the 201. Default: a whole URL.
    pub location: LocationForm,
    /// Value of the `ETag` header of the 201 as it is sent: quoted, weak
    /// (`W/"…"`), bare or a star. Default: no such header, as on IVS.
    pub etag: Option<String>,
    /// Values of `Link` headers of the 201, such as
    /// `<stun:stun.example.net:3478>; rel="ice-server"`. Default: none.
    pub links: Vec<String>,
    /// More headers of the 201, as name and value. Default: none.
    pub headers: Vec<(String, String)>,
    /// Case of header names in every reply. Default: lower.
    pub header_case: HeaderCase,
    /// Whether a connection stays open after a reply. Default: it does.
    pub connections: Connections,
    /// What a PATCH to a session does. Default: nothing.
    pub patch: PatchRule,
    /// Status of every PATCH to a session under [`PatchRule::Status`]. Default:
    /// 405.
    pub patch_status: u16,
    /// What a DELETE of a session does. Default: end it, with 200.
    pub delete: DeleteRule,
    /// Status of a DELETE or PATCH to an unknown session. Default: 404.
    pub unknown_session_status: u16,
    /// Delay before every reply to a POST on the regional host. Default: none.
    pub answer_delay: Duration,
    /// Replies to the first POSTs on the regional host, one each, whatever the
    /// POSTs hold. Default: none.
    pub refusals: Vec<Refusal>,
    /// How many POSTs the regional host takes in a time; more get 429. Default:
    /// no limit.
    pub rate: Option<Rate>,
    /// How many of the first answers are cut: head and half of the body, then
    /// the connection ends. Their sessions exist, though the publisher has no
    /// whole answer. Default: 0.
    pub cut_answers: usize,
    /// What media beyond the limits of IVS do to a session. Default: nothing but
    /// a line on the page.
    pub media_limits: MediaLimits,
    /// How long a session may last; then the stage ends it with
    /// [`Ending::StreamDurationExceeded`](crate::Ending::StreamDurationExceeded).
    /// IVS: 24 hours (documented). Default: no limit.
    pub publish_time: Option<Duration>,
    /// What a second session with one token does to the first. Default: nothing.
    pub token_reuse: TokenReuse,
    /// RTCP by which the publisher learns how much gets through. Default:
    /// transport-wide feedback.
    pub feedback: Feedback,
    /// Interval of RTCP receiver reports. `None`, the default, or zero leaves it
    /// to the far end: 5 s for audio and 1 s for video, the first ones within
    /// that time of the first packet.
    pub report_interval: Option<Duration>,
    /// Whether the far end requests a key frame when it connects. Default: yes.
    pub key_frame_on_connect: bool,
    /// How long a session may be without its peer, before it connects or after
    /// it is lost. Then the stage ends it. Default: 30 s.
    pub patience: Duration,
    /// Interval of a session's [`Media`](crate::Happening::Media) events;
    /// `None`, the default, sends none.
    pub media_interval: Option<Duration>,
    /// How much clients may hold open.
    pub limits: Limits,
    /// Port of the page that shows the stage, on the same address as the global
    /// listener; 0 takes a free one. The page needs no token and gives out
    /// tokens, so it refuses requests of other origins, and those whose `Host`
    /// is neither an address nor localhost. Default: no page.
    pub page_port: Option<u16>,
    /// Address of all HTTP listeners. Default: loopback, with an address of its
    /// own for each listener where the system has them.
    pub bind: Option<IpAddr>,
    /// Gets a copy of each event as it happens, from the first on. The stage
    /// doesn't wait for it: if the channel is full, the event is left out, and a
    /// [`Missed`](crate::Happening::Missed) precedes the next one. Default:
    /// nobody does.
    pub follow: Option<SyncSender<Event>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            port: 0,
            regional_port: 0,
            hop_ports: Vec::new(),
            hops: 1,
            redirect_status: 307,
            last_redirect: LastRedirect::None,
            media_address: None,
            key: KeySource::Fresh,
            video: VideoRule::Any,
            silence: SilenceRule::Allowed,
            missing_token: Refusal::message(403, "missing bearer token"),
            wrong_type_status: 415,
            created_status: 201,
            content_type: Some("application/sdp".to_owned()),
            answer: AnswerForm::default(),
            location: LocationForm::Absolute,
            etag: None,
            links: Vec::new(),
            headers: Vec::new(),
            header_case: HeaderCase::Lower,
            connections: Connections::KeepAlive,
            patch: PatchRule::Status,
            patch_status: 405,
            delete: DeleteRule::Status(200),
            unknown_session_status: 404,
            answer_delay: Duration::ZERO,
            refusals: Vec::new(),
            rate: None,
            cut_answers: 0,
            media_limits: MediaLimits::Reported,
            publish_time: None,
            token_reuse: TokenReuse::Allowed,
            feedback: Feedback::TransportWide,
            report_interval: None,
            key_frame_on_connect: true,
            patience: Duration::from_secs(30),
            media_interval: None,
            limits: Limits::default(),
            page_port: None,
            bind: None,
            follow: None,
        }
    }
}

/// Where a stage's signing key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Made at the start. Only this stage can make its tokens.
    #[default]
    Fresh,
    /// A PEM file. If it doesn't exist, the stage makes it with mode 0600.
    /// Other processes and later stages can sign with the same key.
    File(PathBuf),
}

/// Whether the regional host redirects a POST to another path of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastRedirect {
    /// The regional host answers the POST.
    #[default]
    None,
    /// The `Location` for a POST to any other path is `/regional`, without a
    /// host.
    PathOnly,
}

/// A fixed reply that refuses a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// Headers as name and value.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Refusal {
    /// A reply with a status only.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// A reply whose body is JSON with a message and no code.
    #[must_use]
    pub fn message(status: u16, message: &str) -> Self {
        Self {
            body: serde_json::json!({ "message": message }).to_string(),
            ..Self::status(status).header("Content-Type", "application/json")
        }
    }

    /// A reply as IVS sends for errors: its body is JSON with a code and a
    /// message.
    #[must_use]
    pub fn ivs(status: u16, code: u32, message: &str) -> Self {
        Self {
            status,
            headers: vec![("Content-Type".into(), "application/json".into())],
            body: serde_json::json!({ "code": code, "message": message }).to_string(),
        }
    }

    /// The same reply with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}
