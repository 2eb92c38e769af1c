//! Warns of the IVS limits that the media violate, each once in a run.

use gst::prelude::*;
use gst::subclass::prelude::*;
use url::Url;

use super::conductor::Job;
use crate::element::imp::IvsWhipSink;
use crate::element::input::upstream_encoder;
use crate::element::messages;
use crate::ivs::{Claims, limits_apply};

/// What a run knows about the limits.
pub(in crate::element) struct Limits {
    endpoint: Url,
    /// Whether they are the server's, as far as that is known by now.
    pub(in crate::element) apply: bool,
    warned: Vec<&'static str>,
}

impl Limits {
    pub(in crate::element) fn new(endpoint: &Url) -> Self {
        Self {
            endpoint: endpoint.clone(),
            apply: limits_apply(endpoint, None),
            warned: Vec::new(),
        }
    }

    /// Whether nobody was warned of this one yet. From now on somebody was.
    fn is_first(&mut self, name: &'static str) -> bool {
        let is_first = !self.warned.contains(&name);
        if is_first {
            self.warned.push(name);
        }
        is_first
    }
}

impl IvsWhipSink {
    /// A pad's stream violates a limit, as its streaming thread has seen.
    pub(in crate::element) fn limit_violated(&self) {
        let jobs = self.lock().run.as_ref().map(|run| run.jobs.clone());
        if let Some(jobs) = jobs {
            // The conductor lives as long as the run that was just seen.
            let _ = jobs.send(Job::Limits);
        }
    }

    /// The token's claims can tell whose limits count. What was seen before
    /// they were known is told now.
    pub(in crate::element) fn judge_limits(&self, id: u64, claims: Option<&Claims>) {
        self.of_run(id, |run| {
            run.limits.apply = limits_apply(&run.limits.endpoint, claims);
        });
        self.warn_of_limits(id);
    }

    /// Warns of what the pads' media miss now. On the conductor.
    pub(in crate::element) fn warn_of_limits(&self, id: u64) {
        if self.of_run(id, |run| run.limits.apply) != Some(true) {
            return;
        }
        let pads = self.lock().pads.clone();
        for pad in &pads {
            for violation in pad.violations() {
                let is_first = self.of_run(id, |run| run.limits.is_first(violation.name()));
                if is_first == Some(true) {
                    let encoder = upstream_encoder(pad.ghost.upcast_ref());
                    messages::post_limit(&self.obj(), &violation, encoder.as_deref());
                }
            }
        }
    }
}
