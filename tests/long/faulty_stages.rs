//! Stages with random faults, in their own process. A gateway refuses a POST, leaves
//! it without an answer, or redirects it to one of the stages; these close their
//! sessions, freeze and lose media packets.

use std::env;
use std::io::{BufRead, BufReader, Read, Write, stderr, stdin, stdout};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ivs_stage::{Ending, Event, Happening, Rules, Stage};
use serde_json::{Value, json};

use crate::common::{Action, Reply, Request, Server, redirect};
use crate::random::Random;

const SEED: &str = "IVSWHIPSINK_TEST_FAULTS";
const STAGES: usize = 4;
/// How long a stage keeps a session whose publisher it does not hear.
const PATIENCE: Duration = Duration::from_secs(8);
/// Longer than any publisher's `silence-timeout`.
const SILENCE: Duration = Duration::from_secs(9);
/// Above the patience, and above a frozen stage's backlog.
const END_BOUND: Duration = Duration::from_secs(40);

/// The stages, seen from the publishers' process.
pub struct FaultyStages {
    pub endpoint: String,
    pub token: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: BufReader<ChildStdout>,
}

/// What became of the sessions.
#[derive(Debug)]
pub struct Report {
    pub live: u64,
    pub created: u64,
    pub deleted: u64,
    /// Ended by the faults that were played.
    pub closed: u64,
    /// Ended by the stage, since nothing came from the publisher.
    pub abandoned: u64,
    pub refused: u64,
    /// How often each fault was played.
    pub frozen: u64,
    pub deaf: u64,
    pub closings: u64,
}

impl FaultyStages {
    pub fn start(seed: u64) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["faulty_stages::serve", "--exact", "--ignored"])
            .arg("--nocapture")
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let first = next_report(&mut lines);
        let text = |name: &str| first[name].as_str().unwrap().to_owned();
        Self {
            endpoint: text("endpoint"),
            token: text("token"),
            child,
            stdin,
            lines,
        }
    }

    /// Plays no more faults, waits for the end of every session, and reports.
    pub fn end(mut self) -> Report {
        drop(self.stdin.take());
        let last = next_report(&mut self.lines);
        let count = |name: &str| last[name].as_u64().unwrap();
        Report {
            live: count("live"),
            created: count("created"),
            deleted: count("deleted"),
            closed: count("closed"),
            abandoned: count("abandoned"),
            refused: count("refused"),
            frozen: count("frozen"),
            deaf: count("deaf"),
            closings: count("closings"),
        }
    }
}

impl Drop for FaultyStages {
    fn drop(&mut self) {
        // Both fail if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The next line of JSON; the test runner prints lines of its own.
fn next_report(lines: &mut impl BufRead) -> Value {
    let mut lines = lines.lines().map(Result::unwrap);
    let line = lines.find(|line| line.starts_with('{'));
    serde_json::from_str(&line.expect("a line of the stages' process")).unwrap()
}

#[test]
#[ignore = "the process of the stages: make test-long"]
fn serve() {
    let Ok(seed) = env::var(SEED) else { return };
    let mut random = Random::new(seed.parse().unwrap());
    let (follow, events) = sync_channel(4096);
    let counting = thread::spawn(move || count(&events));
    let key = env::temp_dir().join(format!("ivswhipsink-stages-{}", std::process::id()));
    let rules = Rules {
        patience: PATIENCE,
        key: ivs_stage::KeySource::File(key.clone()),
        follow: Some(follow),
        ..Rules::default()
    };
    let stages: Vec<Stage> = (0..STAGES)
        .map(|_| Stage::start(rules.clone()).unwrap())
        .collect();
    drop(rules);
    std::fs::remove_file(key).unwrap();
    let refused = Arc::new(Mutex::new(0));
    let gateway = gateway(&stages, random.next(), Arc::clone(&refused));
    report(&json!({ "endpoint": gateway.url("/"), "token": stages[0].token() }));

    let [frozen, deaf, closings] = play_faults(&stages, &mut random);
    let live: usize = stages.iter().map(live_after_the_end).sum();
    drop((gateway, stages));
    let [created, deleted, closed, abandoned] = counting.join().unwrap();
    let refused = *refused.lock().unwrap();
    report(&json!({
        "live": live, "created": created, "deleted": deleted, "closed": closed,
        "abandoned": abandoned, "refused": refused,
        "frozen": frozen, "deaf": deaf, "closings": closings,
    }));
}

fn report(value: &Value) {
    // On a line of its own, also after the test runner's.
    writeln!(stdout().lock(), "\n{value}").unwrap();
}

/// Counts up to the drop of the last stage.
fn count(events: &Receiver<Event>) -> [u64; 4] {
    let mut counts = [0; 4];
    for event in events {
        let place = match event.what {
            Happening::Created { .. } => 0,
            Happening::Ended { reason, .. } => match reason {
                Ending::Deleted => 1,
                Ending::Closed => 2,
                Ending::PeerLost | Ending::NeverConnected => 3,
                other => panic!("a session ended as {other:?}"),
            },
            _ => continue,
        };
        counts[place] += 1;
    }
    counts
}

/// Answers POSTs; the sessions' other requests go to their stages.
fn gateway(stages: &[Stage], seed: u64, refused: Arc<Mutex<u64>>) -> Server {
    let endpoints: Vec<String> = stages.iter().map(Stage::endpoint).collect();
    let random = Mutex::new(Random::new(seed));
    Server::start("127.0.0.1", move |_: &Request| {
        let (choice, pause, place) = {
            let mut random = random.lock().unwrap();
            (random.below(100), random.below(2000), random.below(STAGES))
        };
        if (60..75).contains(&choice) {
            // A publisher that stops meanwhile stops in the middle of its POST.
            thread::sleep(Duration::from_millis(pause as u64));
        }
        refusal(choice).map_or_else(
            || redirect(&endpoints[place]),
            |refusal| {
                *refused.lock().unwrap() += 1;
                refusal
            },
        )
    })
}

/// For a quarter of the choices from 0 to 99.
fn refusal(choice: usize) -> Option<Action> {
    let ivs = |status, code: u32| {
        let body = json!({ "code": code, "message": "a fault that is played" });
        let reply = Reply::new(status).header("Content-Type", "application/json");
        Some(reply.body(body.to_string()).into())
    };
    match choice {
        75..=77 => Some(Reply::new(401).into()),
        78..=80 => ivs(403, 2003),
        81..=83 => ivs(403, 2002),
        84..=86 => ivs(400, 2001),
        87..=88 => ivs(400, 2010),
        89..=91 => Some(Reply::new(500).into()),
        92..=95 => Some(Reply::new(503).header("Retry-After", "1").into()),
        96..=97 => Some(Action::Close),
        98..=99 => Some(Action::Silence),
        _ => None,
    }
}

/// One fault after the other, until standard input ends. Returns how often a stage was
/// frozen, lost its media, and closed its sessions.
fn play_faults(stages: &[Stage], random: &mut Random) -> [u64; 3] {
    let (sender, ended) = channel::<()>();
    thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        drop(sender);
    });
    let goes_on = |time| ended.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    let mut played = [0; 3];
    while goes_on(Duration::from_millis(1000 + random.below(3000) as u64)) {
        let place = random.below(STAGES);
        let stage = &stages[place];
        let fault = random.below(4);
        played[fault.min(2)] += 1;
        match fault {
            0 => {
                stage.freeze();
                goes_on(SILENCE);
                stage.thaw();
            }
            1 => {
                stage.drop_media();
                goes_on(SILENCE);
                stage.restore_media();
            }
            _ => stage.close_sessions(),
        }
    }
    played
}

fn live_after_the_end(stage: &Stage) -> usize {
    let all_ended = stage.wait_for_sessions(END_BOUND, |sessions| {
        let mut sessions = sessions.iter();
        sessions
            .all(|session| session.ended.is_some())
            .then_some(())
    });
    if all_ended.is_none() {
        let _ = writeln!(stderr(), "sessions: {:?}", stage.sessions());
    }
    stage.live_sessions()
}
