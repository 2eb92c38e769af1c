//! Edits an answer: str0m's SDP and a form come in, the SDP in that form goes
//! out.

use std::fmt;

use crate::feedback::Feedback;
use crate::offer::OfferSection;
use crate::reply_rules::{
    AnswerForm, BundleLine, CandidatePlace, Certificate, IceMode, Level, SectionAnswer,
};

/// The answer in this form. It also has `recvonly` where str0m answers
/// `sendrecv` to `sendrecv` (RFC 9725 4.2).
pub(crate) fn apply_form(answer: &str, form: &AnswerForm) -> String {
    let mut answer = Answer::read(answer);
    answer.receive_only();
    let candidates = answer.take_candidates();
    answer.reject_sections(form);
    answer.place_candidates(&candidates, form.candidates);
    answer.place(&["setup"], form.setup);
    answer.place(&["fingerprint"], form.fingerprint);
    answer.place(&["ice-ufrag", "ice-pwd"], form.ice_credentials);
    if form.bundle == BundleLine::Missing {
        answer.session.retain(|line| !is(line, "group"));
    }
    if form.certificate == Certificate::Other {
        answer.for_each_line(change_fingerprint);
    }
    if form.ice == IceMode::Lite {
        answer.session.push("a=ice-lite".to_owned());
    }
    answer.to_string()
}

/// The answer to a viewer: candidates as on IVS, and nothing is received.
pub(crate) fn for_viewer(answer: &str) -> String {
    let mut answer = Answer::read(answer);
    answer.for_each_line(|line| {
        if line == "a=sendrecv" {
            "a=sendonly".clone_into(line);
        }
    });
    let candidates = answer.take_candidates();
    answer.place_candidates(&candidates, CandidatePlace::FirstSection);
    answer.to_string()
}

/// The answer without the feedback that the far end doesn't send.
pub(crate) fn without_feedback(answer: &str, feedback: Feedback) -> String {
    let mut answer = Answer::read(answer);
    for section in &mut answer.sections {
        section.retain(|line| !feedback.forbids(line));
    }
    answer.to_string()
}

/// Whether the answer rejects (port 0) a section that the offer did not.
pub(crate) fn rejects_offered(answer: &str, offered: &[OfferSection]) -> bool {
    let answered = answer.lines().filter_map(|line| line.strip_prefix("m="));
    let ports = answered.map(|media| media.split(' ').nth(1));
    let mut pairs = ports.zip(offered);
    pairs.any(|(port, offered)| port == Some("0") && (offered.port != 0 || offered.bundle_only))
}

/// An answer's lines without their CRLF. A section starts with its `m=` line.
struct Answer {
    session: Vec<String>,
    sections: Vec<Vec<String>>,
}

impl Answer {
    fn read(text: &str) -> Self {
        let mut answer = Self {
            session: Vec::new(),
            sections: Vec::new(),
        };
        for line in text.lines().map(str::to_owned) {
            if line.starts_with("m=") {
                answer.sections.push(Vec::new());
            }
            let part = answer.sections.last_mut().unwrap_or(&mut answer.session);
            part.push(line);
        }
        answer
    }

    fn for_each_line(&mut self, change: impl Fn(&mut String)) {
        let sections = self.sections.iter_mut().flatten();
        self.session.iter_mut().chain(sections).for_each(change);
    }

    fn receive_only(&mut self) {
        self.for_each_line(|line| {
            if line == "a=sendrecv" {
                "a=recvonly".clone_into(line);
            }
        });
    }

    /// Removes the candidates. All sections have the same ones, so it returns
    /// those of the first.
    fn take_candidates(&mut self) -> Vec<String> {
        let mut sections = self.sections.iter_mut();
        let mut taken = sections
            .by_ref()
            .map(|section| section.extract_if(.., |line| is_candidate(line)).collect());
        let first = taken.next().unwrap_or_default();
        taken.for_each(|_: Vec<String>| {});
        first
    }

    fn place_candidates(&mut self, candidates: &[String], place: CandidatePlace) {
        let many = match place {
            CandidatePlace::FirstSection => 1,
            CandidatePlace::AllSections => self.sections.len(),
            CandidatePlace::Nowhere => 0,
        };
        let open = self.sections.iter_mut().filter(|section| !closed(section));
        for section in open.take(many) {
            section.extend_from_slice(candidates);
        }
    }

    /// Rejects the sections that the form rejects.
    fn reject_sections(&mut self, form: &AnswerForm) {
        let mut rejected = Vec::new();
        for section in &mut self.sections {
            let answer = match section.first() {
                Some(line) if line.starts_with("m=audio") => form.audio,
                Some(line) if line.starts_with("m=video") => form.video,
                _ => SectionAnswer::Accepted,
            };
            if answer != SectionAnswer::Accepted {
                rejected.extend(value(section, "mid").map(str::to_owned));
                reject(section, answer);
            }
        }
        for line in self.session.iter_mut().filter(|line| is(line, "group")) {
            let words = line.split(' ');
            let words: Vec<&str> = words
                .filter(|mid| !rejected.iter().any(|other| other == mid))
                .collect();
            *line = words.join(" ");
        }
    }

    /// Moves or copies attributes from the sections to the session part.
    fn place(&mut self, names: &[&str], level: Level) {
        if level == Level::Section {
            return;
        }
        let named = |line: &String| names.iter().any(|name| is(line, name));
        let open = self.sections.iter().find(|section| !closed(section));
        let lines = open.into_iter().flatten().filter(|line| named(line));
        self.session.extend(lines.cloned());
        if level == Level::Session {
            for section in &mut self.sections {
                section.retain(|line| !named(line));
            }
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.session.iter().chain(self.sections.iter().flatten());
        lines.try_for_each(|line| write!(f, "{line}\r\n"))
    }
}

fn reject(section: &mut Vec<String>, answer: SectionAnswer) {
    let Some(media) = section.first_mut() else {
        return;
    };
    let mut words: Vec<&str> = media.split(' ').collect();
    if let Some(port) = words.get_mut(1) {
        *port = "0";
    }
    if answer == SectionAnswer::RejectedBare {
        words.truncate(3);
        words.push("0");
    }
    *media = words.join(" ");
    if answer == SectionAnswer::RejectedBare {
        section.truncate(1);
        section.push("c=IN IP4 0.0.0.0".to_owned());
    }
}

/// Makes it the fingerprint of another certificate, by each digit's complement.
fn change_fingerprint(line: &mut String) {
    if !is(line, "fingerprint") {
        return;
    }
    if let Some((head, digits)) = line.rsplit_once(' ') {
        let digits = digits.chars().map(|digit| match digit.to_digit(16) {
            Some(number) => {
                char::from_digit(15 - number, 16).map_or(digit, |d| d.to_ascii_uppercase())
            }
            None => digit,
        });
        *line = format!("{head} {}", digits.collect::<String>());
    }
}

fn closed(section: &[String]) -> bool {
    let media = section.first().map_or("", String::as_str);
    media.split(' ').nth(1) == Some("0")
}

fn value<'a>(section: &'a [String], name: &str) -> Option<&'a str> {
    let line = section.iter().find(|line| is(line, name))?;
    line.split_once(':').map(|(_, value)| value)
}

/// Whether a line is the attribute with this name.
fn is(line: &str, name: &str) -> bool {
    let attribute = line.strip_prefix("a=").unwrap_or("");
    attribute.split(':').next() == Some(name)
}

fn is_candidate(line: &str) -> bool {
    is(line, "candidate") || is(line, "end-of-candidates")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::read_sections;

    const ANSWER: &str = "v=0\r\na=group:BUNDLE 0 1\r\n\
        m=audio 9 P 96\r\na=mid:0\r\na=sendrecv\r\na=setup:active\r\na=ice-ufrag:u\r\n\
        a=fingerprint:sha-256 0F:A5\r\na=candidate:1 a\r\na=end-of-candidates\r\n\
        m=video 9 P 97\r\na=mid:1\r\na=inactive\r\na=setup:active\r\na=ice-ufrag:u\r\n\
        a=fingerprint:sha-256 0F:A5\r\na=candidate:1 a\r\na=end-of-candidates\r\n";

    /// The session part and the sections of the answer in a form.
    fn formed(form: &AnswerForm) -> Vec<String> {
        let text = apply_form(ANSWER, form);
        text.split("m=").map(str::to_owned).collect()
    }

    #[test]
    fn a_rejected_section_is_found() {
        let open = read_sections("v=0\r\nm=audio 9 X 96\r\n").unwrap();
        assert!(!rejects_offered("v=0\r\nm=audio 9 X 96\r\n", &open));
        assert!(rejects_offered("v=0\r\nm=audio 0 X\r\n", &open));
        let closed = read_sections("v=0\r\nm=audio 0 X 96\r\n").unwrap();
        assert!(!rejects_offered("v=0\r\nm=audio 0 X\r\n", &closed));
    }

    #[test]
    fn by_default_candidates_are_in_the_first_section_only() {
        let parts = formed(&AnswerForm::default());
        assert_eq!(parts[0], "v=0\r\na=group:BUNDLE 0 1\r\n");
        assert!(parts[1].contains("a=recvonly\r\n"));
        assert!(parts[1].ends_with("a=candidate:1 a\r\na=end-of-candidates\r\n"));
        assert!(parts[2].contains("a=inactive\r\n") && !parts[2].contains("candidate"));
    }

    #[test]
    fn a_rejected_section_leaves_the_bundle() {
        let parts = formed(&AnswerForm {
            video: SectionAnswer::Rejected,
            candidates: CandidatePlace::AllSections,
            ..AnswerForm::default()
        });
        assert_eq!(parts[0], "v=0\r\na=group:BUNDLE 0\r\n");
        assert!(parts[1].contains("candidate"));
        assert!(parts[2].starts_with("video 0 P 97\r\na=mid:1\r\n"));
        assert!(!parts[2].contains("candidate"));

        let parts = formed(&AnswerForm {
            audio: SectionAnswer::RejectedBare,
            ..AnswerForm::default()
        });
        assert_eq!(parts[0], "v=0\r\na=group:BUNDLE 1\r\n");
        assert_eq!(parts[1], "audio 0 P 0\r\nc=IN IP4 0.0.0.0\r\n");
        assert!(parts[2].contains("candidate"));
    }

    #[test]
    fn attributes_move_to_the_session_or_are_copied() {
        let parts = formed(&AnswerForm {
            setup: Level::Session,
            fingerprint: Level::Both,
            ..AnswerForm::default()
        });
        assert!(parts[0].contains("a=setup:active\r\na=fingerprint:sha-256 0F:A5\r\n"));
        assert!(!parts[1].contains("setup") && parts[1].contains("fingerprint"));
        assert!(parts[2].contains("ice-ufrag"));
    }

    #[test]
    fn a_wrong_fingerprint_differs_in_every_digit() {
        let parts = formed(&AnswerForm {
            certificate: Certificate::Other,
            ..AnswerForm::default()
        });
        assert!(parts[1].contains("a=fingerprint:sha-256 F0:5A\r\n"));
    }

    #[test]
    fn lines_can_be_missing_or_added() {
        let parts = formed(&AnswerForm {
            bundle: BundleLine::Missing,
            ice: IceMode::Lite,
            candidates: CandidatePlace::Nowhere,
            ..AnswerForm::default()
        });
        assert_eq!(parts[0], "v=0\r\na=ice-lite\r\n");
        assert!(!parts.concat().contains("candidate"));
    }
}
