//! Chains for media that come encoded.

use super::super::stream_format::CapsError;
use super::elements::Row;
use super::timestamps::EncodedTimes;
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
    // GStreamer 1.22 makes broken AVC of single NAL units, of which rtph264pay makes packets
    // without end.
    let filter = row.add_filter(&byte_stream())?;
    if let Some(pad) = filter.static_pad("src") {
        mend_timestamps(&pad);
    }
    pay_h264(&mut row)?;
    row.finish()
}

fn mend_timestamps(pad: &gst::Pad) {
    let times = EncodedTimes::default();
    let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(mask, move |pad, info| {
        match &mut info.data {
            Some(gst::PadProbeData::Buffer(picture)) => times.mend(pad, picture),
            Some(gst::PadProbeData::Event(event)) if event.type_() == gst::EventType::Segment => {
                times.restart();
            }
            _ => {}
        }
        gst::PadProbeReturn::Ok
    });
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

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn play_to_end(pipeline: &gst::Pipeline) {
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let types = [gst::MessageType::Eos, gst::MessageType::Error];
        let end_of_stream = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &types);
        assert_eq!(end_of_stream.unwrap().type_(), gst::MessageType::Eos);
    }

    /// The buffers that leave a pipeline.
    fn buffers(launch: &str) -> (gst::Caps, Vec<gst::Buffer>) {
        let pipeline = gst::parse::launch(&format!("{launch} ! fakesink name=end")).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let end = pipeline.by_name("end").unwrap();
        let end = end.static_pad("sink").unwrap();
        let (sender, buffers) = channel();
        end.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            sender.send(info.buffer().unwrap().to_owned()).unwrap();
            gst::PadProbeReturn::Ok
        });
        play_to_end(&pipeline);
        let caps = end.current_caps().unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        (caps, buffers.try_iter().collect())
    }

    /// Of each frame whose end goes in, whether it is out before the next one comes.
    fn at_once(format: &str) -> Vec<bool> {
        gst::init().unwrap();
        let (caps, frames) = buffers(&format!(
            "videotestsrc num-buffers=10 ! video/x-raw,width=320,height=240 ! x264enc \
             tune=zerolatency sliced-threads=false ! h264parse ! video/x-h264,{format}"
        ));
        let pipeline = gst::Pipeline::new();
        let chain = h264("chain").unwrap();
        let end = gst::ElementFactory::make("fakesink");
        let end = end.property("async", false).build().unwrap();
        pipeline.add_many([chain.upcast_ref(), &end]).unwrap();
        chain.link(&end).unwrap();
        let (sender, left) = channel();
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let end = end.static_pad("sink").unwrap();
        end.add_probe(mask, move |_, _| {
            sender.send(()).unwrap();
            gst::PadProbeReturn::Ok
        });
        pipeline.set_state(gst::State::Playing).unwrap();
        let source = gst::Pad::builder(gst::PadDirection::Src).build();
        source.set_active(true).unwrap();
        source.link(&chain.static_pad("sink").unwrap()).unwrap();
        source.push_event(gst::event::StreamStart::new("test"));
        source.push_event(gst::event::Caps::new(&caps));
        let segment = gst::FormattedSegment::<gst::ClockTime>::new();
        source.push_event(gst::event::Segment::new(&segment));
        let out = frames.into_iter().filter_map(|buffer| {
            left.try_iter().for_each(drop);
            // Of the pieces of a frame, only the last one has it.
            let ends_frame = buffer.flags().contains(gst::BufferFlags::MARKER);
            source.push(buffer).unwrap();
            ends_frame.then(|| left.try_iter().next().is_some())
        });
        let out = out.collect();
        pipeline.set_state(gst::State::Null).unwrap();
        out
    }

    /// The RTP payloads that a row makes of what a launch line gives, and the size of the
    /// longest packet.
    fn packets(launch: &str, row: &gst::Bin) -> (Vec<Vec<u8>>, usize) {
        const HEADER: usize = 12;
        let pipeline = gst::Pipeline::new();
        let source = gst::parse::bin_from_description(launch, true).unwrap();
        let end = gst::ElementFactory::make("fakesink").build().unwrap();
        let elements = [source.upcast_ref(), row.upcast_ref(), &end];
        pipeline.add_many(elements).unwrap();
        gst::Element::link_many(elements).unwrap();
        let (sender, packets) = channel();
        let mask = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        let sink = end.static_pad("sink").unwrap();
        sink.add_probe(mask, move |_, info| {
            let packets = match &info.data {
                Some(gst::PadProbeData::BufferList(list)) => list.iter_owned().collect(),
                _ => vec![info.buffer().unwrap().to_owned()],
            };
            for packet in packets {
                sender
                    .send(packet.map_readable().unwrap().to_vec())
                    .unwrap();
            }
            gst::PadProbeReturn::Ok
        });
        play_to_end(&pipeline);
        pipeline.set_state(gst::State::Null).unwrap();
        let packets: Vec<Vec<u8>> = packets.try_iter().collect();
        let longest = packets.iter().map(Vec::len).max().unwrap();
        let payloads = packets.iter().map(|packet| packet[HEADER..].to_vec());
        (payloads.collect(), longest)
    }

    /// The types of the NAL units that begin in a payload (RFC 6184 5.2).
    fn nal_types(payload: &[u8]) -> Vec<u8> {
        const STAP_A: u8 = 24;
        const FU_A: u8 = 28;
        let is_start = |part: u8| part & 0x80 != 0;
        match payload {
            [head, rest @ ..] if head & 0x1f == STAP_A => {
                let mut types = Vec::new();
                let mut rest = rest;
                while let [high, low, unit @ ..] = rest {
                    types.push(unit[0] & 0x1f);
                    rest = &unit[usize::from(u16::from_be_bytes([*high, *low]))..];
                }
                types
            }
            [head, part, ..] if head & 0x1f == FU_A => {
                is_start(*part).then_some(part & 0x1f).into_iter().collect()
            }
            _ => vec![payload[0] & 0x1f],
        }
    }

    #[test]
    fn h264_leaves_in_short_packets_with_parameter_sets_before_each_key_frame() {
        const IDR: u8 = 5;
        const SPS: u8 = 7;
        const PPS: u8 = 8;
        gst::init().unwrap();
        let mut row = Row::new("pay");
        pay_h264(&mut row).unwrap();
        // Parameter sets are in the caps only.
        let launch = "videotestsrc num-buffers=20 pattern=snow ! video/x-raw,width=320,height=240 \
                      ! x264enc tune=zerolatency sliced-threads=false key-int-max=5 \
                      option-string=scenecut=0 \
                      ! video/x-h264,stream-format=avc,alignment=au,profile=baseline ! identity";
        let (payloads, longest) = packets(launch, &row.finish().unwrap());
        assert!((1100..=1200).contains(&longest), "{longest}");
        let types: Vec<_> = payloads.iter().map(|payload| nal_types(payload)).collect();
        let before_key_frames = types.windows(2).filter(|pair| pair[1] == [IDR]);
        let before_key_frames: Vec<_> = before_key_frames.map(|pair| &pair[0]).collect();
        assert_eq!(before_key_frames.len(), 4);
        let has_sets = |types: &&Vec<u8>| types.ends_with(&[SPS, PPS]);
        assert!(
            before_key_frames.iter().all(has_sets),
            "{before_key_frames:?}"
        );
    }

    /// rtpopuspay cuts nothing, so no packet shows it.
    #[test]
    fn the_payloader_of_opus_knows_the_size_too() {
        gst::init().unwrap();
        let mut row = Row::new("pay");
        pay_opus(&mut row).unwrap();
        let payloader = row.finish().unwrap().children().remove(0);
        assert_eq!(payloader.property::<u32>("mtu"), MTU);
    }

    #[test]
    fn a_frame_leaves_before_the_next_one_comes() {
        for format in [
            "stream-format=avc,alignment=au",
            "stream-format=byte-stream,alignment=au",
            "stream-format=byte-stream,alignment=nal",
        ] {
            assert_eq!(at_once(format), [true; 10], "{format}");
        }
    }
}
