//! What the element and GStreamer write about a session contains no token, session
//! URL or password. It may contain the keys of the connection, where docs/secrets.md
//! says so.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gst::prelude::*;
use ivs_stage::{Kind, SessionReport};

use crate::harness::{BOUND, plugin_folder, stage};
use crate::recorded_sessions::{self, Shown};
use crate::secret_search::Secrets;

/// GStreamer prints these in messages, graphs and its log (docs/secrets.md).
const KEYS: [&str; 2] = ["DTLS key", "SRTP key"];

const SESSIONS: &str = "secrets::sessions_in_a_process_of_their_own";
const SAVE_TO: &str = "IVSWHIPSINK_TEST_SAVE_SECRETS";

fn assert_hidden(secrets: &Secrets, what: &str, shown: &Shown, but_for: &[&str]) {
    for (place, text) in shown {
        let found = secrets.find(text);
        let found: Vec<_> = found
            .iter()
            .filter(|name| !but_for.contains(*name))
            .collect();
        let lines = secrets.lines(text);
        assert!(found.is_empty(), "{what}, {place}: {found:?} in {lines:#?}");
    }
}

#[test]
fn graphs_properties_and_messages_in_every_state() {
    let seen = recorded_sessions::run();
    let states: BTreeSet<&str> = seen
        .graphs
        .iter()
        .map(|(state, _)| state.as_str())
        .collect();
    for state in [
        "idle",
        "waiting",
        "connecting",
        "publishing",
        "retrying",
        "stopping",
        "ended",
        "failed",
    ] {
        assert!(states.contains(state), "{state} is missing in {states:?}");
    }
    let names = [
        "DTLS key",
        "ICE password",
        "SRTP key",
        "TURN password",
        "session URL",
        "token",
    ];
    assert_eq!(seen.secrets.names(), BTreeSet::from(names));
    assert_hidden(&seen.secrets, "messages", &seen.messages, &KEYS);
    assert_hidden(&seen.secrets, "graph", &seen.graphs, &KEYS);
    assert_hidden(&seen.secrets, "properties", &seen.properties, &KEYS);
    // Notifications from inside webrtcbin are recorded too.
    let told = |text: &str| {
        seen.messages
            .iter()
            .any(|(_, message)| message.contains(text))
    };
    assert!(told("application/x-srtp"));
}

#[test]
fn token_is_write_only() {
    crate::harness::init();
    let element = gst::ElementFactory::make("ivswhipsink").build().unwrap();
    for name in ["auth-token", "turn-server"] {
        let flags = element.find_property(name).unwrap().flags();
        assert!(!flags.contains(glib::ParamFlags::READABLE), "{name}");
    }
}

/// A folder in which a child process leaves its log and its secrets.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("ivswhipsink-secrets-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs the sessions in a new process. Returns its secrets, log and output.
fn log_of_sessions(folder: &Folder, debug: &str, lift: bool) -> (Secrets, String, String) {
    let (log, saved) = (folder.0.join("log"), folder.0.join("secrets"));
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", SESSIONS, "--ignored", "--nocapture"])
        .env(SAVE_TO, &saved)
        .env("GST_DEBUG", debug)
        .env("GST_DEBUG_FILE", &log)
        .env("GST_DEBUG_NO_COLOR", "1");
    if lift {
        command.env("IVSWHIPSINK_LOG_SECRETS", "1");
    }
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}"
    );
    let log = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
    (Secrets::load(&saved), log, told.into_owned())
}

#[test]
#[ignore = "run by the tests below, in a process of its own"]
fn sessions_in_a_process_of_their_own() {
    let Some(path) = std::env::var_os(SAVE_TO) else {
        return;
    };
    recorded_sessions::run().secrets.save(Path::new(&path));
}

#[test]
fn log_of_every_category_at_the_highest_level() {
    let folder = Folder::new("log");
    let (secrets, log, told) = log_of_sessions(&folder, "9", false);
    let shown = [("log".to_owned(), log.clone()), ("output".to_owned(), told)];
    assert_hidden(&secrets, "sessions", &shown.into(), &KEYS);
    // The log covers whole sessions, and says what is missing in it.
    for expected in [
        "session is publishing",
        "a=ice-pwd:(hidden)",
        "webrtcbin prints secrets of the session above this level",
        "IVSWHIPSINK_LOG_SECRETS=1",
    ] {
        assert!(log.contains(expected), "{expected}");
    }
}

#[test]
fn log_with_the_limits_lifted_has_what_they_are_for() {
    let folder = Folder::new("lifted");
    let debug = "webrtcbin:9,dtlsenc:9,ivswhipsink:9";
    let (secrets, log, _) = log_of_sessions(&folder, debug, true);
    let found = secrets.find(&log);
    // This also shows that the search works.
    for name in ["ICE password", "SRTP key", "TURN password"] {
        assert!(found.contains(name), "{found:?}");
    }
    assert!(!found.contains("token") && !found.contains("session URL"));
}

#[test]
fn output_of_gst_launch_and_the_list_of_processes() {
    let stage = stage();
    let token = stage.token();
    let mut secrets = Secrets::default();
    secrets.add_token(&token);
    secrets.add("session URL", "/session/");
    secrets.add("ICE password", "a=ice-pwd");
    let folder = plugin_folder("launch");
    let endpoint = format!("whip-endpoint={}", stage.endpoint());
    let pipeline = "audiotestsrc is-live=true num-buffers=300 ! opusenc ! rtpopuspay ! ivswhipsink";
    let mut child = Command::new("gst-launch-1.0")
        .args(["-e", "-v", "-m"])
        .args(pipeline.split_whitespace())
        .arg(&endpoint)
        .env("GST_PLUGIN_PATH", &folder)
        .env("IVS_STAGE_TOKEN", &token)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    let arrived =
        |reports: &[SessionReport]| (reports.first()?.packets(Kind::Audio) > 5).then_some(());
    let published = stage.wait_for_sessions(BOUND, arrived);
    // What `ps` shows to every user of the machine.
    let process = std::fs::read(format!("/proc/{}/cmdline", child.id())).unwrap();
    let process = String::from_utf8_lossy(&process).replace('\0', " ");
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    let output = reader.join().unwrap();
    assert!(child.wait().unwrap().success(), "{output}{errors}");
    std::fs::remove_dir_all(folder).unwrap();
    assert!(published.is_some(), "{output}{errors}");
    assert!(process.contains(&endpoint), "{process}");
    assert!(
        output.contains("GstDtlsSrtpEnc"),
        "-v tells of all: {output}"
    );
    for text in [&output, &errors, &process] {
        assert!(secrets.find(text).is_empty(), "{:#?}", secrets.lines(text));
    }
}
