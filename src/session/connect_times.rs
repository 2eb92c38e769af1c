//! How long each step of an attempt took.

use std::time::Duration;

use tokio::time::Instant;

/// How long each step from available to flowing media took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// Making the peer connection and its offer.
    pub offer: Duration,
    /// The POST with its redirects, and what precedes it: reading the token, and
    /// waiting for candidates if the server needs them in the offer.
    pub post: Duration,
    /// ICE and DTLS, from the answer to the connected transport.
    pub connect: Duration,
    /// From the offer until all local candidates are known; `None` until then.
    /// The POST waits for this only if the server needs candidates in the offer.
    pub gathering: Option<Duration>,
}

impl Times {
    /// The sum of `offer`, `post` and `connect`.
    pub fn total(&self) -> Duration {
        self.offer + self.post + self.connect
    }

    /// [`Times::total`] as it would be if the POST had waited for all candidates.
    pub fn total_with_gathering(&self) -> Option<Duration> {
        self.gathering.map(|gathering| self.total() + gathering)
    }
}

/// Measures the times of one attempt.
#[derive(Debug)]
pub(super) struct Stopwatch {
    offered: Instant,
    step: Instant,
    times: Times,
    is_connected: bool,
}

impl Stopwatch {
    /// Starts when the offer is ready; `took` is the time to make it.
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

    /// Returns the times, which are complete enough to report from now on.
    pub(super) fn connected(&mut self) -> Times {
        self.times.connect = self.lap();
        self.is_connected = true;
        self.times
    }

    /// Returns the times if they have to be reported again.
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
