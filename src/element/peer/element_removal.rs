//! Removes an element from its bin.

use gst::prelude::*;

/// Sets an element to NULL and removes it from its bin. Can be called more than once.
pub(super) fn remove_element(element: &gst::Element) {
    // So that a state change of the bin does not change its state again.
    element.set_locked_state(true);
    // Its last messages are of no use, and each would keep the element and its
    // sockets until somebody reads the bus.
    element.set_bus(None::<&gst::Bus>);
    // Before the removal, in which the bin takes its clock away: an RTCP packet
    // that comes later would find no running time.
    let _ = element.set_state(gst::State::Null);
    if let Some(bin) = element
        .parent()
        .and_then(|parent| parent.downcast::<gst::Bin>().ok())
    {
        // Another thread may have removed it meanwhile.
        let _ = bin.remove(element);
    }
}
