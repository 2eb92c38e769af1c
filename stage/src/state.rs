//! What all listeners and sessions of one stage share: its rules, addresses,
//! key, record and sessions, and counters for the rules on the first requests.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::offer::OfferSection;
use crate::participant_token::SigningKey;
use crate::record::Record;
use crate::request_rules::SilenceRule;
use crate::rules::{Refusal, Rules};
use crate::sessions::Sessions;
use crate::subscribe::{Audience, Viewers};
use crate::video_rule::VideoRule;
use crate::watch::Board;

#[derive(Debug)]
pub(crate) struct StageState {
    pub(crate) rules: Rules,
    /// Host and port of each listener, from the global to the regional one.
    pub(crate) hosts: Vec<String>,
    /// Host and port of the page.
    pub(crate) page_host: Option<String>,
    pub(crate) media_address: IpAddr,
    pub(crate) key: SigningKey,
    pub(crate) record: Arc<Record>,
    pub(crate) sessions: Sessions,
    /// Who watches whom.
    pub(crate) audience: Arc<Audience>,
    pub(crate) viewers: Viewers,
    /// What the page shows of the publishers.
    pub(crate) board: Board,
    /// A permit for each connection that the limits allow.
    pub(crate) connections: Arc<Semaphore>,
    refusals: Mutex<VecDeque<Refusal>>,
    /// When the POSTs within [`Rules::rate`] were admitted.
    posts: Mutex<VecDeque<Instant>>,
    sending_offers: AtomicU32,
    answers: AtomicUsize,
    media_dropped: AtomicBool,
}

impl StageState {
    pub(crate) fn new(
        rules: Rules,
        hosts: Vec<String>,
        media_address: IpAddr,
        key: SigningKey,
        record: Arc<Record>,
    ) -> Self {
        Self {
            connections: Arc::new(Semaphore::new(
                rules.limits.connections.clamp(1, Semaphore::MAX_PERMITS),
            )),
            refusals: Mutex::new(rules.refusals.clone().into()),
            posts: Mutex::default(),
            sending_offers: AtomicU32::new(0),
            answers: AtomicUsize::new(0),
            media_dropped: AtomicBool::new(false),
            rules,
            hosts,
            media_address,
            key,
            record,
            sessions: Sessions::default(),
            audience: Arc::default(),
            board: Board::default(),
            page_host: None,
            viewers: Viewers::default(),
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}/", self.host(0))
    }

    pub(crate) fn page_url(&self) -> Option<String> {
        self.page_host
            .as_ref()
            .map(|host| format!("http://{host}/"))
    }

    pub(crate) fn regional_host(&self) -> &str {
        self.host(self.hosts.len().saturating_sub(1))
    }

    pub(crate) fn host(&self, hop: usize) -> &str {
        self.hosts.get(hop).map_or("", String::as_str)
    }

    /// Whether this hop is the regional listener, which keeps the sessions.
    pub(crate) fn is_regional(&self, hop: usize) -> bool {
        hop + 1 == self.hosts.len()
    }

    /// The next of [`Rules::refusals`], which replaces the answer to this POST.
    pub(crate) fn next_refusal(&self) -> Option<Refusal> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        refusals.pop_front()
    }

    /// Admits a POST, or returns the time until [`Rules::rate`] allows one.
    pub(crate) fn admit_post(&self) -> Result<(), Duration> {
        let Some(rate) = self.rules.rate else {
            return Ok(());
        };
        let now = Instant::now();
        let mut posts = self.posts.lock().unwrap_or_else(PoisonError::into_inner);
        posts.retain(|at| now < *at + rate.within);
        if posts.len() < rate.posts {
            posts.push_back(now);
            return Ok(());
        }
        let oldest = posts.front().map_or(now, |at| *at);
        Err((oldest + rate.within).saturating_duration_since(now))
    }

    /// Whether [`VideoRule::RefuseSilentBefore`] refuses this offer. Counts the
    /// offers whose video section sends.
    pub(crate) fn refuses_as_silent(&self, offered: &[OfferSection]) -> bool {
        let VideoRule::RefuseSilentBefore(refused) = self.rules.video else {
            return false;
        };
        VideoRule::RefuseInactive.accepts(offered)
            && self.sending_offers.fetch_add(1, Ordering::Relaxed) < refused
    }

    /// Whether [`Rules::cut_answers`] cuts this answer.
    pub(crate) fn cuts_next_answer(&self) -> bool {
        self.answers.fetch_add(1, Ordering::Relaxed) < self.rules.cut_answers
    }

    /// [`VideoRule::NeedsFrames`] takes precedence over [`Rules::silence`].
    pub(crate) fn silence_rule(&self) -> SilenceRule {
        match self.rules.video {
            VideoRule::NeedsFrames { within } => SilenceRule::NoVideo { within },
            _ => self.rules.silence,
        }
    }

    pub(crate) fn drop_media(&self) {
        self.media_dropped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn restore_media(&self) {
        self.media_dropped.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_media_dropped(&self) -> bool {
        self.media_dropped.load(Ordering::Relaxed)
    }
}
