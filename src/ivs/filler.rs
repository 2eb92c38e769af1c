//! The video section that an audio-only offer needs.

use super::meaning::OfferedVideo;

/// What is offered as video when a publisher has none.
///
/// IVS refuses an offer without an H.264 video section (documented: "WHIP
/// support"; seen: HTTP 400 with code 2001). A section on which nothing is
/// ever sent is enough (seen, for `sendonly`; inferred for `inactive`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filler {
    /// What IVS is believed to take: today an inactive section.
    #[default]
    Auto,
    /// An `inactive` section, which never sends.
    Inactive,
    /// No section: for servers that dislike a silent one.
    None,
}

impl Filler {
    /// What an offer has as video: the publisher's own, or this filler.
    pub fn offered(self, has_video: bool) -> OfferedVideo {
        match (has_video, self) {
            (true, _) => OfferedVideo::Media,
            (false, Self::None) => OfferedVideo::Nothing,
            (false, Self::Auto | Self::Inactive) => OfferedVideo::Filler,
        }
    }
}

/// The codec that the filler section offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillerCodec {
    /// The RTP payload type.
    pub payload: u8,
    /// `profile-level-id`: constrained baseline, level 3.1, which covers 720p30
    /// (documented: "Stream ingest" asks for baseline).
    pub profile_level_id: &'static str,
    /// `packetization-mode` (RFC 6184 6.2), non-interleaved as every client that
    /// was seen to work with IVS offers.
    pub packetization_mode: &'static str,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
}

/// The filler's codec, with a dynamic payload type (RFC 3551 3: 96 to 127)
/// that no other section of the bundle uses: webrtcbin does not notice a clash.
pub fn filler_codec(taken: &[u8]) -> FillerCodec {
    // Two sections at most, so one of the 32 types is always free.
    let payload = (96..=127)
        .rev()
        .find(|payload| !taken.contains(payload))
        .unwrap_or(127);
    FillerCodec {
        payload,
        profile_level_id: "42e01f",
        packetization_mode: "1",
        clock_rate: 90_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_only_where_there_is_no_video() {
        assert_eq!(Filler::Auto.offered(false), OfferedVideo::Filler);
        assert_eq!(Filler::None.offered(false), OfferedVideo::Nothing);
        assert_eq!(Filler::Auto.offered(true), OfferedVideo::Media);
    }

    #[test]
    fn payload_is_one_that_nobody_uses() {
        assert_eq!(filler_codec(&[]).payload, 127);
        assert_eq!(filler_codec(&[127, 126]).payload, 125);
    }
}
