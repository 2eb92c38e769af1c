//! The body of a reply, complete or cut short.

use bytes::Bytes;

/// A body that was read up to a size limit. Status and headers are valid even if the
/// body is incomplete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// The whole body.
    Whole(Bytes),
    /// The beginning of a body that is longer than the limit.
    TooLong(Bytes),
    /// The beginning of a body; the connection ended too early.
    Broken(Bytes),
}

impl Body {
    /// The bytes that were read.
    pub fn bytes(&self) -> &Bytes {
        match self {
            Self::Whole(bytes) | Self::TooLong(bytes) | Self::Broken(bytes) => bytes,
        }
    }
}
