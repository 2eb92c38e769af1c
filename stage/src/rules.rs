//! How one stage behaves. [`Rules::default`] is Amazon IVS as far as it is
//! known in public; a test changes the one field that it is about. Other
//! servers' ways are sets of the same rules: see [`Rules::profile`].

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::time::Duration;

use crate::record::Event;
use crate::reply_rules::{AnswerForm, Connections, HeaderCase, LocationForm};
use crate::request_rules::{DeleteRule, PatchRule, Rate, SilenceRule};
use crate::video_rule::VideoRule;

/// Everything that can be set about a stage before it starts.
///
/// ```
/// use ivs_stage::{Rules, VideoRule};
///
/// let rules = Rules { hops: 2, video: VideoRule::RefuseInactive, ..Rules::default() };
/// # assert_eq!(rules.redirect_status, 307);
/// ```
#[derive(Clone, Debug)]
pub struct Rules {
    /// Port of the global listener; 0 takes a free one.
    pub port: u16,
    /// Port of the regional listener (the last hop); 0 takes a free one. Not
    /// used with no hops, as the global listener is then the regional one.
    pub regional_port: u16,
    /// Ports of the listeners between those two, in the order of the hops;
    /// those not named here take free ones.
    pub hop_ports: Vec<u16>,
    /// How many redirects lie between the global and the regional listener.
    pub hops: usize,
    /// Status of those redirects.
    pub redirect_status: u16,
    /// Whether the regional host redirects once more, within itself.
    pub last_redirect: LastRedirect,
    /// Address the far end takes media on; unset, the host's first IPv4
    /// address that is not loopback.
    pub media_address: Option<IpAddr>,
    /// Where the key that signs and checks tokens comes from.
    pub key: KeySource,
    /// What is asked of the offer's video section.
    pub video: VideoRule,
    /// What becomes of a session whose sections bring no media.
    pub silence: SilenceRule,
    /// Reply to a POST without a token; a DELETE or PATCH without one gets its
    /// status.
    pub missing_token: Refusal,
    /// Status of a POST or PATCH whose `Content-Type` isn't the right one.
    pub wrong_type_status: u16,
    /// Status of the reply to a POST that made a session.
    pub created_status: u16,
    /// `Content-Type` of the answer, parameters included; unset, none.
    pub content_type: Option<String>,
    /// What the answer's SDP looks like.
    pub answer: AnswerForm,
    /// What the 201 says about the session URL.
    pub location: LocationForm,
    /// Value of the `ETag` header of the 201 as it is sent: quoted, weak
    /// (`W/"…"`), bare or a star. IVS sends none.
    pub etag: Option<String>,
    /// Values of `Link` headers of the 201, such as
    /// `<stun:stun.example.net:3478>; rel="ice-server"`.
    pub links: Vec<String>,
    /// More headers of the 201, as name and value.
    pub headers: Vec<(String, String)>,
    /// How names of headers are written in every reply.
    pub header_case: HeaderCase,
    /// Whether a connection lives on after a reply.
    pub connections: Connections,
    /// What a PATCH to a session does.
    pub patch: PatchRule,
    /// Status of every PATCH to a session under [`PatchRule::Status`].
    pub patch_status: u16,
    /// What a DELETE of a session does.
    pub delete: DeleteRule,
    /// Status of a DELETE or PATCH to a session that isn't there.
    pub unknown_session_status: u16,
    /// Time between having the answer and sending it.
    pub answer_delay: Duration,
    /// Replies to the first POSTs that reach the regional host, one each,
    /// whatever is in them.
    pub refusals: Vec<Refusal>,
    /// How many POSTs are taken in how long; more of them get 429.
    pub rate: Option<Rate>,
    /// How many answers, from the first on, break off: the head and half of
    /// the body, then the end of the connection. Their sessions are there all
    /// the same, and nobody knows their URLs.
    pub cut_answers: usize,
    /// How often receiver reports go back (RTCP). Unset, or zero, it is the far
    /// end's own way: 5 s for audio and 1 s for video, the first ones within
    /// that time of the first packet.
    pub report_interval: Option<Duration>,
    /// Whether a key frame is asked for as soon as media can flow.
    pub key_frame_on_connect: bool,
    /// How long a session may stay without its peer (never connected, or lost)
    /// before the stage ends it by itself.
    pub patience: Duration,
    /// How often a [`Media`](crate::Happening::Media) event tells each
    /// session's counts; unset, never.
    pub media_interval: Option<Duration>,
    /// Gets a copy of each event as it happens, the first one included.
    pub follow: Option<Sender<Event>>,
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
            report_interval: None,
            key_frame_on_connect: true,
            patience: Duration::from_secs(30),
            media_interval: None,
            follow: None,
        }
    }
}

/// Where a stage's signing key comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeySource {
    /// Made at start; tokens come from the running stage only.
    #[default]
    Fresh,
    /// A PEM file, made with mode 0600 where there is none, so that another
    /// process or a later stage signs with the same key.
    File(PathBuf),
}

/// A redirect by the regional host to another path of its own, with a
/// path-only `Location`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LastRedirect {
    /// The regional host answers itself.
    #[default]
    None,
    /// A POST to any other path is sent on to `/regional`.
    PathOnly,
}

/// A reply made up in advance.
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

    /// A reply with JSON that holds a message, without a code.
    #[must_use]
    pub fn message(status: u16, message: &str) -> Self {
        Self {
            body: serde_json::json!({ "message": message }).to_string(),
            ..Self::status(status).header("Content-Type", "application/json")
        }
    }

    /// A reply in the form of IVS's errors: a status, and JSON with a code and
    /// a message.
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
