//! The removal of an element from the bin.

use gst::prelude::*;

/// Takes an element down and out of its bin. Can be called more than once.
pub(super) fn discard(element: &gst::Element) {
    // So that the bin, on its own way to a state, does not take it along.
    element.set_locked_state(true);
    // What it says on the way is of no use, and each message would keep an
    // element, with its sockets, for as long as nobody reads the bus.
    element.set_bus(None::<&gst::Bus>);
    // Before it leaves the bin, which takes its clock: an RTCP packet that
    // came then would find no running time.
    let _ = element.set_state(gst::State::Null);
    if let Some(bin) = element
        .parent()
        .and_then(|parent| parent.downcast::<gst::Bin>().ok())
    {
        // Somebody else may have removed it since.
        let _ = bin.remove(element);
    }
}
