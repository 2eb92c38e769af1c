//! The limits that IVS has for audio and video, and which of them a stream violates.
//!
//! In: a stream's meter, or its codec. Out: limit violations, and a warning for each.
//!
//! IVS does not say why it drops a publisher: a WHIP client only sees its connection
//! end (inferred). So the element measures what it sends, and each [`LimitViolation`]
//! says what is wrong and which setting fixes it. A violation is only a warning:
//! nothing is enforced here.
//!
//! ```text
//!  VideoMeter, AudioMeter ──► checks ──► LimitViolation ──► limit_warning()
//!                               │                               │
//!                           thresholds                    encoder_advice
//! ```

mod checks;
mod encoder_advice;
mod thresholds;
mod violation;

pub use checks::{audio_violations, check_codec, video_violations};
pub use encoder_advice::{limit_warning, own_limit_warning};
pub use thresholds::{KEY_FRAME_DISTANCE, MIN_FRAME_RATE, VIDEO_BIT_RATE};
pub(super) use thresholds::{LONG_SIDE, MIN_SHORT_SIDE, SHORT_SIDE};
pub use violation::LimitViolation;

use url::Url;

use super::claims::Claims;
use super::hosts::is_ivs;

/// Whether IVS's limits apply to a server: its host is IVS's, or the token in use is
/// for an IVS stage. The token counts too because a stage can be reached through a
/// proxy, and because local stages imitate IVS.
pub fn limits_apply(endpoint: &Url, claims: Option<&Claims>) -> bool {
    is_ivs(endpoint) || claims.is_some_and(Claims::is_ivs_stage)
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::ivs::GLOBAL_ENDPOINT;
    use crate::whip::Token;

    fn claims(resource: &str) -> Claims {
        let json = format!(r#"{{"resource":"{resource}"}}"#);
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(json));
        Claims::read(&Token::parse(&token).unwrap()).unwrap()
    }

    #[test]
    fn limits_are_those_of_ivs_by_host_or_by_token() {
        let apply = |endpoint: &str, claims: Option<&Claims>| {
            limits_apply(&Url::parse(endpoint).unwrap(), claims)
        };
        let stage = claims("arn:aws:ivs:us-east-1:123456789012:stage/AbCd");
        let other = claims("https://example.net");
        assert!(apply(GLOBAL_ENDPOINT, None));
        assert!(apply(GLOBAL_ENDPOINT, Some(&other)));
        assert!(apply("http://127.0.0.1:8080", Some(&stage)));
        assert!(!apply("https://example.net/whip", Some(&other)));
        assert!(!apply("https://example.net/whip", None));
    }
}
