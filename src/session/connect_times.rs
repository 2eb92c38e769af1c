//! How long the steps of an attempt took.

use std::time::Duration;

use tokio::time::Instant;

/// The steps from media that are there to media that flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Making the peer connection and its offer.
    pub offer: Duration,
    /// The POST with its redirects, and what came before it: reading the token,
    /// and waiting for candidates where the server wants them in the offer.
    pub post: Duration,
    /// ICE and DTLS, from the answer on.
    pub connect: Duration,
    /// From the offer until all local candidates were known, which nothing waits
    /// for. Unknown while that goes on.
    pub gathering: Option<Duration>,
}

impl Times {
    /// All that was waited for.
    pub fn total(&self) -> Duration {
        self.offer + self.post + self.connect
    }

    /// The same, had it waited for all candidates before the POST.
    pub fn total_with_gathering(&self) -> Option<Duration> {
        self.gathering.map(|gathering| self.total() + gathering)
    }
}

/// Takes the times of one attempt.
#[derive(Debug)]
pub(super) struct Stopwatch {
    offered: Instant,
    step: Instant,
    times: Times,
    is_connected: bool,
}

impl Stopwatch {
    /// The offer is there, and took so long.
    pub(super) fn offered(took: Duration) -> Self {
        let now = Instant::now();
        Self {
            offered: now,
            step: now,
            times: Times {
                offer: took,
                ..Times::default()
            },
            is_connected: false,
        }
    }

    pub(super) fn answered(&mut self) {
        self.times.post = self.lap();
    }

    /// Gives the times, which are worth telling from now on.
    pub(super) fn connected(&mut self) -> Times {
        self.times.connect = self.lap();
        self.is_connected = true;
        self.times
    }

    /// Gives the times if they are worth telling again.
    pub(super) fn gathered(&mut self) -> Option<Times> {
        self.times.gathering = Some(self.offered.elapsed());
        self.is_connected.then_some(self.times)
    }

    fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now.duration_since(std::mem::replace(&mut self.step, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals() {
        let ms = Duration::from_millis;
        let times = Times {
            offer: ms(10),
            post: ms(200),
            connect: ms(30),
            gathering: None,
        };
        assert_eq!(times.total(), ms(240));
        assert_eq!(times.total_with_gathering(), None);
        let times = Times {
            gathering: Some(ms(400)),
            ..times
        };
        assert_eq!(times.total(), ms(240));
        assert_eq!(times.total_with_gathering(), Some(ms(640)));
    }

    #[test]
    fn gathering_is_told_once_the_rest_is_known() {
        let mut early = Stopwatch::offered(Duration::ZERO);
        assert_eq!(early.gathered(), None);
        early.answered();
        assert!(early.connected().gathering.is_some());

        let mut late = Stopwatch::offered(Duration::ZERO);
        late.answered();
        assert_eq!(late.connected().gathering, None);
        assert!(
            late.gathered()
                .is_some_and(|times| times.gathering.is_some())
        );
    }
}
