//! Whether the far end is still there: connectivity checks of our own
//! (RFC 7675), since libnice before 0.1.23 has none and webrtcbin 1.22 stays
//! connected to a dead peer for minutes.
//!
//! A reply to a check, or anything else that arrives, is a sign of life; media
//! need not flow for it. Silence counts only where the far end has answered
//! before in this session, so that one that never does is left to ICE.

use std::fmt;
use std::time::Duration;

use stun_types::attribute::{AttributeType, RawAttribute, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageWriteVec, ShortTermCredentials,
};
use stun_types::prelude::*;

use crate::whip::{Answer, Offer};

/// How many checks in a row must stay unanswered: a lost packet or two is no
/// lost peer.
const CHECKS: u32 = 5;

/// The attributes that every check carries (RFC 8445 7.1.1 and 7.1.2).
const PRIORITY: AttributeType = AttributeType::new(0x0024);
const ICE_CONTROLLING: AttributeType = AttributeType::new(0x802A);

/// The priority of a peer-reflexive candidate (RFC 8445 5.1.2.1: type
/// preference 110, local preference 65535, component 1).
const PEER_REFLEXIVE: u32 = (110 << 24) + (65_535 << 8) + 255;

/// Makes the checks of one session. Holds the ICE password, so it has no
/// revealing `Debug`.
#[derive(Clone)]
pub(super) struct Consent {
    username: String,
    credentials: ShortTermCredentials,
    tie_breaker: u64,
}

impl Consent {
    /// From the ICE credentials of both sides; none if one lacks them.
    pub(super) fn new(offer: &Offer, answer: &Answer) -> Option<Self> {
        let (ours, _) = offer.ice_credentials()?;
        let (theirs, password) = answer.ice_credentials()?;
        Some(Self {
            // RFC 8445 7.2.2: the fragment of the one who is asked comes first.
            username: format!("{theirs}:{ours}"),
            credentials: ShortTermCredentials::new(password.to_owned()),
            tie_breaker: 0,
        })
    }

    /// One binding request, with a transaction id of its own.
    pub(super) fn check(&self) -> Option<Vec<u8>> {
        let mut message = Message::builder_request(BINDING, MessageWriteVec::new());
        message
            .add_attribute(&Username::new(&self.username).ok()?)
            .ok()?;
        let priority = PEER_REFLEXIVE.to_be_bytes();
        let priority = RawAttribute::new(PRIORITY, &priority);
        message.add_attribute(&priority).ok()?;
        let tie_breaker = self.tie_breaker.to_be_bytes();
        let controlling = RawAttribute::new(ICE_CONTROLLING, &tie_breaker);
        message.add_attribute(&controlling).ok()?;
        let credentials = self.credentials.clone().into();
        message
            .add_message_integrity(&credentials, IntegrityAlgorithm::Sha1)
            .ok()?;
        message.add_fingerprint().ok()?;
        Some(message.finish())
    }
}

impl fmt::Debug for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Consent")
    }
}

/// Counts silent intervals. Not time itself: a process that was stopped for a
/// while has not heard anything either, and that is not the far end's fault.
#[derive(Debug)]
pub(super) struct Liveness {
    bound: Duration,
    heard: u64,
    heard_anything: bool,
    silent: u32,
}

impl Liveness {
    /// From the count of packets that arrived up to now.
    pub(super) fn new(bound: Duration, heard: u64) -> Self {
        Self {
            bound,
            heard,
            heard_anything: false,
            silent: 0,
        }
    }

    /// How often to check.
    pub(super) fn interval(&self) -> Duration {
        self.bound / CHECKS
    }

    /// Whether the far end is lost, an interval later.
    pub(super) fn is_lost(&mut self, heard: u64) -> bool {
        if heard == self.heard {
            self.silent += 1;
        } else {
            self.heard = heard;
            self.heard_anything = true;
            self.silent = 0;
        }
        self.heard_anything && self.silent >= CHECKS
    }
}

#[cfg(test)]
mod tests {
    use stun_types::message::MessageIntegrityCredentials;

    use super::*;

    #[test]
    fn a_check_is_a_binding_request_that_the_peer_can_verify() {
        let offer = "v=0\r\nm=audio 9 x 0\r\na=sendonly\r\na=ice-ufrag:ours\r\na=ice-pwd:x\r\n";
        let offer = Offer::new(offer, "s", None).unwrap();
        let answer = Answer::unchecked("v=0\r\na=ice-ufrag:theirs\r\na=ice-pwd:their-password\r\n");
        let consent = Consent::new(&offer, &answer).unwrap();
        let (one, other) = (consent.check().unwrap(), consent.check().unwrap());
        assert_ne!(one, other, "each check has its own transaction");
        let message = Message::from_bytes(&one).unwrap();
        let username = message.attribute::<Username>().unwrap();
        assert_eq!(username.username(), "theirs:ours");
        let credentials = ShortTermCredentials::new("their-password".to_owned());
        let credentials = MessageIntegrityCredentials::from(credentials);
        assert!(message.validate_integrity(&credentials).is_ok());
        assert!(!format!("{consent:?}").contains("password"));
    }

    #[test]
    fn silence_after_a_sign_of_life_is_a_loss_at_the_bound() {
        let mut liveness = Liveness::new(Duration::from_secs(10), 7);
        assert_eq!(liveness.interval(), Duration::from_secs(2));
        assert!(!liveness.is_lost(8));
        for _ in 1..CHECKS {
            assert!(!liveness.is_lost(8));
        }
        assert!(liveness.is_lost(8));
    }

    #[test]
    fn one_that_never_answers_is_not_lost_by_silence() {
        let mut liveness = Liveness::new(Duration::from_secs(10), 7);
        assert!((0..100).all(|_| !liveness.is_lost(7)));
    }

    #[test]
    fn a_reply_now_and_then_is_enough() {
        let mut liveness = Liveness::new(Duration::from_secs(10), 0);
        assert!((0..100).all(|tick| !liveness.is_lost(tick / 4)));
    }
}
