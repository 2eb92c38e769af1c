//! The stage in its own process, so that its memory, threads and files do not
//! count as the publisher's. Only counts of its events are kept.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ivs_stage::{Event, Happening, Kind, SectionReport};

use crate::harness::BOUND;

/// Counts of a stage's sessions.
#[derive(Debug, Default)]
pub struct Counts {
    endpoint: String,
    hosts: Vec<String>,
    pub created: usize,
    /// DELETEs answered with 200.
    pub deleted: usize,
    pub ended: usize,
    /// Ended sessions without any audio packet.
    pub silent: usize,
    /// Seconds of audio so far, for each live session with media.
    pub playing: BTreeMap<u32, f64>,
}

impl Counts {
    fn add(&mut self, what: Happening) {
        match what {
            Happening::Listening {
                endpoint, hosts, ..
            } => (self.endpoint, self.hosts) = (endpoint, hosts),
            Happening::Created { .. } => self.created += 1,
            Happening::Delete { status: 200, .. } => self.deleted += 1,
            Happening::FirstPacket {
                session,
                kind: Kind::Audio,
                ..
            } => {
                self.playing.insert(session, 0.0);
            }
            Happening::Media { session, sections } => {
                if let (Some(seconds), Some(audio)) =
                    (self.playing.get_mut(&session), audio(&sections))
                {
                    *seconds = audio.seconds;
                }
            }
            Happening::Ended {
                session, sections, ..
            } => {
                self.ended += 1;
                self.playing.remove(&session);
                let packets = audio(&sections).map_or(0, |audio| audio.packets);
                self.silent += usize::from(packets == 0);
            }
            _ => {}
        }
    }

    fn port(&self, place: usize) -> String {
        let (_, port) = self.hosts[place].rsplit_once(':').unwrap();
        port.to_owned()
    }
}

fn audio(sections: &[SectionReport]) -> Option<&SectionReport> {
    sections.iter().find(|section| section.kind == Kind::Audio)
}

/// A running `ivs-stage serve`; killed when dropped.
pub struct FarEnd {
    scratch: PathBuf,
    child: Child,
    reader: Option<JoinHandle<()>>,
    seen: Arc<(Mutex<Counts>, Condvar)>,
    pub token: String,
}

impl FarEnd {
    pub fn start() -> Self {
        let scratch = env::temp_dir().join(format!("ivswhipsink-long-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let key = scratch.join("key");
        let token = command("token").arg("--key-file").arg(&key).output();
        let token = String::from_utf8(token.unwrap().stdout).unwrap();
        let seen = Arc::default();
        let (child, reader) = serve(command("serve").arg("--key-file").arg(&key), &seen);
        let far_end = Self {
            scratch,
            child,
            reader: Some(reader),
            seen,
            token: token.trim_end().to_owned(),
        };
        far_end.wait("listening stage", listens);
        far_end
    }

    pub fn endpoint(&self) -> String {
        self.look(|counts| counts.endpoint.clone())
    }

    pub fn look<T>(&self, take: impl FnOnce(&Counts) -> T) -> T {
        take(&self.seen.0.lock().unwrap())
    }

    /// Waits until the counts are as `is` wants them, at most [`BOUND`].
    pub fn wait(&self, what: &str, is: impl FnMut(&Counts) -> bool) {
        self.wait_for(BOUND, what, is);
    }

    pub fn wait_for(&self, bound: Duration, what: &str, mut is: impl FnMut(&Counts) -> bool) {
        let (counts, changed) = &*self.seen;
        let (counts, timeout) = changed
            .wait_timeout_while(counts.lock().unwrap(), bound, |counts| !is(counts))
            .unwrap();
        let told = format!("{counts:?}");
        // The reader thread needs the lock, also if this test fails.
        drop(counts);
        assert!(!timeout.timed_out(), "no {what}: {told}");
    }

    /// Waits until every session is deleted; each must have brought media.
    pub fn wait_all_deleted(&self) {
        self.wait("DELETE of every session", |counts| {
            counts.created == counts.ended && counts.created == counts.deleted
        });
        assert_eq!(self.look(|counts| counts.silent), 0);
    }

    /// Kills the stage, which sends nothing to its sessions' clients.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.gone();
    }

    /// Terminates the stage, which closes its sessions with a DTLS alert.
    pub fn close(&mut self) {
        let signal = format!("kill -TERM {}", self.child.id());
        let signalled = Command::new("sh").args(["-c", &signal]).status().unwrap();
        assert!(signalled.success());
        self.gone();
    }

    /// Starts a new stage on the ports of the killed or closed one. It accepts
    /// the same token and knows none of the old sessions.
    pub fn restart(&mut self) {
        let (port, regional_port) = self.look(|counts| (counts.port(0), counts.port(1)));
        *self.seen.0.lock().unwrap() = Counts::default();
        let mut command = command("serve");
        command.arg("--key-file").arg(self.scratch.join("key"));
        command.args(["--port", &port, "--regional-port", &regional_port]);
        let (child, reader) = serve(&mut command, &self.seen);
        (self.child, self.reader) = (child, Some(reader));
        self.wait("listening stage", listens);
    }

    fn gone(&mut self) {
        self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
    }
}

impl Drop for FarEnd {
    fn drop(&mut self) {
        // Both fail if the stage has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

fn listens(counts: &Counts) -> bool {
    !counts.endpoint.is_empty()
}

/// A command of the `ivs-stage` that was built with this test.
fn command(name: &str) -> Command {
    let test = env::current_exe().unwrap();
    let built = test.parent().and_then(|directory| directory.parent());
    let stage = built.unwrap().join("ivs-stage");
    assert!(
        stage.exists(),
        "{} is not there: run `make test-long`, or `cargo build --workspace --bins` before",
        stage.display()
    );
    let mut command = Command::new(stage);
    command.arg(name);
    command
}

fn serve(command: &mut Command, seen: &Arc<(Mutex<Counts>, Condvar)>) -> (Child, JoinHandle<()>) {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = child.stdout.take().unwrap();
    let seen = seen.clone();
    (child, thread::spawn(move || read(lines, &seen)))
}

fn read(lines: ChildStdout, (counts, changed): &(Mutex<Counts>, Condvar)) {
    for line in BufReader::new(lines).lines() {
        // A killed stage may leave half a line.
        let Ok(event) = serde_json::from_str::<Event>(&line.unwrap()) else {
            return;
        };
        counts.lock().unwrap().add(event.what);
        changed.notify_all();
    }
}
