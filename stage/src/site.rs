//! What all listeners and sessions of one stage share.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::record::Record;
use crate::rules::{Refusal, Rules};
use crate::sessions::Sessions;
use crate::token::SigningKey;

#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) rules: Rules,
    /// Host and port of each listener, from the global to the regional one.
    pub(crate) hosts: Vec<String>,
    pub(crate) media_address: IpAddr,
    pub(crate) key: SigningKey,
    pub(crate) record: Arc<Record>,
    pub(crate) sessions: Sessions,
    refusals: Mutex<VecDeque<Refusal>>,
}

impl Site {
    pub(crate) fn new(
        rules: Rules,
        hosts: Vec<String>,
        media_address: IpAddr,
        key: SigningKey,
        record: Arc<Record>,
    ) -> Self {
        Self {
            refusals: Mutex::new(rules.refusals.clone().into()),
            rules,
            hosts,
            media_address,
            key,
            record,
            sessions: Sessions::default(),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/", self.host(0))
    }

    pub(crate) fn regional_host(&self) -> &str {
        self.host(self.hosts.len().saturating_sub(1))
    }

    pub(crate) fn host(&self, place: usize) -> &str {
        self.hosts.get(place).map_or("", String::as_str)
    }

    /// Whether a listener is the one that keeps the sessions.
    pub(crate) fn is_regional(&self, place: usize) -> bool {
        place + 1 == self.hosts.len()
    }

    /// The made-up reply for this POST, if there is one left.
    pub(crate) fn next_refusal(&self) -> Option<Refusal> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.pop_front()
    }
}
