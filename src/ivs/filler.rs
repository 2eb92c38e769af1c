//! The video section that an audio-only offer needs: its forms and its codec.

use std::time::Duration;

/// What a publisher without video offers as video.
///
/// IVS refuses an offer without an H.264 video section (documented: "WHIP support";
/// seen: HTTP 400 with code 2001). A section on which nothing is ever sent is enough
/// (seen, for `sendonly`; inferred for `inactive`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filler {
    /// The [`FillerMode`]s in turn, until the server accepts one. The default.
    #[default]
    Auto,
    /// Only this mode.
    Pinned(FillerMode),
    /// No filler section, for servers that refuse a silent one.
    None,
}

/// A form of the filler section. Each mode is closer to a real publisher's video than
/// the one before, and costs more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FillerMode {
    /// An `inactive` section, on which nothing will ever be sent. Not seen in any
    /// public client; RFC 9725 4.2 has publishers offer `sendonly`.
    Inactive,
    /// A `sendonly` section with `ssrc` and `msid` on which nothing is sent
    /// (seen: AWS's browser SDK without a camera, and a pion client).
    Sendonly,
    /// A `sendonly` section with a small black picture every second (seen:
    /// AWS's own aiortc samples send black H.264).
    Black,
}

impl FillerMode {
    /// In the order in which they are tried.
    pub(super) const ALL: [Self; 3] = [Self::Inactive, Self::Sendonly, Self::Black];

    /// The mode's name in the property `video-filler` and in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Sendonly => "sendonly",
            Self::Black => "black",
        }
    }
}

/// The video section of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OfferedVideo {
    /// Video of a linked pad.
    Media,
    /// A filler section in the mode that `auto` has chosen.
    Filler(FillerMode),
    /// A filler section in the mode that the user set.
    Pinned(FillerMode),
    /// No video section.
    Nothing,
}

impl OfferedVideo {
    /// The filler section's mode, if the offer has a filler section.
    pub fn filler_mode(self) -> Option<FillerMode> {
        match self {
            Self::Filler(mode) | Self::Pinned(mode) => Some(mode),
            Self::Media | Self::Nothing => None,
        }
    }
}

/// Width and height of the black picture, in pixels: the fewest lines that IVS accepts
/// (documented: "Stream ingest"), in whole macroblocks of 16 by 16.
pub const BLACK_SIZE: (u32, u32) = (288, 160);

/// The time between black pictures. IVS asks for a key frame every 1 to 2 s, and for at
/// least 10 frames a second (both documented: "Stream ingest"). What it does below that
/// is not known, but it accepts publishers that send no pictures at all (seen).
pub const BLACK_INTERVAL: Duration = Duration::from_secs(1);

/// The codec that the filler section offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillerCodec {
    /// The RTP payload type.
    pub payload: u8,
    /// `profile-level-id`: constrained baseline, level 3.1, which covers 720p30
    /// (documented: "Stream ingest" asks for baseline).
    pub profile_level_id: &'static str,
    /// `packetization-mode` (RFC 6184 6.2): non-interleaved, as offered by every client
    /// that was seen to work with IVS.
    pub packetization_mode: &'static str,
    /// RTP clock rate in Hz.
    pub clock_rate: u32,
}

/// The filler's codec, with a dynamic payload type (RFC 3551 3: 96 to 127) that is not
/// in `taken`, the types of the bundle's other sections. webrtcbin does not notice a
/// clash.
pub fn filler_codec(taken: &[u8]) -> FillerCodec {
    // There are at most two sections, so one of the 32 types is always free.
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
    fn only_filler_sections_have_a_mode() {
        let mode = FillerMode::Black;
        assert_eq!(OfferedVideo::Filler(mode).filler_mode(), Some(mode));
        assert_eq!(OfferedVideo::Pinned(mode).filler_mode(), Some(mode));
        assert_eq!(OfferedVideo::Media.filler_mode(), None);
        assert_eq!(OfferedVideo::Nothing.filler_mode(), None);
    }

    #[test]
    fn payload_is_one_that_nobody_uses() {
        assert_eq!(filler_codec(&[]).payload, 127);
        assert_eq!(filler_codec(&[127, 126]).payload, 125);
    }

    #[test]
    fn black_picture_keeps_the_limits_and_is_what_the_section_offers() {
        let picture = black_picture(0);
        // From the start code to the next one.
        let sps = &picture[4..4 + 9];
        let parsed = Sps::parse(sps).unwrap();
        assert_eq!(parsed.profile(), "constrained baseline");
        assert_eq!((parsed.width, parsed.height), BLACK_SIZE);
        let offered: String = sps[1..4].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(offered, filler_codec(&[]).profile_level_id);
    }
}
