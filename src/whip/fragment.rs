//! The body of a trickle PATCH (RFC 8840 9, restricted by RFC 9725 4.3.2).

use std::fmt;

use super::offer::Offer;

/// Candidates for the bundle's first section, as `application/trickle-ice-sdpfrag`. Its
/// `Debug` hides the ICE password.
#[derive(Clone, PartialEq, Eq)]
pub struct Fragment {
    text: String,
}

impl Fragment {
    /// Writes a fragment with the credentials and the `mid` of the offer's first
    /// section. Candidates have the form `candidate:…`, with or without `a=`.
    /// `complete` says that no more will follow.
    pub fn new(ufrag: &str, pwd: &str, mid: &str, candidates: &[String], complete: bool) -> Self {
        // Port, protocol and format of the m-line have no meaning here (RFC 8840 9).
        let mut text = format!(
            "a=group:BUNDLE {mid}\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:{mid}\r\n\
             a=ice-ufrag:{ufrag}\r\na=ice-pwd:{pwd}\r\n"
        );
        for candidate in candidates {
            let candidate = candidate.strip_prefix("a=").unwrap_or(candidate);
            text.push_str(&format!("a={candidate}\r\n"));
        }
        if complete {
            text.push_str("a=end-of-candidates\r\n");
        }
        Self { text }
    }

    /// Like [`Fragment::new`], with credentials and `mid` read from the offer that the
    /// candidates belong to. `None` if its first section has none.
    pub fn of_offer(offer: &Offer, candidates: &[String], complete: bool) -> Option<Self> {
        let (ufrag, pwd) = offer.ice_credentials()?;
        let mid = offer.sdp().sections.first()?.value("mid")?;
        Some(Self::new(ufrag, pwd, mid, candidates, complete))
    }

    /// The body of the PATCH.
    pub fn text(&self) -> String {
        self.text.clone()
    }
}

impl fmt::Debug for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let candidates = self.text.matches("a=candidate:").count();
        write!(f, "Fragment({candidates} candidates)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_rfc_9725_asks_for() {
        let offer = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:audio0\r\na=sendonly\r\n\
                     a=ice-ufrag:u\r\na=ice-pwd:hidden\r\n";
        let offer = Offer::new(offer, "s", None).unwrap();
        let candidates = ["candidate:1 1 UDP 7 192.0.2.1 9 typ host".to_owned()];
        let fragment = Fragment::of_offer(&offer, &candidates, true).unwrap();
        assert_eq!(
            fragment.text(),
            "a=group:BUNDLE audio0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:audio0\r\n\
             a=ice-ufrag:u\r\na=ice-pwd:hidden\r\na=candidate:1 1 UDP 7 192.0.2.1 9 typ host\r\n\
             a=end-of-candidates\r\n"
        );
        assert_eq!(format!("{fragment:?}"), "Fragment(1 candidates)");
    }

    #[test]
    fn an_offer_without_credentials_gives_none() {
        let offer = Offer::new("v=0\r\nm=audio 9 x 0\r\na=sendonly\r\n", "s", None).unwrap();
        assert_eq!(Fragment::of_offer(&offer, &[], false), None);
    }
}
