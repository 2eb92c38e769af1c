//! The command `ivs-stage`: runs a local stage, makes tokens, reports runs.

mod arguments;
mod report;
mod serve;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::ExitCode;

use ivs_stage::{SigningKey, TokenWish};

use crate::arguments::{Command, HELP, RequiredMedia};

/// Exit code for invalid arguments, as in shells.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command = match arguments::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            print_error(&format!("{error}; see ivs-stage --help"));
            return ExitCode::from(USAGE);
        }
    };
    let outcome = match command {
        Command::Help => print(HELP),
        Command::Serve(rules, events) => serve::run(*rules, events.as_deref()),
        Command::Token(key, wish) => token(&key, &wish),
        Command::Report(required, file) => report(required, file.as_deref()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn token(key: &Path, wish: &TokenWish) -> Result<(), Box<dyn Error>> {
    let key = SigningKey::from_file(key)
        .map_err(|error| format!("can't use the key file {}: {error}", key.display()))?;
    print(&format!("{}\n", key.mint(wish)?))
}

fn report(required: RequiredMedia, file: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let lines: Box<dyn BufRead> = match file {
        Some(path) => {
            let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(io::stdin().lock()),
    };
    let events = report::read_events(lines)?;
    let report = report::Report::of(&events, required);
    print(&report.text)?;
    if report.missing.is_empty() {
        return Ok(());
    }
    Err(report.missing.join("\n").into())
}

fn print(text: &str) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

fn print_error(text: &str) {
    let mut err = io::stderr().lock();
    for line in text.lines() {
        // Fails if standard error is closed, and there is no other output.
        let _ = writeln!(err, "ivs-stage: {line}");
    }
}
