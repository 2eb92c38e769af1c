//! The stage in its own process, so that its memory, threads and files do not
//! count as the publisher's. Only counts of its events are kept.

use std::collections::BTreeMap;
use std::env;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use ivs_stage::{Ending, Event, Happening, Kind, SectionReport};

use crate::alone::show;
use crate::common::process::signal;
use crate::harness::BOUND;
use crate::wire::Wire;

/// Longer than any of these tests.
const TOKEN_MINUTES: &str = "2880";

/// Files of a far end: the key for tokens, and what its stages print.
const KEY: &str = "key";
const ERRORS: &str = "errors";

/// Counts of a stage's sessions.
#[derive(Debug, Default)]
pub struct Counts {
    endpoint: String,
    hosts: Vec<String>,
    pub created: usize,
    /// DELETEs answered with 200.
    pub deleted: usize,
    pub ended: usize,
    /// Sessions that the stage ended since it did not hear their publisher.
    pub abandoned: usize,
    /// Ended sessions without any audio packet.
    pub silent: usize,
    /// Seconds of audio so far, for each live session with media.
    pub playing: BTreeMap<u32, f64>,
    /// Packets of each kind so far, for each live session.
    packets: BTreeMap<u32, [u64; 2]>,
    /// When audio and video of one session last grew both.
    pub heard: Option<Instant>,
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
                self.listen(session, &sections);
                if let (Some(seconds), Some(audio)) =
                    (self.playing.get_mut(&session), audio(&sections))
                {
                    *seconds = audio.seconds;
                }
            }
            Happening::Ended {
                session,
                sections,
                reason,
            } => {
                self.ended += 1;
                let alone = matches!(reason, Ending::PeerLost | Ending::NeverConnected);
                self.abandoned += usize::from(alone);
                self.playing.remove(&session);
                self.packets.remove(&session);
                let packets = audio(&sections).map_or(0, |audio| audio.packets);
                self.silent += usize::from(packets == 0);
            }
            _ => {}
        }
    }

    fn listen(&mut self, session: u32, sections: &[SectionReport]) {
        let now = [Kind::Audio, Kind::Video].map(|kind| {
            let of_kind = sections.iter().filter(|section| section.kind == kind);
            of_kind.map(|section| section.packets).sum::<u64>()
        });
        let before = self.packets.insert(session, now).unwrap_or_default();
        if now.iter().zip(before).all(|(now, before)| *now > before) {
            self.heard = Some(Instant::now());
        }
    }

    /// Sessions that have not ended.
    pub fn live(&self) -> usize {
        self.created - self.ended
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
    /// Where it runs, if not on this machine's loopback.
    wire: Option<Arc<Wire>>,
    pub token: String,
}

impl FarEnd {
    pub fn start() -> Self {
        Self::behind(None)
    }

    /// Starts a stage at the far end of a wire.
    pub fn behind(wire: Option<Arc<Wire>>) -> Self {
        let scratch = env::temp_dir().join(format!("ivswhipsink-long-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let token = Command::new(program())
            .args(["token", "--minutes", TOKEN_MINUTES, "--key-file"])
            .arg(scratch.join(KEY))
            .output();
        let token = String::from_utf8(token.unwrap().stdout).unwrap();
        let seen = Arc::default();
        let mut command = command(wire.as_deref(), &scratch);
        let (child, reader) = serve(&mut command, &seen);
        let far_end = Self {
            scratch,
            child,
            reader: Some(reader),
            seen,
            wire,
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
        signal(&self.child, "TERM");
        self.gone();
    }

    /// Stops the process, as a machine that hangs.
    pub fn freeze(&self) {
        signal(&self.child, "STOP");
    }

    pub fn thaw(&self) {
        signal(&self.child, "CONT");
    }

    /// Starts a new stage on the ports of the killed or closed one. It accepts
    /// the same token and knows none of the old sessions.
    pub fn restart(&mut self) {
        let regional_port = self.look(|counts| counts.port(1));
        self.start_again(&regional_port);
    }

    /// Starts a new stage in the place of the killed or closed one: the endpoint
    /// is the same, and leads to another regional host.
    pub fn replace(&mut self) {
        self.start_again("0");
    }

    fn start_again(&mut self, regional_port: &str) {
        let port = self.look(|counts| counts.port(0));
        // Since when nothing is heard does not begin again.
        let heard = self.look(|counts| counts.heard);
        *self.seen.0.lock().unwrap() = Counts {
            heard,
            ..Counts::default()
        };
        let mut command = command(self.wire.as_deref(), &self.scratch);
        command.args(["--port", &port, "--regional-port", regional_port]);
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
        if thread::panicking() {
            let said = std::fs::read_to_string(self.scratch.join(ERRORS));
            show(&said.unwrap_or_default());
        }
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

fn listens(counts: &Counts) -> bool {
    !counts.endpoint.is_empty()
}

/// The `ivs-stage` that was built with this test.
fn program() -> PathBuf {
    let test = env::current_exe().unwrap();
    let built = test.parent().and_then(|directory| directory.parent());
    let stage = built.unwrap().join("ivs-stage");
    assert!(
        stage.exists(),
        "{} is not there: run `make test-long`, or `cargo build --workspace --bins` before",
        stage.display()
    );
    stage
}

/// The command that runs a stage, here or at the far end of a wire.
fn command(wire: Option<&Wire>, scratch: &Path) -> Command {
    let mut command = match wire {
        Some(wire) => wire.command(&program()),
        None => Command::new(program()),
    };
    command.args(["serve", "--no-page", "--key-file"]);
    command.arg(scratch.join(KEY));
    let mut errors = OpenOptions::new();
    errors.create(true).append(true);
    command.stderr(errors.open(scratch.join(ERRORS)).unwrap());
    if let Some(wire) = wire {
        command.args(["--bind", wire.far()]);
    }
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
