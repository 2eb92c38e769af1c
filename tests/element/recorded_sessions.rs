//! Runs one session of each kind and records everything that it shows.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};

use gst::prelude::*;
use ivs_stage::{Kind, Refusal, Rules, SessionReport, Stage};

use crate::harness::{AUDIO, BOUND, Publisher, VIDEO, stage};
use crate::secret_search::Secrets;

const TURN_PASSWORD: &str = "turnPassword";
/// The path of a stage's session URLs.
const SESSION_PATH: &str = "/session/";

/// Recorded texts, each after its session state or message type.
pub type Shown = Vec<(String, String)>;

/// Everything that the sessions showed, and the secrets that it must not contain.
pub struct Seen {
    pub secrets: Secrets,
    pub graphs: Shown,
    pub properties: Shown,
    pub messages: Shown,
}

/// A publisher that records the graph and every property at each change of the
/// session's state, and each message. Notifications are messages too, as with
/// `gst-launch-1.0 -v`.
struct Watched {
    publisher: Publisher,
    webrtcbins: Receiver<gst::Element>,
    looks: Arc<Mutex<Vec<(String, String, String)>>>,
}

impl Watched {
    fn new(launch: &str, stage: &Stage) -> Self {
        let publisher = Publisher::new(launch);
        publisher
            .whip
            .set_property("whip-endpoint", stage.endpoint());
        let webrtcbins = publisher.webrtcbins();
        publisher
            .pipeline
            .add_property_deep_notify_watch(None, true);
        let looks: Arc<Mutex<Vec<_>>> = Arc::default();
        let (taken, pipeline) = (looks.clone(), publisher.pipeline.downgrade());
        let bus = publisher.pipeline.bus().unwrap();
        bus.set_sync_handler(move |_, message| {
            if let gst::MessageView::Element(element) = message.view()
                && let Some(structure) = element.structure()
                && let Ok(state) = structure.get::<String>("state")
                && let Some(pipeline) = pipeline.upgrade()
            {
                taken.lock().unwrap().push(look(&pipeline, &state));
            }
            gst::BusSyncReply::Pass
        });
        let watched = Self {
            publisher,
            webrtcbins,
            looks,
        };
        watched.look("idle");
        watched
    }

    fn look(&self, state: &str) {
        let seen = look(&self.publisher.pipeline, state);
        self.looks.lock().unwrap().push(seen);
    }

    /// Waits until media has arrived, and records once more.
    fn published(&mut self, stage: &Stage, sessions: usize, seen: &mut Seen) {
        self.publisher.wait_state("publishing");
        let arrived = |reports: &[SessionReport]| {
            let report = reports.get(sessions - 1)?;
            (report.packets(Kind::Audio) > 5).then_some(())
        };
        stage.wait_for_sessions(BOUND, arrived).unwrap();
        let webrtcbin = self.webrtcbins.try_iter().last().unwrap();
        seen.secrets.add_connection(&webrtcbin);
        self.look("publishing");
    }

    fn end(mut self, seen: &mut Seen) {
        self.publisher.stop();
        self.look("stopped");
        for message in self.publisher.messages() {
            seen.messages
                .push((format!("{:?}", message.type_()), message_text(message)));
        }
        for (state, graph, properties) in self.looks.lock().unwrap().drain(..) {
            seen.graphs.push((state.clone(), graph));
            seen.properties.push((state, properties));
        }
    }
}

fn look(pipeline: &gst::Pipeline, state: &str) -> (String, String, String) {
    let graph = pipeline.debug_to_dot_data(gst::DebugGraphDetails::all());
    let mut properties = String::new();
    for element in pipeline.iterate_recurse().into_iter().flatten() {
        for property in element.list_properties() {
            if property.flags().contains(glib::ParamFlags::READABLE) {
                let value = element.property_value(property.name());
                let text = value_text(&value);
                properties += &format!("{}.{}={text}\n", element.name(), property.name());
            }
        }
    }
    (state.to_owned(), graph.to_string(), properties)
}

/// A value as `gst-launch-1.0 -v` prints it.
fn value_text(value: &glib::Value) -> String {
    let caps = value.get::<Option<gst::Caps>>().ok().flatten();
    let buffer = value.get::<Option<gst::Buffer>>().ok().flatten();
    match (caps, buffer) {
        (Some(caps), _) => caps.to_string(),
        (_, Some(_)) => value.serialize().unwrap().to_string(),
        _ => format!("{value:?}"),
    }
}

fn message_text(message: &gst::Message) -> String {
    let mut text = match message.view() {
        gst::MessageView::Error(error) => format!("{} {:?}", error.error(), error.debug()),
        gst::MessageView::Warning(warning) => format!("{} {:?}", warning.error(), warning.debug()),
        _ => format!("{message:?}"),
    };
    for (field, value) in message.structure().iter().flat_map(|fields| fields.iter()) {
        text += &format!(" {field}={}", value_text(value));
    }
    text
}

/// Runs all sessions, one after the other.
pub fn run() -> Seen {
    let mut seen = Seen {
        secrets: Secrets::default(),
        graphs: Shown::new(),
        properties: Shown::new(),
        messages: Shown::new(),
    };
    seen.secrets.add("session URL", SESSION_PATH);
    seen.secrets.add("TURN password", TURN_PASSWORD);
    with_video_to_its_end(&mut seen);
    refused(&mut seen);
    // Last: once a TURN server is set, less is logged.
    lost_and_renewed(&mut seen);
    seen
}

/// Audio, redirected, with a TURN server. The token is renewed, and the session is
/// lost and replaced.
fn lost_and_renewed(seen: &mut Seen) {
    let stage = stage();
    let (first, second) = (stage.token(), stage.token());
    seen.secrets.add_token(&first);
    seen.secrets.add_token(&second);
    let mut watched = Watched::new(AUDIO, &stage);
    let whip = watched.publisher.whip.clone();
    whip.set_property("auth-token", &first);
    whip.set_property(
        "turn-server",
        format!("turn://user:{TURN_PASSWORD}@127.0.0.1:9"),
    );
    watched.publisher.play();
    watched.published(&stage, 1, seen);
    whip.set_property("auth-token", &second);
    stage.close_sessions();
    watched.publisher.wait_state("retrying");
    watched.published(&stage, 2, seen);
    watched.end(seen);
}

/// Audio and video until the end of stream, with the token from a file.
fn with_video_to_its_end(seen: &mut Seen) {
    let stage = stage();
    let token = stage.token();
    seen.secrets.add_token(&token);
    let file = TokenFile::with(&token);
    let mut watched = Watched::new(&format!("{AUDIO}{VIDEO}"), &stage);
    let whip = watched.publisher.whip.clone();
    whip.set_property("auth-token-file", file.0.to_str().unwrap());
    watched.publisher.play();
    watched.published(&stage, 1, seen);
    watched
        .publisher
        .pipeline
        .send_event(gst::event::Eos::new());
    watched.publisher.wait_eos();
    watched.end(seen);
}

fn refused(seen: &mut Seen) {
    let refusals = vec![Refusal::ivs(400, 2002, "token expired")];
    let stage = Stage::start(Rules {
        refusals,
        ..Rules::default()
    })
    .unwrap();
    let token = stage.token();
    seen.secrets.add_token(&token);
    let mut watched = Watched::new(AUDIO, &stage);
    watched.publisher.whip.set_property("auth-token", &token);
    watched.publisher.play();
    watched.publisher.wait_error();
    watched.end(seen);
}

/// A file with a token, removed when this is dropped.
struct TokenFile(PathBuf);

impl TokenFile {
    fn with(token: &str) -> Self {
        let name = format!("ivswhipsink-secrets-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, token).unwrap();
        Self(path)
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
