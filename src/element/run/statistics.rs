//! How the sessions of a run went so far.

use std::time::Instant;

use crate::session::Times;

/// What `stats` tells of a run, besides its streams and its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::element) struct RunStatistics {
    /// Of the newest session that came to publish.
    pub(in crate::element) times: Option<Times>,
    /// Sessions that came to publish.
    pub(in crate::element) published: u32,
    /// Since when the one in use publishes.
    pub(in crate::element) publishing_since: Option<Instant>,
    /// Whether the server's limits are those of IVS, as far as is known.
    pub(in crate::element) limits_apply: bool,
}

impl RunStatistics {
    /// A session publishes from now on.
    pub(super) fn publishes(&mut self) {
        self.published += 1;
        self.publishing_since = Some(Instant::now());
    }
}
