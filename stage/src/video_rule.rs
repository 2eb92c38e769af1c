//! What an offer's video section must be: a rule and an offer's sections come
//! in, yes or no goes out.

use std::time::Duration;

use crate::offer::{Kind, OfferSection};

/// What an offer's video section must be. Every rule except
/// [`NotNeeded`](Self::NotNeeded) refuses an offer without an H.264 video
/// section with code 2001.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VideoRule {
    /// Any H.264 section, even an inactive one.
    #[default]
    Any,
    /// The section must send: inactive, recvonly and port 0 (unless
    /// bundle-only) are refused.
    RefuseInactive,
    /// As [`RefuseInactive`](Self::RefuseInactive), and the section must have
    /// `ssrc` and `msid`. Without them SDP announces no source.
    RefuseSilent,
    /// Refuses this many POSTs whose section sends; otherwise as
    /// [`RefuseInactive`](Self::RefuseInactive).
    ///
    /// It imitates a service that accepts a section with black pictures and
    /// refuses one without media. Their SDP is the same, so a server can't tell
    /// them apart at the POST. The publisher sees what it would see there:
    /// refusals until it falls back to black pictures. Set the number of
    /// sending offers that it makes before that.
    RefuseSilentBefore(u32),
    /// As [`RefuseInactive`](Self::RefuseInactive) at the POST. The session
    /// ends with [`Ending::Silent`](crate::Ending::Silent) if no video packet
    /// arrives in time.
    NeedsFrames {
        /// Time from the connection to the first packet.
        within: Duration,
    },
    /// The offer needs no video section, as on servers other than IVS.
    NotNeeded,
}

impl VideoRule {
    /// Whether the rule accepts an offer with these sections. The count of
    /// [`RefuseSilentBefore`](Self::RefuseSilentBefore) is not its part.
    pub(crate) fn accepts(self, sections: &[OfferSection]) -> bool {
        if self == Self::NotNeeded {
            return true;
        }
        sections
            .iter()
            .filter(|section| section.kind == Kind::Video && section.has_codec("H264"))
            .any(|section| match self {
                Self::Any | Self::NotNeeded => true,
                Self::RefuseInactive | Self::RefuseSilentBefore(_) | Self::NeedsFrames { .. } => {
                    section.will_send()
                }
                Self::RefuseSilent => section.will_send() && section.ssrc && section.msid,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::read_sections;

    const OFFER: &str = "v=0\r\no=- 1 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n\
        a=setup:actpass\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\na=sendonly\r\n\
        a=rtpmap:96 OPUS/48000/2\r\na=msid:s t\r\na=ssrc:1 cname:c\r\n\
        a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 97\r\na=mid:1\r\na=inactive\r\n\
        a=rtpmap:97 H264/90000\r\n";

    #[test]
    fn video_rules() {
        let inactive = read_sections(OFFER).unwrap();
        assert!(VideoRule::Any.accepts(&inactive));
        assert!(!VideoRule::RefuseInactive.accepts(&inactive));

        let silent = read_sections(&OFFER.replace("a=inactive", "a=sendonly")).unwrap();
        assert!(VideoRule::RefuseInactive.accepts(&silent));
        assert!(!VideoRule::RefuseSilent.accepts(&silent));

        let announced = OFFER.replace("a=inactive", "a=sendonly\r\na=msid:s v\r\na=ssrc:2 cname:c");
        let announced = read_sections(&announced).unwrap();
        assert!(VideoRule::RefuseSilent.accepts(&announced));
    }

    #[test]
    fn video_must_be_h264() {
        let vp8 = read_sections(&OFFER.replace("H264", "VP8")).unwrap();
        assert!(!VideoRule::Any.accepts(&vp8));
        let audio_only = read_sections(OFFER.split("m=video").next().unwrap()).unwrap();
        assert!(!VideoRule::Any.accepts(&audio_only));
    }

    #[test]
    fn a_section_of_port_0_sends_only_if_bundle_only() {
        let sending = OFFER
            .replace("m=video 9", "m=video 0")
            .replace("a=inactive", "a=sendonly");
        let rejected = read_sections(&sending).unwrap();
        assert!(!VideoRule::RefuseInactive.accepts(&rejected));

        let bundled = sending.replace("a=mid:1", "a=mid:1\r\na=bundle-only");
        let bundled = read_sections(&bundled).unwrap();
        assert!(VideoRule::RefuseInactive.accepts(&bundled));
    }
}
