//! A viewer of the publisher, by WHEP: the packets that the stage got and passed on.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, channel};

use gst::prelude::*;
use gst_webrtc::{
    WebRTCRTPTransceiver, WebRTCRTPTransceiverDirection, WebRTCSDPType, WebRTCSessionDescription,
};
use ivs_stage::Stage;

/// Its pipeline is set to NULL when it is dropped.
pub struct Viewer {
    pipeline: gst::Pipeline,
    packets: Receiver<gst::Buffer>,
}

impl Viewer {
    /// Subscribes to the H.264 of the stage's newest session.
    pub fn watch(stage: &Stage) -> Self {
        let pipeline = gst::Pipeline::new();
        let webrtcbin = gst::ElementFactory::make("webrtcbin").build().unwrap();
        webrtcbin.set_property_from_str("bundle-policy", "max-bundle");
        pipeline.add(&webrtcbin).unwrap();
        let packets = tap_received(&pipeline, &webrtcbin);
        let caps = "application/x-rtp,media=video,encoding-name=H264,clock-rate=90000,payload=102,\
                    packetization-mode=(string)1,profile-level-id=(string)42e01f"
            .parse::<gst::Caps>()
            .unwrap();
        let direction = WebRTCRTPTransceiverDirection::Recvonly;
        let _: WebRTCRTPTransceiver =
            webrtcbin.emit_by_name("add-transceiver", &[&direction, &caps]);
        pipeline.set_state(gst::State::Playing).unwrap();
        let offer = offer(&webrtcbin);
        let answer = post(stage, &offer.sdp().as_text().unwrap());
        let answer = gst_sdp::SDPMessage::parse_buffer(answer.as_bytes()).unwrap();
        let answer = WebRTCSessionDescription::new(WebRTCSDPType::Answer, answer);
        webrtcbin.emit_by_name::<()>("set-remote-description", &[&answer, &None::<gst::Promise>]);
        Self { pipeline, packets }
    }

    /// The packets of the video, in order.
    pub fn packets(&self) -> &Receiver<gst::Buffer> {
        &self.packets
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        let _ = self.pipeline.set_state(gst::State::Null);
    }
}

fn tap_received(pipeline: &gst::Pipeline, webrtcbin: &gst::Element) -> Receiver<gst::Buffer> {
    let (sender, packets) = channel();
    let pipeline = pipeline.downgrade();
    webrtcbin.connect_pad_added(move |_, pad| {
        let Some(pipeline) = pipeline.upgrade() else {
            return;
        };
        let sink = gst::ElementFactory::make("fakesink").build().unwrap();
        sink.set_property("async", false);
        pipeline.add(&sink).unwrap();
        sink.sync_state_with_parent().unwrap();
        let sender = sender.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            if let Some(gst::PadProbeData::Buffer(buffer)) = &info.data {
                let _ = sender.send(buffer.clone());
            }
            gst::PadProbeReturn::Ok
        });
        pad.link(&sink.static_pad("sink").unwrap()).unwrap();
    });
    packets
}

/// The offer, once it is the local description.
fn offer(webrtcbin: &gst::Element) -> WebRTCSessionDescription {
    let promise = gst::Promise::new();
    webrtcbin.emit_by_name::<()>("create-offer", &[&None::<gst::Structure>, &promise]);
    assert_eq!(promise.wait(), gst::PromiseResult::Replied);
    let reply = promise.get_reply().unwrap();
    let offer = reply.get::<WebRTCSessionDescription>("offer").unwrap();
    let set = gst::Promise::new();
    webrtcbin.emit_by_name::<()>("set-local-description", &[&offer, &set]);
    assert_eq!(set.wait(), gst::PromiseResult::Replied);
    offer
}

/// Posts the offer. Returns the answer.
fn post(stage: &Stage, offer: &str) -> String {
    let host = stage.regional_host();
    let participant = stage.sessions().last().unwrap().participant.clone();
    let mut stream = TcpStream::connect(&host).unwrap();
    let request = format!(
        "POST /subscribe/{participant} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{offer}",
        stage.token(),
        offer.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, answer) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 201"), "{reply}");
    answer.to_owned()
}
