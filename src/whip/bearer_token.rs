//! The bearer token, as a type that can't be printed by accident.

use std::collections::HashSet;
use std::fmt;

use http::HeaderValue;

/// A text that has this many characters in a row in common with the token shows it. Words
/// do not, nor does the beginning of every JSON web token (`eyJhbGciOi`).
const PIECE: usize = 16;

/// Shorter tokens could be words.
const MIN_SECRET: usize = 8;

/// A bearer token (RFC 6750 2.1): for IVS, the participant token.
///
/// `Debug` hides it. The `Authorization` header is marked sensitive, so the `Debug` of
/// `http::Request` hides it too.
///
/// ```
/// use gstivs::whip::Token;
///
/// let token = Token::parse("eyJhbGciOi").unwrap();
/// assert_eq!(format!("{token:?}"), "Token(hidden)");
/// assert!(Token::parse("two\nlines").is_err());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Checks a token that a user gave. White space around it is dropped, since the
    /// output of a command ends with a line break; also a byte order mark before it, with
    /// which some editors begin a file.
    ///
    /// # Errors
    /// [`TokenError`] if the token is empty, or holds a line break, a space or anything
    /// else that is not visible ASCII, which a header can't carry. Also if it begins
    /// with a quote, as a JSON string does: no token has quotes (RFC 6750 2.1).
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim();
        if text.is_empty() {
            return Err(TokenError::Empty);
        }
        for (position, character) in text.chars().enumerate() {
            match character {
                '"' | '\'' if position == 0 => {
                    return Err(TokenError::InvalidCharacter { position });
                }
                '\n' | '\r' => return Err(TokenError::LineBreak { position }),
                '!'..='~' => {}
                _ => return Err(TokenError::InvalidCharacter { position }),
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// The value of the `Authorization` header, marked sensitive.
    pub fn authorization(&self) -> HeaderValue {
        let text = format!("Bearer {}", self.0);
        // `parse` accepts visible ASCII only, so the fallback is never used.
        let mut value =
            HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        value.set_sensitive(true);
        value
    }

    /// The text with `…` for the token, and for every piece of it of 16 characters or
    /// more, in upper or lower case: part of a token is half a secret, and a body that is
    /// cut short shows its beginning. A token of less than 16 characters is hidden as a
    /// whole, one of less than 8 not at all: it could be any word.
    pub fn hidden_in(&self, text: &str) -> String {
        let pieces = self.pieces();
        let bytes = text.to_ascii_lowercase().into_bytes();
        let length = self.0.len().min(PIECE);
        let (mut shown, mut end) = (String::new(), None);
        for (start, window) in bytes.windows(length).enumerate() {
            if !pieces.contains(window) {
                continue;
            }
            // Overlapping and adjoining pieces are one.
            if end.is_none_or(|end| start > end) {
                // Pieces are ASCII, so each range ends between characters.
                let before = text.get(end.unwrap_or_default()..start);
                shown.push_str(before.unwrap_or_default());
                shown.push('…');
            }
            end = Some(start + length);
        }
        shown + text.get(end.unwrap_or_default()..).unwrap_or_default()
    }

    /// Whether a text shows the token or a long piece of it, by the rule of
    /// [`Token::hidden_in`].
    pub fn is_shown_by(&self, text: &str) -> bool {
        let pieces = self.pieces();
        let bytes = text.to_ascii_lowercase().into_bytes();
        bytes
            .windows(self.0.len().min(PIECE))
            .any(|window| pieces.contains(window))
    }

    /// Every piece of [`PIECE`] characters, or the token if it is shorter.
    fn pieces(&self) -> HashSet<Vec<u8>> {
        let token = self.0.to_ascii_lowercase().into_bytes();
        if token.len() < MIN_SECRET {
            return HashSet::new();
        }
        token
            .windows(token.len().min(PIECE))
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// The token itself, to read its claims. Must never appear in a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// Why a text can't be a bearer token. Positions count characters from 0. The error
/// never holds the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// The token is empty.
    Empty,
    /// A line break inside the token.
    LineBreak {
        /// Position of the line break.
        position: usize,
    },
    /// A space, a control or a non-ASCII character inside the token, or a quote at its
    /// start.
    InvalidCharacter {
        /// Position of the character.
        position: usize,
    },
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the token is empty"),
            Self::LineBreak { position } => write!(
                f,
                "the token holds a line break after {position} characters; give it on one line"
            ),
            Self::InvalidCharacter { position } => write!(
                f,
                "the token holds a blank, a quote or a character outside ASCII after {position} \
                 characters; copy it again, without quotes, blanks and \"Bearer\""
            ),
        }
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_an_error() {
        assert_eq!(Token::parse(""), Err(TokenError::Empty));
    }

    #[test]
    fn white_space_around_it_is_dropped() {
        assert_eq!(Token::parse(" abc\r\n\n"), Token::parse("abc"));
        assert_eq!(Token::parse("\u{feff}abc\n"), Token::parse("abc"));
        assert_eq!(Token::parse(" \n"), Err(TokenError::Empty));
    }

    #[test]
    fn line_break_is_an_error_that_does_not_show_the_token() {
        let error = Token::parse("abc\ndef").unwrap_err();
        assert_eq!(error, TokenError::LineBreak { position: 3 });
        assert!(!error.to_string().contains("abc"));
    }

    #[test]
    fn character_outside_visible_ascii_is_an_error() {
        for bad in ["a b", "a\u{7f}", "é", "a\tb", "\"a\"", "'a'"] {
            assert!(
                matches!(Token::parse(bad), Err(TokenError::InvalidCharacter { .. })),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn only_at_the_start_a_quote_is_an_error() {
        assert!(Token::parse("a\"b'").is_ok());
    }

    #[test]
    fn header_is_sensitive() {
        let value = Token::parse("secret").unwrap().authorization();
        assert!(value.is_sensitive());
        assert_eq!(value, "Bearer secret");
    }

    const JWT: &str = "eyJhbGciOiJFUzM4NCJ9.eyJyb29tIjoiNDIiLCJleHAiOjF9.MEUCIQDx-y_z0123456789";

    #[test]
    fn long_pieces_of_it_are_hidden() {
        let token = Token::parse(JWT).unwrap();
        for (text, shown) in [
            (format!("no {JWT}!"), "no …!"),
            (format!("no {}", &JWT[..30]), "no …"),
            (format!("no {}…", &JWT[30..]), "no ……"),
            (format!("é{}é", JWT.split('.').nth(1).unwrap()), "é…é"),
            (format!("no {}", JWT.to_uppercase()), "no …"),
            (format!("{} {}", &JWT[..20], &JWT[40..]), "… …"),
            (format!("{}{}", &JWT[..20], &JWT[40..60]), "…"),
            (format!("{}-{}", &JWT[..20], &JWT[40..60]), "…-…"),
            (JWT[..16].to_owned(), "…"),
            ("eyJhbGciOiJFUzM".to_owned(), "eyJhbGciOiJFUzM"),
            ("invalid token".to_owned(), "invalid token"),
            (String::new(), ""),
        ] {
            assert_eq!(token.hidden_in(&text), shown, "{text}");
            assert_eq!(token.is_shown_by(&text), text.as_str() != shown, "{text}");
        }
    }

    #[test]
    fn short_tokens_are_hidden_as_a_whole() {
        let token = Token::parse("streamKey").unwrap();
        assert_eq!(token.hidden_in("a streamkey!"), "a …!");
        assert!(!token.is_shown_by("a stream"));
        let shortest = Token::parse("8letters").unwrap();
        assert_eq!(shortest.hidden_in("8letters"), "…");
        let word = Token::parse("7letter").unwrap();
        assert_eq!(word.hidden_in("7letter"), "7letter");
        assert!(!word.is_shown_by("7letter"));
        // Too short to be told from a word.
        assert_eq!(
            Token::parse("live").unwrap().hidden_in("live.example"),
            "live.example"
        );
    }
}
