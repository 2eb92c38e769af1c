//! The bearer token, as a type that can't be printed by accident.

use std::fmt;

use http::HeaderValue;

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
    /// output of a command ends with a line break.
    ///
    /// # Errors
    /// [`TokenError`] if the token is empty, or holds a line break, a space or anything
    /// else that is not visible ASCII, which a header can't carry. Also if it begins
    /// with a quote, as a JSON string does: no token has quotes (RFC 6750 2.1).
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
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
                "the token holds a line break at character {position}; give it on one line"
            ),
            Self::InvalidCharacter { position } => write!(
                f,
                "the token holds a space or a character outside ASCII at character {position}; \
                 copy it again, without quotes or blanks"
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
    fn header_is_sensitive() {
        let value = Token::parse("secret").unwrap().authorization();
        assert!(value.is_sensitive());
        assert_eq!(value, "Bearer secret");
    }
}
