//! Walks from a sink pad to the elements that feed it, also across the borders of bins.

use gst::prelude::*;

/// How many elements, and how many bins around each, are searched at most.
pub(super) const MAX_ELEMENTS: usize = 32;

/// What feeds a sink pad.
enum Feed {
    Element(gst::Element),
    /// Nothing: this pad, its own or that of a bin around it, is not linked.
    Unlinked(gst::Pad),
    /// The pad of a bin that has nothing inside yet, or of no element.
    Unknown,
}

/// Where the ways upstream from a pad end.
#[derive(Debug, Default)]
pub(crate) struct UpstreamEnds {
    /// Whether one ends at an element without sink pads, or is not known.
    pub(crate) has_source: bool,
    /// The sink pads at which one ends because they are not linked.
    pub(crate) unlinked: Vec<gst::Pad>,
}

/// The element that feeds a sink pad.
pub(super) fn upstream_element(sink: &gst::Pad) -> Option<gst::Element> {
    match feed(sink) {
        Feed::Element(element) => Some(element),
        Feed::Unlinked(_) | Feed::Unknown => None,
    }
}

/// Where the ways upstream from this sink pad end. One that is too long to follow counts as
/// one with a source.
pub(crate) fn upstream_ends(pad: &gst::Pad) -> UpstreamEnds {
    let mut ends = UpstreamEnds::default();
    let mut ahead = vec![pad.clone()];
    for _ in 0..MAX_ELEMENTS {
        let Some(sink) = ahead.pop() else {
            return ends;
        };
        match feed(&sink) {
            Feed::Element(element) => {
                let sinks = element.sink_pads();
                ends.has_source |= sinks.is_empty();
                ahead.extend(sinks);
            }
            Feed::Unlinked(pad) => ends.unlinked.push(pad),
            Feed::Unknown => ends.has_source = true,
        }
    }
    ends.has_source |= !ahead.is_empty();
    ends
}

fn feed(sink: &gst::Pad) -> Feed {
    let mut sink = sink.clone();
    let mut peer = sink.peer();
    for _ in 0..MAX_ELEMENTS {
        let Some(pad) = peer else {
            return Feed::Unlinked(sink);
        };
        if let Some(ghost) = pad.downcast_ref::<gst::GhostPad>() {
            // Into a bin.
            let Some(target) = ghost.target() else {
                return Feed::Unknown;
            };
            peer = Some(target);
        } else if let Some(inside) = pad.downcast_ref::<gst::ProxyPad>() {
            // Out of a bin: `pad` is the inner side of its sink pad.
            let Some(outside) = inside.internal() else {
                return Feed::Unknown;
            };
            sink = outside.upcast();
            peer = sink.peer();
        } else {
            return pad.parent_element().map_or(Feed::Unknown, Feed::Element);
        }
    }
    Feed::Unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_sources_and_pads_that_are_not_linked() {
        gst::init().unwrap();
        for (launch, has_source, unlinked) in [
            ("fakesrc", true, &[][..]),
            ("fakesrc ! queue ! ( identity )", true, &[]),
            ("queue name=q ! identity", false, &["q"]),
            ("fakesrc ! f. queue name=q ! f. funnel name=f", true, &["q"]),
        ] {
            let pipeline = gst::parse::launch(&format!("{launch} ! fakesink name=end")).unwrap();
            let pipeline = pipeline.downcast::<gst::Bin>().unwrap();
            let end = pipeline.by_name("end").unwrap();
            let ends = upstream_ends(&end.static_pad("sink").unwrap());
            assert_eq!(ends.has_source, has_source, "{launch}");
            let names = ends.unlinked.iter().map(|pad| {
                let name = pad.parent_element().unwrap().name();
                name.trim_end_matches(char::is_numeric).to_owned()
            });
            assert_eq!(names.collect::<Vec<_>>(), unlinked, "{launch}");
        }
    }

    #[test]
    fn a_bin_that_is_not_linked_ends_at_its_own_pad() {
        gst::init().unwrap();
        let bin = gst::parse::bin_from_description("identity ! queue", true).unwrap();
        let end = gst::ElementFactory::make("fakesink").build().unwrap();
        bin.link(&end).unwrap();
        let ends = upstream_ends(&end.static_pad("sink").unwrap());
        assert!(!ends.has_source);
        assert_eq!(ends.unlinked, [bin.static_pad("sink").unwrap()]);
    }
}
