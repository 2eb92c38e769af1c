//! What an offer's video section must be.

use std::time::Duration;

use crate::offer::{Kind, OfferSection};

/// What is asked of the offer's video section. An offer without any H.264
/// video section is refused with code 2001 under every rule but
/// [`NotNeeded`](Self::NotNeeded).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VideoRule {
    /// Any H.264 section will do, inactive included.
    #[default]
    Any,
    /// The section has to be one that sends: inactive, recvonly and port 0
    /// (unless bundle-only) are refused.
    RefuseInactive,
    /// As [`RefuseInactive`](Self::RefuseInactive), and the section has to
    /// announce its source by `ssrc` and `msid`. That is what SDP tells of a
    /// section that will stay silent.
    RefuseSilent,
    /// As [`RefuseInactive`](Self::RefuseInactive) for this many POSTs whose
    /// section sends, which are refused as well; then as `RefuseInactive`.
    ///
    /// It stands in for a service that takes black pictures and no silence.
    /// SDP doesn't tell one from the other, so no server can refuse only the
    /// silent offer; what a publisher sees, refusals until it has climbed to
    /// pictures, is the same. Give the number of POSTs that it makes before.
    RefuseSilentBefore(u32),
    /// As [`RefuseInactive`](Self::RefuseInactive) at the POST; then the
    /// session ends with [`Ending::Silent`](crate::Ending::Silent) if no video
    /// packet has come within this time of its connection.
    NeedsFrames {
        /// The time that the first picture has.
        within: Duration,
    },
    /// There may be no video section at all, as on other servers than IVS.
    NotNeeded,
}

impl VideoRule {
    /// Whether an offer has the video section that this rule requires.
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
