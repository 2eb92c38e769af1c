//! Facts about Amazon IVS Real-Time, as values.
//!
//! In: URLs, tokens, refusals, and what a stream measures. Out: who may have the token,
//! what its claims mean, which video section an audio-only offer needs, which limits a
//! stream violates, and what a refusal means.
//!
//! Each fact names its source: *documented* by AWS, *seen* in public clients that work
//! with IVS, or *inferred*. This module has no I/O.

mod claims;
mod error_codes;
mod filler;
mod filler_fallback;
mod hosts;
mod limits;
mod metadata;
mod offered_media;
mod own_video;
mod token_scope;

pub use claims::{Claims, TokenStatus};
pub use error_codes::{
    CANNOT_PUBLISH, EXPIRED_TOKEN, Explanation, RefusalKind, Retry, explain_refusal,
    is_final_for_ivs, ivs_code,
};
pub use filler::{
    BLACK_INTERVAL, BLACK_SIZE, Filler, FillerCodec, FillerMode, OfferedVideo, filler_codec,
};
pub use filler_fallback::FillerFallback;
pub use hosts::{GLOBAL_ENDPOINT, UDP_ADVICE, is_ivs};
pub use limits::{
    KEY_FRAME_DISTANCE, LimitViolation, MIN_FRAME_RATE, VIDEO_BIT_RATE as MAX_BIT_RATE,
    audio_violations, check_codec, limit_warning, limits_apply, own_limit_warning,
    video_violations,
};
pub use metadata::{MetadataError, MetadataQueue};
pub use offered_media::{ForeignCodec, OfferedMedia};
pub use own_video::{PICTURE_BOUNDS, own_profile_level_id, suggested_bit_rate};
pub use token_scope::{RedirectHosts, RedirectHostsError, TokenDenied, may_have_token};
