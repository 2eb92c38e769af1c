//! A reply's body as far as it was read.

use bytes::Bytes;

/// A body that was read up to a cap; the status and the headers that came
/// before it count even where it is not whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// All of it.
    Whole(Bytes),
    /// Its beginning: it is longer than the cap.
    TooLong(Bytes),
    /// Its beginning: the connection ended too early.
    Broken(Bytes),
}

impl Body {
    /// What was read.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) | Self::TooLong(bytes) | Self::Broken(bytes) => bytes,
        }
    }
}
