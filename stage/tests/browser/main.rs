//! The page in a real browser, and a browser as publisher. They need Chromium:
//! `make test-browser` installs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod chromium;
mod site;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use chromium::{BOUND, Browser, Tab};
use ivs_stage::{Ending, Happening, Kind, Rules, SessionReport, Stage, TokenWish};
use site::Site;

/// Publishes the browser's camera and microphone as any WHIP page would: it
/// follows the redirect, and repeats the POST where the browser has dropped the
/// token on its way to another host, as AWS's SDK does.
const PUBLISH: &str = r#"(async (endpoint, token) => {
    const camera = await navigator.mediaDevices.getUserMedia({
        audio: true, video: { width: 640, height: 360, frameRate: 30 },
    });
    const peer = new RTCPeerConnection();
    for (const track of camera.getTracks()) {
        const sender = peer.addTransceiver(track, { direction: "sendonly", streams: [camera] });
        if (track.kind === "video") {
            const all = RTCRtpSender.getCapabilities("video").codecs;
            sender.setCodecPreferences(all.filter((codec) => codec.mimeType === "video/H264"));
        }
    }
    await peer.setLocalDescription();
    const request = {
        method: "POST", body: peer.localDescription.sdp,
        headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/sdp" },
    };
    let reply = await fetch(endpoint, request);
    if (reply.status === 403 && reply.redirected) {
        reply = await fetch(reply.url, request);
    }
    if (reply.status !== 201) {
        throw new Error(`${reply.status}: ${await reply.text()}`);
    }
    await peer.setRemoteDescription({ type: "answer", sdp: await reply.text() });
    window.stop = async () => {
        const session = new URL(reply.headers.get("Location"), reply.url);
        const ended = await fetch(session, { method: "DELETE", headers: request.headers });
        peer.close();
        return ended.status;
    };
    return true;
})"#;

/// What a tab's player has got, as soon as it is enough.
const PLAYED: &str = r#"(async () => {
    const peer = window.peers[window.peers.length - 1];
    const stats = peer ? [...(await peer.getStats()).values()] : [];
    const of = (kind) => stats.find((one) => one.type === "inbound-rtp" && one.kind === kind);
    const [picture, sound] = [of("video"), of("audio")];
    const enough = picture?.framesDecoded > 30 && sound?.totalAudioEnergy > 0.0001;
    const video = document.querySelector("video");
    return enough && !video.paused && video.videoWidth > 0 && {
        frames: picture.framesDecoded, energy: sound.totalAudioEnergy, lost: picture.packetsLost,
        width: picture.frameWidth, height: picture.frameHeight,
    };
})()"#;

/// The value that stands at a plot.
fn plotted(name: &str) -> String {
    format!(
        "[...document.querySelectorAll('.plot')]
            .find((plot) => plot.querySelector('.name').textContent === '{name}')
            .querySelector('.now').textContent"
    )
}

fn stage() -> Stage {
    let rules = Rules {
        page_port: Some(0),
        ..Rules::default()
    };
    Stage::start(rules).unwrap()
}

/// The live session of a test's publisher, as soon as it has sent media.
fn published(stage: &Stage) -> SessionReport {
    let session = stage.wait_for_sessions(BOUND, |sessions| {
        let mut live = sessions.iter().filter(|report| report.ended.is_none());
        live.find(|report| report.packets(Kind::Video) > 0).cloned()
    });
    session.expect("a publisher")
}

/// Looks at a publisher's card, and at what the browser plays of it.
fn check_card(browser: &mut Browser, page: &Tab, report: &SessionReport, title: &str) {
    let shown = format!("document.querySelector('article h2')?.textContent === '{title}'");
    browser.wait_for(page, &shown);
    let facts = browser.evaluate(page, "document.querySelector('article .facts').textContent");
    let facts = facts.as_str().unwrap();
    assert!(facts.contains(&report.participant), "{facts}");
    // A browser lets sound start with a click only; muted, it measures none.
    let sound = "document.querySelector('.sound')";
    browser.evaluate(page, &format!("{sound}.click()"));
    let pressed = format!("{sound}.getAttribute('aria-pressed')");
    assert_eq!(browser.evaluate(page, &pressed), "true");
    let played = browser.wait_for(page, PLAYED);
    println!("played: {played}");
    assert_eq!(
        (&played["width"], &played["height"]),
        (&640.into(), &360.into())
    );
    check_numbers(browser, page);
}

fn check_numbers(browser: &mut Browser, page: &Tab) {
    let rate = plotted("Bit rate");
    let first = browser.wait_for(page, &format!("/^[1-9].*bit/.test({rate}) && {rate}"));
    let first = first.as_str().unwrap();
    browser.wait_for(page, &format!("{rate} !== '{first}'"));
    browser.wait_for(page, &format!("parseFloat({}) > 5", plotted("Frames/s")));
    browser.wait_for(page, &format!("{} === '640×360'", plotted("Size")));
    let words = "[...document.querySelectorAll('.plot svg')]
        .every((plot) => plot.getAttribute('aria-label').includes('last two minutes'))";
    assert_eq!(browser.evaluate(page, words), true);
}

#[test]
#[ignore = "needs Chromium: make test-browser"]
fn a_browser_publishes_and_the_page_plays_it() {
    let stage = stage();
    let site = Site::start();
    let mut browser = Browser::start("page");
    let page = browser.open(&stage.page().unwrap());
    browser.wait_for(
        &page,
        "document.querySelector('#invitation-title').textContent === 'Nobody publishes'",
    );
    let command = "document.querySelector('#command').textContent";
    let command = browser.wait_for(
        &page,
        &format!("{command}.includes('ivswhipsink') && {command}"),
    );
    assert!(command.as_str().unwrap().contains(&stage.endpoint()));

    let user_id = "<b>radio</b> & co";
    let wish = TokenWish {
        user_id: Some(user_id.into()),
        ..TokenWish::default()
    };
    let token = stage.mint(wish).unwrap();
    let camera = browser.open(&site.url());
    let publish = format!("{PUBLISH}('{}', '{token}')", stage.endpoint());
    assert_eq!(browser.evaluate(&camera, &publish), true);
    let events = stage.events();
    let mut redirects = events.iter().filter_map(|event| match &event.what {
        Happening::Redirect { authorization, .. } => Some(*authorization),
        _ => None,
    });
    assert_eq!(redirects.next(), Some(true), "{events:?}");
    let report = published(&stage);
    check_card(&mut browser, &page, &report, user_id);

    assert_eq!(browser.evaluate(&camera, "window.stop()"), 200);
    browser.wait_for(&page, "!document.querySelector('article')");
    browser.wait_for(
        &page,
        "document.querySelector('#log').textContent.includes('ended by its DELETE')",
    );
    let ended = &stage.sessions()[0];
    assert_eq!(ended.ended, Some(Ending::Deleted));
    // Where the browser drops the token on the way to another host, the POST gets
    // 403 first; the DELETE of a viewer can come after the publisher's end.
    let expected = ["status of 403", "status of 404"];
    let of_network = |complaint: &String| expected.iter().any(|text| complaint.contains(text));
    browser
        .complaints
        .retain(|complaint| !of_network(complaint));
    assert_eq!(browser.complaints, [""; 0]);
}

#[test]
#[ignore = "needs Chromium and the plugin: make test-browser"]
fn the_page_plays_the_element_and_sees_it_go() {
    let stage = stage();
    let mut browser = Browser::start("element");
    let page = browser.open(&stage.page().unwrap());
    let mut element = publish_by_element(&stage);
    let report = published(&stage);
    check_card(&mut browser, &page, &report, &report.participant);
    let viewed = |event: &Happening| matches!(event, Happening::Subscribed { .. });
    assert!(stage.events().iter().any(|event| viewed(&event.what)));

    element.kill();
    browser.wait_for(
        &page,
        "document.querySelector('article .pill').textContent === 'lost'",
    );
    drop(stage);
    browser.wait_for(
        &page,
        "document.querySelector('#status').textContent === 'stage does not answer'",
    );
}

/// `gst-launch-1.0` with the plugin that lies beside this test's programs.
fn publish_by_element(stage: &Stage) -> Element {
    let built = Path::new(env!("CARGO_BIN_EXE_ivs-stage")).parent().unwrap();
    let plugin = built.join("libgstivs.so");
    assert!(plugin.exists(), "{} is not built", plugin.display());
    let pipeline = format!(
        "ivswhipsink name=whip whip-endpoint={} \
         videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1 \
         ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=600 key-int-max=60 \
         ! video/x-h264,profile=baseline ! rtph264pay config-interval=-1 ! whip.sink_0 \
         audiotestsrc is-live=true ! opusenc ! rtpopuspay ! whip.sink_1",
        stage.endpoint()
    );
    let child = Command::new("gst-launch-1.0")
        .args(pipeline.split_whitespace())
        .env("GST_PLUGIN_PATH", plugins(&plugin))
        .env("IVS_STAGE_TOKEN", stage.token())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Element(child.unwrap())
}

/// A process that ends with the test.
struct Element(Child);

impl Element {
    /// As a machine that loses its power.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// GStreamer searches all below a directory, so the plugin has one of its own.
fn plugins(plugin: &Path) -> PathBuf {
    let directory = plugin.with_file_name("demo");
    std::fs::create_dir_all(&directory).unwrap();
    let link = directory.join("libgstivs.so");
    // The demo makes the same link.
    let _ = std::os::unix::fs::symlink("../libgstivs.so", &link);
    assert!(link.exists());
    directory
}
