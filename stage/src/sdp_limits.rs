//! Bounds what an SDP body may hold, before anything is computed or recorded
//! from it: a text comes in, the limit that it exceeds goes out. A publisher's
//! offer is far below each limit.

/// Maximum length of a body, in bytes. A browser's offer has about 10,000.
const LENGTH: usize = 64 * 1024;

/// Maximum number of lines.
const LINES: usize = 2000;

/// Maximum length of a line, in bytes.
const LINE_LENGTH: usize = 2048;

/// Maximum number of sections. IVS takes one of audio and one of video.
const SECTIONS: usize = 16;

/// Maximum number of candidates in a body. The far end checks a hundred pairs.
const CANDIDATES: usize = 256;

/// Maximum length of a value that events repeat, in bytes.
const VALUE_LENGTH: usize = 64;

/// The first limit that a body exceeds, in words.
pub(crate) fn excess(sdp: &str) -> Option<String> {
    if sdp.len() > LENGTH {
        return Some(format!("the body is longer than {LENGTH} bytes"));
    }
    let (mut lines, mut sections, mut candidates) = (0, 0, 0);
    for line in sdp.lines() {
        lines += 1;
        sections += usize::from(line.starts_with("m="));
        candidates += usize::from(line.starts_with("a=candidate:"));
        if line.len() > LINE_LENGTH {
            return Some(format!("line {lines} is longer than {LINE_LENGTH} bytes"));
        }
        if repeated_value(line).is_some_and(|value| value.len() > VALUE_LENGTH) {
            return Some(format!(
                "line {lines} has a mid, setup or codec longer than {VALUE_LENGTH} bytes"
            ));
        }
    }
    let counts = [
        (lines, LINES, "lines"),
        (sections, SECTIONS, "sections"),
        (candidates, CANDIDATES, "candidates"),
    ];
    let over = counts.into_iter().find(|(count, limit, _)| count > limit);
    over.map(|(count, limit, what)| format!("the body has {count} {what}, more than {limit}"))
}

/// A value that [`OfferSection`](crate::OfferSection) keeps.
fn repeated_value(line: &str) -> Option<&str> {
    let (name, value) = line.strip_prefix("a=")?.split_once(':')?;
    match name {
        "mid" | "setup" => Some(value),
        "rtpmap" => value.split_once(' ').map(|(_, codec)| codec),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(sdp: &str, what: &str) -> bool {
        excess(sdp).is_some_and(|text| text.contains(what))
    }

    #[test]
    fn each_limit_is_named_and_holds_at_its_edge() {
        let section = "m=audio 9 X 0\r\n";
        let candidate = "a=candidate:1 1 UDP 1 192.0.2.1 5000 typ host\r\n";
        for (part, limit, what) in [
            (section, SECTIONS, "sections"),
            (candidate, CANDIDATES, "candidates"),
            ("a=x\r\n", LINES, "lines"),
            ("x", LINE_LENGTH, "line 1 "),
        ] {
            assert_eq!(excess(&part.repeat(limit)), None, "{what}");
            assert!(named(&part.repeat(limit + 1), what), "{what}");
        }
        let lines = "y".repeat(LINE_LENGTH - 1) + "\n";
        let longest = lines.repeat(LENGTH / LINE_LENGTH);
        assert_eq!((longest.len(), excess(&longest)), (LENGTH, None));
        assert!(named(&(longest + "y"), "the body is longer"));
    }

    #[test]
    fn values_that_events_repeat_are_short() {
        for name in ["a=mid:", "a=setup:", "a=rtpmap:96 "] {
            let value = "v".repeat(VALUE_LENGTH);
            assert_eq!(excess(&format!("{name}{value}")), None);
            assert!(named(&format!("{name}{value}v"), "mid, setup or codec"));
        }
        let other = "v".repeat(VALUE_LENGTH + 1);
        assert_eq!(excess(&format!("a=fmtp:96 {other}")), None);
    }
}
