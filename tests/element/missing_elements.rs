//! Without webrtcbin or libnice's elements only the start fails, and the error says
//! what to install.

use std::process::Command;

use gst::prelude::*;

use crate::harness::{AUDIO, Publisher, init, plugin_folder};

const CHILD: &str = "missing_elements::child";
const WITHOUT: &str = "IVSWHIPSINK_TEST_WITHOUT";

/// Runs [`child`] in its own process, because it removes elements from the registry.
fn run_without(elements: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", CHILD, "--ignored", "--nocapture"])
        .env(WITHOUT, elements)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[test]
fn without_webrtcbin() {
    run_without("webrtcbin");
}

#[test]
fn without_libnices_elements() {
    run_without("nicesrc,nicesink");
}

#[test]
#[ignore = "run by the tests above, in a process of its own"]
fn child() {
    let Ok(without) = std::env::var(WITHOUT) else {
        return;
    };
    init();
    let registry = gst::Registry::get();
    for name in without.split(',') {
        let feature = registry
            .find_feature(name, gst::ElementFactory::static_type())
            .unwrap();
        registry.remove_feature(&feature);
    }
    let mut publisher = Publisher::to_endpoint(AUDIO, "http://127.0.0.1:9/");
    assert!(!publisher.try_play());
    let error = publisher.wait_error();
    assert!(
        error.error.matches(gst::CoreError::MissingPlugin),
        "{error:?}"
    );
    for name in without.split(',') {
        assert!(error.text().contains(name), "{}", error.text());
    }
    assert!(
        error.text().contains("gstreamer1.0-nice"),
        "{}",
        error.text()
    );
    publisher.stop();
}

#[test]
fn gst_inspect_survives_without_any_other_plugin() {
    let folder = plugin_folder("inspect");
    let output = Command::new("gst-inspect-1.0")
        .arg("ivswhipsink")
        .env("GST_PLUGIN_SYSTEM_PATH_1_0", "")
        .env("GST_PLUGIN_PATH_1_0", &folder)
        .env("GST_REGISTRY_1_0", folder.join("registry.bin"))
        .output()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("whip-endpoint"),
        "{text}"
    );
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(
        !complaints.contains("CRITICAL") && !complaints.contains("panicked"),
        "{complaints}"
    );
}
