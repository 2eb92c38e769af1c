//! Watches one publisher's session: each second its counts come in, a sample goes
//! to the board, and an ending goes out if the rules have one for it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::stats::PeerStats;

use crate::endings::Ending;
use crate::ivs_limits::{Enforcement, MediaLimits};
use crate::reception::Reception;
use crate::state::StageState;
use crate::watch::meter::Meter;

/// Interval of the samples.
const INTERVAL: Duration = Duration::from_secs(1);

pub(crate) struct Monitor {
    session: u32,
    /// When the POST arrived.
    posted: Instant,
    due: Instant,
    meter: Meter,
    enforcement: Enforcement,
    /// Address of the peer's last datagram.
    peer: Option<SocketAddr>,
    round_trip: Option<Duration>,
}

impl Monitor {
    pub(crate) fn new(session: u32, posted: Instant) -> Self {
        Self {
            session,
            posted,
            due: posted + INTERVAL,
            meter: Meter::new(posted),
            enforcement: Enforcement::default(),
            peer: None,
            round_trip: None,
        }
    }

    /// When the next sample is due.
    pub(crate) fn due(&self) -> Instant {
        self.due
    }

    pub(crate) fn note_peer(&mut self, address: SocketAddr) {
        self.peer = Some(address);
    }

    /// By RTCP if the publisher answers it (RFC 3611 4.5), else by ICE.
    pub(crate) fn note_stats(&mut self, stats: &PeerStats) {
        let pair = stats.selected_candidate_pair.as_ref();
        let by_ice = pair.and_then(|pair| pair.current_round_trip_time);
        self.round_trip = stats.rtt.or(by_ice);
    }

    /// Samples the last second if it is over, and says how the session ends by
    /// the rules.
    pub(crate) fn ending(
        &mut self,
        now: Instant,
        state: &StageState,
        reception: &Reception,
    ) -> Option<Ending> {
        if now < self.due {
            return None;
        }
        self.due = now + INTERVAL;
        let round_trip = self.round_trip.map(|time| time.as_secs_f64() * 1000.0);
        let at_ms = state.record.elapsed_ms();
        let sample = self.meter.sample(now, at_ms, reception, round_trip);
        state.board.add(self.session, sample, self.peer);
        let most = state.rules.publish_time;
        if most.is_some_and(|most| now.saturating_duration_since(self.posted) >= most) {
            return Some(Ending::StreamDurationExceeded);
        }
        match state.rules.media_limits {
            MediaLimits::Reported => None,
            MediaLimits::Enforced => self.enforcement.ending(&sample),
        }
    }
}
