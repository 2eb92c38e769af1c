//! A local stand-in for an Amazon IVS Real-Time stage.
//!
//! With it you can test a WHIP publisher without an AWS account. It redirects
//! the POST of an offer, checks the participant token, requires a video section,
//! answers with a real WebRTC far end and counts the media that arrives. Viewers
//! can subscribe to a publisher and get its media as they arrived, without
//! transcoding.
//!
//! # What it imitates
//!
//! - **HTTP**: RFC 9725, and IVS as AWS documents it and as public clients show
//!   it: a global endpoint that answers 307 to a regional host, a bearer token
//!   on every request, JSON errors with a code, code 2001 for an offer without
//!   an H.264 video section, no PATCH, no ETag, and a session URL that answers
//!   the first DELETE with 200 and every later one with 404.
//! - **Viewers**: a POST to `/subscribe/{participantId}` of either host (WHEP),
//!   with a token that may subscribe, and a session URL that takes DELETE. Pages
//!   of any origin may do that (CORS).
//! - **SDP**: the answer has its candidates in the first section only.
//! - **Tokens**: JWTs as IVS customers sign them themselves: ES384 with a P-384
//!   key, claims as in the IVS user guide.
//!
//! - **Limits on media**, on demand: see [`MediaLimits::Enforced`],
//!   [`Rules::publish_time`], [`TokenReuse::EndsOlder`], [`Rules::rate`]. Each says
//!   whether AWS documents it, clients show it, or it is inferred.
//!
//! What is not public is a guess, and a rule can change each guess: see
//! [`Rules`]. Other rules make the stage answer like other WHIP servers: see
//! [`Profile`].
//!
//! # Limits
//!
//! What a client sends has bounds far above any publisher's needs. An offer has
//! at most 64 KiB, 2000 lines, 16 sections and 256 candidates; a larger one gets
//! 400 with code 2001, and the event [`Happening::Refused`] names the limit. A
//! PATCH has the same limits, and a session takes 256 candidates by PATCH in all;
//! more get 400. The head of a request has at most 16 KiB, its path and query
//! 2 KiB. For what clients hold open, and for how long, see [`Limits`].
//!
//! # The page
//!
//! With [`Rules::page_port`] the stage has a page, at [`Stage::page`]: who
//! publishes, the picture and sound live (by WHEP, as any viewer), plots of the
//! last two minutes, offer and answer without ICE credentials, what happened in
//! the last five minutes, and the limits of IVS that were missed. `ivs-stage
//! serve` has it by default. The page is files of this program and loads nothing
//! from elsewhere. It needs no token and gives out tokens to publish and to
//! watch; so its listener refuses requests of other origins, and those whose
//! `Host` is a name other than localhost.
//!
//! All listeners are on loopback unless [`Rules::bind`] names another address.
//! Who reaches the page there can watch, and publish.
//!
//! # Viewers
//!
//! Each viewer gets a publisher's packets through a queue of its own, 512 packets
//! long. What doesn't fit is dropped for that viewer alone; its video goes on with
//! the next key frame. Viewers' key-frame requests reach the publisher a second
//! after its last key frame at the earliest, and what a viewer lost on its way
//! comes from the stage again. Of simulcast layers a viewer gets the first one that the offer names.
//! When a publisher's session ends, so do those of its viewers; a new session of
//! the same participant takes over the viewers of an older one that has not ended.
//! Media beyond what a viewer's network carries are lost: the stage doesn't
//! measure that network.
//!
//! # Failures on demand
//!
//! A running stage can stop responding ([`Stage::freeze`]), lose its media
//! packets ([`Stage::drop_media`]) and end its sessions
//! ([`Stage::close_sessions`]). After its drop, another can start on the same
//! ports ([`Stage::rules`]). By its [`Rules`] a stage can refuse or throttle
//! requests, leave them unanswered or cut the reply.
//!
//! # Example
//!
//! ```
//! use ivs_stage::{Rules, Stage};
//!
//! let stage = Stage::start(Rules::default())?;
//! let (endpoint, token) = (stage.endpoint(), stage.token());
//! // … a publisher posts its offer to `endpoint` with `token` …
//! assert_eq!(stage.live_sessions(), 0);
//! # drop((endpoint, token));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The command `ivs-stage` does the same for publishers outside a Rust test:
//! `ivs-stage serve` prints each event as a JSON line, `ivs-stage token` prints
//! a token, and `ivs-stage report` describes a run in words.
//!
//! # Invariants
//!
//! - No [`Event`] or [`SessionReport`] holds a token, session URL or ICE
//!   credential, and the page's SDP neither.
//! - A panic in the stage's own code shows at its next use or at its drop.
//! - After the drop, no socket of the stage is open.
//! - The stage shares no code with the publisher under test, so one misreading
//!   of a standard can't hide another.

mod accept;
mod addresses;
mod admission;
mod answer;
mod counter;
mod datagram;
mod endings;
mod event;
mod far_end;
mod feedback;
mod frames;
mod h264;
mod header_case;
mod http;
mod ivs_limits;
mod limits;
mod negotiation;
mod offer;
mod participant_token;
mod presence;
mod profile;
mod profile_rules;
mod publish;
mod reception;
mod record;
mod refused_post;
mod remb;
mod reply;
mod reply_rules;
mod request;
mod request_rules;
mod resource;
mod rules;
mod sdp_limits;
mod sei;
mod sessions;
mod silence;
mod stage;
mod start_error;
mod state;
mod subscribe;
mod task;
mod trickle;
mod video;
mod video_rule;
mod watch;

pub use counter::SectionReport;
pub use endings::{Ending, ViewerEnding};
pub use event::{Event, Happening};
pub use feedback::Feedback;
pub use frames::FrameReport;
pub use ivs_limits::MediaLimits;
pub use limits::Limits;
pub use offer::{Direction, Kind, OfferSection};
pub use participant_token::{KeyError, Lifetime, MintError, SigningKey, TokenWish};
pub use profile::{Profile, UnknownProfile};
pub use record::SessionReport;
pub use reply_rules::{
    AnswerForm, BundleLine, CandidatePlace, Certificate, Connections, HeaderCase, IceMode, Level,
    LocationForm, SectionAnswer,
};
pub use request_rules::{
    DeleteRule, MidRule, PatchEtag, PatchRule, Rate, SilenceRule, TokenReuse, TrickleRule,
};
pub use rules::{KeySource, LastRedirect, Refusal, Rules};
pub use sei::SeiMessage;
pub use stage::Stage;
pub use start_error::StartError;
pub use trickle::IfMatch;
pub use video::{Spread, VideoReport};
pub use video_rule::VideoRule;
