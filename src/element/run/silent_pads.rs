//! Decides when to tell that a published pad has fallen silent, and that its media are
//! back.

use std::time::Duration;

/// Silence after which a pad is told of. Live sources send several packets a second,
/// Opus with DTX one every 400 ms.
const LONGEST_SILENCE: Duration = Duration::from_secs(10);

/// The published pads that were told to be silent.
#[derive(Debug, Default)]
pub(super) struct SilentPads {
    told: Vec<(u32, Duration)>,
}

/// What to tell of a pad.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// Nothing has arrived for this time.
    Lasts(Duration),
    /// Media have come again, after this time at least.
    IsOver(Duration),
}

impl SilentPads {
    /// Compares the published pads, each with the time since its last packet, with
    /// what was told. A pad that is not among them any more is forgotten.
    pub(super) fn update(&mut self, pads: &[(u32, Duration)]) -> Vec<(u32, Silence)> {
        let before = std::mem::take(&mut self.told);
        let mut news = Vec::new();
        for (pad, silence) in pads.iter().copied() {
            let known = before.iter().find(|(told, _)| *told == pad);
            match (silence >= LONGEST_SILENCE, known) {
                (true, None) => news.push((pad, Silence::Lasts(silence))),
                (false, Some((_, lasted))) => news.push((pad, Silence::IsOver(*lasted))),
                _ => {}
            }
            if silence >= LONGEST_SILENCE {
                self.told.push((pad, silence));
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn silence_and_its_end_are_told_once() {
        let mut pads = SilentPads::default();
        assert_eq!(pads.update(&[(1, seconds(9)), (2, seconds(0))]), []);
        let news = pads.update(&[(1, seconds(10)), (2, seconds(1))]);
        assert_eq!(news, [(1, Silence::Lasts(seconds(10)))]);
        assert_eq!(pads.update(&[(1, seconds(30)), (2, seconds(1))]), []);
        let news = pads.update(&[(1, seconds(0)), (2, seconds(1))]);
        assert_eq!(news, [(1, Silence::IsOver(seconds(30)))]);
        assert_eq!(pads.update(&[(1, seconds(0))]), []);
    }

    #[test]
    fn a_pad_that_is_not_published_any_more_is_forgotten() {
        let mut pads = SilentPads::default();
        assert_eq!(pads.update(&[(1, seconds(10))]).len(), 1);
        assert_eq!(pads.update(&[]), []);
        assert_eq!(pads.update(&[(1, seconds(0))]), []);
    }
}
