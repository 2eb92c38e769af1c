//! The claims of a participant token.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::whip::Token;

/// The longest token that is read, in bytes. Documented: at most 1 KB of attributes;
/// the rest of a token is about ten short claims.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The longest text of a claim, in bytes. Documented: at most 64 characters for a
/// participant id, 128 for a user id. ARNs and URLs are about as long.
const MAX_CLAIM_BYTES: usize = 512;

/// How long after its expiry a token still counts as valid, since the two clocks may
/// differ. JWT readers commonly allow as much ("a few minutes" at most,
/// RFC 7519 4.1.4), and it is the shortest life of an IVS token (documented: one
/// minute).
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// How long before its expiry a token counts as expiring soon: time for a person or an
/// application to fetch the next one. A session that breaks can still reconnect in that
/// time, since its attempts are at most half a minute apart.
const EXPIRING_SOON: Duration = Duration::from_secs(5 * 60);

/// JWTs have no padding (RFC 7515 2), but a token that has it is read too.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A participant token's claims, read but **not verified**: they can show before the
/// POST that the server will refuse the token. Only the server can verify it.
///
/// AWS asks clients to treat tokens as opaque, so a claim that is missing or has
/// another form is not an error, but unknown. The names are documented ("Distribute
/// tokens", on self-signed tokens), and seen in API-issued tokens.
///
/// Attributes and user id are not kept, so nothing can show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `exp`: when the token expires.
    pub expiry: Option<SystemTime>,
    /// `jti`: the participant's id.
    pub participant_id: Option<String>,
    /// `resource`: the stage's ARN. Without it `topic`, which is the ARN's last part.
    pub stage_arn: Option<String>,
    /// `capabilities.allow_publish`. `None` if `capabilities` has an unknown form, or
    /// is missing from a token that is not for an IVS stage.
    pub allow_publish: Option<bool>,
}

impl Claims {
    /// Reads a token's claims. `None` if it is not a JWT: IVS's tokens are, but other
    /// WHIP servers accept any text.
    pub fn read(token: &Token) -> Option<Self> {
        let json = payload(token.reveal())?;
        let Ok(Value::Object(claims)) = serde_json::from_slice(&json) else {
            return None;
        };
        let stage_arn = text(&claims, "resource").or_else(|| text(&claims, "topic"));
        Some(Self {
            expiry: date(&claims, "exp"),
            participant_id: text(&claims, "jti"),
            allow_publish: allow_publish(&claims, stage_arn.as_deref()),
            stage_arn,
        })
    }

    /// Whether the token names an IVS stage.
    pub fn is_ivs_stage(&self) -> bool {
        self.stage_arn.as_deref().is_some_and(is_stage_arn)
    }

    /// What the claims say about a POST with this token at `now`.
    ///
    /// `now` is from this computer's clock, which may be wrong.
    pub fn status(&self, now: SystemTime) -> TokenStatus {
        if let Some(since) = self.expiry.and_then(|end| now.duration_since(end).ok())
            && since > CLOCK_SKEW
        {
            return TokenStatus::Expired { since };
        }
        if self.allow_publish == Some(false) {
            return TokenStatus::NoPublish;
        }
        // An expiry within the skew is in the past, so nothing is left.
        match self
            .expiry
            .map(|end| end.duration_since(now).unwrap_or_default())
        {
            Some(left) if left < EXPIRING_SOON => TokenStatus::ExpiringSoon { left },
            _ => TokenStatus::Usable,
        }
    }
}

/// What a token's claims say about the next POST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenStatus {
    /// Nothing in the claims rules out publishing.
    Usable,
    /// The token expires within five minutes.
    ExpiringSoon {
        /// The time left. Zero from the expiry to one minute after it, since the clocks
        /// may differ.
        left: Duration,
    },
    /// The token expired more than a minute ago.
    Expired {
        /// How long ago.
        since: Duration,
    },
    /// The token does not allow publishing.
    NoPublish,
}

impl fmt::Display for TokenStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usable => f.write_str("nothing in the participant token speaks against it"),
            Self::ExpiringSoon { left } if left.as_secs() == 0 => f.write_str(
                "the participant token expires now: create a new one before the next connection",
            ),
            // Documented: the token is checked when the participant joins. Whether a
            // running session may outlive it is not documented.
            Self::ExpiringSoon { left } => write!(
                f,
                "the participant token expires in {}: create a new one, any connection after \
                 that needs it",
                Span(*left)
            ),
            Self::Expired { since } => write!(
                f,
                "the participant token expired {} ago by this computer's clock: create a new one",
                Span(*since)
            ),
            Self::NoPublish => f.write_str(
                "the participant token does not allow publishing: create one with the PUBLISH \
                 capability",
            ),
        }
    }
}

/// A span of time, shown in its two largest units.
struct Span(Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match (days, hours, minutes) {
            (0, 0, 0) => write!(f, "{seconds} s"),
            (0, 0, _) => write!(f, "{minutes} min {} s", seconds % 60),
            (0, _, _) => write!(f, "{hours} h {} min", minutes % 60),
            _ => write!(f, "{days} d {} h", hours % 24),
        }
    }
}

/// The second of a JWT's three parts, decoded (RFC 7519 3, RFC 7515 7.1).
fn payload(token: &str) -> Option<Vec<u8>> {
    if token.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    BASE64URL.decode(claims).ok()
}

/// A text claim that may be shown in a log line or a property: not empty, not too long,
/// without control characters.
fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let text = claims.get(name)?.as_str()?;
    let shown =
        !text.is_empty() && text.len() <= MAX_CLAIM_BYTES && !text.contains(char::is_control);
    shown.then(|| text.to_owned())
}

/// A NumericDate: seconds, fractions allowed (RFC 7519 2). IVS writes whole seconds
/// (documented). A number in quotes is not a NumericDate, so it counts as unknown.
fn date(claims: &Map<String, Value>, name: &str) -> Option<SystemTime> {
    let value = claims.get(name)?;
    let since_epoch = match value.as_u64() {
        Some(seconds) => Duration::from_secs(seconds),
        None => Duration::try_from_secs_f64(value.as_f64()?).ok()?,
    };
    UNIX_EPOCH.checked_add(since_epoch)
}

/// A missing key means no (documented). In an IVS token, missing `capabilities` mean no
/// too (inferred). The only known form is an object of booleans.
fn allow_publish(claims: &Map<String, Value>, stage_arn: Option<&str>) -> Option<bool> {
    match claims.get("capabilities") {
        Some(Value::Object(capabilities)) => {
            Some(capabilities.get("allow_publish") == Some(&Value::Bool(true)))
        }
        Some(_) => None,
        None => stage_arn.is_some_and(is_stage_arn).then_some(false),
    }
}

/// Documented (API reference, `stageArn`): `arn:aws:ivs:region:account:stage/id`. Other
/// partitions have another second field (`aws-cn`, documented for ARNs).
fn is_stage_arn(arn: &str) -> bool {
    let word = |text: &str, allowed: fn(&u8) -> bool| {
        !text.is_empty() && text.bytes().all(|byte| allowed(&byte))
    };
    let label = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-';
    let mut fields = arn.splitn(6, ':');
    let mut field = || fields.next().unwrap_or_default();
    let (head, partition, service) = (field(), field(), field());
    let (region, account, resource) = (field(), field(), field());
    head == "arn"
        && (partition == "aws" || partition.starts_with("aws-"))
        && service == "ivs"
        && word(region, label)
        && word(account, u8::is_ascii_digit)
        && resource
            .strip_prefix("stage/")
            .is_some_and(|id| word(id, label))
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::{URL_SAFE as PADDED, URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:ivs:us-east-1:123456789012:stage/AbCdEf012345";
    const EXP: u64 = 1_800_000_000;

    fn token(claims: &Value) -> Token {
        let part = |json: &Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let header = json!({"alg": "ES384", "typ": "JWT", "kid": "k"});
        Token::parse(&format!("{}.{}.c2ln", part(&header), part(claims))).unwrap()
    }

    fn read(claims: &Value) -> Claims {
        Claims::read(&token(claims)).unwrap()
    }

    fn self_signed() -> Value {
        json!({
            "exp": EXP, "iat": EXP - 3600, "jti": "Mx6clRRHODPy", "resource": ARN,
            "topic": "AbCdEf012345", "events_url": "wss://global.events.live-video.net",
            "whip_url": "https://0123456789ab.global-bm.whip.live-video.net",
            "user_id": "ann@example.com", "attributes": {"secret": "attribute"},
            "capabilities": {"allow_publish": true, "allow_subscribe": true},
            "version": "1.0",
        })
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn with(name: &str, value: Value) -> Value {
        let mut claims = self_signed();
        claims[name] = value;
        claims
    }

    fn without(name: &str) -> Value {
        let mut claims = self_signed();
        claims.as_object_mut().unwrap().remove(name);
        claims
    }

    #[test]
    fn self_signed_token() {
        let claims = read(&self_signed());
        assert_eq!(claims.expiry, Some(at(EXP)));
        assert_eq!(claims.participant_id.as_deref(), Some("Mx6clRRHODPy"));
        assert_eq!(claims.stage_arn.as_deref(), Some(ARN));
        assert_eq!(claims.allow_publish, Some(true));
        assert!(claims.is_ivs_stage());
        assert_eq!(claims.status(at(EXP - 3600)), TokenStatus::Usable);
    }

    #[test]
    fn api_issued_token() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"KMS","typ":"JWT"}"#);
        let body = json!({
            "exp": EXP, "iat": EXP - 43_200, "jti": "abc", "resource": ARN, "topic": "AbCdEf012345",
            "capabilities": {"allow_publish": true}, "version": "0.0",
        });
        let text = format!("{header}.{}.c2ln", URL_SAFE_NO_PAD.encode(body.to_string()));
        let claims = Claims::read(&Token::parse(&text).unwrap()).unwrap();
        assert_eq!(claims.allow_publish, Some(true));
        assert!(claims.is_ivs_stage());
    }

    #[test]
    fn what_is_no_jwt() {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for text in [
            "opaque".to_owned(),
            "..".to_owned(),
            format!("{}.{}", part("{}"), part("{}")),
            format!("{0}.{0}.{0}.{0}.{0}", part("{}")),
            "a.!!!.c".to_owned(),
            "a.b.c".to_owned(),
            format!("a.{}.c", part("[1,2]")),
            format!("a.{}.c", part("7")),
            format!("a.{}.c", part(r#"{"exp":"#)),
            format!("a.{}.c", part(&"[".repeat(4000))),
            format!("a.{}.c", URL_SAFE_NO_PAD.encode([0xff, 0xfe])),
        ] {
            assert_eq!(Claims::read(&Token::parse(&text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn huge_token() {
        let huge = token(&with("attributes", "x".repeat(MAX_TOKEN_BYTES).into()));
        assert_eq!(Claims::read(&huge), None);
    }

    #[test]
    fn padding_is_tolerated() {
        for filler in ["", "1", "12"] {
            let body = PADDED.encode(with("version", filler.into()).to_string());
            let token = Token::parse(&format!("a.{body}.c")).unwrap();
            assert!(Claims::read(&token).is_some(), "{body}");
        }
    }

    #[test]
    fn a_token_of_16_kib_is_read_and_a_longer_one_is_not() {
        let text = token(&self_signed()).reveal().to_owned();
        let fill = |length: usize| text.clone() + &"c".repeat(length - text.len());
        let is_read = |text: &str| Claims::read(&Token::parse(text).unwrap()).is_some();
        assert!(is_read(&fill(16 * 1024)));
        assert!(!is_read(&fill(16 * 1024 + 1)));
    }

    #[test]
    fn empty_claims_say_nothing() {
        let claims = read(&json!({}));
        assert_eq!(claims.status(at(EXP)), TokenStatus::Usable);
        assert!(!claims.is_ivs_stage());
        assert_eq!(claims.allow_publish, None);
    }

    #[test]
    fn no_exp_never_expires() {
        assert_eq!(
            read(&without("exp")).status(at(EXP + 86_400)),
            TokenStatus::Usable
        );
    }

    #[test]
    fn exp_may_have_a_fraction() {
        let claims = read(&with("exp", json!(1_800_000_000.5)));
        assert_eq!(claims.expiry, Some(at(EXP) + Duration::from_millis(500)));
    }

    #[test]
    fn exp_of_another_form_is_not_known() {
        for odd in [
            json!("1800000000"),
            json!(-5),
            json!(1e300),
            json!(u64::MAX),
            json!(null),
            json!([1]),
        ] {
            assert_eq!(read(&with("exp", odd.clone())).expiry, None, "{odd}");
        }
    }

    #[test]
    fn expired() {
        let claims = read(&self_signed());
        let since = Duration::from_secs(2 * 3600 + 5 * 60);
        let status = claims.status(at(EXP) + since);
        assert_eq!(status, TokenStatus::Expired { since });
        assert_eq!(
            status.to_string(),
            "the participant token expired 2 h 5 min ago by this computer's clock: create a new one"
        );
    }

    #[test]
    fn expired_within_the_skew_is_not_expired() {
        let claims = read(&self_signed());
        let now = TokenStatus::ExpiringSoon {
            left: Duration::ZERO,
        };
        assert_eq!(claims.status(at(EXP)), now);
        assert_eq!(claims.status(at(EXP + 60)), now);
        assert!(now.to_string().contains("expires now"));
        assert!(matches!(
            claims.status(at(EXP + 61)),
            TokenStatus::Expired { .. }
        ));
    }

    #[test]
    fn expiring_soon() {
        let claims = read(&self_signed());
        let status = claims.status(at(EXP - 299));
        let left = Duration::from_secs(299);
        assert_eq!(status, TokenStatus::ExpiringSoon { left });
        assert!(status.to_string().contains("in 4 min 59 s"), "{status}");
        assert_eq!(claims.status(at(EXP - 300)), TokenStatus::Usable);
    }

    #[test]
    fn missing_capability_means_no() {
        for capabilities in [
            json!({}),
            json!({"allow_subscribe": true}),
            json!({"allow_publish": false}),
            json!({"allow_publish": "true"}),
        ] {
            let claims = read(&with("capabilities", capabilities.clone()));
            let status = claims.status(at(EXP - 3600));
            assert_eq!(status, TokenStatus::NoPublish, "{capabilities}");
            assert!(status.to_string().contains("PUBLISH"));
        }
    }

    #[test]
    fn no_capabilities_mean_no_in_a_token_of_ivs_only() {
        assert_eq!(read(&without("capabilities")).allow_publish, Some(false));
        let mut other = without("capabilities");
        other["resource"] = "https://example.net".into();
        assert_eq!(read(&other).allow_publish, None);
    }

    #[test]
    fn capabilities_of_another_form_are_not_known() {
        let claims = read(&with("capabilities", json!(["PUBLISH"])));
        assert_eq!(claims.allow_publish, None);
        assert_eq!(claims.status(at(EXP - 3600)), TokenStatus::Usable);
    }

    #[test]
    fn topic_stands_in_for_the_resource() {
        let claims = read(&without("resource"));
        assert_eq!(claims.stage_arn.as_deref(), Some("AbCdEf012345"));
        assert!(!claims.is_ivs_stage());
    }

    #[test]
    fn stage_arns() {
        let is = |arn: &str| read(&with("resource", arn.into())).is_ivs_stage();
        assert!(is("arn:aws-cn:ivs:cn-north-1:1:stage/a-b"));
        for other in [
            "arn:aws:ivs:us-east-1:123456789012:channel/AbC",
            "arn:aws:s3:us-east-1:123456789012:stage/AbC",
            "arn:awsome:ivs:us-east-1:123456789012:stage/AbC",
            "arn:aws:ivs::123456789012:stage/AbC",
            "arn:aws:ivs:us-east-1:account:stage/AbC",
            "arn:aws:ivs:us-east-1:123456789012:stage/",
            "arn:aws:ivs:us-east-1:123456789012:stage/a:b",
            "AbC",
        ] {
            assert!(!is(other), "{other}");
        }
    }

    #[test]
    fn texts_that_could_not_be_shown_are_left_out() {
        for odd in [
            json!("two\nlines"),
            json!(""),
            json!(7),
            json!("x".repeat(600)),
        ] {
            assert_eq!(
                read(&with("jti", odd.clone())).participant_id,
                None,
                "{odd}"
            );
        }
    }

    #[test]
    fn debug_shows_nobody() {
        let shown = format!("{:?}", read(&self_signed()));
        for secret in ["ann@", "attribute", "c2ln"] {
            assert!(!shown.contains(secret), "{shown}");
        }
        assert!(shown.contains("Mx6clRRHODPy"));
    }

    #[test]
    fn spans() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min 0 s"),
            (3600, "1 h 0 min"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(Span(Duration::from_secs(seconds)).to_string(), text);
        }
    }
}
