//! Which filler mode to offer next after one was refused.

use std::time::Duration;

use super::error_codes::is_about_filler;
use super::filler::{Filler, FillerMode, OfferedVideo};
use super::offered_media::OfferedMedia;
use crate::whip::Refusal;

/// A session that the far end closes sooner may have failed for lack of pictures. No
/// service is known to do that, and none is known to wait longer (inferred).
const SHORT_SESSION: Duration = Duration::from_secs(30);

/// After this many short sessions in a row, the filler counts as the reason.
const SHORT_SESSIONS: u32 = 2;

/// Chooses the filler mode that a publisher offers.
#[derive(Clone, Debug)]
pub struct FillerFallback {
    filler: Filler,
    mode: FillerMode,
    /// Offered again when all were refused: the mode that worked, or the first.
    preferred: FillerMode,
    /// The modes refused since one was accepted.
    refused: Vec<FillerMode>,
    /// Whether the mode has led to a connected session since it was last refused.
    has_connected: bool,
    /// Consecutive sessions with this mode that the far end closed early.
    short_sessions: u32,
    /// Whether short sessions, not a refusal, led to this mode.
    is_unconfirmed: bool,
}

impl FillerFallback {
    /// Starts with the mode that worked before, if any, else with `inactive`.
    pub fn new(filler: Filler, worked: Option<FillerMode>) -> Self {
        let mode = worked.unwrap_or(FillerMode::Inactive);
        Self {
            filler,
            mode,
            preferred: mode,
            refused: Vec::new(),
            has_connected: false,
            short_sessions: 0,
            is_unconfirmed: false,
        }
    }

    /// The video section that a publisher without video offers.
    pub fn offered(&self) -> OfferedVideo {
        match self.filler {
            Filler::Auto => OfferedVideo::Filler(self.mode),
            Filler::Pinned(mode) => OfferedVideo::Pinned(mode),
            Filler::None => OfferedVideo::Nothing,
        }
    }

    /// Falls back to the first mode that was not refused, if the filler can be the
    /// reason for the refusal. `None` if it can't be, or if no mode is left. Also
    /// `None` at the first refusal of a mode that was on air: the server accepted the
    /// same offer before, so the code may mean a problem of the service.
    pub fn after_refusal(
        &mut self,
        refusal: &Refusal,
        offered: &OfferedMedia,
    ) -> Option<FillerMode> {
        let OfferedVideo::Filler(mode) = offered.video else {
            return None;
        };
        if !is_about_filler(refusal, offered) || std::mem::take(&mut self.has_connected) {
            return None;
        }
        self.short_sessions = 0;
        self.refused.push(mode);
        let next = FillerMode::ALL
            .into_iter()
            .find(|mode| !self.refused.contains(mode));
        if next.is_none() {
            self.refused.clear();
        }
        self.is_unconfirmed = false;
        self.mode = next.unwrap_or(self.preferred);
        next
    }

    /// Falls back after two sessions in a row without pictures that the far end closed
    /// within 30 s of their start. `None` otherwise.
    pub fn after_close(&mut self, lived: Duration, video: OfferedVideo) -> Option<FillerMode> {
        let next = match video {
            OfferedVideo::Filler(FillerMode::Inactive) => FillerMode::Sendonly,
            OfferedVideo::Filler(FillerMode::Sendonly) => FillerMode::Black,
            _ => return None,
        };
        self.short_sessions = match lived < SHORT_SESSION {
            true => self.short_sessions + 1,
            false => 0,
        };
        if self.short_sessions < SHORT_SESSIONS {
            return None;
        }
        self.short_sessions = 0;
        self.has_connected = false;
        self.is_unconfirmed = true;
        self.mode = next;
        Some(next)
    }

    /// Notes that something other than the far end's close ended a session.
    pub fn ended_by_other_cause(&mut self) {
        self.short_sessions = 0;
    }

    /// Notes that an offer led to a connected session. Returns the mode to remember;
    /// `None` for a mode that short sessions led to, until [`FillerFallback::lasted`]
    /// confirms it.
    pub fn connected(&mut self, video: OfferedVideo) -> Option<FillerMode> {
        let OfferedVideo::Filler(mode) = video else {
            return None;
        };
        self.refused.clear();
        self.has_connected = true;
        if self.is_unconfirmed {
            return None;
        }
        self.preferred = mode;
        Some(mode)
    }

    /// Notes how long a session lived. Returns the mode to remember if short sessions
    /// led to it and this session lived for 30 s or more.
    pub fn lasted(&mut self, lived: Duration, video: OfferedVideo) -> Option<FillerMode> {
        if lived < SHORT_SESSION || !std::mem::take(&mut self.is_unconfirmed) {
            return None;
        }
        self.connected(video)
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

    /// The modes offered in turn while each is refused with this code.
    fn offered_while_refused(mut fallback: FillerFallback, code: u32) -> Vec<OfferedVideo> {
        let mut modes = vec![fallback.offered()];
        while fallback
            .after_refusal(&refusal(code), &OfferedMedia::accepted(fallback.offered()))
            .is_some()
        {
            modes.push(fallback.offered());
        }
        modes
    }

    #[test]
    fn auto_falls_back_from_inactive_to_sendonly_to_black() {
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
    fn no_common_codec_is_not_the_fillers_if_the_audios_is_not_ivss() {
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        let offered = OfferedMedia::with_pcmu(fallback.offered());
        assert_eq!(fallback.after_refusal(&refusal(2014), &offered), None);
        // Without a reason, the filler is as good a guess.
        let to = fallback.after_refusal(&refusal(2001), &offered);
        assert_eq!(to, Some(FillerMode::Sendonly));
    }

    #[test]
    fn own_video_is_not_the_fillers() {
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        assert_eq!(
            fallback.after_refusal(&refusal(2001), &OfferedMedia::accepted(OfferedVideo::Media)),
            None
        );
        assert_eq!(fallback.connected(OfferedVideo::Media), None);
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
        fallback.after_refusal(&refusal(2001), &OfferedMedia::accepted(fallback.offered()));
        assert_eq!(
            fallback.connected(fallback.offered()),
            Some(FillerMode::Sendonly)
        );
        // A refusal of the mode that worked: it is offered once more, then the others
        // from the first.
        let mut refused = || {
            let video = fallback.offered();
            fallback.after_refusal(&refusal(2001), &OfferedMedia::accepted(video))
        };
        assert_eq!(refused(), None);
        assert_eq!(refused(), Some(FillerMode::Inactive));
        assert_eq!(refused(), Some(FillerMode::Black));
        // All refused: start again with the mode that worked.
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
                fallback.after_refusal(&refusal(2001), &OfferedMedia::accepted(video));
            }
        }
    }

    #[test]
    fn two_short_sessions_in_a_row_fall_back() {
        let short = Duration::from_secs(3);
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        let mut after = |lived| {
            let video = fallback.offered();
            fallback.after_close(lived, video)
        };
        assert_eq!(after(short), None);
        assert_eq!(after(SHORT_SESSION), None);
        assert_eq!(after(short), None);
        assert_eq!(after(short), Some(FillerMode::Sendonly));
        assert_eq!(after(short), None);
        assert_eq!(after(short), Some(FillerMode::Black));
        assert_eq!((after(short), after(short)), (None, None));
    }

    #[test]
    fn short_sessions_count_in_a_row_only() {
        let short = Duration::from_secs(3);
        let mut fallback = FillerFallback::new(Filler::Auto, None);
        let video = fallback.offered();
        assert_eq!(fallback.after_close(short, video), None);
        fallback.ended_by_other_cause();
        assert_eq!(fallback.after_close(short, video), None);
        fallback.after_refusal(&refusal(2001), &OfferedMedia::accepted(video));
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
        assert_eq!(fallback.connected(video), None);
        assert_eq!(fallback.lasted(short, video), None);
        assert_eq!(
            fallback.lasted(SHORT_SESSION, video),
            Some(FillerMode::Sendonly)
        );
        assert_eq!(fallback.lasted(SHORT_SESSION, video), None);
    }

    #[test]
    fn short_sessions_with_own_video_or_a_pinned_mode_change_nothing() {
        let mut fallback = FillerFallback::new(Filler::Pinned(FillerMode::Inactive), None);
        for video in [OfferedVideo::Media, fallback.offered()] {
            for _ in 0..3 {
                assert_eq!(fallback.after_close(Duration::ZERO, video), None);
            }
        }
    }
}
