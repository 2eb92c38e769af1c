//! `report`: JSON lines come in, a description of the run and a list of what is
//! missing go out.

use std::error::Error;
use std::fmt::Write;
use std::io::BufRead;

use ivs_stage::{
    Ending, Event, Happening, Kind, OfferSection, SectionReport, SeiMessage, VideoReport,
};

use crate::arguments::RequiredMedia;

/// A run in words.
pub(crate) struct Report {
    /// What the stage saw, a line for each event.
    pub(crate) text: String,
    /// A sentence for each thing that is missing.
    pub(crate) missing: Vec<String>,
}

impl Report {
    /// Describes every session. Only the last one can have missing things.
    pub(crate) fn of(events: &[Event], required: RequiredMedia) -> Self {
        let mut text = String::new();
        for line in events.iter().filter_map(|event| describe(&event.what)) {
            text.push_str(&line);
            text.push('\n');
        }
        Self {
            text,
            missing: missing(events, required),
        }
    }
}

/// Reads events, one line of JSON each.
pub(crate) fn read_events(lines: impl BufRead) -> Result<Vec<Event>, Box<dyn Error>> {
    let mut events = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let event = serde_json::from_str(&line)
            .map_err(|error| format!("line {} is not an event of a stage: {error}", number + 1))?;
        events.push(event);
    }
    Ok(events)
}

fn describe(what: &Happening) -> Option<String> {
    describe_post(what)
        .or_else(|| describe_request(what))
        .or_else(|| describe_session(what))
        .or_else(|| describe_viewer(what))
}

/// A redirect, an offer or a refusal.
fn describe_post(what: &Happening) -> Option<String> {
    Some(match what {
        Happening::Redirect {
            from,
            to,
            status,
            authorization,
        } => {
            format!(
                "{from} redirected to {to} ({status}, {})",
                token(*authorization)
            )
        }
        Happening::Offer {
            session, sections, ..
        } => {
            let sections: Vec<String> = sections.iter().map(describe_offered).collect();
            format!("session {session}: offer of {}", sections.join(" and "))
        }
        Happening::Refused {
            session,
            host,
            status,
            code,
            reason,
            ..
        } => {
            let code = code.map_or(String::new(), |code| format!(", code {code}"));
            format!("session {session}: refused by {host} with {status}{code}: {reason}")
        }
        _ => return None,
    })
}

/// A DELETE or PATCH.
fn describe_request(what: &Happening) -> Option<String> {
    let whose =
        |id: &Option<u32>| id.map_or("unknown session".into(), |id| format!("session {id}"));
    let (session, host, status, authorization, method) = match what {
        Happening::Delete {
            session,
            host,
            status,
            authorization,
        } => (session, host, status, authorization, "DELETE".to_owned()),
        Happening::Patch {
            session,
            host,
            status,
            authorization,
            candidates,
            ..
        } => {
            let method = format!("PATCH with {candidates} candidates");
            (session, host, status, authorization, method)
        }
        _ => return None,
    };
    let answered = match status {
        0 => "not answered".to_owned(),
        status => format!("answered {status}"),
    };
    let token = token(*authorization);
    Some(format!(
        "{}: {method} on {host} ({token}) {answered}",
        whose(session)
    ))
}

/// The start and the failures of the stage, and the life of a session.
fn describe_session(what: &Happening) -> Option<String> {
    Some(match what {
        Happening::Listening {
            endpoint,
            media_address,
            ..
        } => {
            format!("stage at {endpoint}, media at {media_address}")
        }
        Happening::AcceptFailed { host, reason } => {
            format!("{host} can't accept connections: {reason}")
        }
        Happening::Missed { events } => {
            format!("{events} events were not written: the reader was too slow")
        }
        Happening::Created { session, host, .. } => {
            format!("session {session}: created by {host}")
        }
        Happening::Connected { session, after_ms } => {
            format!("session {session}: connected {after_ms} ms after the POST")
        }
        Happening::FirstPacket {
            session,
            kind,
            after_ms,
            ..
        } => {
            format!(
                "session {session}: first {} packet {after_ms} ms after the POST",
                name(*kind)
            )
        }
        Happening::PeerLost { session, reason } => {
            format!("session {session}: peer lost: {reason}")
        }
        Happening::Ended {
            session,
            sections,
            reason,
        } => {
            let received: Vec<String> = sections.iter().map(describe_received).collect();
            let limit = limit(*reason).map_or(String::new(), |limit| format!("ended: {limit}; "));
            let mut text = format!("session {session}: {limit}received {}", received.join("; "));
            let videos = sections.iter().filter_map(|one| one.video.as_deref());
            for message in videos.flat_map(|video| &video.messages) {
                text.push_str(&format!("\nsession {session}: {}", describe_sei(message)));
            }
            text
        }
        _ => return None,
    })
}

/// The limit of IVS by which a session ended.
fn limit(reason: Ending) -> Option<&'static str> {
    Some(match reason {
        Ending::ResolutionExceeded => "more than 1280x720",
        Ending::BitrateExceeded => "more than 8.5 Mbit/s",
        Ending::BFramePresent => "B-frames",
        Ending::StreamDurationExceeded => "as long as a session may last",
        Ending::TokenReused => "its token made another session",
        _ => return None,
    })
}

/// What a viewer did.
fn describe_viewer(what: &Happening) -> Option<String> {
    Some(match what {
        Happening::Subscribed {
            viewer,
            participant,
        } => format!("viewer {viewer}: watches {participant}"),
        Happening::SubscribeRefused {
            viewer,
            status,
            code,
            reason,
            ..
        } => {
            let code = code.map_or(String::new(), |code| format!(", code {code}"));
            format!("viewer {viewer}: refused with {status}{code}: {reason}")
        }
        Happening::Unsubscribed {
            viewer,
            packets,
            dropped,
            ..
        } => format!("viewer {viewer}: sent {packets} packets, {dropped} dropped"),
        _ => return None,
    })
}

fn describe_offered(section: &OfferSection) -> String {
    let mut text = format!(
        "{} {:?} {}, port {}, {} candidates",
        name(section.kind),
        section.direction,
        section.codecs.join("/"),
        section.port,
        section.candidates,
    )
    .to_lowercase();
    if section.bundle_only {
        text.push_str(", bundle-only");
    }
    if section.msid {
        text.push_str(", msid");
    }
    text
}

fn describe_received(section: &SectionReport) -> String {
    let mut text = format!(
        "{}: {} packets, {:.1} s, {} lost",
        name(section.kind),
        section.packets,
        section.seconds,
        section.lost
    );
    if section.kind == Kind::Video {
        // Writing to a string can't fail.
        let _ = write!(text, ", {} key frames", section.key_frames);
    }
    if section.repaired > 0 {
        let _ = write!(text, ", {} sent again", section.repaired);
    }
    if let Some(frames) = section.frames {
        let _ = write!(
            text,
            ", {} decodable frames, {} ms without one",
            frames.decodable, frames.longest_gap_ms
        );
    }
    if let Some((width, height)) = section.size {
        let _ = write!(text, ", {width}x{height}");
    }
    if let Some(video) = section.video.as_deref() {
        describe_video(&mut text, video);
    }
    text
}

fn describe_video(text: &mut String, video: &VideoReport) {
    if let (Some(profile), Some(level)) = (&video.profile, &video.level) {
        let _ = write!(text, ", {profile} {level}");
    }
    if let Some(slices) = video.slices {
        let _ = write!(text, ", {} to {} slices a frame", slices.min, slices.max);
    }
    if video.b_frames > 0 {
        let _ = write!(text, ", {} B-frames", video.b_frames);
    }
    if let Some(distance) = video.key_frame_distance_ms {
        let _ = write!(
            text,
            ", a key frame every {} to {} ms",
            distance.min, distance.max
        );
    }
    if let Some(rate) = video.frame_rate {
        let _ = write!(text, ", {rate:.1} frames/s");
    }
    if let Some(rate) = video.bit_rate {
        let _ = write!(text, ", {} kbit/s", rate / 1000);
    }
}

/// A message of any bytes, fit for a terminal.
fn describe_sei(message: &SeiMessage) -> String {
    let said = match (&message.text, &message.hex) {
        (Some(text), _) => format!("{text:?}"),
        (None, hex) => hex.clone().unwrap_or_default(),
    };
    let SeiMessage {
        uuid, size, count, ..
    } = message;
    format!("{count} times in the video: {size} bytes with UUID {uuid}: {said}")
}

fn token(there: bool) -> &'static str {
    if there { "with token" } else { "without token" }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "audio",
        Kind::Video => "video",
        Kind::Other => "other",
    }
}

fn missing(events: &[Event], required: RequiredMedia) -> Vec<String> {
    let offered = last(events, |what| match what {
        Happening::Offer { session, .. } => Some(*session),
        _ => None,
    });
    let Some(id) = offered else {
        return vec!["No offer arrived.".into()];
    };
    let mut missing = Vec::new();
    let happened = |test: &dyn Fn(&Happening) -> bool| events.iter().any(|event| test(&event.what));
    if !happened(&|what| matches!(what, Happening::Connected { session, .. } if *session == id)) {
        missing.push(format!("Session {id} never connected."));
    }
    let kinds: &[Kind] = match required {
        RequiredMedia::Audio => &[Kind::Audio],
        RequiredMedia::Video => &[Kind::Video],
        RequiredMedia::Both => &[Kind::Audio, Kind::Video],
    };
    let received = received(events, id);
    for kind in kinds.iter().filter(|kind| packets(&received, **kind) == 0) {
        missing.push(format!("No {} packet arrived.", name(*kind)));
    }
    if !happened(
        &|what| matches!(what, Happening::Delete { session, status: 200, .. } if *session == Some(id)),
    ) {
        missing.push(format!("No DELETE of session {id} got 200 from its host."));
    }
    missing
}

/// The last counts of a session: those of its end, or else the last `Media`.
fn received(events: &[Event], id: u32) -> Vec<SectionReport> {
    let counts = last(events, |what| match what {
        Happening::Media { session, sections }
        | Happening::Ended {
            session, sections, ..
        } if *session == id => Some(sections.clone()),
        _ => None,
    });
    counts.unwrap_or_default()
}

fn packets(sections: &[SectionReport], kind: Kind) -> u64 {
    let of_kind = sections.iter().filter(|section| section.kind == kind);
    of_kind.map(|section| section.packets).sum()
}

fn last<T>(events: &[Event], look: impl Fn(&Happening) -> Option<T>) -> Option<T> {
    events.iter().rev().find_map(|event| look(&event.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = r#"
{"at_ms":0,"event":"listening","endpoint":"http://127.0.0.1:1/","hosts":["127.0.0.1:1","127.0.0.2:2"],"media_address":"192.0.2.1"}
{"at_ms":9,"event":"redirect","from":"127.0.0.1:1","to":"http://127.0.0.2:2/","status":307,"authorization":true}
{"at_ms":10,"event":"offer","session":1,"host":"127.0.0.2:2","sections":[{"kind":"audio","mid":"0","port":9,"bundle_only":false,"direction":"sendonly","codecs":["OPUS"],"candidates":0,"msid":true,"ssrc":true,"setup":"actpass"},{"kind":"video","mid":"1","port":9,"bundle_only":false,"direction":"inactive","codecs":["H264"],"candidates":0,"msid":true,"ssrc":false,"setup":"actpass"}]}
{"at_ms":12,"event":"created","session":1,"host":"127.0.0.2:2","participant":"p"}
{"at_ms":80,"event":"connected","session":1,"after_ms":70}
{"at_ms":81,"event":"first_packet","session":1,"mid":"0","kind":"audio","after_ms":71}
{"at_ms":6000,"event":"delete","session":1,"host":"127.0.0.2:2","status":200,"authorization":true}
{"at_ms":6001,"event":"ended","session":1,"reason":"deleted","sections":[{"mid":"0","kind":"audio","direction":"sendonly","packets":296,"bytes":9000,"lost":1,"seconds":5.92,"key_frames":0,"size":null,"first_ms":81,"last_ms":5990},{"mid":"1","kind":"video","direction":"inactive","packets":0,"bytes":0,"lost":0,"seconds":0.0,"key_frames":0,"size":null,"first_ms":null,"last_ms":null}]}
"#;

    fn report(run: &str, required: RequiredMedia) -> Report {
        let events = read_events(run.as_bytes()).unwrap();
        Report::of(&events, required)
    }

    fn without(name: &str) -> String {
        let lines = RUN.lines().filter(|line| !line.contains(name));
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn nothing_is_missing_from_a_good_run() {
        let report = report(RUN, RequiredMedia::Audio);
        assert!(report.missing.is_empty(), "{:?}", report.missing);
        for part in [
            "with token",
            "audio sendonly opus, port 9, 0 candidates, msid and video inactive h264",
            "connected 70 ms after the POST",
            "audio: 296 packets, 5.9 s, 1 lost",
            "DELETE on 127.0.0.2:2 (with token) answered 200",
        ] {
            assert!(report.text.contains(part), "{part} in {}", report.text);
        }
    }

    #[test]
    fn video_is_described_by_its_frames() {
        let frames = r#""repaired":3,"frames":{"decodable":170,"longest_gap_ms":80,"recent_gap_ms":40,"frozen_ms":0},"first_ms":81,"#;
        let report = report(
            &RUN.replace(r#""first_ms":81,"#, frames),
            RequiredMedia::Audio,
        );
        let part = "3 sent again, 170 decodable frames, 80 ms without one";
        assert!(report.text.contains(part), "{}", report.text);
    }

    #[test]
    fn video_is_described_by_its_stream_and_messages() {
        let video = r#""video":{"profile":"constrained baseline","level":"3.1","slices":{"min":1,"max":2,"last":1},"b_frames":0,"key_frame_distance_ms":{"min":1000,"max":2000,"last":2000},"frame_rate":29.97,"bit_rate":2500999,"messages":[{"uuid":"9e50","size":5,"text":"go\u001b!","hex":null,"count":3,"first_ms":1,"last_ms":2},{"uuid":"9e51","size":1,"text":null,"hex":"ff","count":1,"first_ms":1,"last_ms":2}]},"first_ms":81,"#;
        let report = report(
            &RUN.replace(r#""first_ms":81,"#, video),
            RequiredMedia::Audio,
        );
        for part in [
            "constrained baseline 3.1, 1 to 2 slices a frame, a key frame every 1000 to 2000 ms, \
             30.0 frames/s, 2500 kbit/s",
            "session 1: 3 times in the video: 5 bytes with UUID 9e50: \"go\\u{1b}!\"",
            "session 1: 1 times in the video: 1 bytes with UUID 9e51: ff",
        ] {
            assert!(report.text.contains(part), "{part} in {}", report.text);
        }
    }

    #[test]
    fn each_missing_thing_is_named() {
        assert_eq!(
            report(RUN, RequiredMedia::Both).missing,
            ["No video packet arrived."]
        );
        assert_eq!(
            report(RUN, RequiredMedia::Video).missing,
            ["No video packet arrived."]
        );
        assert_eq!(
            report("", RequiredMedia::Audio).missing,
            ["No offer arrived."]
        );
        let unconnected = report(&without(r#""connected""#), RequiredMedia::Audio);
        assert_eq!(unconnected.missing, ["Session 1 never connected."]);
        let silent = report(&without(r#""ended""#), RequiredMedia::Audio);
        assert_eq!(silent.missing, ["No audio packet arrived."]);
        let left = report(&without(r#""delete""#), RequiredMedia::Audio);
        assert_eq!(left.missing.len(), 1);
        assert!(left.missing[0].contains("DELETE of session 1"));
    }

    #[test]
    fn a_delete_on_the_wrong_host_does_not_count() {
        let stray = RUN.replace(r#""delete","session":1"#, r#""delete","session":null"#);
        let stray = stray.replace(r#""status":200"#, r#""status":404"#);
        assert_eq!(report(&stray, RequiredMedia::Audio).missing.len(), 1);
    }
}
