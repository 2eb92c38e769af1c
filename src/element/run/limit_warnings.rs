//! Decides which limit violations a run warns of.

use url::Url;

use crate::ivs::{Claims, LimitViolation, limits_apply};

/// Each limit is warned of once in a run, and only if the server is IVS.
pub(super) struct LimitWarnings {
    endpoint: Url,
    apply: bool,
    warned: Vec<&'static str>,
}

impl LimitWarnings {
    pub(super) fn new(endpoint: &Url) -> Self {
        Self {
            endpoint: endpoint.clone(),
            apply: limits_apply(endpoint, None),
            warned: Vec::new(),
        }
    }

    /// Reads the claims of the token in use: a token for an IVS stage shows that the
    /// limits apply.
    pub(super) fn update_claims(&mut self, claims: Option<&Claims>) {
        self.apply = limits_apply(&self.endpoint, claims);
    }

    /// Whether the limits of IVS apply, as far as is known.
    pub(super) fn apply(&self) -> bool {
        self.apply
    }

    /// Whether to warn of a violation now; true once for each limit.
    pub(super) fn is_due(&mut self, violation: &LimitViolation) -> bool {
        let name = violation.name();
        let is_due = self.apply && !self.warned.contains(&name);
        if is_due {
            self.warned.push(name);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_due_once_and_only_where_the_server_is_ivs() {
        let violation = |bit_rate| LimitViolation::AudioBitRate { bit_rate };
        let ivs = Url::parse(crate::ivs::GLOBAL_ENDPOINT).unwrap();
        let mut warnings = LimitWarnings::new(&ivs);
        assert!(warnings.is_due(&violation(200_000)));
        assert!(!warnings.is_due(&violation(300_000)));
        assert!(warnings.is_due(&LimitViolation::FrameRateHigh { frame_rate: 75.0 }));
        let other = Url::parse("https://example.net/whip").unwrap();
        let mut warnings = LimitWarnings::new(&other);
        assert!(!warnings.is_due(&violation(200_000)));
    }
}
