//! The video section that an audio-only offer needs: its forms and its codec.

use std::time::Duration;

/// What is offered as video when a publisher has none.
///
/// IVS refuses an offer without an H.264 video section (documented: "WHIP
/// support"; seen: HTTP 400 with code 2001). A section on which nothing is
/// ever sent is enough (seen, for `sendonly`; inferred for `inactive`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filler {
    /// The [`FillerMode`]s in turn, until one is taken.
    #[default]
    Auto,
    /// This one and no other.
    Pinned(FillerMode),
    /// No section: for servers that dislike a silent one.
    None,
}

/// A form of the filler section; each is closer to a real publisher's than the
/// one before, and costs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FillerMode {
    /// An `inactive` section, which says that it never sends. No public client
    /// was seen with one, and RFC 9725 4.2 has publishers offer `sendonly`.
    Inactive,
    /// A `sendonly` section with `ssrc` and `msid` on which nothing is sent
    /// (seen: AWS's browser SDK without a camera, and a pion client).
    Sendonly,
    /// A `sendonly` section with a small black picture every second (seen:
    /// AWS's own aiortc samples send black H.264).
    Black,
}

impl FillerMode {
    /// From the first to be tried.
    pub(super) const ALL: [Self; 3] = [Self::Inactive, Self::Sendonly, Self::Black];

    /// Its name, as the property `video-filler` and messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Sendonly => "sendonly",
            Self::Black => "black",
        }
    }
}

/// The video that an offer had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedVideo {
    /// A linked video pad's.
    Media,
    /// A filler section in the form that `auto` has come to.
    Filler(FillerMode),
    /// A filler section in the form that the user set.
    Pinned(FillerMode),
    /// None.
    Nothing,
}

impl OfferedVideo {
    /// The filler section's form, if it was one.
    pub fn filler_mode(self) -> Option<FillerMode> {
        match self {
            Self::Filler(mode) | Self::Pinned(mode) => Some(mode),
            Self::Media | Self::Nothing => None,
        }
    }
}

/// Width and height of the black picture, in pixels: the fewest lines that IVS
/// takes (documented: "Stream ingest"), in whole macroblocks of 16 by 16.
pub const BLACK_SIZE: (u32, u32) = (288, 160);

/// From one black picture to the next. IVS wants a key frame every 1 to 2 s, and
/// 10 frames a second at least (both documented: "Stream ingest"); what it does
/// below that is not known, and publishers that send none at all are taken (seen).
pub const BLACK_INTERVAL: Duration = Duration::from_secs(1);

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
    use crate::media::{Sps, black_picture};

    #[test]
    fn payload_is_one_that_nobody_uses() {
        assert_eq!(filler_codec(&[]).payload, 127);
        assert_eq!(filler_codec(&[127, 126]).payload, 125);
    }

    #[test]
    fn black_picture_keeps_the_limits_and_is_what_the_section_offers() {
        let picture = black_picture(0);
        // Behind the start code, up to the next one.
        let sps = &picture[4..4 + 9];
        let parsed = Sps::parse(sps).unwrap();
        assert_eq!(parsed.profile(), "constrained baseline");
        assert_eq!((parsed.width, parsed.height), BLACK_SIZE);
        let offered: String = sps[1..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(offered, filler_codec(&[]).profile_level_id);
    }
}
