//! The SDP offer in the form that is POSTed.

use std::fmt;

use super::fingerprint::Fingerprint;
use super::sdp::{Direction, Sdp};
use super::tracks::Track;
use super::transport_wide;

/// An SDP offer in the form that is POSTed.
///
/// It differs from the peer connection's local description in the lines that the peer
/// connection can't write itself. Its `Debug` hides the ICE password.
#[derive(Clone, PartialEq, Eq)]
pub struct Offer {
    sdp: Sdp,
}

impl Offer {
    /// Makes the POSTed form of `text`, a peer connection's offer:
    /// - Every section has `a=msid` with the stream id `stream` (RFC 9725 4.4.2).
    ///   `a=ssrc` lines that repeat an msid have the same id.
    /// - A section that sends nothing announces no SSRC.
    /// - Every fingerprint is that of `certificate`, if given: the handshake shows that
    ///   certificate, even if the peer connection wrote another fingerprint.
    ///
    /// # Errors
    /// [`OfferError`] if the text is not SDP, or no section sends media.
    pub fn new(
        text: &str,
        stream: &str,
        certificate: Option<&Fingerprint>,
    ) -> Result<Self, OfferError> {
        let mut sdp = Sdp::parse(text).ok_or(OfferError::NotSdp)?;
        if !sdp
            .sections
            .iter()
            .any(|section| sends(section.direction()))
        {
            return Err(OfferError::SendsNothing);
        }
        for section in &mut sdp.sections {
            let track = format!("{}-{}", stream, section.kind());
            section.remove("msid");
            section.push(&format!("msid:{stream} {track}"));
            if !sends(section.direction()) {
                // webrtcbin wants an SSRC for every section, and announces it.
                section.remove("ssrc");
            }
            for line in &mut section.0 {
                rename_source(line, stream, &track);
                name_channels_of_opus(line);
            }
        }
        if let Some(certificate) = certificate {
            for part in std::iter::once(&mut sdp.session).chain(&mut sdp.sections) {
                if part.value("fingerprint").is_some() {
                    part.remove("fingerprint");
                    part.push(&format!("fingerprint:{certificate}"));
                }
            }
        }
        Ok(Self { sdp })
    }

    /// Offers transport-wide congestion control in each section, by the header extension
    /// with this number: 1 to 14.
    pub fn offer_transport_wide(&mut self, id: u8) {
        transport_wide::offer(&mut self.sdp, id);
    }

    /// Adds gathered candidates, as `candidate:…`, to the first section, which is the
    /// bundle's. `complete` says that no more will follow.
    pub fn add_candidates(&mut self, candidates: &[String], complete: bool) {
        let Some(first) = self.sdp.sections.first_mut() else {
            return;
        };
        for candidate in candidates {
            first.push(candidate.trim_start_matches("a="));
        }
        if complete {
            first.push("end-of-candidates");
        }
    }

    /// The body of the POST.
    pub fn text(&self) -> String {
        self.sdp.to_string()
    }

    /// The same text for a log, without the ICE password.
    pub fn redacted(&self) -> String {
        self.sdp.redacted()
    }

    /// Kind and direction of each section, in order.
    pub fn sections(&self) -> Vec<(String, Direction)> {
        self.sdp
            .sections
            .iter()
            .map(|section| (section.kind().to_owned(), section.direction()))
            .collect()
    }

    /// The encoding names that each section offers, in order.
    pub(crate) fn codecs(&self) -> Vec<(Track, Vec<&str>)> {
        let encoding = |format| {
            let (_, codec) = str::split_once(format, ' ')?;
            codec.split('/').next()
        };
        let sections = self.sdp.sections.iter();
        sections
            .filter_map(|section| {
                let encodings = section.values("rtpmap").filter_map(encoding);
                Some((Track::named(section.kind())?, encodings.collect()))
            })
            .collect()
    }

    /// ICE user name fragment and password of the first section. Secrets.
    pub fn ice_credentials(&self) -> Option<(&str, &str)> {
        self.sdp.ice_credentials()
    }

    pub(super) fn sdp(&self) -> &Sdp {
        &self.sdp
    }
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offer").field(&self.sections()).finish()
    }
}

/// Whether a section of our offer with this direction carries our media.
pub(super) fn sends(direction: Direction) -> bool {
    matches!(direction, Direction::SendOnly | Direction::SendRecv)
}

/// `a=ssrc:1 msid:a b` is the older form of `a=msid:a b` (RFC 8830). A server that
/// reads both must not see two streams.
fn rename_source(line: &mut String, stream: &str, track: &str) {
    let Some(rest) = line.strip_prefix("a=ssrc:") else {
        return;
    };
    let Some((ssrc, attribute)) = rest.split_once(' ') else {
        return;
    };
    if attribute.starts_with("msid:") {
        *line = format!("a=ssrc:{ssrc} msid:{stream} {track}");
    }
}

/// Opus has two channels in SDP, whatever the stream has (RFC 7587 7). RTP caps that
/// are written by hand often lack `encoding-params=2`, and IVS then finds no codec.
fn name_channels_of_opus(line: &mut String) {
    let format = line.strip_prefix("a=rtpmap:");
    let encoding = format.and_then(|format| Some(format.split_once(' ')?.1));
    if encoding.is_some_and(|encoding| encoding.eq_ignore_ascii_case("opus/48000")) {
        line.push_str("/2");
    }
}

/// Why a text can't be POSTed as an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferError {
    /// The text does not begin with `v=0`.
    NotSdp,
    /// No section is `sendonly` or `sendrecv` (RFC 9725 4.4.2 requires a track).
    SendsNothing,
}

impl fmt::Display for OfferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotSdp => "the peer connection's offer is not SDP",
            Self::SendsNothing => "the peer connection's offer has no section that sends media",
        })
    }
}

impl std::error::Error for OfferError {}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE audio0 video1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:audio0\r\na=sendonly\r\na=fingerprint:sha-256 00:11\r\n\
        a=ssrc:7 msid:user1 webrtctransceiver0\r\na=ssrc:7 cname:user1\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:video1\r\na=inactive\r\na=fingerprint:sha-256 00:11\r\n";

    #[test]
    fn every_section_carries_one_stream_id() {
        let offer = Offer::new(OFFER, "s", None).unwrap();
        let text = offer.text();
        assert!(text.contains("a=msid:s s-audio\r\n") && text.contains("a=msid:s s-video\r\n"));
        assert!(text.contains("a=ssrc:7 msid:s s-audio\r\na=ssrc:7 cname:user1\r\n"));
        assert!(!text.contains("webrtctransceiver0"));
    }

    #[test]
    fn opus_has_two_channels() {
        for (written, sent) in [
            ("OPUS/48000", "OPUS/48000/2"),
            ("opus/48000/2", "opus/48000/2"),
            ("PCMU/8000", "PCMU/8000"),
        ] {
            let text = OFFER.replace(
                "a=sendonly",
                &format!("a=rtpmap:97 {written}\r\na=sendonly"),
            );
            let offer = Offer::new(&text, "s", None).unwrap().text();
            assert!(
                offer.contains(&format!("a=rtpmap:97 {sent}\r\n")),
                "{offer}"
            );
        }
    }

    #[test]
    fn codecs_are_told_by_section() {
        let text = format!("{OFFER}a=rtpmap:97 H264/90000\r\na=rtpmap:98 rtx/90000\r\n");
        let offer = Offer::new(&text, "s", None).unwrap();
        assert_eq!(
            offer.codecs(),
            [(Track::Audio, vec![]), (Track::Video, vec!["H264", "rtx"])]
        );
    }

    #[test]
    fn transport_wide_congestion_control_is_offered_on_request() {
        let mut offer = Offer::new(OFFER, "s", None).unwrap();
        assert!(!offer.text().contains("extmap"));
        offer.offer_transport_wide(5);
        assert_eq!(offer.text().matches("a=extmap:5 http").count(), 2);
    }

    #[test]
    fn the_log_shows_the_text_without_the_password() {
        let text = format!("{OFFER}a=ice-ufrag:u\r\na=ice-pwd:hidden\r\n");
        let redacted = Offer::new(&text, "s", None).unwrap().redacted();
        assert!(redacted.contains("a=ice-ufrag:u"), "{redacted}");
        assert!(!redacted.contains("ice-pwd:hidden"), "{redacted}");
    }

    #[test]
    fn candidates_go_into_the_first_section() {
        let mut offer = Offer::new(OFFER, "s", None).unwrap();
        offer.add_candidates(&["candidate:1 1 UDP 7 192.0.2.1 9 typ host".into()], true);
        let text = offer.text();
        let (first, second) = text.split_once("m=video").unwrap();
        assert!(
            first
                .ends_with("a=candidate:1 1 UDP 7 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n")
        );
        assert!(!second.contains("candidate"));
    }

    #[test]
    fn certificate_replaces_every_fingerprint() {
        let certificate = Fingerprint::of_certificate(b"der");
        let text = Offer::new(OFFER, "s", Some(&certificate)).unwrap().text();
        assert_eq!(
            text.matches(&format!("a=fingerprint:{certificate}\r\n"))
                .count(),
            2
        );
        assert!(!text.contains("00:11"));
    }

    #[test]
    fn not_sdp() {
        assert_eq!(Offer::new("offer", "s", None), Err(OfferError::NotSdp));
    }

    #[test]
    fn sends_nothing() {
        let text = OFFER.replace("sendonly", "inactive");
        assert_eq!(Offer::new(&text, "s", None), Err(OfferError::SendsNothing));
    }

    #[test]
    fn debug_shows_sections_only() {
        let text = format!("{OFFER}a=ice-pwd:hidden\r\n");
        assert!(!format!("{:?}", Offer::new(&text, "s", None)).contains("hidden"));
    }
}
