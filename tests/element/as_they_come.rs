//! The command lines of the manual, with stand-ins for devices, and the settings of raw
//! media.

use std::io::{BufRead, BufReader};
use std::net::UdpSocket;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use gst::prelude::*;
use ivs_stage::{Feedback, Kind, Rules, SectionReport, SessionReport, Stage};

use crate::common::{Reply, Server};
use crate::harness::{BOUND, Publisher, decodable, init, lose, stage, wait_section};
use crate::viewer::Viewer;

/// A whole launch line, in which the element is named `whip`.
fn to_stage(launch: &str, stage: &Stage) -> Publisher {
    let publisher = Publisher::parsed(launch);
    publisher
        .whip
        .set_property("whip-endpoint", stage.endpoint());
    publisher.whip.set_property("auth-token", stage.token());
    publisher
}

/// Publishes with it.
fn publish(launch: &str, stage: &Stage) -> Publisher {
    let mut publisher = to_stage(launch, stage);
    publisher.play();
    publisher.wait_state("publishing");
    publisher
}

#[test]
fn a_microphone() {
    let stage = stage();
    let _publisher = publish("audiotestsrc is-live=true ! ivswhipsink name=whip", &stage);
    wait_section(&stage, Kind::Audio, |audio| audio.packets >= 20);
}

#[test]
fn a_camera_that_makes_jpeg_and_a_microphone() {
    let stage = stage();
    let launch = "ivswhipsink name=whip videotestsrc is-live=true \
                  ! video/x-raw,width=320,height=240,framerate=30/1 ! jpegenc ! decodebin ! whip. \
                  audiotestsrc is-live=true ! whip.";
    let _publisher = publish(launch, &stage);
    wait_for_one_session_with_both(&stage);
}

#[test]
fn a_camera_that_starts_later_than_the_microphone() {
    for decoder in [
        "decodebin ! whip.",
        "decodebin3 ! whip.",
        "decodebin ! queue ! whip.",
    ] {
        let stage = stage();
        let launch = format!(
            "ivswhipsink name=whip videotestsrc is-live=true \
             ! video/x-raw,width=320,height=240,framerate=30/1 ! jpegenc ! valve name=camera \
             drop=true ! {decoder} audiotestsrc is-live=true name=microphone ! whip."
        );
        let mut publisher = to_stage(&launch, &stage);
        let camera = publisher.pipeline.by_name("camera").unwrap();
        // After about a second, as USB cameras.
        let sound = publisher.pipeline.by_name("microphone").unwrap();
        let sound = sound.static_pad("src").unwrap();
        let left = AtomicU64::new(40);
        sound.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            if left.fetch_sub(1, Ordering::Relaxed) > 1 {
                return gst::PadProbeReturn::Ok;
            }
            camera.set_property("drop", false);
            gst::PadProbeReturn::Remove
        });
        publisher.play();
        publisher.wait_state("publishing");
        wait_for_one_session_with_both(&stage);
    }
}

#[test]
fn a_camera_that_never_starts_and_a_microphone() {
    for (camera, named) in [
        (
            "videotestsrc is-live=true ! jpegenc ! valve drop=true ! decodebin ! whip.",
            "decodebin",
        ),
        // Linked, and silent.
        ("appsrc name=camera ! whip.video_0", "video_0"),
    ] {
        let stage = stage();
        let launch =
            format!("ivswhipsink name=whip {camera} audiotestsrc is-live=true ! whip.audio_0");
        let mut publisher = to_stage(&launch, &stage);
        publisher.play();
        let warning = publisher.wait_warning();
        assert!(warning.contains(named), "{warning}");
        publisher.wait_state("publishing");
        wait_section(&stage, Kind::Audio, |audio| audio.packets >= 20);
        assert_eq!(stage.sessions().len(), 1);
    }
}

#[test]
fn pads_that_other_branches_await_are_not_awaited() {
    let stage = stage();
    let launch = "ivswhipsink name=whip audiotestsrc is-live=true ! whip. \
                  videotestsrc is-live=true ! jpegenc ! valve drop=true ! decodebin ! fakesink";
    let mut publisher = to_stage(launch, &stage);
    publisher.play();
    let since_playing = publisher.wait_state("publishing");
    assert!(
        since_playing < gst::ClockTime::from_seconds(4),
        "{since_playing}"
    );
}

/// Waits for picture and sound, and expects that no session began before with one alone.
fn wait_for_one_session_with_both(stage: &Stage) {
    let has_both = |sessions: &[SessionReport]| {
        let first = sessions.first()?;
        let (video, audio) = (first.section(Kind::Video)?, first.section(Kind::Audio)?);
        (decodable(video) >= 20 && audio.packets >= 20).then_some(())
    };
    let seen = stage.wait_for_sessions(BOUND, has_both);
    assert!(seen.is_some(), "{:#?}", stage.sessions());
    assert_eq!(stage.sessions().len(), 1);
}

/// What rtspsrc gives, after the same way over UDP.
#[test]
fn a_network_camera() {
    init();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let camera = format!(
        "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 \
         ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 \
         ! udpsink host=127.0.0.1 port={port}"
    );
    let camera = gst::parse::launch(&camera).unwrap();
    camera.set_state(gst::State::Playing).unwrap();
    let stage = stage();
    let launch = format!(
        "udpsrc address=127.0.0.1 port={port} caps=application/x-rtp,media=video,\
         clock-rate=90000,encoding-name=H264,payload=96 \
         ! rtph264depay ! h264parse ! ivswhipsink name=whip"
    );
    let publisher = publish(&launch, &stage);
    let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 20);
    assert_eq!(video.size, Some((320, 240)));
    drop(publisher);
    camera.set_state(gst::State::Null).unwrap();
}

/// GStreamer's RTSP server with a camera. Prints its port.
const RTSP_SERVER: &str = "
import sys, gi
gi.require_version('Gst', '1.0')
gi.require_version('GstRtspServer', '1.0')
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer(address='127.0.0.1', service='0')
factory = GstRtspServer.RTSPMediaFactory(shared=True, launch=sys.argv[1])
server.get_mount_points().add_factory('/stream', factory)
server.attach(None)
print(server.get_bound_port(), flush=True)
GLib.MainLoop().run()
";

struct RtspServer(Child);

impl RtspServer {
    /// `None` where Python has no bindings for it.
    fn start(camera: &str) -> Option<(Self, u16)> {
        // Debian's, which finds Debian's bindings.
        let mut server = Command::new("/usr/bin/python3")
            .args(["-c", RTSP_SERVER, camera])
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let mut output = BufReader::new(server.stdout.take().unwrap());
        let server = Self(server);
        let mut port = String::new();
        output.read_line(&mut port).unwrap();
        Some((server, port.trim().parse().ok()?))
    }
}

impl Drop for RtspServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[allow(clippy::print_stdout)]
fn a_network_camera_by_rtspsrc() {
    init();
    let camera = "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1 \
                  ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=15 \
                  ! video/x-h264,profile=constrained-baseline ! rtph264pay name=pay0 \
                  audiotestsrc is-live=true ! opusenc ! rtpopuspay name=pay1 )";
    let Some((_server, port)) = RtspServer::start(camera) else {
        println!("Python has no bindings of GStreamer's RTSP server, so rtspsrc is untried");
        return;
    };
    for way in ["! rtph264depay ! h264parse !", "!"] {
        let stage = stage();
        let launch = format!(
            "rtspsrc location=rtsp://127.0.0.1:{port}/stream latency=200 name=camera \
             camera. ! application/x-rtp,media=video {way} whip. \
             camera. ! application/x-rtp,media=audio ! whip. ivswhipsink name=whip"
        );
        let _publisher = publish(&launch, &stage);
        wait_for_one_session_with_both(&stage);
    }
}

#[test]
fn what_is_encoded_comes_first_where_upstream_offers_more() {
    init();
    let whip = gst::ElementFactory::make("ivswhipsink").build().unwrap();
    for (pad, offered, first) in [
        ("sink_%u", "video/x-raw;video/x-h264", "video/x-h264"),
        ("video_%u", "video/x-raw;video/x-h264", "video/x-h264"),
        ("audio_%u", "audio/x-raw;audio/x-opus", "audio/x-opus"),
    ] {
        let pad = whip.request_pad_simple(pad).unwrap();
        let offered = offered.parse::<gst::Caps>().unwrap();
        let taken = pad.query_caps(Some(&offered));
        assert_eq!(taken.structure(0).unwrap().name(), first, "{taken}");
        assert!(taken.can_intersect(&offered), "{taken}");
        whip.release_request_pad(&pad);
    }
}

/// udpsrc chooses among its caps as sources do that make several kinds of media: by what
/// downstream has first. It gets what it would make then.
#[test]
fn a_source_that_makes_several_kinds_makes_what_costs_least() {
    const H264: &str = "videotestsrc is-live=true ! video/x-raw,width=160,height=160,\
                        framerate=30/1 ! x264enc tune=zerolatency speed-preset=ultrafast \
                        key-int-max=15 ! video/x-h264,profile=constrained-baseline,\
                        stream-format=byte-stream,alignment=au";
    const OPUS: &str = "audiotestsrc is-live=true ! opusenc";
    const RAW: &str = "video/x-raw,format=I420,width=160,height=160,framerate=30/1";
    const PCM: &str = "audio/x-raw,format=S16LE,rate=48000,channels=2,layout=interleaved";
    const OF_H264: &str = "video/x-h264,stream-format=byte-stream,alignment=au";
    const OF_OPUS: &str = "audio/x-opus,channels=1,channel-mapping-family=0";
    const RTP: &str = "application/x-rtp,clock-rate=90000,encoding-name=H264,media=video";
    for (made, kinds, kind, pads) in [
        (
            format!("{H264} ! rtph264pay mtu=1200"),
            [RAW, OF_H264, RTP].as_slice(),
            Kind::Video,
            ["sink", "video"],
        ),
        (
            format!("{H264} ! rtph264pay mtu=1200"),
            &[RAW, RTP],
            Kind::Video,
            ["sink", "video"],
        ),
        (
            H264.to_owned(),
            &[RAW, OF_H264],
            Kind::Video,
            ["sink", "video"],
        ),
        (
            OPUS.to_owned(),
            &[PCM, OF_OPUS],
            Kind::Audio,
            ["sink", "audio"],
        ),
    ] {
        for pad in pads {
            init();
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let port = socket.local_addr().unwrap().port();
            drop(socket);
            let maker = format!("{made} ! udpsink host=127.0.0.1 port={port}");
            let maker = gst::parse::launch(&maker).unwrap();
            maker.set_state(gst::State::Playing).unwrap();
            let stage = stage();
            let launch = format!(
                "udpsrc address=127.0.0.1 port={port} caps=\"{}\" ! whip.{pad}_0 \
                 ivswhipsink name=whip",
                kinds.join(";")
            );
            let publisher = publish(&launch, &stage);
            wait_section(&stage, kind, |section| match kind {
                Kind::Video => decodable(section) >= 20,
                _ => section.packets >= 20,
            });
            let pad = publisher.whip.static_pad(&format!("{pad}_0")).unwrap();
            let caps = pad.current_caps().unwrap();
            let name = caps.structure(0).unwrap().name();
            assert!(kinds.last().unwrap().starts_with(name.as_str()), "{caps}");
            drop(publisher);
            maker.set_state(gst::State::Null).unwrap();
        }
    }
}

#[test]
fn the_frame_rate_is_at_most_max_framerate() {
    let rate = |max: u32| {
        let stage = stage();
        let launch = "videotestsrc is-live=true \
                      ! video/x-raw,width=160,height=160,framerate=60/1 ! whip. ";
        let mut publisher = Publisher::to_stage(launch, &stage);
        publisher.whip.set_property("max-framerate", max);
        publisher.play();
        publisher.wait_state("publishing");
        let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 60);
        // By the pictures' own times: a machine that is busy makes it lower.
        (decodable(&video) - 1) as f64 / video.seconds
    };
    for max in [15, 30] {
        let rate = rate(max);
        assert!(rate <= f64::from(max) * 1.1, "{rate} of {max}");
    }
}

/// The element's own encoder of audio.
fn opus_encoder(publisher: &Publisher) -> gst::Element {
    let bin = publisher.whip.downcast_ref::<gst::Bin>().unwrap();
    let mut found = bin.iterate_all_by_element_factory_name("opusenc");
    found.next().unwrap().unwrap()
}

#[test]
fn mono_stays_mono_and_the_bit_rate_is_the_users() {
    for (channels, audio_bitrate, leaves, bit_rate) in [
        (1, None, 1, 64_000),
        (2, None, 2, 96_000),
        (6, None, 2, 96_000),
        (2, Some(32_000_u32), 2, 32_000),
    ] {
        let stage = stage();
        let mask = if channels > 2 {
            ",channel-mask=(bitmask)0x3f"
        } else {
            ""
        };
        let launch =
            format!("audiotestsrc is-live=true ! audio/x-raw,channels={channels}{mask} ! whip. ");
        let mut publisher = Publisher::to_stage(&launch, &stage);
        if let Some(rate) = audio_bitrate {
            publisher.whip.set_property("audio-bitrate", rate);
        }
        publisher.play();
        publisher.wait_state("publishing");
        wait_section(&stage, Kind::Audio, |audio| audio.packets >= 10);
        let encoder = opus_encoder(&publisher);
        let caps = encoder.static_pad("sink").unwrap().current_caps().unwrap();
        let structure = caps.structure(0).unwrap();
        assert_eq!(structure.get("channels"), Ok(leaves), "{caps}");
        assert_eq!(structure.get("rate"), Ok(48_000), "{caps}");
        assert_eq!(encoder.property::<i32>("bitrate"), bit_rate);
        // Without discontinuous transmission: a pause is sent too.
        assert!(!encoder.property::<bool>("dtx"));
    }
}

#[test]
fn opus_gets_redundancy_while_packets_are_lost() {
    let stage = Stage::start(Rules {
        feedback: Feedback::ReceiverReports,
        report_interval: Some(Duration::from_millis(200)),
        ..Rules::default()
    })
    .unwrap();
    let mut publisher = Publisher::to_stage("audiotestsrc is-live=true ! whip. ", &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let encoder = opus_encoder(&publisher);
    assert!(encoder.property::<bool>("inband-fec"));
    let (sender, expected) = channel();
    encoder.connect_notify(Some("packet-loss-percentage"), move |encoder, _| {
        let _ = sender.send(encoder.property::<i32>("packet-loss-percentage"));
    });
    let loss = lose(&publisher, 3);
    let until = Instant::now() + BOUND;
    let left = || until.saturating_duration_since(Instant::now());
    while expected.recv_timeout(left()).expect("more redundancy") < 10 {}
    loss.end();
    let until = Instant::now() + BOUND;
    let left = || until.saturating_duration_since(Instant::now());
    while expected.recv_timeout(left()).expect("none any more") > 0 {}
}

#[test]
fn pictures_reach_the_encoder_only_while_the_session_stands() {
    let server = Server::start("127.0.0.1", |_| Reply::new(503).into());
    let launch = "videotestsrc is-live=true name=source \
                  ! video/x-raw,width=320,height=240,framerate=30/1 ! whip. ";
    let mut publisher = Publisher::to_endpoint(launch, &server.url("/whip"));
    publisher.whip.set_property("retries", 20);
    let encoded = Arc::new(AtomicU64::new(0));
    let count = encoded.clone();
    publisher
        .whip
        .connect("encoder-setup", false, move |values| {
            let encoder = values[1].get::<gst::Element>().unwrap();
            let count = count.clone();
            let sink = encoder.static_pad("sink").unwrap();
            sink.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
                count.fetch_add(1, Ordering::SeqCst);
                gst::PadProbeReturn::Ok
            });
            Some(false.to_value())
        });
    publisher.play();
    publisher.wait_state("retrying");
    let (sender, pictures) = channel();
    let source = publisher.pipeline.by_name("source").unwrap();
    let source = source.static_pad("src").unwrap();
    source.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
        let _ = sender.send(());
        gst::PadProbeReturn::Ok
    });
    for _ in 0..20 {
        pictures.recv_timeout(BOUND).expect("a picture");
    }
    assert_eq!(encoded.load(Ordering::SeqCst), 0);
}

#[test]
fn a_picture_that_ends_is_followed_by_another_while_sound_goes_on() {
    let stage = stage();
    let launch = "audiotestsrc is-live=true ! whip. fakesrc num-buffers=0 ! fakesink ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    let pad = publisher.whip.request_pad_simple("sink_%u").unwrap();
    for round in 0..3 {
        let arrived = |session: &SessionReport| session.section(Kind::Video).map(decodable);
        let pictures = stage.sessions().first().and_then(arrived).unwrap_or(0);
        let description = "videotestsrc is-live=true num-buffers=45 \
                           ! video/x-raw,width=320,height=240,framerate=30/1 ! identity";
        let source = gst::parse::bin_from_description(description, true).unwrap();
        publisher.pipeline.add(&source).unwrap();
        let end = source.static_pad("src").unwrap();
        let (sender, ended) = channel();
        end.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if info
                .event()
                .is_some_and(|event| event.type_() == gst::EventType::Eos)
            {
                let _ = sender.send(());
            }
            gst::PadProbeReturn::Ok
        });
        end.link(&pad).unwrap();
        source.sync_state_with_parent().unwrap();
        if round == 0 {
            publisher.play();
            publisher.wait_state("publishing");
        }
        let more = pictures + 10;
        wait_section(&stage, Kind::Video, |video| decodable(video) >= more);
        ended.recv_timeout(BOUND).expect("the end");
        end.unlink(&pad).unwrap();
        source.set_state(gst::State::Null).unwrap();
        publisher.pipeline.remove(&source).unwrap();
        let sound = wait_section(&stage, Kind::Audio, |_| true).packets;
        wait_section(&stage, Kind::Audio, |audio| audio.packets >= sound + 20);
    }
    assert_eq!(stage.sessions().len(), 1);
    assert_eq!(publisher.session_state(), "publishing");
}

/// Says so where OpenGL does not open.
#[test]
#[allow(clippy::print_stdout)]
fn pictures_in_opengl() {
    init();
    let launch = "gltestsrc is-live=true num-buffers=2 ! fakesink";
    let opens = gst::parse::launch(launch).is_ok_and(|probe| {
        let _ = probe.set_state(gst::State::Playing);
        let bus = probe.bus().unwrap();
        let end = [gst::MessageType::Eos, gst::MessageType::Error];
        let end = bus.timed_pop_filtered(gst::ClockTime::from_seconds(5), &end);
        let _ = probe.set_state(gst::State::Null);
        end.is_some_and(|end| end.type_() == gst::MessageType::Eos)
    });
    if !opens {
        println!("OpenGL does not open here, so pictures in its memory are untried");
        return;
    }
    let stage = stage();
    let launch = "gltestsrc is-live=true ! \
                  video/x-raw(memory:GLMemory),width=320,height=240,framerate=15/1 \
                  ! ivswhipsink name=whip";
    let _publisher = publish(launch, &stage);
    let video = wait_section(&stage, Kind::Video, |video| decodable(video) >= 10);
    assert_eq!(video.size, Some((320, 240)));
}

/// A viewer that joins asks for a key frame.
#[test]
fn a_key_frame_comes_early_where_the_far_end_asks_for_one() {
    let stage = Stage::start(Rules {
        key_frame_on_connect: false,
        ..Rules::default()
    });
    let stage = stage.unwrap();
    let launch = "videotestsrc is-live=true \
                  ! video/x-raw,width=320,height=240,framerate=30/1 ! whip. ";
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    let distance = |video: &SectionReport| video.video.as_ref()?.key_frame_distance_ms;
    let unasked = wait_section(&stage, Kind::Video, |video| distance(video).is_some());
    let every = distance(&unasked).unwrap().min;
    assert!((1950..=2050).contains(&every), "{every} ms");
    let _viewer = Viewer::watch(&stage);
    wait_section(&stage, Kind::Video, |video| {
        distance(video).is_some_and(|distance| distance.min < 1500)
    });
}
