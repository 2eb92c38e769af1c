//! How the sessions of a run went so far.

use std::time::Instant;

use crate::session::Times;

/// What `stats` tells of a run, besides its streams and its connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunStatistics {
    /// Of the newest session that came to publish.
    pub(crate) times: Option<Times>,
    /// Sessions that came to publish.
    pub(crate) published: u32,
    /// Since when the one in use publishes.
    pub(crate) publishing_since: Option<Instant>,
    /// Whether the server's limits are those of IVS, as far as is known.
    pub(crate) limits_apply: bool,
}

impl RunStatistics {
    /// A session publishes from now on.
    pub(super) fn publishes(&mut self) {
        self.published += 1;
        self.publishing_since = Some(Instant::now());
    }
}
