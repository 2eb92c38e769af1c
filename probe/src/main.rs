//! Asks a stage what its documentation leaves open, and prints a report that is
//! safe to publish.
//!
//! ```text
//! IVS_STAGE_TOKEN=… cargo run --release -p stage-probe > report.md
//! ```
//!
//! ```text
//!  arguments ──► http_checks ────┐
//!                stream_checks ──┴──► findings ──► report ──► redaction ──► stdout
//!                      │
//!                  sessions: limits how many are opened, and deletes each
//! ```
//!
//! The number of sessions is printed before the first request. Each session is
//! deleted, also after Ctrl-C, SIGTERM and SIGHUP. When the server asks for fewer
//! requests, no further offer is sent.

mod answer;
mod arguments;
mod client;
mod findings;
mod http_checks;
mod no_reply;
mod offers;
mod plan;
mod probe;
mod questions;
mod redaction;
mod reply;
mod report;
mod sessions;
mod stop;
mod stream_checks;
mod terminal;
mod test_stream;

use std::error::Error;
use std::process::ExitCode;

use tokio::runtime::Builder;

use arguments::{Arguments, SlowChecks, TestStreams, USAGE};
use probe::Probe;
use stop::Stop;
use terminal::tell;

/// The exit code that shells use for a program ended by Ctrl-C.
const INTERRUPTED: u8 = 130;

/// The exit code for wrong arguments.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return print(USAGE),
        Err(error) => {
            tell(&format!("stage_probe: {error}. See --help."));
            return ExitCode::from(USAGE_ERROR);
        }
    };
    match run(arguments) {
        Ok(result) => match print(&result.report) {
            ExitCode::SUCCESS => result.code,
            code => code,
        },
        Err(error) => {
            tell(&format!("stage_probe: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs all checks, deletes the sessions that are left, and writes the report.
fn run(arguments: Arguments) -> Result<RunResult, Box<dyn Error>> {
    if arguments.test_streams == TestStreams::Sent {
        gst::init()?;
        gstivs::plugin_register_static()?;
    }
    announce(&arguments);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    let interrupt = stop::interrupt_at_signals(&runtime)?;
    let mut probe = Probe::new(arguments, interrupt)?;
    let stop = runtime.block_on(async {
        let checked = run_checks(&mut probe).await;
        probe.sessions.delete_all(&probe.client).await;
        checked.err()
    });
    Ok(RunResult {
        report: report::write(&mut probe, stop.as_ref()),
        code: exit_code(&probe, stop.as_ref()),
    })
}

/// Runs the checks, those last that can affect the ones after them.
async fn run_checks(probe: &mut Probe) -> Result<(), Stop> {
    probe.offer_each_section().await?;
    if let Some(token) = probe.arguments.tokens.expired.clone() {
        probe.expired_token(&token).await?;
    }
    if probe.arguments.test_streams == TestStreams::Sent {
        probe.send_test_streams().await?;
    }
    if probe.arguments.slow_checks == SlowChecks::Included {
        probe.unconnected().await?;
    }
    probe.concurrent().await?;
    if probe.arguments.slow_checks == SlowChecks::Included {
        probe.past_expiry().await?;
    }
    Ok(())
}

struct RunResult {
    report: String,
    code: ExitCode,
}

/// The exit code. Prints why a run is incomplete: the report says so too, but it
/// usually goes to a file.
fn exit_code(probe: &Probe, stop: Option<&Stop>) -> ExitCode {
    let has_answers = probe.findings.has_answers();
    let reason = match &probe.findings.stop {
        Some(reason) => reason,
        None if has_answers => return ExitCode::SUCCESS,
        None => "no offer got a conclusive reply",
    };
    let result = match has_answers {
        true => "the run is incomplete",
        false => "no question was answered",
    };
    tell(
        &probe
            .redactor
            .redact_report(&format!("stage_probe: {result}: {reason}.")),
    );
    match stop {
        Some(Stop::Interrupted) => ExitCode::from(INTERRUPTED),
        _ if has_answers => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn announce(arguments: &Arguments) {
    let sessions = plan::session_count(arguments.test_streams, arguments.slow_checks);
    tell(&format!(
        "stage_probe: opens at most {sessions} sessions, one at a time (two for one question), and \
         deletes each. Ctrl-C stops it and deletes what is open."
    ));
}

fn print(text: &str) -> ExitCode {
    match terminal::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!(
                "stage_probe: can't write the output: {}",
                error.kind()
            ));
            ExitCode::FAILURE
        }
    }
}
