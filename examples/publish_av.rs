//! Publishes audio and video from within an application, its pipeline written
//! as for `gst-launch-1.0`.
//!
//! ```text
//! IVS_STAGE_TOKEN=… cargo run --example publish_av -- [ENDPOINT] [--seconds N]
//! ```
//!
//! Without an endpoint it publishes to Amazon IVS. It stops after N seconds of
//! publishing, or else when Enter is pressed.

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

fn main() -> ExitCode {
    match publish() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn publish() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::read()?;
    gst::init()?;
    // Only for a plugin that is compiled in. Where it is installed, GStreamer
    // finds it by itself, and this line and the crate are not needed.
    gstivs::plugin_register_static()?;

    let pipeline = make_pipeline(arguments.endpoint.as_deref())?;
    pipeline.set_state(gst::State::Playing)?;
    let outcome = watch(&pipeline, arguments.seconds);
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

/// Follows the bus until the pipeline's end.
fn watch(pipeline: &gst::Pipeline, seconds: Option<u64>) -> Result<(), Box<dyn Error>> {
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    if seconds.is_none() {
        println!("Press Enter to stop.");
        end_after(pipeline, wait_for_enter);
    }
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
                if let Some(seconds) = seconds.filter(|_| state == "publishing") {
                    end_after(pipeline, move || {
                        thread::sleep(Duration::from_secs(seconds));
                        true
                    });
                }
            }
            _ => {}
        }
    }
    Ok(())
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

/// The clean end: end of stream goes through the pipeline, the element ends
/// its session on the server, and then the bus has the EOS message.
fn end_after(pipeline: &gst::Pipeline, wait: impl FnOnce() -> bool + Send + 'static) {
    let pipeline = pipeline.downgrade();
    thread::spawn(move || {
        if wait()
            && let Some(pipeline) = pipeline.upgrade()
        {
            pipeline.send_event(gst::event::Eos::new());
        }
    });
}

/// Whether Enter was pressed; a closed standard input presses nothing.
fn wait_for_enter() -> bool {
    let mut line = String::new();
    std::io::stdin()
        .read_line(&mut line)
        .is_ok_and(|read| read > 0)
}

struct Arguments {
    endpoint: Option<String>,
    seconds: Option<u64>,
}

impl Arguments {
    fn read() -> Result<Self, Box<dyn Error>> {
        let mut read = Self {
            endpoint: None,
            seconds: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--seconds" {
                let number = arguments.next().ok_or("--seconds needs a number")?;
                read.seconds = Some(number.parse()?);
            } else {
                read.endpoint = Some(argument);
            }
        }
        Ok(read)
    }
}
