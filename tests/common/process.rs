//! Runs programs of this repository as processes.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Limit for a program's run, far above its usual time.
const BOUND: Duration = Duration::from_secs(90);

/// The result of a program's run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

/// Runs a program to its end.
pub(crate) fn run(program: impl AsRef<Path>, arguments: &[&str], token: Option<&str>) -> Run {
    end(start(program, arguments, token))
}

/// Starts a program, with or without a token in its environment.
pub(crate) fn start(program: impl AsRef<Path>, arguments: &[&str], token: Option<&str>) -> Child {
    let program = program.as_ref();
    let mut command = Command::new(program);
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
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()))
}

/// Waits for the end of a program; after [`BOUND`], kills it and panics.
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

/// Sends a signal by its name, such as INT for Ctrl-C.
pub(crate) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let option = format!("-{name}");
    let sent = Command::new("kill").args([&option, &id]).status().unwrap();
    assert!(sent.success(), "kill {option}");
}

/// Reads to the end on its own thread, so that the wait for it can have a limit.
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
        panic!("the program did not end: {error}")
    })
}
