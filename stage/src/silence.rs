//! The rule on sections without media: what a session has received comes in, and an
//! ending goes out if it is not enough.

use std::time::Instant;

use crate::endings::Ending;
use crate::offer::Kind;
use crate::reception::Reception;
use crate::request_rules::SilenceRule;

#[derive(Debug)]
pub(crate) struct Silence {
    rule: SilenceRule,
    /// When the media must be there.
    due: Option<Instant>,
}

impl Silence {
    pub(crate) fn new(rule: SilenceRule) -> Self {
        Self { rule, due: None }
    }

    /// The peer has connected: its time begins.
    pub(crate) fn begin(&mut self, now: Instant) {
        self.due = match self.rule {
            SilenceRule::Allowed => None,
            SilenceRule::NoVideo { within } | SilenceRule::AnySection { within } => {
                Some(now + within)
            }
        };
    }

    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(crate) fn ending(&mut self, now: Instant, reception: &Reception) -> Option<Ending> {
        self.due.take_if(|due| *due <= now)?;
        let mut sections = reception.sections();
        let enough = match self.rule {
            SilenceRule::Allowed => true,
            SilenceRule::NoVideo { .. } => {
                sections.any(|section| section.kind == Kind::Video && section.packets > 0)
            }
            SilenceRule::AnySection { .. } => sections.all(|section| section.packets > 0),
        };
        (!enough).then_some(Ending::Silent)
    }
}
