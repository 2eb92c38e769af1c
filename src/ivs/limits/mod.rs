//! What IVS takes of audio and video, held against what is being sent.
//!
//! IVS does not say why a publisher vanishes: a WHIP client sees its
//! connection end (inferred). So the stream itself is watched, packet by
//! packet, and each [`Breach`] says in a sentence what is wrong with it and
//! which setting cures it.
//!
//! ```text
//!  packets ──► rtp ──► VideoWatch / AudioWatch ──► Breach ──► Display, cure()
//!               │            │       │
//!              sps         meter    stats
//! ```
//!
//! Nothing is enforced here: a breach is a warning.

mod breach;
mod cure;
mod meter;
mod rtp;
mod sps;
mod watch;

pub use breach::{Breach, check_codec};
pub use sps::Sps;
pub use watch::{AudioWatch, VideoWatch};
