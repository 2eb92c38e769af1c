//! Chains for media that come encoded.

use super::super::stream_format::CapsError;
use super::elements::Row;
use super::{BAD, GOOD};
use gst::prelude::*;

/// The size of a packet's payload with its RTP header. IVS's clients use it too, since it
/// leaves room for SRTP and the headers of a tunnel in 1500 bytes.
const MTU: u32 = 1200;

/// Opus, whose packets opusparse tells from the headers of a container.
pub(super) fn opus(name: &str) -> Result<gst::Bin, CapsError> {
    let mut row = Row::new(name);
    row.add("opusparse", BAD)?;
    pay_opus(&mut row)?;
    row.finish()
}

/// H.264 in any stream format and alignment.
pub(super) fn h264(name: &str) -> Result<gst::Bin, CapsError> {
    let mut row = Row::new(name);
    let parser = row.add("h264parse", BAD)?;
    // Parameter sets before each key frame, so that a viewer can begin there.
    parser.set_property("config-interval", -1);
    row.add_filter(&byte_stream())?;
    pay_h264(&mut row)?;
    row.finish()
}

/// In which metadata can be inserted. Frames that come in several buffers stay in them,
/// since a parser that makes one of them waits for the next frame.
fn byte_stream() -> gst::Caps {
    gst::Caps::builder("video/x-h264")
        .field("stream-format", "byte-stream")
        .field("alignment", gst::List::new(["au", "nal"]))
        .build()
}

pub(super) fn pay_opus(row: &mut Row) -> Result<(), CapsError> {
    let payloader = row.add("rtpopuspay", GOOD)?;
    payloader.set_property("mtu", MTU);
    Ok(())
}

pub(super) fn pay_h264(row: &mut Row) -> Result<(), CapsError> {
    let payloader = row.add("rtph264pay", GOOD)?;
    payloader.set_property("mtu", MTU);
    payloader.set_property("config-interval", -1);
    // One packet for parameter sets and the like, without a wait for more.
    payloader.set_property_from_str("aggregate-mode", "zero-latency");
    Ok(())
}
