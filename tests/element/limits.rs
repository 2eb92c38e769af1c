//! Media from real encoders that violate the limits of IVS: each limit is one warning,
//! with the setting that cures it. The unit tests in `src/ivs` cover every limit.

use std::io::{Read, Write};
use std::net::TcpStream;

use gst::prelude::*;
use ivs_stage::{Kind, Rules, SessionReport, Stage};

use crate::common::{Reply, Server};
use crate::harness::{BOUND, Publisher, stage};

const OPUS: &str = "! opusenc ! rtpopuspay ! whip. ";
const H264: &str =
    "! video/x-h264,profile=constrained-baseline ! rtph264pay name=video-pay ! whip. ";

fn audio(rest: &str) -> String {
    format!("audiotestsrc is-live=true {rest}")
}

fn video(size: &str, rate: u32, rest: &str) -> String {
    let (width, height) = size.split_once('x').unwrap();
    format!(
        "videotestsrc is-live=true name=source ! video/x-raw,width={width},height={height},\
         framerate={rate}/1 ! {rest}"
    )
}

/// A warning of a limit violation.
#[derive(Debug, PartialEq, Eq)]
struct Warning {
    limit: String,
    encoder: Option<String>,
    text: String,
}

fn limit_warning(message: &gst::Message) -> Option<Warning> {
    let gst::MessageView::Warning(warning) = message.view() else {
        return None;
    };
    let details = warning.details()?;
    let limit = details.get("limit").ok()?;
    assert!(warning.error().matches(gst::StreamError::Format));
    Some(Warning {
        limit,
        encoder: details.get("encoder").ok(),
        text: warning.error().message().to_owned(),
    })
}

fn end(publisher: &mut Publisher) -> Vec<Warning> {
    publisher.pipeline.send_event(gst::event::Eos::new());
    publisher.wait_eos();
    all(publisher)
}

fn all(publisher: &mut Publisher) -> Vec<Warning> {
    let mut all: Vec<_> = publisher
        .messages()
        .iter()
        .filter_map(limit_warning)
        .collect();
    all.sort_by(|one, other| one.limit.cmp(&other.limit));
    all
}

fn names(warnings: &[Warning]) -> Vec<&str> {
    warnings
        .iter()
        .map(|warning| warning.limit.as_str())
        .collect()
}

/// Expects exactly one warning, with this limit, encoder and words.
fn expect_one(launch: &str, limit: &str, encoder: &str, words: &[&str]) {
    let stage = stage();
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait("warning of a limit", limit_warning);
    let warnings = end(&mut publisher);
    assert_eq!(names(&warnings), [limit], "{warnings:#?}");
    let warning = &warnings[0];
    assert_eq!(warning.encoder.as_deref(), Some(encoder));
    for words in words {
        assert!(warning.text.contains(words), "{}", warning.text);
    }
}

fn wait_seconds_of_media(stage: &Stage, seconds: u64) {
    let enough = |sessions: &[SessionReport]| {
        let audio = sessions.first()?.section(Kind::Audio)?;
        (audio.last_ms? >= audio.first_ms? + seconds * 1000).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, enough)
        .expect("media for a while");
}

#[test]
fn good_audio_and_video_warn_of_nothing() {
    let stage = stage();
    let good = video(
        "320x240",
        25,
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 bitrate=300 ",
    );
    let launch = format!("{good} {H264} {}", audio(OPUS));
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    publisher.wait_state("publishing");
    // Longer than the longest measurement and two checks of it.
    wait_seconds_of_media(&stage, 7);
    assert_eq!(end(&mut publisher), []);
}

#[test]
fn fewer_than_160_lines() {
    let encoder = format!("x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 {H264}");
    expect_one(
        &video("160x120", 20, &encoder),
        "size-small",
        "x264enc",
        &[
            "160x120 pixels",
            "width=640,height=360 ahead of the encoder",
        ],
    );
}

#[test]
fn key_frame_every_ten_seconds() {
    let encoder = format!(
        "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=200 \
         option-string=scenecut=0 bitrate=300 {H264}"
    );
    expect_one(
        &video("320x240", 20, &encoder),
        "key-frame-distance",
        "x264enc",
        &[
            "s without a key frame, and IVS asks for one every 1 to 2 s",
            "Set x264enc key-int-max=",
        ],
    );
}

/// Nothing of x264enc would help, which the element sets.
#[test]
fn raw_video_that_is_slower_than_its_caps_say() {
    let stage = stage();
    let slow = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=4/1 \
                ! capssetter caps=video/x-raw,framerate=30/1 ! whip. ";
    let mut publisher = Publisher::to_stage(slow, &stage);
    publisher.whip.set_property("video-encoder", "x264enc");
    publisher.play();
    let low = |message: &gst::Message| {
        limit_warning(message).filter(|warning| warning.limit == "frame-rate-low")
    };
    let warning = publisher.wait("warning of the frame rate", low);
    assert_eq!(warning.encoder.as_deref(), Some("x264enc"));
    let words = "The source or this machine is too slow";
    assert!(warning.text.contains(words), "{}", warning.text);
}

/// They pass as they are, and not silently.
#[test]
fn encoded_video_of_another_profile_and_with_b_frames() {
    let stage = stage();
    let encoded = video(
        "320x240",
        20,
        "x264enc speed-preset=ultrafast bframes=2 b-adapt=false key-int-max=20 bitrate=300 \
         ! video/x-h264,profile=main ! whip. ",
    );
    let mut publisher = Publisher::to_stage(&encoded, &stage);
    publisher.play();
    let two = [(); 2].map(|()| publisher.wait("warning of a limit", limit_warning));
    let mut limits = names(&two);
    limits.sort_unstable();
    assert_eq!(limits, ["b-frames", "profile"]);
    let is_x264 = |warning: &Warning| warning.encoder.as_deref() == Some("x264enc");
    assert!(two.iter().all(is_x264), "{two:#?}");
}

#[test]
fn opus_of_256_kilobits() {
    let noise = audio("wave=white-noise ! opusenc bitrate=256000 ! rtpopuspay ! whip. ");
    expect_one(
        &noise,
        "audio-bit-rate",
        "opusenc",
        &[
            "kbit/s, and IVS asks for 160 kbit/s at most",
            "Set opusenc bitrate=128000 (bit/s).",
        ],
    );
}

/// The warning comes before the stage's reply, so it does not matter here whether the
/// stage accepts the codec.
fn codec_warning(launch: &str) -> Warning {
    let stage = stage();
    let mut publisher = Publisher::to_stage(launch, &stage);
    publisher.play();
    publisher.wait("warning of a codec", limit_warning)
}

#[test]
fn audio_that_is_not_opus() {
    let warning = codec_warning(&audio("! mulawenc ! rtppcmupay ! whip. "));
    assert_eq!(warning.limit, "audio-codec");
    assert_eq!(
        warning.text,
        "The audio is PCMU, and IVS accepts only Opus: expect a refusal. Link raw audio, which the \
         element encodes, or Opus of opusenc."
    );
}

#[test]
fn video_that_is_not_h264() {
    let warning = codec_warning(&video(
        "320x240",
        20,
        "vp8enc deadline=1 ! rtpvp8pay ! whip. ",
    ));
    assert_eq!(warning.limit, "video-codec");
    assert_eq!(warning.encoder.as_deref(), Some("vp8enc"));
    assert!(
        warning
            .text
            .contains("Link raw video, which the element encodes"),
        "{}",
        warning.text
    );
}

#[test]
fn each_cause_is_told_once_also_by_the_sessions_that_follow() {
    let stage = stage();
    let encoder = format!("x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 {H264}");
    let launch = format!("{} {}", video("160x120", 20, &encoder), audio(OPUS));
    let mut publisher = Publisher::to_stage(&launch, &stage);
    publisher.play();
    publisher.wait("warning of a limit", limit_warning);
    stage.close_sessions();
    publisher.wait_state("retrying");
    publisher.wait_state("publishing");
    let enough = |sessions: &[SessionReport]| {
        let audio = sessions.get(1)?.section(Kind::Audio)?;
        (audio.last_ms? >= audio.first_ms? + 3000).then_some(())
    };
    stage
        .wait_for_sessions(BOUND, enough)
        .expect("media in the second session");
    assert_eq!(names(&end(&mut publisher)), ["size-small"]);
}

#[test]
fn a_new_run_tells_it_anew() {
    let stage = stage();
    let launch = audio("! mulawenc ! rtppcmupay ! whip. ");
    let mut publisher = Publisher::to_stage(&launch, &stage);
    for _ in 0..2 {
        publisher.play();
        publisher.wait("warning of a codec", limit_warning);
        publisher.stop();
    }
}

/// Posts an offer to a stage, with one of its tokens, and returns the answer.
fn answer_of(endpoint: &str, token: &str, offer: &str) -> String {
    let host = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{offer}",
        offer.len()
    )
    .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("HTTP/1.1 201"), "{reply}");
    reply.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_server_that_is_not_ivs_has_limits_of_its_own() {
    let rules = Rules {
        hops: 0,
        ..Rules::default()
    };
    let stage = Stage::start(rules).unwrap();
    let (endpoint, token) = (stage.endpoint(), stage.token());
    // A server in front of the stage. The publisher's token is no JWT, so nothing shows
    // that there is a stage.
    let server = Server::start("127.0.0.1", move |request| match request.method.as_str() {
        "POST" => Reply::new(201)
            .header("Content-Type", "application/sdp")
            .header("Location", "/session")
            .body(answer_of(&endpoint, &token, &request.body))
            .into(),
        _ => Reply::new(200).into(),
    });
    let encoder = format!("x264enc tune=zerolatency speed-preset=ultrafast key-int-max=20 {H264}");
    let launch = format!("{} {}", video("160x120", 20, &encoder), audio(OPUS));
    let mut publisher = Publisher::to_endpoint(&launch, &server.url("/whip"));
    publisher.play();
    publisher.wait_state("publishing");
    wait_seconds_of_media(&stage, 3);
    assert_eq!(end(&mut publisher), []);
}

#[test]
fn a_codec_is_no_matter_either_where_the_server_is_not_ivs() {
    let server = Server::start("127.0.0.1", |_| Reply::new(403).into());
    let launch = audio("! mulawenc ! rtppcmupay ! whip. ");
    let mut publisher = Publisher::to_endpoint(&launch, &server.url("/whip"));
    publisher.play();
    publisher.wait_error();
    assert_eq!(all(&mut publisher), []);
}
