//! A pipeline of whipclientsink works with `ivswhipsink` in its place.

use std::net::UdpSocket;
use std::process::Command;

use gst::prelude::*;
use ivs_stage::{Kind, SessionReport, Stage};

use crate::bad_settings::own_address;
use crate::harness::{BOUND, Publisher, init, plugin_folder, stage};
use crate::secret_search::Secrets;

const RAW: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240 ! whip.video_0 \
     audiotestsrc is-live=true ! audioconvert ! whip.audio_0";

const ENCODED: &str = "videotestsrc is-live=true ! video/x-raw,width=320,height=240 \
     ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 \
     ! video/x-h264,profile=constrained-baseline ! h264parse ! whip.video_0 \
     audiotestsrc is-live=true ! opusenc ! whip.audio_0";

/// What whipclientsink has in its launch lines, but for the media.
fn properties(stage: &Stage) -> String {
    format!(
        "signaller::whip-endpoint={} signaller::auth-token={} signaller::timeout=10 \
         signaller::use-link-headers=false video-caps=video/x-h264,profile=baseline \
         audio-caps=audio/x-opus stun-server=NULL congestion-control=homegrown do-fec=false \
         min-bitrate=100000 start-bitrate=600000 max-bitrate=2000000",
        stage.endpoint(),
        stage.token()
    )
}

fn have_come(sessions: &[SessionReport]) -> Option<()> {
    let session = sessions.first()?;
    let has = |kind| session.packets(kind) >= 20;
    (has(Kind::Audio) && has(Kind::Video)).then_some(())
}

#[test]
fn its_launch_lines_publish_raw_and_encoded_media() {
    for media in [RAW, ENCODED] {
        let stage = stage();
        let line = format!("ivswhipsink name=whip {} {media}", properties(&stage));
        let mut publisher = Publisher::parsed(&line);
        let endpoint: String = publisher.whip.property("whip-endpoint");
        assert_eq!(endpoint, stage.endpoint());
        publisher.play();
        publisher.wait_state("publishing");
        stage.wait_for_sessions(BOUND, have_come).expect("media");
        publisher.stop();
    }
}

/// gst-launch-1.0 sets what it does not find when it parses the line later, or never.
#[test]
fn gst_launch_takes_its_line() {
    let stage = stage();
    let token = stage.token();
    let folder = plugin_folder("whipclientsink");
    let endpoint = format!("signaller::whip-endpoint={}", stage.endpoint());
    let output = Command::new("gst-launch-1.0")
        .args(["-e", "-v"])
        .args("audiotestsrc is-live=true num-buffers=50 ! ivswhipsink".split(' '))
        .args([&endpoint, "video-caps=video/x-h264", "congestion-control=0"])
        .arg(format!("signaller::auth-token={token}"))
        .env("GST_PLUGIN_PATH", &folder)
        .env_remove("IVS_STAGE_TOKEN")
        .output()
        .unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert_eq!(stage.sessions().len(), 1, "{text}");
    let mut secrets = Secrets::default();
    secrets.add_token(&token);
    assert!(secrets.find(&text).is_empty(), "{text}");
}

fn rtx_is_offered(with: &str) -> bool {
    let stage = stage();
    let line = format!("ivswhipsink name=whip {} {with} {RAW}", properties(&stage));
    let mut publisher = Publisher::parsed(&line);
    let peers = publisher.webrtcbins();
    publisher.play();
    publisher.wait_state("publishing");
    let peer = peers.recv().unwrap();
    let offer: gst_webrtc::WebRTCSessionDescription = peer.property("local-description");
    offer.sdp().as_text().unwrap().contains(" rtx/90000")
}

#[test]
fn retransmission_is_offered_unless_it_is_off() {
    assert!(rtx_is_offered(""));
    assert!(!rtx_is_offered("do-retransmission=false"));
}

/// webrtcbin gets them, and nothing shows them.
#[test]
fn turn_servers_are_used_and_not_shown() {
    let server = UdpSocket::bind((own_address(), 0)).unwrap();
    server.set_read_timeout(Some(BOUND)).unwrap();
    let address = server.local_addr().unwrap();
    let stage = stage();
    let line = format!(
        "ivswhipsink name=whip {} turn-servers=<\"turn://user:somePassword@{address}\"> {RAW}",
        properties(&stage)
    );
    let mut publisher = Publisher::parsed(&line);
    publisher.play();
    let mut request = [0; 1500];
    server.recv_from(&mut request).expect("a request");
    // Allocate (RFC 8656 18.1).
    assert_eq!(request[..2], [0, 3]);
    publisher.wait_state("publishing");
    let details = gst::DebugGraphDetails::all();
    let graph = publisher.pipeline.debug_to_dot_data(details);
    assert!(!graph.contains("somePassword"));
    let flags = publisher
        .whip
        .find_property("turn-servers")
        .unwrap()
        .flags();
    assert!(!flags.contains(glib::ParamFlags::READABLE));
}

#[test]
fn an_application_sets_the_child_or_the_object() {
    init();
    let make = || gst::ElementFactory::make("ivswhipsink").build().unwrap();
    let (by_name, by_object) = (make(), make());
    let proxy = by_name.dynamic_cast_ref::<gst::ChildProxy>().unwrap();
    proxy.set_child_property("signaller::whip-endpoint", "https://a.example/");
    let signaller: glib::Object = by_object.property("signaller");
    signaller.set_property("whip-endpoint", "https://a.example/");
    for element in [&by_name, &by_object] {
        let endpoint: String = element.property("whip-endpoint");
        assert_eq!(endpoint, "https://a.example/");
    }
    assert_eq!(
        proxy.child_by_name("signaller"),
        Some(by_name.property::<glib::Object>("signaller"))
    );
}

#[test]
fn the_children_of_the_bin_stay_within_reach() {
    init();
    let element = gst::ElementFactory::make("ivswhipsink").build().unwrap();
    let child = gst::ElementFactory::make("identity").name("inside");
    let child = child.build().unwrap();
    let bin = element.downcast_ref::<gst::Bin>().unwrap();
    bin.add(&child).unwrap();
    let proxy = element.dynamic_cast_ref::<gst::ChildProxy>().unwrap();
    let child = child.upcast::<glib::Object>();
    assert_eq!(proxy.children_count(), 1);
    assert_eq!(proxy.child_by_index(0).as_ref(), Some(&child));
    assert_eq!(proxy.child_by_name("inside").as_ref(), Some(&child));
    assert!(proxy.child_by_name("outside").is_none());
    proxy.set_child_property("inside::sync", true);
    assert!(child.property::<bool>("sync"));
}

#[test]
fn the_token_is_not_readable_through_the_signaller() {
    let stage = stage();
    let token = stage.token();
    let mut secrets = Secrets::default();
    secrets.add_token(&token);
    let mut publisher = Publisher::parsed(&format!(
        "ivswhipsink name=whip signaller::whip-endpoint={} signaller::auth-token={token} {RAW}",
        stage.endpoint()
    ));
    publisher.play();
    publisher.wait_state("publishing");
    let signaller: glib::Object = publisher.whip.property("signaller");
    let token = signaller.find_property("auth-token").unwrap();
    assert!(!token.flags().contains(glib::ParamFlags::READABLE));
    let mut shown = format!("{signaller:?}");
    for property in signaller.list_properties() {
        if property.flags().contains(glib::ParamFlags::READABLE) {
            let value = signaller.property_value(property.name());
            shown += &format!("{}={value:?}\n", property.name());
        }
    }
    let details = gst::DebugGraphDetails::all();
    shown += publisher.pipeline.debug_to_dot_data(details).as_str();
    assert!(shown.contains("whip-endpoint"), "{shown}");
    assert!(secrets.find(&shown).is_empty(), "{shown}");
}

#[test]
fn caps_of_other_codecs_are_an_error_that_says_so() {
    for (property, caps, made) in [
        ("video-caps", "video/x-vp8", "video/x-h264"),
        ("audio-caps", "audio/x-raw,format=S24BE", "audio/x-opus"),
    ] {
        let stage = stage();
        let line = format!(
            "ivswhipsink name=whip {} {property}={caps} {RAW}",
            properties(&stage)
        );
        let mut publisher = Publisher::parsed(&line);
        assert!(!publisher.try_play());
        let error = publisher.wait_error();
        assert!(error.is(gst::ResourceError::Settings), "{error:?}");
        assert_eq!(
            error.detail::<String>("property").as_deref(),
            Some(property)
        );
        assert!(error.text().contains(made), "{}", error.text());
        publisher.stop();
        assert!(stage.sessions().is_empty(), "no request");
    }
}
