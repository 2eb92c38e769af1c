//! What `gst-inspect-1.0` shows of the plugin.

use crate::harness::init;

#[test]
fn licence_and_origin_are_those_of_the_package() {
    init();
    let plugin = gst::Registry::get().find_plugin("ivs").unwrap();
    // GStreamer shows a licence that is not on its list as "unknown".
    assert_eq!(plugin.license(), "MIT/X11");
    let description = plugin.description();
    assert!(
        description.ends_with(concat!("(", env!("CARGO_PKG_LICENSE"), ")")),
        "{description}"
    );
    assert_eq!(plugin.source(), "gst-plugin-ivs");
    assert_eq!(plugin.package(), "gst-plugin-ivs");
    let origin = plugin.origin();
    assert!(origin.contains("gst-plugin-ivs"), "{origin}");
    assert!(!origin.contains("aws"), "{origin}");
}
