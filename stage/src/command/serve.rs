//! `serve`: rules come in, a stage runs in the foreground, and its events go out
//! as JSON lines.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use ivs_stage::{Event, Happening, Rules, Stage};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::print_error;

/// Time for all sessions to end.
const CLOSE_BOUND: Duration = Duration::from_secs(2);

/// Time for the last events to be written.
const WRITE_BOUND: Duration = Duration::from_secs(1);

/// Number of events that wait for a slow reader of standard output.
const UNWRITTEN_LIMIT: usize = 4096;

/// Runs a stage until a signal, or until the events can't be written.
pub(crate) fn run(mut rules: Rules, events: Option<&Path>) -> Result<(), Box<dyn Error>> {
    let out = open(events)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Before the first line goes out: its reader may send a signal at once.
    let mut signals = {
        let _context = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };

    let (follow, followed) = mpsc::sync_channel(UNWRITTEN_LIMIT);
    rules.follow = Some(follow);
    let bind = rules.bind;
    let stage = Stage::start(rules)?;
    announce(&stage, bind);
    let (done, mut writer_done) = oneshot::channel::<()>();
    let writer = thread::spawn(move || {
        let written = write_lines(out, &followed);
        drop(done);
        written
    });
    let signalled = runtime.block_on(async {
        tokio::select! {
            _ = signals.0.recv() => true,
            _ = signals.1.recv() => true,
            _ = &mut writer_done => false,
        }
    });
    end(stage);
    let unread = async { timeout(WRITE_BOUND, writer_done).await.is_err() };
    if signalled && runtime.block_on(unread) {
        return Err("the last events were not written: nobody reads them".into());
    }
    match writer.join() {
        Ok(written) => Ok(written?),
        Err(_) => Err("the writer of the events panicked".into()),
    }
}

/// For people, who don't read the JSON lines.
fn announce(stage: &Stage, bind: Option<IpAddr>) {
    if let Some(page) = stage.page() {
        print_error(&format!("watch the stage at {page}"));
    }
    if bind.is_some_and(|address| !address.is_loopback()) {
        print_error(match stage.page() {
            Some(_) => {
                "listening beyond this machine: whoever reaches the page can watch, and get a \
                 token to publish"
            }
            None => "listening beyond this machine: whoever has a token can publish and watch",
        });
    }
}

fn open(events: Option<&Path>) -> Result<Box<dyn Write + Send>, String> {
    let Some(path) = events else {
        return Ok(Box::new(io::stdout()));
    };
    let file = File::create(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Box::new(file))
}

fn write_lines(mut out: impl Write, events: &Receiver<Event>) -> io::Result<()> {
    for event in events {
        let line = serde_json::to_string(&event)?;
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}

/// Ends the sessions, waits for their last counts, then drops the stage, which
/// ends the writer's events.
fn end(stage: Stage) {
    let (events, sessions) = (stage.events(), stage.sessions());
    let created = events.iter().filter_map(|event| match event.what {
        Happening::Created { session, .. } => Some(session),
        _ => None,
    });
    let live = sessions.iter().filter(|report| report.ended.is_none());
    let mut open: Vec<u32> = created.chain(live.map(|report| report.id)).collect();
    stage.close_sessions();
    // The stage ends in any case.
    let _ = stage.wait_for(CLOSE_BOUND, |events| {
        open.retain(|id| !events.iter().any(|event| ended(event, *id)));
        open.is_empty().then_some(())
    });
    drop(stage);
}

fn ended(event: &Event, id: u32) -> bool {
    matches!(event.what, Happening::Ended { session, .. } if session == id)
}
