//! Makes and checks participant tokens as IVS customers sign them themselves:
//! JWTs signed with ES384, with the claims that IVS documents.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{error, fmt};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::ecdsa::EcdsaSig;
use openssl::error::ErrorStack;
use openssl::nid::Nid;
use openssl::pkey::Private;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// ARN of the local stage. It is the same in every process, so that `ivs-stage
/// token` makes tokens for a running stage.
const STAGE_ARN: &str = "arn:aws:ivs:us-west-2:123456789012:stage/L0cAlSt4gE00";

/// ARN of the public key, by which IVS finds a customer's key (`kid`).
const KEY_ARN: &str = "arn:aws:ivs:us-west-2:123456789012:public-key/L0cAlK3y0000";

/// Bytes of each half of an ES384 signature (RFC 7518 3.4).
const SIGNATURE_HALF: i32 = 48;

/// Maximum length of a `user_id` in characters, as IVS documents it.
const USER_ID_LIMIT: usize = 128;

/// The claims of a token to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenWish {
    /// When the token expires (`exp`). Default: in an hour.
    pub lifetime: Lifetime,
    /// The `allow_publish` capability. Default: true.
    pub allow_publish: bool,
    /// The `allow_subscribe` capability. Default: true.
    pub allow_subscribe: bool,
    /// The `user_id` claim. Default: none.
    pub user_id: Option<String>,
    /// The `whip_url` claim. Default: a URL of the form that IVS documents.
    pub whip_url: Option<String>,
    /// The ARN of the token's stage (`resource`). Default: the local stage.
    pub stage_arn: Option<String>,
}

impl Default for TokenWish {
    fn default() -> Self {
        Self {
            lifetime: Lifetime::For(Duration::from_secs(3600)),
            allow_publish: true,
            allow_subscribe: true,
            user_id: None,
            whip_url: None,
            stage_arn: None,
        }
    }
}

/// When a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// After this time, in whole seconds.
    For(Duration),
    /// This time ago, in whole seconds.
    ExpiredSince(Duration),
}

/// OpenSSL failed to make a token.
#[derive(Debug)]
pub struct MintError(ErrorStack);

impl fmt::Display for MintError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "signing the token failed: {}", self.0)
    }
}

impl error::Error for MintError {}

impl From<ErrorStack> for MintError {
    fn from(stack: ErrorStack) -> Self {
        Self(stack)
    }
}

/// The key that signs and checks tokens: ECDSA on P-384.
#[derive(Debug)]
pub struct SigningKey(EcKey<Private>);

/// Why there is no signing key.
#[derive(Debug)]
pub enum KeyError {
    /// The file can't be read or written.
    File(io::Error),
    /// The file has no EC key in PEM, or OpenSSL failed to make a key.
    Key(ErrorStack),
    /// The file holds a key on another curve.
    Curve,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "{error}"),
            Self::Key(stack) => write!(f, "no EC key in PEM: {stack}"),
            Self::Curve => f.write_str("expected a key on curve P-384"),
        }
    }
}

impl error::Error for KeyError {}

impl SigningKey {
    /// Makes a new key in memory.
    ///
    /// # Errors
    ///
    /// [`KeyError::Key`] if OpenSSL fails.
    pub fn fresh() -> Result<Self, KeyError> {
        let curve = EcGroup::from_curve_name(Nid::SECP384R1).map_err(KeyError::Key)?;
        EcKey::generate(&curve).map(Self).map_err(KeyError::Key)
    }

    /// Reads a key from a PEM file. If the file doesn't exist, makes a key and
    /// writes it there, with mode 0600 on Unix.
    ///
    /// # Errors
    ///
    /// See [`KeyError`]: the file can't be read or written, or it has no P-384
    /// key.
    pub fn from_file(path: &Path) -> Result<Self, KeyError> {
        match read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(KeyError::File(error)),
            Ok(pem) => Self::from_pem(&pem),
        }
    }

    fn create(path: &Path) -> Result<Self, KeyError> {
        let key = Self::fresh()?;
        let pem = key.0.private_key_to_pem().map_err(KeyError::Key)?;
        write_secret(path, &pem).map_err(KeyError::File)?;
        Ok(key)
    }

    fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let key = EcKey::private_key_from_pem(pem).map_err(KeyError::Key)?;
        if key.group().curve_name() != Some(Nid::SECP384R1) {
            return Err(KeyError::Curve);
        }
        Ok(Self(key))
    }

    /// Makes a token with these claims and a random participant id (`jti`).
    ///
    /// # Errors
    ///
    /// If OpenSSL fails.
    pub fn mint(&self, wish: &TokenWish) -> Result<String, MintError> {
        self.sign(&claims(wish, &random_id()?))
    }

    fn sign(&self, claims: &Value) -> Result<String, MintError> {
        let header = json!({ "alg": "ES384", "typ": "JWT", "kid": KEY_ARN });
        let signed = format!("{}.{}", encode(&header), encode(claims));
        let digest = openssl::sha::sha384(signed.as_bytes());
        let signature = EcdsaSig::sign(&digest, &self.0)?;
        let mut raw = signature.r().to_vec_padded(SIGNATURE_HALF)?;
        raw.extend(signature.s().to_vec_padded(SIGNATURE_HALF)?);
        Ok(format!("{signed}.{}", BASE64URL.encode(raw)))
    }

    /// Reads a token, also an expired one. `None` if this key did not sign it,
    /// it is for another stage, or its participant id has not the form that IVS
    /// documents.
    pub(crate) fn read(&self, token: &str) -> Option<Participant> {
        let (signed, signature) = token.rsplit_once('.')?;
        if !self.signed(signed, &BASE64URL.decode(signature).ok()?) {
            return None;
        }
        let (_, claims) = signed.split_once('.')?;
        let claims: Claims = serde_json::from_slice(&BASE64URL.decode(claims).ok()?).ok()?;
        let valid = claims.resource == STAGE_ARN && is_participant_id(&claims.jti);
        valid.then(|| Participant {
            id: claims.jti,
            expired: claims.exp <= unix_now(),
            may_publish: claims.capabilities.allow_publish,
            may_subscribe: claims.capabilities.allow_subscribe,
            user_id: claims
                .user_id
                .filter(|id| id.chars().count() <= USER_ID_LIMIT),
        })
    }

    fn signed(&self, text: &str, signature: &[u8]) -> bool {
        let half = signature.len() / 2;
        if signature.len() != 96 {
            return false;
        }
        let digest = openssl::sha::sha384(text.as_bytes());
        let parts = BigNum::from_slice(&signature[..half])
            .and_then(|r| Ok((r, BigNum::from_slice(&signature[half..])?)));
        parts
            .and_then(|(r, s)| EcdsaSig::from_private_components(r, s))
            .and_then(|signature| signature.verify(&digest, &self.0))
            // OpenSSL returns an error for some invalid signatures.
            .unwrap_or(false)
    }
}

/// What the stage uses of a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Participant {
    pub(crate) id: String,
    pub(crate) expired: bool,
    pub(crate) may_publish: bool,
    pub(crate) may_subscribe: bool,
    /// What the customer calls the participant. It can hold any characters.
    pub(crate) user_id: Option<String>,
}

/// Whether this is a `jti` as IVS documents it. Events repeat it.
pub(crate) fn is_participant_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

/// 120 random bits in characters that a URL may have.
pub(crate) fn random_id() -> Result<String, ErrorStack> {
    let mut bytes = [0; 15];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(BASE64URL.encode(bytes))
}

#[derive(Deserialize)]
struct Claims {
    exp: i64,
    jti: String,
    resource: String,
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    capabilities: Capabilities,
}

/// A token grants only the capabilities that it names.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
struct Capabilities {
    allow_publish: bool,
    allow_subscribe: bool,
}

fn claims(wish: &TokenWish, participant: &str) -> Value {
    let now = unix_now();
    let exp = match wish.lifetime {
        Lifetime::For(time) => now.saturating_add(seconds(time)),
        Lifetime::ExpiredSince(time) => now.saturating_sub(seconds(time)),
    };
    // An expired token was issued before it expired.
    let iat = now.min(exp.saturating_sub(60));
    let arn = wish.stage_arn.as_deref().unwrap_or(STAGE_ARN);
    let whip_url = wish
        .whip_url
        .as_deref()
        .unwrap_or("https://0123456789ab.global-bm.whip.live-video.net");
    let mut claims = json!({
        "exp": exp,
        "iat": iat,
        "jti": participant,
        "resource": arn,
        "topic": arn.rsplit('/').next(),
        "events_url": "wss://global.events.live-video.net",
        "whip_url": whip_url,
        "attributes": {},
        "capabilities": Capabilities {
            allow_publish: wish.allow_publish,
            allow_subscribe: wish.allow_subscribe,
        },
        "version": "1.0",
    });
    if let Some(user_id) = &wish.user_id {
        claims["user_id"] = json!(user_id);
    }
    claims
}

fn encode(value: &Value) -> String {
    BASE64URL.encode(value.to_string())
}

fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, seconds)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut pem = Vec::new();
    std::fs::File::open(path)?.read_to_end(&mut pem)?;
    Ok(pem)
}

fn write_secret(path: &Path, pem: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims_of(token: &str) -> Value {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&BASE64URL.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_minted_token_is_read_back() {
        let key = SigningKey::fresh().unwrap();
        let token = key.mint(&TokenWish::default()).unwrap();
        let participant = key.read(&token).unwrap();
        assert!(!participant.expired && participant.may_publish);
        assert_eq!(claims_of(&token)["jti"], participant.id.as_str());
    }

    #[test]
    fn claims_are_those_of_ivs() {
        let key = SigningKey::fresh().unwrap();
        let wish = TokenWish {
            user_id: Some("radio".into()),
            ..TokenWish::default()
        };
        let claims = claims_of(&key.mint(&wish).unwrap());
        assert_eq!(claims["resource"], STAGE_ARN);
        assert_eq!(claims["topic"], "L0cAlSt4gE00");
        assert_eq!(claims["user_id"], "radio");
        assert_eq!(claims["version"], "1.0");
        assert_eq!(claims["capabilities"]["allow_publish"], true);
        let lived = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(lived, 3600);
    }

    #[test]
    fn a_participant_id_is_short_and_plain() {
        let key = SigningKey::fresh().unwrap();
        let read = |id: &str| {
            let claims = claims(&TokenWish::default(), id);
            key.read(&key.sign(&claims).unwrap()).map(|read| read.id)
        };
        let longest = "aZ0-_".repeat(12) + "aZ0-";
        assert_eq!(read(&longest).as_deref(), Some(longest.as_str()));
        for id in [longest + "_", String::new(), "a\nb".into(), "é".into()] {
            assert_eq!(read(&id), None, "{id}");
        }
    }

    #[test]
    fn another_keys_token_is_not_read() {
        let token = SigningKey::fresh()
            .unwrap()
            .mint(&TokenWish::default())
            .unwrap();
        assert_eq!(SigningKey::fresh().unwrap().read(&token), None);
    }

    #[test]
    fn a_tampered_token_is_not_read() {
        let key = SigningKey::fresh().unwrap();
        let wish = TokenWish {
            allow_publish: false,
            ..TokenWish::default()
        };
        let token = key.mint(&wish).unwrap();
        let mut claims = claims_of(&token);
        claims["capabilities"]["allow_publish"] = json!(true);
        let parts: Vec<&str> = token.split('.').collect();
        let forged = format!("{}.{}.{}", parts[0], encode(&claims), parts[2]);
        assert_eq!(key.read(&forged), None);
        assert_eq!(key.read(&token[..token.len() - 4]), None);
        assert_eq!(key.read("x"), None);
        assert_eq!(key.read(""), None);
    }

    #[test]
    fn expiry_capability_and_stage_are_told_apart() {
        let key = SigningKey::fresh().unwrap();
        let expired = TokenWish {
            lifetime: Lifetime::ExpiredSince(Duration::from_secs(5)),
            ..TokenWish::default()
        };
        assert!(key.read(&key.mint(&expired).unwrap()).unwrap().expired);
        let mute = TokenWish {
            allow_publish: false,
            ..TokenWish::default()
        };
        assert!(!key.read(&key.mint(&mute).unwrap()).unwrap().may_publish);
        let elsewhere = TokenWish {
            stage_arn: Some("arn:aws:ivs:us-west-2:123456789012:stage/other".into()),
            ..TokenWish::default()
        };
        assert_eq!(key.read(&key.mint(&elsewhere).unwrap()), None);
    }

    #[test]
    fn a_key_file_is_made_once_and_only_for_its_owner() {
        let path = std::env::temp_dir().join(format!("ivs-stage-key-{}", random_id().unwrap()));
        let token = SigningKey::from_file(&path)
            .unwrap()
            .mint(&TokenWish::default())
            .unwrap();
        assert!(SigningKey::from_file(&path).unwrap().read(&token).is_some());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = path.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
