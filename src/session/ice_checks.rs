//! Our own connectivity checks: STUN binding requests as ICE sends them
//! (RFC 8445 7.2.2), which show whether the far end is still there.

use std::fmt;

use stun_types::attribute::{AttributeType, RawAttribute, Username};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, Message, MessageIntegrityCredentials, MessageWriteVec,
    ShortTermCredentials, TransactionId,
};
use stun_types::prelude::*;

use crate::whip::{Answer, Offer};

/// Attributes of every check (RFC 8445 7.1.1 and 7.1.2).
const PRIORITY: AttributeType = AttributeType::new(0x0024);
const ICE_CONTROLLING: AttributeType = AttributeType::new(0x802A);

/// The priority of a peer-reflexive candidate (RFC 8445 5.1.2.1: type
/// preference 110, local preference 0, component 1). It is the lowest of its
/// type, so that no far end prefers the path of these checks.
const PEER_REFLEXIVE: u32 = (110 << 24) + 255;

/// Decides the roles when both sides claim the same one (RFC 8445 7.3.1.1). With
/// the lowest value we never win over the far end.
const TIE_BREAKER: u64 = 0;

/// Makes the checks of one session and recognizes their replies. It holds the
/// ICE password, so its `Debug` shows nothing.
#[derive(Clone)]
pub(super) struct IceChecks {
    username: String,
    credentials: MessageIntegrityCredentials,
}

/// A check, with the transaction id of its reply.
pub(super) struct Check {
    pub(super) packet: Vec<u8>,
    transaction: TransactionId,
}

impl IceChecks {
    /// Uses the ICE credentials of both sides; `None` if one side has none.
    pub(super) fn new(offer: &Offer, answer: &Answer) -> Option<Self> {
        let (ours, _) = offer.ice_credentials()?;
        let (theirs, password) = answer.ice_credentials()?;
        Some(Self {
            // RFC 8445 7.2.2: the receiver's fragment comes first.
            username: format!("{theirs}:{ours}"),
            credentials: ShortTermCredentials::new(password.to_owned()).into(),
        })
    }

    /// Makes a binding request with a new transaction id.
    pub(super) fn check(&self) -> Option<Check> {
        let mut message = Message::builder_request(BINDING, MessageWriteVec::new());
        let transaction = message.transaction_id();
        message
            .add_attribute(&Username::new(&self.username).ok()?)
            .ok()?;
        let priority = PEER_REFLEXIVE.to_be_bytes();
        let priority = RawAttribute::new(PRIORITY, &priority);
        message.add_attribute(&priority).ok()?;
        let tie_breaker = TIE_BREAKER.to_be_bytes();
        let controlling = RawAttribute::new(ICE_CONTROLLING, &tie_breaker);
        message.add_attribute(&controlling).ok()?;
        let algorithm = IntegrityAlgorithm::Sha1;
        message
            .add_message_integrity(&self.credentials, algorithm)
            .ok()?;
        message.add_fingerprint().ok()?;
        Some(Check {
            packet: message.finish(),
            transaction,
        })
    }

    /// Whether a packet is a reply to a check by a peer that knows the password.
    /// An error response counts too: it also shows that the peer is alive.
    pub(super) fn is_reply(&self, check: &Check, packet: &[u8]) -> bool {
        Message::from_bytes(packet).is_ok_and(|message| {
            message.is_response()
                && message.transaction_id() == check.transaction
                && message.validate_integrity(&self.credentials).is_ok()
        })
    }

    /// The far end's reply to a check.
    #[cfg(test)]
    pub(super) fn reply_to(&self, packet: &[u8]) -> Vec<u8> {
        let request = Message::from_bytes(packet).unwrap();
        let mut reply = Message::builder_success(&request, MessageWriteVec::new());
        let algorithm = IntegrityAlgorithm::Sha1;
        reply
            .add_message_integrity(&self.credentials, algorithm)
            .unwrap();
        reply.finish()
    }
}

impl fmt::Debug for IceChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IceChecks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consent(password: &str) -> IceChecks {
        let offer = "v=0\r\nm=audio 9 x 0\r\na=sendonly\r\na=ice-ufrag:ours\r\na=ice-pwd:x\r\n";
        let offer = Offer::new(offer, "s", None).unwrap();
        let answer = format!("v=0\r\na=ice-ufrag:theirs\r\na=ice-pwd:{password}\r\n");
        IceChecks::new(&offer, &Answer::unchecked(&answer)).unwrap()
    }

    #[test]
    fn a_check_is_a_binding_request_that_the_peer_can_verify() {
        let ice = consent("their-password");
        let (one, other) = (ice.check().unwrap(), ice.check().unwrap());
        assert_ne!(
            one.packet, other.packet,
            "each check has its own transaction"
        );
        let message = Message::from_bytes(&one.packet).unwrap();
        assert_eq!(
            message.attribute::<Username>().unwrap().username(),
            "theirs:ours"
        );
        assert!(message.validate_integrity(&ice.credentials).is_ok());
        assert!(!format!("{ice:?}").contains("password"));
    }

    #[test]
    fn only_its_own_reply_by_the_right_peer_counts() {
        let (peer, stranger) = (consent("their-password"), consent("another"));
        let (check, other) = (peer.check().unwrap(), peer.check().unwrap());
        assert!(peer.is_reply(&check, &peer.reply_to(&check.packet)));
        assert!(!peer.is_reply(&check, &peer.reply_to(&other.packet)));
        assert!(!peer.is_reply(&check, &stranger.reply_to(&check.packet)));
        assert!(!peer.is_reply(&check, &check.packet), "our own request");
        assert!(!peer.is_reply(&check, b"anything"));
    }
}
