//! Asks the real service what public sources leave open, and prints a report
//! that is safe to publish.
//!
//! ```text
//! IVS_STAGE_TOKEN=… cargo run --release -p stage-probe > report.md
//! ```
//!
//! ```text
//!  arguments ──► probe: offers by HTTP ──┐
//!                streams: the element ───┼──► findings ──► report ──► redaction ──► stdout
//!                      │                 │
//!                 sessions: a bound before each session, a DELETE after it
//! ```
//!
//! Exit codes: 0 with a report that answers something, 1 when nothing was learnt
//! or there is no report, 2 when the command is wrong, 130 after Ctrl-C.
//!
//! Nothing is sent before the number of sessions is told, each session is
//! deleted, also after Ctrl-C or a hang-up, and a server that asks for fewer requests gets none
//! at all any more.

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

/// As a shell tells of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// The command is wrong.
const USAGE_ERROR: u8 = 2;

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return print(USAGE),
        Err(error) => {
            tell(&format!(
                "stage_probe: {error}. --help prints how to use it."
            ));
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

/// Asks everything, ends whatever was begun, and writes the report.
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
        let asked = ask_everything(&mut probe).await;
        probe.sessions.delete_all(&probe.client).await;
        asked.err()
    });
    Ok(RunResult {
        report: report::write(&mut probe, stop.as_ref()),
        code: exit_code(&probe, stop.as_ref()),
    })
}

/// Everything, in the order in which one thing disturbs the next least.
async fn ask_everything(probe: &mut Probe) -> Result<(), Stop> {
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

/// What a run comes to.
struct RunResult {
    report: String,
    code: ExitCode,
}

/// Says on the terminal why a run learnt less than it could, which is in the
/// report too, but that goes into a file.
fn exit_code(probe: &Probe, stop: Option<&Stop>) -> ExitCode {
    let is_anything_learnt = probe.findings.has_answers();
    let reason = match &probe.findings.stop {
        Some(reason) => reason,
        None if is_anything_learnt => return ExitCode::SUCCESS,
        None => "no offer got an answer that says anything",
    };
    let short = match is_anything_learnt {
        true => "not everything was asked",
        false => "nothing was learnt",
    };
    tell(
        &probe
            .redactor
            .redact_report(&format!("stage_probe: {short}: {reason}.")),
    );
    match stop {
        Some(Stop::Interrupted) => ExitCode::from(INTERRUPTED),
        _ if is_anything_learnt => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

fn announce(arguments: &Arguments) {
    let streams = arguments.test_streams == TestStreams::Sent;
    let slow = arguments.slow_checks == SlowChecks::Included;
    tell(&format!(
        "stage_probe: at most {} sessions will be opened, one after the other (two at once for \
         one question), and each deleted. Ctrl-C ends it in order.",
        plan::sessions(streams, slow),
    ));
}

fn print(text: &str) -> ExitCode {
    match terminal::print(text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("stage_probe: can't write it: {}", error.kind()));
            ExitCode::FAILURE
        }
    }
}
