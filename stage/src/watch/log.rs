//! The stage's last minutes in words, for the page: events come in, lines go
//! out.

use serde::Serialize;

use crate::endings::{Ending, ViewerEnding};
use crate::event::{Event, Happening};
use crate::record::Record;

/// How far back the lines go.
const MINUTES_MS: u64 = 5 * 60 * 1000;

/// How many lines there are at most.
const LINES: usize = 30;

#[derive(Debug, Serialize)]
pub(crate) struct Line {
    at_ms: u64,
    tone: Tone,
    text: String,
}

/// What a line is about, for its sign and color.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Tone {
    Plain,
    Good,
    Bad,
}

/// The lines of the last minutes, newest first.
pub(crate) fn lines(record: &Record) -> Vec<Line> {
    let since = record.elapsed_ms().saturating_sub(MINUTES_MS);
    record.latest(since, LINES, line)
}

fn line(event: &Event) -> Option<Line> {
    let (tone, text) = of_publisher(&event.what).or_else(|| of_viewer(&event.what))?;
    let at_ms = event.at_ms;
    Some(Line { at_ms, tone, text })
}

fn of_publisher(what: &Happening) -> Option<(Tone, String)> {
    Some(match what {
        Happening::Redirect {
            from,
            to,
            status,
            authorization,
        } => {
            let text = format!("{from} redirected a POST to {to} ({status})");
            (Tone::Plain, text + token(*authorization))
        }
        Happening::Refused {
            status,
            code,
            authorization,
            reason,
            ..
        } => {
            let text = format!(
                "POST refused: {}{}",
                refusal(*status, *code, reason),
                token(*authorization)
            );
            (Tone::Bad, text)
        }
        Happening::Created {
            session,
            participant,
            ..
        } => (
            Tone::Good,
            format!("session {session}: {participant} publishes"),
        ),
        Happening::Connected { session, after_ms } => (
            Tone::Good,
            format!("session {session}: connected {after_ms} ms after the POST"),
        ),
        Happening::PeerLost { session, reason } => (
            Tone::Bad,
            format!("session {session}: the publisher is lost ({reason})"),
        ),
        Happening::Ended {
            session, reason, ..
        } => (
            tone(*reason),
            format!("session {session}: {}", ending(*reason)),
        ),
        Happening::Delete {
            session: None,
            status,
            ..
        } => (Tone::Bad, format!("DELETE of an unknown session: {status}")),
        Happening::AcceptFailed { host, reason } => (
            Tone::Bad,
            format!("{host} can't accept connections: {reason}"),
        ),
        _ => return None,
    })
}

fn of_viewer(what: &Happening) -> Option<(Tone, String)> {
    Some(match what {
        Happening::Subscribed {
            viewer,
            participant,
        } => (
            Tone::Plain,
            format!("viewer {viewer} watches {participant}"),
        ),
        Happening::SubscribeRefused {
            status,
            code,
            authorization,
            reason,
            ..
        } => {
            let text = refusal(*status, *code, reason);
            (
                Tone::Bad,
                format!("viewer refused: {text}{}", token(*authorization)),
            )
        }
        Happening::Unsubscribed {
            viewer,
            reason,
            dropped,
            ..
        } => {
            let dropped = match dropped {
                0 => String::new(),
                packets => format!(", missed {packets} packets as it was too slow"),
            };
            (
                Tone::Plain,
                format!("viewer {viewer} {}{dropped}", viewer_ending(*reason)),
            )
        }
        _ => return None,
    })
}

fn refusal(status: u16, code: Option<u32>, reason: &str) -> String {
    match code {
        Some(code) => format!("{status}, code {code}: {reason}"),
        None => format!("{status}: {reason}"),
    }
}

fn token(authorization: bool) -> &'static str {
    if authorization {
        ""
    } else {
        ", without a token"
    }
}

fn tone(ending: Ending) -> Tone {
    match ending {
        Ending::Deleted | Ending::Closed => Tone::Plain,
        _ => Tone::Bad,
    }
}

fn ending(ending: Ending) -> &'static str {
    match ending {
        Ending::Deleted => "ended by its DELETE",
        Ending::Closed => "ended by the stage",
        Ending::PeerLost => "ended, since its publisher did not come back",
        Ending::NeverConnected => "ended, since its publisher never connected",
        Ending::Silent => "ended, since no media came",
        Ending::Failed => "ended by an error",
        Ending::ResolutionExceeded => "ended: more than 1280×720",
        Ending::BitrateExceeded => "ended: more than 8.5 Mbit/s",
        Ending::BFramePresent => "ended: B-frames",
        Ending::StreamDurationExceeded => "ended: as long as a session may last",
        Ending::TokenReused => "ended: its token made another session",
    }
}

fn viewer_ending(ending: ViewerEnding) -> &'static str {
    match ending {
        ViewerEnding::Deleted => "left",
        ViewerEnding::PublisherLeft => "ended with its publisher",
        ViewerEnding::ViewerLost => "is lost",
        ViewerEnding::Failed => "ended by an error",
    }
}
