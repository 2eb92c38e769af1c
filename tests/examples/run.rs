//! Examples as processes.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long an example may run: far longer than it does.
const BOUND: Duration = Duration::from_secs(90);

/// An example's run, after its end.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs an example to its end.
pub(crate) fn run(example: &str, arguments: &[&str], token: Option<&str>) -> Run {
    end(start(example, arguments, token))
}

/// Starts an example, with a token in its environment or without any.
pub(crate) fn start(example: &str, arguments: &[&str], token: Option<&str>) -> Child {
    let path = path(example);
    let mut command = Command::new(&path);
    match token {
        Some(token) => command.env("IVS_STAGE_TOKEN", token),
        None => command.env_remove("IVS_STAGE_TOKEN"),
    };
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}; `cargo build --examples` makes it",
                path.display()
            )
        })
}

/// Waits for the end of an example, and kills one that has none.
pub(crate) fn end(mut child: Child) -> Run {
    let output = read(child.stdout.take());
    let errors = read(child.stderr.take());
    let output = wait(&output, &mut child);
    let errors = wait(&errors, &mut child);
    let status = child.wait().unwrap();
    Run {
        status,
        output,
        errors,
    }
}

/// Sends a signal by its name, as Ctrl-C sends INT.
#[cfg(unix)]
pub(crate) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let option = format!("-{name}");
    let sent = Command::new("kill").args([&option, &id]).status().unwrap();
    assert!(sent.success(), "kill {option}");
}

/// Cargo puts the tests' executables into `deps`, the examples' beside it.
fn path(example: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(|deps| deps.parent()).unwrap();
    built
        .join("examples")
        .join(example)
        .with_extension(std::env::consts::EXE_EXTENSION)
}

/// Reads to the end on a thread of its own, so that waiting for it has a bound.
fn read(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<String> {
    let (done, text) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.unwrap().read_to_end(&mut bytes).unwrap();
        let _ = done.send(String::from_utf8_lossy(&bytes).into_owned());
    });
    text
}

fn wait(text: &mpsc::Receiver<String>, child: &mut Child) -> String {
    text.recv_timeout(BOUND).unwrap_or_else(|error| {
        let _ = child.kill();
        let _ = child.wait();
        panic!("the example did not end: {error}")
    })
}
