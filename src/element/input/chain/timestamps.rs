//! Gives pictures timestamps that the elements behind can use.

use std::sync::{Mutex, PoisonError};

use gst::prelude::*;

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
        // From 292 years on it is a negative one that was computed unsigned.
        let is_later = |pts: &gst::ClockTime| {
            pts.nseconds() <= i64::MAX.unsigned_abs() && last.is_none_or(|last| *pts > last)
        };
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
}
