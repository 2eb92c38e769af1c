//! Publishes audio and video from within an application, its pipeline written
//! as for `gst-launch-1.0`.
//!
//! ```text
//! IVS_STAGE_TOKEN=… cargo run --example publish_av -- [ENDPOINT] [--seconds N]
//! ```
//!
//! Without an endpoint it publishes to Amazon IVS. It stops after N seconds of
//! publishing, or when Enter or Ctrl-C is pressed or SIGTERM comes. To copy it,
//! depend on `tokio` too, with its features `macros`, `rt` and `signal`.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

use std::error::Error;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use gst::prelude::*;

const USAGE: &str = "\
Publishes a test picture and tone to a stage.

    publish_av [ENDPOINT] [--seconds N]

  ENDPOINT     the WHIP endpoint's URL; without it, Amazon IVS's global one
  --seconds N  stop after N seconds of publishing
  --help       print this

The participant token comes from the environment's IVS_STAGE_TOKEN. Enter, Ctrl-C
and SIGTERM stop it in order, and a second time at once; both ways end the session
on the server. The exit code is 0 after such an end, 1 after an error, and 2 when
the command is wrong.";

/// How long the clean end may take, which is far longer than it does.
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments = match Arguments::read(std::env::args().skip(1)) {
        Ok(Some(arguments)) => arguments,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("publish_av: {mistake}. --help prints how to use it.");
            return ExitCode::from(2);
        }
    };
    match publish(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn publish(arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    gst::init()?;
    // Only for a plugin that is compiled in. Where it is installed, GStreamer
    // finds it by itself, and this line and the crate are not needed.
    gstivs::plugin_register_static()?;

    let pipeline = make_pipeline(arguments.endpoint.as_deref())?;
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    stop_at_signals(&bus)?;
    let outcome = match pipeline.set_state(gst::State::Playing) {
        Ok(_) => watch(&pipeline, &bus, arguments.seconds),
        Err(error) => Err(why_not(&bus).unwrap_or(error.to_string()).into()),
    };
    // Whatever happened, NULL ends the session on the server, in bounded time.
    pipeline.set_state(gst::State::Null)?;
    outcome
}

/// In your application: autovideosrc and autoaudiosrc, or an appsrc each that
/// you push into. Amazon IVS asks for H.264 baseline without B-frames and a key
/// frame every one or two seconds.
const PIPELINE: &str = "
    videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1
        ! videoconvert ! queue
        ! x264enc tune=zerolatency speed-preset=veryfast bitrate=1000 key-int-max=60
        ! video/x-h264,profile=baseline
        ! rtph264pay config-interval=-1 aggregate-mode=zero-latency ! whip.
    audiotestsrc is-live=true ! audioconvert ! audioresample ! queue
        ! opusenc bitrate=64000 ! rtpopuspay ! whip.
    ivswhipsink name=whip";

fn make_pipeline(endpoint: Option<&str>) -> Result<gst::Pipeline, Box<dyn Error>> {
    let pipeline = gst::parse::launch(PIPELINE)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "expected a pipeline")?;
    // It reads the token from the environment's IVS_STAGE_TOKEN.
    let sink = pipeline.by_name("whip").ok_or("expected a sink")?;
    if let Some(endpoint) = endpoint {
        sink.set_property("whip-endpoint", endpoint);
    }
    Ok(pipeline)
}

/// The element that did not start has said why on the bus; the state change
/// itself only says that it failed.
fn why_not(bus: &gst::Bus) -> Option<String> {
    let message = bus.pop_filtered(&[gst::MessageType::Error])?;
    match message.view() {
        gst::MessageView::Error(error) => Some(describe(error)),
        _ => None,
    }
}

/// Follows the bus until the pipeline's end.
fn watch(
    pipeline: &gst::Pipeline,
    bus: &gst::Bus,
    mut seconds: Option<u64>,
) -> Result<(), Box<dyn Error>> {
    if seconds.is_none() {
        println!("Press Enter or Ctrl-C to stop.");
        stop_after(bus, wait_for_enter);
    }
    let mut is_stopping = false;
    let mut reason = String::new();
    for message in bus.iter_timed(gst::ClockTime::NONE) {
        match message.view() {
            gst::MessageView::Eos(_) => break,
            gst::MessageView::Error(error) => return Err(describe(error).into()),
            gst::MessageView::Warning(warning) => {
                let warning = warning.error();
                // Each retry is a warning too, and was told already.
                if reason.is_empty() || !warning.message().starts_with(&reason) {
                    println!("Warning: {warning}");
                }
            }
            gst::MessageView::Element(_) => {
                if let Some((told, wait)) = retry(&message) {
                    println!("{told} Trying again in {:.1} s.", wait.seconds_f64());
                    reason = told;
                }
                let Some(state) = session_state(&message) else {
                    continue;
                };
                println!("The session is {state}.");
                if state == "publishing"
                    && let Some(seconds) = seconds.take()
                {
                    stop_after(bus, move || sleep(Duration::from_secs(seconds)));
                }
            }
            // Who asks once more waits no longer for the clean end.
            gst::MessageView::Application(_) if is_stopping => break,
            gst::MessageView::Application(_) => {
                is_stopping = true;
                end(pipeline, bus);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The clean end: end of stream goes through the pipeline, the element ends
/// its session on the server, and then the bus has the EOS message.
fn end(pipeline: &gst::Pipeline, bus: &gst::Bus) {
    println!("Stopping.");
    pipeline.send_event(gst::event::Eos::new());
    stop_after(bus, || sleep(PATIENCE));
}

/// Asks for the end when a wait is over and says so.
fn stop_after(bus: &gst::Bus, wait: impl FnOnce() -> bool + Send + 'static) {
    let bus = bus.clone();
    thread::spawn(move || {
        if wait() {
            ask_to_stop(&bus);
        }
    });
}

/// Whoever wants an end puts a message of this application on the bus, where
/// it is found among the others.
fn ask_to_stop(bus: &gst::Bus) {
    let stop = gst::Structure::new_empty("stop");
    // A bus refuses messages only when all is over.
    let _ = bus.post(gst::message::Application::new(stop));
}

/// Lets Ctrl-C and SIGTERM ask for the end, as they would otherwise kill the
/// process and leave its session on the server.
fn stop_at_signals(bus: &gst::Bus) -> Result<(), Box<dyn Error>> {
    let bus = bus.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Registered here and not in the thread, so that none comes too early.
    let guard = runtime.enter();
    #[cfg(unix)]
    let mut signals = {
        use tokio::signal::unix::{SignalKind, signal};
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    #[cfg(windows)]
    let mut signals = (
        tokio::signal::windows::ctrl_c()?,
        tokio::signal::windows::ctrl_break()?,
    );
    drop(guard);
    thread::spawn(move || {
        runtime.block_on(async {
            loop {
                tokio::select! {
                    _ = signals.0.recv() => {}
                    _ = signals.1.recv() => {}
                }
                ask_to_stop(&bus);
            }
        });
    });
    Ok(())
}

/// Whether Enter was pressed; a closed standard input presses nothing.
fn wait_for_enter() -> bool {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .is_ok_and(|read| read > 0)
}

fn sleep(time: Duration) -> bool {
    thread::sleep(time);
    true
}

/// Each change of the session's state comes as an element message.
fn session_state(message: &gst::MessageRef) -> Option<&str> {
    let structure = message.structure()?;
    if structure.name() != "ivswhipsink-session-state" {
        return None;
    }
    structure.get("state").ok()
}

/// So does each attempt that failed and is followed by another: why it failed,
/// and how long it is until then.
fn retry(message: &gst::MessageRef) -> Option<(String, gst::ClockTime)> {
    let structure = message.structure()?;
    if structure.name() != "ivswhipsink-retry" {
        return None;
    }
    Some((structure.get("reason").ok()?, structure.get("wait").ok()?))
}

/// One sentence for a person, and the fields that a program can act on.
fn describe(error: &gst::message::Error) -> String {
    match error.details() {
        Some(details) => format!("{} ({details})", error.error()),
        None => error.error().to_string(),
    }
}

struct Arguments {
    endpoint: Option<String>,
    seconds: Option<u64>,
}

impl Arguments {
    /// Reads the arguments after the program's name; none is the wish for help.
    fn read(arguments: impl IntoIterator<Item = String>) -> Result<Option<Self>, String> {
        let (mut endpoint, mut seconds) = (None, None);
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--help" | "-h" => return Ok(None),
                "--seconds" => {
                    let number = arguments.next().ok_or("--seconds needs a number")?;
                    let wrong = |_| format!("--seconds: {number:?} is no whole number");
                    seconds = Some(number.parse().map_err(wrong)?);
                }
                option if option.starts_with('-') => {
                    return Err(format!("{option} is no option of this program"));
                }
                word if !word.contains("://") => {
                    return Err(format!("{word:?} is no URL of an endpoint"));
                }
                second if endpoint.is_some() => {
                    return Err(format!(
                        "{second} is a second endpoint, where one is possible"
                    ));
                }
                _ => endpoint = Some(argument),
            }
        }
        Ok(Some(Self { endpoint, seconds }))
    }
}
