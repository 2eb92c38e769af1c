//! A token that a user or a server gave.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gstivs::ivs::Claims;
use gstivs::whip::Token;

/// The bytes are a token as they are, and a token's payload.
pub fn token(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(token) = Token::parse(text)
    {
        check(&token, text);
    }
    let payload = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(data));
    check(&Token::parse(&payload).unwrap(), &payload);
}

fn check(token: &Token, text: &str) {
    assert!(token.authorization().is_sensitive());
    assert_eq!(format!("{token:?}"), "Token(hidden)");
    for shown in [text.to_owned(), format!("no {text}!"), text.to_uppercase()] {
        let hidden = token.hidden_in(&shown);
        assert!(!token.is_shown_by(&hidden), "{hidden}");
        assert_eq!(token.hidden_in(&hidden), hidden);
    }
    let Some(claims) = Claims::read(token) else {
        return;
    };
    for text in [&claims.participant_id, &claims.stage_arn]
        .into_iter()
        .flatten()
    {
        assert!(text.len() <= 512 && !text.is_empty(), "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
    for second in [0, 1, 1_700_000_000, 1 << 40] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        assert!(!token.is_shown_by(&claims.status(now).to_string()));
    }
    // A claim may be a part of the token, but is never the token.
    assert!(!format!("{claims:?}").contains(token.reveal()));
}
