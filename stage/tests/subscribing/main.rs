//! Viewers of a publisher, as IVS has them: POST to its participant id, media,
//! DELETE.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod measured;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::{BOUND, Publisher, delete, happened, post, regional, request, session_is};
use ivs_stage::{Happening, Limits, Rules, Stage, TokenWish, ViewerEnding};
use str0m::Event;
use str0m::media::Direction;

/// A publisher that sends 30 frames a second, and a key frame when it is asked.
struct Live {
    participant: String,
    session: String,
    token: String,
    stop: Arc<AtomicBool>,
    key_frames: Receiver<Instant>,
    thread: Option<JoinHandle<()>>,
}

impl Live {
    fn start(stage: &Stage) -> Self {
        Self::with_token(stage, &stage.token())
    }

    fn with_token(stage: &Stage, token: &str) -> Self {
        let mut publisher = Publisher::with_video(Direction::SendOnly);
        let session = publisher.publish(stage, token);
        let participant = stage.sessions().last().unwrap().participant.clone();
        let stop = Arc::new(AtomicBool::new(false));
        let (asked, key_frames) = channel();
        let thread = thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                let (mut number, mut answered) = (0, 0);
                while !stop.load(Ordering::Relaxed) && publisher.rtc.is_alive() {
                    publisher.send_audio_packet(number);
                    publisher.run_until(Duration::from_millis(30), |_| false);
                    let wanted = publisher.asked > answered;
                    for _ in answered..publisher.asked {
                        let _ = asked.send(Instant::now());
                    }
                    answered = publisher.asked;
                    publisher.send_numbered(number, wanted || number == 0);
                    number += 1;
                }
            }
        });
        Self {
            participant,
            session,
            token: token.to_owned(),
            stop,
            key_frames,
            thread: Some(thread),
        }
    }

    fn url(&self, stage: &Stage) -> String {
        format!("{}subscribe/{}", regional(stage), self.participant)
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// A viewer that is connected, and its session's URL.
fn watch(stage: &Stage, live: &Live) -> (Publisher, String) {
    let mut viewer = Publisher::viewer();
    let reply = post(&live.url(stage), &stage.token(), &viewer.offer);
    assert_eq!(reply.status, 201, "{}", reply.body);
    assert!(reply.body.contains("a=sendonly"), "{}", reply.body);
    viewer.accept(&reply.body);
    viewer.connect();
    (viewer, reply.header("location").unwrap().to_owned())
}

/// A packet as a viewer got it.
#[derive(Debug)]
struct Got {
    video: bool,
    sequence: u64,
    timestamp: u32,
    first: u8,
}

/// The packets that arrive until `enough` of them are there.
fn received(viewer: &mut Publisher, enough: impl Fn(&[Got]) -> bool) -> Vec<Got> {
    let mut got = Vec::new();
    let done = viewer.run_until(BOUND, |event| {
        if let Event::RtpPacket(packet) = event {
            got.push(Got {
                video: packet.payload.len() < 80,
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
                first: packet.payload.first().copied().unwrap_or(0),
            });
        }
        enough(&got)
    });
    assert!(done, "{} packets: {:?}", got.len(), got.last());
    got
}

fn video(got: &[Got]) -> Vec<&Got> {
    got.iter().filter(|one| one.video).collect()
}

fn left(stage: &Stage, wanted: ViewerEnding) -> bool {
    happened(
        stage,
        |event| matches!(event, Happening::Unsubscribed { reason, .. } if *reason == wanted),
    )
}

#[test]
fn a_viewer_gets_sound_and_picture_from_a_key_frame_on() {
    let stage = Stage::start(Rules::default()).unwrap();
    let live = Live::start(&stage);
    let (mut viewer, session) = watch(&stage, &live);
    let got = received(&mut viewer, |got| {
        video(got).len() > 40 && got.len() - video(got).len() > 40
    });
    let pictures = video(&got);
    assert!(pictures.iter().any(|one| one.first == 0x78), "no key frame");
    for pair in pictures.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        assert_eq!(pair[1].timestamp, pair[0].timestamp + 3000);
    }

    assert_eq!(delete(&session, &live.token).status, 200);
    assert!(left(&stage, ViewerEnding::Deleted));
    assert!(viewer.run_until(BOUND, |event| matches!(event, Event::Closed)));
    assert_eq!(delete(&session, &live.token).status, 404);
    assert_eq!(stage.live_sessions(), 1);
}

#[test]
fn many_viewers_are_one_wish_for_a_key_frame_each_second() {
    let stage = Stage::start(Rules::default()).unwrap();
    let live = Live::start(&stage);
    let start = Instant::now();
    let mut viewers: Vec<_> = (0..8).map(|_| watch(&stage, &live).0).collect();
    for viewer in &mut viewers {
        received(viewer, |got| got.iter().any(|one| one.first == 0x78));
    }
    // Whatever they lose: each viewer that lost much of its video wants one too.
    for _ in 0..30 {
        for viewer in &mut viewers {
            viewer.want_key_frame();
            received(viewer, |got| !got.is_empty());
        }
    }
    // The first one is the stage's own, for the connection.
    let most = 2 + start.elapsed().as_millis() / 1000;
    let requests = live.key_frames.try_iter().count() as u128;
    assert!((1..=most).contains(&requests), "{requests} of {most}");
}

#[test]
fn of_simulcast_layers_a_viewer_gets_the_first_one_and_its_key_frames() {
    let stage = Stage::start(Rules::default()).unwrap();
    let mut publisher = Publisher::with_layers(&["high", "low"]);
    publisher.publish(&stage, &stage.token());
    let participant = stage.sessions()[0].participant.clone();
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), channel());
    let sending = thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let mut number = 0;
            while !stop.load(Ordering::Relaxed) && publisher.rtc.is_alive() {
                publisher.send_layer("low", number, &[0x41, 2]);
                publisher.send_layer("high", number, &[0x41, 1]);
                number += 1;
                publisher.run_until(Duration::from_millis(30), |event| {
                    if let Event::KeyframeRequest(request) = event {
                        let _ = asked.0.send(request.rid.map(|rid| rid.to_string()));
                    }
                    false
                });
            }
        }
    });
    let url = format!("{}subscribe/{participant}", regional(&stage));
    let mut viewer = Publisher::viewer();
    let reply = post(&url, &stage.token(), &viewer.offer);
    viewer.accept(&reply.body);
    viewer.connect();
    let mut layers = Vec::new();
    let enough = viewer.run_until(BOUND, |event| {
        if let Event::RtpPacket(packet) = event {
            layers.push(packet.payload[1]);
        }
        layers.len() >= 60
    });
    stop.store(true, Ordering::Relaxed);
    sending.join().unwrap();
    assert!(
        enough && layers.iter().all(|layer| *layer == 1),
        "{layers:?}"
    );
    let asked: Vec<_> = asked.1.try_iter().collect();
    let high = Some("high".to_owned());
    assert!(
        !asked.is_empty() && asked.iter().all(|rid| *rid == high),
        "{asked:?}"
    );
}

#[test]
fn what_a_viewer_missed_is_sent_again() {
    let stage = Stage::start(Rules::default()).unwrap();
    let live = Live::start(&stage);
    let (mut viewer, _) = watch(&stage, &live);
    received(&mut viewer, |got| video(got).len() > 5);
    viewer.misses = 4;
    let got = received(&mut viewer, |got| video(got).len() > 30);
    let mut numbers: Vec<u64> = video(&got).iter().map(|one| one.sequence).collect();
    let in_order = numbers.is_sorted();
    numbers.sort_unstable();
    let whole = numbers.windows(2).all(|pair| pair[1] == pair[0] + 1);
    assert!(whole && !in_order, "{numbers:?}");
}

#[test]
fn a_viewer_that_vanishes_harms_nobody() {
    // Long enough to connect on a busy machine.
    let patience = Duration::from_secs(5);
    let stage = Stage::start(Rules {
        patience,
        ..Rules::default()
    })
    .unwrap();
    let live = Live::start(&stage);
    let (mut stays, _) = watch(&stage, &live);
    let (mut vanishes, _) = watch(&stage, &live);
    vanishes.rtc.disconnect();
    drop(vanishes);
    // One that posts and never connects.
    let reply = post(
        &live.url(&stage),
        &stage.token(),
        &Publisher::viewer().offer,
    );
    assert_eq!(reply.status, 201);
    let gone = |events: &[ivs_stage::Event]| {
        let lost = events.iter().filter(|event| {
            let lost = ViewerEnding::ViewerLost;
            matches!(event.what, Happening::Unsubscribed { reason, .. } if reason == lost)
        });
        (lost.count() == 2).then_some(())
    };
    let end = Instant::now() + Duration::from_secs(60);
    let mut done = false;
    while !done && Instant::now() < end {
        received(&mut stays, |got| got.len() > 20);
        done = gone(&stage.events()).is_some();
    }
    assert!(done, "{:?}", stage.events().last());
    assert_eq!(stage.live_sessions(), 1);
}

#[test]
fn a_publisher_that_goes_ends_its_viewers() {
    let stage = Stage::start(Rules::default()).unwrap();
    let live = Live::start(&stage);
    let (mut viewer, session) = watch(&stage, &live);
    received(&mut viewer, |got| got.len() > 5);
    assert_eq!(delete(&live.session, &live.token).status, 200);
    assert!(viewer.run_until(BOUND, |event| matches!(event, Event::Closed)));
    assert!(left(&stage, ViewerEnding::PublisherLeft));
    assert_eq!(delete(&session, &live.token).status, 404);
    let reply = post(
        &live.url(&stage),
        &stage.token(),
        &Publisher::viewer().offer,
    );
    assert_eq!(reply.status, 404);
}

#[test]
fn viewers_stay_when_a_new_session_replaces_the_old_one() {
    let stage = Stage::start(Rules::default()).unwrap();
    let token = stage.token();
    let old = Live::with_token(&stage, &token);
    let (mut viewer, _) = watch(&stage, &old);
    let before = received(&mut viewer, |got| video(got).len() > 20);
    let new = Live::with_token(&stage, &token);
    assert_eq!(old.participant, new.participant);
    let after = received(&mut viewer, |got| {
        video(got).iter().filter(|one| one.first == 0x78).count() > 0 && video(got).len() > 60
    });
    let all = [video(&before), video(&after)].concat();
    for pair in all.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence + 1);
        assert!(pair[1].timestamp > pair[0].timestamp);
    }
    // The end of the old one is nothing to the viewer.
    assert_eq!(delete(&old.session, &token).status, 200);
    assert!(session_is(&stage, |report| report.ended.is_some()));
    received(&mut viewer, |got| got.len() > 30);
}

#[test]
fn a_subscription_that_can_not_be_is_refused_as_ivs_refuses() {
    let stage = Stage::start(Rules::default()).unwrap();
    let live = Live::start(&stage);
    let (url, token, offer) = (live.url(&stage), stage.token(), Publisher::viewer().offer);
    let deaf = stage
        .mint(TokenWish {
            allow_subscribe: false,
            ..TokenWish::default()
        })
        .unwrap();
    let nobody = format!("{}subscribe/nobody", regional(&stage));
    let odd = format!("{}subscribe/a/b%20c", regional(&stage));
    let no_section = "v=0\r\ns=-\r\n".to_owned();
    let data = format!("{no_section}m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n");
    let sends = Publisher::with_video(Direction::SendOnly).offer;
    let many = offer.clone() + &"m=audio 9 X 0\r\na=recvonly\r\n".repeat(100);
    let long = format!("{offer}a=x:{}\r\n", "x".repeat(1_000_000));
    for (url, token, offer, status, code) in [
        (&nobody, &token, &offer, 404, 2004),
        (&odd, &token, &offer, 404, 2004),
        (&url, &"x".to_owned(), &offer, 403, 2003),
        (&url, &deaf, &offer, 403, 2003),
        (&url, &token, &no_section, 400, 2001),
        (&url, &token, &data, 400, 2001),
        (&url, &token, &sends, 400, 2001),
        (&url, &token, &many, 400, 2001),
    ] {
        let reply = post(url, token, offer);
        let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
        assert_eq!((reply.status, body["code"].as_u64()), (status, Some(code)));
        assert!(!reply.body.contains("publisher"), "{}", reply.body);
    }
    assert_eq!(post(&url, &token, &long).status, 400);
    let sdp = [("Content-Type", "application/sdp")];
    assert_eq!(request("POST", &url, &sdp, &offer).status, 403);
    assert_eq!(request("POST", &url, &[], &offer).status, 415);
    let text = format!("{:?}", stage.events());
    assert!(
        text.contains("101 sections") || text.contains("102 sections"),
        "{text}"
    );
    assert_eq!(post(&url, &token, &offer).status, 201);
}

#[test]
fn of_two_hundred_viewers_those_above_the_limit_are_told_so_and_harm_nobody() {
    let stage = Stage::start(Rules {
        // Most of them never connect; none is given up while the test runs.
        patience: Duration::from_secs(600),
        ..Rules::default()
    })
    .unwrap();
    let live = Live::start(&stage);
    let (mut first, session) = watch(&stage, &live);
    let offer = Publisher::viewer().offer;
    let limit = Limits::default().viewers;
    for number in 2..=200 {
        let reply = post(&live.url(&stage), &live.token, &offer);
        if number <= limit {
            assert_eq!(reply.status, 201);
        } else {
            // As IVS for a stage at capacity.
            let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap();
            assert_eq!((reply.status, body["code"].as_u64()), (400, Some(2005)));
            let told = body["message"].as_str().unwrap();
            assert!(told.contains(&format!("{limit} viewers")), "{told}");
        }
        first.run_until(Duration::from_millis(1), |_| false);
    }
    received(&mut first, |got| video(got).len() > 20);
    assert_eq!(delete(&session, &live.token).status, 200);
    let reply = post(&live.url(&stage), &live.token, &offer);
    assert_eq!(reply.status, 201, "{}", reply.body);
}

#[test]
fn a_page_of_another_origin_may_subscribe() {
    let stage = Stage::start(Rules::default()).unwrap();
    let live = Live::start(&stage);
    let origin = ("Origin", "http://localhost:3000");
    let preflight = [
        origin,
        ("Access-Control-Request-Method", "POST"),
        (
            "Access-Control-Request-Headers",
            "authorization,content-type",
        ),
    ];
    let global = format!("{}subscribe/{}", stage.endpoint(), live.participant);
    for url in [&global, &live.url(&stage)] {
        let reply = request("OPTIONS", url, &preflight, "");
        assert_eq!(reply.status, 200);
        assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
        let allowed = reply.header("access-control-allow-headers");
        assert_eq!(allowed, Some("authorization,content-type"));
        let methods = reply.header("access-control-allow-methods").unwrap();
        assert!(methods.contains("POST") && methods.contains("DELETE"));
    }
    let reply = request("POST", &global, &[origin], "");
    assert_eq!(reply.status, 307);
    assert_eq!(reply.header("location"), Some(live.url(&stage).as_str()));
    let reply = request("POST", &live.url(&stage), &[origin], "");
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    // `*` shows every header where there are no credentials.
    assert_eq!(reply.header("access-control-expose-headers"), Some("*"));
}

/// Prints what 20 viewers of a 720p30 publisher (2.5 Mbit/s) cost the stage, what
/// reached them, and how long the stage took to answer meanwhile. The environment
/// variable `IVS_STAGE` names another program than this build's.
#[test]
#[ignore = "measures; prints processor time and memory"]
#[expect(clippy::print_stdout, reason = "its result")]
fn what_twenty_viewers_cost() {
    let stage = measured::Process::start();
    let mut publisher = Publisher::with_video(Direction::SendOnly);
    stage.publish(&mut publisher);
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicUsize::new(0));
    let received = Arc::new(AtomicUsize::new(0));
    let mut threads = vec![measured::send(publisher, &stop, &sent)];
    for count in [0, 20] {
        while threads.len() <= count {
            threads.push(measured::receive(stage.watch(), &stop, &received));
        }
        let counts = || [&sent, &received].map(|count| count.load(Ordering::Relaxed));
        let (before, cpu, start) = (counts(), stage.processor_time(), Instant::now());
        let mut slowest = Duration::ZERO;
        while start.elapsed() < Duration::from_secs(15) {
            thread::sleep(Duration::from_millis(500));
            slowest = slowest.max(stage.reply_time());
        }
        let (used, time) = (stage.processor_time() - cpu, start.elapsed().as_secs_f64());
        let after = counts();
        let [sent, received] = [0, 1].map(|place| (after[place] - before[place]) as f64 / time);
        println!(
            "{count} viewers: {:.1} % of a core, {} kB; {sent:.0} packets/s from the publisher, \
             {received:.0} to the viewers; an HTTP reply after {slowest:.1?} at most",
            used.as_secs_f64() / time * 100.0,
            stage.memory_kb()
        );
        // With fewer it is the machine that was measured.
        assert!(sent > 0.95 * measured::PACKETS, "the machine was too busy");
        assert!(
            received >= 0.95 * sent * count as f64,
            "the machine was too busy"
        );
    }
    stop.store(true, Ordering::Relaxed);
    threads.into_iter().for_each(|one| one.join().unwrap());
}
