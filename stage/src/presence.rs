//! Whether a session's peer is there: connections and losses come in, and for
//! how long there has been no peer goes out.

use std::time::{Duration, Instant};

/// The peer of one session.
#[derive(Debug)]
pub(crate) struct Presence {
    connected: bool,
    /// Since when there is no connection to the peer.
    absent_since: Option<Instant>,
    patience: Duration,
}

/// How a peer was missing for longer than the stage's patience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    NeverConnected,
    Lost,
}

impl Presence {
    pub(crate) fn new(posted: Instant, patience: Duration) -> Self {
        Self {
            connected: false,
            absent_since: Some(posted),
            patience,
        }
    }

    pub(crate) fn connect(&mut self) {
        self.connected = true;
        self.absent_since = None;
    }

    /// Returns false if it is no news.
    pub(crate) fn lose(&mut self, now: Instant) -> bool {
        let news = self.connected && self.absent_since.is_none();
        if news {
            self.absent_since = Some(now);
        }
        news
    }

    /// Returns false if the peer has not been connected before.
    pub(crate) fn come_back(&mut self) -> bool {
        if self.connected {
            self.absent_since = None;
        }
        self.connected
    }

    /// When the patience is over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.absent_since.map(|since| since + self.patience)
    }

    pub(crate) fn absence(&self, now: Instant) -> Option<Absence> {
        self.deadline().filter(|deadline| *deadline <= now)?;
        Some(if self.connected {
            Absence::Lost
        } else {
            Absence::NeverConnected
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_may_be_absent_for_as_long_as_the_patience() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut presence = Presence::new(start, second);
        assert!(!presence.lose(start) && !presence.come_back());
        assert_eq!(presence.absence(start), None);
        let never = Some(Absence::NeverConnected);
        assert_eq!(presence.absence(start + second), never);
        presence.connect();
        assert_eq!(presence.absence(start + second), None);
        assert!(presence.lose(start + second) && !presence.lose(start + second * 2));
        assert_eq!(presence.absence(start + second * 2), Some(Absence::Lost));
        assert!(presence.come_back());
        assert_eq!(presence.deadline(), None);
    }
}
