//! The open questions, each with its answer or why there is none.

use crate::arguments::{SlowChecks, TestStreams};
use crate::findings::{
    Findings, OfferOutcome, PastExpiry, Posted, SEE_ABOVE, Stream, StreamOutcome,
};
use crate::offers::VideoSection;
use crate::test_stream::{HIGH, PORTRAIT};

/// How the questions that take minutes are answered where they weren't asked.
const NOT_PATIENT: &str = "not asked: takes up to 11 minutes, use `--patient`";
const NOT_PATIENT_TOKEN: &str =
    "not asked: takes up to 16 minutes and a token that expires soon, use `--patient`";

/// Every question with its answer.
pub(crate) fn questions(
    findings: &Findings,
    test_streams: TestStreams,
    slow_checks: SlowChecks,
) -> Vec<Line> {
    let of = Of {
        findings,
        test_streams,
        slow_checks,
    };
    [of.about_replies(), of.about_forms(), of.about_sessions()].concat()
}

/// A question and its answer.
type Line = (&'static str, String);

struct Of<'a> {
    findings: &'a Findings,
    test_streams: TestStreams,
    slow_checks: SlowChecks,
}

impl Of<'_> {
    fn about_replies(&self) -> Vec<Line> {
        vec![
            ("What does an answer look like?", self.answer()),
            (
                "Where does the redirect lead, in how many hops?",
                self.redirect(),
            ),
            ("What does an expired token get?", self.expired()),
            ("Is there an ETag or `Accept-Patch`?", self.etag()),
            (
                "What does a trickle PATCH get?",
                self.look(|look| &look.trickle),
            ),
            (
                "What does an ICE restart by PATCH get?",
                self.look(|look| &look.restart),
            ),
            ("What form has `Location`?", self.location()),
            ("Which `Link` relations are there?", self.links()),
            ("What does OPTIONS get at the endpoint?", self.options()),
            (
                "What does OPTIONS get at the session?",
                self.look(|look| &look.options),
            ),
            ("What does DELETE get?", self.look(|look| &look.delete)),
            (
                "What does a second DELETE get?",
                self.look(|look| &look.delete_again),
            ),
        ]
    }

    fn about_forms(&self) -> Vec<Line> {
        vec![
            (
                "Is an `inactive` video section accepted?",
                self.section(VideoSection::Inactive),
            ),
            (
                "Is a `sendonly` one without frames?",
                self.section(VideoSection::SendOnly),
            ),
            (
                "Is one with msid and without ssrc?",
                self.section(VideoSection::WithoutSsrc),
            ),
            (
                "Is one without ssrc and msid?",
                self.section(VideoSection::WithoutMsid),
            ),
            ("Is a `recvonly` one?", self.section(VideoSection::RecvOnly)),
            ("Is one with port 0?", self.section(VideoSection::PortZero)),
            ("Is VP8 instead of H.264?", self.section(VideoSection::Vp8)),
            (
                "Is an offer without a video section?",
                self.section(VideoSection::None),
            ),
            (
                "Which fillers keep a real stream on the stage?",
                self.filler_modes(),
            ),
        ]
    }

    fn about_sessions(&self) -> Vec<Line> {
        vec![
            (
                "What becomes of a POST right after the DELETE?",
                self.after_delete(),
            ),
            (
                "What becomes of two POSTs with one token?",
                self.concurrent(),
            ),
            ("How long does a lost publisher stay?", self.unconnected()),
            (
                "Does a publish end when its token expires?",
                self.past_expiry(),
            ),
            ("Is H.264 High refused?", self.stream(HIGH)),
            ("Is portrait 720x1280 refused?", self.stream(PORTRAIT)),
        ]
    }

    /// Why a thing that was to be asked was not.
    fn not_learnt(&self, otherwise: &str) -> String {
        let reason = self.findings.stop.as_ref().map(|_| SEE_ABOVE);
        format!("not learnt: {}", reason.unwrap_or(otherwise))
    }

    fn head(&self, told: impl Fn(&crate::findings::SessionReply) -> String) -> String {
        match self.findings.session_reply() {
            Some(head) => told(head),
            None => self.not_learnt("no offer was accepted"),
        }
    }

    fn answer(&self) -> String {
        self.head(|head| match &head.unusable {
            Some(reason) => format!("{}; not usable: {reason}", head.summary),
            None => format!("{}; see \"Sessions\" below", head.summary),
        })
    }

    fn redirect(&self) -> String {
        let Some(offered) = self.findings.offers.first() else {
            return self.not_learnt("nothing was offered");
        };
        let hops = &offered.posted.hops;
        let path: Vec<String> = hops
            .iter()
            .map(|hop| format!("{} ({})", hop.host, hop.status))
            .collect();
        match path.len() {
            0 => self.not_learnt("no reply"),
            1 => format!("no redirect: {}", path.join("")),
            2 => format!("one redirect: {}", path.join(" → ")),
            length => format!("{} redirects: {}", length - 1, path.join(" → ")),
        }
    }

    fn expired(&self) -> String {
        match &self.findings.expired_token {
            Some(posted) => describe_offer(&posted.outcome),
            None => self.not_learnt("no token was given that has expired"),
        }
    }

    fn etag(&self) -> String {
        self.head(|head| {
            let etag = head
                .etag
                .as_ref()
                .map(|form| format!("an ETag, which {form}"));
            let patch = head.accept_patch.as_ref();
            let patch = patch.map(|value| format!("Accept-Patch: {value}"));
            let found: Vec<String> = etag.into_iter().chain(patch).collect();
            match found.is_empty() {
                true => "neither".to_owned(),
                false => found.join("; "),
            }
        })
    }

    fn look(&self, told: impl Fn(&crate::findings::SessionChecks) -> &String) -> String {
        match &self.findings.session_checks {
            Some(look) if told(look).is_empty() => "not learnt: there is no session URL".to_owned(),
            Some(look) => told(look).clone(),
            None => self.not_learnt("no offer was accepted"),
        }
    }

    fn location(&self) -> String {
        self.head(|head| head.location.clone())
    }

    fn links(&self) -> String {
        self.head(|head| match head.links.is_empty() {
            true => "none".to_owned(),
            false => head.links.join(", "),
        })
    }

    fn options(&self) -> String {
        let stop = self.findings.stop.as_deref().unwrap_or_default();
        match &self.findings.endpoint_options {
            // What the first offer met with, too, is told already.
            Some(told) if !stop.contains(told.as_str()) => told.clone(),
            _ => self.not_learnt("not asked"),
        }
    }

    fn section(&self, section: VideoSection) -> String {
        match self.findings.outcome(section) {
            Some(found) => describe_offer(found),
            None => self.not_learnt("not asked"),
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
                "{}; what viewers get was not looked at",
                describe_stream(stream)
            ),
            None => self.no_stream(),
        }
    }

    fn no_stream(&self) -> String {
        match self.test_streams {
            TestStreams::Skipped => "not asked: run without `--http-only`".to_owned(),
            TestStreams::Sent => self.not_learnt("no stream was sent"),
        }
    }

    fn after_delete(&self) -> String {
        match &self.findings.after_delete {
            Some(Posted {
                outcome: found,
                took,
                ..
            }) => {
                format!(
                    "{}, after {:.3} s",
                    describe_offer(found),
                    took.as_secs_f64()
                )
            }
            None => self.not_learnt("no session was made that could be deleted"),
        }
    }

    fn concurrent(&self) -> String {
        let Some(concurrent) = &self.findings.concurrent else {
            return self.not_learnt("no session was made for it");
        };
        let first = match Some(concurrent.first_delete.as_str()) {
            Some("HTTP 404" | "HTTP 410") => "the first session was gone by then",
            Some(status) if status.starts_with("HTTP 2") => {
                "the first session was still there to be deleted"
            }
            _ => "what became of the first session did not show",
        };
        let token = match concurrent.with_spare {
            true => "the second token",
            false => "the first token, as no second was given",
        };
        format!(
            "the second one: {}; {first}; asked with {token}",
            describe_offer(&concurrent.second)
        )
    }

    fn unconnected(&self) -> String {
        let looks = &self.findings.unconnected;
        if self.slow_checks == SlowChecks::Skipped {
            return NOT_PATIENT.to_owned();
        }
        if looks.is_empty() {
            return self.not_learnt("no session was made");
        }
        let looks: Vec<String> = looks
            .iter()
            .map(|(time, told)| format!("after {} s DELETE got {told}", time.as_secs()))
            .collect();
        format!(
            "a session that nobody connected to: {}. One whose publisher vanished could not be \
             deleted, so that was not tried",
            looks.join(", ")
        )
    }

    fn past_expiry(&self) -> String {
        match &self.findings.past_expiry {
            _ if self.slow_checks == SlowChecks::Skipped => NOT_PATIENT_TOKEN.to_owned(),
            None => self.not_learnt("not asked"),
            Some(PastExpiry::NotSent(reason)) => format!("not asked: {reason}"),
            Some(PastExpiry::Sent(stream)) => {
                format!(
                    "sent until after the token's end: {}",
                    describe_stream(stream)
                )
            }
        }
    }
}

/// A verdict in a few words.
pub(crate) fn describe_offer(outcome: &OfferOutcome) -> String {
    match outcome {
        OfferOutcome::Accepted(head) => match &head.unusable {
            None => format!("accepted ({}): {}", head.status, head.summary),
            Some(reason) => format!("accepted ({}), but {reason}", head.status),
        },
        OfferOutcome::Refused(told) => format!("refused: {told}"),
        OfferOutcome::Conflict(told) => {
            format!("refused, as another session is in the way: {told}")
        }
        OfferOutcome::Inconclusive(words) => format!("no verdict: {words}"),
    }
}

/// What became of a stream, in a few words.
pub(crate) fn describe_stream(stream: &Stream) -> String {
    match &stream.outcome {
        StreamOutcome::Stayed(time) => {
            format!("stayed for {:.1} s, to its end", time.as_secs_f64())
        }
        StreamOutcome::Failed {
            reason: words,
            published: Some(time),
        } => format!("lost after {:.1} s: {words}", time.as_secs_f64()),
        StreamOutcome::Failed { reason: words, .. } => format!("never on the stage: {words}"),
        StreamOutcome::NotSent(reason) => format!("not tried: {reason}"),
    }
}
