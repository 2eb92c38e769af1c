//! Gives pictures timestamps that the elements behind can use.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

/// How far B-frames may stay behind a picture that is decoded before them. H.264 lets 16 do so.
const REORDERING: gst::ClockTime = gst::ClockTime::from_mseconds(600);

/// Between two pictures, where the second has no later timestamp of its own.
const STEP: gst::ClockTime = gst::ClockTime::from_mseconds(1);

/// Gives pictures rising timestamps: videorate drops those without, and those that are
/// not later than the one before.
#[derive(Default)]
pub(super) struct PictureTimes {
    last: Mutex<Option<gst::ClockTime>>,
}

impl PictureTimes {
    /// Notes that the timestamps begin anew.
    pub(super) fn restart(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Lets the timestamp rise of a picture that comes in at `pad`.
    pub(super) fn let_rise(&self, pad: &gst::Pad, picture: &mut gst::Buffer) {
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_later =
            |pts: &gst::ClockTime| !is_negative(*pts) && last.is_none_or(|last| *pts > last);
        let pts = picture.pts().filter(is_later).or_else(|| {
            let after = last.map(|last| last.saturating_add(STEP));
            now(pad).max(after)
        });
        if pts != picture.pts() {
            picture.make_mut().set_pts(pts);
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = pts;
    }
}

/// From 292 years on it is a negative one that was computed unsigned.
fn is_negative(pts: gst::ClockTime) -> bool {
    pts.nseconds() > i64::MAX.unsigned_abs()
}

/// Gives encoded pictures timestamps: the payloader repeats the last one for those without,
/// and by those that stand still or run back a receiver can't tell when to show them.
#[derive(Default)]
pub(super) struct EncodedTimes {
    state: Mutex<EncodedState>,
}

#[derive(Default)]
struct EncodedState {
    last: Option<gst::ClockTime>,
    highest: Option<gst::ClockTime>,
    /// Whether more of the last picture comes.
    is_inside: bool,
}

impl EncodedTimes {
    /// Notes that the timestamps begin anew.
    pub(super) fn restart(&self) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = EncodedState::default();
    }

    /// Mends the timestamp of a picture that comes in at `pad`, or of a part of one, whose last
    /// part has the marker. The pictures come in the order of decoding.
    pub(super) fn mend(&self, pad: &gst::Pad, picture: &mut gst::Buffer) {
        // Before the lock, since it asks the clock.
        let now = now(pad);
        let is_end = picture.flags().contains(gst::BufferFlags::MARKER);
        let pts = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.next(picture.pts().or(picture.dts()), is_end, now)
        };
        if pts != picture.pts() {
            picture.make_mut().set_pts(pts);
        }
    }
}

impl EncodedState {
    fn next(
        &mut self,
        own: Option<gst::ClockTime>,
        is_end: bool,
        now: Option<gst::ClockTime>,
    ) -> Option<gst::ClockTime> {
        let is_first = !std::mem::replace(&mut self.is_inside, !is_end);
        if !is_first {
            return self.last;
        }
        let is_usable = |pts: &gst::ClockTime| {
            let lowest = self
                .highest
                .map(|highest| highest.saturating_sub(REORDERING));
            !is_negative(*pts) && self.last != Some(*pts) && lowest.is_none_or(|low| *pts >= low)
        };
        let after = self.highest.map(|highest| highest.saturating_add(STEP));
        self.last = own.filter(is_usable).or_else(|| now.max(after));
        self.highest = self.highest.max(self.last);
        self.last
    }
}

/// The timestamp that means now.
fn now(pad: &gst::Pad) -> Option<gst::ClockTime> {
    let running_time = pad.parent_element()?.current_running_time()?;
    let segment = pad.sticky_event::<gst::event::Segment>(0)?;
    let segment = segment.segment().downcast_ref::<gst::ClockTime>()?;
    segment.position_from_running_time(running_time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(times: &[Option<u64>]) -> Vec<Option<u64>> {
        gst::init().unwrap();
        let pad = gst::Pad::new(gst::PadDirection::Sink);
        let state = PictureTimes::default();
        let mend = |time: &Option<u64>| {
            let mut picture = gst::Buffer::new();
            let pts = time.map(gst::ClockTime::from_mseconds);
            picture.make_mut().set_pts(pts);
            state.let_rise(&pad, &mut picture);
            picture.pts().map(gst::ClockTime::mseconds)
        };
        times.iter().map(mend).collect()
    }

    #[test]
    fn timestamps_rise() {
        let all = |times: &[u64]| times.iter().copied().map(Some).collect::<Vec<_>>();
        assert_eq!(mended(&all(&[0, 33, 67])), all(&[0, 33, 67]));
        assert_eq!(mended(&all(&[50, 50, 50])), all(&[50, 51, 52]));
        assert_eq!(mended(&all(&[50, 20, 90])), all(&[50, 51, 90]));
        assert_eq!(mended(&[Some(5), None, Some(9)]), all(&[5, 6, 9]));
        assert_eq!(mended(&[None]), [None], "without a clock");
    }

    #[test]
    fn a_negative_timestamp_is_none() {
        let negative = Some(u64::MAX / 1_000_000 - 5);
        assert_eq!(mended(&[Some(5), negative, Some(9)]), [5, 6, 9].map(Some));
        assert_eq!(mended(&[negative]), [None], "without a clock");
    }

    /// Pictures that come 100 ms apart.
    fn encoded(pictures: &[(Option<u64>, bool)]) -> Vec<Option<u64>> {
        let mut state = EncodedState::default();
        let ms = gst::ClockTime::from_mseconds;
        let times = pictures.iter().zip((1000..).step_by(100));
        let times = times
            .map(|(&(own, is_end), now)| state.next(own.map(ms), is_end, Some(ms(now))))
            .map(|time| time.map(gst::ClockTime::mseconds));
        times.collect()
    }

    fn whole(times: &[Option<u64>]) -> Vec<Option<u64>> {
        encoded(&times.iter().map(|&time| (time, true)).collect::<Vec<_>>())
    }

    #[test]
    fn encoded_pictures_keep_the_timestamps_of_b_frames() {
        let times = [0, 133, 67, 33, 100, 267].map(Some);
        assert_eq!(whole(&times), times);
    }

    #[test]
    fn encoded_pictures_have_timestamps_that_go_on() {
        let missing = [None, None, Some(5000), None];
        assert_eq!(whole(&missing), [1000, 1100, 5000, 5001].map(Some));
        let equal = [Some(0); 3];
        assert_eq!(whole(&equal), [0, 1100, 1200].map(Some));
        let back = [900, 950, 1000, 0, 50].map(Some);
        assert_eq!(whole(&back), [900, 950, 1000, 1300, 1400].map(Some));
    }

    #[test]
    fn the_parts_of_an_encoded_picture_have_one_timestamp() {
        let parts = [
            (Some(5), false),
            (None, false),
            (Some(9), true),
            (None, false),
            (None, true),
        ];
        assert_eq!(encoded(&parts), [5, 5, 5, 1300, 1300].map(Some));
    }
}
