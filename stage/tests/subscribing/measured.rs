//! A stage in a process of its own, which can be measured.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::common::{Publisher, post, request};

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
        std::thread::spawn(move || lines.for_each(drop));
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
        publisher.connect();
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
        viewer.connect();
        viewer
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
