//! Why sessions end.

use serde::{Deserialize, Serialize};

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// The publisher sent a DELETE.
    Deleted,
    /// [`close_sessions`](crate::Stage::close_sessions) ended it.
    Closed,
    /// The peer was lost for longer than the stage's patience.
    PeerLost,
    /// The peer did not connect within the stage's patience.
    NeverConnected,
    /// The peer connected, but the media that the rules require did not arrive.
    Silent,
    /// str0m failed on something that the peer sent.
    Failed,
    /// The video was larger than IVS takes: see
    /// [`MediaLimits::Enforced`](crate::MediaLimits::Enforced).
    ResolutionExceeded,
    /// The session sent more than IVS takes: see
    /// [`MediaLimits::Enforced`](crate::MediaLimits::Enforced).
    BitrateExceeded,
    /// The video had B-frames: see
    /// [`MediaLimits::Enforced`](crate::MediaLimits::Enforced).
    BFramePresent,
    /// The session lasted for [`Rules::publish_time`](crate::Rules::publish_time).
    StreamDurationExceeded,
    /// Another session was made with the same token: see
    /// [`TokenReuse::EndsOlder`](crate::TokenReuse::EndsOlder).
    TokenReused,
}

/// Why a viewer's session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewerEnding {
    /// The viewer sent a DELETE.
    Deleted,
    /// The publisher's session ended, or the stage.
    PublisherLeft,
    /// The viewer was lost, or never connected, for longer than the stage's
    /// patience.
    ViewerLost,
    /// str0m failed on something that the viewer sent.
    Failed,
}
