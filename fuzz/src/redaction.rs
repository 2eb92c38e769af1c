//! SDP that the stage's page shows.

#[path = "../../stage/src/watch/redaction.rs"]
mod sdp;

use sdp::without_secrets;

const CREDENTIALS: [&str; 6] = [
    "a=ice-ufrag",
    "a=ice-pwd",
    "a=crypto",
    "k=clear",
    "k=base64",
    "k=uri",
];
/// The bytes are an offer or an answer. What is shown does not depend on its secrets.
pub fn redaction(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let shown = without_secrets(&text);
    assert_eq!(without_secrets(&shown), shown);
    let mut other = String::new();
    // RFC 8866 5: a reader may take other ends of lines than CRLF.
    for line in text.split_inclusive(['\r', '\n']) {
        let content = line.trim_end_matches(['\r', '\n']);
        let (name, _) = content.split_once(':').unwrap_or((content, ""));
        let is_named = |other: &str| name.trim_start().eq_ignore_ascii_case(other);
        if CREDENTIALS.iter().any(|credential| is_named(credential)) {
            other.extend([name, ":another secret"]);
        } else if is_named("a=candidate") {
            other.push_str(&with_another_fragment(content));
        } else {
            assert!(shown.contains(content), "{content:?} is not in {shown:?}");
            other.push_str(content);
        }
        other.push_str(&line[content.len()..]);
    }
    assert_eq!(without_secrets(&other), shown);
}

/// The word after each `ufrag` is a secret.
fn with_another_fragment(candidate: &str) -> String {
    let mut is_secret = false;
    let words = candidate.split(' ').map(|word| {
        let is_this = is_secret && !word.is_empty();
        if !word.is_empty() {
            is_secret = !is_secret && word.eq_ignore_ascii_case("ufrag");
        }
        if is_this { "another" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}
