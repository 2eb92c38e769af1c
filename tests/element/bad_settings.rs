//! A setting that can't be used is an error that names it, before any request.

use std::net::{IpAddr, TcpListener, UdpSocket};

use gst::prelude::*;

use crate::harness::{AUDIO, Publisher, SeenError, stage};

/// Starts with one property set to `value`. The start has to fail with an error, and
/// the pipeline still has to stop.
fn refused(property: &str, value: impl Into<glib::Value>) -> SeenError {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.whip.set_property(property, value);
    assert!(!publisher.try_play());
    let error = publisher.wait_error();
    publisher.stop();
    assert!(stage.sessions().is_empty(), "no request");
    assert!(error.is(gst::ResourceError::Settings), "{error:?}");
    assert_eq!(error.source, "whip");
    assert!(error.text().contains(property), "{}", error.text());
    assert_eq!(
        error.detail::<String>("property").as_deref(),
        Some(property)
    );
    assert_eq!(error.detail::<bool>("retryable"), Some(false));
    error
}

#[test]
fn endpoint_that_is_no_url() {
    let error = refused("whip-endpoint", "global.whip.live-video.net");
    assert!(
        error.text().contains("https://global.whip.live-video.net"),
        "{}",
        error.text()
    );
}

#[test]
fn endpoint_of_another_scheme() {
    assert!(
        refused("whip-endpoint", "rtmp://example.com/app")
            .text()
            .contains("rtmp")
    );
}

#[test]
fn token_with_a_line_break() {
    let error = refused("auth-token", "first-half\nsecond-half");
    assert!(
        error.text().contains("line break after 10 characters"),
        "{}",
        error.text()
    );
    assert!(
        !format!("{error:?}").contains("half"),
        "the token is not shown"
    );
}

#[test]
fn redirect_hosts_that_are_no_hosts() {
    assert!(
        refused("redirect-hosts", "https://a.example/")
            .text()
            .contains("https://a.example/")
    );
}

#[test]
fn stun_server_without_scheme() {
    refused("stun-server", "stun.example.net:3478");
}

#[test]
fn turn_server_without_scheme() {
    refused("turn-server", "turn.example.net:3478");
}

#[test]
fn bit_rates_that_contradict_each_other() {
    // max-bitrate is 8000000.
    let error = refused("min-bitrate", 9_000_000_u32);
    assert!(error.text().contains("max-bitrate"), "{}", error.text());
    for outside in [100_000_u32, 9_000_000] {
        let error = refused("start-bitrate", outside);
        assert!(error.text().contains("min-bitrate"), "{}", error.text());
    }
}

#[test]
fn no_token_for_an_ivs_endpoint() {
    // The endpoint is the default. Nothing is sent, since the check comes first.
    let mut publisher = Publisher::new(AUDIO);
    assert!(!publisher.try_play());
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::Settings));
    assert!(error.text().contains("IVS_STAGE_TOKEN"), "{}", error.text());
    publisher.stop();
}

#[test]
fn token_file_that_is_not_there() {
    let stage = stage();
    let mut publisher = Publisher::new(AUDIO);
    publisher
        .whip
        .set_property("whip-endpoint", stage.endpoint());
    publisher
        .whip
        .set_property("auth-token-file", "/nowhere/token");
    publisher.play();
    let error = publisher.wait_error();
    assert!(error.is(gst::ResourceError::Settings), "{error:?}");
    assert!(error.text().contains("/nowhere/token"), "{}", error.text());
    assert!(stage.sessions().is_empty());
}

#[test]
fn token_file_is_used_when_no_token_is_set() {
    let stage = stage();
    let path = std::env::temp_dir().join(format!("ivswhipsink-token-{}", std::process::id()));
    std::fs::write(&path, stage.token() + "\n").unwrap();
    let mut publisher = Publisher::new(AUDIO);
    publisher
        .whip
        .set_property("whip-endpoint", stage.endpoint());
    publisher
        .whip
        .set_property("auth-token-file", path.to_str().unwrap());
    publisher.play();
    publisher.wait_state("publishing");
    publisher.stop();
    std::fs::remove_file(path).unwrap();
}

#[test]
fn properties_may_change_in_ready() {
    let stage = stage();
    let mut publisher = Publisher::new(AUDIO);
    publisher.pipeline.set_state(gst::State::Ready).unwrap();
    publisher
        .whip
        .set_property("whip-endpoint", stage.endpoint());
    publisher.whip.set_property("auth-token", stage.token());
    publisher.play();
    publisher.wait_state("publishing");
}

#[test]
fn a_bad_token_while_running_leaves_the_old_one_in_force() {
    let stage = stage();
    let mut publisher = Publisher::to_stage(AUDIO, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    publisher.whip.set_property("auth-token", "two\nlines");
    assert!(publisher.wait_warning().contains("stays in use"));
    publisher.stop();
    assert_eq!(stage.live_sessions(), 0);
}

#[test]
fn plain_http_to_another_host_is_tried_with_a_warning() {
    let address = own_address();
    let listener = TcpListener::bind((address, 0)).unwrap();
    let endpoint = format!("http://{}/whip", listener.local_addr().unwrap());
    drop(listener);
    let mut publisher = Publisher::to_endpoint(AUDIO, &endpoint);
    publisher.play();
    assert!(publisher.wait_warning().contains("unencrypted"));
    let error = publisher.wait_error();
    assert!(
        error.text().contains("connection refused"),
        "{}",
        error.text()
    );
}

/// An address of this machine that is not loopback. Connecting a UDP socket
/// sends nothing; it makes the system choose a route.
pub fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").unwrap();
    socket.local_addr().unwrap().ip()
}
