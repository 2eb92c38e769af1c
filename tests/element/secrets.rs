//! Neither the token, nor the session's URL, nor the ICE password shows up in
//! what the element writes.

use std::sync::{Arc, Mutex};

use gst::prelude::*;
use ivs_stage::{Happening, Kind, SessionReport};

use crate::harness::{AUDIO, BOUND, Publisher, stage};

/// Everything that the element's debug category logs, as text.
fn collect_log() -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let lines = log.clone();
    // Or every test of this process would print its log from now on.
    gst::log::remove_default_log_function();
    gst::log::set_threshold_for_name("ivswhipsink", gst::DebugLevel::Memdump);
    gst::log::add_log_function(move |category, _, _, _, _, _, message| {
        if category.name() == "ivswhipsink" {
            let text = message
                .get()
                .map(|text| text.to_string())
                .unwrap_or_default();
            lines.lock().unwrap().push_str(&(text + "\n"));
        }
    });
    log
}

fn ice_password(webrtcbin: &gst::Element) -> String {
    let description = webrtcbin
        .property::<Option<gst_webrtc::WebRTCSessionDescription>>("current-local-description")
        .unwrap();
    let text = description.sdp().as_text().unwrap();
    let line = text
        .lines()
        .find(|line| line.starts_with("a=ice-pwd:"))
        .unwrap();
    line["a=ice-pwd:".len()..].trim().to_owned()
}

#[test]
fn token_session_url_and_ice_password_stay_hidden() {
    let log = collect_log();
    let stage = stage();
    let token = stage.token();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property("auth-token", &token);
    publisher
        .whip
        .set_property("turn-server", "turn://user:turnPassword@127.0.0.1:9");
    let (sender, receiver) = std::sync::mpsc::channel();
    publisher
        .whip
        .connect("webrtcbin-ready", false, move |values| {
            sender
                .send(values[1].get::<gst::Element>().unwrap())
                .unwrap();
            None
        });
    publisher.play();
    publisher.wait_state("publishing");
    let arrived = |sessions: &[SessionReport]| (sessions[0].packets(Kind::Audio) > 5).then_some(());
    stage.wait_for_sessions(BOUND, arrived).unwrap();

    let password = ice_password(&receiver.recv().unwrap());
    let graph = publisher
        .pipeline
        .debug_to_dot_data(gst::DebugGraphDetails::all())
        .to_string();
    let mut properties = String::new();
    for property in publisher.whip.list_properties() {
        if property.flags().contains(glib::ParamFlags::READABLE) {
            properties.push_str(&format!(
                "{:?}\n",
                publisher.whip.property_value(property.name())
            ));
        }
    }
    publisher.stop();
    let messages = format!("{:?}", publisher.messages());
    let log = log.lock().unwrap().clone();

    assert!(
        log.contains("session is publishing"),
        "the log is collected: {log}"
    );
    assert!(
        stage
            .events()
            .iter()
            .any(|event| matches!(event.what, Happening::Created { .. }))
    );
    for (name, text) in [
        ("log", log),
        ("graph", graph),
        ("properties", properties),
        ("messages", messages),
    ] {
        for secret in [
            token.as_str(),
            password.as_str(),
            "/session/",
            "turnPassword",
        ] {
            assert!(!text.contains(secret), "{name} holds {secret}: {text}");
        }
    }
}

#[test]
fn token_is_write_only() {
    crate::harness::init();
    let element = gst::ElementFactory::make("ivswhipsink").build().unwrap();
    let flags = element.find_property("auth-token").unwrap().flags();
    assert!(!flags.contains(glib::ParamFlags::READABLE));
}
