//! The answer in the form that IVS gives it.

use crate::offer::OfferSection;

/// Rewrites an answer: candidates only in the first section, as IVS sends
/// them, and `recvonly` where a `sendrecv` offer was mirrored (RFC 9725 4.2).
pub(crate) fn in_ivs_form(answer: &str) -> String {
    let mut section = 0;
    let mut text = String::with_capacity(answer.len());
    for line in answer.lines() {
        if line.starts_with("m=") {
            section += 1;
        }
        if section > 1 && is_candidate(line) {
            continue;
        }
        let line = if line == "a=sendrecv" {
            "a=recvonly"
        } else {
            line
        };
        text.push_str(line);
        text.push_str("\r\n");
    }
    text
}

/// Whether the answer turns down (port 0) a section that the offer had open.
pub(crate) fn rejects_some(answer: &str, offered: &[OfferSection]) -> bool {
    let answered = answer.lines().filter_map(|line| line.strip_prefix("m="));
    let ports = answered.map(|media| media.split(' ').nth(1));
    let mut pairs = ports.zip(offered);
    pairs.any(|(port, offered)| port == Some("0") && (offered.port != 0 || offered.bundle_only))
}

fn is_candidate(line: &str) -> bool {
    line.starts_with("a=candidate:") || line == "a=end-of-candidates"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offer::read_sections;

    #[test]
    fn a_section_turned_down_is_found() {
        let open = read_sections("v=0\r\nm=audio 9 X 96\r\n").unwrap();
        assert!(!rejects_some("v=0\r\nm=audio 9 X 96\r\n", &open));
        assert!(rejects_some("v=0\r\nm=audio 0 X\r\n", &open));
        let closed = read_sections("v=0\r\nm=audio 0 X 96\r\n").unwrap();
        assert!(!rejects_some("v=0\r\nm=audio 0 X\r\n", &closed));
    }

    #[test]
    fn candidates_stay_in_the_first_section_only() {
        let answer = "v=0\r\nm=audio 9 X 96\r\na=sendrecv\r\na=candidate:1 a\r\n\
            a=end-of-candidates\r\nm=video 9 X 97\r\na=inactive\r\na=candidate:1 a\r\n\
            a=end-of-candidates\r\na=mid:1\r\n";
        assert_eq!(
            in_ivs_form(answer),
            "v=0\r\nm=audio 9 X 96\r\na=recvonly\r\na=candidate:1 a\r\n\
            a=end-of-candidates\r\nm=video 9 X 97\r\na=inactive\r\na=mid:1\r\n"
        );
    }
}
