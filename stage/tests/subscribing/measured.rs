//! A stage in a process of its own that can be measured, and peers that load it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use str0m::Event;

use crate::common::{Publisher, Reply, exchange, parse};

const FRAME: Duration = Duration::from_micros(33_333);
const FRAME_PACKETS: u64 = 9;
/// Each second.
pub(crate) const PACKETS: f64 = 30.0 * FRAME_PACKETS as f64;

/// Sends frames. On a busy machine it leaves some out, since a burst of late ones
/// would make it busier.
pub(crate) fn send(
    mut publisher: Publisher,
    stop: &Arc<AtomicBool>,
    sent: &Arc<AtomicUsize>,
) -> JoinHandle<()> {
    let (stop, sent) = (Arc::clone(stop), Arc::clone(sent));
    thread::spawn(move || {
        let mut next = Instant::now();
        for number in 0.. {
            if stop.load(Ordering::Relaxed) || !publisher.rtc.is_alive() {
                return;
            }
            publisher.send_large_frame(number, FRAME_PACKETS);
            let before = publisher.sent;
            next = (next + FRAME).max(Instant::now() + FRAME / 3);
            publisher.run_until(next.saturating_duration_since(Instant::now()), |_| false);
            sent.fetch_add(publisher.sent - before, Ordering::Relaxed);
        }
    })
}

/// Counts what a viewer receives.
pub(crate) fn receive(
    mut viewer: Publisher,
    stop: &Arc<AtomicBool>,
    received: &Arc<AtomicUsize>,
) -> JoinHandle<()> {
    let (stop, received) = (Arc::clone(stop), Arc::clone(received));
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) && viewer.rtc.is_alive() {
            let before = viewer.received;
            viewer.run_until(Duration::from_millis(100), |_| false);
            received.fetch_add(viewer.received - before, Ordering::Relaxed);
        }
    })
}

/// For a machine on which much else runs.
const PATIENCE: Duration = Duration::from_secs(60);

fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    parse(&exchange(method, url, headers, body, PATIENCE).unwrap())
}

fn connect(peer: &mut Publisher) {
    assert!(peer.run_until(PATIENCE, |event| matches!(event, Event::Connected)));
}

fn post(url: &str, token: &str, offer: &str) -> Reply {
    let authorization = format!("Bearer {token}");
    let headers = [
        ("Content-Type", "application/sdp"),
        ("Authorization", authorization.as_str()),
    ];
    request("POST", url, &headers, offer)
}

pub(crate) struct Process {
    child: Child,
    regional: String,
    page: String,
}

impl Process {
    pub(crate) fn start() -> Self {
        let built = env!("CARGO_BIN_EXE_ivs-stage").to_owned();
        let program = std::env::var("IVS_STAGE").unwrap_or(built);
        let mut child = Command::new(program)
            .args(["serve", "--page-port", "0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            regional: format!("http://{}/", first["hosts"][1].as_str().unwrap()),
            page: first["page"].as_str().unwrap().to_owned(),
        }
    }

    fn token(&self, name: &str) -> String {
        let tokens = request("POST", &format!("{}tokens.json", self.page), &[], "");
        let tokens: Value = serde_json::from_str(&tokens.body).unwrap();
        tokens[name].as_str().unwrap().to_owned()
    }

    pub(crate) fn publish(&self, publisher: &mut Publisher) {
        let reply = post(&self.regional, &self.token("publish"), &publisher.offer);
        publisher.accept(&reply.body);
        connect(publisher);
    }

    pub(crate) fn watch(&self) -> Publisher {
        let state = request("GET", &format!("{}state.json", self.page), &[], "");
        let state: Value = serde_json::from_str(&state.body).unwrap();
        let participant = state["publishers"][0]["participant"].as_str().unwrap();
        let url = format!("{}subscribe/{participant}", self.regional);
        let mut viewer = Publisher::viewer();
        let reply = post(&url, &self.token("watch"), &viewer.offer);
        assert_eq!(reply.status, 201, "{}", reply.body);
        viewer.accept(&reply.body);
        connect(&mut viewer);
        viewer
    }

    /// How long the stage takes to answer the page.
    pub(crate) fn reply_time(&self) -> Duration {
        let start = Instant::now();
        request("GET", &format!("{}state.json", self.page), &[], "");
        start.elapsed()
    }

    fn read(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap()
    }

    /// User and system time, in ticks of 10 ms (proc(5)).
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = self.read("stat");
        let (_, fields) = stat.rsplit_once(')').unwrap();
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn memory_kb(&self) -> String {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        line.unwrap()
            .replace("VmRSS:", "")
            .replace("kB", "")
            .trim()
            .to_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
