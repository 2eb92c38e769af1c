//! A local stand-in for an Amazon IVS Real-Time stage.
//!
//! It is what a WHIP publisher is tested against where no AWS account is at
//! hand: it takes the POST of an offer, redirects it, checks the participant
//! token, asks for a video section, answers with a real WebRTC far end and
//! counts the media that comes. It is no media server: nothing is forwarded.
//!
//! # What it imitates
//!
//! - **HTTP**: RFC 9725, and IVS's own ways as AWS documents them and as the
//!   public clients show them: a global endpoint that answers 307 to a regional
//!   host, a bearer token on every request, JSON errors with a code, code 2001
//!   for an offer without an H.264 video section, no PATCH and no ETag, a
//!   session URL that answers DELETE with 200 once and 404 after that.
//! - **SDP**: the answer has its candidates in the first section only.
//! - **Tokens**: JWTs as a self-signing IVS customer makes them: ES384 with a
//!   key on P-384, claims as in the IVS user guide.
//!
//! What is not public is guessed, and each guess can be changed by a rule: see
//! [`Rules`]. The same rules make it answer as other WHIP servers do: see
//! [`Profile`].
//!
//! # Bad moments
//!
//! A running stage can stand still ([`Stage::freeze`]), lose the network
//! ([`Stage::drop_media`]), end its sessions ([`Stage::close_sessions`]), and
//! be dropped and started again in the same place ([`Stage::rules`]). Rules say
//! which requests are refused, throttled, never answered or cut half-way.
//!
//! # One run
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
//! The same as a command, for a publisher that is no Rust test: `ivs-stage serve`
//! prints each event as a JSON line, `ivs-stage token` makes a token, and
//! `ivs-stage report` tells in words what a run saw.
//!
//! # Invariants
//!
//! - No token, session URL or ICE credential gets into an [`Event`] or a
//!   [`SessionReport`].
//! - A panic of the stage's own code shows at its next use or at its drop.
//! - After drop no socket of the stage is open.
//! - Nothing is shared with the publisher that it tests, so that one misreading
//!   of a standard can't hide another.

mod addresses;
mod answer;
mod counter;
mod far_end;
mod h264;
mod header_case;
mod http;
mod negotiation;
mod offer;
mod participant_token;
mod profile;
mod profile_rules;
mod publish;
mod record;
mod refused_post;
mod reply;
mod reply_rules;
mod request;
mod request_rules;
mod resource;
mod rules;
mod sessions;
mod stage;
mod start_error;
mod state;
mod task;
mod trickle;
mod video_rule;

pub use counter::SectionReport;
pub use offer::{Direction, Kind, OfferSection};
pub use participant_token::{KeyError, Lifetime, MintError, SigningKey, TokenWish};
pub use profile::{Profile, UnknownProfile};
pub use record::{Ending, Event, Happening, SessionReport};
pub use reply_rules::{
    AnswerForm, BundleLine, CandidatePlace, Certificate, Connections, HeaderCase, IceMode, Level,
    LocationForm, SectionAnswer,
};
pub use request_rules::{
    DeleteRule, MidRule, PatchEtag, PatchRule, Rate, SilenceRule, TrickleRule,
};
pub use rules::{KeySource, LastRedirect, Refusal, Rules};
pub use stage::Stage;
pub use start_error::StartError;
pub use trickle::IfMatch;
pub use video_rule::VideoRule;
