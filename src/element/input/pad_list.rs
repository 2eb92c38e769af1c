//! The list of requested sink pads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gst::prelude::*;

use super::media_pad::MediaPad;
use super::pad_event::PadEvent;
use super::pad_timing::{SharedAlignment, running_time};
use crate::whip::MAX_TRACKS;

/// The sink pads that are requested and not released.
#[derive(Default)]
pub(crate) struct PadList {
    pads: Mutex<Vec<MediaPad>>,
    made: AtomicU32,
    alignment: SharedAlignment,
}

impl PadList {
    /// A copy of the list, to use without its lock.
    pub(crate) fn get(&self) -> Vec<MediaPad> {
        self.lock().clone()
    }

    /// Whether there are [`MAX_TRACKS`] pads.
    pub(crate) fn is_full(&self) -> bool {
        self.lock().len() >= MAX_TRACKS
    }

    /// Makes a pad and adds it to the bin.
    ///
    /// # Errors
    /// If the name is in use, or if clocksync is missing.
    pub(crate) fn add(
        &self,
        bin: &gst::Bin,
        template: &gst::PadTemplate,
        name: Option<&str>,
        tell: impl Fn(PadEvent) + Send + Sync + 'static,
    ) -> Result<gst::Pad, glib::BoolError> {
        let name = name.map(str::to_owned);
        let name = name.unwrap_or_else(|| self.free_name(template.name_template()));
        if bin.static_pad(&name).is_some() {
            return Err(glib::bool_error!("there is a pad {name} already"));
        }
        let id = self.made.fetch_add(1, Ordering::Relaxed);
        let pad = MediaPad::new(id, &name, template, &self.alignment, tell)?;
        // Listed before it is in the bin, where a caps event can come at once.
        self.lock().push(pad.clone());
        if let Err(error) = pad.enter(bin) {
            self.remove(bin, &pad.ghost);
            return Err(error);
        }
        Ok(pad.ghost.upcast())
    }

    /// Removes a pad from the bin. Returns whether it was in the list.
    pub(crate) fn remove(&self, bin: &gst::Bin, ghost: &gst::GhostPad) -> bool {
        let removed = {
            let mut pads = self.lock();
            let index = pads.iter().position(|pad| pad.ghost == *ghost);
            index.map(|index| pads.remove(index))
        };
        match removed {
            Some(pad) => {
                pad.leave(bin);
                true
            }
            None => false,
        }
    }

    /// Notes that the element goes to PLAYING. What waits for that in clocksync is timed
    /// first: in PAUSED there is no running time to compare with.
    pub(crate) fn play(&self, element: &gst::Element) {
        let now = running_time(element);
        let steps = self.alignment.with(|alignment| alignment.play(now));
        let pads = self.get();
        for (id, step) in steps {
            if let Some(pad) = pads.iter().find(|pad| pad.id == id) {
                pad.apply_timing(step);
            }
        }
    }

    /// Notes that the element leaves PLAYING.
    pub(crate) fn pause(&self) {
        self.alignment.with(|alignment| alignment.pause());
    }

    /// The first free name of a template such as `sink_%u`.
    fn free_name(&self, template: &str) -> String {
        let pads = self.get();
        let is_taken = |name: &String| pads.iter().any(|pad| pad.ghost.name() == name.as_str());
        (0..=MAX_TRACKS)
            .map(|number| template.replace("%u", &number.to_string()))
            .find(|name| !is_taken(name))
            .unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<MediaPad>> {
        self.pads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
