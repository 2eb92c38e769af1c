//! The video section that an audio-only offer needs, and what to offer next
//! where it is refused.

use std::time::Duration;

use super::meaning::{CANNOT_PUBLISH, NO_COMMON_CODEC, OfferedVideo, ivs_code};
use crate::whip::Refusal;

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
    const ALL: [Self; 3] = [Self::Inactive, Self::Sendonly, Self::Black];

    /// Its name, as the property `video-filler` and messages have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Sendonly => "sendonly",
            Self::Black => "black",
        }
    }
}

/// A session that ends sooner may have been ended for the want of pictures: no
/// service is known to do so, and none is known to wait longer (inferred).
const SHORT_LIFE: Duration = Duration::from_secs(30);

/// So many short lives in a row are no accident.
const SHORT_LIVES: u32 = 2;

/// A publisher's way up the rungs.
#[derive(Clone, Debug)]
pub struct FillerFallback {
    filler: Filler,
    mode: FillerMode,
    /// Where to go on when all were refused: the one that worked, or the first.
    home: FillerMode,
    /// Those refused since one was taken.
    refused: Vec<FillerMode>,
    /// Whether the mode has led to a connected session since it was refused.
    has_worked: bool,
    /// Sessions in a row that the far end ended soon, with this mode.
    short_lives: u32,
    /// Whether the mode was reached by short lives and not by refusals.
    is_guess: bool,
}

impl FillerFallback {
    /// Begins with the mode that worked before, if one did.
    pub fn new(filler: Filler, worked: Option<FillerMode>) -> Self {
        let mode = worked.unwrap_or(FillerMode::Inactive);
        Self {
            filler,
            mode,
            home: mode,
            refused: Vec::new(),
            has_worked: false,
            short_lives: 0,
            is_guess: false,
        }
    }

    /// What a publisher without video offers as such.
    pub fn offered(&self) -> OfferedVideo {
        match self.filler {
            Filler::Auto => OfferedVideo::Filler(self.mode),
            Filler::Pinned(mode) => OfferedVideo::Pinned(mode),
            Filler::None => OfferedVideo::Nothing,
        }
    }

    /// Climbs after a refusal that the filler can be the reason of: to the
    /// first mode that was not refused. None where there is no other, and at the
    /// first refusal of one that was on air: its code says nothing for sure, and
    /// what was taken an hour ago is rather the service's trouble.
    pub fn after_refusal(&mut self, refusal: &Refusal, video: OfferedVideo) -> Option<FillerMode> {
        let OfferedVideo::Filler(mode) = video else {
            return None;
        };
        let code = ivs_code(refusal);
        if !matches!(code, Some(CANNOT_PUBLISH | NO_COMMON_CODEC))
            || std::mem::take(&mut self.has_worked)
        {
            return None;
        }
        self.short_lives = 0;
        self.refused.push(mode);
        let next = FillerMode::ALL
            .into_iter()
            .find(|mode| !self.refused.contains(mode));
        if next.is_none() {
            self.refused.clear();
        }
        self.is_guess = false;
        self.mode = next.unwrap_or(self.home);
        next
    }

    /// Climbs when sessions without a picture keep being closed by the far end
    /// soon after they began. None where that is not so.
    pub fn after_close(&mut self, lived: Duration, video: OfferedVideo) -> Option<FillerMode> {
        let next = match video {
            OfferedVideo::Filler(FillerMode::Inactive) => FillerMode::Sendonly,
            OfferedVideo::Filler(FillerMode::Sendonly) => FillerMode::Black,
            _ => return None,
        };
        self.short_lives = match lived < SHORT_LIFE {
            true => self.short_lives + 1,
            false => 0,
        };
        if self.short_lives < SHORT_LIVES {
            return None;
        }
        self.short_lives = 0;
        self.has_worked = false;
        self.is_guess = true;
        self.mode = next;
        Some(next)
    }

    /// Notes that a session ended in another way than by the far end's close.
    pub fn ended_otherwise(&mut self) {
        self.short_lives = 0;
    }

    /// Notes that an offer led to a connected session; gives the mode to
    /// remember.
    pub fn worked(&mut self, video: OfferedVideo) -> Option<FillerMode> {
        let OfferedVideo::Filler(mode) = video else {
            return None;
        };
        self.refused.clear();
        self.has_worked = true;
        if self.is_guess {
            return None;
        }
        self.home = mode;
        Some(mode)
    }

    /// Notes how long a session lived; gives the mode to remember, if it was a
    /// guess that has proved right.
    pub fn lived(&mut self, lived: Duration, video: OfferedVideo) -> Option<FillerMode> {
        if lived < SHORT_LIFE || !std::mem::take(&mut self.is_guess) {
            return None;
        }
        self.worked(video)
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
    use http::StatusCode;

    use super::*;

    fn refusal(code: u32) -> Refusal {
        Refusal {
            status: StatusCode::BAD_REQUEST,
            retry_after: None,
            body: format!(r#"{{"code":{code},"message":"m"}}"#).into(),
        }
    }

    /// The rungs that a fallback offers while each is refused with this code.
    fn offered_while_refused(mut fallback: FillerFallback, code: u32) -> Vec<OfferedVideo> {
        let mut offered = vec![fallback.offered()];
        while fallback
            .after_refusal(&refusal(code), fallback.offered())
            .is_some()
        {
            offered.push(fallback.offered());
        }
        offered
    }

    #[test]
    fn auto_climbs_from_inactive_over_sendonly_to_black() {
        for code in [2001, 2014] {
            assert_eq!(
                offered_while_refused(FillerFallback::new(Filler::Auto, None), code),
                [
                    OfferedVideo::Filler(FillerMode::Inactive),
                    OfferedVideo::Filler(FillerMode::Sendonly),
                    OfferedVideo::Filler(FillerMode::Black),
                ]
            );
        }
    }

    #[test]
    fn auto_begins_with_what_worked_and_then_tries_the_others() {
        assert_eq!(
            offered_while_refused(
                FillerFallback::new(Filler::Auto, Some(FillerMode::Sendonly)),
                2001
            ),
            [
                OfferedVideo::Filler(FillerMode::Sendonly),
                OfferedVideo::Filler(FillerMode::Inactive),
                OfferedVideo::Filler(FillerMode::Black),
            ]
        );
    }

    #[test]
    fn other_refusals_are_not_the_fillers() {
        for code in [2002, 2003, 2005, 2010, 2999] {
            let fallback = FillerFallback::new(Filler::Auto, None);
            assert_eq!(offered_while_refused(fallback, code).len(), 1, "{code}");
        }
    }

    #[test]
    fn own_video_is_not_the_fillers() {
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        assert_eq!(
            fallback.after_refusal(&refusal(2001), OfferedVideo::Media),
            None
        );
        assert_eq!(fallback.worked(OfferedVideo::Media), None);
    }

    #[test]
    fn pinned_ones_stay() {
        for mode in FillerMode::ALL {
            let fallback = FillerFallback::new(Filler::Pinned(mode), Some(FillerMode::Black));
            assert_eq!(
                offered_while_refused(fallback, 2001),
                [OfferedVideo::Pinned(mode)]
            );
        }
        let fallback = FillerFallback::new(Filler::None, Some(FillerMode::Black));
        assert_eq!(
            offered_while_refused(fallback, 2001),
            [OfferedVideo::Nothing]
        );
    }

    #[test]
    fn what_worked_is_told_and_clears_the_refusals() {
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        fallback.after_refusal(&refusal(2001), fallback.offered());
        assert_eq!(
            fallback.worked(fallback.offered()),
            Some(FillerMode::Sendonly)
        );
        // Should it be refused one day, it is asked again, and then the one
        // before is worth another try.
        let mut refused = || {
            let video = fallback.offered();
            fallback.after_refusal(&refusal(2001), video)
        };
        assert_eq!(refused(), None);
        assert_eq!(refused(), Some(FillerMode::Inactive));
        assert_eq!(refused(), Some(FillerMode::Black));
        // All refused: from the start again, with the one that worked.
        assert_eq!(refused(), None);
        assert_eq!(
            fallback.offered(),
            OfferedVideo::Filler(FillerMode::Sendonly)
        );
    }

    #[test]
    fn all_refused_begins_again_with_the_first() {
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        for _ in 0..2 {
            assert_eq!(
                fallback.offered(),
                OfferedVideo::Filler(FillerMode::Inactive)
            );
            for _ in 0..3 {
                let video = fallback.offered();
                fallback.after_refusal(&refusal(2001), video);
            }
        }
    }

    #[test]
    fn two_short_lives_in_a_row_climb() {
        let short = Duration::from_secs(3);
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        let mut after = |lived| {
            let video = fallback.offered();
            fallback.after_close(lived, video)
        };
        assert_eq!(after(short), None);
        assert_eq!(after(SHORT_LIFE), None);
        assert_eq!(after(short), None);
        assert_eq!(after(short), Some(FillerMode::Sendonly));
        assert_eq!(after(short), None);
        assert_eq!(after(short), Some(FillerMode::Black));
        assert_eq!((after(short), after(short)), (None, None));
    }

    #[test]
    fn short_lives_count_in_a_row_only() {
        let short = Duration::from_secs(3);
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        let video = fallback.offered();
        assert_eq!(fallback.after_close(short, video), None);
        fallback.ended_otherwise();
        assert_eq!(fallback.after_close(short, video), None);
        fallback.after_refusal(&refusal(2001), video);
        let video = fallback.offered();
        assert_eq!(fallback.after_close(short, video), None);
    }

    #[test]
    fn a_guess_is_remembered_once_it_has_lived() {
        let short = Duration::from_secs(3);
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        let inactive = fallback.offered();
        fallback.after_close(short, inactive);
        fallback.after_close(short, inactive);
        let video = fallback.offered();
        assert_eq!(fallback.worked(video), None);
        assert_eq!(fallback.lived(short, video), None);
        assert_eq!(
            fallback.lived(SHORT_LIFE, video),
            Some(FillerMode::Sendonly)
        );
        assert_eq!(fallback.lived(SHORT_LIFE, video), None);
    }

    #[test]
    fn short_lives_of_own_video_and_of_pinned_rungs_climb_nowhere() {
        let mut fallback = FillerFallback::new(Filler::Pinned(FillerMode::Inactive), None);
        for video in [OfferedVideo::Media, fallback.offered()] {
            for _ in 0..3 {
                assert_eq!(fallback.after_close(Duration::ZERO, video), None);
            }
        }
    }

    #[test]
    fn payload_is_one_that_nobody_uses() {
        assert_eq!(filler_codec(&[]).payload, 127);
        assert_eq!(filler_codec(&[127, 126]).payload, 125);
    }
}
