//! Parses a PATCH: its body (RFC 8840 9, as RFC 9725 4.3 uses it) becomes a
//! fragment, its `If-Match` header an [`IfMatch`]. The parser is lenient.

use serde::{Deserialize, Serialize};

/// The `Content-Type` of a PATCH.
pub(crate) const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// How a request's `If-Match` header compares with the session's ETag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfMatch {
    /// There is no such header.
    #[default]
    None,
    /// It is the session's ETag, byte for byte.
    Equal,
    /// It is a bare star, which matches any ETag (RFC 9110 13.1.1).
    Star,
    /// Anything else.
    Other,
}

impl IfMatch {
    pub(crate) fn of(value: Option<&[u8]>, etag: Option<&str>) -> Self {
        match value {
            None => Self::None,
            Some(value) if etag.is_some_and(|etag| etag.as_bytes() == value) => Self::Equal,
            Some(b"*") => Self::Star,
            Some(_) => Self::Other,
        }
    }
}

/// The body of a PATCH. Its lines end in CRLF or LF.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Values of candidate attributes, `candidate:` included.
    pub(crate) candidates: Vec<String>,
    /// Whether `a=end-of-candidates` is there.
    pub(crate) end: bool,
    /// ICE user fragments, of the session part or of sections.
    pub(crate) ufrags: Vec<String>,
    /// The `mid` of each section.
    pub(crate) mids: Vec<String>,
}

impl Fragment {
    /// Parses a body. `None` if no line is about ICE.
    pub(crate) fn read(body: &str) -> Option<Self> {
        let mut fragment = Self::default();
        for attribute in body.lines().filter_map(|line| line.strip_prefix("a=")) {
            let attribute = attribute.trim_end();
            match attribute.split_once(':').unwrap_or((attribute, "")) {
                ("candidate", _) => fragment.candidates.push(attribute.to_owned()),
                ("end-of-candidates", _) => fragment.end = true,
                ("ice-ufrag", ufrag) => fragment.ufrags.push(ufrag.to_owned()),
                ("mid", mid) => fragment.mids.push(mid.to_owned()),
                _ => {}
            }
        }
        let of_ice = fragment.end || !fragment.candidates.is_empty() || !fragment.ufrags.is_empty();
        of_ice.then_some(fragment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = "a=group:BUNDLE 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n\
        a=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1 1 udp 1 192.0.2.1 5000 typ host\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn a_body_is_read_whatever_its_line_ends() {
        let fragment = Fragment::read(BODY).unwrap();
        assert_eq!(
            fragment.candidates,
            ["candidate:1 1 udp 1 192.0.2.1 5000 typ host"]
        );
        assert!(fragment.end);
        assert_eq!((&fragment.ufrags[0][..], &fragment.mids[0][..]), ("u", "0"));
        let by_lf = BODY.replace("\r\n", "\n");
        assert_eq!(Fragment::read(&by_lf), Some(fragment));
    }

    #[test]
    fn credentials_may_be_the_sessions_and_stray_lines_are_passed_over() {
        let fragment = Fragment::read("v=0\no=- 1\na=ice-ufrag:u\nm=audio 9 X 0\na=mid:0\n");
        assert_eq!(fragment.unwrap().ufrags, ["u"]);
        assert_eq!(Fragment::read("{}"), None);
        assert_eq!(Fragment::read("m=audio 9 X 0\r\na=mid:0\r\n"), None);
    }

    #[test]
    fn if_match_is_compared_byte_for_byte() {
        let of = |value: Option<&str>, etag| IfMatch::of(value.map(str::as_bytes), etag);
        assert_eq!(of(None, Some("\"a\"")), IfMatch::None);
        assert_eq!(of(Some("\"a\""), Some("\"a\"")), IfMatch::Equal);
        assert_eq!(of(Some("a"), Some("\"a\"")), IfMatch::Other);
        assert_eq!(of(Some("*"), Some("\"a\"")), IfMatch::Star);
        assert_eq!(of(Some("*"), Some("*")), IfMatch::Equal);
        assert_eq!(of(Some("\"a\""), None), IfMatch::Other);
    }
}
