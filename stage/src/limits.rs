//! Limits on what clients hold open.

use std::time::Duration;

/// How much clients may hold open at a stage, and for how long. The defaults are
/// above what publishers need and below what a process usually may open.
///
/// ```
/// use ivs_stage::{Limits, Rules};
///
/// let limits = Limits { sessions: 12, ..Limits::default() };
/// let rules = Rules { limits, ..Rules::default() };
/// # assert_eq!(rules.limits.connections, 256);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of HTTP connections to all listeners together. A further one waits
    /// until another ends. At least 1. Default: 256.
    pub connections: usize,
    /// Number of live sessions. A further POST gets 400 with IVS's code 2005,
    /// stage at capacity. IVS takes 12 publishers; here the session of one that
    /// vanished counts until [`Rules::patience`](crate::Rules::patience) is over.
    /// Default: 100.
    pub sessions: usize,
    /// Number of live viewers of all publishers together. A further subscription
    /// gets 400 with code 2005. IVS takes 10,000 on a stage; here one process
    /// encrypts for each. Default: 50.
    pub viewers: usize,
    /// How long a client may take for the head of a request, for its body and to
    /// read a reply, and how long a connection may be idle. Then the stage
    /// closes the connection. Default: 30 s.
    pub request_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            sessions: 100,
            viewers: 50,
            request_time: Duration::from_secs(30),
        }
    }
}
