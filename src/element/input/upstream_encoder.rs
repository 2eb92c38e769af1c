//! Finds the encoder of a pad's stream.

use gst::prelude::*;

use super::upstream::{MAX_ELEMENTS, upstream_element};

/// The factory name of the nearest encoder upstream, such as `x264enc`.
pub(super) fn upstream_encoder(pad: &gst::Pad) -> Option<String> {
    let mut ahead = vec![pad.clone()];
    for _ in 0..MAX_ELEMENTS {
        if ahead.is_empty() {
            return None;
        }
        // Breadth first, so that the nearest is found.
        let Some(element) = upstream_element(&ahead.remove(0)) else {
            continue;
        };
        let factory = element.factory();
        if let Some(factory) = factory.filter(is_encoder) {
            return Some(factory.name().to_string());
        }
        ahead.extend(element.sink_pads());
    }
    None
}

/// The encoder upstream that feeds this pad and no other: no element on the way branches.
pub(super) fn straight_encoder(pad: &gst::Pad) -> Option<gst::Element> {
    let mut sink = pad.clone();
    for _ in 0..MAX_ELEMENTS {
        let element = upstream_element(&sink)?;
        if element.num_src_pads() != 1 {
            return None;
        }
        if element
            .factory()
            .is_some_and(|factory| is_encoder(&factory))
        {
            return Some(element);
        }
        let sinks = element.sink_pads();
        let [only] = sinks.as_slice() else {
            return None;
        };
        sink = only.clone();
    }
    None
}

fn is_encoder(factory: &gst::ElementFactory) -> bool {
    let class = factory.metadata(gst::ELEMENT_METADATA_KLASS);
    class.is_some_and(|class| class.split('/').any(|word| word == "Encoder"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder_ahead_of_the_sink(launch: &str) -> Option<String> {
        gst::init().unwrap();
        let pipeline = gst::parse::launch(&format!("{launch} ! fakesink name=end")).unwrap();
        let pipeline = pipeline.downcast::<gst::Bin>().unwrap();
        let end = pipeline.by_name("end").unwrap();
        upstream_encoder(&end.static_pad("sink").unwrap())
    }

    #[test]
    fn an_encoder_that_feeds_others_too_is_not_straight() {
        gst::init().unwrap();
        for (launch, name) in [
            ("x264enc ! queue ! h264parse ! rtph264pay", Some("x264enc")),
            ("( x264enc ! ( h264parse ) ) ! rtph264pay", Some("x264enc")),
            (
                "x264enc ! tee name=t ! fakesink t. ! queue ! rtph264pay",
                None,
            ),
            (
                "x264enc ! queue ! f. funnel name=f ! rtph264pay",
                Some("x264enc"),
            ),
            ("x264enc ! f. x264enc ! f. funnel name=f ! rtph264pay", None),
            ("appsrc ! rtph264pay", None),
        ] {
            let pipeline = gst::parse::launch(&format!("{launch} ! fakesink name=end")).unwrap();
            let pipeline = pipeline.downcast::<gst::Bin>().unwrap();
            let end = pipeline.by_name("end").unwrap();
            let found = straight_encoder(&end.static_pad("sink").unwrap());
            let found = found.map(|encoder| encoder.factory().unwrap().name().to_string());
            assert_eq!(found.as_deref(), name, "{launch}");
        }
    }

    #[test]
    fn encoder_is_found() {
        for (launch, name) in [
            ("opusenc ! rtpopuspay", Some("opusenc")),
            (
                "x264enc ! queue ! h264parse ! video/x-h264 ! rtph264pay",
                Some("x264enc"),
            ),
            ("( x264enc ! ( h264parse ) ) ! rtph264pay", Some("x264enc")),
            ("opusenc ! ( queue ! ( rtpopuspay ) )", Some("opusenc")),
            ("vp8enc ! vp8dec ! x264enc ! rtph264pay", Some("x264enc")),
            ("appsrc ! rtph264pay", None),
            (
                "opusenc ! queue ! f. funnel name=f ! rtpopuspay",
                Some("opusenc"),
            ),
            ("audiotestsrc ! queue ! rtpL16pay", None),
        ] {
            let found = encoder_ahead_of_the_sink(launch);
            assert_eq!(found.as_deref(), name, "{launch}");
        }
    }
}
