//! The element's debug category.

use std::sync::LazyLock;

pub(super) static CAT: LazyLock<gst::DebugCategory> = LazyLock::new(|| {
    gst::DebugCategory::new(
        "ivswhipsink",
        gst::DebugColorFlags::empty(),
        Some("Amazon IVS Real-Time WHIP sink"),
    )
});
