//! A row of elements in a bin.

use gst::prelude::*;

use super::super::stream_format::{CapsError, MissingElement};

/// The pad at which what comes into a row's bin reaches its first element. A list of buffers
/// arrives here one by one, but not at the pad of the bin.
pub(super) fn entrance(bin: &gst::Bin) -> Option<gst::Pad> {
    let ghost = bin.static_pad("sink")?;
    ghost.downcast_ref::<gst::GhostPad>()?.target()
}

pub(super) fn factory_name(element: &gst::Element) -> String {
    let factory = element.factory();
    factory.map_or_else(String::new, |factory| factory.name().to_string())
}

/// Elements that are linked one behind the other, in a bin of their own.
pub(super) struct Row {
    pub(super) bin: gst::Bin,
    elements: Vec<gst::Element>,
}

impl Row {
    pub(super) fn new(name: &str) -> Self {
        Self {
            bin: gst::Bin::with_name(name),
            elements: Vec::new(),
        }
    }

    /// Adds an element behind the others.
    ///
    /// # Errors
    /// [`CapsError::Missing`] if it is not installed.
    pub(super) fn add(
        &mut self,
        name: &'static str,
        package: &'static str,
    ) -> Result<gst::Element, CapsError> {
        let element = gst::ElementFactory::make(name).build();
        let missing = |_| CapsError::Missing(MissingElement { name, package });
        let element = element.map_err(missing)?;
        self.push(element.clone())?;
        Ok(element)
    }

    /// Adds a capsfilter behind the others.
    pub(super) fn add_filter(&mut self, caps: &gst::Caps) -> Result<gst::Element, CapsError> {
        let filter = self.add("capsfilter", "libgstreamer1.0-0")?;
        filter.set_property("caps", caps);
        Ok(filter)
    }

    /// Adds an element that exists.
    pub(super) fn push(&mut self, element: gst::Element) -> Result<(), CapsError> {
        let added = self.bin.add(&element);
        let linked = added.and_then(|()| match self.elements.last() {
            Some(last) => last.link(&element),
            None => Ok(()),
        });
        self.elements.push(element);
        linked.map_err(|error| CapsError::Chain(error.message.to_string()))
    }

    /// Makes the pads `sink` and `src` of the bin.
    pub(super) fn finish(self) -> Result<gst::Bin, CapsError> {
        let ends = [
            (self.elements.first(), "sink"),
            (self.elements.last(), "src"),
        ];
        for (element, name) in ends {
            let pad = element.and_then(|element| element.static_pad(name));
            let ghost = pad.and_then(|pad| gst::GhostPad::with_target(&pad).ok());
            let added = ghost.is_some_and(|ghost| self.bin.add_pad(&ghost).is_ok());
            if !added {
                return Err(CapsError::Chain(format!("a row without a pad {name}")));
            }
        }
        Ok(self.bin)
    }
}
