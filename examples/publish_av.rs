//! Publishes a test picture and tone, from a pipeline that is described as for
//! `gst-launch-1.0`.
//!
//! ```text
//! IVS_STAGE_TOKEN=… cargo run --example publish_av -- [ENDPOINT]
//! ```
//!
//! The endpoint defaults to Amazon IVS. Ctrl-C and SIGTERM stop the program. To copy
//! it, depend on `gstreamer`, which is named `gst` here, and on `glib-unix`.

#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::cell::Cell;
use std::error::Error;
use std::process::ExitCode;
use std::rc::Rc;

use gst::prelude::*;
use gst::{MessageView, glib};

/// For a camera and a microphone: autovideosrc and autoaudiosrc. The element encodes.
const PIPELINE: &str = "
    videotestsrc is-live=true pattern=ball ! video/x-raw,width=640,height=360,framerate=30/1
        ! queue ! whip.
    audiotestsrc is-live=true ! queue ! whip.
    ivswhipsink name=whip";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    gst::init()?;
    // Needed where the plugin is compiled in. GStreamer finds an installed one itself.
    gstivs::plugin_register_static()?;

    let pipeline = build_pipeline()?;
    let main_loop = glib::MainLoop::new(None, false);
    let exit_code = Rc::new(Cell::new(ExitCode::SUCCESS));
    let bus = pipeline.bus().ok_or("the pipeline has no bus")?;
    let (bus_loop, bus_code) = (main_loop.clone(), exit_code.clone());
    let _watch = bus.add_watch_local(move |_, message| {
        match message.view() {
            MessageView::Element(_) if message.has_name("ivswhipsink-session-state") => {
                let state = message
                    .structure()
                    .and_then(|s| s.get::<&str>("state").ok());
                println!("The session is {}.", state.unwrap_or_default());
            }
            // Failures among them are no reason to stop: the element tries again.
            MessageView::Warning(warning) => eprintln!("Warning: {}", warning.error()),
            MessageView::Error(error) => {
                eprintln!("Error: {}", error.error());
                bus_code.set(ExitCode::FAILURE);
                bus_loop.quit();
            }
            MessageView::Eos(_) => bus_loop.quit(),
            _ => {}
        }
        glib::ControlFlow::Continue
    })?;
    // SIGINT, which is Ctrl-C, and SIGTERM.
    for signal in [2, 15] {
        let (pipeline, main_loop) = (pipeline.clone(), main_loop.clone());
        glib_unix::unix_signal_add(signal, move || {
            // The element deletes its session and posts EOS. The wait for that has a
            // limit, since a source that is stuck passes no end of stream on.
            pipeline.send_event(gst::event::Eos::new());
            let main_loop = main_loop.clone();
            glib::timeout_add_seconds_once(10, move || main_loop.quit());
            glib::ControlFlow::Continue
        });
    }

    if pipeline.set_state(gst::State::Playing).is_ok() {
        main_loop.run();
    } else {
        // The reason is on the bus already. Lets the watch print it.
        while glib::MainContext::default().iteration(false) {}
        exit_code.set(ExitCode::FAILURE);
    }
    // Deletes a session that is left, and waits for that, at most 3 seconds.
    pipeline.set_state(gst::State::Null)?;
    Ok(exit_code.get())
}

fn build_pipeline() -> Result<gst::Pipeline, Box<dyn Error>> {
    let pipeline = gst::parse::launch(PIPELINE)?
        .downcast::<gst::Pipeline>()
        .map_err(|_| "the description is not of a pipeline")?;
    // Reads the token from IVS_STAGE_TOKEN: other users could see it in the arguments.
    let sink = pipeline.by_name("whip").ok_or("there is no sink")?;
    if let Some(endpoint) = std::env::args().nth(1) {
        sink.set_property("whip-endpoint", endpoint);
    }
    Ok(pipeline)
}
