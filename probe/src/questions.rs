//! The questions, each with its answer or why there is none.

use crate::arguments::{SlowChecks, TestStreams};
use crate::findings::{
    Findings, OfferOutcome, PastExpiry, SEE_ABOVE, SessionChecks, SessionReply, Stream,
    StreamOutcome,
};
use crate::offers::VideoSection;
use crate::test_stream::{HIGH, PORTRAIT};

/// The answers to the slow checks when they were skipped.
const NEEDS_PATIENT: &str = "not checked: takes up to 11 minutes, use `--patient`";
const NEEDS_PATIENT_AND_TOKEN: &str =
    "not checked: takes up to 16 minutes and a token that expires soon, use `--patient`";

/// Every question with its answer.
pub(crate) fn questions(
    findings: &Findings,
    test_streams: TestStreams,
    slow_checks: SlowChecks,
) -> Vec<Line> {
    let answers = Answers {
        findings,
        test_streams,
        slow_checks,
    };
    [
        answers.about_replies(),
        answers.about_video_sections(),
        answers.about_sessions(),
    ]
    .concat()
}

/// A question and its answer.
type Line = (&'static str, String);

struct Answers<'a> {
    findings: &'a Findings,
    test_streams: TestStreams,
    slow_checks: SlowChecks,
}

impl Answers<'_> {
    fn about_replies(&self) -> Vec<Line> {
        vec![
            ("What does an answer look like?", self.answer()),
            ("Where does the redirect lead?", self.redirect()),
            ("What does an expired token get?", self.expired()),
            ("Is there an ETag or `Accept-Patch`?", self.etag()),
            (
                "What does a trickle PATCH get?",
                self.session_check(|checks| &checks.trickle),
            ),
            (
                "What does an ICE restart by PATCH get?",
                self.session_check(|checks| &checks.restart),
            ),
            ("What form has `Location`?", self.location()),
            ("Which `Link` relations are there?", self.links()),
            ("What does OPTIONS get at the endpoint?", self.options()),
            (
                "What does OPTIONS get at the session?",
                self.session_check(|checks| &checks.options),
            ),
            (
                "What does DELETE get?",
                self.session_check(|checks| &checks.delete),
            ),
            (
                "What does a second DELETE get?",
                self.session_check(|checks| &checks.delete_again),
            ),
        ]
    }

    fn about_video_sections(&self) -> Vec<Line> {
        vec![
            (
                "Is an `inactive` video section accepted?",
                self.section(VideoSection::Inactive),
            ),
            (
                "Is a `sendonly` one, without media?",
                self.section(VideoSection::SendOnly),
            ),
            (
                "Is a `sendonly` one with msid and without ssrc?",
                self.section(VideoSection::WithoutSsrc),
            ),
            (
                "Is a `sendonly` one without msid and ssrc?",
                self.section(VideoSection::WithoutMsid),
            ),
            ("Is a `recvonly` one?", self.section(VideoSection::RecvOnly)),
            ("Is one with port 0?", self.section(VideoSection::PortZero)),
            (
                "Is one with VP8 instead of H.264?",
                self.section(VideoSection::Vp8),
            ),
            (
                "Is an offer without a video section?",
                self.section(VideoSection::None),
            ),
            (
                "Which filler modes keep a stream on the stage?",
                self.filler_modes(),
            ),
        ]
    }

    fn about_sessions(&self) -> Vec<Line> {
        vec![
            (
                "What does a POST right after the DELETE get?",
                self.after_delete(),
            ),
            (
                "What does a second session with the same token get?",
                self.concurrent(),
            ),
            (
                "How long does a session stay that no client connects to?",
                self.unconnected(),
            ),
            (
                "Does a stream end when its token expires?",
                self.past_expiry(),
            ),
            ("Is H.264 High refused?", self.stream(HIGH)),
            ("Is portrait 720x1280 refused?", self.stream(PORTRAIT)),
        ]
    }

    /// Why there is no answer: the stop, if there was one, else `reason`.
    fn unknown(&self, reason: &str) -> String {
        let stop = self.findings.stop.as_ref().map(|_| SEE_ABOVE);
        format!("unknown: {}", stop.unwrap_or(reason))
    }

    fn session_reply(&self, answer: impl Fn(&SessionReply) -> String) -> String {
        match self.findings.session_reply() {
            Some(reply) => answer(reply),
            None => self.unknown("no offer was accepted"),
        }
    }

    fn answer(&self) -> String {
        self.session_reply(|reply| match &reply.unusable {
            Some(reason) => format!("{}; not usable: {reason}", reply.summary),
            None => format!("{}; see \"Sessions\" below", reply.summary),
        })
    }

    fn redirect(&self) -> String {
        let Some(offered) = self.findings.offers.first() else {
            return self.unknown("no offer was sent");
        };
        let hops = &offered.posted.hops;
        let hosts: Vec<String> = hops
            .iter()
            .map(|hop| format!("{} ({})", hop.host, hop.status))
            .collect();
        match hosts.len() {
            0 => self.unknown("no reply"),
            1 => format!("no redirect: {}", hosts.join("")),
            2 => format!("one redirect: {}", hosts.join(" → ")),
            count => format!("{} redirects: {}", count - 1, hosts.join(" → ")),
        }
    }

    fn expired(&self) -> String {
        match &self.findings.expired_token {
            Some(posted) => describe_offer(&posted.outcome),
            None => self.unknown("no expired token was given"),
        }
    }

    fn etag(&self) -> String {
        self.session_reply(|reply| {
            let etag = reply.etag.as_ref();
            let etag = etag.map(|form| format!("an ETag, which {form}"));
            let patch = reply.accept_patch.as_ref();
            let patch = patch.map(|value| format!("Accept-Patch: {value}"));
            let found: Vec<String> = etag.into_iter().chain(patch).collect();
            match found.is_empty() {
                true => "neither".to_owned(),
                false => found.join("; "),
            }
        })
    }

    fn session_check(&self, reply: impl Fn(&SessionChecks) -> &String) -> String {
        match &self.findings.session_checks {
            Some(checks) if reply(checks).is_empty() => {
                "unknown: the server gave no session URL".to_owned()
            }
            Some(checks) => reply(checks).clone(),
            None => self.unknown("no offer was accepted"),
        }
    }

    fn location(&self) -> String {
        self.session_reply(|reply| reply.location.clone())
    }

    fn links(&self) -> String {
        self.session_reply(|reply| match reply.links.is_empty() {
            true => "none".to_owned(),
            false => reply.links.join(", "),
        })
    }

    fn options(&self) -> String {
        let stop = self.findings.stop.as_deref().unwrap_or_default();
        match &self.findings.endpoint_options {
            // Not repeated if it failed as the offer did that ended the run.
            Some(reply) if !stop.contains(reply.as_str()) => reply.clone(),
            _ => self.unknown("not checked"),
        }
    }

    fn section(&self, section: VideoSection) -> String {
        match self.findings.outcome(section) {
            Some(outcome) => describe_offer(outcome),
            None => self.unknown("not checked"),
        }
    }

    fn filler_modes(&self) -> String {
        let modes = self.findings.streams.iter();
        let modes: Vec<String> = modes
            .filter(|stream| stream.name.contains("video-filler"))
            .map(|stream| format!("{}: {}", stream.name, describe_stream(stream)))
            .collect();
        match modes.is_empty() {
            true => self.no_stream(),
            false => modes.join("; "),
        }
    }

    fn stream(&self, name: &str) -> String {
        let mut streams = self.findings.streams.iter();
        match streams.find(|stream| stream.name == name) {
            Some(stream) => format!(
                "{}; what viewers see was not checked",
                describe_stream(stream)
            ),
            None => self.no_stream(),
        }
    }

    fn no_stream(&self) -> String {
        match self.test_streams {
            TestStreams::Skipped => "not checked: run without `--http-only`".to_owned(),
            TestStreams::Sent => self.unknown("no stream was sent"),
        }
    }

    fn after_delete(&self) -> String {
        match &self.findings.after_delete {
            Some(posted) => {
                let took = posted.took.as_secs_f64();
                format!("{}, after {took:.3} s", describe_offer(&posted.outcome))
            }
            None => self.unknown("no offer was accepted"),
        }
    }

    fn concurrent(&self) -> String {
        let Some(concurrent) = &self.findings.concurrent else {
            return self.unknown("no session was made");
        };
        let first = match concurrent.first_delete.as_str() {
            "HTTP 404" | "HTTP 410" => "the first session was gone",
            status if status.starts_with("HTTP 2") => "the first session was still there",
            _ => "what became of the first session is unknown",
        };
        let token = match concurrent.with_spare {
            true => "the second token",
            false => "the first token, as no second one was given",
        };
        format!(
            "{}; {first}; with {token}",
            describe_offer(&concurrent.second)
        )
    }

    fn unconnected(&self) -> String {
        let unconnected = &self.findings.unconnected;
        if self.slow_checks == SlowChecks::Skipped {
            return NEEDS_PATIENT.to_owned();
        }
        if unconnected.is_empty() {
            return self.unknown("no session was made");
        }
        let deletes: Vec<String> = unconnected
            .iter()
            .map(|(time, reply)| format!("after {} s DELETE got {reply}", time.as_secs()))
            .collect();
        format!(
            "{}. A publisher that vanishes was not tried, since it could not delete its session",
            deletes.join(", ")
        )
    }

    fn past_expiry(&self) -> String {
        match &self.findings.past_expiry {
            _ if self.slow_checks == SlowChecks::Skipped => NEEDS_PATIENT_AND_TOKEN.to_owned(),
            None => self.unknown("not checked"),
            Some(PastExpiry::NotSent(reason)) => format!("not checked: {reason}"),
            Some(PastExpiry::Sent(stream)) => {
                format!("sent until after the expiry: {}", describe_stream(stream))
            }
        }
    }
}

/// What came of an offer, in a few words.
pub(crate) fn describe_offer(outcome: &OfferOutcome) -> String {
    match outcome {
        OfferOutcome::Accepted(reply) => match &reply.unusable {
            None => format!("accepted ({}): {}", reply.status, reply.summary),
            Some(reason) => format!("accepted ({}), but {reason}", reply.status),
        },
        OfferOutcome::Refused(reply) => format!("refused: {reply}"),
        OfferOutcome::Conflict(reply) => {
            format!("refused, as another session is in the way: {reply}")
        }
        OfferOutcome::Inconclusive(reason) => format!("inconclusive: {reason}"),
    }
}

/// What came of a stream, in a few words.
pub(crate) fn describe_stream(stream: &Stream) -> String {
    match &stream.outcome {
        StreamOutcome::Stayed(time) => {
            format!("stayed for the whole {:.1} s", time.as_secs_f64())
        }
        StreamOutcome::Failed {
            reason,
            published: Some(time),
        } => format!("lost after {:.1} s: {reason}", time.as_secs_f64()),
        StreamOutcome::Failed { reason, .. } => format!("never on the stage: {reason}"),
        StreamOutcome::NotSent(reason) => format!("not sent: {reason}"),
    }
}
