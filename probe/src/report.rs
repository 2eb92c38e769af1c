//! The report, in Markdown.

use std::time::SystemTime;

use crate::arguments::TestStreams;
use crate::findings::{OfferOutcome, PastExpiry, Posted};
use crate::probe::Probe;
use crate::questions::{describe_offer, describe_stream, questions};
use crate::stop::Stop;

/// Writes the report and redacts it.
pub(crate) fn write(probe: &mut Probe, stop: Option<&Stop>) -> String {
    probe.findings.stop = stop.map(Stop::to_string);
    let mut report = String::new();
    for part in [
        heading(probe),
        answers(probe),
        redirects(probe),
        offers(probe),
        sessions(probe),
        streams(probe),
        session_counts(probe),
    ] {
        report.push_str(&part);
    }
    probe.redactor.redact_report(&report)
}

fn heading(probe: &Probe) -> String {
    let endpoint = probe
        .redactor
        .redact_report(&probe.arguments.endpoint.host());
    let gstreamer = match probe.arguments.test_streams {
        TestStreams::Sent => gst::version_string().to_string(),
        TestStreams::Skipped => "without test streams".to_owned(),
    };
    let stopped = match &probe.findings.stop {
        Some(reason) => format!("\n**The run is incomplete: {reason}.**\n"),
        None => String::new(),
    };
    format!(
        "# Stage report\n\n- Endpoint: {endpoint}\n- Date: {}\n- stage_probe {}, {gstreamer}\n\
         - Tokens: {}\n{stopped}",
        httpdate::fmt_http_date(SystemTime::now()),
        env!("CARGO_PKG_VERSION"),
        probe.arguments.tokens.all.len(),
    )
}

fn answers(probe: &Probe) -> String {
    let arguments = &probe.arguments;
    let mut text = "\n## Answers\n\n".to_owned();
    for (question, answer) in questions(
        &probe.findings,
        arguments.test_streams,
        arguments.slow_checks,
    ) {
        text.push_str(&format!(
            "- {question} **{}.**\n",
            answer.trim_end_matches('.')
        ));
    }
    text
}

fn redirects(probe: &Probe) -> String {
    let mut text = "\n## Redirects and times\n\n".to_owned();
    for offered in &probe.findings.offers {
        text.push_str(&format!(
            "- {}: {}\n",
            offered.section.name(),
            way(&offered.posted)
        ));
    }
    if let Some(posted) = &probe.findings.after_delete {
        text.push_str(&format!("- right after a DELETE: {}\n", way(posted)));
    }
    text
}

fn way(posted: &Posted) -> String {
    let hops: Vec<String> = posted
        .hops
        .iter()
        .map(|hop| {
            format!(
                "{} {} {:.3} s",
                hop.host,
                hop.status,
                hop.took.as_secs_f64()
            )
        })
        .collect();
    let hops = match hops.is_empty() {
        true => "no reply".to_owned(),
        false => hops.join(" → "),
    };
    format!("{hops}; {:.3} s in all", posted.took.as_secs_f64())
}

fn offers(probe: &Probe) -> String {
    let mut text =
        "\n## Offers\n\n| video section | outcome | time |\n| --- | --- | --- |\n".to_owned();
    for offered in &probe.findings.offers {
        let outcome = describe_offer(&offered.posted.outcome).replace('|', "/");
        let took = offered.posted.took.as_secs_f64();
        text.push_str(&format!(
            "| {} | {outcome} | {took:.3} s |\n",
            offered.section.name()
        ));
    }
    text
}

/// The replies that made sessions. One like an earlier one is not repeated.
fn sessions(probe: &Probe) -> String {
    let mut text = "\n## Sessions\n".to_owned();
    let mut written: Vec<Vec<String>> = Vec::new();
    for offered in &probe.findings.offers {
        let OfferOutcome::Accepted(reply) = &offered.posted.outcome else {
            continue;
        };
        let mut lines = vec![format!("`Location`: {}", reply.location)];
        lines.push(match &reply.etag {
            Some(form) => format!("ETag {form}"),
            None => "no ETag".to_owned(),
        });
        lines.extend(reply.links.iter().map(|link| format!("`Link`: {link}")));
        lines.extend(reply.answer.iter().map(|line| format!("answer, {line}")));
        text.push_str(&format!("\n{}:\n\n", offered.section.name()));
        if written.contains(&lines) {
            text.push_str("- the same as one above\n");
            continue;
        }
        for line in &lines {
            text.push_str(&format!("- {line}\n"));
        }
        written.push(lines);
    }
    if let Some(reply) = probe.findings.session_reply() {
        text.push_str(&format!(
            "\nThe first answer, with … for private values:\n\n```text\n{}\n```\n",
            reply.outline.join("\n").replace("```", "")
        ));
    }
    if let Some(checks) = &probe.findings.session_checks {
        text.push_str(&format!(
            "\nOPTIONS, PATCH and DELETE were sent for the session of: {}.\n",
            checks.section.name()
        ));
    }
    text
}

fn streams(probe: &Probe) -> String {
    let mut text = "\n## Test streams\n\n".to_owned();
    let past_expiry = match &probe.findings.past_expiry {
        Some(PastExpiry::Sent(stream)) => Some(stream),
        _ => None,
    };
    for stream in probe.findings.streams.iter().chain(past_expiry) {
        let states: Vec<String> = stream
            .states
            .iter()
            .map(|(state, since)| format!("{state} {:.3} s", since.as_secs_f64()))
            .collect();
        text.push_str(&format!("- {}: {}", stream.name, describe_stream(stream)));
        if !states.is_empty() {
            text.push_str(&format!(" ({} since PLAYING)", states.join(", ")));
        }
        if !stream.statistics.is_empty() {
            text.push_str(&format!("; {}", stream.statistics.join(", ")));
        }
        text.push('\n');
    }
    if probe.findings.streams.is_empty() {
        text.push_str("None was sent.\n");
    }
    text
}

fn session_counts(probe: &Probe) -> String {
    let sessions = &probe.sessions;
    let mut text = format!(
        "\n## Sessions of this run\n\nOffers sent: {}. Sessions opened: {}, deleted: {}.\n",
        sessions.offers, sessions.opened, sessions.deleted
    );
    for problem in &sessions.problems {
        text.push_str(&format!(
            "\n- {}\n",
            probe.redactor.redact_server_text(problem)
        ));
    }
    text
}
