//! Statistics of a run's sessions.

use std::time::Instant;

use super::bitrate_control::Follower;
use crate::media::bandwidth::NetworkStatus;
use crate::session::Times;

/// What `stats` reports of a run, without its streams and its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunStatistics {
    /// Of the newest session that published.
    pub(crate) times: Option<Times>,
    /// Number of sessions that published.
    pub(crate) published: u32,
    /// When the current session began to publish.
    pub(crate) publishing_since: Option<Instant>,
    /// The bit rate that the video should have, in bit/s.
    pub(crate) target_bitrate: Option<u64>,
    /// What is known of the network.
    pub(crate) network: Option<NetworkStatus>,
    /// Who follows it.
    pub(crate) follower: Option<Follower>,
    /// Whether the limits of IVS apply, as far as is known.
    pub(crate) limits_apply: bool,
}

impl RunStatistics {
    /// Notes that a session begins to publish.
    pub(super) fn publishes(&mut self) {
        self.published += 1;
        self.publishing_since = Some(Instant::now());
    }
}
